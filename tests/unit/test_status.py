"""What ``status`` and ``logs`` say of a site, and that they change nothing."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from local_site import APP, Site
from ocf_flask import sites_info, status, status_report
from ocf_flask.status import Status

AGAIN = "make {verb} site={name}"


def look(site: Site, *, test: bool = True, log_lines: int = 1, **more: Any) -> Status:
    return status.look_up(site.settings(**more), test=test, log_lines=log_lines)


SHOWN = Status(
    "flasky", owner="alice", state="deployed", url="http://x/~alice/flasky/", directory="/w/flasky", app="shop:create_app()", server="builtin",
    release="20261124-034512", deployed="2026-11-24 03:45:12 UTC", earlier=["20261120-101112 (deployed on 2026-11-20 10:11:12 UTC)"], python="3.11.2", python_runs=True,
    packages={"click": "8.5.1", "flask": "3.1.3"}, disk=6_432_768,
    tested={"path": "/", "status": 200, "seconds": 0.3, "at": "2026-11-24 09:00:00 UTC"}, log_file="/p/log/error.log",
)  # fmt: skip


def test_a_deployed_site_is_described_tested_and_not_touched(site: Site) -> None:
    site.deployed()
    before = site.state()
    found = look(site)
    assert (found.state, found.app, found.server, found.earlier) == ("deployed", "flaskyapplication:app", "builtin", [])
    assert found.python_runs and found.packages["flask"] == "3.1.3" and found.packages["werkzeug"]
    assert (found.tested["path"], found.tested["status"], found.problem) == ("/", 200, "")
    assert found.disk > 3_000_000
    assert found.is_sound() and Status(**asdict(found)) == found
    assert site.state() == before


def test_a_site_that_is_not_there_is_said_to_be_that(site: Site) -> None:
    found = look(site)
    assert (found.state, found.disk, found.error) == ("not deployed", 0, "")
    assert not site.web.exists() and not site.private.exists()
    assert "make deploy site=flasky" in status_report.status([found], AGAIN)
    expected = "flasky has no log. There is no site of that name. To deploy one: make deploy site=flasky"
    assert status_report.logs([found], AGAIN) == expected


def test_a_site_made_by_hand_is_known_as_that(site: Site) -> None:
    site.write("run.fcgi", "#!venv/bin/python\n")
    assert look(site).state == "not by ocf_flask"


def test_a_site_that_broke_since_is_shown_with_its_traceback(site: Site) -> None:
    site.deployed()
    site.write("flaskyapplication.py", APP.format("x").replace("return", "return 1 / 0 #"))
    found = look(site)
    assert found.tested == {} and found.problem.splitlines()[0] == "The app answered GET / with 500: ZeroDivisionError: division by zero"
    said = status_report.status([found], AGAIN)
    assert "Test now    FAILED" in said and "flaskyapplication.py" in said.partition("FAILED")[2]


@pytest.mark.parametrize("logs", [False, True])
def test_what_is_looked_at_is_never_said_to_be_changed(logs: bool) -> None:
    answer = sites_info.result([replace(SHOWN, log="one line\na line")], AGAIN, logs=logs)
    assert (answer["changed"], [one["name"] for one in answer["sites"]]) == (False, ["flasky"])
    assert ("one line" in answer["report"], "Release" in answer["report"]) == (logs, not logs)


def test_of_several_what_ails_one_is_a_line_with_the_reason() -> None:
    broken = replace(SHOWN, problem="The app could not be imported:\nTraceback (most recent call last):\nKeyError: 'TOKEN'\n")
    assert "flasky of alice: The app could not be imported: KeyError: 'TOKEN'" in status_report.status([SHOWN, broken], AGAIN).splitlines()
    assert (SHOWN.cause(), broken.result()["cause"]) == ("", "The app could not be imported: KeyError: 'TOKEN'")


def test_the_test_is_the_one_that_the_release_was_deployed_with(site: Site) -> None:
    site.write("flaskyapplication.py", APP.format("x").replace('"/"', '"/login"'))
    site.deployed(smoke_test={"path": "/login"})
    assert look(site).tested["path"] == "/login"
    assert look(site, test=False).tested == {}


def test_a_site_whose_releases_are_gone_is_told_to_deploy_again(site: Site) -> None:
    site.deployed()
    shutil.rmtree(site.private / "releases")
    found = look(site)
    assert found.state == status.FOREIGN and "Its run.fcgi is a deploy's, but its releases are gone: deploy again" in found.notes
    assert site.deploy().state == "deployed"


def test_an_interpreter_that_is_gone_is_noticed(site: Site) -> None:
    site.deployed()
    python = site.web / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.5")
    found = look(site)
    assert not found.python_runs and "does not run here" in found.notes[0] and found.problem


def test_files_made_since_that_others_can_read_are_named(site: Site) -> None:
    site.deployed()
    assert look(site).notes == []
    site.write(".env", "secret")
    site.write("static/a.css", "a")
    (site.web / "static/a.css").chmod(0o600)
    assert look(site).notes == [
        "Until the next deploy: 2 files can be read by others (.env, static)",
        "Until the next deploy: 1 file cannot be read by the web server (static/a.css)",
    ]
    site.deployed()
    assert look(site).notes == []


def test_the_logs_end_is_brought_over_the_rotation(site: Site) -> None:
    site.deployed()
    log = site.private / "log"
    (log / "error.log.1").write_text("one\ntwo\n")
    (log / "error.log").write_bytes(b"three \xff\nfour \x1b[2J\n")
    assert look(site, log_lines=3).log == "two\nthree \N{REPLACEMENT CHARACTER}\nfour \x1b[2J"
    assert look(site, log_lines=0).log == ""
    said = status_report.logs([look(site, log_lines=10)], AGAIN)
    assert said.startswith(f"The end of {log}/error.log:\n\none\ntwo\n") and "\x1b" not in said


def test_the_last_exceptions_of_the_log_are_shown_with_their_times(site: Site) -> None:
    site.write("flaskyapplication.py", APP.format("x"))
    site.deployed()
    entry = '2026-11-24 03:51:0{0} +0000 [71] 20261124-034512 GET /: [x] ERROR in app: Exception on / [GET]\nTraceback (most recent call last):\n  File "a.py", line 1\n    1 / 0\n    ~~^~~\n{1}\n'
    log = [entry.format(number, f"pkg.Error{number}: no {number}") for number in range(4)]
    log.append("2026-11-24 03:52:00 +0000 [71] 20261124-034512 GET /: hello\nNotAnError: 1\n")
    (site.private / "log" / "error.log.1").write_text("".join(log[:2]))
    (site.private / "log" / "error.log").write_text("".join(log[2:]))
    found = look(site, test=False)
    assert found.errors.splitlines() == [f"2026-11-24 03:51:0{number} +0000 pkg.Error{number}: no {number}" for number in (1, 2, 3)]
    said = status_report.status([found], AGAIN)
    assert "\n  Last errors 2026-11-24 03:51:01 +0000 pkg.Error1: no 1\n              2026-11-24 03:51:02" in said
    chained = [
        "2026-11-24 03:51:00 +0000 [1] x: Traceback (most recent call last):",
        "  x",
        "A: 1",
        "",
        "During handling of the above exception",
        "",
        "Traceback (most recent call last):",
        "  y",
        "B: 2",
    ]
    assert status.exceptions(chained) == ["2026-11-24 03:51:00 +0000 A: 1", "2026-11-24 03:51:00 +0000 B: 2"]
    assert status.exceptions([]) == []


def test_a_log_without_an_entry_is_said_with_its_place(site: Site) -> None:
    site.deployed()
    assert f"{site.private}/log/error.log" in status_report.logs([look(site)], AGAIN)


def test_a_hostile_record_of_a_release_is_only_data(site: Site) -> None:
    site.deployed()
    (manifest,) = site.private.glob("releases/*/manifest.json")
    manifest.write_text(manifest.read_text().replace('"path": "/"', '"path": "relative\\n"'))
    found = look(site)
    assert found.is_sound() and found.tested["path"] == "/"


def test_permissions_are_judged_by_what_the_site_was_deployed_with(site: Site) -> None:
    site.write("downloads/paper.txt", "a paper")
    site.deployed(public=["downloads/"])
    assert look(site).notes == []


def test_a_look_that_failed_says_all_that_is_known() -> None:
    broken = Status("flasky", owner="alice", state="failed", error="It ended.", detail="Traceback", advice="Do this.")
    for said in (status_report.status([broken], AGAIN), status_report.logs([broken], AGAIN)):
        assert said.endswith("\n\n  It ended.\n\n    Traceback\n\n  Do this.")


@pytest.mark.parametrize("broken", [{"packages": {"a": 1}}, {"notes": [1]}, {"state": "splendid"}, {"tested": {"path": 1}}, {"disk": "x"}])
def test_a_record_of_another_form_is_not_sound(broken: dict[str, Any]) -> None:
    assert SHOWN.is_sound()
    assert not replace(SHOWN, **broken).is_sound()


def test_one_site_is_shown_in_lines() -> None:
    said = status_report.status([replace(SHOWN, log="older\n2026-11-24 [71] hello")], AGAIN)
    assert said.splitlines()[0] == "flasky is deployed."
    for line in (
        "URL         http://x/~alice/flasky/", "Directory   /w/flasky  (6.4 MB with its releases)", "App         shop:create_app(), served by builtin",
        "Runs on     Python 3.11.2, Flask 3.1.3", "Packages    click 8.5.1", "Earlier     20261120-101112 (deployed on 2026-11-20 10:11:12 UTC)",
        "Test now    GET / -> 200 in 0.30 s", "Last logged 2026-11-24 [71] hello",
    ):  # fmt: skip
        assert f"\n  {line}\n" in f"{said}\n"


def test_a_releases_age_is_said_in_words() -> None:
    then = datetime.now(timezone.utc) - timedelta(hours=50)
    said = status_report.status([replace(SHOWN, deployed=then.strftime("%Y-%m-%d %H:%M:%S UTC"))], AGAIN)
    assert re.search(r"\n  Release     20261124-034512, deployed on \d{4}-\S+ \S+ UTC \(2 days ago\)\n", said)


def test_a_removed_site_is_said_to_be_in_its_archive() -> None:
    said = status_report.status([Status("flasky", state="not deployed", archives=["flasky-2026-11-24-034512"])], AGAIN)
    assert "It was removed, and is in ~/ocf-flask-removed/flasky-2026-11-24-034512. To have it back: make restore site=flasky" in said
    assert "It was removed" not in status_report.status([replace(SHOWN, archives=["flasky-2026-11-24-034512"])], AGAIN)


def test_what_few_sites_have_is_said_of_these_alone() -> None:
    said = status_report.status(
        [replace(SHOWN, urls=["https://club.example.edu/"], taken_over="2026-11-20 10:00:00 UTC", source="main 1234567")], AGAIN
    )
    lines = (
        "  Also at     https://club.example.edu/",
        "  Taken over  from one made by hand, on 2026-11-20 10:00:00 UTC",
        "  Code        main 1234567",
    )
    assert set(lines) <= set(said.splitlines())
    assert not any(label in status_report.status([SHOWN], AGAIN) for label in ("Also at", "Taken over", "Code "))


def test_several_sites_are_shown_in_a_table_with_what_is_wrong_below() -> None:
    gone = replace(SHOWN, name="shop", owner="bob", python_runs=False, tested={}, problem="It hangs.\nFile x", notes=["Mind this"])
    said = status_report.status([SHOWN, gone, Status("wiki", owner="carol", state="failed", error="No \x1b home.")], AGAIN)
    heading, first, second, third, _, *remarks = said.splitlines()
    assert heading.split() == ["site", "owner", "state", "Python", "Flask", "deployed", "disk", "test"]
    assert first.startswith("flasky  alice  deployed  3.11.2  ") and "is gone" not in first and first.endswith("GET / -> 200 in 0.30 s")
    assert "3.11.2 is gone" in second and second.endswith("FAILED")
    assert third.split()[:3] == ["wiki", "carol", "failed"]
    assert remarks == ["shop of bob: It hangs.", "shop of bob: Mind this", "wiki: No \N{REPLACEMENT CHARACTER} home."]


def test_a_site_of_somebody_else_is_an_error(site: Site) -> None:
    other = "nobody" if os.getuid() == 0 else "root"
    found = status.look_up(replace(site.settings(), owner=other), test=False, log_lines=0)
    assert found.state == "failed" and f"is {other}'s" in found.error
