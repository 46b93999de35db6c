"""What stays public of a site made by hand, and which URLs change."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocf_flask import handmade_files

PUBLIC = ("static/", "favicon.ico", "robots.txt", ".well-known/")


@pytest.fixture(name="web")
def _web(tmp_path: Path) -> Path:
    web = tmp_path / "flasky"
    web.mkdir()
    web.chmod(0o755)
    return web


def write(web: Path, *names: str, content: str = "x", mode: int = 0o644) -> None:
    for name in names:
        path = web / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)


def test_a_directory_of_styles_is_one_pattern(web: Path) -> None:
    write(web, "css/style.css", "css/fonts/a.woff2", "css/.hidden")
    assert handmade_files.look(web, PUBLIC) == handmade_files.Found(("css/",))


@pytest.mark.parametrize("other", ["app.py", "data.sqlite", "notes.txt", "templates/base.html", "__pycache__/x.pyc", "sub/secrets.yml"])
def test_a_directory_with_something_else_is_not_public_as_a_whole(web: Path, other: str) -> None:
    write(web, "shop/style.css", f"shop/{other}")
    assert handmade_files.look(web, PUBLIC).public == ("shop/style.css",)


def test_a_file_that_was_closed_stays_closed(web: Path) -> None:
    write(web, "css/style.css")
    write(web, "css/draft.pdf", mode=0o600)
    assert handmade_files.look(web, PUBLIC).public == ("css/style.css",)


def test_many_of_a_kind_are_one_pattern_and_few_are_named(web: Path) -> None:
    write(web, "a.png", "b.png", "c.png", "paper.pdf", "slides.pdf", "app.py")
    assert handmade_files.look(web, PUBLIC).public == ("*.png", "paper.pdf", "slides.pdf")


def test_a_pattern_covers_none_that_should_not_stay(web: Path) -> None:
    write(web, "a.html", "b.html", "c.html")
    write(web, "template.html", content="{% extends 'base.html' %}")
    found = handmade_files.look(web, PUBLIC)
    assert found.public == ("a.html", "b.html", "c.html")
    assert found.changed == ("/template.html was a file; now the app answers that URL. To keep it, add it to ocf_flask_public",)


def test_a_name_that_no_pattern_can_spell_is_matched(web: Path) -> None:
    write(web, "my paper (final).pdf", "Übung.pdf")
    assert handmade_files.look(web, PUBLIC) == handmade_files.Found(("*bung.pdf", "my*paper*final*.pdf"))


def test_each_url_that_changes_is_told(web: Path) -> None:
    write(web, "data.csv", "old.php", "run.cgi", "notes.txt")
    told = handmade_files.look(web, PUBLIC).changed
    assert [one.split(" ")[0] for one in told] == ["/data.csv", "/notes.txt", "/old.php", "/run.cgi"]
    assert "run by the web server itself" in told[2]


def test_code_and_secrets_are_neither_public_nor_told_of(web: Path) -> None:
    write(web, "app.py", "requirements.txt", "db.sqlite", ".env", "config.ini", "run.fcgi", "app.py~", "Makefile", "dump.sql", "a.log")
    assert handmade_files.look(web, PUBLIC) == handmade_files.Found()


def test_what_is_public_anyway_is_not_named_again(web: Path) -> None:
    write(web, "static/a.css", "favicon.ico", "robots.txt")
    assert handmade_files.look(web, PUBLIC) == handmade_files.Found()


@pytest.mark.parametrize("mark", ["venv/pyvenv.cfg", "venv/bin/activate", "venv/run.fcgi"])
def test_virtualenvs_and_other_sites_are_left_alone(web: Path, mark: str) -> None:
    write(web, mark, "venv/lib/style.css")
    assert handmade_files.look(web, PUBLIC) == handmade_files.Found()


def test_a_link_to_a_directory_is_told_of(web: Path, tmp_path: Path) -> None:
    write(tmp_path, "images/a.png")
    (web / "images").symlink_to(tmp_path / "images")
    found = handmade_files.look(web, PUBLIC)
    assert found.public == ()
    assert found.changed[0].startswith("/images/ ")


def test_with_public_names_declared_nothing_else_stays(web: Path) -> None:
    write(web, "css/style.css")
    assert handmade_files.look(web, PUBLIC, keep=False).public == ()
    assert len(handmade_files.look(web, PUBLIC, keep=False).changed) == 1
