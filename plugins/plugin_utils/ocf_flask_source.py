"""The controller's side of code from a directory: which of its files are the project's, and what travels of them.

Loaded by its path, because an action plugin in a plain checkout can import nothing that lies beside it. Marks are
those of ``tree`` in the module's package: a file's digest, with `EXECUTABLE` when it is executable; where a link leads.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

EXECUTABLE, LINK = " x", "-> "
# What tools make, and anybody can have again.
SKIPPED = frozenset(
    (".git", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules", ".tox", ".nox", ".venv", ".DS_Store")
)
# Of variables for one machine; examples of them are none.
SECRETS = re.compile(r"\.env(\.(?!example$|sample$|template$|dist$).+)?")
# More than any project has: a whole home directory, more likely.
MOST_FILES, MOST_BYTES = 20_000, 1_000_000_000
_REPOSITORY = re.compile(r"(https?|ssh|git|file)://.*|[\w.-]+@[\w.-]+:.*")
_PIECE = 1 << 20


class SourceError(Exception):
    """A directory cannot be deployed, in words."""


def directories(variables: Mapping[str, Any], site: str, owner: str) -> list[str]:
    """The directories on this machine from which the chosen sites come."""
    default, listed = variables.get("ocf_flask_source"), variables.get("ocf_flask_sites")
    chosen = [default]
    if isinstance(listed, list) and listed:
        entries = [one for one in listed if isinstance(one, Mapping)]
        chosen = [
            one.get("source", default)
            for one in entries
            if site in ("", one.get("name")) and owner in ("", one.get("owner") or variables.get("ocf_flask_owner") or "")
        ]
    return sorted({_normal(one) for one in chosen if isinstance(one, str) and one.startswith(("/", "~/"))})


def listings(sources: list[str]) -> dict[str, dict[str, Any]]:
    """Of each directory its ``files`` with their marks, and ``notes``; or the ``error`` why not."""
    found: dict[str, dict[str, Any]] = {}
    for source in sources:
        try:
            files, notes = listing(source)
            found[source] = {"files": files, "notes": notes}
        except SourceError as error:
            found[source] = {"error": str(error)}
    return found


def listing(source: str) -> tuple[dict[str, str], list[str]]:
    """A project's files, each with its mark, and what is to be said of others.

    :raises SourceError: for a directory that cannot be read, or is none.
    """
    root = os.path.realpath(os.path.expanduser(source))
    if not os.path.isdir(root):
        where = f" ({root})" if root != source else ""
        raise SourceError(
            f"ocf_flask_source is {source!r}, and there is no such directory{where} on the machine that runs Ansible. Correct the path."
        )
    found: dict[str, str] = {}
    left = _LeftOut()
    size = 0
    for name in sorted(set(_names(root))):
        path = os.path.join(root, name)
        mark = _mark(root, name, left)
        if mark:
            found[name] = mark
            size += os.lstat(path).st_size
        if len(found) > MOST_FILES or size > MOST_BYTES:
            raise SourceError(
                f"ocf_flask_source is {source!r}, which has more than {MOST_FILES} files or {MOST_BYTES // 1_000_000} MB. "
                "Name the project's own directory, and what does not belong to it in a .gitignore there."
            )
    if not found:
        raise SourceError(f"ocf_flask_source is {source!r}, and there are no files in it that could be deployed.")
    return found, left.notes()


def pack(sources: Mapping[str, Mapping[str, Any]], digests: set[str], path: str) -> None:
    """Write an archive of the contents with these digests, each under its own.

    :raises SourceError: when one was changed since it was listed.
    """
    written: set[str] = set()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for source, about in sources.items():
            root = os.path.realpath(os.path.expanduser(source))
            for name, mark in about.get("files", {}).items():
                digest = mark.partition(" ")[0]
                if digest in digests and digest not in written and not mark.startswith(LINK):
                    _add(archive, os.path.join(root, name), digest, name)
                    written.add(digest)


class _LeftOut:
    """What does not travel, and why."""

    def __init__(self) -> None:
        self.links: list[str] = []
        self.secrets: list[str] = []
        self.names: list[str] = []

    def notes(self) -> list[str]:
        found = []
        if self.links:
            found.append(f"Left out, because they lead out of the directory: {_some(self.links)}")
        if self.secrets:
            found.append(
                f"Left out, because they are for one machine: {_some(self.secrets)}. Give the site its variables with ocf_flask_env"
            )
        if self.names:
            found.append(f"Left out, because their names cannot be printed: {_some(self.names)}")
        return found


def _normal(source: str) -> str:
    return os.path.normpath(source)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _mark(root: str, name: str, left: _LeftOut) -> str:
    """A file's mark; empty when it does not travel."""
    path = os.path.join(root, name)
    try:
        status = os.lstat(path)
    except OSError:  # git knows it, and it has been deleted.
        return ""
    if SECRETS.fullmatch(os.path.basename(name)):
        left.secrets.append(name)
    elif not name.isprintable():
        left.names.append("".join(char if char.isprintable() else "?" for char in name))
    elif stat.S_ISLNK(status.st_mode):
        return _link(root, name, left)
    elif stat.S_ISREG(status.st_mode):
        try:
            return _digest(path) + (EXECUTABLE if status.st_mode & stat.S_IXUSR else "")
        except OSError as error:
            raise SourceError(f"{path} cannot be read ({error.strerror}). Give yourself access to it, or name it in .gitignore.") from None
    return ""


