"""The old virtualenv of a site that was taken over: it stays in its place until nobody runs from it.

Its processes go on for a while: they answer what they were asked, and import what they need late. Once they have ended,
it is renamed beside itself, so that the link ``venv`` can lead to the release's. Nothing of it is deleted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from . import moments, running
from .adopted import Adopted
from .places import Places
from .release import PROCESS_LIFETIME

# The daemon that ends replaced processes looks every 3 s, and one may be answering a request.
_PATIENCE = 10.0
_BETWEEN = 0.2


def is_pending(where: Places, adopted: Adopted | None) -> bool:
    """Whether the old virtualenv is where the link for the new one should be."""
    return bool(adopted and adopted.on and adopted.virtualenv == str(where.venv) and is_old(where.venv, where))


def is_old(path: Path, where: Places) -> bool:
    """Whether something is there that is no link into the releases."""
    if path.is_symlink():
        return not os.readlink(path).startswith(f"{where.releases}/")
    return path.is_dir()


def is_due(where: Places, adopted: Adopted | None) -> bool:
    """Whether it can go: whatever host a process of the old site runs on, its time is up, and none is on this one."""
    return adopted is not None and is_pending(where, adopted) and adopted.age() > PROCESS_LIFETIME and not users(where)


def users(where: Places) -> list[int]:
    """The processes of this account, on this machine, that run from the old virtualenv."""
    return running.users(where.venv)


def wait(where: Places, *, alive: Callable[[Places], list[int]] = users) -> bool:
    """Give the old processes a moment to end; whether they have."""
    end = time.monotonic() + _PATIENCE
    while alive(where):
        if time.monotonic() > end:
            return False
        time.sleep(_BETWEEN)
    return True


def put(where: Places) -> Path:
    """Rename it beside itself, closed to everybody else."""
    target = where.site / f"venv.{moments.stamp()}"
    if not where.venv.is_symlink():
        where.venv.chmod(0o700)
    where.venv.rename(target)
    return target
