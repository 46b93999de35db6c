"""What the verbs ``status`` and ``logs`` show."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent

from .moments import ago
from .outcome import Record
from .report import cause, failure, table
from .status import ABSENT, DEPLOYED, FOREIGN, Status
from .words import printable, some

_HEADINGS = ("site", "owner", "state", "Python", "Flask", "deployed", "disk", "test")
# Of the earlier releases, as many are named.
_SHOWN = 3
_ADVICE = {
    ABSENT: ("There is no site of that name. To deploy one: {}", "deploy"),
    FOREIGN: ("When a deploy replaces its run.fcgi, it keeps it as a dated copy", ""),
}


def status(found: Sequence[Status], again: str) -> str:
    """One site in some lines, several in a table and what is wrong with them. ``again`` as for `report.lines`."""
    if len(found) == 1:
        return printable(_one(found[0], again))
    said = [line for one in found for line in _remarks(one)]
    return printable("\n".join([*table(_HEADINGS, [_row(one) for one in found]), *([""] if said else []), *said]))


def logs(found: Sequence[Status], again: str) -> str:
    """The end of each site's log. ``again`` as for `report.lines`."""
    return "\n\n".join(printable(_log(one, again)) for one in found)


def _one(site: Status, again: str) -> str:
    if site.state in Record.states:
        return failure(site, f"{site.name} could not be looked at.")
    rows = [("URL", site.url), ("Owner", site.owner), ("Directory", f"{site.directory}  ({_megabytes(site.disk)} with its releases)")]
    rows[1:1] = [("Also at", ", ".join(site.urls))] if site.urls else []
    if site.state == DEPLOYED:
        flask = site.packages.get("flask")
        others = ", ".join(f"{name} {version}" for name, version in site.packages.items() if name != "flask")
        rows += [
            ("App", f"{site.app}, served by {site.server}"),
            *([("Code", site.source)] if site.source else []),
            ("Runs on", f"Python {site.python}{f', Flask {flask}' if flask else ''}"),
            ("Packages", others or "none"),
            ("Release", f"{site.release}, deployed on {site.deployed} ({ago(site.deployed)})"),
            ("Earlier", some(site.earlier, _SHOWN) if site.earlier else "none"),
            ("Test now", _test(site)),
        ]
        rows += [("Taken over", f"from one made by hand, on {site.taken_over}")] if site.taken_over else []
    rows += [("Last errors" if number == 0 else "", line) for number, line in enumerate(site.errors.splitlines())]
    if site.log:
        rows.append(("Last logged", site.log.rpartition("\n")[2]))
    rows += [("Note", f"{note}.") for note in [*site.notes, *_advice(site, again)]]
    text = [f"{site.name} is {site.state}.", *(f"  {label:<12}{value}" for label, value in rows)]
    return "\n".join(text) + (f"\n\n{indent(site.problem, '    ')}" if site.problem else "")


def _row(site: Status) -> tuple[str, ...]:
    python = site.python if site.python_runs or not site.python else f"{site.python} is gone"
    tested = _test(site) if site.state == DEPLOYED else ""
    return site.name, site.owner, site.state, python, site.packages.get("flask", ""), site.deployed, _megabytes(site.disk), tested


def _remarks(site: Status) -> list[str]:
    if site.state in Record.states:
        return [cause(site)]
    return [f"{site.name} of {site.owner}: {remark}" for remark in (*filter(None, [site.cause()]), *site.notes)]


def _advice(site: Status, again: str) -> list[str]:
    if site.state == ABSENT and site.archives:
        return [
            f"It was removed, and is in ~/ocf-flask-removed/{site.archives[0]}. To have it back: {again.format(verb='restore', name=site.name)}"
        ]
    text, verb = _ADVICE.get(site.state, ("", ""))
    return [text.format(again.format(verb=verb, name=site.name))] if text else []


def _test(site: Status) -> str:
    if site.problem:
        return "FAILED"
    if not site.tested:
        return "not made"
    what = f"GET {site.tested['path']} -> {site.tested['status']}" if site.tested["status"] else "imported"
    return f"{what} in {site.tested['seconds']:.2f} s"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _log(site: Status, again: str) -> str:
    if site.state in Record.states:
        return failure(site, f"The log of {site.name} could not be read.")
    if site.state == ABSENT and not site.log:
        return f"{site.name} has no log. {' '.join(_advice(site, again))}"
    if not site.log:
        return f"{site.name} has logged nothing yet. What its app prints, logs and raises comes into {site.log_file}"
    return f"The end of {site.log_file}:\n\n{site.log}"
