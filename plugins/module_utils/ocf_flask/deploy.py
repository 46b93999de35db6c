"""The transaction: one site from what it is to what is wanted, or left as it was.

Look, build beside the live release, test, set permissions, switch by one rename, ask the real URL, keep. Runs
as the site's owner. What was made or changed is taken back on any error.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import (
    aside,
    code,
    commands,
    cron,
    environment,
    explain,
    files,
    live,
    moments,
    needs,
    observe,
    package,
    permissions,
    plan,
    publish,
    release,
    requirements,
    shared,
    smoke,
    snapshot,
    source,
    store,
    switch,
    templates,
    tree,
    virtualenv,
)
from .errors import SiteError
from .lock import locked
from .outcome import Outcome, said
from .site import Site, with_code
from .undo import undoing

Make = Callable[[Site, observe.View, Outcome, ExitStack], release.Manifest]


def carry_out(site: Site, outcome: Outcome, look: Callable[[Site], observe.View] = observe.look, make: Make | None = None) -> None:
    """Do what is to be done, as ``outcome`` then says.

    :param look: of another verb, which has its own plan.
    :param make: what has the release that the plan speaks of ready to be switched to; a new one is built by default.
    :raises SiteError: when it cannot be done; the site is as it was, but for what the error's ``advice`` says.
    """
    where = site.places
    os.umask(0o022)
    for directory in (where.private.parent, where.private):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(where.private.stat().st_mode) & 0o077:
        where.private.chmod(0o700)
    with locked(where.lock, site.settings.timeouts.lock, f"{outcome.verb} of this site"):
        # Another deploy may have ended while this one waited.
        site = source.settled(site)
        was_interrupted = where.temporary.exists()
        beside = _sweep(site)
        for directory in (where.temporary, where.releases, where.log):
            directory.mkdir(mode=0o700, exist_ok=True)
        try:
            if site.awaits_code:
                site = source.stage(site, where.temporary / "app", where.repository)
            view = look(site)
            explain.describe(site, view, outcome)
            outcome.notes += [f"A rollback was interrupted. The file of before is {one}, because another is in its place" for one in beside]
            manifest, is_used = view.live, False
            if not view.plan.empty:
                manifest, is_used = _build_and_switch(site, view, outcome, make or _build)
        except BaseException:
            shutil.rmtree(where.temporary, ignore_errors=True)
            raise
        assert manifest is not None, "a plan for a site without a live release makes one"
        if view.plan.empty and was_interrupted:
            outcome.changes = dict(explain.SWEPT)
        if was_interrupted or not view.plan.empty:
            outcome.release = manifest.id
            outcome.done()
        try:
            _settle(site, view, manifest, outcome, is_used=is_used)
        except OSError as error:
            # By the directory that is left, the next run knows.
            problem = said(error)
            what = f"Visitors get the release {manifest.id}, but not all is done: {problem.message} Deploy again. {problem.advice}"
            outcome.notes.append(what.rstrip())


def finish(site: Site, outcome: Outcome) -> None:
    """Where there is nothing to do: take away what an interrupted run has left, if one has."""
    if site.places.temporary.exists():
        carry_out(site, outcome, lambda one: replace(observe.look(one), plan=plan.NOTHING))


def _settle(site: Site, view: observe.View, manifest: release.Manifest, outcome: Outcome, *, is_used: bool) -> None:
    """All that comes after the switch: the way back is taken away, and what nobody needs any more."""
    where = site.places
    snapshot.discard(site.code, where.kept)
    publish.forget_replaced(site, view.observed.static.todo)
    if not view.plan.release and view.live:
        publish.retract(where, {name: view.live.published[name] for name in view.observed.static.stale}, [])
    if not view.plan.empty or release.ages(where).get(manifest.id) is None:
        release.mark_live(where, manifest.id, view.live.id if view.live else "")
    ages = release.ages(where)
    if not view.plan.empty:
        _set_aside(site, view, outcome, is_used=is_used)
    _repair_links(site, manifest.id)
    _tidy(site, manifest.id, ages)
    shutil.rmtree(where.temporary)


def _build_and_switch(site: Site, view: observe.View, outcome: Outcome, make: Make) -> tuple[release.Manifest, bool]:
    """Everything that is taken back on an error: the release that is live then, and whether a virtualenv made by hand was in use.

    :raises SiteError: when it cannot be done.
    """
    where = site.places
    with undoing() as on_error, _after_release_command(outcome):
        _make_directory(site, view, on_error)
        manifest = view.live
        if view.plan.release:
            manifest = make(site, view, outcome, on_error)
        assert manifest is not None, "a plan for a site without a live release makes one"
        question = token(site)
        # Before anything that visitors could notice.
        before = live.ask(site.url, question)
        manifest = _publish(site, view, manifest, outcome, on_error)
        # Asking has started a process of the old site where the web server is on this machine.
        is_used = aside.is_pending(where, site.adopted) and bool(aside.users(where))
        _set_permissions(site, on_error)
        _set_commands(site, view, on_error)
        switch.switch(site, view, manifest, outcome, switch.Question(question, before), on_error)
    return manifest, is_used


def _sweep(site: Site) -> list[Path]:
    """Take away what an interrupted deploy left: half releases, temporary files. Returned as by `snapshot.sweep`."""
    where = site.places
    live_release = release.last_live(where)
    named = live_release.id if live_release else ""
    beside = snapshot.sweep(site.code, where.kept, named)
    for path in (where.new_run_fcgi, where.new_htaccess, where.old_htaccess):
        path.unlink(missing_ok=True)
    for identity, age in release.ages(where).items():
        if age is None and identity != named:
            half = release.read(where.release(identity))
            if half:
                publish.sweep(where, half, live_release)
            release.remove(where.release(identity))
    if live_release and where.temporary.exists():
        publish.forget_replaced(site, live_release.published)
    # Last, for it says that there is something to be swept.
    shutil.rmtree(where.temporary, ignore_errors=True)
    return beside


def _publish(site: Site, view: observe.View, manifest: release.Manifest, outcome: Outcome, on_error: ExitStack) -> release.Manifest:
    """Copy static files into the web space; the record of that comes first, so that nothing is there that is nobody's."""
    found = view.observed.static
    if not found.differs:
        return manifest
    if not view.plan.release:
        on_error.callback(release.write, site.places.release(manifest.id), manifest)
        manifest = replace(manifest, published=publish.claim(site.code, found, view.live))
        release.write(site.places.release(manifest.id), manifest)
    publish.put(site, site.code_directory(manifest.id), found, manifest.published, outcome.notes.append, on_error)
    return manifest


