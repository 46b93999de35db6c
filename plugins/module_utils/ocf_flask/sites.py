"""The verbs that change sites: what the module ``ocf_flask_sites`` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, ClassVar

from . import explain, observe, places, report, scratch, settings
from .errors import SettingError
from .outcome import DONE, UNCHANGED, WOULD_CHANGE, Outcome, Record, are_texts
from .progress import writer
from .revision import Brought
from .run import Run, Verb, asked_for_elsewhere, execute, failures, select
from .secrets import put_back
from .site import Kit, Site, open_site
from .words import printable

__all__ = [
    "VERBS",
    "Asked",
    "Kit",
    "Run",
    "SettingError",
    "brought",
    "execute",
    "missing",
    "put_back",
    "refuse_many",
    "result",
    "verb",
    "writer",
]

VERBS = tuple(DONE)
# Beyond a site's own time limits: fork, look, switch, tidy.
_SLACK = 60


@dataclass(frozen=True)
class Asked:
    """What a run asks of a verb, besides the sites' settings: of each verb its own.

    ``brought``: the directories of the controller from which sites are deployed.
    ``packages``: the names of those to upgrade; empty for all.
    ``command``: the command line of `run`.
    ``release``: the ID of the one to roll back to, and ``archive`` the name of the archive to restore; empty for the latest.
    """

    brought: Brought = field(default_factory=Brought)
    packages: tuple[str, ...] = ()
    command: str = ""
    release: str = ""
    archive: str = ""


Work = Callable[[settings.Settings, Kit, Asked, bool], Outcome]


def verb(name: str, kit: Kit, asked: Asked, *, check: bool) -> Verb[Outcome]:
    """Do it to each site; with ``check``, only say how."""
    me = os.getuid()

    def work(one: settings.Settings) -> Outcome:
        return _WORK[name](one, replace(kit, own_environment=me == os.getuid()), asked, check)

    def seconds(one: settings.Settings) -> float:
        if name == "run":
            return one.timeouts.command + _SLACK
        # A repository has as long as a virtualenv, an upgrade makes two, and with a release command, the app is started once more.
        builds = one.timeouts.build * (1 + one.is_repository + (name == "upgrade"))
        command = one.timeouts.command + one.smoke_test.timeout if one.release_command else 0
        return one.timeouts.lock + builds + one.smoke_test.timeout + command + one.timeouts.live + _SLACK

    return Verb(name, work, seconds, Outcome, _LOAD[name])


def deploy(one: settings.Settings, kit: Kit, asked: Asked = Asked(), check: bool = False) -> Outcome:
    """Bring one site to its wanted state; with ``check``, only say how. Never raises for what is wrong with the site."""
    outcome = Outcome(one.name, owner=one.owner)
    with outcome.recording():
        site = _settled(_opened(one, kit), asked)
        if site.awaits_code and not check:
            _transaction()(site, outcome)
            return outcome
        with _staged(site) as site:
            view = observe.look(site)
            explain.describe(site, view, outcome)
            was_interrupted = site.places.temporary.exists()
            if view.plan.empty and was_interrupted:
                outcome.changes = dict(explain.SWEPT)
            if view.plan.empty and not was_interrupted:
                pass
            elif check:
                outcome.state = WOULD_CHANGE
            else:
                _transaction()(site, outcome)
    return outcome


def upgrade(one: settings.Settings, kit: Kit, asked: Asked = Asked(), check: bool = False) -> Outcome:
    """Take newer packages for one site, as its requirements allow; with ``check``, only say which."""
    outcome = Outcome(one.name, owner=one.owner, verb="upgrade")
    with outcome.recording():
        with _staged(_settled(open_site(one, kit), asked)) as site:
            _upgrade()(site, asked.packages, outcome, check=check)
    return outcome


def _settled(site: Site, asked: Asked) -> Site:
    """The site with the revision that is wanted of code that the deploy brings."""
    return _source().settle(site, asked.brought) if site.settings.is_managed else site


@contextmanager
def _staged(site: Site) -> Iterator[Site]:
    """The site with its code where it can be looked at, for as long as the block runs; nothing of the owner's is touched."""
    if not site.awaits_code:
        yield site
        return
    with scratch.directory() as place:
        yield _source().stage(site, place / "app", place / "repository")


def brought(sources: Mapping[str, Mapping[str, Any]], delivery: str) -> Brought:
    """What the controller brings; opened before a worker becomes another account.

    :param delivery: the path of what it has sent; empty when that is nothing.
    """
    if not delivery:
        return Brought(sources)
    from .delivery import Delivery

    return Brought(sources, Delivery(delivery))


