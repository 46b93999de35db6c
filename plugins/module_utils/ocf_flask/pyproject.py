"""What a ``pyproject.toml`` says of its project (PEP 621)."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import files
from .errors import SettingError

_CLAUSE = re.compile(r"(~=|===?|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(?:(?:a|b|rc|\.dev)\d+)?(\.\*)?")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9][\w.!+-]*")


@dataclass(frozen=True)
class Project:
    """``dependencies`` are as pip takes them, ``python`` is its ``requires-python``.

    ``name``: of a project that is a package, one with a build system; empty for another. ``entry_points``: what each
    name leads to, by group.
    """

    dependencies: tuple[str, ...] = ()
    python: str = ""
    name: str = ""
    version: str = ""
    entry_points: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read(file: Path) -> Project:
    """The project; an empty one when the file is not there or describes none.

    :raises SettingError: for a file that cannot be read, or that only Poetry understands.
    """
    if not file.is_file():
        return Project()
    content = toml(file)
    project = content.get("project")
    if project is None:
        if "poetry" in content.get("tool", {}):
            raise SettingError(
                f"{file} has its dependencies in [tool.poetry], which only Poetry reads. Type where Poetry is: "
                "poetry export --output requirements.txt"
            )
        return Project()
    found = project.get("dependencies", []) if isinstance(project, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise SettingError(f"{file}: [project] dependencies is not a list of texts, such as ['flask>=3', 'sqlalchemy'].")
    if "dependencies" in project.get("dynamic", []):
        raise SettingError(f"{file} leaves its dependencies to its build system (dynamic). Write them into a requirements.txt beside it.")
    return Project(tuple(found), _python(file, project.get("requires-python", "")), **_package(content))


def package(file: Path) -> Project:
    """No more of a project than what makes a package of it, for which a file that cannot be read is no problem."""
    try:
        return Project(**_package(toml(file))) if file.is_file() else Project()
    except SettingError:
        return Project()


def allows(requires: str, version: str) -> bool:
    """Whether a Python of that version, such as ``3.11.2``, satisfies a ``requires-python`` (PEP 440)."""
    have = [int(one) for one in version.split(".")]
    return all(_satisfies(have, *match.groups()) for match in map(_CLAUSE.fullmatch, _clauses(requires)) if match)


def toml(file: Path) -> dict[str, Any]:
    """The content of a TOML file.

    :raises SettingError: when it cannot be read.
    """
    if sys.version_info >= (3, 11):
        import tomllib  # novm: only where it is

        try:
            content: dict[str, Any] = tomllib.loads(files.content(file).decode())
            return content
        except (OSError, ValueError) as error:
            raise SettingError(f"{file} cannot be read: {error}") from None
    raise SettingError(
        f"{file} can be read with Python 3.11 or newer only, and this deploy runs on an older one. "
        "Write a requirements.txt beside it, or set ocf_flask_requirements to none."
    )


def _package(content: Mapping[str, Any]) -> dict[str, Any]:
    project = content.get("project")
    if not isinstance(project, dict) or not _NAME.fullmatch(str(project.get("name"))) or "build-system" not in content:
        return {}
    groups = {**_tables(project.get("entry-points")), **_tables({"console_scripts": project.get("scripts")})}
    version = str(project.get("version"))
    # Of a version that a build system would find out nothing is known.
    return {"name": project["name"], "version": version if _VERSION.fullmatch(version) else "0", "entry_points": groups}


def _tables(value: Any) -> dict[str, dict[str, str]]:
    tables = value.items() if isinstance(value, dict) else ()
    return {group: {name: str(leads_to) for name, leads_to in table.items()} for group, table in tables if isinstance(table, dict)}


def _python(file: Path, requires: Any) -> str:
    if not isinstance(requires, str) or not all(_CLAUSE.fullmatch(clause) for clause in _clauses(requires)):
        raise SettingError(f"{file}: requires-python is {requires!r}. It takes versions of Python such as '>=3.10' or '>=3.10,<3.14'.")
    return requires


def _clauses(requires: str) -> list[str]:
    return [clause.strip() for clause in requires.split(",") if clause.strip()]


def _satisfies(have: list[int], operator: str, limit: str, any_below: str | None) -> bool:
    numbers = [int(one) for one in limit.split(".")]
    if any_below:
        return (have[: len(numbers)] == numbers) == (operator != "!=")
    whole = [*numbers, 0, 0][: max(3, len(numbers))]
    if operator == "~=":
        return have >= whole and have[: len(numbers) - 1] == numbers[:-1]
    return {"<": have < whole, "<=": have <= whole, ">": have > whole, ">=": have >= whole, "!=": have != whole}.get(
        operator, have == whole
    )
