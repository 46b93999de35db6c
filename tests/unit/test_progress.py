"""What a long run shows while it goes on."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import ocf_flask_progress as controller
from ocf_flask import progress, settings, workers
from ocf_flask.outcome import FAILED, Outcome
from ocf_flask.run import Run, Verb, execute


def line(site: str, total: int = 3, **more: Any) -> bytes:
    return json.dumps({"site": site, "owner": "alice", "total": total, **more}).encode() + b"\n"


def test_a_failure_is_shown_as_it_comes_and_a_count_now_and_then() -> None:
    now = [0.0]
    shown = controller.Progress(lambda: now[0])
    assert shown.feed(line("one") + line("two", failed="It broke.")) == ["2 of 3: two of alice failed: It broke."]
    assert shown.seen == len(line("one") + line("two", failed="It broke."))
    now[0] = controller.COUNTS
    assert shown.feed(line("three")) == ["3 of 3 sites are done, 1 failed"]
    assert shown.feed(b"") == []


def test_a_line_that_has_not_come_whole_waits_for_the_rest() -> None:
    shown = controller.Progress()
    whole = line("one", failed="x")
    assert shown.feed(whole[:10]) == [] and shown.seen == 0
    assert shown.feed(whole) == ["1 of 3: one of alice failed: x"]


def test_what_is_no_line_of_ours_is_passed_over_and_nothing_reaches_the_terminal() -> None:
    shown = controller.Progress()
    strange = b'[]\nnull\n{"total": "x"}\n\xff\n' + line("a\x1b[2J", failed="\u202e\r")
    (said,) = shown.feed(strange)
    assert said == "1 of 3: a\N{REPLACEMENT CHARACTER}[2J of alice failed: \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"


def test_the_file_is_followed_while_the_block_runs_whatever_the_connection_does(tmp_path: Path) -> None:
    file, said, calls = tmp_path / "progress", [], []
    file.write_bytes(b"")

    def read(start: int) -> bytes:
        calls.append(start)
        if len(calls) == 1:
            raise ConnectionError
        return file.read_bytes()[start:]

    with controller.shown(read, said.append, between=0.01):
        tell = progress.writer(str(file))
        tell(Outcome("one", owner="alice"), 2)
        tell(Outcome("two", owner="bob", state=FAILED, error="No:", detail="x\nreason"), 2)
        deadline = time.monotonic() + 10
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
    assert said == ["2 of 2: two of bob failed: No: reason"]


def test_without_a_file_nothing_is_said(tmp_path: Path) -> None:
    for path in ("", str(tmp_path / "nothing"), str(tmp_path), "/dev/full"):
        progress.writer(path)(Outcome("one"), 1)


def test_each_site_is_told_of_once_with_those_that_were_refused(monkeypatch: Any) -> None:
    told: list[tuple[str, str, int]] = []
    sites = [{"name": "one"}, {"name": "b b"}, {"name": "two"}]
    verb = Verb("deploy", lambda one: Outcome(one.name), lambda one: 10.0, Outcome)
    run = Run({f"{settings.PREFIX}sites": sites}, "", "", ())
    records = execute(run, verb, lambda record, total: told.append((record.name, record.state, total)))
    assert [record.name for record in records] == ["one", "b b", "two"]
    assert sorted(told) == [("b b", "failed", 3), ("one", "unchanged", 3), ("two", "unchanged", 3)]


def test_a_worker_is_told_of_when_it_has_ended_and_not_at_the_end_of_all() -> None:
    done: list[tuple[int, float]] = []
    start = time.monotonic()

    def job(seconds: float) -> workers.Job:
        return workers.Job("", 20, lambda: time.sleep(seconds) or {"pid": os.getpid()})

    workers.run([job(1.5), job(0)], 2, lambda index, result: done.append((index, time.monotonic() - start)))
    assert [index for index, _ in done] == [1, 0] and done[0][1] < 1.2
