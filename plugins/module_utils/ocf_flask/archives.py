"""Sites that were removed: where each is kept in its owner's home, and what is known of it.

``~/ocf-flask-removed/NAME-DATE/`` has ``site`` and ``private``, the two directories, and ``record.json``.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from . import files, moments, release
from .errors import SiteError
from .places import Account, Places

_DIRECTORY = "ocf-flask-removed"
_RECORD, _LOCK = "record.json", "lock"
_FULL = (errno.ENOSPC, errno.EDQUOT)
# What has been copied elsewhere and is being deleted: no half of it is ever taken for a site.
_GONE = ".ocf-flask-gone-"
# What is not whole yet: no web server gives it to anybody, and nobody has something of his by that name.
_PARTIAL = ".ocf-flask-partial-"


@dataclass(frozen=True)
class Record:
    """``site`` and ``private``: where the two directories lay; ``mode``: the first one's permission bits.

    ``left``: where it lies if there was no space for it in the archive. ``removed``: when, as `moments.now` has it.
    """

    name: str
    site: str
    private: str
    release: str
    removed: str
    mode: int = 0o711
    left: str = ""


@dataclass(frozen=True)
class Archive:
    """A directory below ``~/ocf-flask-removed``."""

    path: Path
    record: Record

    @property
    def site(self) -> Path:
        """Where the site's directory lies now."""
        left = Path(self.record.left) if self.record.left else None
        return left if left and os.path.lexists(left) else self.path / "site"

    @property
    def private(self) -> Path:
        return self.path / "private"

    @property
    def lock(self) -> Path:
        """For restorations: the site's own lock is moved with it."""
        return self.path / _LOCK

    @property
    def is_whole(self) -> bool:
        """Whether the private directory is there, which goes last: without it, a removal was interrupted, or a restoration."""
        return os.path.lexists(self.private)


def find(owner: Account, where: Places) -> list[Archive]:
    """What was removed from these places, the latest first. Its owner can edit the records: those without their form are none."""
    found = []
    for path in (owner.home / _DIRECTORY).glob("*"):
        with suppress(OSError, ValueError, TypeError, RecursionError):
            record = Record(**json.loads(files.read(path / _RECORD) or b""))
            texts = (record.name, record.site, record.private, record.release, record.removed, record.left)
            sound = all(isinstance(one, str) for one in texts) and isinstance(record.mode, int) and 0 <= record.mode <= 0o777
            if sound and not path.name.startswith(_PARTIAL) and (record.site, record.private) == (str(where.site), str(where.private)):
                found.append(Archive(path, record))
    return sorted(found, key=lambda one: (one.record.removed, one.path.name), reverse=True)


def planned(owner: Account, name: str) -> Path:
    """Where a site that is removed now will be kept."""
    directory = owner.home / _DIRECTORY
    return directory / files.unused(directory, f"{name}-{moments.stamp()}")


def begin(path: Path, record: Record) -> Archive:
    """Make the archive's directory, closed to everybody else, with its record."""
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    for left in path.parent.glob(f"{_PARTIAL}{record.name}-????-??-??-??????*"):
        release.remove(left)
    partial.mkdir(mode=0o700, parents=True)
    path.parent.chmod(0o700)
    try:
        write(Archive(partial, record))
        os.rename(partial, path)
    except OSError:
        forget(Archive(partial, record))
        raise
    return Archive(path, record)


