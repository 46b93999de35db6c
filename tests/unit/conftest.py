"""Fixtures for the tests of the FastCGI runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime_site import Site


@pytest.fixture(scope="session")
def make_sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """Makes sites that live until the end of the run."""
    sites: list[Site] = []

    def make(source: str, **settings: str) -> Site:
        sites.append(Site(tmp_path_factory.mktemp("s"), source, **settings))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


@pytest.fixture
def make_site(tmp_path: Path, make_sites: Callable[..., Site]) -> Callable[..., Site]:
    """Makes a site that is not yet started."""
    return make_sites
