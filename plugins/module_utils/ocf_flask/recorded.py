"""What a release records of its settings, read as data: its owner can edit the record, and another version may have written it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from . import settings
from .errors import SettingError
from .release import Manifest

# What makes a release what it is.
_OF_A_RELEASE = (
    *("source", "version", "code_directory", "shared", "app", "release_command", "cron", "packages", "requirements"),
    *("server", "public", "code", "smoke_test"),
)
# What else an owner decides. Where a site lies, with which tools and how patiently it is deployed, whoever deploys it says.
_OF_A_SITE = (*_OF_A_RELEASE, "python", "keep", "url", "urls", "deploy_key", "cron_host")


def as_deployed(wanted: settings.Settings, manifest: Manifest) -> settings.Settings:
    """The settings with those of a release.

    :raises SettingError: when its record has something else.
    """
    found, given = _read(wanted, manifest, _OF_A_RELEASE)
    return replace(wanted, **{key: getattr(found, key) for key in given})


def below(wanted: settings.Settings, manifest: Manifest) -> settings.Settings:
    """The settings with those of a release where they are at their defaults, and not in the site's own entry.

    :raises SettingError: when its record has something else.
    """
    found, given = _read(wanted, manifest, _OF_A_SITE)
    default = settings.Settings(wanted.name)
    return replace(
        wanted, **{key: getattr(found, key) for key in given if key not in wanted.own and getattr(wanted, key) == getattr(default, key)}
    )


def _read(wanted: settings.Settings, manifest: Manifest, keys: Sequence[str]) -> tuple[settings.Settings, list[str]]:
    given = [key for key in keys if key in manifest.settings]
    try:
        found = settings.read({"name": wanted.name, **{key: manifest.settings[key] for key in given}}, {})
    except SettingError as error:
        raise SettingError(f"What the release {manifest.id} says of its settings cannot be used: {error.message}") from None
    # The time limit of a whole run is made of the one that was given.
    timeout = min(found.smoke_test.timeout, wanted.smoke_test.timeout)
    return replace(found, smoke_test=replace(found.smoke_test, timeout=timeout)), given
