"""Finding the sites that accounts have."""

from __future__ import annotations

import errno
import json
import os
import pwd
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_site import Site
from ocf_flask import accounts, places, settings, sites, workers
from ocf_flask.errors import SettingError


@pytest.fixture(name="home")
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> places.Account:
    """An account with an empty home; alice, for the record."""
    me = places.account("")
    # A shebang has room for 127 characters.
    home = tmp_path_factory.mktemp("h")
    (home / "public_html").mkdir()
    account = places.Account("alice", me.uid, me.gid, home)
    monkeypatch.setattr(places, "account", lambda _: account)
    return account


def deployed(site: Site, name: str, directory: Path, private: Path) -> None:
    site.base.update(directory=str(directory), private_directory=str(private))
    outcome = sites.deploy(settings.read({"name": name}, site.base), site.kit)
    assert outcome.state == "deployed", (outcome.error, outcome.detail)


def test_sites_are_found_by_what_their_run_fcgi_starts(site: Site, home: places.Account) -> None:
    deployed(site, "flasky", home.home / "public_html" / "flasky", home.home / ".ocf-flask" / "flasky")
    elsewhere = home.home / "elsewhere"
    deployed(site, "shop", home.home / "public_html" / "store", elsewhere)
    (home.home / "public_html" / "old").mkdir()
    (home.home / "public_html" / "old" / "run.fcgi").write_text("#!venv/bin/python\n")
    (home.home / "public_html" / "photos").mkdir()
    found = accounts.look(home)
    assert found.by_hand == ["old"] and found.is_sound()
    names = {one["name"]: one for one in found.entries}
    assert set(names) == {"flasky", "shop"}
    assert names["shop"]["directory"] == str(home.home / "public_html" / "store")
    assert names["shop"]["private_directory"] == str(elsewhere)
    (checked,) = accounts.find("alice")
    assert [one["owner"] for one in checked.entries] == ["alice", "alice"]
    text = accounts.inventory([checked])
    assert yaml.safe_load(text)["ocf_flask_sites"] == checked.entries and '#   - {"name": "old", "owner": "alice"}' in text


def test_an_account_without_a_web_space_has_no_sites(home: places.Account) -> None:
    (home.home / "public_html").rmdir()
    assert accounts.look(home).entries == [] and accounts.inventory([accounts.look(home)]).endswith("ocf_flask_sites: []\n")


def test_a_link_to_where_nobody_may_look_hides_no_other_site(site: Site, home: places.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed(site, "flasky", home.home / "public_html" / "flasky", home.home / ".ocf-flask" / "flasky")
    closed = home.home / "public_html" / "closed"
    closed.symlink_to("nowhere")
    stat = os.stat

    def refused(path: Any, *arguments: Any, **more: Any) -> os.stat_result:
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, *arguments, **more)

    monkeypatch.setattr(os, "stat", refused)
    found = accounts.look(home)
    assert (found.error, [one["name"] for one in found.entries]) == ("", ["flasky"])


def test_people_are_all_but_programs_and_nobody(home: places.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    uids = (0, 999, 1000, 65533, 65534, 65535, 1_234_567)
    everybody = [pwd.struct_passwd((f"u{uid}", "x", uid, uid, "", "/", "/bin/sh")) for uid in uids]
    monkeypatch.setattr(pwd, "getpwall", lambda: everybody)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    asked: list[str] = []
    monkeypatch.setattr(workers, "run", lambda jobs, slots: [])
    monkeypatch.setattr(workers, "Job", lambda owner, *_: asked.append(owner))
    monkeypatch.setattr(places, "account", lambda name: replace(home, name=name, uid=int(name[1:])))
    accounts.find("")
    assert asked == ["u1000", "u65533", "u65535", "u1234567"]


def test_a_record_that_leads_to_another_directory_is_no_site(site: Site, home: places.Account) -> None:
    deployed(site, "flasky", home.home / "public_html" / "flasky", home.home / ".ocf-flask" / "flasky")
    (manifest,) = home.home.glob(".ocf-flask/flasky/releases/*/manifest.json")
    content = json.loads(manifest.read_text())
    content["settings"]["directory"] = "~/public_html/other"
    manifest.write_text(json.dumps(content))
    assert accounts.look(home).entries == []


HOSTILE: list[dict[str, Any]] = [
    {"name": "{{ lookup('pipe', 'id') }}"},
    {"name": "x", "directory": "{{ 1 }}"},
    {"name": "x\n- evil"},
    {"name": "x", "private_directory": ["a"]},
    {"name": 5},
    {},
]


@pytest.mark.parametrize("entry", HOSTILE)
def test_what_is_no_entry_does_not_get_into_the_inventory(
    home: places.Account, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any]
) -> None:
    answer = replace(
        accounts.Sites("bob", owner="root"), entries=[entry, {"name": "good", "owner": "root", "app": "evil"}], by_hand=["a b", "fine"]
    )
    monkeypatch.setattr(workers, "run", lambda jobs, slots: [asdict(answer)])
    (found,) = accounts.find("")
    assert (found.owner, found.entries, found.by_hand) == ("alice", [{"name": "good", "owner": "alice"}], ["fine"])
    assert yaml.safe_load(accounts.inventory([found])) == {"ocf_flask_sites": [{"name": "good", "owner": "alice"}]}


@pytest.mark.parametrize(
    "answer", ["It took longer.", {"name": 1}, {"entries": [1]}, {"unknown": 1}, {"name": "x", "state": "found", "entries": "x"}]
)
def test_a_search_that_failed_is_named(home: places.Account, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(workers, "run", lambda jobs, slots: [answer])
    (found,) = accounts.find("")
    assert found.state == "failed" and found.owner == "alice" and found.error
    assert "# alice: " in accounts.inventory([found])


def test_an_account_that_is_not_there_is_said() -> None:
    with pytest.raises(SettingError, match="no account"):
        accounts.find("nosuchaccount")
