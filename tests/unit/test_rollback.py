"""Going back to an earlier release, on this machine: real virtualenvs, a real smoke test."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from local_site import APP, Site
from ocf_flask import deploy, release, rollback, sites, smoke, snapshot, switch
from ocf_flask.errors import SiteError
from ocf_flask.outcome import Outcome
from test_virtualenv import wheel


def back(site: Site, name: str = "", *, check: bool = False, **more: Any) -> Outcome:
    return sites.rollback(site.settings(**more), site.kit, sites.Asked(release=name), check)


def rolled_back(site: Site, name: str = "", **more: Any) -> Outcome:
    outcome = back(site, name, **more)
    assert outcome.state == "rolled back", (outcome.error, outcome.detail)
    return outcome


@pytest.fixture(name="two")
def _two(site: Site) -> Site:
    """A site with two releases, the second of another app with a further module and package."""
    site.write("flaskyapplication.py", APP.format("one"))
    site.write("old.py", "")
    site.deployed()
    site.write("flaskyapplication.py", APP.format("two"))
    (site.web / "old.py").unlink()
    site.write("new.py", "NEW = True\n")
    site.write("data.sqlite", "rows")
    site.deployed(packages=["flask-login"])
    return site


def live(site: Site) -> str:
    return (site.web / "run.fcgi").read_text().split("/releases/")[1].split("/")[0]


def test_the_previous_release_comes_back_with_its_code_and_packages_and_the_newer_files_are_kept(two: Site) -> None:
    first, second = two.releases()
    outcome = rolled_back(two)
    assert live(two) == first and outcome.release == first
    assert (two.web / "flaskyapplication.py").read_text() == APP.format("one")
    assert (two.web / "old.py").exists() and not (two.web / "new.py").exists()
    assert (two.web / "data.sqlite").read_text() == "rows"
    (kept,) = (two.private / "kept").iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["flaskyapplication.py", "new.py"]
    assert (kept / "flaskyapplication.py").read_text() == APP.format("two")
    assert outcome.changes["code"] == ["flaskyapplication.py put back", "new.py removed", "old.py put back"]
    assert outcome.changes["packages"] == ["flask-login 0.6.3 removed"]
    assert outcome.changes["run_fcgi"] == [f"starts the release {first} again"]
    assert any(str(kept) in note for note in outcome.notes) and any(f"release={second}" in note for note in outcome.notes)
    assert outcome.tested["status"] == 200
    assert not [path.name for path in two.web.iterdir() if path.name.startswith(".ocf-flask-") and "run.fcgi." not in path.name]
    assert two.deploy().state == "unchanged"


def test_a_rollback_is_undone_by_naming_the_later_release(two: Site) -> None:
    second = two.releases()[-1]
    rolled_back(two)
    rolled_back(two, second)
    assert live(two) == second and (two.web / "new.py").exists() and not (two.web / "old.py").exists()
    assert two.deploy(packages=["flask-login"]).state == "unchanged"


def test_code_that_was_broken_since_is_first_put_back_to_what_is_live(two: Site) -> None:
    two.write("flaskyapplication.py", "def broken(:\n")
    two.write("added.py", "")
    assert two.deploy().state == "failed"
    second = two.releases()[-1]
    outcome = rolled_back(two)
    assert live(two) == second and (two.web / "flaskyapplication.py").read_text() == APP.format("two")
    assert outcome.changes["run_fcgi"] == ["starts new processes"] and outcome.changes["code"] == [
        "added.py removed",
        "flaskyapplication.py put back",
    ]
    again = back(two, second)
    assert again.state == "unchanged" and "is live" in again.notes[0]
    rolled_back(two)
    assert live(two) == two.releases()[0]


def test_check_mode_shows_the_differences_and_changes_nothing(two: Site) -> None:
    before = two.state()
    outcome = back(two, check=True)
    assert outcome.state == "would change" and two.state() == before
    shown = {one["before_header"]: one for one in outcome.diff}
    code = shown[str(two.web / "flaskyapplication.py")]
    assert (code["before"], code["after"]) == (APP.format("two"), APP.format("one"))
    assert shown[str(two.web / "new.py")]["after"] == ""


@pytest.mark.parametrize("name", ["20200101-000000", "../../etc", "nonsense"])
def test_a_release_that_is_not_there_is_refused_with_those_that_are(two: Site, name: str) -> None:
    before = two.state()
    outcome = back(two, name)
    assert outcome.state == "failed" and two.releases()[0] in outcome.error and repr(name) in outcome.error
    assert two.state() == before


def test_a_site_with_one_release_or_none_has_nothing_to_go_back_to(site: Site) -> None:
    assert "is not deployed" in back(site).error and not site.private.exists()
    site.deployed()
    outcome = back(site)
    assert outcome.state == "failed" and "has no release before" in outcome.error


def test_a_release_that_fails_its_test_leaves_everything_as_it_was(two: Site) -> None:
    shutil.rmtree(two.private / "releases" / two.releases()[0] / "venv" / "lib")
    before = two.serving()
    outcome = back(two)
    assert outcome.state == "failed" and "does not start" in outcome.error and "was left as it was" in outcome.advice
    assert two.serving() == before and (two.web / "new.py").read_text() == "NEW = True\n" and not (two.web / "old.py").exists()
    assert not (two.private / "kept").exists()
    assert two.deploy(packages=["flask-login"]).state == "unchanged"


def test_a_release_whose_copy_of_the_code_was_changed_is_refused(two: Site) -> None:
    first = two.releases()[0]
    (two.private / "releases" / first / "app" / "old.py").write_text("changed")
    outcome = back(two)
    assert outcome.state == "failed" and "not what was deployed: old.py" in outcome.error


def test_a_release_whose_record_names_no_python_is_refused(two: Site) -> None:
    path = two.private / "releases" / two.releases()[0] / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "interpreter": {}}))
    outcome = back(two)
    assert outcome.state == "failed" and "does not say which Python" in outcome.error


def test_settings_and_environment_are_those_of_the_release(site: Site) -> None:
    app = 'import os\n\nfrom flask import Flask\n\napp = Flask(__name__)\n\n\n@app.route("/")\ndef index():\n    return os.environ["GREETING"]\n'
    site.write("flaskyapplication.py", app)
    site.deployed(env={"GREETING": "hush-1"}, public=["images/"])
    site.deployed(env={"GREETING": "hush-2", "MORE": "1"}, public=["files/"])
    outcome = rolled_back(site, env={"GREETING": "hush-3"})
    assert outcome.changes["settings"] == ["GREETING changed", "MORE removed"]
    assert b"images/" in (site.web / ".htaccess").read_bytes() and b"files/" not in (site.web / ".htaccess").read_bytes()
    assert "hush" not in str(outcome)


def test_managed_code_goes_back_and_what_the_app_wrote_beside_it_is_kept(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "project"
    (source / "static").mkdir(parents=True)
    (source / "flaskyapplication.py").write_text(APP.format("one"))
    (source / "static" / "a.css").write_text("one")
    site.deployed(source=str(source))
    (source / "flaskyapplication.py").write_text(APP.format("two"))
    (source / "static" / "a.css").write_text("two")
    site.deployed(source=str(source))
    first, second = site.releases()
    (site.private / "releases" / second / "app" / "uploads.db").write_text("rows")
    outcome = rolled_back(site, source=str(source))
    assert live(site) == first and (site.web / "static" / "a.css").read_text() == "one"
    (kept,) = (site.private / "kept").iterdir()
    assert (kept / "uploads.db").read_text() == "rows" and str(kept) in " ".join(outcome.notes)
    rolled_back(site, second, source=str(source))
    assert (site.web / "static" / "a.css").read_text() == "two"


def _link(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere / "nowhere.py")


def _fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [_link, _fifo, lambda path, _: path.mkdir()])
def test_what_is_no_code_is_never_replaced(two: Site, tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    make(two.web / "old.py", tmp_path)
    before = two.state()
    for check in (True, False):
        outcome = back(two, check=check)
        assert outcome.state == "failed" and f"mv {two.web / 'old.py'} {two.web / 'old.py'}.old" in outcome.error
        assert {path: before[path] for path in before if "/web/" in path} == {
            path: one for path, one in two.state().items() if "/web/" in path
        }


@pytest.mark.parametrize("how", ["link", "site", "file"])
def test_code_is_not_put_where_another_site_a_link_or_a_file_is_now(site: Site, tmp_path: Path, how: str) -> None:
    site.write("flaskyapplication.py", APP.format("one"))
    site.write("shop/prices.py", "one")
    site.deployed()
    site.write("flaskyapplication.py", APP.format("two"))
    precious = site.web / "shop" / "prices.py"
    if how == "site":
        site.write("shop/run.fcgi", "")
    else:
        shutil.rmtree(site.web / "shop")
        precious = tmp_path / "prices.py" if how == "link" else site.web / "shop"
        if how == "link":
            (site.web / "shop").symlink_to(tmp_path)
    precious.write_text("precious")
    site.deployed()
    outcome = back(site)
    assert outcome.state == "failed" and "is not replaced. Rename it first: mv" in outcome.error
    assert precious.read_text() == "precious" and (site.web / "flaskyapplication.py").read_text() == APP.format("two")
    assert site.deploy().state == "unchanged"


@pytest.mark.parametrize("first", [{"shared": ["instance/", "data/"]}, {"source": ""}])
def test_what_the_app_wrote_is_kept_also_where_only_the_earlier_release_has_another_place_for_it(
    site: Site, tmp_path: Path, first: dict[str, Any]
) -> None:
    source = tmp_path / "project"
    source.mkdir()
    (source / "flaskyapplication.py").write_text(APP.format("one"))
    site.write("flaskyapplication.py", APP.format("zero"))
    site.deployed(**{"source": str(source), **first})
    site.deployed(source=str(source))
    app = site.private / "releases" / site.releases()[-1] / "app"
    (app / "data").mkdir()
    (app / "data" / "rows.db").write_text("rows")
    rolled_back(site, source=str(source))
    (kept,) = (site.private / "kept").iterdir()
    assert (kept / "data" / "rows.db").read_text() == "rows"


class Interrupted(BaseException):
    """As abrupt as a kill: nothing in the transaction expects it."""


@pytest.mark.parametrize(
    ("where", "name"), [(smoke, "smoke_test"), (switch, "_put_run_fcgi"), (switch.live, "wait_for"), (rollback.tree, "copy_file")]
)
def test_an_interruption_at_any_step_leaves_the_site_and_its_files(
    two: Site, monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    before = two.serving(), two.web.joinpath("flaskyapplication.py").read_text(), (two.web / "new.py").exists()

    def interrupt(*_: Any, **__: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(where, name, interrupt)
        with pytest.raises(Interrupted):
            back(two)
    assert (two.serving(), two.web.joinpath("flaskyapplication.py").read_text(), (two.web / "new.py").exists()) == before
    assert not (two.web / "old.py").exists()
    rolled_back(two)


def test_a_rollback_killed_after_the_switch_is_completed_when_it_is_asked_for_again(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = two.releases()[0]
    with monkeypatch.context() as patch:
        patch.setattr(deploy, "_tidy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            back(two)
    assert (two.private / "tmp").exists()
    assert back(two, first, check=True).state == "unchanged" and (two.private / "tmp").exists()
    assert rolled_back(two, first).changes == {"directory": ["what an interrupted run had left taken away"]}
    assert not (two.private / "tmp").exists() and back(two, first).state == "unchanged"


@pytest.mark.parametrize("at", ["copying", "testing"])
def test_a_rollback_killed_before_the_switch_leaves_no_copy_of_the_newer_files(two: Site, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    def interrupt(*_: Any) -> None:
        raise SystemExit

    def half(source: Path, target: Path, mode: int) -> None:
        target.write_bytes(source.read_bytes()[:5])
        interrupt()

    with monkeypatch.context() as patch:
        patch.setattr(rollback, "_forget", lambda _: None)
        patch.setattr(snapshot, "put_back", lambda _: [])
        patch.setattr(*{"copying": (snapshot.tree, "copy_file", half), "testing": (smoke, "smoke_test", interrupt)}[at])
        with pytest.raises(SystemExit):
            back(two)
    assert [path.name.partition(".before.")[0] for path in (two.private / "kept").iterdir()] == [""]
    rolled_back(two, two.releases()[0])
    (kept,) = (two.private / "kept").iterdir()
    assert (kept / "flaskyapplication.py").read_text() == APP.format("two")
    assert sorted(path.name for path in kept.iterdir()) == ["flaskyapplication.py", "new.py"]


def test_releases_made_after_the_clock_was_set_back_are_still_the_later_ones(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    second = two.releases()[-1]

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(days=1)

    monkeypatch.setattr(release, "datetime", Yesterday)
    two.write("flaskyapplication.py", APP.format("three"))
    two.deployed()
    assert rolled_back(two).release == second


def _killed(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a rollback end in its test, and take nothing back."""

    def kill(*_: Any, **__: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(deploy, "smoke_tested", kill)
        patch.setattr(snapshot, "put_back", lambda _: None)
        with pytest.raises(Interrupted):
            back(two)


def test_what_a_killed_rollback_left_is_undone_by_the_next_run(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _killed(two, monkeypatch)
    assert (two.web / "old.py").exists() and not (two.web / "new.py").exists()
    two.write("other.py", "")
    two.deployed(packages=["flask-login"])
    assert not (two.web / "old.py").exists() and (two.web / "new.py").read_text() == "NEW = True\n"
    assert not list(two.web.glob(".ocf-flask-before*"))


def test_what_was_edited_after_a_killed_rollback_stays(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _killed(two, monkeypatch)
    two.write("flaskyapplication.py", APP.format("three"))
    two.write("old.py", "EDITED = True\n")
    outcome = two.deployed(packages=["flask-login"])
    assert (two.web / "flaskyapplication.py").read_text() == APP.format("three")
    assert (two.web / "old.py").read_text() == "EDITED = True\n" and (two.web / "new.py").read_text() == "NEW = True\n"
    (beside,) = two.web.glob("flaskyapplication.py.*")
    assert beside.read_text() == APP.format("two") and any(str(beside) in note for note in outcome.notes)
    assert not list(two.web.glob(".ocf-flask-before*"))


def test_a_rollback_that_was_killed_before_it_began_undoes_nothing(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*_: Any, **__: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", kill)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(Interrupted):
            back(two)
    assert len(list(two.web.glob(".ocf-flask-before*"))) == 1
    (two.web / "new.py").unlink()
    two.write("flaskyapplication.py", APP.format("one"))
    two.deployed(packages=["flask-login"])
    assert not (two.web / "new.py").exists() and (two.web / "flaskyapplication.py").read_text() == APP.format("one")
    assert list(two.web.glob(".ocf-flask-before*")) == [] and list(two.web.glob("flaskyapplication.py.*")) == []


def test_a_broken_edit_that_a_killed_rollback_has_put_back_does_not_return(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    two.write("flaskyapplication.py", "def broken(:\n")
    _killed(two, monkeypatch)
    assert two.deploy(packages=["flask-login"]).state == "unchanged"
    two.write("new.py", "NEW = 2\n")
    two.deployed(packages=["flask-login"])
    assert (two.web / "flaskyapplication.py").read_text() == APP.format("two") and (two.web / "new.py").read_text() == "NEW = 2\n"
    (kept,) = (two.private / "kept").glob("*/flaskyapplication.py")
    assert kept.read_text() == "def broken(:\n" and list(two.web.glob(".ocf-flask-before*")) == []


def test_what_cannot_be_put_back_is_still_kept(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    two.write("flaskyapplication.py", "def broken(:\n")
    monkeypatch.setattr(deploy, "smoke_tested", broken)
    monkeypatch.setattr(snapshot, "put_back", broken)
    assert back(two).state == "failed"
    (kept,) = (two.private / "kept").glob("*/flaskyapplication.py")
    assert kept.read_text() == "def broken(:\n"


def test_what_is_edited_while_an_earlier_release_is_tested_stays(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(*_: Any, **__: Any) -> None:
        two.write("flaskyapplication.py", APP.format("three"))
        raise SiteError("It does not start")

    monkeypatch.setattr(deploy, "smoke_tested", edit)
    assert back(two).state == "failed"
    assert (two.web / "flaskyapplication.py").read_text() == APP.format("three")
    (beside,) = two.web.glob("flaskyapplication.py.*")
    assert beside.read_text() == APP.format("two") and (two.web / "new.py").exists()


def test_without_space_for_the_way_back_nothing_of_it_is_left(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def full(source: Path, target: Path, **more: Any) -> None:
        if source.name == "new.py":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        link(source, target, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        assert back(two).state == "failed"
    assert not list(two.web.glob(".ocf-flask-before*"))
    two.write("old.py", "MINE = True\n")
    two.deployed(packages=["flask-login"])
    assert (two.web / "old.py").read_text() == "MINE = True\n"


def test_the_way_back_is_gone_before_another_run_can_begin(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tidy, seen = deploy._tidy, []

    def look(*given: Any) -> None:
        seen.append(list(two.web.glob(".ocf-flask-before*")))
        tidy(*given)

    monkeypatch.setattr(deploy, "_tidy", look)
    rolled_back(two)
    assert seen == [[]]


def test_ids_are_ordered_by_time() -> None:
    ids = ["20261124-034512-10", "20261124-034512", "20261124-034512-2", "20261123-235959"]
    assert sorted(ids, key=release.order) == [ids[3], ids[1], ids[2], ids[0]]


def test_an_upgrade_is_undone_by_a_rollback(site: Site, wheels: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shutil.copytree(wheels, shelf)
    wheel(shelf, "lib", "1.0")
    site.base["wheels"] = str(shelf)
    site.write("flaskyapplication.py", APP.format("one"))
    site.deployed(packages=["lib"])
    wheel(shelf, "lib", "2.0")
    assert sites.upgrade(site.settings(packages=["lib"]), site.kit, sites.Asked(), check=False).state == "upgraded"
    outcome = rolled_back(site, packages=["lib"])
    assert outcome.changes["packages"] == ["lib 2.0 -> 1.0"]
    assert site.deploy(packages=["lib"]).state == "unchanged"


@pytest.mark.parametrize(
    ("name", "broken"), [("pyproject.toml", "[project"), ("requirements.txt", "-r nowhere.txt\n"), ("uv.lock", "version = 9\n")]
)
def test_what_a_broken_file_asks_for_does_not_stop_a_rollback(site: Site, name: str, broken: str) -> None:
    site.write("flaskyapplication.py", APP.format("one"))
    site.write("pyproject.toml", '[project]\nname = "x"\nversion = "1"\ndependencies = ["flask"]\n')
    site.deployed()
    site.write(name, broken)
    assert site.deploy().state == "failed"
    outcome = rolled_back(site)
    assert any("kept" in note for note in outcome.notes) and (site.web / "pyproject.toml").read_text().startswith("[project]\n")
    assert name == "pyproject.toml" or not (site.web / name).exists()
    assert site.deploy().state == "unchanged"
