"""Fixtures: an application of tests/apps, as the site of its name, and a copy of its code to change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from application import APPS, App
from hosted import Container


@pytest.fixture(scope="module")
def app(container: Container, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application for which the test's module is named."""
    name = Path(request.module.__file__).stem.removeprefix("test_")
    project = tmp_path_factory.mktemp(name) / name
    shutil.copytree(APPS / name, project, ignore=shutil.ignore_patterns("__pycache__"))
    one = App(container, name, project)
    yield one
    container.shell(f"rm -rf {one.directory} {one.private}", "root")
