"""Somebody who types commands: an account with a home of its own, and a checkout that is nobody else's."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRETEND = Path(__file__).with_name("pretend")
BIN = Path(sys.executable).parent
# What a mistake is told by: Ansible's line, the report between a task's heading and its result, or all of it.
_ERROR = re.compile(
    r"^\[ERROR\]: (?:Task failed: )?(?:Action failed: |Module failed: )?(.*?)\n(?:Task failed: [^\n]*\n)?(?=Origin: |<<< caused by|\Z)",
    re.M | re.S,
)
_REPORT = re.compile(r"^TASK \[.*\] \*+\n\n(.*?)\n\n?(?:\[ERROR\]|fatal:|ok:|changed:)", re.M | re.S)


@dataclass(frozen=True)
class Said:
    """What came of a command."""

    code: int
    output: str

    @property
    def error(self) -> str:
        """What Ansible shows as the error."""
        found = _ERROR.search(self.output)
        assert found, self.output
        return found[1].strip()

    @property
    def report(self) -> str:
        """What the role says itself."""
        found = _REPORT.search(self.output)
        assert found, self.output
        return found[1].strip()


class Person:
    """The account ``alice``, which this process's is to the programs that she starts."""

    def __init__(self, base: Path, wheels: Path) -> None:
        self.home, self.checkout = base / "alice", base / "checkout"
        (self.home / "public_html").mkdir(parents=True)
        _check_out(self.checkout)
        self.environment = {
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(PRETEND),
            # The shell does not know the home of the account that Python is told of.
            "ANSIBLE_REMOTE_TMP": str(base / "ansible"),
            # Of a network that is not there, no more than one look.
            "UV_HTTP_RETRIES": "0",
        }
        self.settings = {
            "ocf_flask_wheels": str(wheels),
            "ocf_flask_uv": str(BIN / "uv"),
            "ocf_flask_timeouts": {"live": 1},
            "ocf_flask_web_root": "",
            "ocf_flask_url": "http://localhost:9/~{owner}/{name}/",
        }
        # Of all sites; below what is behind -e, and what is in a site's file.
        for group in ("inventory/group_vars", "inventory/staff/group_vars"):
            (self.checkout / group).mkdir()
            (self.checkout / group / "all.json").write_text(json.dumps(self.settings))

    def types(self, command: str, directory: Path | None = None, *, keys: str = "", **environment: str) -> Said:
        """Type a line, in the checkout if no other directory is named. ``keys``: what is typed when it asks."""
        accounts = [
            {"name": "alice", "uid": int(environment.get("PRETENDED_UID", os.getuid())), "home": str(self.home)},
            {"name": "bob", "uid": 4343, "home": str(self.home.with_name("bob"))},
        ]
        done = subprocess.run(
            shlex.split(command),
            cwd=directory or self.checkout,
            env={**self.environment, "PRETENDED_ACCOUNTS": json.dumps(accounts), **environment},
            input=keys,
            # Without a terminal, a password is asked of the standard input.
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, self.seen(done.stdout))

    def seen(self, text: str) -> str:
        """A text with names for the directories that only this run has."""
        for path, name in ((self.checkout, "CHECKOUT"), (self.home, "HOME"), (ROOT, "ROOT")):
            text = text.replace(str(path), name)
        return text

    def writes(self, path: str, text: str) -> Path:
        """A file in the home."""
        target = self.home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target


def _check_out(target: Path) -> None:
    """The files of this checkout, and an environment in which make finds Ansible."""
    for name in ("plugins", "roles", "playbooks", "inventory", "tools"):
        shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "sites"))
    (target / "inventory/sites").mkdir()
    for name in ("ansible.cfg", "deploy.yml", "Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, target / name)
    binaries = target / ".venv/bin"
    binaries.mkdir(parents=True)
    for path in BIN.iterdir():
        (binaries / path.name).symlink_to(path)
    # As tools/venv makes it, so that it makes nothing anew.
    python = shutil.which("python3", path="/usr/bin") or sys.executable
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout
    requirements = (target / "requirements.txt").read_text()
    (target / ".venv/.made-from").write_text(f"{target}\n{version}{requirements}{requirements}".rstrip("\n"))
