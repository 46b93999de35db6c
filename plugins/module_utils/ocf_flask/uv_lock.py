"""The versions that a ``uv.lock`` has, as lines of a requirements file.

It is read here, and not by ``uv export``, so that a site has the same packages where there is pip alone. Of the file, what
the project itself depends on counts: no extras and no groups of its own.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import SettingError
from .pyproject import toml
from .virtualenv import normalize

# An entry, and the extra of it that is wanted; empty for the package alone.
_Wanted = tuple[int, str]
_DEPENDENCY = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;@)]*)")
# Whose spelling is the same whoever writes it.
_PLAIN_CLAUSE = re.compile(r"(?:[<>=!~]=|[<>])\d+(?:\.\d+)*(?:\.\*)?")


def read(file: Path, dependencies: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The lines, with hashes if all have them, and the ``requires-python`` of a lock.

    :param dependencies: the project's, of which the lock has to be made.
    :raises SettingError: for a lock of other dependencies, or with a package that cannot be installed from it.
    """
    content = toml(file)
    packages = content.get("package", [])
    try:
        if content.get("version") != 1:
            raise SettingError(f"{file} is of version {content.get('version')}, and a deploy reads version 1. {_instead(file)}")
        root = next(
            (index for index, one in enumerate(packages) if "." in (one["source"].get("virtual"), one["source"].get("editable"))), None
        )
        if root is None:
            raise SettingError(f"{file} has no project of the directory that it lies in. Type there: uv lock")
        _check(file, dependencies, packages[root].get("metadata", {}).get("requires-dist", []))
        reached = {index: found for (index, extra), found in _reached(packages, root).items() if index != root and not extra}
        hashes = [_hashes(packages[index]) for index in reached]
        lines = (
            _line(file, packages[index], found) + ("".join(f" --hash={one}" for one in own) if all(hashes) else "")
            for (index, found), own in zip(reached.items(), hashes)
        )
        return tuple(sorted(lines)), str(content.get("requires-python", ""))
    except (AttributeError, KeyError, StopIteration, TypeError) as error:
        raise SettingError(f"{file} is not what uv writes ({error!r}). Type where its project is: uv lock") from None


def _reached(packages: Sequence[Mapping[str, Any]], root: int) -> dict[_Wanted, list[frozenset[str]]]:
    """What the project depends on, each with the ways that lead to it: the markers that have to hold, together, on each."""
    found: dict[_Wanted, list[frozenset[str]]] = {}
    queue = deque([((root, ""), frozenset[str]())])
    while queue:
        wanted, markers = queue.popleft()
        ways = found.setdefault(wanted, [])
        if any(way <= markers for way in ways):
            continue
        ways[:] = [*(way for way in ways if not markers <= way), markers]
        package, extra = packages[wanted[0]], wanted[1]
        edges = package.get("optional-dependencies", {}).get(extra, []) if extra else package.get("dependencies", [])
        for edge in edges:
            target = next(index for index, one in enumerate(packages) if all(one.get(key) == edge[key] for key in _told(edge)))
            both = markers | {edge["marker"]} if "marker" in edge else markers
            queue.extend(((target, one), both) for one in ("", *edge.get("extra", ())))
    return found


def _told(edge: Mapping[str, Any]) -> list[str]:
    """What an edge says of the package: its version only if there are several."""
    return [key for key in ("name", "version", "source") if key in edge]


def _line(file: Path, package: Mapping[str, Any], ways: Sequence[frozenset[str]]) -> str:
    name, source = package["name"], package["source"]
    marker = "" if frozenset() in ways else " or ".join(f"({') and ('.join(sorted(way))})" for way in ways)
    if "registry" in source:
        requirement = f"{name}=={package['version']}"
    elif "git" in source:
        address, _, commit = source["git"].partition("#")
        below = re.search(r"[?&]subdirectory=([^&]*)", address)
        requirement = f"{name} @ git+{address.partition('?')[0]}@{commit}{f'#subdirectory={below[1]}' if below else ''}"
    elif "url" in source:
        requirement = f"{name} @ {source['url']}"
    else:
        raise SettingError(f"{file} has {name} from the directory or file {next(iter(source.values()))!r}. {_instead(file)}")
    return f"{requirement} ; {marker}" if marker else requirement


def _hashes(package: Mapping[str, Any]) -> list[str]:
    files = [package.get("sdist", {}), *package.get("wheels", [])] if "git" not in package["source"] else []
    return [one["hash"] for one in files if "hash" in one]


def _instead(file: Path) -> str:
    return (
        "Write the packages into a requirements.txt, which goes before it. Type where its project is: "
        f"uv export --no-dev --no-emit-workspace --output-file requirements.txt. Or deploy without {file.name}: delete it."
    )


def _check(file: Path, dependencies: Sequence[str], locked: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a lock that was made before the dependencies were changed."""
    # Those of the extras are in it too; and one from a repository has no version.
    own = [one for one in locked if not re.search(r"\bextra\b", one.get("marker", ""))]
    unversioned = {one["name"] for one in own if not {"git", "url", "path", "directory", "editable"}.isdisjoint(one)}
    have = {_compared(one["name"], one.get("specifier", ""), unversioned) for one in own}
    matches = [match for match in map(_DEPENDENCY.match, dependencies) if match]
    wanted = {_compared(match[1], match[2], unversioned) for match in matches}
    if have != wanted:
        other = ", ".join(sorted(name + ",".join(sorted(clauses)) for name, clauses in have ^ wanted))
        raise SettingError(
            f"{file} was not made of the dependencies that pyproject.toml has now ({other}). Type where its project is: uv lock"
        )


def _compared(name: str, specifier: str, unversioned: set[str]) -> tuple[str, frozenset[str]]:
    clauses = re.sub(r"\s", "", specifier).split(",")
    plain = frozenset(one for one in clauses if _PLAIN_CLAUSE.fullmatch(one))
    return normalize(name), frozenset() if normalize(name) in unversioned else plain
