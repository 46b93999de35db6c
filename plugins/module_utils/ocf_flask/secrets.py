"""What no output may show of the settings travels apart from them: here both are put together again."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from .settings import PREFIX

_SITES = f"{PREFIX}sites"


class Concealed(dict[Any, Any]):
    """A dictionary whose values no message shows, whatever it is part of."""

    def __repr__(self) -> str:
        return "{...}"


class Unreadable:
    """What somebody wrote in place of a dictionary of variables."""

    def __repr__(self) -> str:
        return "..."


def put_back(variables: Mapping[str, Any], secrets: str) -> dict[str, Any]:
    """The ``ocf_flask_*`` variables as they were before the action plugin's ``conceal``.

    :param secrets: a JSON object in base64, or nothing. ``variables`` in it has variables by name; ``sites`` has,
        by an entry's place in ``ocf_flask_sites``, some of its keys.
    """
    whole = dict(variables)
    if not secrets:
        return whole
    hidden = json.loads(base64.b64decode(secrets))
    whole.update(_concealed(hidden["variables"], f"{PREFIX}env"))
    if not hidden["sites"]:
        # It may be no list at all, which is for others to say.
        return whole
    listed = [dict(entry) if isinstance(entry, Mapping) else entry for entry in whole[_SITES]]
    for place, keys in hidden["sites"].items():
        listed[int(place)].update(_concealed(keys, "env"))
    return {**whole, _SITES: listed}


def _concealed(values: Mapping[str, Any], environment: str) -> dict[str, Any]:
    """The values; of an application's variables, such as no message shows."""
    return {name: _without_repr(value) if name == environment else value for name, value in values.items()}


def _without_repr(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Concealed(value)
    return value if value in (None, "") else Unreadable()
