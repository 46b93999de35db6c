"""A run: a list of sites, each worked on by a process of its own, and a record of each."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from . import environment, masking, places, report, settings, workers
from .errors import SettingError, SiteError
from .outcome import FAILED, SKIPPED, Record
from .reader import without_credentials
from .words import some

# Names of sites in a message: an inventory may have thousands.
_SHOWN = 20
AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class Run:
    """The sites of this machine that a run is about. ``variables``: all ``ocf_flask_*`` there are, by full name. ``only``: of
    those listed these, each as ``owner/name``. ``elsewhere``: those of the play's other hosts, likewise; an owner that is not known
    is left out."""

    variables: Mapping[str, Any]
    site: str
    owner: str
    elsewhere: Sequence[str]
    only: Sequence[str] = ()


@dataclass(frozen=True)
class Verb(Generic[AnyRecord]):
    """What is done to each site, as its owner: at most within how many seconds, and what comes of it.

    ``load`` imports what the work may need: nothing of the payload can be imported by a process that has become another.
    """

    name: str
    work: Callable[[settings.Settings], AnyRecord]
    seconds: Callable[[settings.Settings], float]
    record: type[AnyRecord]
    load: Callable[[], object] = lambda: None


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
    owners = {id(entry): owner_of(run, entry) for entry in entries}
    chosen = [entry for entry in entries if _is_asked_for(run, str(entry["name"]), owners[id(entry)])]
    if chosen or asked_for_elsewhere(run):
        return chosen
    names = sorted({*(str(entry["name"]) for entry in entries), *(name for name, _ in _others(run))})
    near = difflib.get_close_matches(run.site, names, n=3)
    asked = " ".join(f"{key}={value}" for key, value in (("site", run.site), ("owner", run.owner), ("only", ", ".join(run.only))) if value)
    meant = f"Did you mean {' or '.join(near)}? " if near and run.site not in names else ""
    raise SettingError(f"No site matches {asked}. {meant}The sites of this inventory: {some(names, _SHOWN)}")


def asked_for_elsewhere(run: Run) -> list[str]:
    """The names of the sites of other hosts that are asked for too."""
    return [name for name, owner in _others(run) if _is_asked_for(run, name, owner)]


def _others(run: Run) -> list[tuple[str, str]]:
    return [(name, owner) for owner, _, name in (one.rpartition("/") for one in run.elsewhere)]


def _is_asked_for(run: Run, name: str, owner: str) -> bool:
    """Whether a site is among those; an owner that is not known may be anybody."""
    listed = run.only if owner else [one.rpartition("/")[2] for one in run.only]
    return (
        run.site in ("", name)
        and (not run.owner or owner in ("", run.owner))
        and (not run.only or (f"{owner}/{name}" if owner else name) in listed)
    )


def owner_of(run: Run, entry: Mapping[str, Any]) -> str:
    """The account whose site an entry is; without any, the one that this process runs as."""
    return str(entry.get("owner") or run.variables.get(f"{settings.PREFIX}owner") or places.account("").name)


def _only_site(run: Run) -> Mapping[str, Any]:
    if not run.site:
        raise SettingError(
            "Which site? Add -e site=NAME, for example: -e site=flasky\n"
            "(For many sites, list them in the inventory as ocf_flask_sites. inventory/staff is an example, whose list is empty.)"
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


def execute(run: Run, verb: Verb[AnyRecord], tell: Callable[[AnyRecord, int], None] = lambda record, total: None) -> list[AnyRecord]:
    """Do it to the selected sites.

    :param tell: told of each site's record when there is one, and of how many there will be.
    :returns: a record for each, in the order of the list.
    :raises SettingError: for what is wrong with the run as a whole; nothing is changed then.
    """
    entries = select(run)
    defaults = {key[len(settings.PREFIX) :]: value for key, value in run.variables.items()}
    records: list[AnyRecord | None] = []
    chosen: list[settings.Settings] = []
    jobs: list[workers.Job] = []
    for entry in entries:
        try:
            one = settings.read(entry, defaults)
            jobs.append(_job(one, verb))
            chosen.append(one)
            records.append(None)
        except SiteError as error:
            records.append(_failure(verb, str(entry.get("name")), owner_of(run, entry), error.message))
    _check_apart(chosen)
    if any(places.account(one.owner).uid != os.getuid() for one in chosen):
        verb.load()
    for record in filter(None, records):
        tell(record, len(records))
    places_of = [place for place, record in enumerate(records) if record is None]

    def done(index: int, answer: Mapping[str, Any] | str) -> None:
        record = records[places_of[index]] = _record(verb, answer, chosen[index])
        tell(record, len(records))

    workers.run(jobs, slots=max(1, min(len(jobs), os.cpu_count() or 1)), done=done)
    return [record for record in records if record is not None]


def _job(one: settings.Settings, verb: Verb[AnyRecord]) -> workers.Job:
    owner = places.account(one.owner)
    # Only root can become somebody else; for anybody else the work itself says what is wrong.
    become = owner.name if os.getuid() == 0 else ""
    return workers.Job(become, verb.seconds(one), lambda: _answer(verb.work(one), one), verb.name)


def _answer(record: Record, one: settings.Settings) -> dict[str, Any]:
    """What a worker hands back: the record, without the values of variables and the passwords of URLs in what it quotes."""
    if not any(getattr(record, field) for field in record.quoting):
        return asdict(record)
    environments, plain = [one.env], [one.name, one.owner, one.app, *one.packages]
    with suppress(SiteError, OSError):
        where = places.locate(one, places.account(one.owner))
        environments += [environment.read(path) for path in where.releases.glob("*")]
        plain += [str(where.site), str(where.private), places.public_url(one, places.account(one.owner))]
    quoted = {field: without_credentials(masking.mask(getattr(record, field), environments, plain)) for field in record.quoting}
    return {**asdict(record), **quoted}


def _check_apart(sites: Sequence[settings.Settings]) -> None:
    """No two sites of a run share a name and owner, or a directory."""
    seen: dict[tuple[str, str], str] = {}
    for one in sites:
        owner = places.account(one.owner)
        for what, usual, given in (
            ("name", "", one.name),
            ("directory", f"{places.WEB_SPACE}/", one.directory),
            ("private_directory", f"{places.PRIVATE}/", one.private_directory),
        ):
            value = str(places.absolute(given or usual + one.name, owner))
            key = (what, value if usual else f"{owner.name}/{value}")
            if key in seen:
                both = f"The sites {seen[key]} and {one.name} of {owner.name}"
                advice = f"Leave {what} away, and each has its own, {usual}NAME." if usual else "Take one of them out."
                raise SettingError(f"{both} have the same {what}, {value}. {advice}")
            seen[key] = one.name


def _failure(verb: Verb[AnyRecord], name: str, owner: str, message: str, detail: str = "") -> AnyRecord:
    return verb.record(name, owner=owner, state=FAILED, error=message, detail=detail)


def _record(verb: Verb[AnyRecord], answer: Mapping[str, Any] | str, one: settings.Settings) -> AnyRecord:
    owner = places.account(one.owner).name
    if isinstance(answer, str):
        first, _, rest = answer.partition("\n")
        return _failure(verb, one.name, owner, first, rest)
    # The answer comes from the owner's process: its form is checked, its texts are only ever shown.
    try:
        record: AnyRecord | None = verb.record(**answer)
    except TypeError:
        record = None
    if record is None or not record.is_sound() or getattr(record, "verb", verb.name) != verb.name:
        return _failure(verb, one.name, owner, f"The {verb.name}'s answer has not the form of one.")
    record.name, record.owner = one.name, owner
    return record


def failures(records: Sequence[Record]) -> dict[str, Any]:
    """The part of a module's result that says which sites failed, and why. A run that has skipped all of them has done nothing."""
    failed = [record for record in records if record.state == FAILED] or (
        list(records) if all(record.state == SKIPPED for record in records) else []
    )
    return {"failed": True, "msg": "\n".join(report.cause(record) for record in failed)} if failed else {}
