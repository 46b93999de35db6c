"""Code that is edited in place, once more, while an earlier release's is put there: the way back for an error, or a kill.

All files by hard links beside themselves, so that going back needs no space.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from . import files, moments, tree

# Then the ID of the release that is live meanwhile. Web servers and deploys leave alone what begins with a dot.
_PREFIX = ".ocf-flask-before."
# One to which there is nothing to go back, because nothing was changed yet, or all is back.
_HALF = ".half"
_WANTED = ".wanted"
# A place in the directory for a file that is then renamed to where it belongs.
NEW = ".new"
# Of what is kept, as long as it is not decided that it has to be: then the same ID, and the name that it will have.
_BEGUN = ".before."


def take(code: Path, names: Iterable[str], wanted: Mapping[str, str], live: str) -> Path:
    """Link the named files into a new directory, which is returned.

    :param wanted: all files that will be there, each with its digest.
    :param live: the release as long as which is live `sweep` goes back.
    """
    whole = code / f"{_PREFIX}{live}"
    directory = whole.with_name(f"{whole.name}{_HALF}")
    directory.mkdir(mode=0o700)
    try:
        files.write_new(directory / _WANTED, json.dumps(dict(wanted)).encode(), 0o600)
        for name in names:
            (directory / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(code / name, directory / name, follow_symlinks=False)
    except BaseException:
        shutil.rmtree(directory)
        raise
    os.rename(directory, whole)
    return whole


def put_back(directory: Path) -> list[Path]:
    """Have the code as it was, and take the directory away. What somebody has written meanwhile stays as it is.

    :returns: the files that have another name for that, beside their own.
    """
    code, beside = directory.parent, []
    wanted: dict[str, str] = json.loads(files.read(directory / _WANTED) or b"{}")
    taken = [
        path.relative_to(directory)
        for path in (Path(folder, name) for folder, _, names in os.walk(directory) for name in names)
        if path not in (directory / _WANTED, directory / NEW)
    ]
    for name in set(wanted) - {str(one) for one in taken}:
        if _mark(code / name) == wanted[name]:
            (code / name).unlink()
    for one in taken:
        path, before = code / one, directory / one
        if os.path.lexists(path) and _mark(path) not in (wanted.get(str(one)), _mark(before)):
            path = path.with_name(files.unused(path.parent, f"{path.name}.{moments.stamp()}"))
            beside.append(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.rename(before, path)
    gone = directory.with_name(f"{directory.name}{_HALF}")
    os.rename(directory, gone)
    shutil.rmtree(gone)
    return beside


def _mark(path: Path) -> str:
    """What tells a file from others, whether it is executable or not."""
    return tree.mark(path).removesuffix(tree.EXECUTABLE)


def begin(kept: Path, live: str) -> tuple[Path, Path]:
    """Make a directory for files that are newer: it, and the one that it becomes with `discard`."""
    final = kept / files.unused(kept, moments.stamp())
    begun = kept / f"{_BEGUN}{live}.{final.name}"
    begun.mkdir(mode=0o700, parents=True)
    return begun, final


def keep(source: Path, begun: Path, name: str) -> None:
    """Copy a file there, whole or not at all."""
    (begun / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    tree.copy_file(source, begun / NEW, 0o600)
    os.rename(begun / NEW, begun / name)


def discard(code: Path, kept: Path) -> None:
    """There is no going back any more."""
    for directory in code.glob(f"{_PREFIX}*"):
        shutil.rmtree(directory)
    for begun in kept.glob(f"{_BEGUN}*"):
        (begun / NEW).unlink(missing_ok=True)
        os.rename(begun, kept / begun.name.rpartition(".")[2])


def sweep(code: Path, kept: Path, live: str) -> list[Path]:
    """What a rollback that was killed has left: undone, unless it had come to the switch.

    :returns: as `put_back`.
    """
    beside = []
    for directory in code.glob(f"{_PREFIX}*"):
        if directory.name == f"{_PREFIX}{live}":
            beside += put_back(directory)
    for begun in kept.glob(f"{_BEGUN}{live}.*"):
        shutil.rmtree(begun)
        files.remove_if_empty(kept)
    discard(code, kept)
    return beside
