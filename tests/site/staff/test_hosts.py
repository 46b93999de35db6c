"""Two hosts in one inventory: each has its own sites, and one run and one report are about all."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from test_staff import APP

from hosted import Container, Deploy, Site, docker

HOSTS = ("bookworm", "trixie")
Play = Callable[..., Deploy]


@pytest.fixture(name="sites")
def _sites(container: Container) -> Iterator[dict[str, Site]]:
    """One site on each host, of the same owner, and one more on the second."""
    if container.host != HOSTS[-1]:
        pytest.skip("both hosts are in one test, which runs for the other")
    found = {}
    for host in HOSTS:
        one = copy.copy(container)
        one.name = container.name.replace(container.host, host)
        one.address = docker("port", one.name, "80").split()[0]
        for name in (f"on-{host}", "shared-name", *(["third"] if host == container.host else [])):
            found[f"{host}/{name}"] = Site(one, name)
    for where, site in found.items():
        site.write("flaskyapplication.py", APP.format(where))
    yield found
    for site in found.values():
        site.container.shell(f"rm -rf {site.directory} {site.private}", "root")


@pytest.fixture(name="play")
def _play(container: Container, sites: dict[str, Site], tmp_path: Path) -> Play:
    """A playbook on the inventory of both."""
    hosts = {host: {"ocf_flask_sites": [{"name": where.partition("/")[2], "owner": "alice"} for where in sites if where.startswith(host)]}
             for host in HOSTS}  # fmt: skip
    (tmp_path / "sites.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    both = copy.copy(container)
    both.inventory = ["-i", "molecule/shared/inventory", "-i", str(tmp_path / "sites.yml")]
    return lambda playbook, site="", *arguments: both.play(playbook, site, *arguments, owner="")


def results(report: Path, host: str) -> dict[str, str]:
    return {one["name"]: one["state"] for one in json.loads((report / f"host-{host}.json").read_text())["sites"]}


def test_each_host_has_its_own_sites_in_one_run_and_one_report(sites: dict[str, Site], play: Play, tmp_path: Path) -> None:
    sites["bookworm/shared-name"].write("flaskyapplication.py", "1 / 0\n")
    report = tmp_path / "report"
    first = play("deploy.yml", "", "-e", f"report={report}")
    assert first.returncode == 2
    assert results(report, "bookworm") == {"on-bookworm": "deployed", "shared-name": "failed"}
    assert results(report, "trixie") == {"on-trixie": "deployed", "shared-name": "deployed", "third": "deployed"}
    assert {where: site.visit().text for where, site in sites.items() if where != "bookworm/shared-name"} == {
        where: where for where in sites if where != "bookworm/shared-name"
    }
    page = (report / "report.html").read_text()
    assert "ZeroDivisionError" in page and "on-bookworm" in page and "third" in page

    sites["bookworm/shared-name"].write("flaskyapplication.py", APP.format("mended"))
    again = play("deploy.yml", "", "-e", f"report={report}", "-e", f"@{report}/failed.json")
    assert again.returncode == 0, again.output
    assert results(report, "bookworm") == {"shared-name": "deployed"}
    assert sites["bookworm/shared-name"].visit().text == "mended"


def test_a_site_is_found_on_the_host_that_has_it(sites: dict[str, Site], play: Play) -> None:
    one = play("deploy.yml", "third")
    assert one.returncode == 0 and "trixie: third is deployed." in one.output, one.output
    both = play("deploy.yml", "shared-name")
    assert both.returncode == 0 and both.output.count("shared-name is deployed.") == 2
    none = play("deploy.yml", "nowhere")
    assert none.returncode == 2 and "No site matches site=nowhere. The sites of this inventory: on-bookworm" in none.output
    refused = play("playbooks/remove.yml", "")
    assert refused.returncode == 2 and "-e all=true" in refused.output
    assert [site.visit().status for site in sites.values() if site.name in ("third", "shared-name")] == [200] * 3
