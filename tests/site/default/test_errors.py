"""What happens when something is wrong: visitors are answered, and the owner finds out why."""

from __future__ import annotations

import time

import pytest

from hosted import Container, Site

FAILING = """
import logging
import sys

from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return "well"


@app.route("/raise")
def fail():
    raise RuntimeError("the café is closed")


@app.route("/exit")
def leave():
    sys.exit("no more")


@app.route("/stream")
def stream():
    def pieces():
        yield "some"
        raise RuntimeError("torn in the middle")

    return pieces()


@app.route("/log")
def log():
    print("printed: naïve")
    app.logger.warning("logged: naïve")
    logging.getLogger("other").error("logged by another")
    return "logged"
"""


@pytest.fixture(scope="module", name="failing")
def _failing(container: Container) -> Site:
    site = Site(container, "failing")
    site.write("flaskyapplication.py", FAILING)
    site.deployed()
    return site


@pytest.mark.parametrize(("path", "word"), [("/raise", "RuntimeError: the café is closed"), ("/exit", "SystemExit: no more")])
def test_a_failing_app_answers_500_within_a_second_and_its_owner_finds_the_traceback(failing: Site, path: str, word: str) -> None:
    assert failing.visit().text == "well"
    seconds = []
    for _ in range(5):
        start = time.monotonic()
        answer = failing.visit(path)
        seconds.append(time.monotonic() - start)
        assert answer.status == 500 and "Traceback" not in answer.text
    # Of five, for other things run on this machine; flup6 keeps a visitor waiting for 40 s each time.
    assert min(seconds) < 1
    said = failing.play("logs")
    assert word in said and f"GET /~alice/failing{path}: " in said and "flaskyapplication.py" in said
    assert failing.shell(f"stat -c %a {failing.private}/log/error.log") == "600\n"
    # Apache writes what is not ASCII as escapes.
    assert word.partition("é")[0] in failing.shell("cat /opt/httpd/error.log"), "as before, in the log that everybody shares"


def test_an_error_in_the_middle_of_an_answer_does_not_keep_the_visitor(failing: Site) -> None:
    start = time.monotonic()
    assert failing.visit("/stream").text == "some"
    assert time.monotonic() - start < 20
    assert "torn in the middle" in failing.play("logs")


def test_what_the_app_prints_and_logs_is_shown_by_logs_and_nothing_waits(failing: Site) -> None:
    start = time.monotonic()
    assert failing.visit("/log").text == "logged"
    assert time.monotonic() - start < 20
    said = failing.play("logs", "-e", "lines=5")
    for line in ("printed: naïve", "logged: naïve", "logged by another"):
        assert line in said
    assert len([line for line in said.splitlines() if "GET /~alice/failing/log" in line]) <= 5


def test_logs_of_a_site_that_has_logged_nothing_says_where_it_would_be(site: Site) -> None:
    site.deployed()
    assert f"{site.private}/log/error.log" in site.play("logs").replace("\n", "")


def test_status_shows_what_the_site_is_and_touches_nothing(site: Site) -> None:
    site.deployed()
    before = site.state()
    said = site.play("status")
    for word in (f"{site.name} is deployed.", "Flask 3.1.3", "GET / -> 200", f"http://www.example.test/~alice/{site.name}/"):
        assert word in said
    assert site.state() == before


def test_run_fcgi_in_a_terminal_shows_the_answer_or_the_traceback_and_explains_itself(site: Site) -> None:
    site.write("flaskyapplication.py", FAILING)
    site.deployed()
    run = f"cd {site.directory} && ./run.fcgi"
    assert "mod_fcgid" in (said := site.shell(run)) and "200 OK" in said and "\nwell\n" in said
    said = site.shell(f"{run} /raise", check=False)
    assert "500 INTERNAL SERVER ERROR" in said and "RuntimeError: the café is closed" in said
    site.write("flaskyapplication.py", "import nosuchpackage\n")
    assert "No module named 'nosuchpackage'" in site.shell(run, check=False)


DAMAGE = {
    "CRLF line ends": ("sed -i 's/$/\\r/' run.fcgi", "kept as"),
    "a shebang that leads nowhere": ("sed -i '1s|.*|#!/usr/bin/python3.5|' run.fcgi", "kept as"),
    "no x bit": ("chmod 644 run.fcgi", "run.fcgi   restored"),
    "a group-writable run.fcgi": ("chmod g+w run.fcgi", "run.fcgi   restored"),
    "a group-writable directory": ("chmod g+w .", "made writable by its owner alone"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_the_web_server_would_refuse_is_mended_and_said(site: Site, damage: str) -> None:
    command, said = DAMAGE[damage]
    site.deployed()
    assert site.visit().text == "Hello World!"
    site.shell(f"cd {site.directory} && cp -p run.fcgi .kept && {command} && pkill -u alice -f run.fcgi")
    deadline = time.monotonic() + 20
    while (broken := site.visit()).status == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert broken.status == 500
    assert said in site.deployed().output
    assert site.visit().text == "Hello World!"
