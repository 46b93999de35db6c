"""The switch: ``run.fcgi`` and ``.htaccess`` in place, and the way back when the web server does not take them.

Each is replaced by one rename, and the old one kept under another name meanwhile: the way back needs no space.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from . import files, htaccess, live, moments, observe, release
from .errors import SiteError
from .outcome import Outcome
from .places import Places
from .site import Site

# Processes that mod_fcgid started from a replaced run.fcgi are told apart by inode: it must not be reused.
_KEPT_PREFIX = ".ocf-flask-run.fcgi."
_KEPT_SECONDS = 3600
# As many new lines of .htaccess as an error can name, one of which the server does not take.
_TOLD_LINES = 5
# What a web server answers where it may not enter.
_SHUT_OUT = (403, 404)


@dataclass(frozen=True)
class Question:
    """What the real URL is asked with, and what it answered before anything was changed."""

    token: str
    before: live.Reply


def switch(site: Site, view: observe.View, manifest: release.Manifest, outcome: Outcome, question: Question, on_error: ExitStack) -> None:
    """Put ``run.fcgi`` and then ``.htaccess`` in place, and see that the web server takes them.

    :raises SiteError: when it does not.
    """
    where = site.places
    if view.plan.run_fcgi and not view.plan.release:
        files.write_new(where.new_run_fcgi, observe.run_fcgi_of(site, manifest.id), 0o700)
    if view.plan.htaccess:
        files.write_new(where.new_htaccess, _merged(where, view), _htaccess_mode(where))
        on_error.callback(where.new_htaccess.unlink, missing_ok=True)
    if view.plan.run_fcgi:
        edited = observe.edited_run_fcgi(where, view.live)
        if edited is not None:
            _copy_edited(site, edited, outcome, on_error)
        if view.live:
            release.mark(where, view.live.id)
        _put_run_fcgi(where, on_error)
    if view.plan.htaccess:
        if site.adopted and not view.live:
            _copy_htaccess(where, outcome, on_error)
        _put_htaccess(where, on_error)
    reply = live.wait_for(site.url, question.token, manifest.id, before=question.before, seconds=site.settings.timeouts.live)
    if _refuses(question.before, reply):
        raise _refused(site, view, manifest.id, question, reply)
    where.old_htaccess.unlink(missing_ok=True)
    if reply.release and reply.release != manifest.id:
        outcome.reached = f"still answers with the release {reply.release} after {site.settings.timeouts.live} s"
    elif not reply.release:
        outcome.reached = reply.sentence()


def forget_replaced(where: Places) -> None:
    """Remove the links to a ``run.fcgi`` that was replaced long ago."""
    for path in where.site.glob(f"{_KEPT_PREFIX}*"):
        # The change time is that of the replacement: a link's modification time is the file's own.
        if time.time() - path.lstat().st_ctime > _KEPT_SECONDS:
            path.unlink()


def _merged(where: Places, view: observe.View) -> bytes:
    """The new ``.htaccess``: with what its owner has written into it since it was looked at, for a build takes its time."""
    return htaccess.merge(observe.read_htaccess(where.htaccess) or b"", htaccess.block_of(view.wanted.htaccess) or b"").content


def _copy_edited(site: Site, content: bytes, outcome: Outcome, on_error: ExitStack) -> None:
    copy = site.places.site / f"run.fcgi.{moments.stamp()}"
    files.write_new(copy, content, 0o600)
    on_error.callback(copy.unlink, missing_ok=True)
    outcome.notes.append(f"run.fcgi had been written or edited by hand: it was replaced, and yours is kept as {copy}")


def _copy_htaccess(where: Places, outcome: Outcome, on_error: ExitStack) -> None:
    """By its name the web server gives it to nobody."""
    content = observe.read_htaccess(where.htaccess)
    if content is None:
        return
    copy = where.site / f".htaccess.{moments.stamp()}"
    files.write_new(copy, content, 0o600)
    on_error.callback(copy.unlink, missing_ok=True)
    outcome.notes.append(f"Your .htaccess of before is kept as {copy}")


def _put_run_fcgi(where: Places, on_error: ExitStack) -> None:
    old, kept = 0.0, None
    if where.run_fcgi.exists():
        old = where.run_fcgi.stat().st_mtime
        kept = _kept(where)
        os.link(where.run_fcgi, kept)
    # The restarter compares modification times, and NFS may keep whole seconds of them.
    newer = max(time.time(), float(int(old) + 1))
    os.utime(where.new_run_fcgi, (newer, newer))
    on_error.callback(_put_run_fcgi_back, where, files.inode(where.new_run_fcgi), kept)
    os.rename(where.new_run_fcgi, where.run_fcgi)


def _put_run_fcgi_back(where: Places, new: tuple[int, int], kept: Path | None) -> None:
    if files.inode(where.run_fcgi) != new:
        return
    if kept is None:
        where.run_fcgi.unlink()
        return
    with suppress(OSError):  # There may be no space for a further name; going back does not wait for that.
        os.link(where.run_fcgi, _kept(where))
    os.rename(kept, where.run_fcgi)


def _kept(where: Places) -> Path:
    return where.site / f"{_KEPT_PREFIX}{moments.stamp()}.{secrets.token_hex(4)}"


def _htaccess_mode(where: Places) -> int:
    """The owner's own, which `permissions` has seen to; a new file is one that the web server can read."""
    present = files.mode(where.htaccess)
    return 0o644 if present is None else present


