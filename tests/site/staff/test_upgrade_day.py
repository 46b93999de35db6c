"""The day on which the system is a newer one: sites of Debian 12, Python 3.11, meet Debian 13 with 3.13 over the same homes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_staff import APP

from hosted import PUBLISHED, RECIPE_HTACCESS, RECIPE_RUN_FCGI, Container, Deploy, Host, Site, removed_afterwards

pytestmark = pytest.mark.usefixtures("_once")
URL = "ocf_flask_url=http://www.example.test/~{owner}/{name}/"
# A wheel for one Python alone, as a package has that is compiled.
OLD_WHEEL = """
import zipfile
with zipfile.ZipFile("/old/compiled-1.0-cp311-cp311-linux_x86_64.whl", "w") as wheel:
    info = "compiled-1.0.dist-info/"
    wheel.writestr("compiled.py", "VALUE = 1\\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: compiled\\nVersion: 1.0\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: cp311-cp311-linux_x86_64\\n")
    wheel.writestr(info + "RECORD", "")
"""


@pytest.fixture(name="_once")
def _run_once(container: Container) -> None:
    # Beside the attacks of `test_attacks`, which run for this host too, it would have to share the machine with them.
    if container.host != "bookworm":
        pytest.skip("both hosts are in one test, which runs for the other")


@pytest.fixture(name="hosts", scope="module")
def _hosts(container: Container) -> Iterator[tuple[Host, Host]]:
    """The system before and after, with the same homes and web spaces; the second is not started before the first has ended."""
    volumes = {f"/{name}": f"ocf-flask-day-{name}" for name in ("home", "services")}
    names = "ocf-flask-day-before", "ocf-flask-day-after"
    with removed_afterwards(names, volumes.values()):
        yield tuple(_Later(name, volumes, release) for name, release in zip(names, ("bookworm", "trixie")))  # type: ignore[misc]


class _Later(Host):
    """A host that is started when it is needed."""

    def __init__(self, name: str, volumes: dict[str, str], release: str) -> None:
        self.start = lambda: Host.__init__(self, name, volumes, *PUBLISHED, f"ocf-flask-test:{release}")

    def begin(self) -> None:
        self.start()
        self.await_web_server()


def play(host: Host, playbook: str, sites: list[dict[str, Any]], *arguments: str) -> Deploy:
    return host.play(playbook, "", "-e", json.dumps({"ocf_flask_sites": sites}), "-e", URL, *arguments, owner="")


def test_one_run_has_all_sites_serve_again_as_they_were(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    before, after = hosts
    before.begin()
    sites = {name: Site(before, name, owner) for name, owner in (("plain", "alice"), ("shop", "bob"), ("old", "bob"), ("byhand", "alice"))}
    for one in sites.values():
        one.write("flaskyapplication.py", APP.format(one.name))
    sites["old"].write("flaskyapplication.py", "import compiled\n" + APP.format("old"))
    before.shell(f"mkdir /old && cp /wheels/*.whl /old && python3 -c '{OLD_WHEEL}'", "root")
    declared: list[dict[str, Any]] = [
        {"name": "plain", "owner": "alice", "env": {"SECRET": "hush"}, "public": ["files/"]},
        {
            "name": "shop",
            "owner": "bob",
            "packages": ["flask==2.0.3", "werkzeug==2.0.3", "jinja2==3.0.3", "itsdangerous==2.0.1", "click==8.0.4"],
        },
        {"name": "old", "owner": "bob", "packages": ["compiled"], "wheels": "/old"},
    ]
    first = play(before, "deploy.yml", declared)
    assert first.returncode == 0, first.output
    _make_by_hand(sites["byhand"])
    assert [one.visit().text for one in sites.values()] == ["plain", "shop", "old", "byhand"]
    versions = {
        name: sites[name].shell(f"ls {sites[name].private}/releases/*/venv/lib/python*/site-packages") for name in ("plain", "shop")
    }
    docker_stop(before)

    after.begin()
    named = [{"name": name, "owner": one.owner} for name, one in sites.items()]
    for one in sites.values():
        one.container = after
    status = play(after, "playbooks/status.yml", named)
    assert status.output.count("3.11 is gone") == 3 and "does not run here: deploy again" in status.output
    assert [one.visit().status for one in sites.values()] == [500] * 4

    report = tmp_path / "report"
    day = play(after, "deploy.yml", named, "-e", f"report={report}")
    assert day.returncode == 2, day.output
    results = {one["name"]: one for one in json.loads((report / "host-ocf-flask-day-after.json").read_text())["sites"]}
    assert {name: one["state"] for name, one in results.items()} == {
        "plain": "deployed", "shop": "deployed", "old": "failed", "byhand": "deployed",
    }  # fmt: skip
    assert [sites[name].visit().text for name in ("plain", "shop", "byhand")] == ["plain", "shop", "byhand"]
    assert "made anew with Python 3.13" in results["plain"]["changes"]["virtualenv"][0]
    for name in ("plain", "shop"):
        assert results[name]["changes"]["packages"] == [], "versions changed that need not have"
        live = sites[name].shell(f"ls {sites[name].private}/current/venv/lib/python3.13/site-packages")
        assert set(_distributions(versions[name])) == set(_distributions(live))
    assert "compiled" in results["old"]["error"] + results["old"]["detail"]
    assert "hush" in sites["plain"].shell(f"cat {sites['plain'].private}/current/env")
    assert "files/" in sites["plain"].read(".htaccess")
    assert json.loads((report / "failed.json").read_text()) == {"only": ["bob/old"]}
    assert len(sites["old"].shell(f"ls {sites['old'].private}/releases").split()) == 1
    again = play(after, "deploy.yml", named)
    assert again.output.count("is up to date: nothing was changed") == 3 and "old was not deployed" in again.output, again.output


def _distributions(listing: str) -> list[str]:
    return [line for line in listing.splitlines() if line.endswith(".dist-info")]


def _make_by_hand(site: Site) -> None:
    """As the recipe says, on the old system."""
    site.write(".htaccess", RECIPE_HTACCESS.replace("THIS", site.name))
    site.write("run.fcgi", RECIPE_RUN_FCGI)
    site.shell(
        f"cd {site.directory} && chmod +x run.fcgi && python3 -m venv venv && venv/bin/pip install -q --no-index --find-links /wheels flask flup6"
    )


def docker_stop(host: Host) -> None:
    subprocess.run(["docker", "stop", host.name], capture_output=True, check=True)
