"""A run: a list of sites, each brought to its wanted state by a worker of its own, and one report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from . import places, report, settings, workers
from .deploy import deploy
from .errors import SettingError, SiteError
from .outcome import FAILED, Outcome
from .site import Kit

# Beyond a site's own time limits: fork, look, switch, tidy.
_SLACK = 60


@dataclass(frozen=True)
class Run:
    """The sites of this machine and how to treat them. ``variables``: all ``ocf_flask_*`` there are, by full name."""

    variables: Mapping[str, Any]
    site: str
    owner: str
    elsewhere: Sequence[str]
    kit: Kit
    check: bool


def select(run: Run) -> list[Mapping[str, Any]]:
    """The entries that a run is about.

    :raises SettingError: for what is wrong with the run as a whole. Empty when another host has what was asked for.
    """
    wrong = settings.unknown(list(run.variables))
    if wrong:
        raise SettingError("\n".join(wrong))
    listed = run.variables.get(f"{settings.PREFIX}sites")
    if not listed and not run.elsewhere:
        return [_only_site(run)]
    entries = _entries(listed or [])
    default_owner = str(run.variables.get(f"{settings.PREFIX}owner") or "")
    chosen = [
        entry
        for entry in entries
        if (not run.site or entry["name"] == run.site) and (not run.owner or (entry.get("owner") or default_owner) == run.owner)
    ]
    if chosen or any(name for name in run.elsewhere if run.site in ("", name)):
        return chosen
    names = ", ".join(sorted({*(str(entry["name"]) for entry in entries), *run.elsewhere}))
    asked = " ".join(f"{key}={value}" for key, value in (("site", run.site), ("owner", run.owner)) if value)
    raise SettingError(f"No site matches {asked}. The sites of this inventory: {names}")


def _only_site(run: Run) -> Mapping[str, Any]:
    if not run.site:
        raise SettingError(
            "Which site? Type: ansible-playbook deploy.yml -e site=NAME, for example -e site=flasky. "
            "(For many sites, list them in the inventory as ocf_flask_sites.)"
        )
    entry = {"name": settings.check_name(run.site)}
    return {**entry, "owner": run.owner} if run.owner else entry


def _entries(listed: Any) -> list[Mapping[str, Any]]:
    if not isinstance(listed, (list, tuple)):
        raise SettingError(f"ocf_flask_sites is {listed!r}: it takes a list such as [{{name: flasky, owner: alice}}]")
    for entry in listed:
        if not isinstance(entry, Mapping) or not entry.get("name"):
            raise SettingError(f"ocf_flask_sites has the entry {entry!r}: each takes at least a name, as in {{name: flasky, owner: alice}}")
    return list(listed)


def execute(run: Run) -> list[Outcome]:
    """Deploy the selected sites.

    :raises SettingError: for what is wrong with the run as a whole; nothing is changed then.
    """
    entries = select(run)
    defaults = {key[len(settings.PREFIX) :]: value for key, value in run.variables.items()}
    outcomes: list[Outcome | None] = []
    jobs: list[workers.Job] = []
    for entry in entries:
        try:
            one = settings.read(entry, defaults)
            jobs.append(_job(one, run))
            outcomes.append(None)
        except SiteError as error:
            outcomes.append(_failure(str(entry.get("name")), str(entry.get("owner") or ""), error.message))
    _check_apart([job.settings for job in jobs if isinstance(job, _SiteJob)])
    answers = iter(workers.run(jobs, slots=max(1, min(len(jobs), os.cpu_count() or 1))))
    pending = iter(jobs)
    return [outcome or _outcome(next(answers), next(pending)) for outcome in outcomes]


@dataclass(frozen=True)
class _SiteJob(workers.Job):
    settings: settings.Settings


def _job(one: settings.Settings, run: Run) -> _SiteJob:
    owner = places.account(one.owner)
    me = os.getuid()
    limits = one.timeouts.lock + one.timeouts.build + one.smoke_test.timeout + one.timeouts.live + _SLACK
    kit = replace(run.kit, own_environment=owner.uid == me)
    # Only root can become somebody else; for anybody else the deploy itself says what is wrong.
    become = owner.name if me == 0 else ""
    return _SiteJob(become, limits, lambda: asdict(deploy(one, kit, check=run.check)), one)


def _check_apart(sites: Sequence[settings.Settings]) -> None:
    """No two sites of a run share a name and owner, or a directory."""
    seen: dict[tuple[str, str], str] = {}
    for one in sites:
        owner = places.account(one.owner)
        for what, value in (
            ("name", one.name),
            ("directory", _from_home(one.directory or f"~/public_html/{one.name}", owner)),
            ("private_directory", _from_home(one.private_directory or f"~/.ocf-flask/{one.name}", owner)),
        ):
            key = (what, value if what != "name" else f"{owner.name}/{value}")
            if key in seen:
                both = f"The sites {seen[key]} and {one.name} of {owner.name}"
                raise SettingError(f"{both} have the same {what}, {value}. Give each its own.")
            seen[key] = one.name


def _from_home(path: str, owner: places.Account) -> str:
    return f"{owner.home}/{path[2:]}" if path.startswith("~/") else path


def _failure(name: str, owner: str, message: str, detail: str = "") -> Outcome:
    return Outcome(name, owner=owner, state=FAILED, error=message, detail=detail)


def _outcome(answer: Mapping[str, Any] | str, job: workers.Job) -> Outcome:
    assert isinstance(job, _SiteJob)
    if isinstance(answer, str):
        first, _, rest = answer.partition("\n")
        return _failure(job.settings.name, job.owner, first, rest)
    # The answer comes from the owner's process: its form is checked, its texts are only ever shown.
    try:
        outcome: Outcome | None = Outcome(**answer)
    except TypeError:
        outcome = None
    if outcome is None or not outcome.is_sound():
        return _failure(job.settings.name, job.owner, "The deploy's answer has not the form of one.")
    outcome.name = job.settings.name
    return outcome


def result(outcomes: Sequence[Outcome], again: str) -> dict[str, Any]:
    """A run's result, as the module returns it; ``again`` as for `report.lines`."""
    failed = [outcome for outcome in outcomes if outcome.state == FAILED]
    found: dict[str, Any] = {
        "changed": any(outcome.changed for outcome in outcomes),
        "sites": [
            {**{key: value for key, value in asdict(outcome).items() if key != "diff"}, "changed": outcome.changed} for outcome in outcomes
        ],
        "report": report.lines(outcomes, again),
        "diff": [difference for outcome in outcomes for difference in outcome.diff],
    }
    if failed:
        found["failed"] = True
        found["msg"] = "\n".join(report.cause(outcome) for outcome in failed)
    return found