def write(archive: Archive) -> None:
    """Write the record, in the space that it has."""
    text = json.dumps(asdict(archive.record), indent=1) + "\n"
    descriptor = os.open(archive.path / _RECORD, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def forget(archive: Archive) -> None:
    """Take away what is left of an archive once its site is back."""
    for path in (archive.path / "site", archive.private):
        sweep(path)
    for name in (_LOCK, _RECORD):
        (archive.path / name).unlink(missing_ok=True)
    files.remove_if_empty(archive.path)
    files.remove_if_empty(archive.path.parent)


def tidy(owner: Account) -> None:
    """Take away directories that were emptied by a restoration which was killed then."""
    for path in (owner.home / _DIRECTORY).glob("*"):
        files.remove_if_empty(path)
    files.remove_if_empty(owner.home / _DIRECTORY)


def move(source: Path, target: Path, held: str = "") -> list[str]:
    """Move a directory: by a rename, or by copying it to another file system, where it appears as a whole.

    :param held: the name of the lock file in it that this process holds. It is not copied: who opens it once more, and closes that, holds
        it no longer (fcntl(2)).
    :returns: what could not be copied because it holds no data: sockets and the like, relative to the directory.
    :raises OSError: when it cannot be moved; it is where it was then.
    """
    gone = source.with_name(f"{_GONE}{source.name}")
    for path in (source, target):
        sweep(path)
    if is_copied(source, target, held):
        _delete(source, gone)
        return []
    try:
        os.rename(source, target)
        return []
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    partial = target.with_name(f"{_PARTIAL}{target.name}")
    if os.path.lexists(partial):
        release.remove(partial)
    skipped: list[str] = []
    states: dict[str, tuple[int, int]] = {}

    def copy(old: str, new: str) -> None:
        status = os.stat(old)
        if stat.S_ISREG(status.st_mode):
            states[old] = (status.st_size, status.st_mtime_ns)
            shutil.copy2(old, new)
        else:
            skipped.append(os.path.relpath(old, source))

    try:
        # Until it is whole, for its owner alone.
        partial.mkdir(mode=0o700)
        shutil.copytree(
            source,
            partial,
            symlinks=True,
            copy_function=copy,
            dirs_exist_ok=True,
            ignore=lambda folder, _: [held] * (folder == str(source)),
        )
        os.sync()
        _compare(source, partial, [*skipped, held], states)
    except BaseException as error:
        if os.path.lexists(partial):
            release.remove(partial)
        raise _first(error) from None
    os.rename(partial, target)
    _delete(source, gone)
    return skipped


def is_copied(source: Path, target: Path, held: str = "") -> bool:
    """Whether a move to another file system was interrupted when all had been copied: until then the target has another name."""
    return os.path.lexists(source) and os.path.lexists(target) and _marks(source, held) == _marks(target, held)


def _marks(directory: Path, held: str) -> dict[str, tuple[int, ...] | str]:
    """What tells a tree from another, without reading it: sizes and times of files, and where links lead."""
    found: dict[str, tuple[int, ...] | str] = {}
    for folder, _, names in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found[str(path.relative_to(directory))] = (status.st_size, int(status.st_mtime))
            elif stat.S_ISLNK(status.st_mode):
                found[str(path.relative_to(directory))] = os.readlink(path)
    found.pop(held, None)
    return found


def _delete(source: Path, gone: Path) -> None:
    """Delete what is copied, under a name that nobody takes for a site."""
    os.rename(source, gone)
    with suppress(OSError):  # On NFS a file that a process on another host has open does not go.
        release.remove(gone)


def sweep(path: Path) -> None:
    """Delete the rest of what was moved away from there, to another file system."""
    gone = path.with_name(f"{_GONE}{path.name}")
    if os.path.lexists(gone):
        release.remove(gone)


def is_full(error: OSError) -> bool:
    """Whether a file system, or a quota, has no space."""
    return error.errno in _FULL


def _first(error: BaseException) -> BaseException:
    """shutil gathers errors as texts; a lack of space must be known as one."""
    if isinstance(error, shutil.Error):
        problems = error.args[0]
        text = str(problems[0][2] if problems and isinstance(problems[0], tuple) else problems)
        for number in _FULL:
            if os.strerror(number) in text:
                return OSError(number, os.strerror(number))
        return SiteError(f"The site cannot be copied: {text}")
    return error


def _compare(source: Path, copy: Path, skipped: list[str], states: Mapping[str, tuple[int, int]]) -> None:
    """Whether everything has arrived, before the first is deleted."""
    for folder, directories, names in os.walk(source):
        for name in (*directories, *names):
            path = Path(folder, name)
            relative = path.relative_to(source)
            old = path.lstat()
            if str(relative) in skipped:
                continue
            new = (copy / relative).lstat()
            regular, state = stat.S_ISREG(old.st_mode), (old.st_size, old.st_mtime_ns)
            if stat.S_IFMT(old.st_mode) != stat.S_IFMT(new.st_mode) or (
                regular and (old.st_size != new.st_size or state != states.get(str(path)))
            ):
                raise SiteError(f"{path} was changed while it was copied. Try again")
