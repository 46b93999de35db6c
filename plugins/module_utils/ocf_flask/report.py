"""What a run says at its end: a few lines for each site, in words that its owner knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import indent

from .deploy import Outcome

_PARTS = {
    "directory": "directory",
    "htaccess": ".htaccess",
    "run_fcgi": "run.fcgi",
    "virtualenv": "virtualenv",
    "packages": "packages",
    "code": "code",
    "settings": "settings",
}
_STEPS = ("directory", "htaccess", "run_fcgi", "virtualenv", "packages")
_SHOWN = 4


def lines(outcomes: Sequence[Outcome]) -> str:
    """The report of a run."""
    return "\n\n".join(printable(_one(outcome)) for outcome in outcomes)


def cause(outcome: Outcome) -> str:
    """A failed site in one line."""
    return printable(f"{outcome.name}: {outcome.error.splitlines()[0] if outcome.error else ''}")


def printable(text: str) -> str:
    """Without what a terminal would act on: the text may come from an application."""
    return re.sub(r"[^\n\t -~\u00a0-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)


def _one(outcome: Outcome) -> str:
    if outcome.state == "failed":
        return _failed(outcome)
    title = {
        "deployed": f"{outcome.name} is deployed.",
        "unchanged": f"{outcome.name} is up to date: nothing was changed.",
        "would change": f"{outcome.name} would be changed (check mode: nothing was).",
    }[outcome.state]
    rows = [("URL", f"{outcome.url}{f'  ({outcome.reached})' if outcome.reached else ''}")]
    rows.append(("Runs on", f"Python {outcome.python}{f', Flask {outcome.flask}' if outcome.flask else ''}"))
    rows += _tested(outcome)
    rows += _changes(outcome)
    text = [title, *(f"  {label:<11}{value}" for label, value in rows)]
    text += [f"  Note       {note}." if not note.endswith((".", ")")) else f"  Note       {note}" for note in outcome.notes]
    if outcome.state == "deployed":
        text.append(f"  Next time  after a change in {outcome.directory}, deploy again the same way: it tests the change, then reloads")
    return "\n".join(text)


def _tested(outcome: Outcome) -> list[tuple[str, str]]:
    tested = outcome.tested
    if not tested or outcome.state == "would change":
        return []
    seconds = f"{tested['seconds']:.2f} s, start included"
    what = f"GET {tested['path']} -> {tested['status']} in {seconds}" if tested["status"] else f"imported in {seconds}"
    return [("Tested", what + (f" (on {tested['at']})" if outcome.state == "unchanged" else ""))]


def _changes(outcome: Outcome) -> list[tuple[str, str]]:
    if outcome.state == "unchanged":
        return []
    rows = []
    for part, label in _PARTS.items():
        found = outcome.changes.get(part, [])
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            rows.append((label, ", ".join(found[:_SHOWN]) + more))
        elif part in _STEPS:
            rows.append((label, "as it was"))
    return rows


def _failed(outcome: Outcome) -> str:
    text = f"{outcome.name} was not deployed.\n\n{indent(outcome.error, '  ')}"
    if outcome.detail:
        text += f"\n\n{indent(outcome.detail, '    ')}"
    return text
