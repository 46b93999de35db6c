"""The switch: what the web server's answer to it means. The rest of it is in test_deploy, and behind a web server in tests/site."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from local_site import Site
from ocf_flask import files, live, observe, switch
from ocf_flask.site import open_site

OLD, NEW = "20261124-034512", "20261128-120000"


@pytest.mark.parametrize(
    ("before", "reply", "refuses"),
    [
        # It answers with the new release, or still with the old one.
        (live.Reply(OLD), live.Reply(NEW), False),
        (live.Reply(OLD), live.Reply(OLD), False),
        # It did serve the site, and does not any more.
        (live.Reply(OLD), live.Reply(status=404), True),
        (live.Reply(OLD), live.Reply(status=403), True),
        (live.Reply(OLD), live.Reply(problem="Connection refused"), True),
        (live.Reply(OLD), live.Reply(status=500), True),
        (live.Reply(OLD), live.Reply(status=502), True),
        (live.Reply(OLD), live.Reply(status=301), False),
        # Where it never did, there may be no web server that serves it, or not by this URL.
        (live.Reply(status=404), live.Reply(status=404), False),
        (live.Reply(problem="Connection refused"), live.Reply(problem="Connection refused"), False),
        (live.Reply(status=200), live.Reply(status=200), False),
        # But one that fails what it was given has been given something wrong.
        (live.Reply(status=404), live.Reply(status=500), True),
        (live.Reply(status=500), live.Reply(status=500), True),
        (live.Reply(status=404), live.Reply(status=503), True),
        # A proxy whose web server is down.
        (live.Reply(status=502), live.Reply(status=502), False),
        (live.Reply(status=503), live.Reply(status=504), False),
    ],
)
def test_when_the_web_server_refuses_what_it_was_given(before: live.Reply, reply: live.Reply, refuses: bool) -> None:
    assert switch._refuses(before, reply) is refuses


def cause(site: Site, monkeypatch: pytest.MonkeyPatch, reply: live.Reply, alone: live.Reply | None, **more: Any) -> str:
    """What is said of a switch that was undone. ``alone``: the answer of ``run.fcgi`` without the new ``.htaccess``, if that is asked."""
    asked: list[str] = []

    def ask(url: str, token: str) -> live.Reply:
        asked.append(url)
        assert token == "T" and alone is not None
        return alone

    monkeypatch.setattr(live, "ask", ask)
    one = open_site(site.settings(), site.kit)
    told = {"before": live.Reply(OLD), "htaccess": True, "run_fcgi": True, "old": b"Own\n", "new": b"Own\n# ours\n  New line\n", **more}
    view: Any = SimpleNamespace(
        plan=SimpleNamespace(htaccess=told["htaccess"], run_fcgi=told["run_fcgi"]),
        wanted=SimpleNamespace(interpreter=SimpleNamespace(path="/usr/bin/python3.11"), htaccess=told["new"]),
        observed=SimpleNamespace(htaccess=told["old"]),
    )
    question: Any = SimpleNamespace(before=told["before"], token="T")
    found = switch._cause(one, view, NEW, question, reply)
    assert asked == ([] if alone is None else [f"{one.url.rstrip('/')}/run.fcgi"])
    return found


FAILED = live.Reply(status=500)


def test_permissions_are_the_cause_of_a_site_that_is_not_reached(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "its account must be able to pass through" in cause(site, monkeypatch, live.Reply(status=403), None)


def test_where_nothing_of_it_was_changed_the_server_knows_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cause(site, monkeypatch, FAILED, None, htaccess=False, run_fcgi=False) == "The web server's error log says more."


def test_a_python_that_the_server_lacks_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = "The web server does not start run.fcgi, which works on this machine: it has no Python at /usr/bin/python3.11"
    assert cause(site, monkeypatch, FAILED, None, htaccess=False).startswith(lacks)
    assert cause(site, monkeypatch, FAILED, live.Reply(status=500)).startswith(lacks)


def test_of_two_things_that_may_be_wrong_both_are_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    either = "Either the server does not take a line of "
    assert cause(site, monkeypatch, FAILED, live.Reply(status=404)).startswith(either)
    # What was in .htaccess before may be as wrong.
    assert cause(site, monkeypatch, FAILED, live.Reply(status=500), before=live.Reply(status=500)).startswith(either)


@pytest.mark.parametrize(
    ("content", "written", "edited"),
    [
        (None, None, False),
        (None, b"ours", False),
        (b"ours", b"ours", False),
        (b"changed", b"ours", True),
        # Of no release that is known.
        (b"by hand", None, True),
    ],
)
def test_what_is_put_in_the_place_of_an_edited_script_is_known(
    site: Site, content: bytes | None, written: bytes | None, edited: bool
) -> None:
    where = open_site(site.settings(), site.kit).places
    where.site.mkdir(parents=True)
    if content is not None:
        where.run_fcgi.write_bytes(content)
    known: Any = None if written is None else SimpleNamespace(run_fcgi=files.digest(written))
    assert observe.edited_run_fcgi(where, known) == (content if edited else None)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"Own\n", b"Own\n# ours\n\n  New line\n", "with what is new in it:\n  New line"),
        (None, b"A\nB\nC\nD\nE\nF\nG\n", "with our lines: one has a directive"),
        (b"A\n", b"# only\nA\n", "with our lines: one has a directive"),
    ],
)
def test_lines_that_the_server_does_not_take_are_shown_if_they_are_few(
    site: Site, monkeypatch: pytest.MonkeyPatch, old: bytes | None, new: bytes, told: str
) -> None:
    assert told in cause(site, monkeypatch, FAILED, live.Reply(NEW), old=old, new=new)
    assert told in cause(site, monkeypatch, FAILED, None, run_fcgi=False, old=old, new=new)
