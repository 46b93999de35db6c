"""What a site's code and its settings ask for: a Python, and packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import places, pyproject, requirements, virtualenv
from .errors import SettingError
from .settings import Settings


@dataclass(frozen=True)
class Needs:
    """``files`` are requirements files, each as pip takes it; ``reached`` are these and all that they include.

    ``dependencies``: of ``pyproject.toml``, where there is no requirements file.
    """

    interpreter: virtualenv.Interpreter
    files: tuple[Path, ...]
    reached: tuple[Path, ...] = ()
    dependencies: tuple[str, ...] = ()


def read(settings: Settings, owner: places.Account, code: Path, env: Mapping[str, str], known: virtualenv.Interpreter | None) -> Needs:
    """What the code in that directory needs.

    :param known: the interpreter of the last deploy, which is not started again when it is the same file.
    :raises SettingError: for a Python or a file that is not there.
    """
    interpreter = virtualenv.find_interpreter(settings.python, env=env, known=known)
    files = _files(settings, owner, code)
    dependencies = pyproject.dependencies(code / "pyproject.toml") if not files and settings.requirements != "none" else ()
    return Needs(interpreter, files, requirements.reached(files), dependencies)


def _files(settings: Settings, owner: places.Account, code: Path) -> tuple[Path, ...]:
    wanted = settings.requirements
    if not wanted:
        path = code / "requirements.txt"
        return (path,) if path.is_file() else ()
    if wanted == "none":
        return ()
    path = code / places.absolute(wanted, owner)
    if not path.is_file():
        raise SettingError(f"ocf_flask_requirements is {wanted!r}, and there is no file {path}. Name one, relative to {code}, or none.")
    return (path,)
