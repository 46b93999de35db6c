"""A site that was removed, in its places again: tested there while nobody can reach it, then opened."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress

from . import archives, cron, deploy, files, live, release
from .errors import SettingError, SiteError
from .lock import locked
from .outcome import WOULD_CHANGE, Outcome
from .site import Site, as_deployed, open_site
from .undo import undoing

_SHUT = 0o700


def restore(site: Site, asked: str, outcome: Outcome, *, check: bool) -> None:
    """Bring a site back; with ``check``, only say from where.

    :param asked: the name of the archive; empty for the latest.
    :raises SiteError: when there is none, something else is in its place, or it does not pass its test.
    """
    archive = _archive(site, asked)
    _check_free(site, archive)
    outcome.changes = {"directory": [f"moved back from {archive.path}"]}
    outcome.archive = str(archive.path)
    if check:
        outcome.state = WOULD_CHANGE
        outcome.owner, outcome.url, outcome.directory = site.owner.name, site.url, str(site.places.site)
        return
    try:
        with locked(archive.lock, site.settings.timeouts.lock, "restoration of this site"):
            _bring_back(site, archive, outcome)
            # What is left of it then, another restoration takes away.
            with suppress(OSError):
                archives.forget(archive)
    except OSError as error:
        raise SiteError(
            f"{site.settings.name} could not be brought back: {error.strerror}.", advice=f"It is still in {archive.path}."
        ) from None
    except SiteError as error:
        error.advice = f"It is still in {archive.path}.\n{error.advice}".strip()
        raise
    outcome.done()


def _archive(site: Site, asked: str) -> archives.Archive:
    there = archives.find(site.owner, site.places)
    whole = [one for one in there if one.is_whole or _is_half_back(site, one)]
    if asked:
        named = [one for one in whole if one.path.name == asked.rstrip("/").rpartition("/")[2]]
        if not named:
            names = ", ".join(one.path.name for one in whole)
            raise SettingError(
                f"There is no archive {asked!r} of {site.settings.name}. {f'There is: {names}' if names else 'There is none at all.'}"
            )
        return named[0]
    if not whole:
        archives.tidy(site.owner)
        raise SiteError(
            f"{site.settings.name} was not removed from {site.places.site}, so there is nothing to bring back.",
            advice=f"What was removed is in {archives.planned(site.owner, 'x').parent}.",
        )
    return whole[0]


def _is_half_back(site: Site, archive: archives.Archive) -> bool:
    """Whether a restoration was interrupted when the private directory was back."""
    return os.path.lexists(site.places.private) and (os.path.lexists(archive.site) or os.path.lexists(site.places.site))


def _check_free(site: Site, archive: archives.Archive) -> None:
    """Nothing is ever put in place of something else.

    :raises SiteError: naming what is there.
    """
    to_come = ((archive.site, site.places.site), (archive.private, site.places.private))
    for path in (target for source, target in to_come if os.path.lexists(source) and not archives.is_copied(source, target)):
        if os.path.lexists(path) and not (path.is_dir() and not path.is_symlink() and not os.listdir(path)):
            exchange = f"To exchange the two: {site.again('remove')}, then: {site.again('restore', archive=archive.path.name)}"
            is_site = release.live(site.places) is not None
            raise SiteError(
                f"{path} is there already, and is not replaced. {exchange if is_site else f'Rename it first: mv {path} {path}.old'}"
            )


def _bring_back(site: Site, archive: archives.Archive, outcome: Outcome) -> None:
    where = site.places
    with undoing() as on_error:
        for source, target in ((archive.private, where.private), (archive.site, where.site)):
            if os.path.lexists(source):
                target.parent.mkdir(mode=0o700 if target == where.private else 0o755, parents=True, exist_ok=True)
                files.remove_if_empty(target)
                archives.move(source, target)
            # What an interrupted restoration has moved, too.
            if os.path.lexists(target):
                on_error.callback(archives.move, target, source)
        with locked(where.lock, site.settings.timeouts.lock, "restoration of this site"):
            manifest = release.last_live(where)
            if manifest is None:
                raise SiteError(f"{archive.path} has no release that can be read.")
            # For staff, with what its record says that they do not.
            _test_and_open(open_site(site.settings, site.kit), archive, manifest, outcome, on_error)


def _test_and_open(site: Site, archive: archives.Archive, manifest: release.Manifest, outcome: Outcome, on_error: ExitStack) -> None:
    where, jobs = site.places, cron.recorded(manifest.settings)
    outcome.owner, outcome.url, outcome.directory, outcome.release = site.owner.name, site.url, str(where.site), manifest.id
    outcome.python, outcome.flask = str(manifest.inputs["python"]["version"]), manifest.packages.get("flask", "")
    outcome.tested = deploy.smoke_tested(as_deployed(site, manifest), where.run_fcgi, outcome)
    if jobs and cron.is_here(site.settings.cron_host):
        on_error.callback(cron.remove, where, site.settings.name, site.env)
        cron.install(where, site.settings.name, jobs, site.env)
        outcome.changes["cron"] = [f"{job.name} added" for job in jobs]
    elif jobs:
        outcome.notes.append(f"Its scheduled commands belong to the crontab of {site.settings.cron_host}: deploy there as well")
    on_error.callback(where.site.chmod, _SHUT)
    where.site.chmod(archive.record.mode)
    release.mark(where, manifest.id)
    reply = live.wait_for(site.url, deploy.token(site), manifest.id, before=live.Reply(), seconds=site.settings.timeouts.live)
    if reply.release != manifest.id:
        outcome.reached = reply.sentence() if not reply.release else f"answers with another release, {reply.release}"
