"""The controller's side of what no output may show: the applications' variables, and names and passwords in URLs.

Loaded by its path, because an action plugin in a plain checkout can import nothing that lies beside it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

PREFIX = "ocf_flask_"
_SITES = f"{PREFIX}sites"
# Of ssh's URLs, the name says nothing.
_CREDENTIALS = re.compile(r"(https?://)[^/\s]*@|(\b\w+://[^/:@\s]*):[^/\s]*(?=@)")
_WITH_URLS = ("source", "index", "packages")


def conceal(variables: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The variables without what is secret in them, and the values of which they lack something, as JSON in base64:
    `secrets.put_back` in the engine has them whole again.

    Ansible's ``no_log`` would blot out each value, ``1`` and ``true`` too, wherever it stands in a result. As one string
    that stands nowhere else, all of them are hidden, and nothing else is.
    """
    visible, hidden = _parted(variables, PREFIX)
    secrets: dict[str, Any] = {"variables": hidden, "sites": {}}
    if isinstance(visible.get(_SITES), list):
        entries = [_parted(entry, "") if isinstance(entry, Mapping) else (entry, {}) for entry in visible[_SITES]]
        visible[_SITES] = [parted[0] for parted in entries]
        secrets["sites"] = {place: parted[1] for place, parted in enumerate(entries) if parted[1]}
    if not any(secrets.values()):
        return visible, ""
    return visible, base64.b64encode(json.dumps(secrets).encode()).decode()


def _parted(settings: Mapping[str, Any], prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What may be seen of the settings, and the whole value of each that may not, or not whole."""
    visible, hidden = dict(settings), {}
    if f"{prefix}env" in visible:
        hidden[f"{prefix}env"] = _plain(visible.pop(f"{prefix}env"))
    for name in (f"{prefix}{key}" for key in _WITH_URLS):
        value = _plain(visible.get(name))
        shown = _without_credentials(value)
        if shown != value:
            visible[name], hidden[name] = shown, value
    return visible, hidden


def _without_credentials(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_credentials(one) for one in value]
    return _CREDENTIALS.sub(lambda match: match[1] or match[2], value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """Ansible's own kinds of values, from a vault for example, as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
