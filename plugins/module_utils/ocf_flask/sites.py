"""The verbs that change sites: what the module ``ocf_flask_sites`` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from . import explain, observe, report, settings
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
    """What a run asks of a verb, besides the sites' settings: of each verb its own."""


Work = Callable[[settings.Settings, Kit, Asked, bool], Outcome]


def verb(name: str, kit: Kit, asked: Asked, *, check: bool) -> Verb[Outcome]:
    """Do it to each site; with ``check``, only say how."""
    me = os.getuid()

    def work(one: settings.Settings) -> Outcome:
        return _WORK[name](one, replace(kit, own_environment=me == os.getuid()), asked, check)

    def seconds(one: settings.Settings) -> float:
        return one.timeouts.lock + one.timeouts.build + one.smoke_test.timeout + one.timeouts.live + _SLACK

    return Verb(name, work, seconds, Outcome, _LOAD[name])


def deploy(one: settings.Settings, kit: Kit, asked: Asked = Asked(), check: bool = False) -> Outcome:
    """Bring one site to its wanted state; with ``check``, only say how. Never raises for what is wrong with the site."""
    outcome = Outcome(one.name, owner=one.owner)
    with outcome.recording():
        site = _opened(one, kit)
        view = observe.look(site)
        explain.describe(site, view, outcome)
        if view.plan.empty:
            pass
        elif check:
            outcome.state = WOULD_CHANGE
        else:
            _transaction()(site, outcome)
    return outcome


def _opened(one: settings.Settings, kit: Kit) -> Site:
    site = open_site(one, kit)
    return _takeover()(site) if site.is_new and site.places.run_fcgi.exists() else site


def _takeover() -> Callable[[Site], Site]:
    """Imported when it is needed: few sites were made by hand."""
    from .takeover import recognised

    return recognised


def _transaction() -> Callable[[Site, Outcome], None]:
    """Imported when it is needed: a deploy with nothing to do is over before it would be."""
    from .deploy import carry_out

    return carry_out


_WORK: dict[str, Work] = {"deploy": deploy}
_LOAD: dict[str, Callable[[], object]] = {"deploy": lambda: (_transaction(), _takeover())}


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
