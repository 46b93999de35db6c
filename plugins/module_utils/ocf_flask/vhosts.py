"""The URLs of a site on virtual hosts, from the service's list and from a setting.

A line of the list is ``user host|- aliases|- docroot|- [flags]``: ``-`` is a host named for the user, no aliases, and the
web space as document root; a document root is relative to the web space; a name without a dot is in the service's domain
(ocflib/vhost/web.py). Every virtual host is reached by https, and aliases lead to their host (build-vhosts in OCF's Puppet).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from . import files
from .errors import SettingError
from .places import Account, Places, absolute, is_service
from .settings import Settings

# Where the servers of the service have it.
_LIST = "/etc/ocf/vhost.conf"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_DOCROOT = re.compile(r"[\w.,+@~/-]+")


def urls(settings: Settings, owner: Account, where: Places, url: str) -> tuple[list[str], list[str]]:
    """The URLs of a site besides its own, and what to know of them.

    :raises SettingError: when the list that the settings name cannot be read.
    """
    found = [one.format(owner=owner.name, name=settings.name) for one in settings.urls]
    text, note = _read(settings, owner)
    web_space = Path(os.path.realpath(Path(owner.home, "public_html")))
    found += listed(text, owner.name, web_space, where.site, domain_of(url))
    return [one for one in dict.fromkeys(found) if one != url], note


def listed(text: str, user: str, web_space: Path, site: Path, domain: str) -> Iterator[str]:
    """The URLs at which a list of virtual hosts has the site. Lines that are not of the form say nothing."""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4 or words[0] != user:
            continue
        _, host, aliases, docroot, *_ = words
        root = web_space if docroot == "-" else Path(os.path.normpath(f"{web_space}/{docroot.strip('/')}"))
        below = "" if site == root else f"{site.relative_to(root)}/" if root in site.parents else None
        if below is None or not _DOCROOT.fullmatch(docroot):
            continue
        names = [user if host == "-" else host, *([] if aliases == "-" else aliases.split(","))]
        yield from (f"https://{_qualified(name, domain)}/{below}" for name in names if _HOST.fullmatch(name))


def domain_of(url: str) -> str:
    """The service's domain, of whose hosts the one for user directories is one: ``berkeley.edu`` of ``www.ocf.berkeley.edu``."""
    return ".".join((urlsplit(url).hostname or "").split(".")[-2:])


def _qualified(name: str, domain: str) -> str:
    return name if "." in name else f"{name}.{domain}"


def _read(settings: Settings, owner: Account) -> tuple[str, list[str]]:
    given = settings.virtual_hosts
    path = absolute(given or _LIST, owner)
    if not given and not is_service(settings):
        return "", []
    try:
        return files.content(path).decode("utf-8", "replace"), []
    except FileNotFoundError as error:
        if not given:
            return "", []
        problem = error.strerror
    except OSError as error:
        problem = error.strerror
    if given:
        raise SettingError(
            f"ocf_flask_virtual_hosts is {given!r}, which cannot be read: {problem}. Name the service's list, or leave it empty."
        )
    return "", [f"{path} cannot be read ({problem}), so URLs on virtual hosts are not known"]
