"""What a site made by hand had when it was taken over, and therefore has: below what its owner declares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import moments, settings
from .errors import SettingError
from .release import Manifest

KEYS = ("app", "code_directory", "packages", "public")


@dataclass(frozen=True)
class Adopted:
    """``settings``: by key, those that were at their defaults and have other values now. ``virtualenv``: the absolute
    path of the old one, or empty. ``on``: when, as `moments.now` has it.

    The rest is known at the take-over alone. ``installed``: the versions that the old virtualenv has; ``what``: what was
    recognised, in words, and ``notes`` what its owner should know.
    """

    settings: Mapping[str, Any]
    virtualenv: str = ""
    on: str = ""
    installed: Mapping[str, str] = field(default_factory=dict)
    what: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """For the manifest of a release."""
        return {"settings": dict(self.settings), "virtualenv": self.virtualenv, "on": self.on}

    def age(self) -> float:
        """Seconds since the take-over."""
        try:
            return moments.age(self.on)
        except ValueError:
            return 0.0

    def lines(self) -> str:
        """What to write into the site's file of settings, so that it says itself what is so. YAML, of which JSON is a part."""
        found = []
        for key, value in self.settings.items():
            if isinstance(value, str):
                found.append(f"{settings.PREFIX}{key}: {json.dumps(value)}")
            else:
                found += [f"{settings.PREFIX}{key}:", *(f"  - {json.dumps(one)}" for one in value)]
        return "\n".join(found)


def recorded(manifest: Manifest | None) -> Adopted | None:
    """What a release says; None when its site was not taken over. Its owner can edit the record."""
    record = manifest.adopted if manifest else {}
    found = record.get("settings")
    if not isinstance(found, dict):
        return None
    try:
        read = settings.read({"name": "x", **{key: found[key] for key in KEYS if key in found}}, {})
    except SettingError:
        return None
    values = {key: getattr(read, key) for key in KEYS if key in found}
    return Adopted(values, str(record.get("virtualenv", "")), str(record.get("on", "")))


def below(wanted: settings.Settings, adopted: Adopted | None) -> settings.Settings:
    """The settings with what was adopted, where they are at their defaults."""
    if adopted is None:
        return wanted
    default = settings.Settings(wanted.name)
    return replace(wanted, **{key: value for key, value in adopted.settings.items() if getattr(wanted, key) == getattr(default, key)})
