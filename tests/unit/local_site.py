"""A site on this machine that is really deployed: virtualenvs from wheels, a smoke test, and no web server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import ocf_flask_source
from ocf_flask import settings, sites
from ocf_flask import source as sources
from ocf_flask.outcome import Outcome
from ocf_flask.revision import Brought
from ocf_flask.site import Kit

APP = 'from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.route("/")\ndef index():\n    return "{0}"\n'


class Site:
    """A site in directories of its own; its URL is one that nothing serves."""

    def __init__(self, base: Path, wheels: Path, kit: Kit) -> None:
        self.web, self.private, self.kit = base / "web" / "flasky", base / "private", kit
        self.base = {
            "directory": str(self.web),
            "private_directory": str(self.private),
            "wheels": str(wheels),
            "url": "http://localhost:9/~{owner}/{name}/",
            "python": sys.executable,
        }

    def settings(self, **more: Any) -> settings.Settings:
        return settings.read({"name": "flasky"}, {**self.base, **more})

    def deploy(self, *, check: bool = False, **more: Any) -> Outcome:
        source = more.get("source", "")
        brought = self.brought(source) if source.startswith("/") else Brought()
        return sites.deploy(self.settings(**more), self.kit, sites.Asked(brought=brought), check=check)

    def brought(self, source: str) -> Brought:
        """What the controller would bring of a directory: its list, and an archive of what is missing."""
        found = ocf_flask_source.listings([source])
        lacking = sources.missing(self.settings(source=source), Brought(found)) if "files" in found[source] else []
        self.travelled, self.bytes = len(lacking), 0
        if not lacking:
            return Brought(found)
        archive = self.private.parent / "code.zip"
        ocf_flask_source.pack(found, set(lacking), str(archive))
        self.bytes = archive.stat().st_size
        return sites.brought(found, str(archive))

    def deployed(self, **more: Any) -> Outcome:
        outcome = self.deploy(**more)
        assert outcome.state == "deployed", (outcome.error, outcome.detail)
        return outcome

    def write(self, path: str, content: str) -> None:
        target = self.web / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def state(self) -> dict[str, tuple[Any, ...]]:
        """Inode, mode, times and size of every file."""
        found = {}
        for path in (self.web, self.private, *self.web.rglob("*"), *self.private.rglob("*")):
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_mode, status.st_mtime_ns, status.st_size)
        return found

    def serving(self) -> tuple[bytes, bytes, str]:
        return (self.web / "run.fcgi").read_bytes(), (self.web / ".htaccess").read_bytes(), os.readlink(self.web / "venv")

    def releases(self) -> list[str]:
        return sorted(path.name for path in (self.private / "releases").iterdir())
