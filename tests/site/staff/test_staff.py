"""What staff do with many owners' sites: find them, read the report of a run, try the failed ones again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from hosted import RECIPE_RUN_FCGI, Container, Deploy, Site

APP = 'from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.route("/")\ndef index():\n    return "{0}"\n'
OWNERS = {"one": "alice", "two": "alice", "three": "bob", "four": "bob", "five": "alice"}


@pytest.fixture(name="sites")
def _sites(container: Container) -> Iterator[dict[str, Site]]:
    with not_yet_deployed(container, OWNERS) as found:
        yield found


@contextmanager
def not_yet_deployed(container: Container, owners: Mapping[str, str]) -> Iterator[dict[str, Site]]:
    """Sites of those owners that are not there yet, each with an app of its own."""
    found = {name: Site(container, name, owner) for name, owner in owners.items()}
    for one in found.values():
        one.write("flaskyapplication.py", APP.format(one.name))
    yield found
    for one in found.values():
        container.shell(f"rm -rf {one.directory} {one.private}", "root")


def entries(sites: dict[str, Site], **more: dict[str, Any]) -> str:
    """The variable that an inventory would have."""
    return json.dumps({"ocf_flask_sites": [{"name": one.name, "owner": one.owner, **more.get(one.name, {})} for one in sites.values()]})


def play(container: Container, playbook: str, *arguments: str) -> Deploy:
    return container.play(playbook, "", *arguments, owner="")


def test_a_run_over_many_ends_with_a_table_a_page_and_a_file_to_try_again(
    container: Container, sites: dict[str, Site], tmp_path: Path
) -> None:
    sites["three"].write("flaskyapplication.py", "def broken(:\n")
    sites["five"].write("flaskyapplication.py", "import time\n\ntime.sleep(10)\n" + APP.format("five"))
    report = tmp_path / "report"
    given = ["-e", entries(sites, two={"packages": ["nosuch"]}), "-e", f"report={report}"]
    done = play(container, "deploy.yml", *given)
    assert done.returncode == 2
    progress, _, rest = done.output.partition("5 sites: 3 deployed, 2 failed.")
    assert "of 5: two of alice failed: The packages could not be installed" in progress
    for line in ("two    alice  failed", "three  bob    failed", "SyntaxError: invalid syntax", "nosuch"):
        assert line in rest
    assert [one.visit().text for one in sites.values() if one.name in ("one", "four", "five")] == ["one", "four", "five"]
    page = (report / "report.html").read_text()
    assert "2 failed, 3 deployed" in page and "SyntaxError" in page and "<script" not in page
    assert json.loads((report / "failed.json").read_text()) == {"only": ["alice/two", "bob/three"]}

    sites["three"].write("flaskyapplication.py", APP.format("mended"))
    again = play(container, "deploy.yml", "-e", entries(sites), "-e", f"report={report}", "-e", f"@{report}/failed.json")
    assert again.returncode == 0, again.output
    assert "two is deployed." in again.output and "three is deployed." in again.output and "one is" not in again.output
    assert sites["three"].visit().text == "mended"
    assert "5 sites: 5 unchanged." in play(container, "deploy.yml", "-e", entries(sites)).output


def test_sites_are_found_in_the_accounts_and_deployed_as_their_owners_have_them(
    container: Container, sites: dict[str, Site], tmp_path: Path
) -> None:
    sites["one"].deployed("-e", json.dumps({"ocf_flask_packages": ["flask-login"], "ocf_flask_env": {"SECRET": "hush"}}))
    sites["three"].deployed()
    sites["four"].write("run.fcgi", RECIPE_RUN_FCGI)
    file = tmp_path / "sites.yml"
    found = play(container, "playbooks/find.yml", "-e", f"to={file}")
    assert found.returncode == 0, found.output
    listed = yaml.safe_load(file.read_text())["ocf_flask_sites"]
    assert {"name": "one", "owner": "alice"} in listed and {"name": "three", "owner": "bob"} in listed
    assert '#   - {"name": "four", "owner": "bob"}' in file.read_text()
    assert "hush" not in file.read_text() + found.output
    wanted = {"ocf_flask_sites": [one for one in listed if one["name"] in OWNERS]}
    done = play(container, "deploy.yml", "-e", json.dumps(wanted))
    assert done.returncode == 0 and "changed=0" in done.output, done.output
    assert "hush" in container.shell(f"cat {sites['one'].private}/releases/*/env")
    refused = play(container, "playbooks/find.yml", "-e", f"to={file}")
    assert refused.returncode == 2 and "was not replaced" in refused.output


def test_all_are_looked_at_and_removed_only_when_that_was_said(container: Container, sites: dict[str, Site]) -> None:
    two = {name: sites[name] for name in ("one", "three")}
    play(container, "deploy.yml", "-e", entries(two))
    said = play(container, "playbooks/status.yml", "-e", entries(two)).output
    assert all(f"{one.name}  " in said and one.owner in said for one in two.values()) and "GET / -> 200" in said
    assert play(container, "playbooks/remove.yml", "-e", entries(two)).returncode == 2 and sites["one"].visit().text == "one"
    assert play(container, "playbooks/remove.yml", "-e", entries(two), "-e", "all=true").returncode == 0
    assert [one.visit().status for one in two.values()] == [404, 404]
    assert play(container, "playbooks/restore.yml", "-e", entries(two)).returncode == 0
    assert [one.visit().text for one in two.values()] == ["one", "three"]
    for owner in ("alice", "bob"):
        container.shell("rm -rf ~/ocf-flask-removed", owner)
