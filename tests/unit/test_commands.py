"""The variables of a site, and the commands that run with them: really deployed, really run."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

import test_cron
from forks import in_child
from local_site import Site
from ocf_flask import commands, cron, masking, process, report, run, sites
from ocf_flask.errors import SiteError
from ocf_flask.outcome import FAILED, WOULD_CHANGE, Outcome

APP = """\
import os

from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return os.environ.get("GREETING", "nothing")


@app.cli.command("greet")
def greet():
    print(os.environ.get("GREETING", "nothing"))
    print(os.getcwd())


@app.cli.command("fail")
def fail():
    print("half done")
    raise SystemExit(3)
"""
AWKWARD = {
    "QUOTES": 'it\'s "quoted"',
    "LINES": "one\ntwo\n",
    "DOLLAR": "$HOME ${x} $(id) `id`",
    "OTHER": "ünïcödé \N{SNOWMAN}",
    "BLANKS": "  # leading",
    "BACKSLASH": "a\\nb",
    "EMPTY": "",
    "ONE": "1",
    "TRUE": "true",
    "NAME": "flasky",
}


@pytest.fixture(name="greeting")
def _greeting(site: Site) -> Site:
    site.write("flaskyapplication.py", APP)
    return site


def command(site: Site, line: str, *, check: bool = False, **more: Any) -> Outcome:
    return sites.run(site.settings(**more), site.kit, sites.Asked(command=line), check)


def test_variables_arrive_as_they_are(greeting: Site) -> None:
    greeting.deployed(env=AWKWARD)
    line = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    found = json.loads(command(greeting, line).output)
    assert {name: found[name] for name in AWKWARD} == AWKWARD


def test_variables_lie_with_their_release_for_the_owner_alone(greeting: Site) -> None:
    first = greeting.deployed(env={"GREETING": "hello"}).release
    second = greeting.deployed(env={"GREETING": "good day"}).release
    for identity, value in ((first, "hello"), (second, "good day")):
        path = greeting.private / "releases" / identity / "env"
        assert json.loads(path.read_text()) == {"GREETING": value} and path.stat().st_mode & 0o777 == 0o600


def test_only_a_change_of_variables_makes_a_release_and_only_names_are_said(greeting: Site) -> None:
    greeting.deployed(env={"GREETING": "hello-1"})
    before = greeting.state()
    assert not greeting.deploy(env={"GREETING": "hello-1"}).changed and greeting.state() == before
    changed = greeting.deployed(env={"GREETING": "hello-2", "OTHER": "value-3"})
    assert changed.changes["settings"] == ["GREETING changed", "OTHER added"]
    dropped = greeting.deployed(env={"GREETING": "hello-2"})
    assert dropped.changes["settings"] == ["OTHER removed"] and any("The variable OTHER was dropped" in note for note in dropped.notes)
    assert not any(value in repr(one) for one in (changed, dropped) for value in ("hello-1", "hello-2", "value-3"))
    for path in (greeting.private / "releases").glob("*/manifest.json"):
        assert "hello-" not in path.read_text() and "value-3" not in path.read_text()


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), min_size=masking.SHORTEST, max_size=40))
def test_a_value_is_masked_however_a_program_writes_it(value: str) -> None:
    if value.strip() == "" or value.lower() in masking._WORDS:
        return
    encoded = value.encode()
    quoted = (
        repr(value)[1:-1],
        ascii(value)[1:-1],
        repr(encoded)[2:-1],
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
    )
    for text in (value, *quoted, quote(value), quote(value, safe=""), quote_plus(value), html.escape(value)):
        assert masking.mask(f"<{text}>", [{"KEY": value}], []) == "<[KEY]>"


@pytest.mark.parametrize(
    ("value", "said", "masked"),
    [
        ("abcde", "abcde", "[KEY]"),
        ("abcd", "abcd", "abcd"),
        ("  hunter22\n", "x hunter22.", "x [KEY]."),
        ("one line\nanother", "error in: another", "error in: [KEY]"),
        ("postgres://alice:p%40ss-word@db/shop", "password p@ss-word is wrong, p%40ss-word", "password [KEY] is wrong, [KEY]"),
        ("http://[wrong", "http://[wrong", "[KEY]"),
        ("it's 'it'", "KeyError: \"it\\'s \\'it\\'\"", 'KeyError: "[KEY]"'),
    ],
)
def test_what_is_masked_of_a_value(value: str, said: str, masked: str) -> None:
    assert masking.mask(said, [{"KEY": value}], []) == masked


def test_of_two_values_the_longer_is_masked_as_a_whole() -> None:
    assert masking.mask("hunter22-more hunter22", [{"A": "hunter22", "B": "hunter22-more"}], []) == "[B] [A]"


def test_what_is_no_secret_is_left_readable() -> None:
    variables = {"ONE": "1", "TRUE": "true", "NAME": "flasky", "KEY": "hunter22"}
    text = "1 true /srv/flasky/app.py: KeyError: 'hunter22'"
    assert masking.mask(text, [variables], ["flasky"]) == "1 true /srv/flasky/app.py: KeyError: '[KEY]'"


def test_an_app_that_fails_does_not_show_the_values(greeting: Site) -> None:
    greeting.write("flaskyapplication.py", "import os\n\nraise RuntimeError(os.environ['KEY'])\n")
    one = greeting.settings(env={"KEY": "hunter22"})
    failed = sites.deploy(one, greeting.kit)
    assert failed.state == FAILED
    answer = run._answer(failed, one)
    assert "hunter22" not in json.dumps(answer) and "[KEY]" in answer["detail"]


def test_what_failed_is_said_also_where_the_releases_cannot_be_looked_at(greeting: Site, tmp_path: Path) -> None:
    one = greeting.settings()
    (closed := tmp_path / "closed").mkdir(mode=0)
    greeting.private.mkdir(parents=True, exist_ok=True)
    (greeting.private / "releases").symlink_to(closed / "releases")
    failed = Outcome("flasky", state=FAILED, error="Permission denied")
    assert in_child(lambda: run._answer(failed, one)["error"], greeting.private) == "Permission denied"


def test_a_command_runs_in_the_live_release_where_the_code_is(greeting: Site) -> None:
    greeting.deployed(env={"GREETING": "hello"})
    done = command(greeting, "flask greet")
    assert done.state == "run" and done.output.splitlines() == ["hello", str(greeting.web)]
    assert report.lines([done], "x").endswith(f"hello\n{greeting.web}")
    typed = subprocess.run(
        [greeting.private / "run", "flask", "greet"], capture_output=True, text=True, check=True, env={"PATH": os.defpath}
    )
    assert typed.stdout == done.output


def test_a_command_that_fails_says_how_and_what_it_printed(greeting: Site) -> None:
    greeting.deployed()
    failed = command(greeting, "flask fail")
    assert (failed.state, failed.error, failed.detail) == (FAILED, "The command 'flask fail' ended with status 3.", "half done")
    late = command(greeting, "sleep 60", timeouts={"command": 1})
    assert "took longer than 1 s and was ended" in late.error


def test_check_mode_says_what_would_run_and_runs_nothing(greeting: Site) -> None:
    greeting.deployed()
    would = command(greeting, "touch ran", check=True)
    assert would.state == WOULD_CHANGE and "would run" in report.lines([would], "x") and not (greeting.web / "ran").exists()


def test_a_command_needs_a_site_that_is_deployed_and_a_command(greeting: Site) -> None:
    assert "Deploy it first" in command(greeting, "flask routes").advice
    assert """-e '{"command": "flask routes"}'""" in command(greeting, " ").error


def test_a_release_command_runs_once_for_a_release_before_visitors_get_it(greeting: Site) -> None:
    line = "flask greet >> greetings; basename $(dirname $VIRTUAL_ENV) >> greetings"
    first = greeting.deployed(env={"GREETING": "hello"}, release_command=line)
    again = greeting.deploy(env={"GREETING": "hello"}, release_command=line)
    assert not again.changed and "Printed" not in report.lines([first, again], "x")
    assert (greeting.web / "greetings").read_text().splitlines() == ["hello", str(greeting.web), first.release]


def test_a_release_command_that_fails_ends_the_deploy_and_says_what_is_not_undone(greeting: Site) -> None:
    greeting.deployed()
    serving = greeting.serving()
    greeting.write("flaskyapplication.py", APP + "\n# changed\n")
    without = greeting.deploy(smoke_test={"path": "/none", "statuses": [200]})
    assert without.state == FAILED and "was not undone" not in without.advice
    failed = greeting.deploy(release_command="flask fail")
    assert failed.error == "The release command 'flask fail' ended with status 3." and failed.detail == "half done"
    assert "was not undone" in failed.advice and greeting.serving() == serving and len(greeting.releases()) == 1


def test_the_end_of_what_a_release_command_printed_is_told(greeting: Site) -> None:
    few = report.lines([greeting.deployed(release_command="echo; echo one; echo; echo '  two'")], "x")
    assert "\n  Printed    by the release command:\n             one\n\n               two\n" in few
    many = report.lines([greeting.deployed(release_command="seq 100 112")], "x")
    assert "command:\n             ...\n             103\n" in many and "\n             112\n" in many


@pytest.mark.parametrize(("status", "said"), [(1, "with status 1"), (128, "with status 128"), (143, "by signal 15"), (-9, "by signal 9")])
def test_how_a_command_ended_is_said_in_words(status: int, said: str) -> None:
    assert commands.ended(process.Completed(status, "")).removeprefix("was ").removeprefix("ended ") == said


def test_a_worker_masks_what_it_hands_back(greeting: Site) -> None:
    greeting.deployed(env={"GREETING": "hunter22"})
    asked = run.Run({f"ocf_flask_{key}": value for key, value in greeting.base.items()}, "flasky", "", ())
    (found,) = run.execute(asked, sites.verb("run", greeting.kit, sites.Asked(command="flask greet"), check=False))
    assert found.output.splitlines()[0] == "[GREETING]"


def crontab(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str = test_cron.FAKE) -> Path:
    monkeypatch.setenv("PATH", f"{test_cron.fake_crontab(directory, script)['PATH']}:{os.environ['PATH']}")
    return directory / "crontab"


def test_scheduled_commands_come_run_and_go_with_the_site(greeting: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = crontab(tmp_path, monkeypatch)
    file.write_text("# mine\n")
    jobs = [{"name": "greet", "schedule": "0 4 * * *", "command": "flask greet"}]
    greeting.deployed(cron=jobs, env={"GREETING": "hello"})
    line = f"{greeting.private}/run --cron greet"
    assert file.read_text() == f"# mine\n# BEGIN ocf_flask flasky\n0 4 * * * {line}\n# END ocf_flask flasky\n"
    assert not greeting.deploy(cron=jobs, env={"GREETING": "hello"}).changed
    subprocess.run(line.split(), check=True, env={"PATH": os.defpath})
    assert " greet: hello\n" in (greeting.private / "log/cron.log").read_text()
    greeting.deployed(env={"GREETING": "hello"})
    assert file.read_text() == "# mine\n"


def test_a_forbidden_crontab_ends_the_deploy_before_anything_is_changed(
    greeting: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crontab(tmp_path, monkeypatch, "#!/bin/sh\necho 'You (alice) are not allowed to use this program (crontab)' >&2\nexit 1\n")
    failed = greeting.deploy(cron=[{"name": "greet", "schedule": "@daily", "command": "flask greet"}])
    assert failed.error.startswith("This account cannot have a crontab on this machine") and "not allowed" in failed.detail
    assert not greeting.private.exists() and not (greeting.web / "run.fcgi").exists()


def test_a_deploy_that_ends_after_it_has_written_the_program_run_leaves_one_if_there_was_one(
    greeting: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crontab(tmp_path, monkeypatch)
    program = greeting.private / "run"

    def fail(*_: Any) -> None:
        assert program.exists()
        raise SiteError("The crontab is full.")

    with monkeypatch.context() as patch:
        patch.setattr(cron, "install", fail)
        jobs = [{"name": "greet", "schedule": "@daily", "command": "flask greet"}]
        assert greeting.deploy(cron=jobs).error == "The crontab is full." and not program.exists()
        greeting.deployed()
        greeting.kit = replace(greeting.kit, run=greeting.kit.run + "# newer\n")
        assert greeting.deploy(cron=jobs).error == "The crontab is full." and program.exists()


def test_on_another_host_the_crontab_is_left_alone(greeting: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = crontab(tmp_path, monkeypatch)
    done = greeting.deployed(cron=[{"name": "greet", "schedule": "@daily", "command": "flask greet"}], cron_host="tsunami")
    assert any("The crontab was left alone: ocf_flask_cron_host is tsunami" in note for note in done.notes) and not file.exists()
