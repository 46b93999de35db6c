"""What a site's code and its settings ask for: a Python, and packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import places, pyproject, pythons, requirements, uv_lock
from .errors import SettingError
from .settings import Settings

PYPROJECT = "pyproject.toml"
LOCK = "uv.lock"


@dataclass(frozen=True)
class Needs:
    """``files`` are requirements files, each as pip takes it; ``reached`` are these and all that they include.

    Where there is no requirements file, ``dependencies`` are those of ``pyproject.toml``, or ``locked`` the lines of a
    requirements file that a ``uv.lock`` beside it makes; ``stated`` is the file that these are from. ``project`` is what
    ``pyproject.toml`` says of the code itself, whatever packages are taken.
    """

    interpreter: pythons.Interpreter
    files: tuple[Path, ...]
    reached: tuple[Path, ...] = ()
    dependencies: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
    stated: Path | None = None
    project: pyproject.Project = field(default_factory=pyproject.Project)

    @property
    def declared(self) -> tuple[str, ...]:
        """What is asked for without a requirements file."""
        return self.locked or self.dependencies


def read(settings: Settings, owner: places.Account, code: Path, env: Mapping[str, str], known: pythons.Interpreter | None) -> Needs:
    """What the code in that directory needs.

    :param known: the interpreter of the last deploy, which is not started again when it is the same file.
    :raises SettingError: for a Python or a file that is not there.
    """
    file = _file(settings, owner, code)
    package = pyproject.package(code / PYPROJECT)
    if file is None or file.name != PYPROJECT:
        files = () if file is None else (file,)
        interpreter = pythons.find(settings.python, env=env, known=known)
        return Needs(interpreter, files, requirements.reached(files), project=package)
    project, lock = pyproject.read(file), file.with_name(LOCK)
    locked, python = uv_lock.read(lock, project.dependencies) if lock.is_file() else ((), "")
    required = ",".join(dict.fromkeys(one for one in (project.python, python) if one))
    interpreter = pythons.find(settings.python, env=env, known=known, required=required, by=file)
    return Needs(interpreter, (), (), () if locked else project.dependencies, locked, lock if locked else file, package)


def _file(settings: Settings, owner: places.Account, code: Path) -> Path | None:
    """The file that says which packages are needed."""
    wanted = settings.requirements
    if wanted == "none":
        return None
    if not wanted:
        return next((path for name in ("requirements.txt", PYPROJECT) if (path := code / name).is_file()), None)
    path = code / places.absolute(wanted, owner)
    if path.name == LOCK:
        path = path.with_name(PYPROJECT)
    if not path.is_file():
        raise SettingError(f"ocf_flask_requirements is {wanted!r}, and there is no file {path}. Name one, relative to {code}, or none.")
    return path
