"""The variables of an application: where a release has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from . import files

_FILE = "env"


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
