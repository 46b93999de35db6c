"""Virtualenvs and wheels that are made once for the sites of all owners.

`prepare` makes them, as an account of its own. A deploy only reads: of a virtualenv that was made of just what a site asks for, the
site gets a copy, which takes a twentieth of the time that uv takes. Files are never linked: a link would be to another account's
file, which a quota counts for that account, and whose owner could change it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import files, requirements, virtualenv
from .errors import SettingError

COMPLETE = "complete.json"
# A name and versions: no path, URL, option, or file's name, which are for the site's owner alone to install.
_PLAIN = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?P<extras>\[[A-Za-z0-9._,\s-]*\])?\s*"
    r"(?P<versions>(?:[<>=!~]=?=?\s*[\w.*+!-]+\s*,?\s*)*)"
)
_FILE_NAME = re.compile(r".*\.(whl|zip|gz|bz2|xz|tar|tgz|txt|toml)", re.IGNORECASE)
# An owner's own, which may name another index (pip.pypa.io/en/stable/topics/configuration/, docs.astral.sh/uv/concepts/configuration-files/).
_CONFIGURATION = (".pip/pip.conf", ".config/pip/pip.conf", ".config/uv/uv.toml", ".netrc")


@dataclass(frozen=True)
class Combination:
    """What decides about a virtualenv: a Python by its path and ``3.11``, the requirements in one order and spelling, where the
    packages come from, and the stand-in for pip."""

    python: str
    version: str
    packages: tuple[str, ...]
    source: virtualenv.Source
    pip: str

    @property
    def key(self) -> str:
        """The name of its directory."""
        return files.digest(json.dumps([os.uname().machine, self.python, self.version, self.pip, *self.asked]))[:32]

    @property
    def asked(self) -> list[object]:
        """The same for every Python."""
        return [list(self.packages), self.source.wheels, self.source.index]


@dataclass(frozen=True)
class Build:
    """A virtualenv in the store: where, what is installed there by normalized name, and when it was made, in nanoseconds since 1970."""

    venv: Path
    packages: Mapping[str, str]
    asked: Sequence[object]
    made: int


def combination(order: virtualenv.Order, pip: str) -> Combination | None:
    """The combination that an order is for; None for one that its owner alone can have installed."""
    lines = [*order.packages, *order.locked, *(line for file in order.files for line in requirements.lines(file))]
    plain = [plain_requirement(line) for line in lines]
    if order.hashed or order.locked or not all(plain) or "@" in order.source.index:
        return None
    version = ".".join(order.interpreter.version.split(".")[:2])
    return Combination(order.interpreter.path, version, tuple(sorted(set(plain))), order.source, files.digest(pip))


def plain_requirement(line: str) -> str:
    """A requirement in one spelling; empty for one that is more than a name and versions."""
    match = _PLAIN.fullmatch(line.strip())
    if not match or _FILE_NAME.fullmatch(match["name"]):
        return ""
    extras = ",".join(sorted(virtualenv.normalize(one) for one in re.findall(r"[A-Za-z0-9][\w.-]*", match["extras"] or "")))
    versions = ",".join(sorted(part for part in re.sub(r"\s+", "", match["versions"]).split(",") if part))
    return f"{virtualenv.normalize(match['name'])}{f'[{extras}]' if extras else ''}{versions}"


def virtualenvs(store: Path) -> Path:
    """Where the combinations lie, each with its builds."""
    return store / "virtualenvs"


def wheels(store: Path) -> Path:
    """The wheels that builds were made of, for what owners install themselves."""
    return store / "wheels"


def uv(store: Path) -> Path:
    """The uv that all owners can run."""
    return store / "uv" / "bin" / "uv"


def check(store: Path) -> None:
    """See that nobody but its owner can write into the store.

    :raises SettingError: when it is not there, or others can.
    """
    what = f"ocf_flask_store is {str(store)!r}"
    try:
        mode = store.stat().st_mode
    except OSError:
        raise SettingError(f"{what}, and there is no such directory. Make it with: ansible-playbook playbooks/prepare.yml") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingError(f"{what}, which others than its owner can write to. Type: chmod go-w {store}")


def builds(directory: Path) -> list[Build]:
    """The builds of a combination's directory, the oldest first."""
    found = [build for path in directory.glob(f"*/{COMPLETE}") if (build := _read(path))]
    return sorted(found, key=lambda build: build.made)


def _read(path: Path) -> Build | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(files.content(path))
        return Build(path.parent / "venv", dict(content["packages"]), list(content["asked"]), int(content["made"]))
    return None


def find(store: Path, order: virtualenv.Order, pip: str, home: Path) -> Iterator[Build]:
    """The builds that serve an order, the best first: the newest whose versions are those to stay with.

    :raises SettingError: when the store cannot be relied on.
    """
    check(store)
    wanted = combination(order, pip)
    if wanted is None or any((home / name).exists() for name in _CONFIGURATION):
        return
    for build in reversed(builds(virtualenvs(store) / wanted.key)):
        if all(order.pins.get(name, version) == version for name, version in build.packages.items()):
            yield build


def copy(store: Path, target: Path, order: virtualenv.Order, pip: str, home: Path) -> bool:
    """Make a virtualenv as one in the store; whether there was one.

    :raises SettingError: as `find`.
    """
    for build in find(store, order, pip, home):
        try:
            virtualenv.clone(build.venv, target, linked=False)
        except FileNotFoundError:
            # Taken away at this moment by `prepare`, for newer ones.
            shutil.rmtree(target, ignore_errors=True)
            continue
        return True
    return False
