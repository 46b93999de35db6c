"""A container with the real web server for as long as a benchmark runs, and what is run in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison import FailedError

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
WEB_HOST = "www.example.test"
MANAGED = "{{ ansible_managed | comment }}"


def run(*command: str | Path, stdin: str = "", expected: Sequence[int] = (0,)) -> str:
    """What a command of the checkout prints. What its environment says of Python, pip or Ansible does not reach it.

    :param expected: the statuses with which it may end.
    :raises FailedError: when it ends otherwise, with all that it printed.
    """
    inherited = {name: value for name, value in os.environ.items() if not re.match(r"PYTHON|VIRTUAL_ENV|PIP_|UV_|ANSIBLE_", name)}
    environment = {**inherited, "PYTHON": str(BIN / "python"), "PATH": f"{BIN}:{os.environ['PATH']}"}
    completed = subprocess.run(command, cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, check=False)
    if completed.returncode not in expected:
        raise FailedError(f"{' '.join(map(str, command))} ended with {completed.returncode}:\n{completed.stdout}{completed.stderr}")
    return completed.stdout


@dataclass(frozen=True)
class Host:
    """The container of that name."""

    name: str

    def shell(self, command: str, user: str = "root", stdin: str = "") -> str:
        """What a shell command of a user's prints."""
        return run("docker", "exec", "--interactive", "--user", user, self.name, "bash", "-lc", command, stdin=stdin)

    def play(self, playbook: str, variables: Mapping[str, Any], *, expected: Sequence[int] = (0,)) -> str:
        """What a playbook prints that works on it as root."""
        given = json.dumps({"ansible_python_interpreter": "/usr/bin/python3", "ocf_flask_wheels": "/wheels", **variables})
        connection = ("--inventory", f"{self.name},", "--connection", "community.docker.docker")
        # Of an argument the kernel takes 128 KB, and thousands of sites are more.
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(given)
            file.flush()
            return run(BIN / "ansible-playbook", *connection, playbook, "--extra-vars", f"@{file.name}", expected=expected)

    @property
    def address(self) -> str:
        """Where its web server answers, if that was published."""
        return run("docker", "port", self.name, "80").split()[0]


@contextmanager
def host(name: str, *options: str, release: str = "trixie") -> Iterator[Host]:
    """A container of its own until the end of the block, with the wheels that tests install.

    :param options: further ones of ``docker run``.
    :param release: Debian's name for it.
    """
    for step in (("engine",), ("wheels",), ("build", release)):
        run(ROOT / "molecule" / "image" / step[0], *step[1:])
    remove = ["docker", "rm", "--force", "--volumes", name]
    subprocess.run(remove, capture_output=True, check=False)
    fixed = ["--detach", "--init", "--name", name, "--add-host", f"{WEB_HOST}:127.0.0.1"]
    try:
        run("docker", "run", *fixed, f"--volume={ROOT / 'build' / 'wheels'}:/wheels:ro", *options, f"ocf-flask-test:{release}")
        found = Host(name)
        found.shell(f"until curl --silent --output /dev/null http://{WEB_HOST}/; do sleep 0.2; done")
        yield found
    finally:
        subprocess.run(remove, capture_output=True, check=False)


def kit() -> dict[str, str]:
    """What the role's task hands to the module."""
    templates, files = ROOT / "roles/ocf_flask/templates", ROOT / "roles/ocf_flask/files"
    named = {"runtime": "ocf_flask_runtime.py", "starter": "flaskyapplication.py", "pip": "pip.py", "command": "ocf_flask_command.py"}
    rendered = {name: (templates / file).read_text() for name, file in (("htaccess", "htaccess.j2"), ("run_fcgi", "run.fcgi.j2"))}
    return {
        **{name: text.replace(MANAGED, "# Ansible managed") for name, text in rendered.items()},
        **{name: (files / file).read_text() for name, file in {**named, "release_run": "release_run", "run": "run"}.items()},
    }
