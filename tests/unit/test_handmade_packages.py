"""What a virtualenv made by hand has in it, of any age."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocf_flask import handmade_packages


def virtualenv(path: Path, python: str = "3.5") -> Path:
    (path / "bin").mkdir(parents=True, exist_ok=True)
    site_packages = path / f"lib/python{python}/site-packages"
    site_packages.mkdir(parents=True)
    return site_packages


def dist_info(place: Path, name: str, version: str, *needs: str, requested: bool = False, url: object = None) -> None:
    directory = place / f"{name}-{version}.dist-info"
    directory.mkdir()
    lines = [f"Name: {name}", *(f"Requires-Dist: {one}" for one in needs), "", "Requires-Dist: text"]
    (directory / "METADATA").write_text("\n".join(lines))
    if requested:
        (directory / "REQUESTED").touch()
    if url:
        (directory / "direct_url.json").write_text(json.dumps(url))


def test_packages_and_versions_are_read_without_an_interpreter(tmp_path: Path) -> None:
    place = virtualenv(tmp_path / "venv")
    dist_info(place, "Flask", "0.12.5", "Werkzeug (>=0.7)", "python-dotenv; extra == 'dotenv'")
    dist_info(place, "Werkzeug", "0.16.1")
    (place / "Flask_Login-0.4.1-py3.5.egg-info").mkdir()
    (place / "Flask_Login-0.4.1-py3.5.egg-info/requires.txt").write_text("Flask\n\n[test]\npytest\n")
    (place / "PyMySQL-0.9-py3.5.egg-info").write_text("Name: PyMySQL\n")
    (place / "Old-1.0-py3.5.egg/EGG-INFO").mkdir(parents=True)
    for name in ("pip", "setuptools", "wheel", "flup6", "pkg_resources"):
        dist_info(place, name, "1.0")
    found = handmade_packages.read(tmp_path / "venv")
    assert found.python == "3.5"
    assert found.versions == {"flask": "0.12.5", "flask-login": "0.4.1", "old": "1.0", "pymysql": "0.9", "werkzeug": "0.16.1"}
    # Nothing is marked by such an old pip: what no other brings along was asked for.
    assert found.asked_for() == ["flask-login", "old", "pymysql"]


def test_python_2_is_read_too(tmp_path: Path) -> None:
    dist_info(virtualenv(tmp_path, "2.7"), "Flask", "0.10")
    assert handmade_packages.read(tmp_path).python == "2.7"


def test_of_two_pythons_the_newer_counts(tmp_path: Path) -> None:
    dist_info(virtualenv(tmp_path, "3.9"), "Flask", "2.0")
    dist_info(virtualenv(tmp_path, "3.11"), "Flask", "3.0")
    assert handmade_packages.read(tmp_path).versions == {"flask": "3.0"}


def test_what_pip_marks_was_asked_for_though_another_requires_it(tmp_path: Path) -> None:
    place = virtualenv(tmp_path)
    dist_info(place, "Flask", "3.0", "werkzeug", requested=True)
    dist_info(place, "werkzeug", "3.0", "markupsafe", requested=True)
    dist_info(place, "markupsafe", "2.0")
    assert handmade_packages.read(tmp_path).asked_for() == ["flask", "werkzeug"]


def test_where_everything_is_marked_nothing_is(tmp_path: Path) -> None:
    place = virtualenv(tmp_path)
    dist_info(place, "Flask", "3.0", "werkzeug", requested=True)
    dist_info(place, "werkzeug", "3.0", requested=True)
    assert handmade_packages.read(tmp_path).asked_for() == ["flask"]


def test_packages_in_a_circle_are_not_lost(tmp_path: Path) -> None:
    place = virtualenv(tmp_path)
    dist_info(place, "one", "1", "two")
    dist_info(place, "two", "1", "one")
    assert handmade_packages.read(tmp_path).asked_for() == ["one", "two"]


def test_what_came_from_no_index_is_told(tmp_path: Path) -> None:
    place = virtualenv(tmp_path)
    dist_info(place, "mylib", "1.0", url={"url": "file:///home/alice/my%20lib", "dir_info": {"editable": True}})
    dist_info(place, "tool", "2.0", url={"url": "https://example.test/tool.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}})
    (place / "older.egg-link").write_text("/home/alice/older\n.")
    found = handmade_packages.read(tmp_path).installed
    assert found["mylib"].origin == "/home/alice/my lib"
    assert found["tool"].requirement == "tool @ git+https://example.test/tool.git@abc"
    assert found["older"].origin == "/home/alice/older"
    assert handmade_packages.read(tmp_path).versions == {}


@pytest.mark.parametrize("part", ["bin", "lib/python3.5/site-packages"])
def test_a_part_of_a_virtualenv_is_none(tmp_path: Path, part: str) -> None:
    (tmp_path / "venv" / part).mkdir(parents=True)
    assert handmade_packages.find([tmp_path / "venv"]) is None


def test_a_directory_of_that_name_is_no_virtualenv(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    virtualenv(tmp_path / "env")
    assert handmade_packages.find([tmp_path / "venv", tmp_path / "gone", tmp_path / "env"]) == tmp_path / "env"
