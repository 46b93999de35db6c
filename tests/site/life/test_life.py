"""What becomes of sites under Apache: rolled back, removed, restored, by the real playbooks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from hosted import HOSTS, Container, Site

APP = """\
import os

from flask import Flask, request

app = Flask(__name__)


@app.route("/")
def index():
    return "{0}"


@app.route("/count", methods=["GET", "POST"])
def count():
    if request.method == "POST":
        with open("count.txt", "a") as file:
            file.write("x")
    return str(os.path.getsize("count.txt"))


@app.route("/slow")
def slow():
    import time

    time.sleep(3)
    return "slow"
"""


def write_app(site: Site, text: str) -> None:
    site.write("flaskyapplication.py", APP.replace("{0}", text))


def processes(site: Site) -> str:
    return site.shell(f"pgrep -u alice -f {site.private}/releases/", check=False)


def archive(site: Site) -> str:
    return site.shell(f"ls -d ~/ocf-flask-removed/{site.name}-*").strip()


@pytest.fixture(name="two")
def _two(site: Site) -> Iterator[Site]:
    """A site with two releases and some data."""
    write_app(site, "one")
    site.deployed()
    write_app(site, "two")
    site.deployed()
    assert site.visit("/count", method="POST").text == "1"
    yield site
    site.shell("rm -rf ~/ocf-flask-removed")


def test_a_rollback_is_what_visitors_get_next_and_loses_nothing(two: Site) -> None:
    assert two.visit().text == "two"
    said = two.play("rollback", "--check", "--diff")
    assert '-    return "two"' in said and '+    return "one"' in said and two.visit().text == "two"
    said = two.play("rollback")
    assert two.visit().text == "one" and two.visit("/count").text == "1"
    (kept,) = two.shell(f"ls -d {two.private}/kept/*").split()
    assert kept in said and 'return "two"' in two.shell(f"cat {kept}/flaskyapplication.py")
    assert not two.deployed().changed
    later = said.split("To have the release ")[1].split()[0]
    two.play("rollback", "-e", f"release={later}")
    assert two.visit().text == "two"


def test_a_broken_edit_is_taken_back(two: Site) -> None:
    two.write("flaskyapplication.py", "def broken(:\n")
    failed = two.deploy()
    assert failed.returncode == 2 and f"make rollback site={two.name}" in failed.output
    two.play("rollback")
    assert two.visit().text == "two" and not two.deployed().changed


@pytest.mark.usefixtures("_restarter")
def test_a_removed_site_answers_nobody_on_any_host_within_seconds_and_comes_back(two: Site) -> None:
    two.shell("echo '# mine' | crontab -")
    jobs = [{"name": "tidy", "schedule": "0 4 * * *", "command": "true"}]
    two.deployed("-e", json.dumps({"ocf_flask_cron": jobs}))
    assert [two.visit().text, two.visit("/count").text] == ["two", "1"] and processes(two)
    assert "tidy" in two.shell("crontab -l")
    before = two.shell(
        f"cd {two.directory} && find . -path ./venv -prune -o -type f -not -path '*/__pycache__/*' -exec sha256sum {{}} + | sort"
    )
    slow: list[str] = []
    visitor = threading.Thread(target=lambda: slow.append(two.visit("/slow").text))
    visitor.start()
    time.sleep(1)
    said = two.play("remove")
    assert "answers nobody any more" in said
    for host, prefix in HOSTS.values():
        if prefix:
            assert two.container.visit(f"{prefix.format(site=two.name)}/", host).status == 404
    visitor.join()
    assert slow == ["slow"], "a visitor's answer was cut off"
    assert processes(two) == "" and two.shell("crontab -l") == "# mine\n"
    assert two.shell(f"ls -A {two.directory} {two.private} 2>&1", check=False).count("No such file") == 2
    assert f"{archive(two)}" in said and two.shell(f"stat -c %a {archive(two)}").strip() == "700"
    assert "To have it back" in two.play("status")
    two.play("restore")
    assert [two.visit().text, two.visit("/count").text] == ["two", "1"]
    assert "tidy" in two.shell("crontab -l")
    after = two.shell(
        f"cd {two.directory} && find . -path ./venv -prune -o -type f -not -path '*/__pycache__/*' -exec sha256sum {{}} + | sort"
    )
    assert after == before
    assert not two.deployed("-e", json.dumps({"ocf_flask_cron": jobs})).changed


def test_what_cannot_be_restored_stays_in_its_archive(two: Site) -> None:
    two.play("remove")
    where = archive(two)
    two.shell(f"echo 'def broken(:' > {where}/site/flaskyapplication.py")
    failed = two.container.play("playbooks/restore.yml", two.name, owner="alice")
    assert failed.returncode == 2 and "SyntaxError" in failed.output and where in failed.output
    assert two.visit().status == 404 and archive(two) == where
    write_app(two, "three")
    failed = two.container.play("playbooks/restore.yml", two.name, owner="alice")
    assert failed.returncode == 2 and f"mv {two.directory} {two.directory}.old" in failed.output
    assert 'return "three"' in two.read("flaskyapplication.py")


def test_check_mode_of_each_changes_nothing(two: Site) -> None:
    before = two.state()
    for verb in ("rollback", "remove"):
        assert "would be" in two.play(verb, "--check")
    assert two.state() == before
    two.play("remove")
    assert "would be" in two.play("restore", "--check") and two.visit().status == 404


@pytest.fixture(name="cramped")
def _cramped(container: Container) -> Iterator[Site]:
    """A site of cleo's, whose home is a small file system."""
    container.shell("id cleo 2>/dev/null || useradd --no-create-home --gid ocf --home-dir /small/c/cl/cleo --shell /bin/bash cleo", "root")
    container.shell("mkdir -p /small/c/cl/cleo && chown cleo /small/c/cl/cleo && makehttp cleo", "root")
    one = Site(container, "cramped", owner="cleo")
    one.private = "/small/c/cl/cleo/.ocf-flask/cramped"
    yield one
    container.shell("rm -rf /small/c /services/http/users/c/cleo; userdel cleo", "root")


def test_a_site_is_removed_and_restored_though_its_owner_has_no_space_left(cramped: Site) -> None:
    write_app(cramped, "one")
    cramped.write("static/film", "x" * 20_000_000)
    cramped.deployed()
    assert cramped.visit().text == "one"
    cramped.shell("cat /dev/zero > ~/filler", check=False)
    assert cramped.shell("echo more > ~/more", check=False), "there is space"
    said = cramped.play("remove")
    assert cramped.visit().status == 404 and "There is no space" in said
    left = said.split("site's directory: it is ")[1].split(",")[0]
    assert cramped.container.visit(left.replace("/services/http/users/c/cleo", "/~cleo") + "/static/film").status in (403, 404)
    cramped.play("restore")
    assert cramped.visit().text == "one" and len(cramped.visit("/static/film").text) == 20_000_000


def test_many_sites_are_removed_only_when_that_was_said(two: Site) -> None:
    sites = [{"name": two.name, "owner": "alice"}, {"name": "flasky", "owner": "alice"}]
    refused = two.container.play("playbooks/remove.yml", "", "-e", json.dumps({"ocf_flask_sites": sites}), owner="")
    assert refused.returncode == 2 and f"would remove 2 sites: {two.name}, flasky" in refused.output
    assert two.visit().text == "two"
