"""Looking at a site: what is wanted, what is there, and so what to do. Changes nothing, runs nothing of the site."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from . import code, cron, environment, files, htaccess, permissions, plan, release, templates, virtualenv
from .errors import SiteError
from .site import Site

STARTER_MODULE = "flaskyapplication"
# Added to what a user asks for. `builtin` is the runtime in the release.
_BASE_PACKAGES = {"builtin": ("flask",), "flup6": ("flask", "flup6"), "flup": ("flask", "flup")}


@dataclass(frozen=True)
class View:
    """A site at one moment, and the plan for it."""

    wanted: plan.Wanted
    observed: plan.Observed
    htaccess: htaccess.Merged
    plan: plan.Plan

    @property
    def live(self) -> release.Manifest | None:
        return self.observed.live


def look(site: Site) -> View:
    """Observe and plan.

    :raises SiteError: when what is there cannot be understood.
    """
    where = site.places
    run_fcgi = files.read(where.run_fcgi)
    live = release.last_live(where)
    present = _read_htaccess(where.htaccess)
    merged = htaccess.merge(present or b"", _htaccess_block(site))
    starter = live is None and _needs_starter(site)
    wanted = _wanted(site, merged.content, starter, _crontab_is_ours(site, live))
    venv = where.release(live.id) / "venv" if live else None
    observed = plan.Observed(
        directory_mode=files.mode(where.site),
        starter=starter,
        live=live,
        live_python=virtualenv.runs_with(venv) if venv else None,
        installed=virtualenv.installed(venv) if venv else {},
        htaccess=present,
        run_fcgi=run_fcgi,
        run_fcgi_mode=files.mode(where.run_fcgi) or 0,
        run_fcgi_edited=run_fcgi is not None and (live is None or files.digest(run_fcgi) != live.run_fcgi),
        expected_run_fcgi=run_fcgi_of(site, live.id) if live else None,
        links_right=live is not None and links_right(site, live.id),
        permissions=permissions.look(site.settings, where),
        env=environment.read(where.release(live.id)) if live else {},
        run_right=run_is_right(site),
        cron=None if wanted.cron is None else cron.ours(cron.present(site.env), site.settings.name),
    )
    return View(wanted, observed, merged, plan.make(wanted, observed))


def _htaccess_block(site: Site) -> bytes:
    # Of code that lies elsewhere, the static files are published in static/.
    package_static = code.package_static(site.code, site.settings.module) if site.code == site.places.site else ""
    return templates.htaccess_block(site.kit.htaccess, site.settings, site.places, package_static)


def run_fcgi_of(site: Site, identity: str) -> bytes:
    """The text of ``run.fcgi`` for a release of the site."""
    return templates.run_fcgi(site.kit.run_fcgi, site.settings, site.places, identity, site.code_directory(identity))


def release_run_of(site: Site, identity: str) -> bytes:
    """The text of a release's program ``run``."""
    return templates.release_run(site.kit.release_run, site.settings, site.places, identity, site.code_directory(identity))


def run_is_right(site: Site) -> bool:
    """Whether the site's program ``run`` is there."""
    mode = files.mode(site.places.run)
    return mode == 0o700 and files.read(site.places.run) == templates.run(site.kit.run, site.places)


def _crontab_is_ours(site: Site, live: release.Manifest | None) -> bool:
    """Whether this host's crontab is to be looked at: for sites without scheduled commands none is."""
    concerned = bool(site.settings.cron) or (live is not None and bool(live.inputs.get("cron")))
    return concerned and cron.is_here(site.settings.cron_host)


def links(site: Site, identity: str) -> list[tuple[Path, str]]:
    """The links for people, and where each leads."""
    return [(site.places.current, f"releases/{identity}"), (site.places.venv, str(site.places.release(identity) / "venv"))]


def links_right(site: Site, identity: str) -> bool:
    """Whether each link leads to the release, or something of the user's stands in its place."""
    return all(is_foreign(path) or leads_to(path, target) for path, target in links(site, identity))


def is_foreign(path: Path) -> bool:
    """Something of the user's that stands where a link of ours would."""
    if path.is_symlink():
        return not re.search(r"releases/[0-9-]+(/venv)?$", os.readlink(path))
    return path.exists()


def leads_to(path: Path, target: str) -> bool:
    """Whether a path is a symbolic link with just this target."""
    return path.is_symlink() and os.readlink(path) == target


def _needs_starter(site: Site) -> bool:
    candidates = (site.code / f"{STARTER_MODULE}.py", site.code / STARTER_MODULE)
    return not site.settings.is_managed and site.settings.module == STARTER_MODULE and not any(os.path.lexists(path) for path in candidates)


def _wanted(site: Site, htaccess_content: bytes, starter: bool, crontab: bool) -> plan.Wanted:
    packages = (*_BASE_PACKAGES[site.settings.server], *site.settings.packages)
    found = code.find(site.code, site.settings.code) if site.code.is_dir() else {}
    if starter:
        found = {**found, f"{STARTER_MODULE}.py": files.digest(site.kit.starter)}
    return plan.Wanted(
        interpreter=site.needs.interpreter,
        inputs={
            # A newer patch release of the same Python is the same Python.
            "python": {"path": site.needs.interpreter.path, "version": ".".join(site.needs.interpreter.version.split(".")[:2])},
            "packages": list(packages),
            "requirements": {str(path): files.digest(path.read_bytes()) for path in site.needs.files},
            "server": site.settings.server,
            "app": site.settings.app,
            "code": found,
            "runtime": files.digest(site.kit.runtime),
            "template": files.digest(site.kit.run_fcgi),
            "pip": files.digest(site.kit.pip),
            "command": files.digest(site.kit.command + site.kit.release_run),
            "release_command": site.settings.release_command,
            "cron": {job.name: f"{job.schedule} {job.command}" for job in site.settings.cron},
        },
        packages=packages,
        declared=_declared(packages, site.needs.files),
        htaccess=htaccess_content,
        env=site.settings.env,
        cron=cron.lines(site.places, site.settings.cron) if crontab else None,
    )


def _declared(packages: tuple[str, ...], requirements: tuple[Path, ...]) -> frozenset[str]:
    lines = [*packages, *(line for path in requirements for line in path.read_text("utf-8", "replace").splitlines())]
    return frozenset(virtualenv.requirement_name(line) for line in lines) - {""}


def _read_htaccess(path: Path) -> bytes | None:
    if path.is_symlink():
        raise SiteError(
            f"{path} is a symbolic link (to {os.readlink(path)}), and a deploy changes no file elsewhere. "
            f"Put a copy in its place: cp --remove-destination $(readlink -f {path}) {path}"
        )
    return files.read(path)
