"""An earlier release served once more: tested first, with its own settings, packages and environment.

Where code is edited in place, the release's is put back there, and what was newer is kept. Data is not touched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import code, deploy, explain, files, observe, plan, publish, release, shared, snapshot, tree
from .errors import SettingError, SiteError
from .outcome import WOULD_CHANGE, Outcome
from .site import Site, as_deployed


@dataclass
class _Newer:
    """Of what there is now, what the release has not: by name in the code's directory, and where it is ``kept`` in the end; ``begun`` is
    where it lies until then, and ``before`` the way back (see `snapshot`)."""

    names: list[str] = field(default_factory=list)
    kept: Path = Path()
    begun: Path = Path()
    before: Path | None = None


def rollback(site: Site, asked: str, outcome: Outcome, *, check: bool) -> None:
    """Go back to a release; with ``check``, only say how.

    :param asked: its ID. Empty for the one before the live one; but code in place that is not the live release's any more is
        first put back to what it was then.
    :raises SiteError: when there is none, or it does not pass its test.
    """
    live = release.last_live(site.places)
    if live is None:
        raise SiteError(f"{site.settings.name} is not deployed, so there is no release to go back to. Type: {site.again('deploy')}")
    target = _target(site, live, asked)
    then = as_deployed(site, target)
    view = _look(then, target)
    explain.describe(then, view, outcome)
    if target.id == live.id and not _code_changes(then, target):
        outcome.changes, outcome.diff = {}, []
        if not check:
            deploy.finish(site, outcome)
        outcome.notes = [f"{live.id} is the release that is live, and the code in place is its code"]
        return
    differences = _differences(then, target)
    if check:
        outcome.state = WOULD_CHANGE
    else:
        newer = _Newer()

        def make(one: Site, view: observe.View, outcome: Outcome, on_error: ExitStack) -> release.Manifest:
            return _put_back(one, view, target, newer, outcome, on_error)

        deploy.carry_out(then, outcome, lambda one: _look(one, target), make)
        if newer.names:
            outcome.notes.append(f"What was newer is kept: {newer.kept}")
        if live.id != target.id:
            outcome.notes.append(f"To have the release {live.id} again: {_named(site, live.id)}")
    outcome.diff += differences
    if target.inputs.get("release_command") or live.inputs.get("release_command"):
        outcome.notes.append("What a release command did, to a database for instance, stays as it is")


def _target(site: Site, live: release.Manifest, asked: str) -> release.Manifest:
    there = release.once_live(site.places)
    if asked:
        named = [one for one in there if one.id == asked]
        if not named:
            raise SettingError(f"{site.settings.name} has no release {asked!r} that was live. {_choice(there, live)}")
        return named[0]
    if not live.inputs.get("source") and _code_changes(as_deployed(site, live), live):
        return live
    older = [one for one in there if release.order(one.id) < release.order(live.id)]
    if not older:
        raise SiteError(f"{site.settings.name} has no release before {live.id}, which is live. {_choice(there, live)}")
    return older[0]


def _choice(there: list[release.Manifest], live: release.Manifest) -> str:
    others = [f"{one.id} (deployed on {one.created})" for one in there if one.id != live.id]
    return f"There is: {', '.join(others)}" if others else "There is no other: a deploy keeps as many as ocf_flask_keep says"


def _named(site: Site, identity: str) -> str:
    again = site.again("rollback")
    return f"{again} release={identity}" if again.startswith("make ") else f"{again} -e release={identity}"


def _look(site: Site, target: release.Manifest) -> observe.View:
    view = observe.look(site, target)
    assert view.live is not None, "a site that is not deployed has no release to go back to"
    if not site.settings.is_managed:
        _refuse_to_replace(site, target)
    return replace(view, plan=planned(view, target, _code_changes(site, target), in_place=not site.settings.is_managed))


def planned(view: observe.View, target: release.Manifest, code_changes: list[str], *, in_place: bool) -> plan.Plan:
    """The plan of a deploy made into that of a rollback: nothing is built, nothing installed."""
    assert view.live is not None
    wrong = ("run_fcgi", "virtualenv", "packages", *(("code",) if in_place else ()))
    changes = [one for one in view.plan.changes if one.part not in wrong and not _is_command(one)]
    old, new = view.live.inputs["python"], target.inputs["python"]
    if old != new:
        changes.append(plan.Change("virtualenv", f"Python {old['version']} -> {new['version']}"))
    changes.append(
        plan.Change("run_fcgi", f"starts the release {target.id} again" if target.id != view.live.id else "starts new processes")
    )
    changes += [plan.Change("packages", what) for what in explain.package_changes(view.observed.installed, target.packages)]
    changes += [plan.Change("code", what) for what in code_changes if in_place]
    ordered = tuple(sorted(changes, key=lambda one: plan.PARTS.index(one.part)))
    return replace(view.plan, changes=ordered, release=True, virtualenv=plan.KEEP, run_fcgi=True, links=True, by_hand={}, pins={})


def _is_command(change: plan.Change) -> bool:
    """The release command is not run again."""
    return change.part == "command" and change.what != plan.RUN_REPAIRED


def _code_changes(site: Site, target: release.Manifest) -> list[str]:
    """In words, what happens to the files in place."""
    if site.settings.is_managed:
        return []
    now, then = _present(site), target.inputs["code"]
    return [f"{name} {'put back' if name in then else 'removed'}" for name in sorted({*now, *then}) if now.get(name) != then.get(name)]


def _present(site: Site) -> dict[str, str]:
    return code.find(site.code, site.settings.code)


def _differences(site: Site, target: release.Manifest) -> list[dict[str, str]]:
    """Of the files in place, as Ansible shows them."""
    if site.settings.is_managed:
        return []
    now, then = _present(site), target.inputs["code"]
    names = [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]
    app = site.places.release(target.id) / "app"
    return [
        explain.difference(site.code / name, files.read(site.code / name), (files.read(app / name) or b"") if name in then else b"")
        for name in names
    ]


def _put_back(
    site: Site, view: observe.View, target: release.Manifest, newer: _Newer, outcome: Outcome, on_error: ExitStack
) -> release.Manifest:
    """Have the release ready to be switched to, and tested."""
    path, assumed = site.places.release(target.id), view.live
    assert assumed is not None
    _check(site, target)
    on_error.callback(_forget, newer)
    with _consequence(site):
        _keep_written(site, assumed, newer)
        if not site.settings.is_managed:
            _put_code(site, target, assumed.id, newer, on_error)
        run_fcgi = files.read(path / "run.fcgi") or observe.run_fcgi_of(site, target.id)
        files.write_new(site.places.new_run_fcgi, run_fcgi, 0o700)
        on_error.callback(site.places.new_run_fcgi.unlink, missing_ok=True)
        outcome.tested = deploy.smoke_tested(site, site.places.new_run_fcgi, outcome)
    outcome.python, outcome.flask = view.wanted.interpreter.version, target.packages.get("flask", "")
    manifest = replace(target, tested=outcome.tested, published=publish.claim(site.code, view.observed.static, assumed))
    on_error.callback(release.write, path, target)
    release.write(path, manifest)
    return manifest


def _check(site: Site, target: release.Manifest) -> None:
    """Whether the release is still what was deployed.

    :raises SiteError: naming what is not.
    """
    path = site.places.release(target.id)
    if not (path / "venv").is_dir():
        raise SiteError(f"The release {target.id} has no virtualenv any more: {path / 'venv'} is not there. The site was left as it was")
    wanted = target.inputs["code"]
    # Managed code may have been changed by hand where it lies; then that is what was live.
    wrong = (
        []
        if site.settings.is_managed
        else [name for name in wanted if tree.mark(path / "app" / name) not in (wanted[name], wanted[name] + tree.EXECUTABLE)]
    )
    if wrong:
        raise SiteError(
            f"The copies of the code in {path / 'app'} are not what was deployed: {', '.join(wrong[:3])}. The site was left as it was"
        )


def _refuse_to_replace(site: Site, target: release.Manifest) -> None:
    """Stop before a file of the release would take the place of something that does not count as code, or go where a link leads.

    :raises SiteError: naming what is there.
    """
    now = _present(site)
    for name in [name for name in target.inputs["code"] if name not in now]:
        path = site.code / name
        above = [one for one in path.parents if site.code in one.parents and os.path.lexists(one)]
        wrong = next((one for one in above if one.is_symlink() or not one.is_dir()), path)
        if os.path.lexists(wrong):
            raise SiteError(
                f"{wrong} is there, where the release {target.id} has code, and is not replaced. Rename it first: mv {wrong} {wrong}.old"
            )


def _put_code(site: Site, target: release.Manifest, live: str, newer: _Newer, on_error: ExitStack) -> None:
    now, wanted = _present(site), target.inputs["code"]
    if now == wanted:
        return
    # The live release's own code is right whenever this ends: a later run is not to undo it.
    since = live if live != target.id else "none"
    before = newer.before = snapshot.take(site.code, now, wanted, since)
    on_error.callback(snapshot.put_back, before)
    for name in [name for name in now if now[name] != wanted.get(name)]:
        _begin(site, newer, name, since)
        snapshot.keep(site.code / name, newer.begun, name)
        if name not in wanted:
            (site.code / name).unlink()
    for name in [name for name in wanted if now.get(name) != wanted[name]]:
        path, new = site.code / name, before / snapshot.NEW
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        tree.copy_file(site.places.release(target.id) / "app" / name, new, files.mode(path) or 0o600)
        os.rename(new, path)
    code.forget_bytecode(site.code, wanted, now)


def _keep_written(site: Site, live: release.Manifest, newer: _Newer) -> None:
    """What the application has written beside its code, and would be gone with that release one day."""
    if not live.inputs.get("source"):
        return
    app = site.places.release(live.id) / "app"
    # What that release shares is a link in it: what only the earlier one does, is not.
    for name in shared.written(app, live.inputs["code"], []):
        _begin(site, newer, name, live.id)
        (newer.begun / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(app / name, newer.begun / name, follow_symlinks=False)


def _begin(site: Site, newer: _Newer, name: str, since: str) -> None:
    """Have a directory for a file that is kept."""
    if not newer.names:
        newer.begun, newer.kept = snapshot.begin(site.places.kept, since)
    newer.names.append(name)


def _forget(newer: _Newer) -> None:
    """Keep nothing, when the files are all where they were."""
    if newer.names and not (newer.before and os.path.lexists(newer.before)):
        shutil.rmtree(newer.begun, ignore_errors=True)
        files.remove_if_empty(newer.begun.parent)
        newer.names.clear()


@contextmanager
def _consequence(site: Site) -> Iterator[None]:
    """Have an error say what the failed rollback means for visitors."""
    try:
        yield
    except SiteError as error:
        error.advice = "The site was left as it was, and its files too. Another release may do: " + ", ".join(
            one.id for one in release.once_live(site.places)
        )
        raise