def _put_htaccess(where: Places, on_error: ExitStack) -> None:
    if where.htaccess.exists():
        os.link(where.htaccess, where.old_htaccess)
    on_error.callback(_put_htaccess_back, where, files.inode(where.new_htaccess))
    os.rename(where.new_htaccess, where.htaccess)


def _put_htaccess_back(where: Places, new: tuple[int, int]) -> None:
    """Goes first: without a ``run.fcgi`` no ``.htaccess`` may name it."""
    if files.inode(where.htaccess) != new:
        where.old_htaccess.unlink(missing_ok=True)
    elif where.old_htaccess.exists():
        os.rename(where.old_htaccess, where.htaccess)
    else:
        where.htaccess.unlink()


def _refuses(before: live.Reply, reply: live.Reply) -> bool:
    """Whether the web server fails what it was given."""
    if reply.problem or reply.status in _SHUT_OUT:
        return bool(before.release)
    # 502 to 504 before and after are a proxy's, whose web server is down: nothing to be learnt from that.
    return reply.broken and (reply.status == 500 or not before.broken)


def _refused(site: Site, view: observe.View, identity: str, question: Question, reply: live.Reply) -> SiteError:
    """What to say of it; the old ``.htaccess`` is back then, to find out which of the two files it was."""
    if view.plan.htaccess:
        _put_htaccess_back(site.places, files.inode(site.places.htaccess))
    cause = _cause(site, view, identity, question, reply)
    what = f"answers {site.url} with {reply.status}" if reply.status else f"does not answer {site.url}"
    before = question.before
    since = f"as it did before ({before.status})" if before.broken else "since the switch"
    tested = " The app itself passed its test." if view.plan.release and site.settings.smoke_test.mode != "none" else ""
    return SiteError(f"The web server {what} {since}, so the switch was undone.{tested}", advice=cause)


def _cause(site: Site, view: observe.View, identity: str, question: Question, reply: live.Reply) -> str:
    """Why the web server fails the new release: asked of the server, with the old ``.htaccess`` but the new ``run.fcgi``."""
    python = view.wanted.interpreter.path
    no_python = f"it has no Python at {python}, or another than this machine's"
    if reply.status in _SHUT_OUT:
        return (
            f"It does not reach the site with the permissions that a deploy sets: its account must be able to pass through {site.places.site}.\n"
            "See it with ls -ld, and ask the staff of the server which account and groups Apache has."
        )
    if not view.plan.htaccess and not view.plan.run_fcgi:
        return "The web server's error log says more."
    if not view.plan.run_fcgi:
        return _wrong_lines(site, view)
    if view.plan.htaccess:
        alone = live.ask(f"{site.url.rstrip('/')}/run.fcgi", question.token)
        if alone.release == identity:
            return _wrong_lines(site, view)
        certain = alone.status == 500
    else:
        certain = True
    # What .htaccess had in it before may be as wrong.
    if certain and not question.before.broken:
        return (
            f"The web server does not start run.fcgi, which works on this machine: {no_python}.\n"
            "Choose one that both have with -e ocf_flask_python=PATH; the web server's error log says more."
        )
    return f"Either the server does not take a line of {site.places.htaccess}, or {no_python}: the web server's error log says which."


def _wrong_lines(site: Site, view: observe.View) -> str:
    old = (view.observed.htaccess or b"").decode("utf-8", "replace").splitlines()
    new = [line for line in view.wanted.htaccess.decode("utf-8", "replace").splitlines() if line not in old]
    told = [line for line in new if line.strip() and not line.lstrip().startswith("#")]
    where = f"The server does not take {site.places.htaccess} with "
    if 0 < len(told) <= _TOLD_LINES:
        return where + "what is new in it:\n" + "\n".join(f"  {line.strip()}" for line in told)
    return where + "our lines: one has a directive of a module that it lacks, or does not allow. Its error log says which."
