"""Newer versions of a site's packages, as far as the requirements allow: a deploy that lets go of versions once installed.

What there is to be had is found out first, in a virtualenv that is thrown away: so a site with nothing to upgrade, and
check mode, change nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from . import deploy, explain, observe, plan, release, scratch, virtualenv
from .errors import SettingError, SiteError
from .outcome import WOULD_CHANGE, Outcome
from .site import Site


def names(asked: Sequence[str], installed: Mapping[str, str]) -> frozenset[str]:
    """The normalized names of the packages to upgrade; all that are installed when none is named.

    :raises SettingError: for one that is not installed.
    """
    wanted = {virtualenv.normalize(name.strip()): name.strip() for name in asked if name.strip()}
    unknown = [name for key, name in wanted.items() if key not in installed]
    if unknown:
        there = ", ".join(sorted(installed))
        raise SettingError(
            f"The site has no package {', '.join(unknown)} to upgrade. Installed are: {there}. Name some of these, or none for all."
        )
    return frozenset(wanted or installed)


def loosened(view: observe.View, upgraded: frozenset[str], *, everything: bool) -> plan.Plan:
    """The plan with those versions let go. What was installed by hand is upgraded only when it is named."""
    pins = {name: version for name, version in view.plan.pins.items() if name not in upgraded}
    held = view.plan.by_hand if everything else {name: version for name, version in view.plan.by_hand.items() if name not in upgraded}
    named = {} if everything else {name: "" for name in view.plan.by_hand if name in upgraded}
    return replace(view.plan, virtualenv=plan.BUILD, pins=pins, by_hand={**held, **named})


def upgrade(site: Site, packages: Sequence[str], outcome: Outcome, *, check: bool) -> None:
    """Upgrade one site; with ``check``, only say what would change.

    :raises SiteError: when it is not deployed, a name is not a package of its, or the deploy fails.
    """
    if release.last_live(site.places) is None:
        raise SiteError(f"{site.settings.name} is not deployed yet, so there is nothing to upgrade. Type: {site.again('deploy')}")
    view = observe.look(site)
    before = view.observed.installed
    upgraded = names(packages, before)
    after = _newest(site, replace(view, plan=loosened(view, upgraded, everything=not packages)))
    revised = _revision(before, after)
    explain.describe(site, view if after == before else revised(view), outcome)
    if after == before:
        outcome.changes = {}
        if not check:
            deploy.finish(site, outcome)
        outcome.notes += _held(site, packages)
        return
    outcome.notes += _code_notes(view)
    if check:
        outcome.state = WOULD_CHANGE
        return
    deploy.carry_out(site, outcome, lambda site: revised(observe.look(site)))
    outcome.notes += _code_notes(view)


def _newest(site: Site, view: observe.View) -> dict[str, str]:
    """What an installation would give at this moment, tried out of the way."""
    # Where there is room: /tmp may lie in memory.
    place = site.env.get("TMPDIR") or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else None)
    with scratch.directory(place) as directory:
        # What the store has may be older than what there is.
        deploy.build_virtualenv(site, view, directory / "venv", directory, shared=False)
        return virtualenv.installed(directory / "venv")


def _revision(before: Mapping[str, str], after: Mapping[str, str]) -> Callable[[observe.View], observe.View]:
    """What makes an upgrade of the plan of a deploy: the versions that were found."""
    changes = [plan.Change("packages", what) for what in explain.package_changes(before, after)]

    def revised(view: observe.View) -> observe.View:
        if view.observed.installed == after:
            # Another upgrade has ended meanwhile.
            return view
        todo = view.plan
        by_hand = {name: after.get(name, version) for name, version in todo.by_hand.items()}
        others = [change for change in todo.changes if change.part != "packages"]
        restart = [] if any(change.part == "run_fcgi" for change in others) else [plan.Change("run_fcgi", "starts the new release")]
        ordered = sorted([*others, *restart, *changes], key=lambda change: plan.PARTS.index(change.part))
        return replace(
            view,
            plan=replace(
                todo, changes=tuple(ordered), release=True, virtualenv=plan.BUILD, pins=after, by_hand=by_hand, run_fcgi=True, links=True
            ),
        )

    return revised


def _code_notes(view: observe.View) -> list[str]:
    if any(change.part == "code" for change in view.plan.changes):
        return ["The code was changed since the last deploy, and goes along"]
    return []


def _held(site: Site, packages: Sequence[str]) -> list[str]:
    locked = {virtualenv.requirement_name(line) for line in site.needs.locked}
    if locked and (not packages or not locked.isdisjoint(map(virtualenv.normalize, packages))):
        return [
            f"{site.needs.stated} decides about versions. For newer ones, type where your project is: uv lock --upgrade. "
            f"Then: {site.again('deploy')}"
        ]
    if packages and site.needs.files:
        return [f"Newer versions than these, if there are any, {site.needs.files[0].name} or another package does not allow"]
    return []
