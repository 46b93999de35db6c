"""Code that is edited in place, once more, while an earlier release's is put there: the way back for an error, or a kill.

All files by hard links beside themselves, so that going back needs no space.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from . import files

# Then the ID of the release that is live meanwhile. Web servers and deploys leave alone what begins with a dot.
_PREFIX = ".ocf-flask-before."
_ADDED = ".added"
# A place in the directory for a file that is then renamed to where it belongs.
NEW = ".new"


def take(code: Path, names: Iterable[str], added: Iterable[str], live: str) -> Path:
    """Link the named files into a new directory, which is returned.

    :param added: files that are not there, and will be.
    """
    directory = code / f"{_PREFIX}{live}"
    directory.mkdir(mode=0o700)
    files.write_new(directory / _ADDED, json.dumps(list(added)).encode(), 0o600)
    for name in names:
        (directory / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(code / name, directory / name, follow_symlinks=False)
    return directory


def put_back(directory: Path) -> None:
    """Have the code as it was, and take the directory away."""
    for name in json.loads(files.read(directory / _ADDED) or b"[]"):
        (directory.parent / name).unlink(missing_ok=True)
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if path not in (directory / _ADDED, directory / NEW):
                os.rename(path, directory.parent / path.relative_to(directory))
    shutil.rmtree(directory)


def sweep(code: Path, live: str) -> None:
    """What a rollback that was killed has left: undone, unless it had come to the switch."""
    for directory in code.glob(f"{_PREFIX}*"):
        if directory.name == f"{_PREFIX}{live}":
            put_back(directory)
        else:
            shutil.rmtree(directory)
