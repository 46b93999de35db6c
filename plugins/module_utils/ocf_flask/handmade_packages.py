"""What a virtualenv made by hand has in it: read from its directories, whether or not its interpreter is still there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .virtualenv import normalize, requirement_name

# Not the application's: what installs, and what recipes serve with.
_IGNORED = frozenset(("pip", "setuptools", "wheel", "pkg-resources", "distribute", "argparse", "wsgiref", "flup", "flup6", "flipflop"))
# dist-info and egg-info, as directories or files, and easy_install's own.
_RECORD = re.compile(r"([A-Za-z0-9].*?)-([^-]+)(?:-py\d[^-]*)?\.(dist-info|egg-info|egg)")
_PYTHON = re.compile(r"python(\d+)\.(\d+)")
_EXTRA = re.compile(r";.*\bextra\s*==")


@dataclass(frozen=True)
class Package:
    """``needs``: the normalized names that it requires. ``requested``: pip was asked for it by name (PEP 376).
    ``origin``: the URL or directory that it was installed from, when that was no index; ``requirement`` names it so for pip."""

    version: str
    needs: frozenset[str] = frozenset()
    requested: bool = False
    origin: str = ""
    requirement: str = ""


@dataclass(frozen=True)
class Packages:
    """``python``: the version of the virtualenv's Python, such as 3.5. ``installed``: by normalized name."""

    python: str = ""
    installed: Mapping[str, Package] = field(default_factory=dict)

    @property
    def versions(self) -> dict[str, str]:
        """By name, of those that come from an index."""
        return {name: one.version for name, one in sorted(self.installed.items()) if not one.origin}

    def asked_for(self) -> list[str]:
        """Names of those that somebody wanted, and that no other brings along.

        Old pips mark none and uv marks all of them: then it is what no other requires that was wanted.
        """
        needed = {name for one in self.installed.values() for name in one.needs}
        marked = {name for name, one in self.installed.items() if one.requested}
        wanted = {name for name in self.installed if name not in needed} | (marked if len(marked) < len(self.installed) else set())
        # Packages that require each other in a circle.
        return sorted(wanted | (set(self.installed) - self._reached(wanted)))

    def _reached(self, names: set[str]) -> set[str]:
        found, pending = set(names), list(names)
        while pending:
            new = {one for one in self.installed[pending.pop()].needs if one in self.installed} - found
            found |= new
            pending += new
        return found


def is_virtualenv(directory: Path) -> bool:
    """Whether packages are installed in it as in a virtualenv; its interpreter may be gone."""
    return (directory / "bin").is_dir() and _site_packages(directory) is not None


def find(candidates: Sequence[Path]) -> Path | None:
    """The first that is a virtualenv."""
    return next((one for one in candidates if is_virtualenv(one)), None)


def read(directory: Path) -> Packages:
    """What is installed in a virtualenv."""
    place = _site_packages(directory)
    if place is None:
        return Packages()
    found: dict[str, Package] = {}
    for entry in sorted(os.listdir(place)):
        match = _RECORD.fullmatch(entry)
        if match and normalize(match[1]) not in _IGNORED:
            found[normalize(match[1])] = _package(place / entry, match[2])
        elif entry.endswith(".egg-link"):
            with suppress(OSError):
                origin = (place / entry).read_text("utf-8", "replace").partition("\n")[0].strip()
                found[normalize(entry[: -len(".egg-link")])] = Package("", origin=origin, requirement=origin)
    return Packages(place.parent.name.replace("python", ""), found)


def _site_packages(directory: Path) -> Path | None:
    """Of the newest Python, where a virtualenv was made again in place of an older one."""
    found = [path for path in directory.glob("lib/python*/site-packages") if path.is_dir()]
    return max(found, key=_version, default=None)


def _version(site_packages: Path) -> tuple[int, int]:
    match = _PYTHON.fullmatch(site_packages.parent.name)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _package(record: Path, version: str) -> Package:
    texts = {name: _read(record / name) for name in ("METADATA", "requires.txt", "direct_url.json")}
    if record.suffix == ".egg":
        texts["requires.txt"] = _read(record / "EGG-INFO" / "requires.txt")
    required = re.findall(r"^Requires-Dist: *(.+)$", texts["METADATA"].partition("\n\n")[0], re.M)
    # The lines above the first [extra].
    required += texts["requires.txt"].partition("\n[")[0].splitlines() if not texts["requires.txt"].startswith("[") else []
    needs = frozenset(requirement_name(line) for line in required if not _EXTRA.search(line)) - {""}
    return Package(version, needs, (record / "REQUESTED").exists(), *_origin(record.name.partition("-")[0], texts["direct_url.json"]))


def _origin(name: str, text: str) -> tuple[str, str]:
    """From ``direct_url.json`` (PEP 610): where from, and the same as a requirement."""
    try:
        record = json.loads(text)
        url = str(record["url"])
    except (ValueError, KeyError, TypeError):
        return "", ""
    if url.startswith("file://"):
        path = unquote(urlsplit(url).path)
        return path, path
    vcs = record.get("vcs_info")
    if isinstance(vcs, dict):
        return url, f"{name} @ {vcs.get('vcs', 'git')}+{url}@{vcs.get('commit_id', 'HEAD')}"
    return url, f"{name} @ {url}"


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
