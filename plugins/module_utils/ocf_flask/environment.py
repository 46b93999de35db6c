"""The variables of an application: how they travel here apart from the other settings, and where a release has them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import files
from .settings import PREFIX

_FILE = "env"
_SITES = f"{PREFIX}sites"


class Concealed(dict[Any, Any]):
    """A dictionary whose values no message shows, whatever it is part of."""

    def __repr__(self) -> str:
        return "{...}"


class Unreadable:
    """What somebody wrote in place of a dictionary of variables."""

    def __repr__(self) -> str:
        return "..."


def put_back(variables: Mapping[str, Any], environments: str) -> dict[str, Any]:
    """The ``ocf_flask_*`` variables with what the action plugin took out of them (``_conceal`` there).

    :param environments: a JSON object in base64, or nothing. ``variables`` in it has variables by name; ``sites`` has,
        by an entry's place in ``ocf_flask_sites``, some of its keys.
    """
    whole = dict(variables)
    if not environments:
        return whole
    hidden = json.loads(base64.b64decode(environments))
    whole.update({name: _concealed(value) for name, value in hidden["variables"].items()})
    if not hidden["sites"]:
        # It may be no list at all, which is for others to say.
        return whole
    listed = [dict(entry) if isinstance(entry, Mapping) else entry for entry in whole[_SITES]]
    for place, keys in hidden["sites"].items():
        listed[int(place)].update({key: _concealed(value) for key, value in keys.items()})
    return {**whole, _SITES: listed}


def _concealed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Concealed(value)
    return value if value in (None, "") else Unreadable()


def write(release: Path, variables: Mapping[str, str]) -> None:
    """Give a new release its variables, where the runtime looks for them (``prepare_environment``)."""
    if variables:
        files.write_new(release / _FILE, json.dumps(variables, indent=1).encode(), 0o600)


def read(release: Path) -> dict[str, str]:
    """The variables of a release; none when there are none that can be read."""
    try:
        found = json.loads(files.read(release / _FILE) or b"")
    except (OSError, ValueError, RecursionError):
        return {}
    sound = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if sound else {}
