"""Reading what an owner may have put anywhere: never for good, never without end."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from local_site import APP, Site
from ocf_flask import environment, files, release, status


def test_a_file_is_read_and_none_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert files.read(tmp_path / "a") == files.content(tmp_path / "a") == b"x"
    assert files.read(tmp_path / "b") is None
    with pytest.raises(FileNotFoundError, match="No such file"):
        files.content(tmp_path / "b")


def test_a_pipe_a_directory_and_a_device_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path):
        with pytest.raises(OSError) as caught:
            files.read(path)
        assert caught.value.errno in (errno.EINVAL, errno.EISDIR)


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    sparse(tmp_path / "sparse")
    with pytest.raises(OSError, match="too large"):
        files.read(tmp_path / "sparse")


def sparse(path: Path) -> None:
    path.unlink(missing_ok=True)
    with open(path, "wb") as file:
        file.truncate(100 * 1024**3)


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("put", [pipe, sparse])
@pytest.mark.parametrize("name", [".htaccess", "run.fcgi", "requirements.txt", "pyproject.toml"])
def test_a_deploy_waits_for_none_and_says_what_is_wrong(site: Site, put: Any, name: str) -> None:
    site.write("flaskyapplication.py", APP.format("one"))
    site.deployed()
    put(site.web / name)
    start = time.monotonic()
    outcome = site.deploy()
    # To read 100 GiB takes minutes.
    assert time.monotonic() - start < 20
    if put is pipe and name in ("requirements.txt", "pyproject.toml"):
        # No plain file asks for nothing.
        assert outcome.state == "unchanged", outcome.error
    else:
        assert outcome.state == "failed" and name in outcome.error, outcome


@pytest.mark.parametrize("put", [pipe, sparse])
def test_records_that_are_none_are_none(site: Site, put: Any) -> None:
    site.write("flaskyapplication.py", APP.format("one"))
    site.deployed(env={"SECRET": "hush"})
    (one,) = (site.private / "releases").iterdir()
    put(one / "env")
    assert environment.read(one) == {}
    put(one / "manifest.json")
    assert release.read(one) is None


def test_the_log_is_not_waited_for(site: Site) -> None:
    site.write("flaskyapplication.py", APP.format("one"))
    site.deployed()
    for name in ("error.log", "error.log.1"):
        pipe(site.private / "log" / name)
    found = status.look_up(site.settings(), test=False, log_lines=5)
    assert found.state == "deployed" and found.log == ""
