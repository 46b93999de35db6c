"""Other people's programs: limited in time, and gone when they should be."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from forks import ends, in_child, is_running
from ocf_flask import process
from ocf_flask.errors import SiteError, StepTimeout

# Fork twice, start a session, close everything: away from parent, group and pipes. argv[1] takes the process ID.
_DAEMON = """
import os, sys, time
if os.fork():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
else:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.closerange(0, 3)
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(60)
"""
_CHILD = "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"


def run(code: str, *arguments: object, seconds: float = 20, **more: Any) -> process.Completed:
    options = {"env": {"PATH": os.environ["PATH"]}, "cwd": Path("/"), "step": "Testing", **more}
    return process.run([sys.executable, "-c", code, *map(str, arguments)], seconds=seconds, **options)


def test_what_a_program_prints_and_returns() -> None:
    completed = run("import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)")
    assert completed == process.Completed(3, "out\nerr\n")


def test_a_program_has_the_given_environment_and_directory_alone(tmp_path: Path) -> None:
    completed = run("import os; print(sorted(os.environ), os.getcwd())", env={"A": "1", "LC_CTYPE": "C.UTF-8"}, cwd=tmp_path)
    assert completed.output == f"['A', 'LC_CTYPE'] {tmp_path}\n"


def test_a_program_gets_no_input() -> None:
    assert run("print(repr(input() if 0 else __import__('sys').stdin.read()))").output == "''\n"


def test_a_program_that_a_signal_ends_has_not_succeeded() -> None:
    assert run("import os; os.kill(os.getpid(), 9)").returncode == -signal.SIGKILL


def test_of_much_output_the_end_is_kept() -> None:
    completed = run("print('x' * 500_000 + 'the reason')")
    assert completed.output.endswith("xxxthe reason\n")
    assert len(completed.output) == process.KEPT_OUTPUT


def test_the_end_of_the_output_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    follow = process.Output._follow
    monkeypatch.setattr(process.Output, "_follow", lambda output: (time.sleep(0.3), follow(output)))
    assert run("print('late')").output == "late\n"


def test_much_output_takes_no_space_on_a_disk() -> None:
    code = (
        "import os, stat; os.write(1, bytes(1 << 27)); print(stat.S_ISFIFO(os.fstat(1).st_mode), os.fstat(2).st_ino == os.fstat(1).st_ino)"
    )
    assert run(code).output.endswith("\0True True\n")


def test_output_that_is_no_text_is_shown_all_the_same() -> None:
    assert run("import os; os.write(1, b'caf\\xe9')").output == "caf\N{REPLACEMENT CHARACTER}"


def test_a_program_that_is_not_there_is_named() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SiteError) as caught:
        process.run(["/nonexistent/uv"], env={}, cwd=Path("/"), seconds=5, step="Making the virtualenv")
    assert caught.value.message == "Making the virtualenv: /nonexistent/uv cannot be started: No such file or directory."
    assert os.listdir("/proc/self/fd") == before, "a pipe is left"


def test_an_account_that_can_have_no_more_threads_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(process.threading.Thread, "start", refuse)
    with pytest.raises(SiteError, match="no more threads can be started"):
        run("import time; time.sleep(60)")
    assert os.listdir("/proc/self/fd") == before, "a pipe is left"


@pytest.mark.parametrize(("mode", "content", "reason"), [(0o644, "", "Permission denied"), (0o755, "no program", "Exec format error")])
def test_a_program_that_cannot_be_started_is_named_with_the_reason(tmp_path: Path, mode: int, content: str, reason: str) -> None:
    path = tmp_path / "tool"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(SiteError, match=f"tool cannot be started: {reason}"):
        process.run([path], env={}, cwd=Path("/"), seconds=5, step="Testing")


def test_a_program_that_takes_too_long_is_ended_with_its_children_and_its_words() -> None:
    start = time.monotonic()
    with pytest.raises(StepTimeout) as caught:
        run(_CHILD, seconds=0.7)
    assert time.monotonic() - start < 3
    assert caught.value.message == "Testing took longer than 0.7 s and was ended."
    assert ends(int(caught.value.detail))


def test_what_a_program_leaves_in_its_group_is_ended_with_it() -> None:
    completed = run("import subprocess; print(subprocess.Popen(['sleep', '60']).pid)")
    assert completed.returncode == 0
    assert ends(int(completed.output))


@pytest.mark.parametrize(
    "code", [_DAEMON, _DAEMON.replace("while not os.path.exists(sys.argv[1])", "while True")], ids=["ended", "too long"]
)
def test_a_daemon_is_ended_too(tmp_path: Path, code: str) -> None:
    def work() -> None:
        process.adopt_descendants()
        try:
            run(code, tmp_path / "pid", seconds=1)
        except StepTimeout:
            pass

    in_child(work)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert ends(pid)
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def test_without_a_worker_around_it_nobody_elses_child_is_ended(tmp_path: Path) -> None:
    def work() -> bool:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        run("pass")
        alive = is_running(child)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return alive

    assert in_child(work)


def test_the_end_of_a_short_file_is_all_of_it(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        assert process.tail(file.fileno()) == ""
        file.write(b"abc")
        file.flush()
        assert process.tail(file.fileno()) == "abc"
