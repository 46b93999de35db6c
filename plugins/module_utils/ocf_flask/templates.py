"""The role's templates, and its files with marks, for one site.

Ansible renders a template once for all sites of a run. What differs from site to site, and what only the
machine knows, stands in them as a mark such as ``@SITE_DIRECTORY@`` and is filled in here. A paragraph with
a mark that has no value for a site is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .places import Places
from .settings import Settings

# What Apache never delivers as it is, lest a server that knows such files better should run it.
PROGRAM = re.compile(r"\.(?:php[3457]?|phtml|fcgi)$")


def htaccess_block(template: str, settings: Settings, places: Places, package_static: str) -> bytes:
    """Our directives for a site's ``.htaccess``.

    :param package_static: the directory, relative to the site's, of further files with the URL ``static/``; empty
        when there is none (see `code.package_static`).
    """
    marks = {
        "SITE_DIRECTORY": str(places.site),
        "SITE_PATTERN": re.escape(str(places.site)),
        "PUBLIC": public_expression(("static/", *settings.public)),
        "PROGRAM": PROGRAM.pattern,
        "PACKAGE_STATIC": package_static,
        # Of two paragraphs one is for each kind of site.
        "ALONE": "" if settings.whole_web_space else "nothing here is a page, an index or a program of its own",
        "WEB_SPACE": str(places.site) if settings.whole_web_space else "",
    }
    return _fill(template, marks).encode()


def run_fcgi(template: str, settings: Settings, places: Places, identity: str, code: Path) -> bytes:
    """The ``run.fcgi`` that starts a release, with its code in the directory ``code``."""
    marks = {
        "RELEASE": str(places.release(identity)),
        "CODE_DIRECTORY": str(code),
        "APP": settings.app,
        "SERVER": settings.server,
    }
    return _fill(template, marks).encode()


def release_run(template: str, settings: Settings, places: Places, identity: str, code: Path) -> bytes:
    """The program ``run`` of a release, with its code in the directory ``code``."""
    marks = {
        "RELEASE": str(places.release(identity)),
        "RUN": str(places.run),
        "SITE_DIRECTORY": str(places.site),
        "CODE_DIRECTORY": str(code),
        "APP": settings.app,
    }
    return _fill(template, marks).encode()


def run(template: str, places: Places) -> bytes:
    """The program ``run`` of a site."""
    return _fill(template, {"RUN": str(places.run), "RELEASES": str(places.releases), "SITE_DIRECTORY": str(places.site)}).encode()


def public_expression(names: tuple[str, ...]) -> str:
    """A regular expression for the paths, relative to the site's directory, that Apache serves itself.

    A name that ends in ``/`` is a directory with all below it, but for names that begin
    with a dot; ``*`` stays within one component and matches no leading dot.
    """
    patterns = []
    for name in names:
        pattern = "/".join(_component(part) for part in name.rstrip("/").split("/"))
        patterns.append(f"{pattern}/(?:[^./][^/]*/)*[^./][^/]*" if name.endswith("/") else pattern)
    return "|".join(patterns)


def _component(part: str) -> str:
    guard = r"(?!\.)" if part.startswith("*") else ""
    return guard + "[^/]*".join(re.escape(piece) for piece in part.split("*"))


def _fill(template: str, marks: Mapping[str, str]) -> str:
    empty = [f"@{mark}@" for mark, value in marks.items() if not value]
    paragraphs = [one for one in template.split("\n\n") if not any(mark in one for mark in empty)]
    return re.sub(r"@([A-Z_]+)@", lambda match: marks.get(match[1], match[0]), "\n\n".join(paragraphs))
