"""What visitors of a site made by hand get as files: what of it stays public, and which URLs change.

The recipe has Apache serve every file that exists. That was meant for styles and images, and gave away the rest.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import permissions, settings, templates
from .errors import SettingError

# What a page needs, and what somebody links to. Nothing in which data or secrets lie: no .txt, .csv, .json, .zip.
STAYS = frozenset(
    (
        *("css", "map", "js", "mjs"),
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "bmp", "tif", "tiff"),
        *("woff", "woff2", "ttf", "otf", "eot"),
        *("html", "htm", "pdf", "ps", "epub", "doc", "docx", "odt", "ppt", "pptx", "odp"),
        *("mp3", "ogg", "wav", "m4a", "mp4", "webm", "mov"),
    )
)
# What is no visitor's: code, configuration, databases, logs, copies that an editor made. Not worth a line for each.
_PRIVATE = re.compile(
    r".*\.(py[cowi]?|fcgi|db|sqlite3?|sql|log|cfg|ini|toml|ya?ml|conf|env|sh|pem|key|crt|bak|orig|old|sw[op]|in|lock)(-journal|-wal|-shm)?"
    r"|.*~|run\.fcgi.*|#.*|(.*[-_])?(requirements|constraints).*\.txt|[^.]*",
    re.I,
)
_PROGRAM = re.compile(r".*\.(php[3457]?|phtml|cgi|pl)", re.I)
# Never looked into: templates are not pages, and the rest is what `code` does not count as code either.
_SKIPPED = frozenset(("templates", "__pycache__", "instance"))
# From as many files of one kind in a directory a pattern is shorter than their names.
_MANY = 3
# A site has at most so many names to look at; what lies beyond keeps its own pattern only by luck.
_LIMIT = 20_000
_TEMPLATE = b"{%"


@dataclass(frozen=True)
class Found:
    """``public``: further entries for ocf_flask_public. ``changed``: a sentence for each URL that is no file's any more, and ``lost`` these files."""

    public: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


# What becomes of a file that visitors could get: it stays one, or not; a program was run; of the rest nobody is told.
STAY, LOST, PROGRAM, PRIVATE = "stay", "lost", "program", "private"


@dataclass(frozen=True)
class File:
    """A file, or a directory as a whole; ``name`` is relative to the site's directory."""

    name: str
    fate: str

    @property
    def stays(self) -> bool:
        return self.fate == STAY


def look(site: Path, public: Sequence[str], *, keep: bool = True) -> Found:
    """What a site's directory has. ``public``: names that are public without this; without ``keep``, nothing else stays."""
    found = list(_reached(site, re.compile(templates.public_expression(tuple(public)))))
    return decide(found if keep else [File(one.name, LOST if one.stays else one.fate) for one in found])


def decide(found: Sequence[File]) -> Found:
    """Patterns for what stays, sentences for what does not."""
    usable = [one for one in _patterns(found) if _is_usable(one)]
    expression = re.compile(templates.public_expression(tuple(usable))) if usable else None
    kept = {one.name for one in found if one.stays and expression and expression.fullmatch(one.name)}
    lost = [one for one in found if one.fate != PRIVATE and one.name not in kept]
    return Found(tuple(usable), tuple(map(_sentence, lost)), tuple(one.name for one in lost))


def _sentence(one: File) -> str:
    if one.fate == PROGRAM:
        return f"/{one.name} was run by the web server itself; now the app answers that URL"
    return f"/{one.name} was a file; now the app answers that URL. To keep it, add it to ocf_flask_public"


def _patterns(found: Iterable[File]) -> list[str]:
    """As few as make sense: a directory in which everything stays, all files of a kind, single files."""
    by_directory: dict[str, list[File]] = {}
    for one in found:
        by_directory.setdefault(one.name.rstrip("/").rpartition("/")[0], []).append(one)
    whole = {name for name in _with_parents(by_directory) if name and all(one.stays for one in _below(by_directory, name))}
    whole = {name for name in whole if name.rpartition("/")[0] not in whole}
    patterns = [f"{_plain(name)}/" for name in whole]
    for name, ones in by_directory.items():
        if not any(name == one or name.startswith(f"{one}/") for one in whole):
            patterns += _in_one(f"{name}/" if name else "", ones)
    return sorted(patterns)


def _with_parents(names: Iterable[str]) -> set[str]:
    return {"/".join(name.split("/")[: depth + 1]) for name in names for depth in range(name.count("/") + 1)}


def _below(by_directory: dict[str, list[File]], name: str) -> Iterator[File]:
    for other, ones in by_directory.items():
        if other == name or other.startswith(f"{name}/"):
            yield from ones


def _in_one(prefix: str, ones: Sequence[File]) -> Iterator[str]:
    kinds: dict[str, list[File]] = {}
    for one in ones:
        kinds.setdefault(one.name.rpartition(".")[2], []).append(one)
    for kind, same in kinds.items():
        if len(same) >= _MANY and all(one.stays for one in same):
            yield f"{_plain(prefix)}*.{kind}"
        else:
            yield from (_plain(one.name) for one in same if one.stays)


def _plain(name: str) -> str:
    """A name as ocf_flask_public takes it: what it has no letter for is any."""
    return re.sub(r"[^A-Za-z0-9_.,+@~/*-]+", "*", name)


def _is_usable(pattern: str) -> bool:
    try:
        return settings.read({"name": "x", "public": [pattern]}, {}).public == (pattern,)
    except SettingError:
        return False


def _reached(site: Path, public: re.Pattern[str]) -> Iterator[File]:
    """The files that the web server can read and that are not public anyway.

    What it cannot read, or what is private by its name, is there as well: a pattern must not publish it.
    """
    groups = permissions.groups_of_web_server()
    pending, count = [""], 0
    while pending:
        below = pending.pop()
        try:
            entries = sorted(os.scandir(site / below), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            name, count = below + entry.name, count + 1
            if entry.name.startswith(".") or name == "static" or public.fullmatch(name):
                continue
            if count > _LIMIT or not _is_open(entry, groups):
                yield File(name, PRIVATE)
            elif not entry.is_dir():
                yield _file(site / name, name)
            elif entry.is_symlink():
                yield File(f"{name}/", LOST)
            elif _is_shut(site / name):
                yield File(name, PRIVATE)
            else:
                pending.append(name + "/")


def _is_shut(path: Path) -> bool:
    """Templates, a virtualenv, a site of its own."""
    return path.name in _SKIPPED or any(os.path.lexists(path / one) for one in ("pyvenv.cfg", "bin/activate", "run.fcgi"))


def _is_open(entry: os.DirEntry[str], groups: frozenset[int]) -> bool:
    """Whether the web server could read a file, or pass through a directory."""
    try:
        found = entry.stat()
    except OSError:
        return False
    by_group = found.st_gid in groups
    if stat.S_ISDIR(found.st_mode):
        return bool(found.st_mode & (stat.S_IXGRP if by_group else stat.S_IXOTH))
    return bool(found.st_mode & (stat.S_IRGRP if by_group else stat.S_IROTH))


def _file(path: Path, name: str) -> File:
    if _PROGRAM.fullmatch(path.name):
        return File(name, PROGRAM)
    if _PRIVATE.fullmatch(path.name):
        return File(name, PRIVATE)
    kind = path.suffix[1:].lower()
    return File(name, STAY if kind in STAYS and not (kind in ("html", "htm") and _is_template(path)) else LOST)


def _is_template(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return _TEMPLATE in file.read(100_000)
    except OSError:
        return False
