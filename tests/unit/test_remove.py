"""Removing a site, and bringing it back, on this machine."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forks import in_child
from local_site import APP, Site
from ocf_flask import archives, cron, live, places, remove, running, sites
from ocf_flask.errors import SettingError, SiteError
from ocf_flask.outcome import Outcome


@pytest.fixture(name="home", autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account whose home is empty."""
    account = places.account("")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(places, "account", lambda _: places.Account(account.name, account.uid, account.gid, home))
    return home


@pytest.fixture(name="deployed")
def _deployed(site: Site) -> Site:
    site.write("flaskyapplication.py", APP.format("one"))
    site.write("data.sqlite", "rows")
    site.write("static/a.css", "")
    site.deployed()
    return site


def removed(site: Site, *, check: bool = False) -> Outcome:
    return sites.remove(site.settings(), site.kit, sites.Asked(), check)


def restored(site: Site, archive: str = "", *, check: bool = False) -> Outcome:
    return sites.restore(site.settings(), site.kit, sites.Asked(archive=archive), check)


def content(*directories: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of each file, by its path in the directory; bytecode may be made anew at any time."""
    return {
        str(path.relative_to(directory)): (stat.S_IMODE(path.lstat().st_mode), b"" if path.is_symlink() else path.read_bytes())
        for directory in directories
        for path in directory.rglob("*")
        if (path.is_symlink() or path.is_file()) and "__pycache__" not in path.parts and path.name not in ("lock", "live")
    }


def test_all_of_a_site_is_moved_and_comes_back_as_it_was(deployed: Site, home: Path) -> None:
    before, mode = content(deployed.web, deployed.private), deployed.web.stat().st_mode
    outcome = removed(deployed)
    assert outcome.state == "removed", (outcome.error, outcome.advice)
    assert not deployed.web.exists() and not deployed.private.exists()
    (archive,) = (home / "ocf-flask-removed").iterdir()
    assert outcome.archive == str(archive) and archive.name.startswith("flasky-20")
    assert content(archive / "site", archive / "private") == before
    assert archive.stat().st_mode & 0o777 == 0o700
    back = restored(deployed)
    assert back.state == "restored", (back.error, back.detail)
    assert content(deployed.web, deployed.private) == before and deployed.web.stat().st_mode == mode
    assert back.tested["status"] == 200 and not (home / "ocf-flask-removed").exists()
    assert deployed.deploy().state == "unchanged"


def test_check_mode_says_where_to_and_changes_nothing(deployed: Site, home: Path) -> None:
    before = deployed.state()
    outcome = removed(deployed, check=True)
    assert outcome.state == "would change" and str(home / "ocf-flask-removed/flasky-") in outcome.changes["directory"][0]
    assert deployed.state() == before and not (home / "ocf-flask-removed").exists()
    removed(deployed)
    assert restored(deployed, check=True).state == "would change" and not deployed.web.exists()


def test_processes_of_the_site_are_ended_and_others_are_not(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remove, "_PATIENCE", 1.0)
    python = os.path.realpath(deployed.web / "venv") + "/bin/python"
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with (
        subprocess.Popen([python, "-c", "print(flush=True); import time; time.sleep(60)"], stdout=subprocess.PIPE) as willing,
        subprocess.Popen([python, "-c", deaf], stdout=subprocess.PIPE) as stubborn,
        subprocess.Popen([sys.executable, "-c", "print(flush=True); import time; time.sleep(60)"], stdout=subprocess.PIPE) as other,
    ):
        for one in (willing, stubborn, other):
            assert one.stdout and one.stdout.readline()
        try:
            outcome = removed(deployed)
            assert outcome.state == "removed" and "2 processes of the site ended" in outcome.notes
            assert (willing.wait(5), stubborn.wait(5), other.poll()) == (-15, -9, None)
        finally:
            for one in (willing, stubborn, other):
                one.kill()


def test_who_only_stands_in_a_release_is_left_alone(deployed: Site) -> None:
    (path,) = (deployed.private / "releases").iterdir()
    with subprocess.Popen(["sleep", "60"], cwd=path) as shell:
        try:
            assert removed(deployed).state == "removed" and shell.poll() is None
        finally:
            shell.kill()


def test_a_site_that_is_not_there_or_was_made_by_hand_is_left_alone(site: Site, home: Path) -> None:
    assert "is not deployed" in removed(site).error and list(home.iterdir()) == []
    site.write("run.fcgi", "#!/usr/bin/python3\n")
    before = content(site.web)
    outcome = removed(site)
    assert outcome.state == "failed" and "not made by a deploy" in outcome.error and f"chmod 700 {site.web}" in outcome.advice
    assert content(site.web) == before


def test_a_site_that_was_removed_already_says_where_it_is(deployed: Site) -> None:
    archive = removed(deployed).archive
    outcome = removed(deployed)
    assert outcome.state == "failed" and archive in outcome.error and "restore" in outcome.advice


def test_a_site_with_another_inside_is_not_moved(deployed: Site) -> None:
    deployed.write("admin/run.fcgi", "#!/usr/bin/python3\n")
    outcome = removed(deployed)
    assert outcome.state == "failed" and str(deployed.web / "admin") in outcome.error and deployed.web.exists()


def test_a_private_directory_with_anothers_inside_is_not_moved(deployed: Site) -> None:
    other = deployed.private / "shop"
    (other / "releases" / "20261124-034512").mkdir(parents=True)
    (other / "releases" / "20261124-034512" / "manifest.json").touch()
    outcome = removed(deployed)
    assert outcome.state == "failed" and str(other) in outcome.error and deployed.web.stat().st_mode & 0o001


def test_two_sites_of_a_name_are_exchanged_as_the_restoration_says(deployed: Site) -> None:
    archive = Path(removed(deployed).archive)
    deployed.write("flaskyapplication.py", APP.format("two"))
    deployed.deployed()
    told = "ansible-playbook playbooks/remove.yml -e site=flasky, then: ansible-playbook playbooks/restore.yml -e site=flasky -e archive="
    assert f"To exchange the two: {told}{archive.name}" in restored(deployed).error
    other = Path(removed(deployed).archive)
    assert restored(deployed, archive.name).state == "restored" and other.exists()
    assert (deployed.web / "flaskyapplication.py").read_text() == APP.format("one")


def test_nothing_is_restored_over_something_else(deployed: Site) -> None:
    archive = Path(removed(deployed).archive)
    deployed.write("index.html", "new")
    outcome = restored(deployed)
    assert outcome.state == "failed" and f"mv {deployed.web} {deployed.web}.old" in outcome.error
    assert (deployed.web / "index.html").read_text() == "new" and (archive / "site").is_dir()


def test_directories_above_that_have_gone_meanwhile_are_made(site: Site) -> None:
    """As a web space and ``~/.ocf-flask`` are that somebody has tidied up."""
    base = site.private.parent
    site.web, site.private = base / "a/web/flasky", base / "b/p/flasky"
    site.base.update(directory=str(site.web), private_directory=str(site.private))
    site.deployed()
    assert removed(site).state == "removed"
    for top in ("a", "b"):
        shutil.rmtree(base / top)
    assert restored(site).state == "restored" and (site.web / "run.fcgi").exists()
    assert [path.stat().st_mode & 0o777 for path in (site.web.parent, site.private.parent)] == [0o755, 0o700]


def test_an_archive_without_a_release_that_can_be_read_stays_as_it_is(deployed: Site) -> None:
    archive = Path(removed(deployed).archive)
    (record,) = archive.glob("private/releases/*/manifest.json")
    record.write_text("{")
    before = content(archive)
    outcome = restored(deployed)
    assert outcome.state == "failed" and f"{archive} has no release that can be read" in outcome.error
    assert content(archive) == before and not deployed.web.exists() and not deployed.private.exists()


@pytest.mark.parametrize("answers", [1, 1000])
def test_a_process_on_another_host_is_asked_whether_it_still_answers(deployed: Site, monkeypatch: pytest.MonkeyPatch, answers: int) -> None:
    """With the deploy's token, by which alone it says so; for a while."""
    token = (deployed.private / "token").read_text().strip()
    asked: list[str] = []

    def ask(url: str, given: str) -> live.Reply:
        asked.append(given)
        return live.Reply(release="20261124-034512" if len(asked) <= answers else "")

    monkeypatch.setattr(remove.live, "ask", ask)
    monkeypatch.setattr(remove, "_ELSEWHERE", 1.5)
    outcome = removed(deployed)
    assert set(asked) == {token} and token
    assert ("still answers after 1.5 s" in outcome.reached) is (answers == 1000)


def test_a_site_that_was_copied_back_by_hand_is_removed_as_any_other(deployed: Site) -> None:
    first = Path(removed(deployed).archive)
    before = content(first)
    for source, target in ((first / "site", deployed.web), (first / "private", deployed.private)):
        subprocess.run(["cp", "-a", source, target], check=True)
    deployed.write("new.txt", "since then")
    second = Path(removed(deployed).archive)
    assert second != first and content(first) == before and (second / "site/new.txt").read_text() == "since then"


def test_what_fails_its_test_stays_in_the_archive(deployed: Site) -> None:
    archive = Path(removed(deployed).archive)
    (archive / "site" / "flaskyapplication.py").write_text("def broken(:\n")
    before = content(archive)
    outcome = restored(deployed)
    assert outcome.state == "failed" and "SyntaxError" in outcome.error and str(archive) in outcome.advice
    assert content(archive) == before and not deployed.web.exists() and not deployed.private.exists()
    (archive / "site" / "flaskyapplication.py").write_text(APP.format("one"))
    assert restored(deployed).state == "restored"


def test_an_archive_is_named_and_the_latest_is_taken_by_default(deployed: Site) -> None:
    first = Path(removed(deployed).archive)
    deployed.write("flaskyapplication.py", APP.format("two"))
    deployed.deployed()
    second = Path(removed(deployed).archive)
    assert first != second
    outcome = restored(deployed, "flasky-nonsense")
    assert outcome.state == "failed" and first.name in outcome.error and second.name in outcome.error
    assert restored(deployed, first.name).state == "restored"
    assert (deployed.web / "flaskyapplication.py").read_text() == APP.format("one") and second.exists()


def test_there_is_nothing_to_restore(site: Site) -> None:
    outcome = restored(site)
    assert outcome.state == "failed" and "was not removed from" in outcome.error


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"name": 1}', "[" * 4096, '{"name": "x", "site": "y"}', "-1", "100000000000000000000"]
)
def test_a_record_without_its_form_is_none(deployed: Site, text: str) -> None:
    archive = Path(removed(deployed).archive)
    record = json.loads((archive / "record.json").read_text())
    (archive / "record.json").write_text(json.dumps({**record, "mode": int(text)}) if text.lstrip("-").isdigit() else text)
    assert "was not removed from" in restored(deployed).error


