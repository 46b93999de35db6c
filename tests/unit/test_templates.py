"""What differs from site to site in the templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ocf_flask import templates
from ocf_flask.places import Places
from ocf_flask.settings import Settings

HTACCESS = (Path(__file__).parents[2] / "roles/ocf_flask/templates/htaccess.j2").read_text()
PLACES = Places(Path("/srv/alice/flasky"), Path("/home/alice/.ocf-flask/flasky"), Path("/home/alice/.ocf-flask/crontab.lock"))


def block(package_static: str) -> str:
    return templates.htaccess_block(HTACCESS, Settings("flasky"), PLACES, package_static).decode()


def test_every_mark_is_filled_in() -> None:
    assert "@" not in block("shop/static").replace("{{ ansible_managed | comment }}", "")
    assert '"%1shop/static/$1"' in block("shop/static")


def test_a_paragraph_without_a_value_is_left_out_and_nothing_else() -> None:
    with_package, without = (block(static).split("\n\n") for static in ("shop/static", ""))
    extra = [paragraph for paragraph in with_package if paragraph not in without]
    assert len(extra) == 2 and all("shop/static" in paragraph for paragraph in extra)
    assert [paragraph for paragraph in with_package if paragraph not in extra] == without


@pytest.mark.parametrize(("whole", "ours", "of_the_sites_below"), [(True, 0, 2), (False, 1, 0)])
def test_only_the_whole_web_space_leaves_sites_below_it_alone(whole: bool, ours: int, of_the_sites_below: int) -> None:
    settings = Settings("flasky", whole_web_space=whole)
    content = templates.htaccess_block(HTACCESS, settings, PLACES, "").decode()
    assert len(re.findall("^SetHandler fcgid-script", content, re.M)) == ours
    assert len(re.findall(r"^RewriteCond .*/run\.fcgi\" -f$", content, re.M)) == of_the_sites_below
    assert content.count("<If ") == content.count("</If>") and len(re.findall("SetHandler fcgid-script", content)) == 1


@pytest.mark.parametrize(
    ("names", "path", "public"),
    [
        (("static/",), "static/a/b.css", True),
        (("static/",), "static/", False),
        (("static/",), "static/.a", False),
        (("static/",), "static/.a/b", False),
        (("static/",), "static/a/../b", False),
        (("static/",), "xstatic/a", False),
        ((".well-known/",), ".well-known/acme-challenge/x", True),
        ((".well-known/",), "xwell-known/x", False),
        (("*.css",), "a.css", True),
        (("*.css",), "a/b.css", False),
        (("*.css",), ".a.css", False),
        (("img/*.png", "robots.txt"), "img/a.png", True),
        (("img/*.png", "robots.txt"), "robots.txt", True),
        (("robots.txt",), "robots_txt", False),
    ],
)
def test_public_names(names: tuple[str, ...], path: str, public: bool) -> None:
    assert bool(re.fullmatch(templates.public_expression(names), path)) == public
