"""Workers: whatever one of them does, its parent goes on, in time."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from forks import ends
from ocf_flask import workers

Work = Callable[[], Mapping[str, Any]]


def one(work: Work, seconds: float = 20) -> Mapping[str, Any] | str:
    (result,) = workers.run([workers.Job("", seconds, work)], 1)
    return result


def hang() -> Mapping[str, Any]:
    while True:
        signal.pause()


def test_no_jobs_have_no_results() -> None:
    assert workers.run([], 1) == []


@pytest.mark.parametrize("slots", [1, 2, 10])
def test_results_come_in_the_order_of_the_jobs(tmp_path: Path, slots: int) -> None:
    def work(number: int) -> Work:
        def done() -> Mapping[str, Any]:
            # With room for all, the first ends last.
            if slots == 10 and number < 4:
                while not (tmp_path / str(number + 1)).exists():
                    time.sleep(0.002)
            (tmp_path / str(number)).touch()
            return {"number": number}

        return done

    assert workers.run([workers.Job("", 20, work(number)) for number in range(5)], slots) == [{"number": number} for number in range(5)]


def test_no_more_run_at_a_time_than_there_are_slots(tmp_path: Path) -> None:
    def work() -> Mapping[str, Any]:
        mine = tmp_path / str(os.getpid())
        mine.touch()
        found = len(list(tmp_path.iterdir()))
        time.sleep(0.01)
        mine.unlink()
        return {"running": found}

    found = [result["running"] for result in workers.run([workers.Job("", 20, work)] * 8, 2) if isinstance(result, dict)]
    assert len(found) == 8
    assert max(found) <= 2


def test_a_worker_that_raises_says_so() -> None:
    result = one(lambda: {"x": 1 / 0})
    assert isinstance(result, str)
    assert result.startswith("The deploy ended without an answer (status 1). Traceback (most recent call last):")
    assert result.endswith("ZeroDivisionError: division by zero")


def test_a_worker_that_exits_says_so() -> None:
    def work() -> Mapping[str, Any]:
        sys.exit("enough")

    assert "SystemExit: enough" in str(one(work))


def test_a_worker_that_is_killed_is_reported() -> None:
    def work() -> Mapping[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    assert one(work) == "The deploy ended without an answer (status -9)."


def test_an_answer_that_is_no_json_object_is_refused() -> None:
    for answer in (object(), {"x": object()}, [1], "text", None):
        result = one(lambda answer=answer: answer)  # type: ignore[misc]
        assert isinstance(result, str)
        assert result.startswith("The deploy ended without an answer")


def _say(said: bytes) -> Work:
    """A worker that writes to its pipe what it likes: its owner's other processes could."""

    before = _writable_pipes()

    def work() -> Mapping[str, Any]:
        for pipe in _writable_pipes() - before:
            left = memoryview(said)
            while left:
                left = left[os.write(pipe, left) :]
        os._exit(0)

    return work


def _writable_pipes() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd") if _is_writable_pipe(int(name))}


def _pipes() -> set[int]:
    """The pipes that this process has open."""
    return {os.fstat(descriptor).st_ino for descriptor in map(int, os.listdir("/proc/self/fd")) if _is_pipe(descriptor)}


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _is_writable_pipe(descriptor: int) -> bool:
    return descriptor > 2 and _is_pipe(descriptor) and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY


@pytest.mark.parametrize("said", [b"{", b"\xff\xff", b"[1]", b'"x"', b"[" * 200_000, b"1" * 100_000], ids=range(6))
def test_a_pipe_that_says_nonsense_does_not_stop_the_run(said: bytes) -> None:
    result = one(_say(said))
    assert isinstance(result, str)
    assert result.startswith("The deploy ended without an answer (status 0).")


def test_a_huge_answer_is_cut_off() -> None:
    start = time.monotonic()
    assert (
        one(lambda: {"x": "y" * (workers.ANSWER_LIMIT + 1)})
        == f"The deploy's answer was larger than {workers.ANSWER_LIMIT} bytes and was refused."
    )
    assert time.monotonic() - start < 5


