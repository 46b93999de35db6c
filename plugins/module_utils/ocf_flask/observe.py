"""Looking at a site: what is wanted, what is there, and so what to do. Changes nothing, runs nothing of the site."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from . import (
    aside,
    code,
    cron,
    environment,
    files,
    htaccess,
    permissions,
    plan,
    publish,
    pythons,
    release,
    requirements,
    templates,
    tree,
    virtualenv,
)
from .errors import SiteError
from .places import Places
from .site import Site

STARTER_MODULE = "flaskyapplication"


@dataclass(frozen=True)
class View:
    """A site at one moment, and the plan for it. ``back_to``: the earlier release that is wanted, if it is one."""

    wanted: plan.Wanted
    observed: plan.Observed
    htaccess: htaccess.Merged
    plan: plan.Plan
    back_to: release.Manifest | None = None

    @property
    def live(self) -> release.Manifest | None:
        return self.observed.live


def look(site: Site, back_to: release.Manifest | None = None) -> View:
    """Observe and plan.

    :param back_to: an earlier release to serve again, whose settings and code the site then has.
    :raises SiteError: when what is there cannot be understood.
    """
    where = site.places
    run_fcgi = files.read(where.run_fcgi)
    live = release.last_live(where)
    present = read_htaccess(where.htaccess)
    merged = htaccess.merge(present or b"", _htaccess_block(site))
    starter = live is None and _needs_starter(site)
    wanted = _wanted(site, merged.content, starter, live) if back_to is None else _as_it_was(site, merged.content, back_to, live)
    venv = where.release(live.id) / "venv" if live else None
    observed = plan.Observed(
        directory_mode=files.mode(where.site),
        starter=starter,
        live=live,
        live_python=virtualenv.runs_with(venv) if venv else None,
        installed=virtualenv.installed(venv) if venv else site.adopted.installed if site.adopted else {},
        htaccess=present,
        run_fcgi=run_fcgi,
        run_fcgi_mode=files.mode(where.run_fcgi) or 0,
        expected_run_fcgi=run_fcgi_of(site, live.id) if live else None,
        links_right=live is not None and links_right(site, live.id),
        permissions=permissions.look(site.settings, where),
        static=publish.look(site, live, back_to),
        staged=site.awaits_code,
        old_virtualenv_due=aside.is_due(where, site.adopted),
        env=environment.read(where.release(live.id)) if live else {},
        run_right=run_is_right(site),
        cron=None if wanted.cron is None else cron.ours(cron.present(site.env), site.settings.name),
    )
    return View(wanted, observed, merged, plan.make(wanted, observed), back_to)


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
    """Whether there is no app, nor other code beside which one of ours would be a surprise.

    :raises SiteError: when there is other code, and the setting does not say what of it is the app.
    """
    candidates = [site.code / below / name for below in ("", "src") for name in (f"{STARTER_MODULE}.py", STARTER_MODULE)]
    if site.settings.is_managed or site.settings.module != STARTER_MODULE or any(os.path.lexists(path) for path in candidates):
        return False
    others = [name for name in code.paths(site.code) if name.endswith(".py")] if site.code.is_dir() else []
    if others:
        likely = code.likely_apps(site.code, others)
        seems = f"It seems to be {' or '.join(likely[:3])}" if likely else f"There is {', '.join(others[:3])}"
        raise SiteError(
            f"There is no {STARTER_MODULE}.py in {site.code}, which ocf_flask_app names by default. {seems}. Name the app, as in: "
            f"-e 'ocf_flask_app={likely[0] if likely else 'app:app'}', and for good in {site.lasting}"
        )
    return True


def _code_of(site: Site, live: release.Manifest | None) -> dict[str, str]:
    if not site.settings.is_managed:
        return code.find(site.code, site.settings.code) if site.code.is_dir() else {}
    if live and site.code == site.places.release(live.id) / "app":
        return dict(live.inputs["code"])
    return tree.marks(site.code)


def _source_of(site: Site, live: release.Manifest | None) -> dict[str, str]:
    """As a release records it; empty for code that is edited in place."""
    if not site.settings.is_managed:
        return {}
    if live and site.code == site.places.release(live.id) / "app":
        return dict(live.inputs.get("source", {}))
    return dict(site.revision.record) if site.revision else {}


def _relative(site: Site, path: Path) -> str:
    """A requirements file's name in a record: managed code lies elsewhere in each release."""
    return str(path.relative_to(site.code)) if site.settings.is_managed and site.code in path.parents else str(path)


