"""Accounts that staff have closed: their sites are skipped, and that is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocf_flask import accounts, places, report, run, settings, sites, status, status_report
from ocf_flask.errors import AccountDisabled
from ocf_flask.outcome import Outcome
from ocf_flask.site import Kit

KIT = Kit("", "", "", "", "", "", "", "")
AGAIN = "make {verb} site={name}"


@pytest.fixture(name="closed", params=["shell", "web space"])
def _closed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[places.Account]:
    """An account as staff leave it."""
    space = tmp_path / "space"
    (space / "flasky").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "public_html").symlink_to(space)
    account = places.Account("alice", os.getuid(), os.getgid(), tmp_path / "home", "/bin/bash")
    if request.param == "shell":
        account = replace(account, shell="/opt/share/utils/bin/sorried")
    else:
        space.chmod(0)
    monkeypatch.setattr(places, "account", lambda _: account)
    yield account
    space.chmod(0o700)


@pytest.mark.parametrize("verb", sites.VERBS)
def test_every_verb_skips_its_sites_and_says_why(closed: places.Account, verb: str) -> None:
    work = sites.verb(verb, KIT, sites.Asked(command="x"), check=False).work
    outcome = work(settings.Settings("flasky"))
    assert outcome.state == "skipped" and outcome.error.startswith("The account alice is disabled: ") and not outcome.changed
    assert outcome.is_sound()
    assert report.lines([outcome], AGAIN).startswith("flasky was skipped.\n\n  The account alice is disabled")
    assert "alice  skipped" in report.lines([replace(outcome, owner="alice")] + [Outcome("other")] * 5, AGAIN)


def test_a_look_says_it_too(closed: places.Account) -> None:
    found = status.look_up(settings.Settings("flasky"), test=True, log_lines=1)
    assert found.state == "skipped" and "is disabled" in status_report.status([found], AGAIN)
    searched = accounts.look(closed)
    assert searched.state == "skipped" and "# alice: The account alice is disabled" in accounts.inventory([searched])


def test_a_run_that_only_skipped_has_failed_and_others_have_not() -> None:
    skipped = Outcome("flasky", state="skipped", error="The account alice is disabled.")
    assert run.failures([skipped])["failed"] and run.failures([skipped, Outcome("other")]) == {}
    failed = Outcome("shop", state="failed", error="No.")
    assert run.failures([skipped, failed])["msg"] == "shop: No."


def test_an_account_like_any_other_is_not_disabled(tmp_path: Path) -> None:
    account = places.Account("alice", os.getuid(), os.getgid(), tmp_path, "/bin/bash")
    places.check_enabled(account)
    (tmp_path / "public_html").mkdir(mode=0o700)
    places.check_enabled(account)
    with pytest.raises(AccountDisabled):
        places.check_enabled(replace(account, shell="/opt/share/utils/bin/sorried"))
