"""A site that is the web space itself: what its owner is told, and what it leaves alone."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

import local_site
from local_site import APP
from ocf_flask import web_space


@pytest.fixture(name="space")
def _space(site: local_site.Site, monkeypatch: pytest.MonkeyPatch) -> local_site.Site:
    """The web space of an account whose home is a directory of the test's."""
    home = site.web.parent.parent
    entry = list(pwd.getpwuid(os.getuid()))
    entry[5] = str(home)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(entry))
    site.web = home / "public_html"
    site.web.mkdir()
    site.base.update(directory="~/public_html", whole_web_space="true", web_root="/no/such")
    return site


def make(site: local_site.Site, *names: str) -> None:
    for name in names:
        site.write(name, "x")
    for path in (site.web, *site.web.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_what_else_lies_there_is_told_before_it_happens(space: local_site.Site) -> None:
    make(space, "club/run.fcgi", "a/b/run.fcgi", "index.html", "photos/a.png", "photos/b.png", "robots.txt")
    space.write("flaskyapplication.py", APP.format("all"))
    before = (space.web / "photos/a.png").stat().st_mode
    notes = "\n".join(space.deploy(check=True).notes)
    assert "these sites below it go on as they are: a/b, club" in notes
    assert "Visitors no longer get 3 files that they could (index.html, photos/)" in notes
    assert (space.web / "photos/a.png").stat().st_mode == before


def test_sites_below_keep_their_permissions_and_are_not_its_code(space: local_site.Site) -> None:
    make(space, "club/run.fcgi", "club/app.py", "other.txt")
    space.write("flaskyapplication.py", APP.format("all"))
    outcome = space.deployed()
    assert outcome.changes["code"] == ["1 file"]
    assert [(space.web / name).stat().st_mode & 0o777 for name in ("club", "club/app.py", "other.txt")] == [0o755, 0o644, 0o600]
    assert space.deploy().state == "unchanged"


def test_a_change_of_a_site_below_is_none_of_it(space: local_site.Site) -> None:
    make(space, "club/run.fcgi", "club/app.py")
    space.write("flaskyapplication.py", APP.format("all"))
    space.deployed()
    space.write("club/app.py", "changed")
    assert space.deploy().state == "unchanged"


def test_sites_below_are_found_two_directories_down(tmp_path: Path) -> None:
    for name in ("a/run.fcgi", "a/b/run.fcgi", "c/d/e/run.fcgi", ".hidden/run.fcgi", "run.fcgi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(web_space.sites_below(tmp_path)) == ["a", "a/b"]


@pytest.mark.parametrize(
    ("names", "told"), [([], ""), (["a.html"], "get 1 file that"), (["a.html", "photos/a.png", "photos/b.png"], "get 3 files that")]
)
def test_files_that_visitors_no_longer_get_are_counted(space: local_site.Site, names: list[str], told: str) -> None:
    make(space, "static/style.css", *names)
    notes = web_space.notes(space.web, [])
    assert (told in notes[0]) if told else notes == []
