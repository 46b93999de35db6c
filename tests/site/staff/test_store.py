"""What staff have made once for all owners: by an account of its own, read by all, written by no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from test_staff import not_yet_deployed

from hosted import Container, Deploy, Site

STORE = "/var/lib/ocf-flask"
OWNERS = {"plain": "alice", "shop": "bob", "own": "bob"}


@pytest.fixture(name="sites")
def _sites(container: Container) -> Iterator[dict[str, Site]]:
    with not_yet_deployed(container, OWNERS) as found:
        yield found
    container.shell(f"rm -rf {STORE}; userdel ocf-flask", "root", check=False)


def play(container: Container, playbook: str, *arguments: str) -> Deploy:
    entries: list[dict[str, Any]] = [{"name": name, "owner": owner} for name, owner in OWNERS.items()]
    entries[1]["packages"] = ["flask-login"]
    given = json.dumps({"ocf_flask_sites": entries, "ocf_flask_store": STORE})
    return container.play(playbook, "", *arguments, "-e", given, owner="")


def test_what_sites_share_is_made_once_and_copied(container: Container, sites: dict[str, Site]) -> None:
    sites["own"].write("requirements.txt", "markdown\n")
    assert play(container, "playbooks/prepare.yml", "--check").changed
    container.shell(f"test ! -e {STORE}", "root")
    prepared = play(container, "playbooks/prepare.yml")
    assert prepared.returncode == 0, prepared.output
    assert "flask, flask-login" in prepared.output
    assert "changed=0" in play(container, "playbooks/prepare.yml").output

    assert container.shell(f"find {STORE} ! -user ocf-flask", "root") == ""
    assert container.shell(f"find {STORE} -perm /022 ! -type l", "root") == ""
    assert container.shell(f"{STORE}/uv/bin/uv --version", "bob").startswith("uv ")
    for attempt in (
        "touch {}/x",
        "rm {}/virtualenvs/*/*/complete.json",
        "for one in {}/virtualenvs/*/*/complete.json; do echo >> $one; done",
    ):
        assert "ermission denied" in container.shell(attempt.format(STORE), "alice", check=False)

    done = play(container, "deploy.yml")
    assert done.returncode == 0, done.output
    assert [one.visit().text for one in sites.values()] == list(OWNERS)
    module = "venv/lib/python3*/site-packages/flask/app.py"
    made = set(container.shell(f"stat -c %Y {STORE}/virtualenvs/*/*/{module}", "root").split())
    for name, is_copied in (("plain", True), ("shop", True), ("own", False)):
        owner, links, time = sites[name].shell(f"stat -L -c '%U %h %Y' {sites[name].directory}/{module}").split()
        assert owner == OWNERS[name]
        assert (time in made) is is_copied, name
        assert not is_copied or links == "1"
    assert play(container, "playbooks/prepare.yml", "deploy.yml").output.count("nothing was changed") == len(OWNERS)


def test_a_store_of_roots_is_refused(container: Container, sites: dict[str, Site]) -> None:
    container.shell(f"mkdir {STORE}", "root")
    refused = play(container, "playbooks/prepare.yml")
    assert refused.returncode != 0 and f"chown -R ocf-flask {STORE}" in refused.output
    assert container.shell(f"ls -A {STORE}", "root") == ""
