"""Directories for the time of a run, in ``/tmp`` and the like: what a run that was killed left there, a later one takes away."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "ocf-flask."
# One that is being made is not locked yet.
_SECONDS = 60


@contextmanager
def directory(place: str | None = None) -> Iterator[Path]:
    """A directory that is gone after the block.

    :param place: where it lies; without one where temporary files do.
    """
    place = place or tempfile.gettempdir()
    _sweep(Path(place))
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place) as made:
        descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Path(made)
        finally:
            os.close(descriptor)


def _sweep(place: Path) -> None:
    for path in place.glob(f"{_PREFIX}*"):
        try:
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and time.time() - status.st_mtime > _SECONDS:
                _remove_unless_held(path)
        except OSError:
            # Somebody else has taken it away, or holds it.
            continue


def _remove_unless_held(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
