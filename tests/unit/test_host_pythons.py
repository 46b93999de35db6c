"""Each Python that a host may have runs the modules, the engine and the site: those that this machine has, of any origin."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ocf_flask import pythons
from ocf_flask.errors import SettingError
from test_repository import ROOT
from test_virtualenv import ENV

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")


def interpreter(version: str) -> str:
    """A Python of that version which runs and has a pip; the test is skipped without one."""
    folders = [*os.environ["PATH"].split(":"), *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin"))]
    with suppress(SettingError):
        path = pythons.find(version, env={**ENV, "PATH": ":".join(folders)}).path
        if subprocess.run([path, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip(f"there is no Python {version} here")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_verb_works(tmp_path_factory: pytest.TempPathFactory, wheels: Path, version: str) -> None:
    python, home = interpreter(version), tmp_path_factory.mktemp("p")
    given = {
        "ansible_python_interpreter": python,
        "ocf_flask_python": python,
        # Which depends more on the Python than uv does.
        "ocf_flask_uv": "none",
        "ocf_flask_wheels": str(wheels),
        "ocf_flask_url": "http://localhost:9/~{owner}/{name}/",
        "ocf_flask_directory": str(home / "web"),
        "ocf_flask_private_directory": str(home / "p"),
    }
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8"}

    def play(verb: str, **more: str) -> str:
        command = ["ansible-playbook", verb, "-e", "site=flasky", "-e", json.dumps({**given, **more})]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "flasky is deployed." in play("deploy.yml")
    assert "changed=0" in play("deploy.yml")
    with (home / "web/flaskyapplication.py").open("a") as file:
        file.write("\n# Newer.\n")
    assert "flasky is deployed." in play("deploy.yml")
    status = play("playbooks/status.yml")
    assert "Test now    GET / -> 200" in status and re.search(rf"Python +{re.escape(version)}", status), status
    assert f"lib/python{version}" in play("playbooks/run.yml", command="python -c 'import flask; print(flask.__file__)'")
    play("playbooks/rollback.yml")
    assert "# Newer." not in (home / "web/flaskyapplication.py").read_text()
    play("playbooks/upgrade.yml")
    play("playbooks/logs.yml")
    play("playbooks/remove.yml")
    assert not (home / "web/run.fcgi").exists()
    play("playbooks/restore.yml")
    assert (home / "web/run.fcgi").exists()
