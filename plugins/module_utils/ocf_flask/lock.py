"""One deploy of a site at a time, also between two hosts that mount the same home."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import files, moments
from .errors import SiteError


@contextmanager
def locked(path: Path, seconds: float, what: str = "deploy of this site") -> Iterator[None]:
    """Hold the lock file for as long as the block runs.

    A POSIX lock: NFS carries it to other hosts, no descendant inherits it, and it ends with its process.

    :param seconds: how long to wait for another holder.
    :param what: what it does, for the error that others get.
    :raises SiteError: naming who holds it, and since when; or when the file was taken away meanwhile.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+b", buffering=0) as file:
        files.check_plain(descriptor, path)
        deadline = time.monotonic() + seconds
        while not _try(file.fileno()):
            if time.monotonic() > deadline:
                raise SiteError(f"Another {_holder(file.fileno(), what)}. Waited {seconds:g} s for it; try again when it has ended")
            time.sleep(0.1)
        if files.inode(path) != (os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino):
            raise SiteError(f"{path} was taken away meanwhile: the site was removed, or restored. Try again")
        os.ftruncate(file.fileno(), 0)
        holder = {"what": what, "pid": os.getpid(), "host": socket.gethostname(), "since": moments.now()}
        os.pwrite(file.fileno(), json.dumps(holder).encode(), 0)
        yield


def _try(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows both EAGAIN and EACCES.
        return False
    return True


def _holder(descriptor: int, what: str) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        who = f"process {int(holder['pid'])} on {str(holder['host'])[:64]!r} since {str(holder['since'])[:32]}"
        return f"{str(holder['what'])[:64]} is running ({who})"
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return f"{what} is running (it does not say which)"