def _requirements(site: Site) -> dict[str, str]:
    """The digest of each file that decides about packages; of ``pyproject.toml`` and ``uv.lock`` no more than what they ask for."""
    found = {_relative(site, path): files.digest(files.content(path)) for path in site.needs.reached}
    if site.needs.stated and site.needs.declared:
        found[_relative(site, site.needs.stated)] = files.digest("\n".join(site.needs.declared).encode())
    return found


def _wanted(site: Site, htaccess_content: bytes, starter: bool, live: release.Manifest | None) -> plan.Wanted:
    packages = site.settings.all_packages
    # First, since one that is too large is refused, and code is read however large it is.
    requirements = _requirements(site)
    found = _code_of(site, live)
    if starter:
        found = {**found, f"{STARTER_MODULE}.py": files.digest(site.kit.starter)}
    return plan.Wanted(
        interpreter=site.needs.interpreter,
        inputs={
            # A newer patch release of the same Python is the same Python.
            "python": {"path": site.needs.interpreter.path, "version": ".".join(site.needs.interpreter.version.split(".")[:2])},
            "packages": list(packages),
            "requirements": requirements,
            "server": site.settings.server,
            "app": site.settings.app,
            "source": _source_of(site, live),
            "code": found,
            # In place nothing is linked, and elsewhere every release anew.
            "shared": sorted(site.settings.shared) if site.settings.is_managed else [],
            "runtime": files.digest(site.kit.runtime),
            "template": files.digest(site.kit.run_fcgi),
            "pip": files.digest(site.kit.pip),
            "command": files.digest(site.kit.command + site.kit.release_run),
            "release_command": site.settings.release_command,
            "cron": {job.name: f"{job.schedule} {job.command}" for job in site.settings.cron},
        },
        packages=(*packages, *site.needs.dependencies),
        # What the owner installed of the code itself is nothing to carry over: each release has it.
        declared=_declared((*packages, *site.needs.declared, site.needs.project.name), site.needs.files),
        htaccess=htaccess_content,
        env=site.settings.env,
        cron=cron.lines(site.places, site.settings.cron) if _crontab_is_ours(site, live) else None,
    )


def _as_it_was(site: Site, htaccess_content: bytes, back_to: release.Manifest, live: release.Manifest | None) -> plan.Wanted:
    """What an earlier release says that it was made of.

    :raises SiteError: when it does not say all of it.
    """
    try:
        interpreter = pythons.Interpreter(**back_to.interpreter)
    except TypeError:
        raise SiteError(f"The record of the release {back_to.id} does not say which Python it runs on. Choose another release") from None
    return plan.Wanted(
        interpreter=interpreter,
        inputs=back_to.inputs,
        packages=(),
        declared=frozenset(back_to.packages),
        htaccess=htaccess_content,
        env=site.settings.env,
        cron=cron.lines(site.places, site.settings.cron) if _crontab_is_ours(site, live) else None,
    )


def _declared(packages: tuple[str, ...], files: tuple[Path, ...]) -> frozenset[str]:
    named = {virtualenv.requirement_name(one) for one in packages} - {""}
    return frozenset(named.union(*map(requirements.named, files)))


def edited_run_fcgi(where: Places, live: release.Manifest | None) -> bytes | None:
    """``run.fcgi``, if it is not as the live release's deploy has written it."""
    content = files.read(where.run_fcgi)
    return content if content is not None and (live is None or files.digest(content) != live.run_fcgi) else None


def read_htaccess(path: Path) -> bytes | None:
    """The site's ``.htaccess``, if there is one.

    :raises SiteError: for a link.
    """
    if path.is_symlink():
        raise SiteError(
            f"{path} is a symbolic link (to {os.readlink(path)}), and a deploy changes no file elsewhere. "
            f"Put a copy in its place: cp --remove-destination $(readlink -f {path}) {path}"
        )
    return files.read(path)
