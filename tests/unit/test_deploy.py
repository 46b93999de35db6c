"""The transaction, on this machine: real virtualenvs from wheels, a real smoke test, no web server."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from local_site import APP, Site
from ocf_flask import deploy as transaction
from ocf_flask import live, release, switch, virtualenv


@pytest.mark.parametrize("uv", ["", "none"], ids=["uv", "pip"])
def test_a_first_deploy_makes_everything_and_a_second_touches_nothing(site: Site, uv: str) -> None:
    first = site.deployed(uv=uv)
    assert set(first.changes) == {"directory", "htaccess", "run_fcgi", "virtualenv", "packages", "code"}
    assert (first.tested["status"], first.flask) == (200, "3.1.3")
    assert (site.web / "flaskyapplication.py").read_text() == site.kit.starter
    assert list(site.private.glob("releases/*/venv/lib/python*/site-packages/flask/__pycache__/app.*.pyc"))
    assert not (site.private / "tmp").exists()
    before = site.state()
    second = site.deploy(uv=uv)
    assert (second.state, second.changes, second.diff) == ("unchanged", {}, [])
    assert site.state() == before


@pytest.mark.parametrize("uv", ["", "none"], ids=["uv", "pip"])
def test_packages_come_from_an_index_where_one_answers(site: Site, uv: str) -> None:
    outcome = site.deploy(wheels="", uv=uv, packages=["flask-login==0.6.3"])
    if "the package index cannot be reached" in outcome.error + outcome.detail:
        pytest.skip("no package index answers here")
    assert outcome.state == "deployed", (outcome.error, outcome.detail)
    assert "flask-login 0.6.3 installed" in outcome.changes["packages"]


def test_check_mode_on_a_fresh_account_makes_nothing(site: Site) -> None:
    outcome = site.deploy(check=True)
    assert outcome.state == "would change" and len(outcome.diff) == 4
    assert not site.web.exists() and not site.private.exists()


def test_a_change_of_code_clones_the_virtualenv_without_using_its_space_again(site: Site) -> None:
    site.deployed()
    site.write("flaskyapplication.py", APP.format("two"))
    outcome = site.deployed()
    assert outcome.changes["code"] == ["flaskyapplication.py changed"]
    assert "virtualenv" not in outcome.changes and outcome.changes["packages"] == []
    first, second = [site.private / "releases" / name / "venv" for name in site.releases()]
    (one,) = first.glob("lib/python*/site-packages/flask/app.py")
    assert one.samefile(second / one.relative_to(first))
    assert (second / "bin/flask").read_text().startswith(f"#!{second}/bin/python")


def test_a_package_that_is_added_keeps_the_versions_of_the_others(site: Site) -> None:
    site.deployed(packages=["markupsafe==3.0.4"])
    outcome = site.deployed(packages=["flask-login"])
    assert outcome.changes["packages"] == ["flask-login 0.6.3 installed"]
    assert any("markupsafe==3.0.4 was dropped" in note for note in outcome.notes)


def test_an_interpreter_that_is_gone_is_replaced_with_the_same_packages(site: Site) -> None:
    site.deployed(packages=["flask-login"])
    python = site.web / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.5")
    outcome = site.deployed(packages=["flask-login"])
    assert outcome.changes["virtualenv"][0].startswith("made anew with Python") and outcome.changes["packages"] == []
    assert os.access(site.web / "venv" / "bin" / "python", os.X_OK)


def test_a_failed_deploy_leaves_what_serves_and_no_leftovers(site: Site) -> None:
    site.deployed()
    before, releases = site.serving(), site.releases()
    site.write("flaskyapplication.py", "def broken(:\n")
    outcome = site.deploy()
    assert outcome.state == "failed" and "SyntaxError" in outcome.error and "line 1" in outcome.detail
    assert "playbooks/rollback.yml -e site=flasky" in outcome.advice
    assert (site.serving(), site.releases()) == (before, releases)
    assert not [path for path in site.web.iterdir() if path.name.startswith(".ocf-flask")]


def test_a_failed_first_deploy_leaves_no_site(site: Site) -> None:
    outcome = site.deploy(packages=["nosuchpackage"])
    assert outcome.state == "failed" and "nosuchpackage" in outcome.detail
    assert not site.web.exists() and site.releases() == []


class Interrupted(BaseException):
    """As abrupt as a kill: nothing in the transaction expects it."""


STEPS: dict[str, tuple[Any, str]] = {
    "building": (virtualenv, "build"),
    "cloning": (virtualenv, "clone"),
    "copying the code": (transaction.code, "copy"),
    "testing": (transaction.smoke, "smoke_test"),
    "recording": (release, "write"),
    "asking before the switch": (live, "ask"),
    "putting run.fcgi": (switch, "_put_run_fcgi"),
    "waiting for the web server": (live, "wait_for"),
}


@pytest.mark.parametrize("step", STEPS)
def test_an_error_in_any_step_leaves_the_old_site_and_the_next_deploy_clean(site: Site, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    site.deployed()
    before = site.serving()
    site.write("flaskyapplication.py", APP.format("two"))
    more = {"packages": ["flask-login"]} if step == "building" else {}
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step], _interrupt)
        with pytest.raises(Interrupted):
            site.deploy(**more)
    assert site.serving() == before and len(site.releases()) == 1
    site.deployed(**more)
    assert site.serving() != before


def _interrupt(*_: Any, **__: Any) -> None:
    raise Interrupted


def test_what_a_killed_deploy_left_is_swept_by_the_next(site: Site) -> None:
    site.deployed()
    half = site.private / "releases" / "20200101-000000"
    (half / "venv").mkdir(parents=True)
    (site.private / "tmp").mkdir()
    (site.web / ".ocf-flask-new-run.fcgi").write_text("half")
    site.write("flaskyapplication.py", APP.format("two"))
    site.deployed()
    assert not half.exists() and not (site.private / "tmp").exists() and not (site.web / ".ocf-flask-new-run.fcgi").exists()


def _no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "x")


def test_an_error_after_the_switch_is_no_failure_and_the_next_run_does_the_rest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.deployed()
    site.write("flaskyapplication.py", APP.format("two"))
    with monkeypatch.context() as patch:
        patch.setattr(release, "mark_live", _no_space)
        first = site.deploy()
    assert (first.state, live_release(site)) == ("deployed", first.release)
    assert any("not all is done: No space left on device: x. Deploy again." in note for note in first.notes)
    assert site.deployed().changes == {"virtualenv": ["the link venv repaired"]}
    assert not (site.private / "tmp").exists() and os.readlink(site.private / "current") == f"releases/{first.release}"
    assert (site.private / "releases" / first.release / "live").exists()
    assert site.deploy().state == "unchanged"


def test_a_deploy_killed_after_the_switch_is_completed_by_one_with_nothing_to_do(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(transaction, "_tidy", _interrupt)
        with pytest.raises(Interrupted):
            site.deploy()
    assert (site.private / "tmp").exists()
    rest = {"directory": ["what an interrupted run had left taken away"]}
    planned = site.deploy(check=True)
    assert (planned.state, planned.changes, (site.private / "tmp").exists()) == ("would change", rest, True)
    assert site.deployed().changes == rest and not (site.private / "tmp").exists()
    assert site.deploy().state == "unchanged"


def live_release(site: Site) -> str:
    return (site.web / "run.fcgi").read_text().split("/releases/")[1].split("/")[0]


def test_a_site_inside_the_site_is_left_to_its_own_deploys(site: Site) -> None:
    site.write("admin/run.fcgi", "#!venv/bin/python\n")
    site.write("admin/static/a.css", "body {}")
    site.write("other/a.txt", "text")
    for name in ("admin/static/a.css", "other/a.txt"):
        (site.web / name).chmod(0o644)
    site.deployed()
    modes = [(site.web / name).stat().st_mode & 0o777 for name in ("admin/static/a.css", "other/a.txt")]
    assert modes == [0o644, 0o600]
    assert site.deploy().state == "unchanged"


@pytest.mark.parametrize("first", [True, False])
def test_a_switch_that_fails_half_way_for_lack_of_space_is_undone(site: Site, monkeypatch: pytest.MonkeyPatch, first: bool) -> None:
    if not first:
        site.deployed()
        before = site.serving()
    site.write("flaskyapplication.py", APP.format("two"))
    site.kit = replace(site.kit, htaccess=site.kit.htaccess.replace("CGIPassAuth On", "CGIPassAuth Off"))
    real = switch._put_htaccess

    def full(*arguments: Any) -> None:
        real(*arguments)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    def no_space(*_: Any) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(switch, "_put_htaccess", full)
        patch.setattr(live, "wait_for", no_space)
        outcome = site.deploy()
    assert outcome.state == "failed" and "There is no space left" in outcome.advice
    if first:
        assert [path.name for path in site.web.iterdir() if path.name != "__pycache__"] == ["flaskyapplication.py"]
        assert site.releases() == []
    else:
        assert site.serving() == before and len(site.releases()) == 1 and not (site.web / ".ocf-flask-old-htaccess").exists()
    site.deployed()


def test_a_damaged_virtualenv_does_not_live_on_in_the_next_release(site: Site) -> None:
    site.deployed()
    (source,) = (site.web / "venv").resolve().glob("lib/python*/site-packages/flask/app.py")
    source.write_text("broken")
    site.write("flaskyapplication.py", APP.format("two"))
    assert site.deployed().tested["status"] == 200


def test_a_closed_htaccess_is_not_opened_further_than_it_has_to_be(site: Site) -> None:
    site.deployed()
    (site.web / ".htaccess").chmod(0o604)
    site.kit = replace(site.kit, htaccess=site.kit.htaccess + "# more\n")
    site.deployed()
    assert (site.web / ".htaccess").stat().st_mode & 0o777 == 0o604


def test_what_its_owner_writes_while_a_release_is_built_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.deployed()
    theirs, program = site.web / ".htaccess", b"#!/bin/sh\n# mine\n"
    build = virtualenv.clone

    def meanwhile(*arguments: Any, **more: Any) -> Any:
        theirs.write_bytes(b"Header set X-Mine 1\n" + theirs.read_bytes())
        (site.web / "run.fcgi").write_bytes(program)
        return build(*arguments, **more)

    monkeypatch.setattr(virtualenv, "clone", meanwhile)
    site.write("flaskyapplication.py", APP.format("two"))
    outcome = site.deployed(public=["a.txt"])
    assert theirs.read_text().startswith("Header set X-Mine 1\n") and "a\\.txt" in theirs.read_text()
    (copy,) = site.web.glob("run.fcgi.*")
    assert copy.read_bytes() == program and any(str(copy) in note for note in outcome.notes)
    monkeypatch.undo()
    assert site.deploy(public=["a.txt"]).state == "unchanged"


def test_a_public_directory_without_its_slash_is_noted(site: Site) -> None:
    site.write("downloads/a.txt", "a")
    assert any(
        "ocf_flask_public has downloads, which is a directory" in note for note in site.deployed(public=["downloads", "a.txt"]).notes
    )
    outcome = site.deployed(public=["downloads/"])
    assert not any("ocf_flask_public" in note for note in outcome.notes)


def test_permissions_of_many_files_are_shown_in_part(site: Site) -> None:
    for number in range(130):
        site.write(f"data/{number}.txt", "x")
    (diff,) = [one for one in site.deployed().diff if one["before_header"] == str(site.web)]
    assert diff["after"].count("\n") == 101 and re.search(r"\nand \d+ more\n$", diff["after"])


def test_old_releases_go_but_none_that_was_live_within_the_hour(site: Site) -> None:
    for text in ("one", "two", "three"):
        site.write("flaskyapplication.py", APP.format(text))
        site.deployed(keep=1)
    assert len(site.releases()) == 3
    for name in site.releases()[:2]:
        os.utime(site.private / "releases" / name / "live", (time.time() - 4000,) * 2)
    site.write("flaskyapplication.py", APP.format("four"))
    site.deployed(keep=1)
    assert len(site.releases()) == 2, "the live one, and the one that was live just now"


def test_run_fcgi_is_a_new_inode_and_newer_even_than_a_time_in_the_future(site: Site) -> None:
    site.deployed()
    run_fcgi = site.web / "run.fcgi"
    future = time.time() + 5000
    os.utime(run_fcgi, (future, future))
    inode = run_fcgi.stat().st_ino
    site.write("flaskyapplication.py", APP.format("two"))
    site.deployed()
    assert run_fcgi.stat().st_mtime >= int(future) + 1 and run_fcgi.stat().st_ino != inode
    (kept,) = site.web.glob(".ocf-flask-run.fcgi.*")
    assert kept.stat().st_ino == inode, "the old inode is still taken, so the file system cannot reuse it"


FAILS, SERVES = live.Reply(status=500), live.Reply(release="another", status=200)


@dataclass(frozen=True)
class Refusal:
    """A release that the web server fails. ``alone``: its answer for run.fcgi without the new .htaccess."""

    before: live.Reply
    after: live.Reply
    alone: live.Reply | str
    cause: str


REFUSALS = {
    "a line of .htaccess": Refusal(SERVES, FAILS, "itself", "with what is new in it:\n  CGIPassAuth Off"),
    "the start": Refusal(SERVES, FAILS, FAILS, "does not start run.fcgi, which works on this machine: it has no Python at /"),
    "one or the other": Refusal(SERVES, FAILS, live.Reply(status=401), "Either the server does not take a line"),
    "no answer any more": Refusal(SERVES, live.Reply(problem="no answer within 10 s"), FAILS, "does not start run.fcgi"),
    "as broken before": Refusal(FAILS, FAILS, FAILS, "Either the server does not take a line"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_release_that_the_web_server_fails_is_undone_with_the_cause(
    site: Site, monkeypatch: pytest.MonkeyPatch, refusal: Refusal
) -> None:
    site.deployed()
    before, inode = site.serving(), (site.web / "run.fcgi").stat().st_ino
    site.write("flaskyapplication.py", APP.format("two"))
    site.kit = replace(site.kit, htaccess=site.kit.htaccess.replace("CGIPassAuth On", "CGIPassAuth Off"))

    def ask(url: str, token: str) -> live.Reply:
        if not url.endswith("/run.fcgi"):
            return refusal.before
        assert (site.web / ".htaccess").read_bytes() == before[1] and (site.web / "run.fcgi").read_bytes() != before[0]
        named = (site.web / "run.fcgi").read_text().partition("/releases/")[2].partition("/")[0]
        return live.Reply(release=named, status=200) if isinstance(refusal.alone, str) else refusal.alone

    monkeypatch.setattr(live, "ask", ask)
    monkeypatch.setattr(live, "wait_for", lambda *_, **__: refusal.after)
    outcome = site.deploy()
    assert outcome.state == "failed" and "so the switch was undone" in outcome.error and refusal.cause in outcome.advice
    assert site.serving() == before and len(site.releases()) == 1
    kept = {path.stat().st_ino for path in site.web.glob(".ocf-flask-run.fcgi.*")}
    assert (site.web / "run.fcgi").stat().st_ino == inode, "the very file is back, for which no space is needed"
    assert len(kept) == 1 and inode not in kept, "the failed one's inode cannot be used again"


def test_a_server_that_was_not_reached_before_either_is_no_reason_to_undo(site: Site) -> None:
    site.deployed()
    before = site.serving()
    site.write("flaskyapplication.py", APP.format("two"))
    assert "not reached from here" in site.deployed().reached
    assert site.serving() != before


@pytest.mark.parametrize(
    "damage",
    [
        "run.fcgi mode",
        "run.fcgi content",
        "run.fcgi line ends",
        "run.fcgi shebang",
        "run.fcgi gone",
        ".htaccess",
        "venv link",
        "directory mode",
    ],
)
def test_what_was_damaged_is_repaired_without_a_new_release(site: Site, damage: str) -> None:
    site.deployed()
    before, releases = site.serving(), site.releases()
    actions: dict[str, Callable[[], object]] = {
        "run.fcgi mode": lambda: (site.web / "run.fcgi").chmod(0o660),
        "run.fcgi content": lambda: (site.web / "run.fcgi").write_bytes(before[0] + b"# mine\n"),
        "run.fcgi line ends": lambda: (site.web / "run.fcgi").write_bytes(before[0].replace(b"\n", b"\r\n")),
        "run.fcgi shebang": lambda: (site.web / "run.fcgi").write_bytes(b"#!venv/bin/python\n" + before[0]),
        "run.fcgi gone": (site.web / "run.fcgi").unlink,
        ".htaccess": lambda: (site.web / ".htaccess").write_bytes(before[1].replace(b"CGIPassAuth On", b"")),
        "venv link": (site.web / "venv").unlink,
        "directory mode": lambda: site.web.chmod(0o777),
    }
    actions[damage]()
    site.deployed()
    assert (site.serving(), site.releases()) == (before, releases)
    assert (site.web / "run.fcgi").stat().st_mode & 0o122 == 0o100 and site.web.stat().st_mode & 0o022 == 0
    assert site.deploy().state == "unchanged"


def test_a_file_that_a_user_has_where_the_starter_would_go_is_never_replaced(site: Site) -> None:
    (site.web / "flaskyapplication").mkdir(parents=True)
    site.write("flaskyapplication/__init__.py", APP.format("a package"))
    site.deployed()
    assert not (site.web / "flaskyapplication.py").exists()


def test_a_virtualenv_of_the_users_own_stays(site: Site) -> None:
    site.write("venv/pyvenv.cfg", "mine")
    outcome = site.deploy()
    assert outcome.state == "deployed" and any("is yours and stays" in note for note in outcome.notes)
    assert (site.web / "venv/pyvenv.cfg").read_text() == "mine"


def test_the_site_of_another_account_is_refused_with_what_to_do(site: Site) -> None:
    other = "nobody" if os.getuid() == 0 else "root"
    outcome = site.deploy(owner=other)
    assert outcome.state == "failed" and f"is {other}'s, and you are" in outcome.error
    assert not site.web.exists()


def test_a_release_records_its_settings_and_versions(site: Site) -> None:
    outcome = site.deployed(packages=["flask-login"])
    manifest = json.loads((site.private / "releases" / outcome.release / "manifest.json").read_text())
    assert manifest["packages"]["flask-login"] == "0.6.3" and manifest["settings"]["packages"] == ["flask-login"]
    assert stat_modes(site.private) == {0o700}


def stat_modes(path: Path) -> set[int]:
    return {path.stat().st_mode & 0o777}


def test_a_full_disk_is_said_as_that(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(transaction.code, "copy", full)
    outcome = site.deploy()
    assert outcome.state == "failed" and outcome.error == "No space left on device: x." and "du -sh" in outcome.advice
    assert not site.web.exists()


def test_what_others_could_read_is_closed_and_what_apache_should_is_opened_and_said_once(site: Site) -> None:
    site.write("flaskyapplication/__init__.py", APP.format("x"))
    site.write("flaskyapplication/static/a.css", "a")
    site.write(".env", "secret")
    (site.web / "flaskyapplication/static/a.css").chmod(0o600)
    planned = site.deploy(check=True)
    assert planned.changes["permissions"] == [
        "5 files closed to others (the site's directory, .env, flaskyapplication and 2 more)",
        "1 file opened to the web server (flaskyapplication/static/a.css)",
    ]
    (listed,) = [one for one in planned.diff if one["before_header"] == str(site.web)]
    assert "0644 .env\n" in listed["before"] and "0600 .env\n" in listed["after"]
    assert site.deployed().changes["permissions"] == planned.changes["permissions"]
    modes = {
        str(path.relative_to(site.web)): f"{path.stat().st_mode & 0o777:o}"
        for path in (site.web, *site.web.rglob("*"))
        if path.name != "venv"
    }
    assert {name: mode for name, mode in modes.items() if not name.endswith(".pyc")} == {
        ".": "701", ".env": "600", ".htaccess": "644", "run.fcgi": "700", "flaskyapplication": "711", "flaskyapplication/__init__.py": "600",
        "flaskyapplication/static": "711", "flaskyapplication/static/a.css": "644", "flaskyapplication/__pycache__": "711",
    }  # fmt: skip
    assert {mode for name, mode in modes.items() if name.endswith(".pyc")} == {"600"}
    assert site.deploy().state == "unchanged"


def test_what_was_made_since_is_closed_without_a_new_release(site: Site) -> None:
    site.deployed()
    releases = site.releases()
    site.write("instance/app.sqlite", "data")
    outcome = site.deployed()
    assert (outcome.changes, site.releases()) == ({"permissions": ["2 files closed to others (instance, instance/app.sqlite)"]}, releases)
    assert site.deploy().state == "unchanged"


@pytest.mark.parametrize("failure", ["the test", "the web server"])
def test_a_failed_deploy_takes_from_visitors_nothing_that_another_htaccess_serves(
    site: Site, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    site.write("flaskyapplication.py", APP.format("x") if failure == "the web server" else "def broken(:\n")
    site.write("page.html", "served by the recipe's .htaccess")
    site.write("static/a.css", "a")
    (site.web / "static/a.css").chmod(0o600)
    before = {path: path.stat().st_mode for path in (site.web, *site.web.rglob("*"))}
    monkeypatch.setattr(live, "wait_for", lambda *_, **__: live.Reply(status=500))
    assert site.deploy().state == "failed"
    assert {path: path.stat().st_mode for path in before} == before


def test_nothing_can_be_reached_before_the_test_has_passed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    monkeypatch.setattr(transaction.smoke, "smoke_test", lambda *_: modes.append(site.web.stat().st_mode & 0o777) or _interrupt())
    with pytest.raises(Interrupted):
        site.deploy()
    assert modes == [0o700]


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("app.py", "from flask import Flask\n\napp = Flask(__name__)\n", "It seems to be app:app. "),
        ("club/__init__.py", "def create_app():\n    return None\n", "It seems to be club:create_app(). "),
        ("wsgi.py", "import flask\nsite: flask.Flask = flask.Flask(__name__)\n", "It seems to be wsgi:site. "),
        ("helper.py", "x = 1\n", "There is helper.py. "),
    ],
)
def test_no_starter_is_put_beside_other_code_and_the_likely_app_is_named(site: Site, path: str, source: str, said: str) -> None:
    site.write(path, source)
    failed = site.deploy()
    assert said in failed.error and "-e 'ocf_flask_app=" in failed.error
    assert [one.name for one in site.web.rglob("*.py")] == [Path(path).name] and not site.private.exists()


def test_what_is_installed_by_hand_stays_though_a_constraint_names_it(site: Site) -> None:
    site.write("requirements.txt", "-c limits.txt\nflask\n")
    site.write("limits.txt", "flask-login==0.6.3\n")
    site.deployed()
    wheels = site.base["wheels"]
    subprocess.run([site.web / "venv/bin/pip", "install", "-q", "--no-index", "--find-links", wheels, "flask-login"], check=True)
    release_with_more = site.deployed(packages=["flup"]).release
    assert "flask-login" in virtualenv.installed(site.private / "releases" / release_with_more / "venv")
