"""Small things done to files, each the same way everywhere."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path


def write_new(path: Path, content: bytes, mode: int) -> None:
    """A new file with this content, on the disk, or none; never in place of another.

    :raises FileExistsError: when there is one.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def read(path: Path) -> bytes | None:
    """A file's content; None when there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def remove_if_empty(directory: Path) -> None:
    """Take away a directory; one in which somebody has put something meanwhile stays."""
    with suppress(OSError):
        directory.rmdir()


def mode(path: Path) -> int | None:
    """Permission bits; None when there is nothing."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def inode(path: Path) -> tuple[int, int]:
    """What tells a file from any other: its device and number; zeros when there is nothing."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino


def digest(content: bytes | str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
