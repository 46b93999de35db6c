"""A site that is its owner's whole web space: what else lies there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from . import handmade_files
from .words import some

_SHOWN = 10


def notes(space: Path, public: Sequence[str]) -> list[str]:
    """What the owner should know before the web space becomes one site's. ``public``: what stays a file."""
    sites = sorted(sites_below(space))
    found = []
    if sites:
        found.append(f"Of the web space, these sites below it go on as they are: {some(sites, _SHOWN)}")
    lost = handmade_files.look(space, ("static/", *public), keep=False).lost
    paths = sorted({"".join(name.partition("/")[:2]) for name in lost})
    if lost:
        found.append(
            f"The app answers every other URL of the web space. Visitors no longer get {len(lost)} file{'s' if len(lost) != 1 else ''} "
            f"that they could ({some(paths, _SHOWN)}), and a deploy closes them. To keep one, name it in ocf_flask_public"
        )
    return found


def sites_below(space: Path) -> list[str]:
    """The directories that are sites of their own, as far down as our ``.htaccess`` leaves them alone."""
    return [
        os.path.relpath(path.parent, space)
        for pattern in ("*/run.fcgi", "*/*/run.fcgi")
        for path in space.glob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(space).parts)
    ]
