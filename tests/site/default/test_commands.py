"""Secrets and commands by the real playbooks: what an owner gets, and what nobody is shown."""

from __future__ import annotations

import json
from pathlib import Path

from hosted import Site

APP = """
import os

from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return os.environ["GREETING"]


@app.cli.command("greet")
def greet():
    print("from a command:", len(os.environ["GREETING"]))
"""
SECRET = 'it\'s a "secret" $HOME ünï'
ENV = {"GREETING": SECRET, "ONE": "1", "TRUE": "true", "NAME": "secrets_are_never_shown"}


def test_secrets_are_never_shown(site: Site, tmp_path: Path) -> None:
    site.write("flaskyapplication.py", APP)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"ocf_flask_env": ENV}))
    done = site.deployed("-vvvv", "--diff", "-e", f"@{file}")
    assert site.visit().text == SECRET
    for text in (SECRET, json.dumps(SECRET), "ünï", repr(SECRET)):
        assert text not in done.output
    assert f"{site.name} is deployed." in done.output and f"/{site.name}/" in done.output, "a name that is a value too stays readable"
    assert not site.deployed("-e", f"@{file}").changed


def test_a_command_runs_in_the_live_release(site: Site) -> None:
    site.write("flaskyapplication.py", APP)
    site.deployed("-e", json.dumps({"ocf_flask_env": {"GREETING": "hello"}}))
    assert "from a command: 5" in site.play("run", "-e", json.dumps({"command": "flask greet"}))
    assert "from a command: 5" in site.shell(f"{site.private}/run flask greet")


def test_the_owners_crontab_runs_a_scheduled_command(site: Site) -> None:
    site.write("flaskyapplication.py", APP)
    jobs = [{"name": "greet", "schedule": "0 4 * * *", "command": "flask greet"}]
    site.shell("echo '# mine' | crontab -")
    settings = {"ocf_flask_env": {"GREETING": "hello"}, "ocf_flask_cron": jobs}
    site.deployed("-e", json.dumps(settings))
    (line,) = [line for line in site.shell("crontab -l").splitlines() if line.startswith("0 4 * * *")]
    site.shell(f"env -i /bin/sh -c '{line.removeprefix('0 4 * * * ')}'")
    assert "greet: from a command: 5" in site.shell(f"cat {site.private}/log/cron.log")
    site.deployed(*site.entry(cron=[]))
    assert site.shell("crontab -l") == "# mine\n"
    site.shell("crontab -r")
