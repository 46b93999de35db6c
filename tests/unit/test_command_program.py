"""A release's program ``run``, as its owner and the crontab start it; without a deploy."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from conftest import FILES
from runtime_site import MEASURED, Site

# More than an entry of the log takes.
LENGTH = 250_000
JOBS = [
    {"name": "tidy", "schedule": "0 4 * * *", "command": "echo one; echo two >&2; printf three; exit 3"},
    {"name": "long", "schedule": "0 4 * * *", "command": f"head -c {LENGTH} /dev/zero | tr '\\0' x"},
]


@pytest.fixture(name="site")
def _site(make_site: Callable[..., Site]) -> Site:
    site = make_site("", env="{}")
    shutil.copy(FILES / "ocf_flask_command.py", site.runtime)
    (site.private / "code").mkdir()
    (site.release / "manifest.json").write_text(json.dumps({"settings": {"cron": JOBS}}))
    marks = {
        "RELEASE": site.release,
        "SITE_DIRECTORY": site.web,
        "CODE_DIRECTORY": site.private / "code",
        "APP": "shop:app",
        "RUN": site.private / "run",
    }
    text = (FILES / "release_run").read_text()
    for mark, value in marks.items():
        text = text.replace(f"@{mark}@", str(value))
    (site.release / "run").write_text(text)
    return site


def run(site: Site, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], **MEASURED, **variables}
    return subprocess.run(
        [sys.executable, site.release / "run", *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("arguments", [[], ["-c"], ["--cron"], ["--cron", "a", "b"], ["--help"], ["-x", "a"]])
def test_what_it_does_not_know_shows_how_it_is_used(site: Site, arguments: list[str]) -> None:
    done = run(site, *arguments)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith("run COMMAND [ARGUMENT...] ")


def test_a_program_runs_where_the_code_is_with_what_python_needs_to_find_it(site: Site) -> None:
    line = "import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))"
    directory, found = json.loads(run(site, sys.executable, "-c", line, PYTHONPATH="/mine", PYTHONHOME="", FLASK_APP="other").stdout)
    assert directory == f"{site.private}/code"
    assert (found["VIRTUAL_ENV"], found["FLASK_APP"], found["PYTHONPATH"]) == (
        f"{site.release}/venv",
        "other",
        f"{site.private}/code:/mine",
    )
    assert "PYTHONHOME" not in found
    assert json.loads(run(site, sys.executable, "-c", line).stdout)[1]["FLASK_APP"] == "shop:app"


def test_a_line_runs_as_in_a_shell_and_its_status_is_the_commands(site: Site) -> None:
    done = run(site, "-c", "echo $((1 + 1)); exit 7")
    assert (done.returncode, done.stdout) == (7, "2\n")


def test_a_program_that_is_not_there_is_named(site: Site) -> None:
    done = run(site, "no-such-program")
    assert (done.returncode, done.stderr) == (1, "no-such-program: No such file or directory\n")


def test_code_that_is_not_there_is_named(site: Site) -> None:
    (site.private / "code").rmdir()
    done = run(site, "true")
    assert done.returncode == 1 and done.stderr == f"{site.private}/code: No such file or directory\n"


def entries(site: Site) -> list[str]:
    """The log of scheduled commands, without times."""
    lines = (site.private / "log" / "cron.log").read_text().splitlines()
    return [re.sub(r"^[\d: +-]{26}", "", line) for line in lines]


def test_a_scheduled_command_logs_each_line_that_it_says_and_its_status(site: Site) -> None:
    done = run(site, "--cron", "tidy")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert entries(site)[:3] == ["tidy: one", "tidy: two", "tidy: three"]
    assert re.fullmatch(r"tidy: ended with 3 after \d+\.\d s", entries(site)[3])


def test_of_a_line_without_end_no_more_is_held_than_an_entry_takes(site: Site) -> None:
    assert run(site, "--cron", "long").returncode == 0
    (*said, ended) = entries(site)
    assert len(said) > 1 and "".join(said).count("x") == LENGTH and "ended with 0" in ended


def test_a_command_of_another_release_is_not_started(site: Site) -> None:
    assert run(site, "--cron", "gone").returncode == 1
    (said,) = entries(site)
    assert said == "gone: not started: the release 20261124-034512 has no such command"


def test_a_command_that_still_runs_is_not_started_twice(site: Site) -> None:
    (site.private / "cron").mkdir()
    with open(site.private / "cron" / "tidy", "ab") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        assert run(site, "--cron", "tidy").returncode == 0
    (said,) = entries(site)
    assert said == "tidy: not started: it is still running"
