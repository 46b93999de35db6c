"""Every verb with something going wrong in it, at every point of it or at some: see docs/faults.md.

``OCF_FLASK_FAULTS=all`` takes every point (`make faults`), a number so many of each fault and step; else there is one of each, and
all of the switch for the faults that differ there.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults import FAULTS, NAME, STEPS, Trial, World, answer, run, wheel
from forks import in_child
from interposed import Point
from ocf_flask.site import Kit

ROOT = Path(__file__).parents[2]
ASKED = os.environ.get("OCF_FLASK_FAULTS", "1")
# What differs most between the points of the switch.
AT_THE_SWITCH = ("kill -9", "SIGTERM", "EIO")
ROUNDS = 50

Trials = Callable[[str], Trial]


@pytest.fixture(scope="session", name="trials")
def _trials(tmp_path_factory: pytest.TempPathFactory, kit: Kit) -> Trials:
    """Each step, prepared and run once without a fault, when it is first asked for."""
    shelf, made = tmp_path_factory.mktemp("shelf"), {}
    # A Flask of no content: what goes wrong is the deploy, not the app.
    for name, version in (("flask", "3.1.3"), ("lib", "1.0"), ("lib", "2.0")):
        wheel(shelf, name, version)

    def trial(name: str) -> Trial:
        if name not in made:
            made[name] = Trial(World(tmp_path_factory.mktemp("f") / "w", shelf, kit), STEPS[name], tmp_path_factory.mktemp("f") / "saved")
        return made[name]

    return trial


def chosen(trial: Trial, step: str, fault: str) -> list[int]:
    """The points of a step that a fault happens at in this run."""
    there = trial.at(FAULTS[fault])
    if ASKED == "all":
        return there
    some = set(random.Random(f"{step} {fault}").sample(there, min(int(ASKED), len(there))))
    if fault in AT_THE_SWITCH:
        some |= {number for number in there if is_switch(trial.points[number])}
    return sorted(some)


def is_switch(point: Point) -> bool:
    """A rename at which visitors get another release, or the end of a way back from there."""
    if point.call == "unlink":
        return re.search(r"/web/flasky/(\.ocf-flask-old-htaccess|static/\.ocf-flask-new-static\..*)$", point.path) is not None
    return (
        point.call in ("link", "rename")
        and re.search(r"/web/flasky/(\.htaccess|run\.fcgi|\.ocf-flask-run\.fcgi\..*)$", point.path) is not None
    )


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_leaves_the_site_serving_and_the_next_run_clean(
    trials: Trials, request: pytest.FixtureRequest, step: str, fault: str
) -> None:
    trial = trials(step)
    numbers = chosen(trial, step, fault)
    request.node.user_properties.append(("faults", (step, fault, len(numbers))))
    wrong = {number: problems for number in numbers if (problems := trial.round(FAULTS[fault], number))}
    assert not wrong, "\n".join(f"{number} {trial.points[number]}: {one}" for number, problems in wrong.items() for one in problems[:5])


@pytest.mark.parametrize("step", ["first deploy", "upgrade"])
def test_an_owners_home_gets_nothing_but_the_sites_directory(trials: Trials, step: str) -> None:
    assert {path.split("/")[1] for path in trials(step).tree_after if path.startswith("home/")} == {".ocf-flask"}


def test_the_documented_counts_are_of_these_steps_and_faults() -> None:
    """How many there are of each depends on the versions of Python and uv: that there are as many as it says, on what it says."""
    text = (ROOT / "docs/faults.md").read_text()
    head, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if re.match(r"\| step \||\|.* \d+ \|$", line)
    ]
    assert head == ["step", *FAULTS] and [row[0] for row in rows] == list(STEPS)
    counts = [int(cell) for row in rows for cell in row[1:]]
    assert min(counts) > 0 and f"{sum(counts):,} faults" in text


BUILDING = [name for name, step in STEPS.items() if step.builds]


@contextmanager
def index(answers: str, shelf: Path) -> Iterator[str]:
    """The URL of a package index that does not do what it should."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/simple/"
        if answers == "nobody":
            listener.close()
            yield url
            return
        pid = os.fork()
        if pid == 0:
            try:
                _answer(listener, answers, shelf)
            finally:
                os._exit(0)
        try:
            yield url
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _answer(listener: socket.socket, answers: str, shelf: Path) -> None:
    kept = []
    while True:
        connection, _ = listener.accept()
        path = connection.recv(65536).split(b" ")[1].decode()
        if answers == "nothing":
            kept.append(connection)
            continue
        name = path.rstrip("/").rpartition("/")[2]
        links = "".join(f'<a href="/files/{one.name}">{one.name}</a>' for one in shelf.glob(f"{name}-*.whl"))
        content, kind = (links.encode(), "text/html") if path.endswith("/") else ((shelf / name).read_bytes(), "application/zip")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
        half = answers == "half a page" or (answers == "half a wheel" and not path.endswith("/"))
        connection.sendall(head + content[: len(content) // 2 if half else None])
        connection.close()


# One that never answers costs the time that is waited for it.
FAILING = [*((step, answers) for step in BUILDING for answers in ("nobody", "half a page", "half a wheel")), ("first deploy", "nothing")]


@pytest.mark.parametrize(("step", "answers"), FAILING)
def test_an_index_that_fails_fails_the_build_and_leaves_the_site_serving(trials: Trials, step: str, answers: str) -> None:
    trial = trials(step)
    with index(answers, trial.world.shelf) as url:
        assert not trial.round(None, ocf_flask_wheels="", ocf_flask_index=url)
    assert trial.last.outcomes[NAME]["state"] == "failed" and "could not be installed" in trial.last.outcomes[NAME]["error"]


def test_an_index_that_answers_all_is_enough(trials: Trials) -> None:
    trial = trials("update")
    with index("all", trial.world.shelf) as url:
        # But for what uv notes of where it had the packages from.
        assert all("-2.0.dist-info/" in one for one in trial.round(None, ocf_flask_wheels="", ocf_flask_index=url))
    assert trial.last.outcomes[NAME]["state"] == "deployed" and trial.answers() == trial.after


@pytest.mark.parametrize("step", [name for name in STEPS if name not in BUILDING])
def test_a_step_that_installs_nothing_needs_no_network(trials: Trials, step: str) -> None:
    trial = trials(step)
    with index("nobody", trial.world.shelf) as url:
        assert not trial.round(None, ocf_flask_wheels="", ocf_flask_index=url)
    assert trial.last.outcomes[NAME]["state"] == trial.clean.outcomes[NAME]["state"]


@pytest.mark.parametrize("days", [-10_000, 3650], ids=["long ago", "in the future"])
@pytest.mark.parametrize("step", STEPS)
def test_times_of_files_may_be_any(trials: Trials, step: str, days: int) -> None:
    trial = trials(step)

    @contextmanager
    def dated() -> Iterator[None]:
        when = time.time() + days * 86400
        for folder, directories, names in os.walk(trial.world.base):
            for name in (*directories, *names):
                os.utime(os.path.join(folder, name), (when, when), follow_symlinks=False)
        yield

    assert not trial.round(None, around=dated)
    assert trial.last.outcomes[NAME]["state"] == trial.clean.outcomes[NAME]["state"]


@contextmanager
def _mounted(place: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m,mode=755", "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _alone() -> bool:
    """Have mounts of our own, in a process forked for it."""
    libc, new_mounts = ctypes.CDLL(None), 0x00020000
    return libc.unshare(new_mounts) == 0 and subprocess.run(["mount", "--make-rprivate", "/"], stderr=subprocess.DEVNULL).returncode == 0


def can_mount(place: Path) -> bool:
    def tried() -> bool:
        if not _alone():
            return False
        with _mounted(place):
            return True

    try:
        return bool(in_child(tried))
    except AssertionError:
        return False


# In pages of 4 KiB that are left: none, too few to begin, to build, to switch.
LEFT = {"nothing": 0, "a page": 1, "ten pages": 10, "most of what it takes": 40}


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("step", ["first deploy", "update", "update of code brought", "rollback", "upgrade", "restore"])
def test_a_file_system_that_is_really_full(trials: Trials, tmp_path: Path, step: str, left: str) -> None:
    if not can_mount(tmp_path):
        pytest.skip("no file system can be mounted here")
    trial = trials(step)

    def small() -> list[str]:
        assert _alone()
        base = trial.world.base
        with _mounted(base):
            return trial.round(None, around=lambda: full(base, LEFT[left]))

    assert in_child(small) == []


@contextmanager
def full(base: Path, pages: int) -> Iterator[None]:
    """For the block, a file of zeros takes all space but so many pages."""
    filler = base / ".filler"
    with filler.open("wb", buffering=0) as file:
        status = os.statvfs(base)
        file.write(bytes(max(0, status.f_bavail - pages) * status.f_frsize))
    yield
    filler.unlink()


def test_runs_at_the_same_time_end_as_one_would(trials: Trials) -> None:
    trial = trials("update")
    trial.world.load(trial.place)
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            try:
                outcome = run(trial.world, trial.step).outcomes[NAME]
                os._exit(0 if outcome["state"] in ("deployed", "unchanged") else 1)
            finally:
                os._exit(2)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    assert not trial.unlike_the_clean()


def test_disk_use_does_not_grow_over_deploys_that_are_killed(trials: Trials) -> None:
    """Each round an hour and a half after the one before, because a release stays for an hour."""
    trial = trials("update")
    trial.world.load(trial.place)
    chance, used = random.Random("rounds"), []
    for number in range(ROUNDS if ASKED == "all" else 10):
        with (trial.world.web() / "flaskyapplication.py").open("a") as file:
            file.write(f"# {number}\n")
        run(trial.world, trial.step, FAULTS["kill -9"], chance.choice(range(len(trial.points))), hours=1.5 * number)
        outcome = run(trial.world, trial.step, hours=1.5 * number).outcomes[NAME]
        assert outcome["state"] in ("deployed", "unchanged"), outcome
        used.append(use(trial.world.base))
    assert answer(trial.world.web()) == trial.after[NAME]
    # Three releases stay, of which the first was there before.
    assert max(used[3:]) <= max(used[:4]), used


def use(base: Path) -> tuple[int, int]:
    """How many files there are, and how many blocks they have."""
    found = {}
    for folder, directories, names in os.walk(base):
        for name in (*directories, *names):
            status = os.lstat(os.path.join(folder, name))
            found[status.st_ino] = status.st_blocks
    return len(found), sum(found.values())