def token(site: Site) -> str:
    """The secret by which the runtime knows our question; made once for a site."""
    present = files.read(site.places.token)
    if present:
        return present.decode().strip()
    made = secrets.token_hex(32)
    site.places.token.unlink(missing_ok=True)
    files.write_new(site.places.token, made.encode(), 0o600)
    return made


def _make_directory(site: Site, view: observe.View, on_error: ExitStack) -> None:
    directory = site.places.site
    absent = view.observed.directory_mode is None
    if absent:
        # Missing parents too (an ordinary machine has no ~/public_html): the web server must be able to pass.
        directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # For its owner alone until something is served from it.
        directory.mkdir(mode=0o700)
        on_error.callback(files.remove_if_empty, directory)
    if view.plan.starter:
        starter = directory / f"{observe.STARTER_MODULE}.py"
        files.write_new(starter, site.kit.starter.encode(), 0o600)
        on_error.callback(starter.unlink, missing_ok=True)
        if absent:
            on_error.callback(shutil.rmtree, directory / "__pycache__", ignore_errors=True)


def _build(site: Site, view: observe.View, outcome: Outcome, on_error: ExitStack) -> release.Manifest:
    with _consequence(site, view):
        return _new_release(site, view, outcome, on_error)


def _new_release(site: Site, view: observe.View, outcome: Outcome, on_error: ExitStack) -> release.Manifest:
    """Build a release beside the live one, and test it."""
    identity = release.new_id(site.places)
    path = site.places.release(identity)
    path.mkdir(mode=0o700)
    on_error.callback(_remove_unless_live, site, path)
    site = _put_code(site, view, path, outcome, on_error)
    _make_virtualenv(site, view, path / "venv")
    package.install(path, site.code_directory(identity), site.needs.project)
    (path / "runtime").mkdir(mode=0o700)
    files.write_new(path / "runtime" / "ocf_flask_runtime.py", site.kit.runtime.encode(), 0o600)
    files.write_new(path / "runtime" / "ocf_flask_command.py", site.kit.command.encode(), 0o600)
    files.write_new(path / "run", observe.release_run_of(site, identity), 0o700)
    environment.write(path, site.settings.env)
    run_fcgi = observe.run_fcgi_of(site, identity)
    files.write_new(path / "run.fcgi", run_fcgi, 0o600)
    files.write_new(site.places.new_run_fcgi, run_fcgi, 0o700)
    on_error.callback(site.places.new_run_fcgi.unlink, missing_ok=True)
    packages = virtualenv.installed(path / "venv")
    outcome.tested = _test(site, path, outcome)
    if site.settings.is_managed:
        outcome.notes += shared.loose_notes(site, path / "app", view.wanted.inputs["code"])
    manifest = release.Manifest(
        id=identity,
        created=moments.now(),
        inputs=view.wanted.inputs,
        packages=packages,
        by_hand={name: version for name, version in view.plan.by_hand.items() if name in packages},
        run_fcgi=files.digest(run_fcgi),
        tested=outcome.tested,
        settings=site.settings.recorded(),
        interpreter=asdict(view.wanted.interpreter),
        published=publish.claim(site.code, view.observed.static, view.live),
        adopted=site.adopted.record() if site.adopted else {},
    )
    release.write(path, manifest)
    outcome.flask = packages.get("flask", "")
    outcome.changes["packages"] = explain.package_changes(view.live.packages if view.live else view.observed.installed, packages)
    return manifest


