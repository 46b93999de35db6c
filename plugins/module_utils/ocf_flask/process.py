"""Running other programs: always with a time limit, and nothing of theirs outlives it."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import SiteError, StepTimeout

# Of what a program prints, this many bytes are kept: the end, where the reason stands.
KEPT_OUTPUT = 64 * 1024
# How many seconds the rest of it is waited for, when the program has ended.
_LINGERING = 5.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Completed:
    """How a program ended. ``output`` is the end of stdout and stderr together."""

    returncode: int
    output: str


class Output:
    """What a program and its descendants print: read while they run, so that it takes no space on a disk; its end is kept."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._kept = bytearray()
        self._follower = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._follower.ident:
            os.close(self.writing)
            os.close(self._reading)

    def follow(self) -> None:
        """Begin to read, once the program has been started: a thread may be in nobody's way when a process forks."""
        try:
            self._follower.start()
        except RuntimeError:
            raise OSError(errno.EAGAIN, "no more threads can be started") from None
        os.close(self.writing)

    def _follow(self) -> None:
        try:
            while piece := os.read(self._reading, KEPT_OUTPUT):
                self._kept = (self._kept + piece)[-KEPT_OUTPUT:]
        finally:
            os.close(self._reading)

    def text(self) -> str:
        """The end of what was printed, once the program has ended; a process that could not be ended is not waited for."""
        self._follower.join(_LINGERING)
        return self._kept.decode("utf-8", "replace")


_adopting_process = 0


def adopt_descendants() -> None:
    """Make this process, a worker with no other children, the parent of its orphaned descendants (prctl(2))."""
    global _adopting_process
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _adopting_process = os.getpid()


def end_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends, as on Ctrl-C (prctl(2)). Forgotten by setuid."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def run(command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, seconds: float, step: str) -> Completed:
    """Run a program to its end.

    :param seconds: the time limit.
    :param step: what the program is for, as in "installing the packages", for the error.
    :raises StepTimeout: with what the program had printed; it and its descendants are gone then.
    :raises SiteError: when it cannot be started.
    """
    argv = [str(part) for part in command]
    with Output() as output:
        try:
            with contained(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output.writing) as process:
                output.follow()
                returncode = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise StepTimeout(f"{step} took longer than {seconds:g} s and was ended.", output.text()) from None
        except OSError as error:
            raise SiteError(f"{step}: {argv[0]} cannot be started: {error.strerror}.") from None
        return Completed(returncode, output.text())


@contextmanager
def contained(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdin: int, stdout: int | IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own that ends, with all its descendants, when the block does."""
    process = subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_end_by_kill,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end_descendants()


def _end_by_kill() -> None:
    end_with_parent(signal.SIGKILL)


def end_descendants(seconds: float = 5) -> None:
    """Kill what daemonized itself out of its group. Does something only after `adopt_descendants`."""
    deadline = time.monotonic() + seconds
    while os.getpid() == _adopting_process and _reap() and time.monotonic() < deadline:
        children = _children()
        if not children:
            return
        for pid in children:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def _children() -> list[int]:
    """The process IDs of this process's children (proc(5): field 4 of stat, after a name in brackets)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def _reap() -> bool:
    """Take the exit statuses that there are; whether a child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def tail(descriptor: int) -> str:
    """The end of a file, as text."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - KEPT_OUTPUT)
    return os.pread(descriptor, size - start, start).decode("utf-8", "replace")
