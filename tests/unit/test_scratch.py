"""Temporary directories: gone after their block, and after a kill by the next run."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from ocf_flask import scratch


def test_a_directory_is_gone_after_its_block_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        with scratch.directory(str(tmp_path)) as made:
            (made / "file").write_text("x")
            assert made.parent == tmp_path and made.stat().st_mode & 0o777 == 0o700
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "seconds", "held", "goes"), [
    ("ocf-flask.killed", 100, False, True),
    ("ocf-flask.running", 100, True, False),
    ("ocf-flask.justmade", 0, False, False),
    ("another.one", 100, False, False),
])  # fmt: skip
def test_only_what_a_killed_run_has_left_is_taken_away(tmp_path: Path, name: str, seconds: float, held: bool, goes: bool) -> None:
    left = tmp_path / name
    (left / "venv").mkdir(parents=True)
    os.utime(left, (time.time() - seconds,) * 2)
    descriptor = os.open(left, os.O_RDONLY)
    if held:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with scratch.directory(str(tmp_path)):
        assert left.exists() != goes
    os.close(descriptor)


def test_a_link_to_a_directory_is_no_directory_of_ours(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "ocf-flask.link").symlink_to("kept")
    os.utime(tmp_path / "ocf-flask.link", (0, 0), follow_symlinks=False)
    with scratch.directory(str(tmp_path)):
        assert (tmp_path / "kept").exists() and (tmp_path / "ocf-flask.link").is_symlink()
