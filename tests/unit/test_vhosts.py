"""All URLs of a site, from the service's list of virtual hosts and from a setting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocf_flask import places, settings, vhosts
from ocf_flask.errors import SettingError

SPACE = Path("/services/http/users/a/alice")
LIST = """\
# user host aliases docroot flags
alice - - -
alice club.example.org www.club.example.org,club2 - [hsts]
alice blog - /flasky
alice deep.example.org - club/flasky/
bob bob.example.org - -
alice broken
alice -bad-.example.org - -
alice evil"host - -

"""


def listed(site: str, text: str = LIST) -> list[str]:
    return list(vhosts.listed(text, "alice", SPACE, SPACE / site if site else SPACE, "berkeley.edu"))


def test_a_site_is_below_each_host_of_its_owner() -> None:
    assert listed("other") == [
        "https://alice.berkeley.edu/other/",
        "https://club.example.org/other/",
        "https://www.club.example.org/other/",
        "https://club2.berkeley.edu/other/",
    ]


def test_a_host_whose_document_root_is_the_site_has_it_at_its_root() -> None:
    assert listed("flasky")[-1] == "https://blog.berkeley.edu/"


def test_a_document_root_below_the_web_space_is_relative_to_it() -> None:
    assert listed("club/flasky/sub")[-1] == "https://deep.example.org/sub/"


def test_the_web_space_itself_is_at_the_root_of_its_hosts_alone() -> None:
    assert listed("") == [
        "https://alice.berkeley.edu/",
        "https://club.example.org/",
        "https://www.club.example.org/",
        "https://club2.berkeley.edu/",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        "alice a b",
        "alice - - ../bob",
        "alice - - redirect=https://x",
        "alice - - redirect=https://x/../..",
        "\0",
        "alice - - -'\"",
        "#alice - - -",
    ],
)
def test_what_is_no_line_of_the_list_says_nothing(line: str) -> None:
    assert listed("flasky", line) == []


def owner(home: Path) -> places.Account:
    return places.Account("alice", os.getuid(), os.getgid(), home)


def look(home: Path, **more: object) -> tuple[list[str], list[str]]:
    wanted = settings.read({"name": "flasky", "web_root": "/no/such", **more}, {})
    where = places.Places(home / "public_html/flasky", home / "p", home / "crontab.lock")
    return vhosts.urls(wanted, owner(home), where, "https://www.ocf.berkeley.edu/~alice/flasky/")


def test_urls_of_the_setting_come_first_and_each_once(tmp_path: Path) -> None:
    home = Path(os.path.realpath(tmp_path))
    (home / "list").write_text("alice - - -\nalice x.org - flasky\n")
    found, notes = look(
        home, virtual_hosts="~/list", urls=["https://{name}.org", "https://x.org/", "https://www.ocf.berkeley.edu/~alice/flasky/"]
    )
    assert found == ["https://flasky.org/", "https://x.org/", "https://alice.berkeley.edu/flasky/"]
    assert notes == []


def test_a_list_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        look(tmp_path, virtual_hosts="/no/such/list")
    assert caught.value.message == (
        "ocf_flask_virtual_hosts is '/no/such/list', which cannot be read: No such file or directory. "
        "Name the service's list, or leave it empty."
    )


def test_the_services_own_list_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(os.path.realpath(tmp_path))
    monkeypatch.setattr(vhosts, "_LIST", str(home / "vhost.conf"))
    assert look(home, web_root=str(home)) == ([], [])
    (home / "vhost.conf").write_text("alice - - -\n")
    assert look(home, web_root=str(home)) == (["https://alice.berkeley.edu/flasky/"], [])
    assert look(home) == ([], []), "not on an ordinary machine"


def test_the_services_own_list_that_cannot_be_read_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vhosts, "_LIST", str(tmp_path))
    found, notes = look(tmp_path, web_root=str(tmp_path))
    assert (found, notes) == ([], [f"{tmp_path} cannot be read (This is no plain file), so URLs on virtual hosts are not known"])
