"""Fixtures: the container that Molecule made, and a site in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hosted import Container, Site


@pytest.fixture(scope="session")
def container() -> Container:
    return Container()


@pytest.fixture
def site(container: Container, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site of alice's that is not there yet, named for the test."""
    name = request.node.name.split("[")[0].removeprefix("test_")[:32].strip("_")
    one = Site(container, name)
    yield one
    container.shell(f"rm -rf {one.directory} {one.private}", "root")


@pytest.fixture(scope="session")
def flasky(container: Container) -> Site:
    """The site that Molecule's converge step has deployed."""
    return Site(container, "flasky")


@pytest.fixture(params=["with the restarter", "without it"])
def _restarter(request: pytest.FixtureRequest, container: Container) -> Iterator[None]:
    """The container's own restarter at work, or none."""
    running = "pgrep -f '^/usr/bin/python3 /usr/local/sbin/fcgi-restarter'"
    (number,) = container.shell(running, "root").split()
    if request.param == "without it":
        container.shell(f"kill {number}", "root")
        assert container.shell(running, "root", check=False) == ""
    yield
    if request.param == "without it":
        container.shell("setsid /usr/local/sbin/fcgi-restarter > /dev/null 2>&1 < /dev/null &", "root")
