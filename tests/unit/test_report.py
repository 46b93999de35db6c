"""What a run says at its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ocf_flask import report
from ocf_flask.outcome import DEPLOYED, FAILED, UNCHANGED, WOULD_CHANGE, Outcome

AGAIN = "make deploy site={name}"
DONE = Outcome(
    "flasky", owner="alice", state=DEPLOYED, url="https://www.example.edu/~alice/flasky/", directory="/home/alice/public_html/flasky",
    release="20261124-034512", python="3.11.2", flask="3.1.3", next_time="edit the files in /home/alice/public_html/flasky",
    tested={"path": "/", "status": 200, "seconds": 0.314, "at": "2026-11-24 03:45:13 UTC"},
    changes={"directory": ["made"], "packages": [f"p{number} 1 installed" for number in range(6)], "code": ["a.py changed"]},
)  # fmt: skip


def test_a_deploy_says_what_a_student_wants_to_know() -> None:
    said = report.lines([DONE], AGAIN)
    assert said.splitlines()[0] == "flasky is deployed."
    assert "  URL        https://www.example.edu/~alice/flasky/\n" in said
    assert "  Runs on    Python 3.11.2, Flask 3.1.3\n" in said
    assert "  Tested     GET / -> 200 in 0.31 s, start included\n" in said
    assert "  directory  made\n" in said
    assert "  code       a.py changed\n" in said
    assert "edit the files in /home/alice/public_html/flasky, then:" in said
    assert "Next time  push to https://x/y, then:" in report.lines([replace(DONE, next_time="push to https://x/y")], AGAIN)
    assert "then: make deploy site=flasky" in said


def test_each_step_of_the_recipe_is_named_changed_or_not() -> None:
    said = report.lines([DONE], AGAIN)
    for label in (".htaccess", "run.fcgi", "virtualenv"):
        assert f"  {label:<11}as it was\n" in said


def test_a_long_list_is_cut_with_its_number() -> None:
    assert "p3 1 installed and 2 more\n" in report.lines([DONE], AGAIN)
    assert "p4" not in report.lines([DONE], AGAIN)


def test_a_site_with_nothing_to_do_says_when_it_was_tested() -> None:
    said = report.lines([replace(DONE, state=UNCHANGED, changes={})], AGAIN)
    assert said.splitlines()[0] == "flasky is up to date: nothing was changed."
    assert "start included (on 2026-11-24 03:45:13 UTC)" in said
    assert "as it was" not in said
    assert "Next time" not in said


def test_check_mode_says_that_nothing_was_changed() -> None:
    said = report.lines([replace(DONE, state=WOULD_CHANGE)], AGAIN)
    assert said.splitlines()[0] == "flasky would be changed (check mode: nothing was)."
    assert "Tested" not in said
    assert "directory  made" in said


def test_a_url_that_could_not_be_asked_says_why() -> None:
    assert f"{DONE.url}  (not reached from here: x)" in report.lines([replace(DONE, reached="not reached from here: x")], AGAIN)


def test_a_site_whose_import_alone_was_tested() -> None:
    assert "Tested     imported in 0.31 s" in report.lines([replace(DONE, tested={**DONE.tested, "status": 0})], AGAIN)


def test_a_site_that_was_not_tested_does_not_say_that_it_was() -> None:
    assert "Tested" not in report.lines([replace(DONE, tested={})], AGAIN)


@pytest.mark.parametrize("note", ["One", "One.", "One (two)"])
def test_notes_end_with_one_full_stop(note: str) -> None:
    (line,) = [line for line in report.lines([replace(DONE, notes=[note])], AGAIN).splitlines() if "Note" in line]
    assert line.endswith((".", ")"))
    assert ".." not in line


def test_a_failure_has_its_error_its_detail_and_what_to_do() -> None:
    failed = Outcome(
        "flasky", state=FAILED, error="The app does not start: X", detail="Traceback:\n  File", advice="Mend it and deploy again."
    )
    assert report.lines([failed], AGAIN) == (
        "flasky was not deployed.\n\n  The app does not start: X\n\n    Traceback:\n      File\n\n  Mend it and deploy again."
    )


def test_sites_are_reported_one_after_the_other() -> None:
    said = report.lines([DONE, Outcome("shop", state=FAILED, error="no")], AGAIN)
    assert "flasky is deployed." in said
    assert "\n\nshop was not deployed." in said


def test_a_failure_in_one_line() -> None:
    outcome = Outcome("flasky", state=FAILED, error="pip says:", detail="Looking\nERROR: no such package\n")
    assert report.cause(outcome) == "flasky: pip says: ERROR: no such package"


@pytest.mark.parametrize("char", ["\x1b", "\x07", "\r", "\b", "\x9b", "\u202e", "\u2028", "\udce9", "\0", "\x7f"])
def test_what_a_terminal_would_act_on_is_not_let_through(char: str) -> None:
    outcome = Outcome("flasky", state=FAILED, error=f"a{char}[2Jb", detail=f"c{char}d")
    for said in (report.lines([outcome], AGAIN), report.cause(outcome)):
        assert char not in said
        assert "a\N{REPLACEMENT CHARACTER}" in said
        said.encode()


@pytest.mark.parametrize(
    "spoiled",
    [
        {"state": "perfect"}, {"notes": 5}, {"notes": [5]}, {"changes": {"code": "x"}}, {"changes": {"code": [1]}}, {"diff": [3]}, {"error": None},
        {"diff": [{"before": 1}]}, {"tested": {"path": "/"}}, {"tested": {**DONE.tested, "seconds": "1"}}, {"seconds": "long"}, {"changes": []},
    ],
)  # fmt: skip
def test_a_record_that_has_not_its_form_is_told_from_one_that_has(spoiled: dict[str, Any]) -> None:
    assert DONE.is_sound()
    assert Outcome("x").is_sound()
    assert not replace(DONE, **spoiled).is_sound()


def test_many_sites_are_counted_and_those_of_interest_are_shown_in_a_table() -> None:
    failed = Outcome("shop", owner="bob", state=FAILED, error="It broke:", detail="Trace\nValueError: \x1b[2J", seconds=2.34)
    said = report.lines([replace(DONE, state=UNCHANGED), failed, *[replace(DONE, name=f"s{number}") for number in range(4)]], AGAIN)
    lines = said.splitlines()
    assert lines[0] == "6 sites: 1 unchanged, 4 deployed, 1 failed."
    assert lines[2].split() == ["site", "owner", "result", "seconds"]
    assert lines[3] == "shop  bob    failed    2.3      It broke: ValueError: \N{REPLACEMENT CHARACTER}[2J"
    assert len(lines) == 8 and "flasky" not in said
    assert report.lines([replace(DONE, state=UNCHANGED)] * 5, AGAIN) == "5 sites: 5 unchanged."


def test_a_removal_says_how_to_undo_it_and_how_to_make_it_final() -> None:
    removed = Outcome(
        "flasky", state="removed", verb="remove", url="https://www.example.edu/~alice/flasky/", archive="/home/alice/ocf-flask-removed/flasky-1",
        changes={"directory": ["moved to /home/alice/ocf-flask-removed/flasky-1"], "cron": ["tidy removed"]}, notes=["Mind the gap"],
    )  # fmt: skip
    assert report.lines([removed], "make {verb} site={name}").splitlines() == [
        "flasky is removed: it answers nobody any more.",
        "  URL        https://www.example.edu/~alice/flasky/",
        "  directory  moved to /home/alice/ocf-flask-removed/flasky-1",
        "  crontab    tidy removed",
        "  Undo       make restore site=flasky",
        "  For good   rm -r /home/alice/ocf-flask-removed/flasky-1",
        "  Note       Mind the gap.",
    ]
    would = report.lines([replace(removed, state=WOULD_CHANGE)], "make {verb} site={name}")
    assert would.startswith("flasky would be removed (check mode: nothing was).\n") and "Undo" not in would and "For good" not in would
