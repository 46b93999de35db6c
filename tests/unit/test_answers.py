"""What a worker answers comes from a process of the site's owner: whatever it is, its parent makes a report of it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

import ocf_flask_report as pages
from ocf_flask import accounts, places, settings, sites, sites_info, workers
from ocf_flask.outcome import DONE, FAILED, Outcome, Record
from ocf_flask.run import _record
from ocf_flask.status import Status

ONE = settings.Settings("flasky")
VERBS = {
    "deploy": sites.verb("deploy", sites.Kit("", "", "", "", "", "", "", ""), sites.Asked(), check=False),
    "status": sites_info.looking(test=True, log_lines=1),
}
TEST = {"path": "/", "status": 200, "seconds": 0.1, "at": "now"}
HOSTILE = (
    "\ud800", "\udcff", "\x1b[2J\x1b]0;owned\x07", "\r\u202e\u2028\x85", "<script>alert(1)</script>", "{{ lookup('pipe', 'id') }}", "=1+1", "{0.__class__}",
    "\0", "x\n- y: z", 10**400, -(10**400), float("nan"), float("inf"), 1e308, True, None, [], {}, [[]], {"": {}}, "deploy", "run", "remove",
    *Outcome.states, *Status.states,
)  # fmt: skip


def deep(levels: int = 900) -> Any:
    found: Any = []
    for _ in range(levels):
        found = [found]
    return found


def sent(answer: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """The answer as it comes out of a worker's pipe."""
    (result,) = workers.run([workers.Job("", 20, lambda: answer)], 1)
    return result


def reported(verb: str, answer: Mapping[str, Any] | str, directory: Path) -> tuple[Any, str]:
    """The record that the parent makes of it, and all that a run then shows and writes."""
    read = (
        workers.clean(answer) if isinstance(answer, str) else workers._parsed(json.dumps(answer).encode()) or "It ended without an answer."
    )
    record: Any = _record(VERBS[verb], read, ONE)
    if verb == "deploy":
        result = sites.result([record], "make {verb} site={name}")
        sites.result([record] * 5, "make {verb} site={name}")
    else:
        result = sites_info.result([record], "make {verb} site={name}", logs=False)
        sites_info.result([record] * 2, "make {verb} site={name}", logs=False)
        sites_info.result([record], "make {verb} site={name}", logs=True)
    said = pages.write(str(directory), "web1", verb, json.loads(json.dumps(result))["sites"], check=False)
    assert "could not be written" not in said
    json.dumps(result, ensure_ascii=False).encode()
    return record, result["report"]


@pytest.mark.parametrize("verb", VERBS)
def test_no_field_of_an_answer_spoils_a_report(verb: str, tmp_path: Path) -> None:
    kind = VERBS[verb].record
    sound = asdict(kind("flasky", state=kind.states[0]))
    taken = 0
    for field in fields(kind):
        for value in (*HOSTILE, deep(), {"x": deep()}, {**TEST, "x": deep()}, {**TEST, "seconds": 10**400}, {**TEST, "status": 10**400}):
            for state in kind.states:
                given = json.loads(json.dumps({**sound, "state": state, field.name: value}))
                record, report = reported(verb, given, tmp_path)
                assert (record.name, record.owner) == ("flasky", places.account("").name)
                assert all(char.isprintable() or char in "\n\t" for char in report)
                taken += record.error not in (f"The {verb}'s answer has not the form of one.", "It ended without an answer.")
    assert taken > 100


def test_fields_that_do_not_belong_together_do_not_spoil_a_report_either(tmp_path: Path) -> None:
    dice = random.Random(1)
    lists = ([], ["x"], ["\x1b[2J", "y"])
    for _ in range(2000):
        answer = {
            **asdict(Outcome("flasky")), "state": dice.choice(Outcome.states), "verb": dice.choice([*DONE, "x"]),
            "changes": {dice.choice(["command", "packages", "x"]): dice.choice(lists)}, "tested": dice.choice([{}, TEST, {"path": "/"}]),
            "diff": dice.choice([[], [{"before": "x", "after": "y"}], [{"x": "y"}]]), "urls": dice.choice(lists), "output": dice.choice(["", "x"]),
        }  # fmt: skip
        reported("deploy", answer, tmp_path)


def test_what_is_no_text_to_write_does_not_come_out_of_a_pipe() -> None:
    found = sent({"\ud800": ["\udcff", {"x": "a\ud800b"}]})
    json.dumps(found, ensure_ascii=False).encode()
    assert found == {"?": ["?", {"x": "a?b"}]}


@pytest.mark.parametrize(
    "said", [b"1" * 4_000_000, b"[" * 4_000_000, b'{"x":' * 100_000, b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}"], ids=range(4)
)
def test_no_answer_costs_its_parent_much_time(said: bytes) -> None:
    start = time.monotonic()
    worker = workers._Worker(0, 0, 0, start + 60, bytearray(said))
    workers._parsed(worker.answer)
    assert time.monotonic() - start < 5


def test_an_entry_that_is_found_is_no_template_for_the_inventory() -> None:
    account = places.account("")
    for text in ("{{ lookup('pipe', 'id') }}", "{% x %}", "~/{{ x }}", "/x/{#", "x\ny"):
        answer = {
            **asdict(accounts.Sites("bob")), "by_hand": [text],
            "entries": [{"name": text}, {"name": "a", "directory": text}, {"name": "a", "private_directory": text}, {"name": "a", "source": text}],
        }  # fmt: skip
        written = accounts.inventory([accounts._checked(answer, account)])
        assert not any(mark in written for mark in ("{{", "{%", "{#"))


def test_the_same_holds_for_what_is_no_answer(tmp_path: Path) -> None:
    for text in HOSTILE:
        if isinstance(text, str):
            record, _ = reported("deploy", f"{text}\n{text}", tmp_path)
            assert record.state == FAILED and isinstance(record, Record)
