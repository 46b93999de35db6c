"""The modules, as Ansible runs them: arguments in, JSON out."""

from __future__ import annotations

import getpass
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

import ocf_flask
import ocf_flask_source
from ocf_flask.site import Kit
from test_repository import ROOT

Run = Callable[..., dict[str, Any]]


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a module by its name; what it answers."""
    # Where Ansible's packer puts the engine.
    monkeypatch.setitem(sys.modules, "ansible.module_utils.ocf_flask", ocf_flask)
    for name in ("sites", "sites_info", "accounts"):
        monkeypatch.setitem(sys.modules, f"ansible.module_utils.ocf_flask.{name}", importlib.import_module(f"ocf_flask.{name}"))

    def run(name: str, **arguments: Any) -> dict[str, Any]:
        spec = importlib.util.spec_from_file_location(name, ROOT / f"plugins/modules/{name}.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run


@pytest.fixture(name="deploying")
def _deploying(kit: Kit) -> Mapping[str, Any]:
    """What each call that builds has to have."""
    brought = yaml.safe_load((ROOT / "roles/ocf_flask/vars/main.yml").read_text())["__ocf_flask_kit"]
    return {"kit": {part: getattr(kit, part) for part in brought}, "uv": list(kit.uv)}


def places(directory: Path) -> dict[str, str]:
    return {"ocf_flask_directory": f"{directory}/web", "ocf_flask_private_directory": f"{directory}/private"}


def test_a_deploy_in_check_mode_says_what_it_would_do(run: Run, deploying: Mapping[str, Any], tmp_path: Path) -> None:
    answer = run("ocf_flask_sites", site="flasky", variables=places(tmp_path), **deploying, _ansible_check_mode=True)
    (site,) = answer["sites"]
    assert (answer["changed"], site["name"], site["state"]) == (True, "flasky", "would change"), answer
    assert "flasky" in answer["report"] and list(tmp_path.iterdir()) == []


def test_code_that_this_machine_lacks_is_asked_for_before_anything_is_done(run: Run, deploying: Mapping[str, Any], tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "flaskyapplication.py").write_text("app = 1\n")
    variables = {**places(tmp_path), "ocf_flask_source": str(code)}
    answer = run("ocf_flask_sites", site="flasky", variables=variables, sources=ocf_flask_source.listings([str(code)]), **deploying)
    assert answer["changed"] is False and len(answer["missing"]) == 1
    assert list(tmp_path.iterdir()) == [code]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"variables": {"ocf_flask_pakages": []}, "site": "flasky"}, "ocf_flask_pakages"),
        ({"variables": {"ocf_flask_sites": [{"name": "a"}, {"name": "b"}]}, "verb": "remove"}, "all"),
        ({"variables": {}}, "site"),
    ],
)
def test_a_run_that_cannot_be_meant_is_refused(run: Run, deploying: Mapping[str, Any], arguments: dict[str, Any], said: str) -> None:
    answer = run("ocf_flask_sites", **arguments, **deploying)
    assert answer["failed"] is True and said in answer["msg"] and "sites" not in answer


def test_a_site_that_is_not_there_is_looked_at(run: Run, tmp_path: Path) -> None:
    answer = run("ocf_flask_sites_info", site="flasky", variables=places(tmp_path))
    (site,) = answer["sites"]
    assert (answer["changed"], site["state"]) == (False, "not deployed")
    assert "ansible-playbook playbooks/deploy.yml -e site=flasky" in answer["report"]


def test_a_look_at_what_cannot_be_a_site_is_refused(run: Run) -> None:
    answer = run("ocf_flask_sites_info", site="../x", variables={})
    assert answer["failed"] is True and "'../x'" in answer["msg"]


def test_an_account_is_asked_for_its_sites(run: Run) -> None:
    answer = run("ocf_flask_accounts_info", owner=getpass.getuser())
    assert answer["changed"] is False and "\nocf_flask_sites:" in answer["inventory"]
    assert {one["owner"] for one in answer["accounts"]} <= {getpass.getuser()}


def test_an_account_that_is_none_is_refused(run: Run) -> None:
    answer = run("ocf_flask_accounts_info", owner="nobody-of-this-name")
    assert answer["failed"] is True and "nobody-of-this-name" in answer["msg"]
