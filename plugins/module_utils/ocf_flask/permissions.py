"""Who may read what in a site's directory: permissions that keep a site's secrets even without its ``.htaccess``.

On a shared machine the web server is just another account, and so is everybody else's. What it has to read can
be read by others too; everything else is for the owner alone. Three kinds of access are left to the web server:

* it reads the **public** files (``static/``, ``ocf_flask_public``), each ``.htaccess``, and the password files that
  these name. Where such a file is closed, as a copied one often is, it is opened;
* it passes through directories. A directory that it cannot enter is answered with 403, before any line of
  ``.htaccess`` is looked at (``ap_directory_walk`` in Apache's server/request.c), so that an app with a package
  ``shop`` would have no URL ``/shop/...``, and a visitor could tell which names exist. Directories therefore keep
  ``x``, and lose ``r``, with which their names could be listed. One outside of public names that its owner has
  closed wholly stays closed;
* nothing else, and nobody else: the owner's group loses its access too. On servers where all users are in one group
  and the web server is not, the site's directory is shut to the others altogether. What the web server could read
  they could still: by a link in a web space of their own.

What the app makes while it runs needs no deploy to be closed: the runtime's umask gives its files and directories
just these permissions. An upload below ``static/`` is then delivered by the app, until the next deploy opens it to Apache.

Nothing is done through a symbolic link, nor outside the site's directory. A file with several names (hard links) may
have one that is meant to be private: it is closed like any other, but never opened, and left alone when another of
its names in the site is public. A file of another account's is only named.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from . import code, files, htaccess, templates
from .places import Places
from .settings import Settings
from .words import some

# Debian's Apache; as this account, and with its groups, the web server reads files.
WEB_SERVER = "www-data"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# Through directories; who may enter the site's own decides.
_PASSAGE = stat.S_IXGRP | stat.S_IXOTH
_HTACCESS = ".htaccess"
# mod_authn_dbm adds one of these to the name that AuthDBMUserFile gives (apr_dbm_open(3)).
_DBM_SUFFIXES = ("", ".pag", ".dir", ".db")


class Entry(NamedTuple):
    """A file, directory or link. ``name`` is relative to the site's directory, which is ``.`` itself."""

    name: str
    mode: int
    uid: int
    gid: int
    inode: tuple[int, int]
    links: int

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def permissions(self) -> int:
        return stat.S_IMODE(self.mode)


@dataclass(frozen=True)
class Rules:
    """What a decision rests on.

    ``public``: matches the names that Apache delivers. ``needed``: other files that it reads. ``owner``: the
    user ID whose files these are. ``groups``: the IDs of the web server's groups.
    """

    public: re.Pattern[str]
    needed: frozenset[str]
    owner: int
    groups: frozenset[int]

    def delivers(self, name: str) -> bool:
        return bool(self.public.fullmatch(name)) and not templates.PROGRAM.search(name)

    def holds_public(self, directory: str) -> bool:
        """Whether a directory is one for public files, though it may have none yet."""
        return bool(self.public.fullmatch(f"{directory}/x"))


@dataclass(frozen=True)
class Difference:
    """Permissions that are not as they should be."""

    name: str
    inode: tuple[int, int]
    mode: int
    wanted: int

    @property
    def opens(self) -> bool:
        return bool(self.wanted & ~self.mode)

    @property
    def closes(self) -> bool:
        return bool(self.mode & ~self.wanted)


@dataclass(frozen=True)
class Found:
    """``differences``: what a deploy changes. ``foreign``: what it would change if it were the owner's.
    ``several``: public files that the web server cannot read, and that have other names. ``astray``: links
    below public names to what is not public itself, each with the name that it leads to."""

    differences: tuple[Difference, ...] = ()
    foreign: tuple[str, ...] = ()
    several: tuple[str, ...] = ()
    astray: tuple[tuple[str, str], ...] = ()


def look(settings: Settings, places: Places) -> Found:
    """Compare the permissions in a site's directory with what they should be. Changes nothing."""
    elsewhere = settings.is_managed or bool(settings.code_directory)
    package_static = "" if elsewhere else code.package_static(places.site, settings.module)
    return compare(places.site, ("static/", *settings.public, *([f"{package_static}/"] if package_static else [])))


def compare(site: Path, public: Sequence[str]) -> Found:
    """As `look`, for a directory and the names in it that Apache delivers, as `templates.public_expression` takes them."""
    if not site.is_dir():
        return Found()
    entries = list(_walk(str(site)))
    rules = _rules(site, public, entries)
    return replace(decide(entries, rules), astray=tuple(_astray(site, entries, rules)))


def decide(entries: Iterable[Entry], rules: Rules) -> Found:
    """What should change: a pure function of what is there."""
    everything = sorted(entries, key=lambda entry: entry.name)
    served = [entry for entry in everything if entry.is_file and (entry.name in rules.needed or rules.delivers(entry.name))]
    names = {entry.name for entry in served}
    shared = {entry.inode for entry in served if entry.links > 1}
    on_the_way = _with_parents(
        [*names, *(entry.name + "/" for entry in everything if entry.is_directory and rules.holds_public(entry.name))]
    )
    differences, foreign, several = [], [], []
    for entry in everything:
        if entry.name in names:
            wanted = _served(entry, rules)
            if wanted & ~entry.permissions and entry.links > 1:
                several.append(entry.name)
                wanted &= entry.permissions
        elif entry.name == ".":
            wanted = (entry.permissions & ~_OTHERS) | (_PASSAGE if entry.gid in rules.groups else stat.S_IXOTH)
        elif entry.is_directory:
            wanted = (entry.permissions & ~_OTHERS) | (_PASSAGE if entry.name in on_the_way else entry.permissions & _PASSAGE)
        elif entry.is_file and entry.inode not in shared:
            wanted = entry.permissions & ~_OTHERS
        else:
            continue
        if wanted == entry.permissions:
            continue
        if entry.uid == rules.owner:
            differences.append(Difference(entry.name, entry.inode, entry.permissions, wanted))
        else:
            foreign.append(entry.name)
    return Found(tuple(differences), tuple(foreign), tuple(several))


