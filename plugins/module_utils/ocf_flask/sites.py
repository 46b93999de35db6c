"""The verbs that change sites: what the module ``ocf_flask_sites`` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from . import commands, explain, observe, report, settings
from .errors import SettingError
from .outcome import DONE, WOULD_CHANGE, Outcome
from .run import Run, Verb, execute, failures
from .site import Kit, Site, open_site

__all__ = ["VERBS", "Asked", "Kit", "Run", "SettingError", "execute", "result", "verb"]

VERBS = tuple(DONE)
# Beyond a site's own time limits: fork, look, switch, tidy.
_SLACK = 60


@dataclass(frozen=True)
class Asked:
    """What a run asks of a verb, besides the sites' settings: of each verb its own.

    ``command``: the command line of `run`.
    """

    command: str = ""


Work = Callable[[settings.Settings, Kit, Asked, bool], Outcome]


def verb(name: str, kit: Kit, asked: Asked, *, check: bool) -> Verb[Outcome]:
    """Do it to each site; with ``check``, only say how."""
    me = os.getuid()

    def work(one: settings.Settings) -> Outcome:
        return _WORK[name](one, replace(kit, own_environment=me == os.getuid()), asked, check)

    def seconds(one: settings.Settings) -> float:
        if name == "run":
            return one.timeouts.command + _SLACK
        # With a release command, the app is started once more.
        command = one.timeouts.command + one.smoke_test.timeout if one.release_command else 0
        return one.timeouts.lock + one.timeouts.build + one.smoke_test.timeout + command + one.timeouts.live + _SLACK

    return Verb(name, work, seconds, Outcome, _LOAD[name])


def deploy(one: settings.Settings, kit: Kit, asked: Asked = Asked(), check: bool = False) -> Outcome:
    """Bring one site to its wanted state; with ``check``, only say how. Never raises for what is wrong with the site."""
    outcome = Outcome(one.name, owner=one.owner)
    with outcome.recording():
        site = open_site(one, kit)
        view = observe.look(site)
        explain.describe(site, view, outcome)
        if view.plan.empty:
            pass
        elif check:
            outcome.state = WOULD_CHANGE
        else:
            _transaction()(site, outcome)
    return outcome


def run(one: settings.Settings, kit: Kit, asked: Asked, check: bool) -> Outcome:
    """Run a command in the live release of one site."""
    return commands.run(one, kit, asked.command, check)


def _transaction() -> Callable[[Site, Outcome], None]:
    """Imported when it is needed: a deploy with nothing to do is over before it would be."""
    from .deploy import carry_out

    return carry_out


_WORK: dict[str, Work] = {"deploy": deploy, "run": run}
_LOAD: dict[str, Callable[[], object]] = {"deploy": _transaction, "run": lambda: None}


def result(outcomes: Sequence[Outcome], again: str) -> dict[str, Any]:
    """What the module returns; ``again`` as for `report.lines`."""
    sites = [{**{key: value for key, value in asdict(one).items() if key != "diff"}, "changed": one.changed} for one in outcomes]
    return {
        "changed": any(outcome.changed for outcome in outcomes),
        "sites": sites,
        "report": report.lines(outcomes, again),
        "diff": [difference for outcome in outcomes for difference in outcome.diff],
        **failures(outcomes),
    }
