"""What a site records of its settings: taken where the inventory of staff says nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local_site import APP, Site
from ocf_flask import recorded, release, settings, sites
from ocf_flask.errors import SettingError
from ocf_flask.outcome import Outcome

GREETING = 'import os\n\nfrom flask import Flask\n\napp = Flask(__name__)\n\n\n@app.route("/hi")\ndef index():\n    return os.environ["GREETING"]\n'


def by_staff(site: Site, **more: Any) -> Outcome:
    """A deploy of an entry that has a name and an owner, as root would do it."""
    return sites.deploy(site.settings(**more), replace(site.kit, own_environment=False), sites.Asked(), check=False)


@pytest.fixture(name="declared")
def _declared(site: Site) -> dict[str, Any]:
    """What its owner has declared of a site, and deployed."""
    site.write("shop.py", GREETING)
    return {
        "app": "shop:app",
        "packages": ["flask-login"],
        "public": ["files/"],
        "env": {"GREETING": "hush"},
        "smoke_test": {"path": "/hi"},
    }


def test_staff_who_name_a_site_change_nothing_of_what_its_owner_declared(site: Site, declared: dict[str, Any]) -> None:
    site.deployed(**declared)
    before = site.state()
    outcome = by_staff(site)
    assert outcome.state == "unchanged", (outcome.error, outcome.changes)
    assert site.state() == before
    assert site.deploy().state == "failed", "for the owner himself, what is declared is the truth"


def test_what_the_inventory_sets_is_set_and_the_rest_stays(site: Site, declared: dict[str, Any]) -> None:
    site.deployed(**declared)
    outcome = by_staff(site, packages=["flask-login", "flup6"])
    assert outcome.state == "deployed", (outcome.error, outcome.detail)
    assert outcome.changes["packages"] == ["flup6 1.1.1 installed"] and set(outcome.changes) == {"packages", "run_fcgi"}
    assert outcome.notes == [note for note in outcome.notes if "dropped" not in note]


def test_what_an_entry_has_is_set_also_when_it_is_empty(site: Site, declared: dict[str, Any]) -> None:
    site.write("flaskyapplication.py", APP.format("one"))
    site.deployed(**{**declared, "app": "flaskyapplication:app", "smoke_test": {}})
    entry = settings.read({"name": "flasky", "packages": [], "env": {}}, site.base)
    outcome = sites.deploy(entry, replace(site.kit, own_environment=False))
    assert outcome.state == "deployed", (outcome.error, outcome.detail)
    assert outcome.changes["packages"] == ["flask-login 0.6.3 removed"] and outcome.changes["settings"] == ["GREETING removed"]
    assert b"files/" in (site.web / ".htaccess").read_bytes()


def test_an_upgraded_system_is_met_with_the_owners_packages_and_environment(site: Site, declared: dict[str, Any]) -> None:
    site.deployed(**declared)
    python = site.web / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.5")
    outcome = by_staff(site)
    assert outcome.state == "deployed", (outcome.error, outcome.detail)
    assert outcome.tested["path"] == "/hi" and outcome.changes["packages"] == []


def test_code_that_its_owner_brought_stays(site: Site, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "flaskyapplication.py").write_text(APP.format("one"))
    site.deployed(source=str(project))
    (project / "flaskyapplication.py").write_text(APP.format("two"))
    assert by_staff(site).state == "unchanged"
    outcome = by_staff(site, packages=["flask-login"])
    assert outcome.state == "deployed" and "code" not in outcome.changes
    live = release.last_live(sites.open_site(site.settings(), site.kit).places)
    assert live and (site.private / "releases" / live.id / "app" / "flaskyapplication.py").read_text() == APP.format("one")


@pytest.mark.parametrize(
    ("key", "value"),
    [("app", "a b"), ("packages", [["x"]]), ("smoke_test", {"path": "{{ lookup('pipe', 'id') }}"}), ("python", "-x"), ("keep", 10**6)],
)
def test_a_record_is_checked_as_settings_are(site: Site, key: str, value: object) -> None:
    site.deployed()
    (manifest,) = site.private.glob("releases/*/manifest.json")
    content = json.loads(manifest.read_text())
    content["settings"][key] = value
    manifest.write_text(json.dumps(content))
    outcome = by_staff(site)
    assert outcome.state == "failed" and f"ocf_flask_{key}" in outcome.error and "says of its settings" in outcome.error


def test_a_record_gives_no_more_time_than_staff_do() -> None:
    manifest = release.Manifest("x", "", {}, {}, {}, "", {}, settings={"smoke_test": {"timeout": 600}, "timeouts": {"build": 10_000}})
    found = recorded.below(settings.Settings("flasky"), manifest)
    assert found.smoke_test.timeout == 30 and found.timeouts == settings.Timeouts()
    with pytest.raises(SettingError, match="says of its settings"):
        recorded.below(settings.Settings("flasky"), replace(manifest, settings={"app": 1}))
