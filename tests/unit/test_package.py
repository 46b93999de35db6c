"""The site's own code as a package that its virtualenv finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocf_flask import package, pyproject

PYPROJECT = """
[build-system]
requires = ["hatchling"]

[project]
name = "Club_Site"
version = "1.2"

[project.scripts]
club = "club.tool:main"
club-nested = "club.tool:Tool.run [extra]"
python = "club.tool:main"
"../../escaped" = "club.tool:main"
"no-function" = "club.tool"

[project.entry-points."flask.commands"]
tell = "club.tool:main"
"""


@pytest.fixture(name="release")
def _release(tmp_path: Path) -> Path:
    """A release whose virtualenv has no packages."""
    release = tmp_path / "releases" / "1"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", release / "venv"], check=True)
    return release


def code(tmp_path: Path, content: str = PYPROJECT) -> tuple[Path, pyproject.Project]:
    directory = tmp_path / "code"
    (directory / "src/club").mkdir(parents=True)
    (directory / "src/club/__init__.py").touch()
    (directory / "src/club/tool.py").write_text("class Tool:\n    def run(): return 'nested'\n\ndef main(): return 'told'\n")
    (directory / "pyproject.toml").write_text(content)
    return directory, pyproject.package(directory / "pyproject.toml")


def test_the_code_its_version_and_its_entry_points_are_found(release: Path, tmp_path: Path) -> None:
    package.install(release, *code(tmp_path))
    ask = "import importlib.metadata as it; print(it.version('club-site'), [one.value for one in it.entry_points(group='flask.commands')])"
    said = subprocess.run([release / "venv/bin/python", "-c", ask], capture_output=True, text=True, check=True, cwd="/").stdout
    assert said == "1.2 ['club.tool:main']\n"


def commands(release: Path) -> dict[str, str | bytes]:
    """Where each leads, or what it is."""
    return {path.name: os.readlink(path) if path.is_symlink() else path.read_bytes() for path in (release / "venv/bin").iterdir()}


@pytest.mark.parametrize(("name", "said"), [("club", "told"), ("club-nested", "nested")])
def test_its_commands_run(release: Path, tmp_path: Path, name: str, said: str) -> None:
    package.install(release, *code(tmp_path))
    done = subprocess.run([release / "venv/bin" / name], capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stderr.strip()) == (1, said)


def test_no_command_takes_the_place_of_another_or_lies_elsewhere(release: Path, tmp_path: Path) -> None:
    there = commands(release)
    package.install(release, *code(tmp_path))
    now = commands(release)
    assert set(now) == {*there, "club", "club-nested"} and {name: now[name] for name in there} == there
    assert not list(tmp_path.rglob("escaped"))


def test_what_the_release_before_had_goes_from_a_clone_of_its_virtualenv(release: Path, tmp_path: Path) -> None:
    package.install(release, *code(tmp_path))
    (link,) = (release / "venv").glob("lib/python3*/site-packages/ocf_flask_project.pth")
    (tmp_path / "flat").mkdir()
    package.install(release, tmp_path / "flat", pyproject.Project())
    assert not (release / "venv/bin/club").exists() and not link.exists()


@pytest.mark.parametrize("content", ["", "[project]\nname = 'x'\nversion = '1'\n", "no toml"])
def test_a_project_that_is_no_package_has_its_source_directory_alone(release: Path, tmp_path: Path, content: str) -> None:
    directory, project = code(tmp_path, content)
    package.install(release, directory, project)
    (link,) = (release / "venv").glob("lib/python3*/site-packages/ocf_flask_project.pth")
    assert link.read_text() == f"{directory}/src\n" and not (release / "project").exists()
