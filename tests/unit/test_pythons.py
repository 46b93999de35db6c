"""Which Python a site gets."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ocf_flask import pythons
from ocf_flask.errors import SettingError
from test_virtualenv import ENV, output

SYSTEM = "/usr/bin/python3"


def test_without_a_wish_it_is_the_machines_python() -> None:
    found = pythons.find("", env=ENV)
    assert found.path == os.path.realpath(found.path)
    assert output(found.path, "-c", "import platform; print(platform.python_version())") == f"{found.version}\n"


def test_a_version_a_name_and_a_path_are_taken() -> None:
    found = pythons.find(SYSTEM, env=ENV)
    minor = ".".join(found.version.split(".")[:2])
    for wish in (minor, f"python{minor}", "3", "python3", found.version):
        assert pythons.find(wish, env=ENV) == found


@pytest.mark.parametrize("wish", ["3.99", "python3.99", "/nonexistent/python3", "/etc/passwd", "/bin/true", "/bin/cat"])
def test_a_python_that_does_not_run_is_answered_with_those_that_do(wish: str) -> None:
    with pytest.raises(SettingError) as caught:
        pythons.find(wish, env=ENV)
    assert caught.value.message.startswith(f"ocf_flask_python is {wish!r}, and no such Python runs on this machine. This machine has 3.")
    running = re.search(r"3\.\d+\.\d+ \((/\S+)\)\. Type for example: -e ocf_flask_python=(/\S+)$", caught.value.message)
    assert running and running[1] == running[2] == os.path.realpath(SYSTEM)


def fake(directory: Path, name: str, version: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{version} {path}'\n")
    path.chmod(0o755)
    return path


def test_a_python_that_is_too_old_is_refused_with_the_oldest_that_is_not(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        pythons.find(str(fake(tmp_path, "python3.8", "3.8.10")), env=ENV)
    assert f"is '{tmp_path}/python3.8', Python 3.8.10: sites need Python 3.9 or newer. This machine has " in caught.value.message


def test_a_python_in_the_path_is_found_and_one_of_another_version_passed_over(tmp_path: Path) -> None:
    fake(tmp_path / "a", "python3.98", "3.97.0")
    right = fake(tmp_path / "b", "python3.98", "3.98.1")
    found = pythons.find("3.98", env={**ENV, "PATH": f"{tmp_path}/a:{tmp_path}/b"})
    assert found == pythons.Interpreter(str(right), "3.98.1")
    with pytest.raises(SettingError):
        pythons.find("3.98.2", env={**ENV, "PATH": f"{tmp_path}/b"})


def test_an_interpreter_that_ran_before_is_not_started_again_unless_its_file_changed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    path = fake(tmp_path, "python3.98", "3.98.1")
    path.write_text(path.read_text() + f"echo >> {started}\n")
    known = pythons.find(str(path), env=ENV)
    assert pythons.find(str(path), env=ENV, known=known) == known
    assert len(started.read_text()) == 1
    other = replace(known, path="/usr/bin/python3")
    assert pythons.find(str(path), env=ENV, known=other) == known
    os.utime(path, (1, 1))
    assert pythons.find(str(path), env=ENV, known=known) == known
    assert len(started.read_text()) == 3
    path.unlink()
    for was in (known, replace(known, file=pythons._GONE)):
        with pytest.raises(SettingError):
            pythons.find(str(path), env=ENV, known=was)


def test_of_a_range_it_is_the_machines_python_or_else_the_newest_that_fits(tmp_path: Path) -> None:
    for minor in ("96", "97", "98"):
        fake(tmp_path, f"python3.{minor}", f"3.{minor}.1")
    env = {**ENV, "PATH": str(tmp_path)}
    assert pythons.find(">=3.9", env=env) == pythons.find(SYSTEM, env=ENV)
    assert pythons.find(">=3.95,<3.98", env=env).version == "3.97.1"
    assert pythons.find(">=3.95, <=3.98", env=env).version == "3.98.1", "the patch level counts for the version"
    assert pythons.find(">3.96.0,!=3.98,<3.98", env=env).version == "3.97.1"
    with pytest.raises(SettingError, match=r"no such Python runs on this machine\. This machine has 3"):
        pythons.find(">=3.99", env=env)


def test_3_1_is_not_3_11(tmp_path: Path) -> None:
    fake(tmp_path, "python3.1", "3.11.2")
    with pytest.raises(SettingError):
        pythons.find("3.1", env={**ENV, "PATH": str(tmp_path)})
