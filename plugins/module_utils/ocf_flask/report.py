"""What a run says at its end: a few lines for each site, in words that its owner knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from textwrap import indent

from .outcome import DONE, FAILED, SKIPPED, UNCHANGED, WOULD_CHANGE, Outcome, Record
from .words import printable, some

_PARTS = {
    "takeover": "Taken over",
    "directory": "directory",
    "htaccess": ".htaccess",
    "run_fcgi": "run.fcgi",
    "virtualenv": "virtualenv",
    "packages": "packages",
    "code": "code",
    "static": "static",
    "settings": "settings",
    "command": "command",
    "cron": "crontab",
    "permissions": "permissions",
}
_STEPS = ("directory", "htaccess", "run_fcgi", "virtualenv", "packages")
_SHOWN = 4
# Of what a release command printed, so many lines.
_PRINTED = 10
# Of more sites than these, a run shows a table.
_IN_FULL = 4
_COLUMNS = ("site", "owner", "result", "seconds", "")


def lines(outcomes: Sequence[Outcome], again: str) -> str:
    """The report of a run. ``again``: the command for a verb and a site, with ``{verb}`` and ``{name}`` for their names."""
    if len(outcomes) > _IN_FULL:
        return _overview(outcomes)
    return "\n\n".join(printable(_one(outcome, again)) for outcome in outcomes)


def _overview(outcomes: Sequence[Outcome]) -> str:
    """How many came out how, and a line for each site of which there is something to say."""
    counted = Counter(one.state for one in outcomes)
    heading = f"{len(outcomes)} sites: {', '.join(f'{counted[state]} {state}' for state in Outcome.states if counted[state])}."
    rows = [(one.name, one.owner, one.state, f"{one.seconds:.1f}", _gist(one)) for one in outcomes if one.state != UNCHANGED]
    return printable("\n".join([heading, *(["", *table(_COLUMNS, rows)] if rows else [])]))


def _gist(outcome: Outcome) -> str:
    """What a staff member wants to read of a site, in one line."""
    if outcome.state in Record.states:
        return outcome.cause()
    packages = outcome.changes.get("packages", [])
    return some([*outcome.changes.get("virtualenv", []), *packages, *outcome.changes.get("code", [])], _SHOWN)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells in columns, below their headings."""
    cells = [[" ".join(printable(cell).split()) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def cause(record: Record) -> str:
    """A failed site in one line."""
    return f"{printable(record.name)}: {record.cause()}"


def _one(outcome: Outcome, again: str) -> str:
    if outcome.state == SKIPPED:
        return failure(outcome, f"{outcome.name} was skipped.")
    if outcome.state == FAILED and outcome.verb == "run" and outcome.commanded:
        return failure(outcome, f"A command of {outcome.name} failed.")
    if outcome.state == FAILED:
        return failure(outcome, f"{outcome.name} was not {DONE[outcome.verb]}.")
    if outcome.verb == "run":
        return _ran(outcome)
    if outcome.verb == "remove":
        return _removed(outcome, again)
    title = {
        UNCHANGED: f"{outcome.name} is up to date: nothing was changed.",
        WOULD_CHANGE: f"{outcome.name} would be changed (check mode: nothing was).",
    }.get(outcome.state, f"{outcome.name} is {outcome.state}.")
    rows = [_url(outcome)]
    rows += [("Also at", ", ".join(outcome.urls))] if outcome.urls else []
    rows += [("Runs on", f"Python {outcome.python}{f', Flask {outcome.flask}' if outcome.flask else ''}")] if outcome.python else []
    rows += _tested(outcome)
    rows += _changes(outcome)
    text = [title, *_lines(rows, outcome.notes), *_printed(outcome)]
    if outcome.to_declare and outcome.state != UNCHANGED:
        text.append(f"  Settings   it keeps these. To see and change them, write into {outcome.declared_in}:")
        text.append(indent(outcome.to_declare, " " * 13))
    if outcome.state in (DONE["deploy"], DONE["rollback"], DONE["restore"]) and outcome.next_time:
        text.append(f"  Next time  {outcome.next_time}, then: {again.format(verb='deploy', name=outcome.name)}")
    return "\n".join(text)


def _lines(rows: Sequence[tuple[str, str]], notes: Sequence[str]) -> list[str]:
    found = [f"  {label:<10} {value}" for label, value in rows]
    return found + [f"  Note       {note}." if not note.endswith((".", ")")) else f"  Note       {note}" for note in notes]


def _printed(outcome: Outcome) -> list[str]:
    """The end of what the release command printed: of a database's upgrade its owner wants to know what it did."""
    printed = outcome.output.strip().splitlines()
    end = printed if len(printed) <= _PRINTED else ["...", *printed[-_PRINTED:]]
    return ["  Printed    by the release command:", indent("\n".join(end), " " * 13)] if printed else []


def _url(outcome: Outcome) -> tuple[str, str]:
    return "URL", f"{outcome.url}{f'  ({outcome.reached})' if outcome.reached else ''}"


def _removed(outcome: Outcome, again: str) -> str:
    """What became of a site that is no more."""
    rows = [_url(outcome), *((_PARTS[part], some(found, _SHOWN)) for part, found in outcome.changes.items())]
    if outcome.state == WOULD_CHANGE:
        return "\n".join([f"{outcome.name} would be removed (check mode: nothing was).", *_lines(rows, outcome.notes)])
    rows.append(("Undo", again.format(verb="restore", name=outcome.name)))
    rows.append(("For good", f"rm -r {outcome.archive}"))
    return "\n".join([f"{outcome.name} is removed: it answers nobody any more.", *_lines(rows, outcome.notes)])


def _ran(outcome: Outcome) -> str:
    """A command's output as it is, below a heading that tells one site's from another's."""
    command = some(outcome.changes.get("command", []))
    if outcome.state == WOULD_CHANGE:
        return f"{outcome.name} would run, in the release {outcome.release}: {command}"
    return f"{outcome.name} has run, in the release {outcome.release}: {command}\n\n{outcome.output}".rstrip()


def _tested(outcome: Outcome) -> list[tuple[str, str]]:
    tested = outcome.tested
    if not tested or outcome.state == WOULD_CHANGE:
        return []
    seconds = f"{tested['seconds']:.2f} s, start included"
    what = f"GET {tested['path']} -> {tested['status']} in {seconds}" if tested["status"] else f"imported in {seconds}"
    return [("Tested", what + (f" (on {tested['at']})" if outcome.state == UNCHANGED else ""))]


def _changes(outcome: Outcome) -> list[tuple[str, str]]:
    if outcome.state == UNCHANGED:
        return []
    rows = []
    for part, label in _PARTS.items():
        found = outcome.changes.get(part, [])
        if found:
            rows.append((label, some(found, _SHOWN)))
        elif part in _STEPS and outcome.verb != "restore":
            rows.append((label, "as it was"))
    return rows


def failure(record: Record, title: str) -> str:
    """All that is known of what went wrong, below a title."""
    text = f"{title}\n\n{indent(record.error, '  ')}"
    if record.detail:
        text += f"\n\n{indent(record.detail, '    ')}"
    if record.advice:
        text += f"\n\n{indent(record.advice, '  ')}"
    return text
