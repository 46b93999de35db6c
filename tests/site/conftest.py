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
