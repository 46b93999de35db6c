"""By ansible-runner, as AWX does it: with the answers of the survey."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ocf_flask import settings
from test_repository import ROOT, load_tool

ansible_runner = pytest.importorskip("ansible_runner")
SURVEY = json.loads((ROOT / "docs/awx-survey.json").read_text())


def answers(**given: Any) -> dict[str, Any]:
    """What somebody sends who fills in just these fields."""
    return {**{one["variable"]: one["default"] for one in SURVEY["spec"]}, **given}


def test_the_survey_is_the_specs() -> None:
    assert load_tool("survey").survey() == SURVEY, "type: make readme"


def test_what_the_survey_leaves_as_it_is_are_the_defaults() -> None:
    given = {key.removeprefix(settings.PREFIX): value for key, value in answers().items() if key.startswith(settings.PREFIX)}
    assert settings.read({"name": "flasky"}, given) == settings.Settings("flasky")
    assert len({one["variable"] for one in SURVEY["spec"]}) == len(SURVEY["spec"]) > 20


def test_the_execution_environment_has_what_the_checkout_is_tested_with() -> None:
    wanted = yaml.safe_load((ROOT / "docs/execution-environment.yml").read_text())["dependencies"]
    pinned = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-test.txt").read_text()
    for package in (wanted["ansible_core"]["package_pip"], wanted["ansible_runner"]["package_pip"], *wanted["python"]):
        assert f"{package};" in pinned or f"{package}\n" in pinned, package


@pytest.fixture(name="private_data")
def _private_data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "runner"
    shutil.rmtree(tmp_path / "runner", ignore_errors=True)


def test_a_run_deploys_the_site_and_its_result_is_data(private_data: Path, tmp_path: Path, wheels: Path) -> None:
    private_data.mkdir()
    mine = {
        "ocf_flask_directory": str(tmp_path / "web"),
        "ocf_flask_private_directory": str(tmp_path / "p"),
        "ocf_flask_wheels": str(wheels),
    }
    events: list[dict[str, Any]] = []
    run = ansible_runner.run(
        private_data_dir=str(private_data),
        project_dir=str(ROOT),
        playbook="deploy.yml",
        inventory=str(ROOT / "inventory/local.yml"),
        extravars=answers(
            site="flasky", owner="", ocf_flask_url="http://localhost:9/~{owner}/{name}/", ocf_flask_packages="flask-login,flup6", **mine
        ),
        envvars={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        event_handler=events.append,
        quiet=True,
    )
    with run.stdout as file:
        said = file.read()
    assert (run.status, run.rc) == ("successful", 0), said
    assert "flasky is deployed." in said
    (result,) = [one["event_data"]["res"] for one in events if one["event"] == "runner_on_ok"]
    (site,) = result["sites"]
    assert (site["state"], site["tested"]["status"]) == ("deployed", 200)
    assert {"flask-login 0.6.3 installed", "flup6 1.1.1 installed"} <= set(site["changes"]["packages"])
