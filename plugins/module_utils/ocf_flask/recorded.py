"""What a release records of its settings, read as data: its owner can edit the record, and another version may have written it."""

from __future__ import annotations

from dataclasses import replace

from . import adopted, environment, places, settings
from .errors import SettingError, SiteError
from .release import Manifest
from .site import Site, with_code

# What makes a release what it is. Where the site lies, and how patiently and with which tools it is deployed, is not part of it.
_OF_A_RELEASE = (
    *("source", "version", "code_directory", "shared", "app", "release_command", "cron", "packages", "requirements"),
    *("server", "public", "code", "smoke_test"),
)


def as_deployed(wanted: settings.Settings, manifest: Manifest) -> settings.Settings:
    """The settings with those of a release.

    :raises SettingError: when its record has something else.
    """
    given = {key: manifest.settings[key] for key in _OF_A_RELEASE if key in manifest.settings}
    found = settings.read({"name": wanted.name, **given}, {})
    return replace(wanted, **{key: getattr(found, key) for key in given})


def site_as_deployed(site: Site, manifest: Manifest) -> Site:
    """The site with a release's settings, environment and code.

    :raises SiteError: when the record cannot be used.
    """
    try:
        wanted = as_deployed(site.settings, manifest)
        wanted = replace(wanted, env=environment.read(site.places.release(manifest.id)))
        site = replace(site, settings=wanted, adopted=adopted.recorded(manifest))
        if wanted.is_managed:
            return with_code(site, site.places.release(manifest.id) / "app")
        return with_code(site, places.code_directory(wanted, site.owner, site.places))
    except SettingError as error:
        raise SiteError(f"What the release {manifest.id} says of its settings cannot be used: {error.message}") from None