def _put_code(site: Site, view: observe.View, path: Path, outcome: Outcome, on_error: ExitStack) -> Site:
    """The release's own copy of the code: from now on the site's, when it is managed."""
    names, app = view.wanted.inputs["code"], path / "app"
    if not site.settings.is_managed:
        code.copy(site.code, names, app)
        code.forget_bytecode(site.code, names, view.live.inputs["code"] if view.live else {})
        return site
    _save_data(site, view, outcome, on_error)
    if site.awaits_code:
        os.rename(site.code, app)
    else:
        tree.copy(site.code, names, app, without=[inside for inside, _ in shared.names(site, site.code)])
    site = with_code(site, app)
    shared.link(site, path, outcome.notes.append, on_error)
    return site


def _save_data(site: Site, view: observe.View, outcome: Outcome, on_error: ExitStack) -> None:
    """What the application has written where the next release does not find it."""
    if view.live is None:
        return
    was_managed = bool(view.live.inputs.get("source"))
    app = site.places.release(view.live.id) / "app" if was_managed else site.places.site
    taken = shared.take_over(site, app, on_error)
    if taken:
        outcome.notes.append(f"{', '.join(taken)} copied from {app} to {site.places.shared}, where the app finds it from now on")
    if was_managed:
        shared.refuse_loss(site, app, view.live.inputs["code"])


def _remove_unless_live(site: Site, path: Path) -> None:
    """Should ``run.fcgi`` still name it after all, because it could not be put back, it has to stay."""
    if release.named_by(files.read(site.places.run_fcgi), site.places) != path.name:
        release.remove(path)