def _link(root: str, name: str, left: _LeftOut) -> str:
    path = os.path.join(root, name)
    real = os.path.realpath(path)
    if real != root and not real.startswith(root + os.sep):
        left.links.append(name)
        return ""
    # An absolute one would lead nowhere on the other machine.
    to = os.readlink(path)
    return LINK + (os.path.relpath(real, os.path.realpath(os.path.dirname(path))) if os.path.isabs(to) else to)


def _digest(path: str) -> str:
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            content.update(piece)
    return content.hexdigest()


def _add(archive: zipfile.ZipFile, path: str, digest: str, name: str) -> None:
    content = hashlib.sha256()
    # A fixed date: the archive says nothing about this machine.
    with open(path, "rb") as file, archive.open(zipfile.ZipInfo(digest), "w", force_zip64=True) as member:
        while piece := file.read(_PIECE):
            content.update(piece)
            member.write(piece)
    if content.hexdigest() != digest:
        raise SourceError(f"{name} was changed while it was being deployed. Deploy again.")


def _names(root: str) -> Iterator[str]:
    """The project's files, as git sees them, if git has a say; without what tools make."""
    environments: dict[str, bool] = {}
    for name in _candidates(root):
        parts = name.split("/")
        if name.endswith((".pyc", ".pyo")) or not SKIPPED.isdisjoint(parts):
            continue
        parents = ["/".join(parts[:end]) for end in range(1, len(parts))]
        for parent in parents:
            if parent not in environments:
                environments[parent] = os.path.lexists(os.path.join(root, parent, "pyvenv.cfg"))
        if not any(environments[parent] for parent in parents):
            yield name


def _candidates(root: str) -> Iterator[str]:
    git = shutil.which("git")
    in_work_tree = git and _git(["rev-parse", "--is-inside-work-tree"], root) == b"true\n"
    if in_work_tree:
        names = _listed(root, [])
    elif any(name.rpartition("/")[2] == ".gitignore" for name in _walk(root, "")):
        if not git:
            raise SourceError(f"{root} has a .gitignore, and there is no git here that could say what it names. Install git.")
        with tempfile.TemporaryDirectory() as empty:
            _git(["init", "--quiet", "--bare", "--template=", empty], root)
            names = _listed(root, [f"--git-dir={empty}", f"--work-tree={root}", "-c", "core.bare=false"])
    else:
        names = list(_walk(root, ""))
    for name in names:
        # A repository inside of this one, a submodule for one, is its own to list.
        if name.endswith("/") or (os.path.isdir(os.path.join(root, name)) and not os.path.islink(os.path.join(root, name))):
            inner = name.rstrip("/")
            if os.path.isdir(os.path.join(root, inner)):
                yield from (f"{inner}/{below}" for below in _candidates(os.path.join(root, inner)))
        else:
            yield name


def _listed(root: str, options: list[str]) -> list[str]:
    said = _git([*options, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], root)
    if said is None:
        raise SourceError(f"git could not list the files of {root}. Try it there: git ls-files")
    return [os.fsdecode(name) for name in said.split(b"\0") if name]


def _git(arguments: list[str], directory: str) -> bytes | None:
    """What git prints; None when it fails. No program that the directory's configuration names is run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout if done.returncode == 0 else None


def _walk(root: str, below: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(os.path.join(root, below)), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read ({error.strerror}).") from None
    for entry in entries:
        name = below + entry.name
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in SKIPPED and not os.path.lexists(os.path.join(entry.path, "pyvenv.cfg")):
                yield from _walk(root, name + "/")
        else:
            yield name
