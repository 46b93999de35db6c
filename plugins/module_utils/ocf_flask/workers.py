"""Each site is worked on by a process of its own that is its owner before it looks at anything.

The parent, root perhaps, opens nothing in a user's tree: it reads one bounded JSON object from a pipe,
and ends the worker, whatever it does, at a deadline.
"""

from __future__ import annotations

import json
import os
import pwd
import select
import signal
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from . import process

# An outcome has a traceback, a diff and a few lists; more is not an outcome.
ANSWER_LIMIT = 4 * 1024 * 1024
# More than any number has that a record shows.
_DIGITS = 18
# How many seconds a worker may take to end after its answer, and to take back what it began once it is asked to end.
_LEAVING = 2.0
_UNDOING = 10.0
# How often it is seen whether one has ended that is to, in seconds.
_GLANCE = 0.002


@dataclass(frozen=True)
class Job:
    """``work`` is done as the account ``owner`` (empty: as oneself) within ``seconds``; it returns a JSON object.

    ``what`` names it in messages.
    """

    owner: str
    seconds: float
    work: Callable[[], Mapping[str, Any]]
    what: str = "deploy"


@dataclass
class _Worker:
    """``pipe`` is read until there is an answer, or the ``deadline``; then it is -1, and the worker is to end. While it does not, it gets the
    next of the ``signals`` whenever its ``patience`` is over."""

    index: int
    pid: int
    pipe: int
    deadline: float
    answer: bytearray = field(default_factory=bytearray)
    late: bool = False
    patience: float = 0.0
    signals: list[int] = field(default_factory=lambda: [signal.SIGTERM, signal.SIGKILL])
    status: int = 0


def run(
    jobs: Sequence[Job], slots: int, done: Callable[[int, Mapping[str, Any] | str], None] = lambda index, result: None
) -> list[Mapping[str, Any] | str]:
    """Do the jobs, at most ``slots`` at a time.

    :param done: told of each job's result when there is one.
    :returns: for each job its object, or in its place a sentence that says why there is none.
    """
    results: list[Mapping[str, Any] | str] = [""] * len(jobs)
    waiting = deque(range(len(jobs)))
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                index = waiting.popleft()
                running.append(_start(index, jobs[index], running))
            _read(running)
            for worker in [one for one in running if _has_ended(one)]:
                running.remove(worker)
                results[worker.index] = _result(worker, jobs[worker.index])
                done(worker.index, results[worker.index])
    finally:
        # Interrupted: all are asked before one is waited for.
        for worker in running:
            _close(worker, 0)
        while running:
            running = [one for one in running if not _has_ended(one)]
            time.sleep(_GLANCE)
    return results


def _start(index: int, job: Job, others: Sequence[_Worker]) -> _Worker:
    reading, writing = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        # Never returns into the parent's code, whatever happens.
        status = 1
        try:
            for pipe in (reading, *(one.pipe for one in others if one.pipe >= 0)):
                os.close(pipe)
            _be_apart()
            if job.owner:
                become(job.owner)
            _end_when_told(parent)
            process.adopt_descendants()
            answer = json.dumps(job.work()).encode()
            with open(writing, "wb") as file:
                file.write(answer)
            status = 0
        except BaseException:
            with suppress(OSError):
                os.write(writing, traceback.format_exc()[-4000:].encode("utf-8", "replace"))
        finally:
            os._exit(status)
    os.close(writing)
    return _Worker(index, pid, reading, time.monotonic() + job.seconds)