def _make_virtualenv(site: Site, view: observe.View, target: Path) -> None:
    present = site.places.release(view.live.id) / "venv" if view.live else None
    directories = requirements.directories(site.needs.reached, view.wanted.packages, site.code)
    if directories:
        # What a virtualenv has of a directory is of that time, or leads there: to another release's code.
        present = None
    if present and view.plan.virtualenv == plan.CLONE and virtualenv.is_whole(present):
        virtualenv.clone(present, target)
        return
    # What setuptools leaves behind would pass for code.
    left = [path for one in directories if not (path := site.code / one / "build").exists()]
    try:
        build_virtualenv(site, view, target, site.places.temporary, start=present if view.plan.virtualenv == plan.UPDATE else None)
    finally:
        for path in left:
            shutil.rmtree(path, ignore_errors=True)


def build_virtualenv(
    site: Site, view: observe.View, target: Path, scratch: Path, start: Path | None = None, *, shared: bool = True
) -> None:
    """Install what the plan says, or with ``shared``, copy it from the store, if it is there.

    ``scratch`` is a directory for what is needed meanwhile; ``start`` as for `virtualenv.build`.
    """
    settings = site.settings
    settled_elsewhere = {virtualenv.normalize(site.needs.project.name), *map(virtualenv.requirement_name, site.needs.locked)}
    stored = Path(settings.store) if settings.store else None
    candidates = (site.expand(settings.uv), *site.kit.uv, *([str(store.uv(stored))] if stored else []))
    uv = "" if settings.uv == "none" else virtualenv.find_uv(candidates, env=site.env)
    order = virtualenv.Order(
        interpreter=view.wanted.interpreter,
        packages=(*view.wanted.packages, *(f"{name}=={version}" if version else name for name, version in view.plan.by_hand.items())),
        files=site.needs.files,
        locked=site.needs.locked,
        # What a lock has is held by it alone, and the project is of the version that its code says.
        pins={name: version for name, version in view.plan.pins.items() if name not in settled_elsewhere},
        hashed=requirements.have_hashes(site.needs.reached) or any(" --hash=" in line for line in site.needs.locked),
        asked=_asked(site),
        source=virtualenv.Source(
            site.expand(settings.wheels), settings.index, str(store.wheels(stored)) if stored and store.wheels(stored).is_dir() else ""
        ),
    )
    if stored and shared and store.copy(stored, target, order, site.kit.pip, site.owner.home):
        return
    tools = virtualenv.Tools(
        uv=uv,
        pip=site.kit.pip,
        scratch=scratch,
        cwd=site.code,
        env={**site.env, "TMPDIR": str(scratch)},
        deadline=time.monotonic() + settings.timeouts.build,
    )
    virtualenv.build(target, order, tools, start=start)


def _asked(site: Site) -> tuple[tuple[str, str, str], ...]:
    lines = [(line, str(file)) for file in site.needs.reached for line in requirements.lines(file)]
    also = " (then type: uv lock)" if site.needs.locked else ""
    lines += [(line, f"{site.needs.stated.with_name(needs.PYPROJECT)}{also}") for line in site.needs.declared if site.needs.stated]
    lines += [(one, "ocf_flask_packages") for one in site.settings.packages]
    # Without hashes, markers, and what may be a password in a URL.
    shown = ((re.sub(r"//[^/\s]*@", "//", re.split(r" (?:--hash|;)", line)[0]).strip(), where) for line, where in lines)
    named = ((virtualenv.requirement_name(line), line, where) for line, where in shown)
    return tuple(one for one in named if one[0])


def _test(site: Site, path: Path, outcome: Outcome) -> dict[str, Any]:
    """Import the app, run the release command when there is one, make one request."""
    test = site.settings.smoke_test
    if site.settings.release_command:
        if test.mode != "none":
            smoke.smoke_test(site.places.new_run_fcgi, replace(test, mode="import"), site.url, token(site))
        # Noted before it is known how it ends.
        outcome.commanded = True
        outcome.output = commands.release_command(path, site.settings)
    return smoke_tested(site, site.places.new_run_fcgi, outcome)