def test_an_answer_as_large_as_allowed_is_taken() -> None:
    size = workers.ANSWER_LIMIT - 100
    assert one(lambda: {"x": "y" * size}) == {"x": "y" * size}


@pytest.mark.parametrize("ignored", [(), (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)])
def test_a_worker_that_hangs_is_ended_at_its_deadline(
    tmp_path: Path, ignored: tuple[signal.Signals, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_UNDOING", 0.5)

    def work() -> Mapping[str, Any]:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        (tmp_path / "pid").write_text(str(os.getpid()))
        return hang()

    start = time.monotonic()
    assert one(work, 0.5) == "The deploy took longer than 0.5 s in all and was ended."
    assert time.monotonic() - start < 3
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_a_stopped_worker_is_ended_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_UNDOING", 0.5)

    def work() -> Mapping[str, Any]:
        os.kill(os.getpid(), signal.SIGSTOP)
        return {}

    assert one(work, 0.5) == "The deploy took longer than 0.5 s in all and was ended."


def test_a_stopped_worker_takes_back_what_it_began(tmp_path: Path) -> None:
    def work() -> Mapping[str, Any]:
        with ExitStack() as on_error:
            on_error.callback((tmp_path / "taken back").touch)
            os.kill(os.getpid(), signal.SIGSTOP)
            return hang()

    assert one(work, 0.5) == "The deploy took longer than 0.5 s in all and was ended."
    assert (tmp_path / "taken back").exists()


def test_while_one_resists_its_end_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_UNDOING", 3)
    asked = tmp_path / "asked"

    def resist() -> Mapping[str, Any]:
        signal.signal(signal.SIGTERM, lambda number, frame: asked.touch())
        return hang()

    def work() -> Mapping[str, Any]:
        while not asked.exists():
            time.sleep(0.01)
        return {}

    ended: list[int] = []
    workers.run([workers.Job("", 0.5, resist), *[workers.Job("", 20, work)] * 10], 2, lambda index, result: ended.append(index))
    assert sorted(ended) == list(range(11)) and ended[-1] == 0


def test_what_hangs_delays_a_run_by_one_time_limit_for_each_turn_in_its_slots(tmp_path: Path) -> None:
    """20 of 60 hang: in 4 slots they come to their end four at a time, in 5 turns."""
    ended: dict[int, float] = {}

    def hanging(number: int) -> Work:
        def work() -> Mapping[str, Any]:
            (tmp_path / str(number)).write_text(str(time.monotonic()))
            return hang()

        return work

    works = [hanging(number) if number % 3 == 0 else dict for number in range(60)]
    jobs = [workers.Job("", 0.3 if number % 3 == 0 else 20, work) for number, work in enumerate(works)]
    results = workers.run(jobs, 4, lambda index, result: ended.__setitem__(index, time.monotonic()))
    assert [number for number, result in enumerate(results) if result != {}] == list(range(0, 60, 3))
    turns, last = 0, 0.0
    for end, number in sorted((ended[number], number) for number in range(0, 60, 3)):
        if float((tmp_path / str(number)).read_text()) > last:
            turns, last = turns + 1, end
    # One more where the machine is busy, and they do not end together.
    assert turns in (5, 6)


def test_what_a_worker_started_ends_with_it_when_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_UNDOING", 0.1)

    def work() -> Mapping[str, Any]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pid = os.fork()
        if pid:
            (tmp_path / "pid").write_text(str(pid))
        return hang()

    assert isinstance(one(work, 0.5), str)
    assert ends(int((tmp_path / "pid").read_text()))


def test_one_that_not_even_a_signal_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one is that waits for a file server which does not answer."""
    monkeypatch.setattr(workers, "_UNDOING", 0.1)
    given_up: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(workers, "_send", lambda pid, number: given_up.append(pid))
        assert one(hang, 0.1) == "The deploy took longer than 0.1 s in all and was ended."
    os.kill(given_up[0], signal.SIGKILL)
    os.waitpid(given_up[0], 0)
    assert len(given_up) == 2


def test_a_worker_has_nothing_of_its_parents_terminal() -> None:
    def work() -> Mapping[str, Any]:
        return {"standard": [os.readlink(f"/proc/self/fd/{number}") for number in range(3)], "session": os.getsid(0) == os.getpid()}

    assert one(work) == {"standard": ["/dev/null"] * 3, "session": True}


def test_no_worker_has_the_pipe_of_another() -> None:
    def work() -> Mapping[str, Any]:
        return {"pipes": sorted(_pipes() - before)}

    def wait() -> Mapping[str, Any]:
        time.sleep(0.5)
        return work()

    before = _pipes()
    found = workers.run([*[workers.Job("", 20, wait)] * 3, workers.Job("", 20, work)], 4)
    own = [pipe for result in found for pipe in result["pipes"]]
    assert len(own) == len(set(own)) == 4


def test_a_worker_that_hangs_does_not_keep_the_others_waiting() -> None:
    jobs = [workers.Job("", 0.5, hang), *[workers.Job("", 20, lambda: {"ok": True})] * 3]
    start = time.monotonic()
    assert workers.run(jobs, 2)[1:] == [{"ok": True}] * 3
    assert time.monotonic() - start < 3


def test_a_daemon_that_holds_the_pipe_open_costs_the_time_limit_and_not_the_answer(tmp_path: Path) -> None:
    def work() -> Mapping[str, Any]:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            time.sleep(30)
            os._exit(0)
        return {"daemon": pid}

    start = time.monotonic()
    result = one(work, 1)
    assert time.monotonic() - start < 4
    assert isinstance(result, dict)
    os.kill(result["daemon"], signal.SIGKILL)


def test_a_worker_that_closes_its_pipe_and_goes_on_is_ended(tmp_path: Path) -> None:
    def work() -> Mapping[str, Any]:
        (tmp_path / "pid").write_text(str(os.getpid()))
        os.closerange(3, 4096)
        return hang()

    assert str(one(work)).startswith("The deploy ended without an answer")
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_when_the_run_ends_its_workers_take_back_what_they_began(tmp_path: Path, how: str) -> None:
    """As on Ctrl-C (SIGINT reaches the module), and when Ansible ends the module at once: the worker is told by the kernel."""
    worker, begun, taken_back = tmp_path / "pid", tmp_path / "begun", tmp_path / "taken back"

    def work() -> Mapping[str, Any]:
        worker.write_text(str(os.getpid()))
        with ExitStack() as on_error:
            on_error.callback(begun.rename, taken_back)
            begun.touch()
            os.kill(os.getppid(), signal.SIGINT if how == "interrupted" else signal.SIGKILL)
            return hang()

    pid = os.fork()
    if pid == 0:
        # Where the tests run in the background, it is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            workers.run([workers.Job("", 20, work)], 1)
        except KeyboardInterrupt:
            os._exit(130)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == (130 if how == "interrupted" else -signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path("/proc", worker.read_text()).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert taken_back.exists() and not begun.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another account")
def test_a_worker_of_root_is_its_owner_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def work() -> Mapping[str, Any]:
        regained = True
        try:
            os.setuid(0)
        except PermissionError:
            regained = False
        mask = os.umask(0)
        return {
            "ids": [*os.getresuid(), *os.getresgid()], "groups": os.getgroups(), "environment": dict(os.environ),
            "umask": mask, "cwd": os.getcwd(), "temporary": tempfile.gettempdir(), "regained": regained,
        }  # fmt: skip

    nobody = pwd.getpwnam("nobody")
    (result,) = workers.run([workers.Job("nobody", 20, work)], 1)
    assert result == {
        "ids": [nobody.pw_uid] * 3 + [nobody.pw_gid] * 3, "groups": os.getgrouplist("nobody", nobody.pw_gid),
        "environment": {"HOME": nobody.pw_dir, "USER": "nobody", "LOGNAME": "nobody"}, "umask": 0o022, "cwd": "/", "temporary": "/tmp", "regained": False,
    }  # fmt: skip
    assert os.getuid() == 0


def test_an_owner_that_is_gone_fails_alone() -> None:
    results = workers.run([workers.Job("nobody-of-that-name", 20, dict), workers.Job("", 20, lambda: {"ok": 1})], 2)
    assert "KeyError" in str(results[0])
    assert results[1] == {"ok": 1}