def make(site: Path, difference: Difference) -> None:
    """Change the permissions of just the file that was looked at."""
    _change(site, difference, difference.wanted)


def undo(site: Path, difference: Difference) -> None:
    """Give back the permissions that it had."""
    with contextlib.suppress(OSError):
        _change(site, difference, difference.mode)


def sentences(differences: Iterable[Difference]) -> list[str]:
    """In words, for a report: what is closed and what is opened, each with a few names."""
    return _in_words(differences, "closed to others", "opened to the web server")


def warnings(differences: Iterable[Difference]) -> list[str]:
    """In words, for a look at a site that changes nothing."""
    return [
        f"Until the next deploy: {what}" for what in _in_words(differences, "can be read by others", "cannot be read by the web server")
    ]


def counted(names: Sequence[str], what: str) -> str:
    """How many files something is said of, and the first few of them."""
    shown = some(["the site's directory" if name == "." else name for name in names])
    return f"{len(names)} file{'s' if len(names) != 1 else ''} {what} ({shown})"


def _in_words(differences: Iterable[Difference], closes: str, opens: str) -> list[str]:
    found = tuple(differences)
    closed, opened = [one.name for one in found if one.closes], [one.name for one in found if one.opens]
    return [counted(names, what) for names, what in ((closed, closes), (opened, opens)) if names]


def _served(entry: Entry, rules: Rules) -> int:
    """A file that the web server reads: nobody else writes to it."""
    needed = stat.S_IRGRP if entry.gid in rules.groups else stat.S_IROTH
    given = 0 if entry.permissions & needed else stat.S_IRGRP | stat.S_IROTH
    return (entry.permissions | given) & ~_OTHERS_WRITE


def _with_parents(names: Iterable[str]) -> set[str]:
    """The directories above the names; a directory itself is named with a slash at its end."""
    found: set[str] = set()
    for name in names:
        parent = name.rpartition("/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return found


def _walk(site: str) -> Iterator[Entry]:
    """The site's directory and all that is below it.

    What lies in a directory that its owner cannot read is left out, and in one that is a site of its own.
    """
    yield _entry(".", os.lstat(site))
    pending = [""]
    while pending:
        below = pending.pop()
        # What the app or its owner deletes meanwhile is nobody's to close.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(f"{site}/{below}") as entries:
            for found in entries:
                with contextlib.suppress(FileNotFoundError):
                    name = below + found.name
                    is_directory = found.is_dir(follow_symlinks=False)
                    if is_directory and os.path.lexists(f"{site}/{name}/run.fcgi"):
                        continue
                    yield _entry(name, found.stat(follow_symlinks=False))
                    if is_directory:
                        pending.append(name + "/")


def _entry(name: str, status: os.stat_result) -> Entry:
    return Entry(name, status.st_mode, status.st_uid, status.st_gid, (status.st_dev, status.st_ino), status.st_nlink)


def _rules(site: Path, public: Sequence[str], entries: Iterable[Entry]) -> Rules:
    needed = {entry.name for entry in entries if entry.is_file and entry.name.rpartition("/")[2] == _HTACCESS}
    for path in [*(site / name for name in needed), *(parent / _HTACCESS for parent in site.parents)]:
        with contextlib.suppress(OSError):
            needed |= _named(files.read(path) or b"", site)
    expression = re.compile(templates.public_expression(tuple(public)))
    return Rules(expression, frozenset(needed), os.getuid(), groups_of_web_server())


def _named(content: bytes, site: Path) -> set[str]:
    """The names in the site of the files that an ``.htaccess`` has the web server read."""
    found = set()
    for path in htaccess.files_read(content):
        real = os.path.realpath(path)
        if real.startswith(f"{site}/"):
            found |= {real[len(f"{site}/") :] + suffix for suffix in _DBM_SUFFIXES}
    return found


def groups_of_web_server() -> frozenset[int]:
    try:
        account = pwd.getpwnam(WEB_SERVER)
    except KeyError:
        return frozenset()
    return frozenset(os.getgrouplist(WEB_SERVER, account.pw_gid))


def _change(site: Path, difference: Difference, mode: int) -> None:
    """A file that has gone, or has been replaced since it was looked at, is left alone.

    A descriptor from O_PATH neither follows a link nor waits for a pipe, and needs no permission to read;
    chmod(2) takes it by its name in /proc (open(2), "O_PATH").
    """
    path = site / difference.name
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        status = os.fstat(descriptor)
        # A link that has come instead may even have the same inode number.
        if (status.st_dev, status.st_ino) == difference.inode and not stat.S_ISLNK(status.st_mode):
            os.chmod(f"/proc/self/fd/{descriptor}", mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def _astray(site: Path, entries: Iterable[Entry], rules: Rules) -> Iterator[tuple[str, str]]:
    for entry in entries:
        if stat.S_ISLNK(entry.mode) and (rules.delivers(entry.name) or rules.holds_public(entry.name)):
            target = os.path.realpath(site / entry.name)
            name = os.path.relpath(target, site)
            inside = target.startswith(f"{site}/") and os.path.exists(target)
            if inside and not (rules.holds_public(name) if os.path.isdir(target) else rules.delivers(name)):
                yield entry.name, name
