"""What no output may show: taken out by the controller, put back by the module, and shown by no playbook."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader

import ocf_flask_secrets as controller
import ocf_flask_unfit
from ocf_flask import reader, secrets
from typed import Person

URL = "https://alice:hunter22@example.edu/x.git"
SHOWN = "https://example.edu/x.git"


def encoded(variables: dict[str, Any], sites: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps({"variables": variables, "sites": sites}).encode()).decode()


def test_the_controller_conceals_what_the_module_puts_back() -> None:
    variables = {
        "ocf_flask_env": {"A": "hunter1", "N": 1},
        "ocf_flask_sites": [{"name": "a"}, {"name": "b", "env": {"B": "hunter2"}, "source": URL}],
        "ocf_flask_app": "shop",
        "ocf_flask_source": "ssh://git:hunter3@x/y",
        "ocf_flask_index": "http://hunter4@pypi.example.edu/simple",
        "ocf_flask_packages": ["flask", "shop @ git+https://hunter5@example.edu/shop", f"club @ git+ssh://git@x/y,{URL}"],
    }
    visible, hidden = controller.conceal(variables)
    assert visible == {
        "ocf_flask_sites": [{"name": "a"}, {"name": "b", "source": SHOWN}],
        "ocf_flask_app": "shop",
        "ocf_flask_source": "ssh://git@x/y",
        "ocf_flask_index": "http://pypi.example.edu/simple",
        "ocf_flask_packages": ["flask", "shop @ git+https://example.edu/shop", f"club @ git+ssh://git@x/y,{SHOWN}"],
    }
    assert "hunter" not in hidden and secrets.put_back(visible, hidden) == variables


@pytest.mark.parametrize(
    "variables",
    [
        {"ocf_flask_app": "shop", "ocf_flask_source": "git@x:y.git", "ocf_flask_index": "https://x/simple"},
        {"ocf_flask_source": "ssh://git@x/y", "ocf_flask_packages": "flask,shop @ https://x/shop@1.whl"},
        {"ocf_flask_source": 5, "ocf_flask_index": None, "ocf_flask_packages": {"a": URL}, "ocf_flask_sites": "flasky"},
    ],
)
def test_what_is_no_secret_stays_where_it_is(variables: dict[str, Any]) -> None:
    assert controller.conceal(variables) == (variables, "") and secrets.put_back(variables, "") == variables


def test_each_site_gets_its_own_credentials_back() -> None:
    urls = [URL, "https://bob:hunter23@example.edu/x.git", SHOWN]
    given = {"ocf_flask_sites": [{"name": name, "source": url} for name, url in zip("abc", urls)], "ocf_flask_source": SHOWN}
    visible, hidden = controller.conceal(given)
    assert [one["source"] for one in visible["ocf_flask_sites"]] == [SHOWN] * 3
    assert secrets.put_back(visible, hidden) == given


def test_no_message_shows_the_variables() -> None:
    whole = secrets.put_back(
        {"ocf_flask_sites": [{"name": "a"}, {"name": "b"}]},
        encoded({"ocf_flask_env": {"A": "hunter1"}}, {"1": {"env": {"B": "hunter2"}}, "0": {"env": "hunter3"}}),
    )
    assert dict(whole["ocf_flask_env"]) == {"A": "hunter1"} and dict(whole["ocf_flask_sites"][1]["env"]) == {"B": "hunter2"}
    assert "hunter" not in repr(whole)


def test_no_message_shows_the_credentials_of_a_url() -> None:
    values = reader.Reader({"index": f"{URL} x", "packages": [URL, "git+ssh://git:hunter2@x/y"]}, "ocf_flask_")
    values.wrong("index", "no.")
    values.wrong("packages", "no.")
    assert values.problems == [f"ocf_flask_index is '{SHOWN} x': no.", f"ocf_flask_packages is ['{SHOWN}', 'git+ssh://git@x/y']: no."]


@pytest.mark.parametrize("listed", ["flasky", 5, {"name": "flasky"}, None])
def test_a_list_of_sites_that_is_none_is_left_to_be_said(listed: object) -> None:
    assert secrets.put_back({"ocf_flask_sites": listed}, encoded({"ocf_flask_env": {}}, {}))["ocf_flask_sites"] == listed


@pytest.mark.parametrize("verb", ["deploy", "status", "logs", "prepare", "run", "remove"])
def test_no_playbook_shows_them_however_much_it_says(tmp_path: Path, wheels: Path, verb: str) -> None:
    person = Person(tmp_path, wheels)
    store = tmp_path / "store"
    store.mkdir(mode=0o755)
    settings = {
        "ocf_flask_source": "http://alice:hunter1@127.0.0.1:9/x.git",
        "ocf_flask_index": "http://alice:hunter2@127.0.0.1:9/simple",
        "ocf_flask_packages": ["shop @ git+http://hunter3@127.0.0.1:9/shop"],
        "ocf_flask_env": {"TOKEN": "hunter4"},
        "ocf_flask_store": str(store),
        "command": "true",
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    said = person.types(f"ansible-playbook playbooks/{verb}.yml -vvv -e site=flasky -e @{tmp_path}/settings.json")
    assert "secrets: VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in said.output and "hunter" not in said.output, said.output


VAULTED = "!vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    3131\n"


@pytest.mark.parametrize(
    ("text", "mode", "warned"),
    [
        ("ocf_flask_env:\n  TOKEN: hunter\n", 0o644, True),
        ("ocf_flask_env:\n  TOKEN: hunter\n", 0o600, False),
        ("ocf_flask_env: {}\n", 0o644, False),
        ("ocf_flask_app: shop\n", 0o644, False),
        (f"ocf_flask_env:\n  TOKEN: {VAULTED}", 0o644, False),
        ("", 0o644, False),
    ],
)
def test_a_file_of_secrets_that_others_can_read_is_warned_of(tmp_path: Path, text: str, mode: int, warned: bool) -> None:
    file = tmp_path / "flasky.yml"
    file.write_text(text)
    file.chmod(mode)
    said = ocf_flask_unfit.open_secrets(str(file), DataLoader().load_from_file(str(file)))
    assert said.endswith("Type: chmod 600 " + os.path.relpath(file)) if warned else not said


def test_an_encrypted_file_may_be_read_by_all(tmp_path: Path) -> None:
    (tmp_path / "flasky.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n3131\n")
    (tmp_path / "flasky.yml").chmod(0o644)
    assert not ocf_flask_unfit.open_secrets(str(tmp_path / "flasky.yml"), {"ocf_flask_env": {"TOKEN": "hunter"}})


def test_a_deploy_warns_of_it(tmp_path: Path, wheels: Path) -> None:
    person = Person(tmp_path, wheels)
    file = person.checkout / "inventory/sites/flasky.yml"
    file.write_text("ocf_flask_env:\n  TOKEN: hunter\n")
    file.chmod(0o644)
    said = person.types("make status site=flasky")
    told = "inventory/sites/flasky.yml has ocf_flask_env, and other accounts of this machine can read it"
    assert told in " ".join(said.output.split()), said.output