def _be_apart() -> None:
    """Leave the parent's session and terminal, and its input and output, which may be root's terminal too."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    if nothing > 2:
        os.close(nothing)


def become(owner: str) -> None:
    """Give up root for an account: its groups, IDs, environment, umask and directory. For good."""
    account = pwd.getpwnam(owner)
    if os.getuid() != account.pw_uid:
        os.initgroups(owner, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        os.environ.clear()
        # Root's own, perhaps, which Ansible has looked up already.
        tempfile.tempdir = None
    os.environ.update(HOME=account.pw_dir, USER=owner, LOGNAME=owner)
    os.umask(0o022)
    os.chdir("/")


def _read(running: Sequence[_Worker]) -> None:
    """Wait for something to happen, and read what has come; who closed its pipe, said too much, or is out of time is to end."""
    reading = {worker.pipe: worker for worker in running if worker.pipe >= 0}
    now = time.monotonic()
    soonest = min([worker.deadline for worker in reading.values()] + [now + _GLANCE] * (len(reading) < len(running)))
    ready, _, _ = select.select(list(reading), [], [], max(0.0, soonest - now))
    for pipe in ready:
        worker = reading[pipe]
        piece = os.read(pipe, 65536)
        worker.answer += piece
        if not piece or len(worker.answer) > ANSWER_LIMIT:
            _close(worker, _LEAVING)
    for worker in reading.values():
        if worker.pipe >= 0 and worker.deadline <= time.monotonic():
            worker.late = True
            _close(worker, 0)


def _close(worker: _Worker, seconds: float) -> None:
    """No more is read; who has not ended by itself after those seconds is asked to. Who was asked already has its time."""
    if worker.pipe >= 0:
        os.close(worker.pipe)
        worker.pipe = -1
    if signal.SIGTERM in worker.signals:
        worker.patience = time.monotonic() + seconds


def _has_ended(worker: _Worker) -> bool:
    """Whether a worker that is to end has; it is asked to, and made to, but never waited for."""
    if worker.pipe >= 0:
        return False
    ended, status = os.waitpid(worker.pid, os.WNOHANG)
    if ended:
        worker.status = os.waitstatus_to_exitcode(status)
        return True
    if worker.patience > time.monotonic():
        return False
    if not worker.signals:
        # Killed, it still waits for the kernel: for a file server that does not answer, perhaps.
        worker.status = -signal.SIGKILL
        return True
    _send(worker.pid, worker.signals.pop(0))
    worker.patience = time.monotonic() + _UNDOING
    return False


def _send(pid: int, number: int) -> None:
    if number == signal.SIGKILL:
        with suppress(ProcessLookupError):  # It has not come to setsid yet.
            os.killpg(pid, number)
    os.kill(pid, number)
    # A worker that its owner has stopped takes back what it began all the same.
    os.kill(pid, signal.SIGCONT)


def _result(worker: _Worker, job: Job) -> Mapping[str, Any] | str:
    if len(worker.answer) > ANSWER_LIMIT:
        return f"The {job.what}'s answer was larger than {ANSWER_LIMIT} bytes and was refused."
    answer = _parsed(worker.answer)
    if answer is not None:
        return answer
    if worker.late:
        return f"The {job.what} took longer than {job.seconds:g} s in all and was ended."
    said = worker.answer.decode("utf-8", "replace").strip()
    return f"The {job.what} ended without an answer (status {worker.status}). {said}".strip()


def _parsed(answer: bytes | bytearray) -> dict[str, Any] | None:
    """The object that a worker has written; None when that is none. Its numbers are such as can be shown, its texts such as can be written."""
    try:
        found = clean(json.loads(answer, parse_int=_number, parse_constant=_refuse))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _number(text: str) -> int:
    # Of a million digits, a number takes minutes to read.
    if len(text) > _DIGITS:
        raise ValueError(text[:_DIGITS])
    return int(text)


def _refuse(text: str) -> None:
    """No infinity, and nothing that is no number: JSON has none."""
    raise ValueError(text)


def clean(value: Any) -> Any:
    """The same without halves of characters, which JSON can write and UTF-8 cannot.

    :raises RecursionError: for what is nested too deeply to be of use.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {clean(key): clean(inner) for key, inner in value.items()}
    return [clean(inner) for inner in value] if isinstance(value, list) else value


def _end_when_told(parent: int) -> None:
    """On SIGTERM, and when the parent ends, take back what was begun: the transaction's own way out of an error."""

    def leave(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(f"ended by signal {number}")

    signal.signal(signal.SIGTERM, leave)
    process.end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit("the parent has ended")