def missing(run: Run, given: Brought) -> list[str]:
    """The contents, by digest, that the controller has to bring before the sites of a run can be deployed.

    :raises SettingError: for what is wrong with the run as a whole.
    """

    def work(one: settings.Settings) -> Needed:
        found = Needed(one.name, state=UNCHANGED)
        with found.recording():
            found.digests = _source().missing(one, given)
        return found

    looked = execute(run, Verb("look", work, lambda one: _SLACK, Needed, _source))
    return sorted({digest for found in looked for digest in found.digests})


@dataclass
class Needed(Record):
    """What a site lacks of the controller's directory. What is wrong with a site, its deploy will say."""

    states: ClassVar[tuple[str, ...]] = (UNCHANGED, *Record.states)

    digests: list[str] = field(default_factory=list)

    def is_sound(self) -> bool:
        return super().is_sound() and are_texts(self.digests)


def _source() -> ModuleType:
    """Imported when it is needed: for managed code."""
    from . import source

    return source


def _opened(one: settings.Settings, kit: Kit) -> Site:
    site = open_site(one, kit)
    if site.is_new and site.places.run_fcgi.exists():
        return _takeover()(site)
    if site.is_new:
        places.check_apart(site.places, site.owner, one.name)
    return site


def _takeover() -> Callable[[Site], Site]:
    """Imported when it is needed: few sites were made by hand."""
    from .takeover import recognised

    return recognised


def run(one: settings.Settings, kit: Kit, asked: Asked, check: bool) -> Outcome:
    """Run a command in the live release of one site."""
    outcome: Outcome = _commands().run(one, kit, asked.command, check)
    return outcome


def refuse_many(name: str, run: Run, *, sure: bool) -> None:
    """Remove more than one site only when that was said.

    :raises SettingError: when it was not.
    """
    if name != "remove" or sure:
        return
    several = [str(entry["name"]) for entry in select(run)]
    # Each host has a run of its own.
    several += asked_for_elsewhere(run)
    if len(several) > 1:
        names = ", ".join(several)
        raise SettingError(
            f"This would remove {len(several)} sites: {names}. Name one with -e site=NAME, or say that you mean all of them: -e all=true"
        )


def _transaction() -> Callable[[Site, Outcome], None]:
    """Imported when it is needed: a deploy with nothing to do is over before it would be."""
    from .deploy import carry_out

    return carry_out


def _commands() -> ModuleType:
    """Imported when it is needed: with what speaks to web servers, it takes a fifth as long as all else."""
    from . import commands

    return commands


def _upgrade() -> Callable[..., None]:
    from .upgrade import upgrade as work

    return work


def _rollback() -> Callable[..., None]:
    from .rollback import rollback as work

    return work


def _remove() -> Callable[..., None]:
    from .remove import remove as work

    return work


def _restore() -> Callable[..., None]:
    from .restore import restore as work

    return work


def _on_site(name: str, load: Callable[[], Callable[..., None]], *given: str) -> Work:
    """A verb that is done to a site as it is.

    :param load: imports what does it.
    :param given: what of `Asked` it takes.
    """

    def work(one: settings.Settings, kit: Kit, asked: Asked, check: bool) -> Outcome:
        outcome = Outcome(one.name, owner=one.owner, verb=name)
        with outcome.recording():
            load()(open_site(one, kit), *(getattr(asked, key) for key in given), outcome, check=check)
        return outcome

    return work


rollback = _on_site("rollback", _rollback, "release")
remove = _on_site("remove", _remove)
restore = _on_site("restore", _restore, "archive")
_WORK: dict[str, Work] = {
    "deploy": deploy,
    "upgrade": upgrade,
    "run": run,
    "rollback": rollback,
    "remove": remove,
    "restore": restore,
}
_LOAD: dict[str, Callable[[], object]] = {
    "deploy": lambda: (_transaction(), _takeover()),
    "upgrade": _upgrade,
    "run": _commands,
    "rollback": _rollback,
    "remove": _remove,
    "restore": _restore,
}


def result(outcomes: Sequence[Outcome], again: str) -> dict[str, Any]:
    """What the module returns; ``again`` as for `report.lines`."""
    return {
        "changed": any(outcome.changed for outcome in outcomes),
        "sites": [one.result() for one in outcomes],
        "report": report.lines(outcomes, again),
        "diff": [{key: printable(text) for key, text in one.items()} for outcome in outcomes for one in outcome.diff],
        **failures(outcomes),
    }
