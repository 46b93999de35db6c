"""An application of tests/apps as a site: how it is brought to the host, and what holds for each.

Its settings, ``tests/apps/NAME.yml``, are those that its author would write into ``inventory/sites/NAME.yml``; where the
code comes from, a test says.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from hosted import ROOT, Container, Deploy, Site

APPS = ROOT / "tests" / "apps"
# What must be nobody's to read, by a name that the applications have in common.
PRIVATE = ("/requirements.txt", "/.env", "/.git/config", "/.flaskenv", "/venv/pyvenv.cfg", "/run.fcgi.old", "/instance/", "/__pycache__/")


class App(Site):
    """``project`` is the copy of the code; ``arguments`` are what each of its deploys is given."""

    def __init__(self, container: Container, name: str, project: Path) -> None:
        super().__init__(container, name)
        self.project = project
        self.arguments = ["-e", f"@{APPS / name}.yml"]

    def deploy(self, *arguments: str, roles_path: Path = ROOT / "roles") -> Deploy:
        return super().deploy(*self.arguments, *arguments, roles_path=roles_path)

    def play(self, verb: str, *arguments: str) -> str:
        return super().play(verb, *self.arguments, *arguments)

    def from_project(self) -> None:
        """Each deploy brings the copy."""
        self.arguments += ["-e", f"ocf_flask_source={self.project}"]

    def put(self, target: str) -> None:
        """Copy the project into a directory of the owner's on the host."""
        self.shell(f"mkdir -p {target}")
        subprocess.run(["docker", "cp", "--quiet", f"{self.project}/.", f"{self.container.name}:{target}"], check=True)
        self.container.shell(f"chown -R {self.owner}:ocf {target}", "root")

    def change(self, file: str, old: str, new: str) -> None:
        """Edit the project."""
        path = self.project / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    def assert_settled(self) -> None:
        """A further deploy has nothing to do, and touches no file."""
        before = self.state()
        again = self.deployed()
        assert not again.changed, again.output
        assert self.state() == before

    def assert_private(self, *paths: str) -> None:
        """No visitor can have these, nor what no site shows."""
        for path in (*PRIVATE, *paths):
            assert self.visit(path).status in (403, 404), path
