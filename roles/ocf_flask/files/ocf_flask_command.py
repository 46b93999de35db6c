"""Run a command as a site's app runs: with its packages, in its environment, where its code is.

Each release has a copy of this file beside the runtime's, and a program ``run``::

    #!<release>/venv/bin/python
    import sys
    sys.path[:0] = ["<release>/runtime"]
    from ocf_flask_command import run
    run("<site directory>", "<directory of the app's code>", "flaskyapplication:app")

People and crontabs use the one in the private directory, which executes that of the live release.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from ocf_flask_runtime import Log, Site, prepare_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["run"]

USAGE = """\
run COMMAND [ARGUMENT...]   run a program, such as: run flask shell
run -c 'COMMAND LINE'       run a line as in a shell
run --cron NAME             run a scheduled command, as the crontab does; its output goes to log/cron.log

Programs run in the release that visitors get: with its packages and variables, and in the directory of its code.
"""


def run(directory: str, code: str, app: str) -> NoReturn:
    """Do what the command line says."""
    release = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    site = Site(os.path.join(directory, "run.fcgi"), release, os.path.dirname(os.path.dirname(release)))
    arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and (arguments[0] not in ("-c", "--cron") or len(arguments) != 2)):
        sys.exit(USAGE)
    prepare_environment(site)
    prepare_shell(site, code, app)
    try:
        os.chdir(code)
        if arguments[0] == "--cron":
            sys.exit(run_job(site, arguments[1]))
        argv = ["/bin/sh", *arguments] if arguments[0] == "-c" else arguments
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"{error.filename or arguments[0]}: {error.strerror}")


def prepare_shell(site: Site, code: str, app: str) -> None:
    """What a command needs beside the app's own environment.

    The umask stays the app's: a database that a migration makes is closed to other accounts, as one that the app makes.
    """
    os.environ["VIRTUAL_ENV"] = os.path.join(site.release, "venv")
    os.environ.pop("PYTHONHOME", None)
    os.environ.setdefault("FLASK_APP", app)
    # As in run.fcgi: a program of a package's (alembic, celery) can import the app too.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))


def run_job(site: Site, name: str) -> int:
    """Run a scheduled command, unless it is still running, and log what it says; its exit status."""
    log = Log(os.path.join(site.private, "log"), "cron.log")
    line = command_of(site, name)
    if line is None:
        log.write(name, f"not started: the release {site.release_id} has no such command".encode())
        return 1
    with alone(os.path.join(site.private, "cron"), name) as free:
        if not free:
            log.write(name, b"not started: it is still running")
            return 0
        start = time.monotonic()
        status = run_logged(line, log, name)
        log.write(name, f"ended with {status} after {time.monotonic() - start:.1f} s".encode())
        return status


def command_of(site: Site, name: str) -> str | None:
    """The command line of that name in the release's record."""
    with open(os.path.join(site.release, "manifest.json"), encoding="utf-8") as file:
        jobs = json.load(file)["settings"]["cron"]
    return next((job["command"] for job in jobs if job["name"] == name), None)


def run_logged(line: str, log: Log, name: str) -> int:
    """Run a command line, each line of its output an entry of the log; its exit status."""
    # Not when its buffer is full: an entry has the time at which it was said.
    env = {"PYTHONUNBUFFERED": "1", **os.environ}
    with subprocess.Popen(
        ["/bin/sh", "-c", line], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout
        while said := process.stdout.readline(log.longest_entry):
            log.write(name, said)
    return process.returncode


@contextlib.contextmanager
def alone(directory: str, name: str) -> Iterator[bool]:
    """Whether no other process has the name, on any host that mounts the directory (a POSIX lock)."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with open(os.path.join(directory, name), "ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            yield False
        else:
            yield True
