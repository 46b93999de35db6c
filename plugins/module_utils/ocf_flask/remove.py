"""Taking a site out of service, and all of it into a dated archive in its owner's home.

It is shut by one change of its directory's permissions, which no web server can pass then; its processes are ended, on other
hosts by themselves, because their ``run.fcgi`` is gone. Only then is anything moved.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from . import archives, cron, files, live, moments, places, release, running
from .errors import SiteError
from .lock import locked
from .outcome import WOULD_CHANGE, Outcome
from .site import Site

# How long a process may take to answer what it is answering, before it is killed.
_PATIENCE = 5.0
# How long a process on another host may take to see that its run.fcgi is gone: the runtime looks every few seconds.
_ELSEWHERE = 15.0
_SHUT = 0o700


def remove(site: Site, outcome: Outcome, *, check: bool) -> None:
    """Remove a site; with ``check``, only say what that would do.

    :raises SiteError: when it was not deployed, or cannot be moved.
    """
    where, owner = site.places, site.owner
    manifest = release.last_live(where)
    if manifest is None:
        if not check:
            archives.sweep(where.site)
            archives.sweep(where.private)
        raise _nothing_here(site)
    _refuse_more_than_a_site(site)
    jobs = cron.recorded(manifest.settings)
    archive = _unfinished(site, manifest.id) or archives.Archive(
        archives.planned(owner, site.settings.name),
        archives.Record(site.settings.name, str(where.site), str(where.private), manifest.id, moments.now(), _open_mode(where)),
    )
    outcome.owner, outcome.url, outcome.directory, outcome.release = owner.name, site.url, str(where.site), manifest.id
    outcome.changes = {"directory": [f"moved to {archive.path}"]}
    if jobs and cron.is_here(site.settings.cron_host):
        outcome.changes["cron"] = [f"{job.name} removed" for job in jobs]
    elif jobs:
        outcome.notes.append(f"Its scheduled commands are in the crontab of {site.settings.cron_host}: remove it there as well")
    if check:
        outcome.state = WOULD_CHANGE
        return
    with locked(where.lock, site.settings.timeouts.lock, "removal of this site"):
        token = (files.read(where.token) or b"").decode("ascii", "replace").strip()
        if jobs and cron.is_here(site.settings.cron_host):
            cron.remove(where, site.settings.name, site.env)
        if where.site.is_dir():
            where.site.chmod(_SHUT)
        ended = running.end(where.releases, _PATIENCE)
        if ended:
            outcome.notes.append(f"{ended} process{'es' if ended != 1 else ''} of the site ended")
        try:
            archive = _move(site, archive, outcome)
        except (OSError, SiteError) as error:
            why = error.message if isinstance(error, SiteError) else error.strerror
            space = "Make space, and type" if isinstance(error, OSError) and archives.is_full(error) else "Type"
            raise SiteError(
                f"The site answers nobody any more, but it could not be moved to {archive.path}: {why}",
                advice=f"Nothing of it is lost: it is in {where.site} and {where.private}. {space} once more: {site.again('remove')}",
            ) from None
        outcome.reached = _still_there(site, token)
    outcome.archive = str(archive.path)
    outcome.done()


def _nothing_here(site: Site) -> SiteError:
    where = site.places
    if where.run_fcgi.exists():
        return SiteError(
            f"{where.site} was not made by a deploy, so it was left alone.",
            advice=f"To take it out of service by hand: chmod 700 {where.site}, and to have it back: chmod 711 {where.site}",
        )
    removed = archives.find(site.owner, where)
    if removed:
        return SiteError(
            f"{site.settings.name} was removed on {removed[0].record.removed}: it is in {removed[0].path}.",
            advice=f"To have it back: {site.again('restore')}",
        )
    return SiteError(f"{site.settings.name} is not deployed, so there is nothing to remove.", advice="Check the spelling of its name.")


def _refuse_more_than_a_site(site: Site) -> None:
    where = site.places
    if site.settings.whole_web_space:
        raise SiteError(
            f"{site.settings.name} is your whole web space, which is not moved away: there may be more in it.",
            advice=f"To take the app out of service: delete our lines from {where.htaccess}, and then {where.run_fcgi}.",
        )
    inside = [Path(folder) for folder, _, names in os.walk(where.site) if "run.fcgi" in names and Path(folder) != where.site]
    # A private directory may be that of other sites' private ones: ~/.ocf-flask.
    inside += [path for path in where.private.glob("*") if path != where.releases and any(path.glob("releases/*/manifest.json"))]
    if inside:
        raise SiteError(f"{inside[0]} is a site of its own, inside of this one. Move it out, or remove it first.")


def _open_mode(where: places.Places) -> int:
    """The permissions that a restoration gives back: a removal that was interrupted has shut the directory already."""
    mode = files.mode(where.site)
    return 0o711 if mode in (None, _SHUT) else mode


def _unfinished(site: Site, live: str) -> archives.Archive | None:
    """What a removal that was interrupted has begun; with a site in it and one in its place, that was deployed since, it stays apart."""
    where = site.places

    def is_begun(one: archives.Archive) -> bool:
        # One that has all is that of a removal which had still to delete what it had copied.
        return not one.is_whole or (one.record.release == live and not os.path.lexists(where.site))

    begun = [one for one in archives.find(site.owner, where) if is_begun(one)]
    apart = [one for one in begun if not (os.path.lexists(one.site) and where.site.is_dir()) or archives.is_copied(where.site, one.site)]
    return apart[0] if apart else None


def _move(site: Site, archive: archives.Archive, outcome: Outcome) -> archives.Archive:
    where = site.places
    if not archive.path.is_dir():
        _with_space(where, lambda: archives.begin(archive.path, archive.record))
    # The private directory, by which a removal that was interrupted is known, goes last.
    if where.site.is_dir():
        try:
            _with_space(where, lambda: outcome.notes.extend(_skipped(archives.move(where.site, archive.path / "site"))))
        except OSError as error:
            if not archives.is_full(error):
                raise
            left = where.site.parent / f".ocf-flask-removed-{archive.path.name}"
            archive = replace(archive, record=replace(archive.record, left=str(left)))
            archives.write(archive)
            os.rename(where.site, left)
            outcome.notes.append(f"There is no space in {site.owner.home} for the site's directory: it is {left}, closed to everybody else")
    else:
        archives.sweep(where.site)
    if archive.is_whole:
        release.remove(archive.private)
    outcome.notes += _skipped(archives.move(where.private, archive.private, where.lock.name))
    return archive


def _skipped(names: list[str]) -> list[str]:
    return [f"Not moved, because they hold no data: {', '.join(names[:4])}"] if names else []


def _with_space(where: places.Places, work: Callable[[], object]) -> None:
    """Do it; where there is no space, once more without the bytecode of the virtualenvs, which Python makes anew."""
    try:
        work()
    except OSError as error:
        if not archives.is_full(error):
            raise
        for directory in where.releases.glob("*/venv/lib/python*/**/__pycache__"):
            shutil.rmtree(directory, ignore_errors=True)
        work()


def _still_there(site: Site, token: str) -> str:
    """Whether the site's URL still gives it, by a process on another host."""
    deadline = time.monotonic() + _ELSEWHERE
    while live.ask(site.url, token).release:
        if time.monotonic() > deadline:
            return f"a process on another host still answers after {_ELSEWHERE:g} s: it ends once it has answered what it is answering"
        time.sleep(1)
    return ""
