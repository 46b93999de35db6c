"""Releases on disk: what each was made of, which one is live, how long one is kept."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import files
from .places import Places

# A process of a replaced release lives up to FcgidProcessLifeTime: its files must stay as long.
PROCESS_LIFETIME = 3600
_ID = re.compile(r"\d{8}-\d{6}(-\d+)?")
_LIVE = "live"
# What is neither text nor, as `os.fsdecode` has them, a byte of a file's name.
_UNWRITABLE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


@dataclass(frozen=True)
class Manifest:
    """The record of a release, ``manifest.json`` in it. Written last: a release without one is a leftover.

    ``inputs`` is all that decided about the release, by kind; ``interpreter`` the fields of the `Interpreter` that
    ran then; ``published`` the copies that it has in the web space (see `publish`); ``packages`` the exact versions that are
    installed; ``by_hand`` those of them that the owner installed in the virtualenv himself. ``tested`` has the smoke test's
    ``status``, ``seconds`` and ``at``; ``adopted`` what `adopted.Adopted` records of a site that was taken over.
    """

    id: str
    created: str
    inputs: dict[str, Any]
    packages: dict[str, str]
    by_hand: dict[str, str]
    run_fcgi: str
    tested: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    interpreter: dict[str, str] = field(default_factory=dict)
    published: dict[str, list[object]] = field(default_factory=dict)
    adopted: dict[str, Any] = field(default_factory=dict)


def new_id(places: Places) -> str:
    """An ID that no release has: the time, to the second, which says nothing about the content.

    It comes after all others, also when the clock was set back.
    """
    made = [order(identity)[0] for identity in ages(places)]
    return files.unused(places.releases, max([datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S"), *made]))


def order(identity: str) -> tuple[str, int]:
    """What sorts IDs by the time at which their releases were made."""
    day, time_of_day, *number = identity.split("-")
    return f"{day}-{time_of_day}", int(*number or "1")


def named_by(run_fcgi: bytes | None, places: Places) -> str:
    """The ID of the release that a ``run.fcgi`` starts; empty when that is none of this site's."""
    first_line = (run_fcgi or b"").partition(b"\n")[0].decode("utf-8", "replace")
    match = re.fullmatch(re.escape(f"#!{places.releases}/") + r"([^/]+)/venv/bin/python", first_line)
    return match[1] if match and _ID.fullmatch(match[1]) else ""


def live(places: Places) -> Manifest | None:
    """The record of the release that the site's ``run.fcgi`` starts; None when there is none of this site's."""
    identity = named_by(files.read(places.run_fcgi), places)
    return read(places.release(identity)) if identity else None


def last_live(places: Places) -> Manifest | None:
    """The same, or of the last release when ``run.fcgi`` was damaged or replaced by hand since."""
    found = live(places)
    if found is None and places.current.is_symlink():
        identity = os.path.basename(os.readlink(places.current))
        found = read(places.release(identity)) if _ID.fullmatch(identity) else None
    return found


def read(path: Path) -> Manifest | None:
    """The record of the release in that directory; None when it has none that can be read."""
    try:
        manifest = Manifest(**json.loads(files.read(path / "manifest.json") or b""))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return manifest if manifest.id == path.name and _is_sound(manifest) else None


def _is_sound(manifest: Manifest) -> bool:
    """Whether a record has the form that `write` gives it: its owner can edit it, and another version may have written it."""
    python = manifest.inputs.get("python") if isinstance(manifest.inputs, dict) else None
    maps = (python, manifest.packages, manifest.by_hand, manifest.tested, manifest.settings, manifest.interpreter, manifest.adopted)
    if not all(isinstance(one, dict) for one in maps) or not all(isinstance(one, str) for one in manifest.interpreter.values()):
        return False
    published = manifest.published.values() if isinstance(manifest.published, dict) else [None]
    if not all(isinstance(one, list) and len(one) == 3 for one in published):
        return False
    if not {"path", "version"} <= manifest.inputs["python"].keys() or not {"app", "server", "packages", "code"} <= manifest.inputs.keys():
        return False
    names = manifest.inputs["code"] if isinstance(manifest.inputs["code"], dict) else {"": ""}
    # The files of the code lie below its directory.
    return all(map(_is_input, manifest.inputs.items())) and not any({"", ".", ".."}.intersection(name.split("/")) for name in names)


# The inputs that are no text.
_KINDS = {"python": dict, "packages": list, "requirements": dict, "source": dict, "code": dict, "shared": list, "cron": dict}


def _is_input(item: tuple[str, object]) -> bool:
    """Whether an input is of its kind, and has nothing but text in it."""
    name, value = item
    if not isinstance(value, _KINDS.get(name, str)):
        return False
    texts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return all(isinstance(one, str) and not _UNWRITABLE.search(one) for one in texts)


def write(path: Path, manifest: Manifest) -> None:
    """Complete a release with its record."""
    temporary = path / "manifest.json.new"
    temporary.write_text(json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n")
    os.replace(temporary, path / "manifest.json")


def mark_live(places: Places, identity: str, replaced: str) -> None:
    """Note that a release went live, and the time at which the other ceased to be."""
    mark(places, identity)
    if replaced and replaced != identity:
        mark(places, replaced)


def mark(places: Places, identity: str) -> None:
    """Note that a release is live at this moment."""
    if places.release(identity).is_dir():
        (places.release(identity) / _LIVE).touch()


def removable(ages: Mapping[str, float | None], live: str, keep: int) -> list[str]:
    """Which releases can go.

    :param ages: seconds since each release was live; None for one that never was, a failed deploy's.
    :param keep: how many that were live stay, the live one included.
    """
    once_live = sorted((age, identity) for identity, age in ages.items() if age is not None and identity != live)
    kept = {live, *(identity for _, identity in once_live[: keep - 1])}
    return sorted(identity for identity, age in ages.items() if identity not in kept and (age is None or age > PROCESS_LIFETIME))


def ages(places: Places) -> dict[str, float | None]:
    """For `removable`: the releases that there are."""
    found: dict[str, float | None] = {}
    for path in places.releases.glob("*"):
        if _ID.fullmatch(path.name):
            try:
                found[path.name] = max(0.0, time.time() - (path / _LIVE).stat().st_mtime)
            except FileNotFoundError:
                found[path.name] = None
    return found


def once_live(places: Places) -> list[Manifest]:
    """The records of the releases that are live or have been, the newest first."""
    lived = [identity for identity, age in ages(places).items() if age is not None]
    found = [read(places.release(identity)) for identity in sorted(lived, key=order, reverse=True)]
    return [one for one in found if one]


def remove(path: Path) -> None:
    """Delete a release, also one whose directories were made read-only."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    os.chmod(path, 0o700)
    for directory, names, _ in os.walk(path):
        for name in names:
            below = os.path.join(directory, name)
            if not os.path.islink(below):
                os.chmod(below, 0o700)
    shutil.rmtree(path)