def smoke_tested(site: Site, run_fcgi: Path, outcome: Outcome) -> dict[str, Any]:
    """Make the test request to the release that a ``run.fcgi`` starts; the record of it.

    :raises SiteError: when the app does not pass.
    """
    test = site.settings.smoke_test
    if test.mode == "none":
        outcome.notes.append("The app was not tested: ocf_flask_smoke_test.mode is none")
        return {}
    tested = smoke.smoke_test(run_fcgi, test, site.url, token(site))
    if tested.warning:
        outcome.notes.append(tested.warning)
    return tested.record(test)


@contextmanager
def _after_release_command(outcome: Outcome) -> Iterator[None]:
    """Have an error say that the release command is not undone with the rest."""
    try:
        yield
    except (OSError, SiteError) as problem:
        if not outcome.commanded:
            raise
        error = said(problem) if isinstance(problem, OSError) else problem
        error.advice = f"{commands.DATABASE}\n{error.advice}".strip()
        raise error from None


@contextmanager
def _consequence(site: Site, view: observe.View) -> Iterator[None]:
    """Have an error say what the failed deploy means for visitors, and the way back."""
    try:
        yield
    except SiteError as error:
        if view.live is None:
            error.advice = "Nothing was changed. Mend that, then deploy again."
        elif site.settings.is_managed or view.live.inputs["code"] == view.wanted.inputs["code"]:
            error.advice = "The site was left as it was. Mend that, then deploy again."
        else:
            error.advice = (
                "The site was left as it was: processes that are running go on with the old code.\n"
                f"But the files in {site.code} are the new ones: the next process started may fail.\n"
                f"Mend them and deploy again, or go back to the last that worked: {site.again('rollback')}"
            )
        raise


def _set_permissions(site: Site, on_error: ExitStack) -> None:
    """Close what is not public, open what is, also among the files that the app's own test has just made.

    Taken back on an error: until now another `.htaccess`, or none, may have served a file that this closes.
    """
    for difference in permissions.look(site.settings, site.places).differences:
        on_error.callback(permissions.undo, site.places.site, difference)
        permissions.make(site.places.site, difference)


def _set_aside(site: Site, view: observe.View, outcome: Outcome, *, is_used: bool) -> None:
    """Let our link take the place of a virtualenv made by hand, once its processes have ended."""
    if not (view.observed.old_virtualenv_due or (is_used and not outcome.reached and aside.wait(site.places))):
        return
    path = aside.put(site.places)
    venv = site.places.venv
    outcome.notes = [note for note in outcome.notes if not note.startswith(f"{venv} is the virtualenv made by hand")]
    outcome.notes.append(f"The virtualenv made by hand is now {path}. Once you are content, delete it: rm -r {path}")


def _set_commands(site: Site, view: observe.View, on_error: ExitStack) -> None:
    """The program ``run``, and the lines of the crontab that start it."""
    where = site.places
    if view.plan.run:
        if not os.path.lexists(where.run):
            on_error.callback(where.run.unlink, missing_ok=True)
        temporary = where.private / "run.new"
        temporary.unlink(missing_ok=True)
        files.write_new(temporary, templates.run(site.kit.run, where), 0o700)
        os.rename(temporary, where.run)
    if view.plan.cron:
        on_error.callback(cron.put, where, site.settings.name, view.observed.cron or (), site.env)
        cron.install(where, site.settings.name, site.settings.cron, site.env)


def _repair_links(site: Site, identity: str) -> None:
    for path, target in observe.links(site, identity):
        if not observe.is_foreign(path) and not observe.leads_to(path, target):
            temporary = path.parent / f".ocf-flask-{path.name}"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            os.rename(temporary, path)


def _tidy(site: Site, identity: str, ages: Mapping[str, float | None]) -> None:
    """Remove what nothing needs any more: old releases, links to a ``run.fcgi`` replaced long ago."""
    where = site.places
    publish.tidy(where, identity, ages)
    for old in release.removable(ages, identity, site.settings.keep):
        release.remove(where.release(old))
    switch.forget_replaced(where)