def _other_file_system(monkeypatch: pytest.MonkeyPatch, apart: Path, full: bool = False) -> None:
    """As if a directory and all below it were on a file system of its own; and the other one full."""
    rename, copy = os.rename, shutil.copy2

    def across(source: Any, target: Any) -> None:
        inside = [str(apart) in (str(one), *map(str, Path(one).parents)) for one in (source, target)]
        if inside[0] != inside[1]:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    def no_space(source: Any, target: Any, **_: Any) -> Any:
        if full:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return copy(source, target)

    monkeypatch.setattr(os, "rename", across)
    monkeypatch.setattr(shutil, "copy2", no_space)


def test_a_web_space_on_another_file_system_is_copied_and_compared(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (deployed.web / "link").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(deployed.web)
        listener.bind("app.sock")
    (deployed.web / "closed").mkdir()
    deployed.write("closed/file", "x")
    (deployed.web / "closed").chmod(0o555)
    before = content(deployed.web)
    _other_file_system(monkeypatch, deployed.web.parent)
    outcome = removed(deployed)
    assert outcome.state == "removed", (outcome.error, outcome.advice)
    assert not deployed.web.exists() and "app.sock" in " ".join(outcome.notes)
    assert content(Path(outcome.archive, "site")) == before
    assert restored(deployed).state == "restored" and content(deployed.web) == before


def test_a_private_directory_that_is_copied_stays_locked(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    compare, said = archives._compare, []

    def meanwhile(*arguments: Any) -> None:
        said.append(in_child(lambda: deployed.deploy(timeouts={"lock": 1}).error))
        compare(*arguments)

    with monkeypatch.context() as patch:
        _other_file_system(patch, deployed.private.parent)
        patch.setattr(archives, "_compare", meanwhile)
        assert removed(deployed).state == "removed" and "Another removal of this site is running" in said[0]
    assert restored(deployed).state == "restored" and deployed.deploy().state == "unchanged"


def test_without_space_in_the_home_the_site_stays_in_the_web_space_shut(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(deployed.web)
    with monkeypatch.context() as patch:
        _other_file_system(patch, deployed.web.parent, full=True)
        outcome = removed(deployed)
    assert outcome.state == "removed", (outcome.error, outcome.advice)
    (left,) = deployed.web.parent.iterdir()
    assert left.name.startswith(".ocf-flask-removed-flasky-") and left.stat().st_mode & 0o777 == 0o700
    assert content(left) == before and str(left) in " ".join(outcome.notes)
    assert json.loads(Path(outcome.archive, "record.json").read_text())["left"] == str(left)
    assert restored(deployed).state == "restored" and content(deployed.web) == before


def test_a_record_finds_space_once_the_bytecode_has_gone_and_leaves_nothing_behind_when_it_does_not(
    deployed: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = archives.write

    def cramped(archive: archives.Archive) -> None:
        if list(deployed.private.glob("releases/*/venv/lib/**/__pycache__")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(archive)

    def full(_: archives.Archive) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(archives, "write", full)
        failed = removed(deployed)
    assert failed.state == "failed" and "answers nobody any more, but it could not be moved" in failed.error
    assert not (home / "ocf-flask-removed").exists() and deployed.web.stat().st_mode & 0o777 == 0o700
    deployed.deployed()
    with monkeypatch.context() as patch:
        patch.setattr(archives, "write", cramped)
        assert removed(deployed).state == "removed"
    assert restored(deployed).state == "restored"


def test_a_site_that_cannot_be_copied_is_shut_and_the_error_says_so(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        _other_file_system(patch, deployed.web.parent)
        patch.setattr(shutil, "copy2", broken)
        outcome = removed(deployed)
    assert outcome.state == "failed" and "answers nobody any more, but it could not be moved" in outcome.error
    assert "Input/output error" in outcome.error and "Nothing of it is lost" in outcome.advice and "space" not in outcome.advice
    assert stat.S_IMODE(deployed.web.stat().st_mode) == 0o700 and (deployed.web / "data.sqlite").exists()
    assert removed(deployed).state == "removed"


@pytest.mark.parametrize("when", ["it went on", "it was complete"])
def test_the_rest_of_a_copied_site_is_deleted_by_the_next_removal(deployed: Site, when: str) -> None:
    rest = deployed.web.with_name(".ocf-flask-gone-flasky")
    if when == "it was complete":
        assert removed(deployed).state == "removed"
        rest.mkdir()
        assert "was removed on" in removed(deployed, check=True).error and rest.exists()
        assert "was removed on" in removed(deployed).error and not rest.exists()
        return
    os.rename(deployed.web, rest)
    assert removed(deployed).state == "removed" and not rest.exists()


@pytest.mark.parametrize("verb", ["remove", "restore"])
@pytest.mark.parametrize("part", ["site", "private"])
def test_a_move_to_another_file_system_that_was_killed_once_all_was_copied_goes_on(
    deployed: Site, home: Path, monkeypatch: pytest.MonkeyPatch, verb: str, part: str
) -> None:
    before = content(deployed.web, deployed.private)
    work = removed if verb == "remove" else restored
    if verb == "restore":
        removed(deployed)
    delete = archives._delete

    def killed(source: Path, gone: Path) -> None:
        if source in (deployed.web if part == "site" else deployed.private, source.parent / part):
            raise Interrupted
        delete(source, gone)

    with monkeypatch.context() as patch:
        _other_file_system(patch, home)
        patch.setattr(archives, "_delete", killed)
        with pytest.raises(Interrupted):
            work(deployed)
    outcome = work(deployed)
    assert outcome.changed, (outcome.error, outcome.advice)
    places = (deployed.web, deployed.private) if verb == "restore" else (Path(outcome.archive, "site"), Path(outcome.archive, "private"))
    assert content(*places) == before
    assert Path(outcome.archive).exists() != deployed.web.exists()


def test_an_archive_that_a_killed_restoration_has_emptied_is_taken_away(deployed: Site, home: Path) -> None:
    archive = Path(removed(deployed).archive)
    assert restored(deployed).state == "restored"
    archive.mkdir(parents=True)
    assert "nothing to bring back" in restored(deployed).error and not archive.parent.exists()


def test_an_archive_whose_record_was_not_written_to_its_end_is_taken_away(deployed: Site, home: Path) -> None:
    half = home / "ocf-flask-removed" / ".ocf-flask-partial-flasky-2026-01-01-000000"
    half.mkdir(parents=True)
    (half / "record.json").write_text('{"name": "fla')
    assert removed(deployed).state == "removed"
    assert [path.name[:11] for path in half.parent.iterdir()] == ["flasky-" + time.strftime("%Y", time.gmtime())]


def test_of_two_restorations_at_a_time_the_later_waits(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(deployed.web, deployed.private)
    archive = Path(removed(deployed).archive)
    move, said = archives.move, []

    def meanwhile(source: Path, target: Path) -> list[str]:
        monkeypatch.setattr(archives, "move", move)
        said.append(in_child(lambda: sites.restore(deployed.settings(timeouts={"lock": 1}), deployed.kit, sites.Asked(), False).error))
        return move(source, target)

    monkeypatch.setattr(archives, "move", meanwhile)
    assert restored(deployed).state == "restored" and content(deployed.web, deployed.private) == before
    assert "Another restoration of this site is running" in said[0] and not archive.exists()


def test_a_file_that_changes_while_it_is_copied_stops_the_copy(deployed: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _other_file_system(monkeypatch, deployed.web.parent)
    before = content(deployed.web)

    def shorter(source: Any, target: Any, **_: Any) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:-1])

    monkeypatch.setattr(shutil, "copy2", shorter)
    with pytest.raises(SiteError, match="changed while it was copied"):
        archives.move(deployed.web, tmp_path / "copy")
    assert content(deployed.web) == before and list(tmp_path.glob("*copy*")) == []


def test_a_file_that_is_written_to_while_others_are_copied_stops_the_copy(
    deployed: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _other_file_system(monkeypatch, deployed.web.parent)
    copy = shutil.copy2

    def slow(source: Any, target: Any, **_: Any) -> None:
        copy(source, target)
        if Path(source).name == "data.sqlite":
            Path(source).write_text("ROWS")

    monkeypatch.setattr(shutil, "copy2", slow)
    with pytest.raises(SiteError, match="changed while it was copied"):
        archives.move(deployed.web, tmp_path / "copy")
    assert (deployed.web / "data.sqlite").read_text() == "ROWS" and list(tmp_path.glob("*copy*")) == []


def test_a_copy_takes_no_name_of_anybodys_and_is_closed_until_it_is_whole(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, modes, copy = deployed.web.with_name("flasky.partial"), set(), shutil.copy2
    mine.mkdir()
    _other_file_system(monkeypatch, deployed.web.parent)

    def watched(source: Any, target: Any, **_: Any) -> None:
        modes.update(stat.S_IMODE(path.stat().st_mode) for path in deployed.web.parent.glob(".ocf-flask-*"))
        copy(source, target)

    monkeypatch.setattr(shutil, "copy2", watched)
    assert removed(deployed).state == "removed" and restored(deployed).state == "restored"
    assert mine.is_dir() and modes == {0o700}


class Interrupted(BaseException):
    """As abrupt as a kill."""


@pytest.mark.parametrize("count", [1, 2])
def test_an_interrupted_removal_goes_on_with_the_same_archive(
    deployed: Site, home: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    before, move, calls = content(deployed.web, deployed.private), archives.move, []

    def interrupt(source: Path, target: Path, held: str = "") -> list[str]:
        calls.append(source)
        if len(calls) == count:
            raise Interrupted
        return move(source, target, held)

    with monkeypatch.context() as patch:
        patch.setattr(archives, "move", interrupt)
        with pytest.raises(Interrupted):
            removed(deployed)
    assert "was not removed from" in restored(deployed).error or deployed.private.exists()
    outcome = removed(deployed)
    assert outcome.state == "removed", (outcome.error, outcome.advice)
    (archive,) = (home / "ocf-flask-removed").iterdir()
    assert content(archive / "site", archive / "private") == before


def test_an_interrupted_restoration_goes_on(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(deployed.web, deployed.private)
    archive = Path(removed(deployed).archive)
    # As a kill leaves it after the first of the two moves.
    os.rename(archive / "private", deployed.private)
    outcome = restored(deployed)
    assert outcome.state == "restored", (outcome.error, outcome.detail)
    assert content(deployed.web, deployed.private) == before and not archive.exists()


@pytest.mark.parametrize("broken", [False, True])
def test_a_restoration_killed_when_all_was_moved_is_completed_or_taken_back(deployed: Site, broken: bool) -> None:
    before, mode = content(deployed.web, deployed.private), deployed.web.stat().st_mode
    archive = Path(removed(deployed).archive)
    os.rename(archive / "private", deployed.private)
    os.rename(archive / "site", deployed.web)
    if broken:
        deployed.write("flaskyapplication.py", "def broken(:\n")
        outcome = restored(deployed)
        assert outcome.state == "failed" and f"It is still in {archive}" in outcome.advice
        assert (archive / "site/data.sqlite").exists() and (archive / "private").exists() and not deployed.web.exists()
        return
    outcome = restored(deployed)
    assert outcome.state == "restored", (outcome.error, outcome.detail)
    assert content(deployed.web, deployed.private) == before and not archive.exists()
    assert deployed.web.stat().st_mode == mode


def test_an_interrupted_restoration_can_be_taken_back_too(deployed: Site) -> None:
    before = content(deployed.web, deployed.private)
    archive = Path(removed(deployed).archive)
    os.rename(archive / "private", deployed.private)
    outcome = removed(deployed)
    assert outcome.state == "removed" and outcome.archive == str(archive)
    assert content(archive / "site", archive / "private") == before


def test_a_kill_while_the_copied_site_is_deleted_leaves_no_half_site(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before, remove_tree = content(deployed.web), archives.release.remove
    with monkeypatch.context() as patch:
        _other_file_system(patch, deployed.web.parent)

        def half(path: Path) -> None:
            if path.name.startswith(".ocf-flask-gone-"):
                (path / "flaskyapplication.py").unlink()
                raise Interrupted
            remove_tree(path)

        patch.setattr(archives.release, "remove", half)
        with pytest.raises(Interrupted):
            removed(deployed)
    assert not deployed.web.exists()
    outcome = removed(deployed)
    assert outcome.state == "removed", (outcome.error, outcome.advice)
    assert content(Path(outcome.archive, "site")) == before
    assert restored(deployed).state == "restored" and content(deployed.web) == before
    assert [path.name for path in deployed.web.parent.iterdir()] == ["flasky"]


def test_a_site_deployed_after_an_interrupted_removal_is_not_mixed_with_the_old_one(
    deployed: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise Interrupted

    move = archives.move
    with monkeypatch.context() as patch:
        patch.setattr(
            archives, "move", lambda source, target, held="": move(source, target, held) if target.name == "site" else interrupt()
        )
        with pytest.raises(Interrupted):
            removed(deployed)
    deployed.write("flaskyapplication.py", APP.format("two"))
    deployed.deployed()
    outcome = removed(deployed)
    assert outcome.state == "removed", (outcome.error, outcome.advice)
    assert len(list((home / "ocf-flask-removed").iterdir())) == 2
    assert restored(deployed).state == "restored"
    assert (deployed.web / "flaskyapplication.py").read_text() == APP.format("two")


def test_what_was_interrupted_once_it_was_shut_is_open_when_it_comes_back(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(running, "end", interrupt)
        with pytest.raises(Interrupted):
            removed(deployed)
    assert stat.S_IMODE(deployed.web.stat().st_mode) == 0o700
    assert removed(deployed).state == "removed" and restored(deployed).state == "restored"
    assert stat.S_IMODE(deployed.web.stat().st_mode) == 0o711


def test_an_archive_of_which_a_part_was_deleted_is_not_taken_for_one_that_was_begun(deployed: Site) -> None:
    old = Path(removed(deployed).archive)
    shutil.rmtree(old / "private")
    deployed.write("flaskyapplication.py", APP.format("two"))
    deployed.deployed()
    outcome = removed(deployed)
    assert outcome.state == "removed", (outcome.error, outcome.advice)
    assert outcome.archive != str(old) and (old / "site" / "data.sqlite").exists()


def test_a_removal_that_was_interrupted_without_space_and_then_has_some_can_be_taken_back(
    deployed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = archives.write

    def interrupt(archive: archives.Archive) -> None:
        write(archive)
        if archive.record.left:
            raise Interrupted

    with monkeypatch.context() as patch:
        _other_file_system(patch, deployed.web.parent, full=True)
        patch.setattr(archives, "write", interrupt)
        with pytest.raises(Interrupted):
            removed(deployed)
    assert removed(deployed).state == "removed"
    back = restored(deployed)
    assert back.state == "restored" and (deployed.web / "data.sqlite").exists(), back.error


def test_staff_bring_a_site_back_as_its_owner_had_declared_it(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []
    monkeypatch.setattr(cron, "install", lambda where, name, jobs, env: installed.append(name))
    monkeypatch.setattr(cron, "present", lambda env: b"")
    job = {"name": "tidy", "schedule": "@daily", "command": "true"}
    del deployed.base["url"]
    url = "http://localhost:9/elsewhere/"
    deployed.deployed(cron=[job], cron_host="another.example.edu", url=url)
    kit = replace(deployed.kit, own_environment=False)
    assert sites.remove(deployed.settings(), kit, sites.Asked(), check=False).state == "removed"
    outcome = sites.restore(deployed.settings(), kit, sites.Asked(), check=False)
    assert outcome.state == "restored" and outcome.url == url and installed == [], outcome.error
    assert any("another.example.edu" in note for note in outcome.notes)


def test_removing_several_sites_has_to_be_meant() -> None:
    many = sites.Run({"ocf_flask_sites": [{"name": "a"}, {"name": "b"}]}, "", "", [])
    with pytest.raises(SettingError, match=r"would remove 2 sites: a, b\..*-e all=true"):
        sites.refuse_many("remove", many, sure=False)
    sites.refuse_many("remove", many, sure=True)
    sites.refuse_many("deploy", many, sure=False)
    hosts = sites.Run({"ocf_flask_sites": [{"name": "a"}]}, "", "", ["alice/b", "/c"])
    with pytest.raises(SettingError, match="would remove 3 sites: a, b, c"):
        sites.refuse_many("remove", hosts, sure=False)
    for one in ({"site": "a"}, {"site": "b"}, {"owner": "alice", "only": ["alice/b"]}):
        sites.refuse_many("remove", replace(hosts, **one), sure=False)
    with pytest.raises(SettingError, match="would remove 2 sites: a, a"):
        sites.refuse_many("remove", replace(hosts, site="a", elsewhere=["alice/a"]), sure=False)
    sites.refuse_many("remove", sites.Run({**many.variables}, "a", "", []), sure=False)


def test_a_process_that_ends_when_asked_is_not_waited_for_longer(deployed: Site) -> None:
    start = time.monotonic()
    assert running.end(deployed.private / "releases", 30) == 0
    assert time.monotonic() - start < 5


def test_a_whole_web_space_is_not_moved(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site = sites.open_site(deployed.settings(), deployed.kit)
    site = replace(site, settings=replace(site.settings, whole_web_space=True))
    with pytest.raises(SiteError, match="is your whole web space"):
        remove.remove(site, Outcome("flasky", verb="remove"), check=False)
    assert deployed.web.exists()
