"""Small things done to files, each the same way everywhere."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

# Of a file that is read as a whole, in bytes: a record, a list of requirements, .htaccess.
_LARGEST = 16 * 1024 * 1024


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
    """A file's content; None when there is no such file.

    :raises OSError: also for a pipe, on which a reader would wait for good, and for more than any file of a site's has.
    """
    try:
        with plain(path) as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return None
    if len(content) > _LARGEST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def plain(path: Path) -> BinaryIO:
    """A file, opened to be read.

    :raises OSError: also for a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check_plain(descriptor, path)
    except OSError:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def check_plain(descriptor: int, path: Path) -> None:
    """See that what was opened is no pipe, and no device.

    :raises OSError: when it is.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "This is no plain file", str(path))


def content(path: Path) -> bytes:
    """The same of a file that has to be there.

    :raises FileNotFoundError: when it is not.
    """
    found = read(path)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return found


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


def unused(directory: Path, base: str) -> str:
    """That name, or the first with a number added, which nothing in the directory has."""
    name, number = base, 1
    while os.path.lexists(directory / name):
        number += 1
        name = f"{base}-{number}"
    return name
