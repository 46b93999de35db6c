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
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from . import process

# An outcome has a traceback, a diff and a few lists; more is not an outcome.
ANSWER_LIMIT = 4 * 1024 * 1024
# More than any number has that a record shows.
_DIGITS = 18
# How many seconds a worker may take to end after its answer, and to take back what it began once it is asked to end.
_LEAVING = 2.0
_UNDOING = 10.0


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
    index: int
    pid: int
    pipe: int
    deadline: float
    answer: bytearray


def run(
    jobs: Sequence[Job], slots: int, done: Callable[[int, Mapping[str, Any] | str], None] = lambda index, result: None
) -> list[Mapping[str, Any] | str]:
    """Do the jobs, at most ``slots`` at a time.

    :param done: told of each job's result when there is one.
    :returns: for each job its object, or in its place a sentence that says why there is none.
    """
    results: list[Mapping[str, Any] | str] = [""] * len(jobs)
    waiting = deque(range(len(jobs)))
    running: dict[int, _Worker] = {}
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                index = waiting.popleft()
                worker = _start(index, jobs[index])
                running[worker.pipe] = worker
            for worker in _serve(running):
                del running[worker.pipe]
                results[worker.index] = _finish(worker, jobs[worker.index])
                done(worker.index, results[worker.index])
    finally:
        # Interrupted: all are asked before one is waited for.
        for worker in running.values():
            os.kill(worker.pid, signal.SIGTERM)
        for worker in running.values():
            os.close(worker.pipe)
            _stop(worker.pid)
    return results


def _start(index: int, job: Job) -> _Worker:
    reading, writing = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        # Never returns into the parent's code, whatever happens.
        status = 1
        try:
            os.close(reading)
            os.setsid()
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
    return _Worker(index, pid, reading, time.monotonic() + job.seconds, bytearray())


def become(owner: str) -> None:
    """Give up root for an account: its groups, IDs, umask and directory. For good."""
    account = pwd.getpwnam(owner)
    if os.getuid() != account.pw_uid:
        os.initgroups(owner, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.environ.update(HOME=account.pw_dir, USER=owner, LOGNAME=owner)
    os.umask(0o022)
    os.chdir("/")


def _serve(running: Mapping[int, _Worker]) -> list[_Worker]:
    """Read what has come; the workers that closed their pipe, said too much, or are out of time."""
    soonest = min(worker.deadline for worker in running.values())
    ready, _, _ = select.select(list(running), [], [], max(0.0, soonest - time.monotonic()))
    done = []
    for pipe in ready:
        worker = running[pipe]
        piece = os.read(pipe, 65536)
        worker.answer += piece
        if not piece or len(worker.answer) > ANSWER_LIMIT:
            done.append(worker)
    late = [worker for worker in running.values() if worker.deadline <= time.monotonic() and worker not in done]
    return done + late


def _finish(worker: _Worker, job: Job) -> Mapping[str, Any] | str:
    late = worker.deadline <= time.monotonic()
    status = _end(worker)
    if len(worker.answer) > ANSWER_LIMIT:
        return f"The {job.what}'s answer was larger than {ANSWER_LIMIT} bytes and was refused."
    answer = _parsed(worker.answer)
    if answer is not None:
        return answer
    if late:
        return f"The {job.what} took longer than {job.seconds:g} s in all and was ended."
    said = worker.answer.decode("utf-8", "replace").strip()
    return f"The {job.what} ended without an answer (status {status}). {said}".strip()


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


def _end(worker: _Worker) -> int:
    """Close the pipe, and take the exit status of a worker that ends by itself, when asked, or by force."""
    os.close(worker.pipe)
    status = _wait(worker.pid, _LEAVING) if worker.deadline > time.monotonic() else None
    if status is not None:
        return status
    os.kill(worker.pid, signal.SIGTERM)
    return _stop(worker.pid)


def _stop(pid: int) -> int:
    """The exit status of a worker that has been asked to end; by force when it does not."""
    status = _wait(pid, _UNDOING)
    if status is not None:
        return status
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # It has not come to setsid yet.
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _wait(pid: int, seconds: float) -> int | None:
    """The exit status of a child that ends within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None
