"""What counts as an application's code when it is edited in place: told by content, never by time stamps."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from . import tree

# What every deploy may write anew.
_OURS = frozenset((".htaccess", "run.fcgi", "venv"))
# Never entered: what the application writes, what others manage, and what is not code.
_SKIPPED = frozenset(("__pycache__", "instance", "static", "node_modules"))
_REQUIREMENTS = re.compile(
    r"(.*[-_.])?(requirements|constraints)([-_.].*)?\.(txt|in)|requirements/.+\.(txt|in)|pyproject\.toml|uv\.lock|setup\.cfg"
)


def find(directory: Path, also: tuple[str, ...] = ()) -> dict[str, str]:
    """The files that count as code, each with the SHA-256 of its content, by path relative to the directory.

    These are ``*.py``, what lies below a ``templates`` directory, requirements files, ``pyproject.toml``,
    ``uv.lock``, and what the patterns of ``also`` name. Links to directories are not followed, and a file that cannot
    be read is left to the application to complain about.
    """
    return {name: tree.digest(Path(directory, name)) for name in paths(directory, also)}


def paths(directory: Path, also: tuple[str, ...] = ()) -> list[str]:
    """The paths of the files that `find` finds; none is read."""
    return sorted(_walk(directory, "", also))


def package_static(directory: Path, module: str) -> str:
    """The directory, relative to the given one, of an app's own static files when the app is a package or in one.

    Flask takes it from beside the module (``Flask.root_path``), and gives its files the URL ``static/``. Empty for a
    module that lies in the directory itself, whose ``static/`` has that URL anyway, and for one that is not there. A package
    in ``src/`` is found too.
    """
    parts = module.split(".")
    for path in ("/".join(one) for one in (parts, parts[:-1], ["src", *parts], ["src", *parts[:-1]])):
        if (
            path not in ("", "src")
            and os.path.isfile(Path(directory, path, "__init__.py"))
            and os.path.realpath(Path(directory, path)) == f"{directory}/{path}"
        ):
            return f"{path}/static"
    return ""


def likely_apps(directory: Path, names: Iterable[str]) -> list[str]:
    """What seem to be applications among the named files, as ``ocf_flask_app`` takes them. Nothing is imported."""
    found = []
    for name in names:
        match = re.fullmatch(r"(?:src/)?((?:\w+/)*\w+)\.py", name)
        if match and not name.startswith("tests/"):
            module = match[1].replace("/", ".").removesuffix(".__init__")
            text = Path(directory, name).read_text("utf-8", "replace")
            found += [f"{module}:{variable}" for variable in re.findall(r"^(\w+)(?::[^=\n]*)? *= *(?:flask\.)?Flask\(", text, re.M)]
            found += [f"{module}:{factory}()" for factory in re.findall(r"^def ((?:create|make)_app)\(", text, re.M)]
    return found


def copy(directory: Path, names: Mapping[str, str], target: Path) -> None:
    """Copy the named files, readable by their owner alone."""
    for name in names:
        destination = Path(target, name)
        destination.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            for piece in tree.pieces(Path(directory, name)):
                file.write(piece)


def forget_bytecode(directory: Path, names: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Delete the bytecode of the modules that differ from those known.

    Python takes bytecode for valid when the source's size and modification time, in whole seconds, are as
    recorded in it (PEP 552's default), and so would run the old code of a file that changed in neither.
    """
    for name, digest in names.items():
        path = Path(directory, name)
        if path.suffix == ".py" and known.get(name) != digest:
            for bytecode in path.parent.glob(f"__pycache__/{glob.escape(path.stem)}.*.pyc"):
                bytecode.unlink(missing_ok=True)


def _walk(directory: Path, below: str, also: tuple[str, ...]) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(Path(directory, below)), key=lambda entry: entry.name)
    except PermissionError:
        return
    for entry in entries:
        name = f"{below}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith(".") and entry.name not in _SKIPPED and not _is_apart(Path(entry.path)):
                yield from _walk(directory, name + "/", also)
        elif _is_file(entry) and _counts(name, also) and os.access(entry.path, os.R_OK):
            yield name


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # A link into a directory that this account cannot enter.
        return False


def _is_apart(directory: Path) -> bool:
    """A virtualenv, also an old one that has no ``pyvenv.cfg``, or a site of its own."""
    return any(os.path.lexists(directory / name) for name in ("pyvenv.cfg", "bin/activate", "run.fcgi"))


def _counts(name: str, also: tuple[str, ...]) -> bool:
    *parents, last = name.split("/")
    if last.startswith((".ocf-flask", "run.fcgi.")) or name in _OURS:
        return False
    if last.endswith(".py") or "templates" in parents or _REQUIREMENTS.fullmatch(name):
        return True
    return any(_matches(name, pattern) for pattern in also)


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern) if pattern.endswith("/") else fnmatch.fnmatchcase(name, pattern)
