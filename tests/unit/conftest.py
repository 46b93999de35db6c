"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import faults
import local_site
from ocf_flask.site import Kit
from runtime_site import Site

ROOT = Path(__file__).parents[2]
FILES = ROOT / "roles/ocf_flask/files"
TEMPLATES = ROOT / "roles/ocf_flask/templates"
# Files of few tests, each of which takes seconds.
SLOW = ("test_host_pythons", "test_takeover", "test_upgrade", "test_needs", "test_store", "test_virtualenv")
MANAGED = "{{ ansible_managed | comment }}"


def _make_sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    with ExitStack() as stack:

        def make(source: str, **settings: str) -> Site:
            site = Site(tmp_path_factory.mktemp("s"), source, **settings)
            stack.callback(site.stop)
            return site

        yield make


# Both make sites that are not yet started: for the tests of a module, and for one test.
make_sites = pytest.fixture(scope="module", name="make_sites")(_make_sites)
make_site = pytest.fixture(name="make_site")(_make_sites)


@pytest.fixture(scope="session", name="wheels")
def _wheels() -> Path:
    subprocess.run([str(ROOT / "molecule/image/wheels")], check=True, env={**os.environ, "PYTHON": sys.executable})
    return ROOT / "build/wheels"


@pytest.fixture(scope="session", name="kit")
def _kit() -> Kit:
    return Kit(
        htaccess=(TEMPLATES / "htaccess.j2").read_text().replace(MANAGED, "# Ansible managed"),
        run_fcgi=(TEMPLATES / "run.fcgi.j2").read_text().replace(MANAGED, "# Ansible managed"),
        runtime=(FILES / "ocf_flask_runtime.py").read_text(),
        starter=(FILES / "flaskyapplication.py").read_text(),
        pip=(FILES / "pip.py").read_text(),
        command=(FILES / "ocf_flask_command.py").read_text(),
        release_run=(FILES / "release_run").read_text(),
        run=(FILES / "run").read_text(),
        uv=(str(Path(sys.executable).with_name("uv")),),
    )


@pytest.fixture(name="site")
def _site(tmp_path_factory: pytest.TempPathFactory, wheels: Path, kit: Kit) -> local_site.Site:
    # A shebang has room for 127 characters.
    return local_site.Site(tmp_path_factory.mktemp("d"), wheels, kit)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever began with one of these at the end would be waited for."""
    items.sort(key=lambda item: item.path.stem not in SLOW)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many faults there were."""
    reports = (report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, []))
    counted = {tuple(value[:2]): value[2] for report in reports for name, value in report.user_properties if name == "faults"}
    if counted:
        terminalreporter.section(f"{sum(counted.values())} faults, in {len(counted)} pairs of a step and a fault")
        terminalreporter.write(faults.table(counted))
