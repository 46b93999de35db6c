"""What a ``pyproject.toml`` asks for (PEP 621): dependencies, for a site without a requirements file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .errors import SettingError


def dependencies(file: Path) -> tuple[str, ...]:
    """The project's dependencies, as pip takes them; none when the file is not there or has none.

    :raises SettingError: for a file that cannot be read, or that only Poetry understands.
    """
    if not file.is_file():
        return ()
    content = _read(file)
    project = content.get("project")
    if project is None:
        if "poetry" in content.get("tool", {}):
            raise SettingError(
                f"{file} has its dependencies in [tool.poetry], which only Poetry reads. Type where Poetry is: "
                "poetry export --output requirements.txt"
            )
        return ()
    found = project.get("dependencies", []) if isinstance(project, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise SettingError(f"{file}: [project] dependencies is not a list of texts, such as ['flask>=3', 'sqlalchemy'].")
    if "dependencies" in project.get("dynamic", []):
        raise SettingError(f"{file} leaves its dependencies to its build system (dynamic). Write them into a requirements.txt beside it.")
    return tuple(found)


def _read(file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib

        try:
            with open(file, "rb") as opened:
                content: dict[str, Any] = tomllib.load(opened)
                return content
        except (OSError, ValueError) as error:
            raise SettingError(f"{file} cannot be read: {error}") from None
    raise SettingError(
        f"{file} can be read with Python 3.11 or newer only, and this deploy runs on an older one. "
        "Write a requirements.txt beside it, or set ocf_flask_requirements to none."
    )
