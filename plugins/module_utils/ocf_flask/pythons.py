"""The Pythons of this machine, and which of them a site gets."""

from __future__ import annotations

import operator
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import process, pyproject
from .errors import SettingError, SiteError
from .settings import PYTHON_RANGE

_OLDEST = (3, 9)
# As a range, in which the machine's own comes first.
_ANY = ">=3"
_COMPARED = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "!=": operator.ne}
# Told of a file that is not there.
_GONE = "gone"
_DIRECTORIES = ("/usr/bin", "/usr/local/bin")
_ASK = "import os, sys; print('%d.%d.%d' % sys.version_info[:3], os.path.realpath(getattr(sys, '_base_executable', '') or sys.executable))"


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs here: its real path, its version as ``3.11.2``, and what tells its file from a later one."""

    path: str
    version: str
    file: str = field(default="", compare=False)


def find(wanted: str, *, env: Mapping[str, str], known: Interpreter | None = None, required: str = "", by: Path = Path()) -> Interpreter:
    """The interpreter of a setting: a version, a path, or empty for the machine's ``python3``.

    Of a range such as ``>=3.10,<3.13`` the machine's ``python3`` if it fits, else the newest that does.

    :param required: what the project asks for (``requires-python``), in the file ``by``; empty when it does not.
    :param known: one that ran before. Where the candidate is the very same file, it is not started again.
    :raises SettingError: when there is none that runs, with those that this machine has.
    """
    for candidate in _candidates(wanted or (_ANY if required else ""), env):
        found = known if known and _is_same(candidate, known) else _ask(candidate, env)
        if found is None or not _is_version(found.version, wanted) or not pyproject.allows(required, found.version):
            continue
        if tuple(map(int, found.version.split(".")[:2])) < _OLDEST:
            what = f"{_asked(wanted, required, by)}, Python {found.version}"
            raise SettingError(f"{what}: sites need Python {'.'.join(map(str, _OLDEST))} or newer. {_known(required, env)}")
        return found
    what = f"{_asked(wanted, required, by)}, and no such Python runs" if wanted or required else "No python3 runs"
    raise SettingError(f"{what} on this machine. {_known(required, env)}")


def _asked(wanted: str, required: str, by: Path) -> str:
    asked = [f"{by} asks for Python {required} (requires-python)"] if required else []
    return " and ".join([*asked, *([f"ocf_flask_python is {wanted!r}"] if wanted else [])])


def _candidates(wanted: str, env: Mapping[str, str]) -> list[str]:
    if wanted.startswith("/"):
        return [wanted]
    directories = _directories(env)
    if _is_range(wanted):
        return [f"{directory}/python3" for directory in directories] + _versioned(directories)
    name = f"python{'.'.join(wanted.replace('python', '').split('.')[:2]) or '3'}"
    return [path for directory in directories if os.access(path := f"{directory}/{name}", os.X_OK)]


def _directories(env: Mapping[str, str]) -> list[str]:
    return [directory for directory in dict.fromkeys([*_DIRECTORIES, *env.get("PATH", "").split(":")]) if directory]


def _versioned(directories: Sequence[str]) -> list[str]:
    """The Pythons of those directories that have a version in their name, the newest first."""
    found = [(int(match[1]), path) for path in _listed(directories) if (match := re.search(r"/python3\.(\d+)$", path))]
    return [one[1] for one in sorted(found, key=lambda one: -one[0])]


def _listed(directories: Sequence[str]) -> list[str]:
    return [f"{directory}/{name}" for directory in directories if os.path.isdir(directory) for name in sorted(os.listdir(directory))]


def _is_range(wanted: str) -> bool:
    return wanted.lstrip()[:1] in ("<", ">", "!")


def _fits(version: str, wanted: str) -> bool:
    """Whether a version is in a range, compared as far as the range's own numbers go (``<=3.12`` has 3.12.4 in it)."""
    for match in map(PYTHON_RANGE.fullmatch, wanted.split(",")):
        assert match, "checked when the settings were read"
        limit = [int(one) for one in match[2].split(".")]
        have = [int(one) for one in version.split(".")][: len(limit)]
        if not _COMPARED[match[1]](have, limit):
            return False
    return True


def _ask(path: str, env: Mapping[str, str]) -> Interpreter | None:
    if os.path.realpath(path) == os.path.realpath(sys.executable) and sys.prefix == sys.base_prefix and os.access(path, os.X_OK):
        # It runs at this moment, and says this of itself.
        return Interpreter(os.path.realpath(path), ".".join(map(str, sys.version_info[:3])), _file(path))
    try:
        # -S: site-packages take twice as long as the rest of its start.
        asked = [path, "-I", "-S", "-c", _ASK]
        completed = process.run(asked, env=env, cwd=Path("/"), seconds=20, step=f"Asking {path} for its version")
    except SiteError:
        return None
    said = re.fullmatch(r"(3\.\d+\.\d+) (/.+)\n", completed.output)
    return Interpreter(said[2], said[1], _file(said[2])) if said else None


def _is_same(candidate: str, known: Interpreter) -> bool:
    return os.path.realpath(candidate) == known.path and known.file != _GONE and _file(known.path) == known.file


def _file(path: str) -> str:
    """What changes with a file's content, as far as that shows without reading it."""
    try:
        found = os.stat(path)
    except OSError:
        return _GONE
    return f"{found.st_size} {found.st_mtime_ns}"


def _is_version(version: str, wanted: str) -> bool:
    if _is_range(wanted):
        return _fits(version, wanted)
    number = wanted.replace("python", "")
    return wanted.startswith("/") or f"{version}.".startswith(f"{number}." if number else "3.")


def _known(required: str, env: Mapping[str, str]) -> str:
    """The Pythons that run, each once, and what to type; a stand-in for one that is not installed (pyenv's) does not run."""
    directories = _directories(env)
    candidates = [*(f"{directory}/python3" for directory in directories), *_versioned(directories)]
    asked = [_ask(path, env) for path in {os.path.realpath(path): path for path in candidates if os.access(path, os.X_OK)}.values()]
    running = {one.path: one for one in asked if one}.values()
    if not running:
        return "This machine has none. As root, type: apt install python3 python3-venv."
    there = sorted(running, key=lambda one: [int(number) for number in one.version.split(".")])
    fitting = [one.path for one in there if pyproject.allows(required, one.version)]
    todo = (
        f"Type for example: -e ocf_flask_python={fitting[-1]}" if fitting else "If the app runs with one of these, change requires-python"
    )
    return f"This machine has {', '.join(f'{one.version} ({one.path})' for one in there)}. {todo}"
