"""A tree of code that a deploy brings: written anew, and told by content.

Its names and links come from a repository that anybody may have written to, or from another machine. So every file
is written into a directory that is new and the owner's alone, real directories and files before any link, under
names that lead nowhere else; and of the links only those stay that end inside of the tree.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from . import files
from .errors import SiteError

# A file's mark is the SHA-256 of its content, with this when it is executable; a link's is this and where it leads.
EXECUTABLE = " x"
LINK = "-> "
_PIECE = 1 << 20


class Writer:
    """Fills a new directory with files and links."""

    def __init__(self, target: Path) -> None:
        target.mkdir(mode=0o700)
        self.target = target
        self.left_out: list[str] = []
        self._links: dict[str, str] = {}

    def file(self, name: str, pieces: Iterable[bytes], *, executable: bool = False) -> str:
        """Write a file, and return its digest; a name that cannot be used is left out.

        :raises SiteError: when there is such a file already.
        """
        content = hashlib.sha256()
        if not is_usable(name):
            self._leave_out(name)
            for _ in pieces:
                pass
            return ""
        path = self._parent(name) / os.path.basename(name)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o700 if executable else 0o600)
        except FileExistsError:
            raise _twice(name) from None
        with open(descriptor, "wb") as file:
            for piece in pieces:
                content.update(piece)
                file.write(piece)
        return content.hexdigest()

    def link(self, name: str, leads_to: str) -> None:
        """Make a link, once all files are written."""
        if is_usable(name) and leads_to and "\0" not in leads_to:
            self._links[name] = leads_to
        else:
            self._leave_out(name)

    def finish(self) -> None:
        """Make the links, and take away those that lead out of the tree, also by way of others."""
        for name, leads_to in self._links.items():
            try:
                os.symlink(leads_to, self._parent(name) / os.path.basename(name))
            except FileExistsError:
                raise _twice(name) from None
        remaining = dict(self._links)
        root = os.path.realpath(self.target)
        # Without one link another may lead elsewhere.
        while astray := [name for name in remaining if not _is_inside(root, name)]:
            for name in astray:
                del remaining[name]
                (self.target / name).unlink()
                self._leave_out(name)

    def _parent(self, name: str) -> Path:
        parent = self.target
        for part in name.split("/")[:-1]:
            parent = parent / part
            try:
                parent.mkdir(mode=0o700)
            except FileExistsError:
                if not stat.S_ISDIR(parent.lstat().st_mode):
                    raise _twice(name) from None
        return parent

    def _leave_out(self, name: str) -> None:
        self.left_out.append("".join(char if char.isprintable() else "?" for char in name))


def is_usable(name: str) -> bool:
    """Whether a path stays inside of the directory that it is relative to, names nothing of git's, and can be shown."""
    parts = name.split("/")
    return name.isprintable() and not any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)


def marks(directory: Path) -> dict[str, str]:
    """Everything in a tree, by path relative to it, each with its mark."""
    return dict(sorted((name, mark(directory / name)) for name in _walk(str(directory), "")))


def mark(path: Path) -> str:
    """What tells a file, or link, from any other; empty when there is none."""
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return LINK + os.readlink(path)
        if not stat.S_ISREG(status.st_mode):
            return ""
        return digest(path) + (EXECUTABLE if status.st_mode & stat.S_IXUSR else "")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ""


def digest(path: Path) -> str:
    """The SHA-256 of a file's content."""
    content = hashlib.sha256()
    for piece in pieces(path):
        content.update(piece)
    return content.hexdigest()


def content_of(mark: str) -> str:
    """The digest in a file's mark."""
    return mark.partition(" ")[0]


def pieces(path: Path) -> Iterator[bytes]:
    """A file's content, a part at a time.

    :raises OSError: also for a pipe or a device.
    """
    with files.plain(path) as file:
        while piece := file.read(_PIECE):
            yield piece


def copy_file(source: Path, target: Path, mode: int) -> None:
    """A file's content in a new file, on the disk; never in place of another.

    :raises FileExistsError: when there is one.
    """
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        for piece in pieces(source):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def is_below(name: str, directories: Iterable[str]) -> bool:
    """Whether a path is one of those named, or in one of them."""
    return any(name == one or name.startswith(f"{one}/") for one in directories)


def copy(directory: Path, names: Mapping[str, str], target: Path, without: Iterable[str] = ()) -> None:
    """The same tree once more, of the files that are named; what has gone since is left out."""
    writer, kept_out = Writer(target), tuple(without)
    for name, wanted in names.items():
        if is_below(name, kept_out) or not mark(directory / name):
            continue
        if wanted.startswith(LINK):
            writer.link(name, wanted[len(LINK) :])
        else:
            writer.file(name, pieces(directory / name), executable=wanted.endswith(EXECUTABLE))
    writer.finish()


def _walk(directory: str, below: str) -> Iterator[str]:
    with os.scandir(f"{directory}/{below}") as entries:
        for entry in entries:
            name = below + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(directory, name + "/")
            elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                yield name


def _is_inside(root: str, name: str) -> bool:
    real = os.path.realpath(f"{root}/{name}")
    return not os.path.isabs(os.readlink(f"{root}/{name}")) and (real == root or real.startswith(root + "/"))


def _twice(name: str) -> SiteError:
    return SiteError(f"The source has two files with the name {name!r}, or a file where it has a directory.")
