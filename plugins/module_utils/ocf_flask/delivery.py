"""What the controller sends of its directories: contents of files, each under its digest."""

from __future__ import annotations

import errno
import os
import zipfile


class Delivery:
    """Contents that the controller has brought, each under its digest: names in it lead nowhere.

    Opened by the parent, and read by workers that have become other accounts, each with an offset of its own.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def contents(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(_Shared(self._descriptor))


class _Shared:
    """A file to read, with an offset that no other process moves."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at = descriptor, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._descriptor).st_size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = start + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = os.fstat(self._descriptor).st_size - self._at
        data = os.pread(self._descriptor, left if size < 0 else size, self._at)
        self._at += len(data)
        return data
