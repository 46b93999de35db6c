"""Requirements files with all that they include, read as pip reads them.

A ``-r`` or ``-c`` line is relative to the file that it stands in (pip.pypa.io/en/stable/reference/requirements-file-format/).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import virtualenv
from .errors import SettingError
from .files import content

_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(\S.*)")
_COMMENT = re.compile(r"(^|\s)#.*$")


def reached(files: Sequence[Path]) -> tuple[Path, ...]:
    """The files and those that they include, each once.

    :raises SettingError: for a file that is missing, cannot be read, or includes itself; none of its lines is shown.
    """
    found: dict[Path, None] = {}
    for file in files:
        _follow(file, (), found)
    return tuple(found)


def lines(file: Path) -> Iterator[str]:
    """A file's lines without comments, continued ones joined."""
    # A comment goes on in no other line, whatever it ends with.
    text = re.sub(r"^[ \t]*#.*$", "", content(file).decode("utf-8", "replace"), flags=re.MULTILINE)
    joined = re.sub(r"\\\r?\n", " ", text)
    return (line for one in joined.splitlines() if (line := _COMMENT.sub("", one).strip()))


def named(file: Path, seen: frozenset[Path] = frozenset()) -> set[str]:
    """The normalized names of what a file asks for, and those that it includes. A constraint (``-c``) asks for nothing."""
    if file in seen or not file.is_file():
        return set()
    found = set()
    for line in lines(file):
        match = _INCLUDE.fullmatch(line)
        if match is None:
            found.add(virtualenv.requirement_name(line))
        elif match[1] in ("-r", "--requirement"):
            found |= named(Path(os.path.normpath(file.parent / match[2].strip("\"'"))), seen | {file})
    return found - {""}


def directories(files: Sequence[Path], packages: Sequence[str], code: Path) -> list[str]:
    """The directories that are asked for as packages, such as ``.`` and ``-e ./lib``."""
    asked = [*packages, *(line for file in files for line in lines(file))]
    return [path for path in map(_path, asked) if path and virtualenv.requirement_name(path) == "" and os.path.isdir(code / path)]


def _path(requirement: str) -> str:
    """The path in ``-e ./lib[extra]; python_version > "3"``."""
    path = re.sub(r"^(-e|--editable)[\s=]*", "", requirement.partition(";")[0].strip())
    return path.rpartition("[")[0].strip() if path.endswith("]") else path


def _follow(file: Path, parents: tuple[Path, ...], found: dict[Path, None]) -> None:
    if file in parents:
        chain = " -> ".join(str(one) for one in (*parents[parents.index(file) :], file))
        raise SettingError(f"Requirements files include each other: {chain}. Take one of the lines out.")
    if file in found:
        return
    found[file] = None
    try:
        included = [match[2].strip("\"'") for line in lines(file) if (match := _INCLUDE.fullmatch(line))]
    except OSError as error:
        by = f", which {parents[-1]} includes," if parents else ""
        raise SettingError(f"The requirements file {file}{by} cannot be read: {error.strerror}. Correct the line, or its path.") from None
    for name in included:
        # What pip would download is pip's to read.
        if "://" not in name:
            _follow(Path(os.path.normpath(file.parent / name)), (*parents, file), found)


def have_hashes(files: Sequence[Path]) -> bool:
    """Whether one of the files has a hash: pip then demands one of every package that it installs together with them."""
    return any(re.search(r"(^|\s)--(hash[\s=]|require-hashes)", line) for file in files for line in lines(file))
