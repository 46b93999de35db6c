"""The role's templates for one site.

Ansible renders a template once for all sites of a run. What differs from site to site, and what only the
machine knows, stands in them as a mark such as ``@SITE_DIRECTORY@`` and is filled in here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .places import Places
from .settings import Settings


def htaccess_block(template: str, settings: Settings, places: Places) -> bytes:
    """Our directives for a site's ``.htaccess``."""
    marks = {
        "SITE_DIRECTORY": str(places.site),
        "SITE_PATTERN": re.escape(str(places.site)),
        "PUBLIC": public_expression(settings.public),
    }
    return _fill(template, marks).encode()


def run_fcgi(template: str, settings: Settings, places: Places, identity: str) -> bytes:
    """The ``run.fcgi`` that starts a release."""
    marks = {
        "RELEASE": str(places.release(identity)),
        "CODE_DIRECTORY": str(places.site),
        "APP": settings.app,
        "SERVER": settings.server,
    }
    return _fill(template, marks).encode()


def public_expression(names: tuple[str, ...]) -> str:
    """A regular expression for the paths, relative to the site's directory, that Apache serves itself.

    ``static/`` always; a name that ends in ``/`` is a directory with all below it, but for names that begin
    with a dot; ``*`` stays within one component and matches no leading dot.
    """
    patterns = []
    for name in ("static/", *names):
        pattern = "/".join(_component(part) for part in name.rstrip("/").split("/"))
        patterns.append(f"{pattern}/(?:[^./][^/]*/)*[^./][^/]*" if name.endswith("/") else pattern)
    return "|".join(patterns)


def _component(part: str) -> str:
    guard = r"(?!\.)" if part.startswith("*") else ""
    return guard + "[^/]*".join(re.escape(piece) for piece in part.split("*"))


def _fill(template: str, marks: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z_]+)@", lambda match: marks.get(match[1], match[0]), template)
