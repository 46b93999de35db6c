"""One deploy of a site at a time."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forks import in_child
from ocf_flask.errors import SiteError
from ocf_flask.lock import locked

_HOLD = "import sys; from pathlib import Path; from ocf_flask.lock import locked\nwith locked(Path(sys.argv[1]), 5): print('held', flush=True); sys.stdin.read()"


def test_a_pipe_in_its_place_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(OSError, match=r"This is no plain file: '.*/lock'"):
        with locked(tmp_path / "lock", 1):
            pass


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, that holds the lock until its stdin is closed."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_that_nobody_holds_is_had_at_once(tmp_path: Path) -> None:
    for _ in range(2):
        start = time.monotonic()
        with locked(tmp_path / "lock", 0):
            pass
        assert time.monotonic() - start < 0.1
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_the_second_deploy_is_told_who_has_the_site_and_since_when(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as other, pytest.raises(SiteError) as caught, locked(tmp_path / "lock", 0.2):
        pytest.fail("two have the lock")
    assert re.fullmatch(
        rf"Another deploy of this site is running \(process {other.pid} on '{re.escape(socket.gethostname())}' "
        r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)\. Waited 0\.2 s for it; try again when it has ended",
        caught.value.message,
    )


def test_the_second_deploy_waits_for_the_first(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as other:
        assert other.stdin

        threading.Timer(0.3, other.stdin.close).start()
        start = time.monotonic()
        with locked(tmp_path / "lock", 20):
            assert 0.2 < time.monotonic() - start < 3


def test_a_lock_that_was_taken_away_while_it_was_waited_for_is_none(tmp_path: Path) -> None:
    """As a removal does: the next deploy makes a file of its own, and two would have the site."""
    with holder(tmp_path / "lock") as other:
        assert other.stdin
        (tmp_path / "lock").rename(tmp_path / "taken away")
        (tmp_path / "lock").touch()
        waiting = os.open(tmp_path / "taken away", os.O_RDWR)
        opened = os.open
        with pytest.MonkeyPatch.context() as patch:
            # Opened a moment before it was taken away.
            patch.setattr(os, "open", lambda path, *more: waiting if path == tmp_path / "lock" else opened(path, *more))
            threading.Timer(0.2, other.stdin.close).start()
            with (
                pytest.raises(SiteError, match="was taken away meanwhile: the site was removed, or restored"),
                locked(tmp_path / "lock", 20),
            ):
                pytest.fail("it is another file")


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with locked(tmp_path / "lock", 0):
            pass


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """Or a daemon that a package's setup leaves would lock the site for good."""

    def hold() -> int:
        with locked(tmp_path / "lock", 0):
            return subprocess.Popen(["sleep", "60"], close_fds=False, start_new_session=True).pid

    daemon = in_child(hold)
    try:
        with locked(tmp_path / "lock", 0):
            pass
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "lock", 0):
        raise KeyError
    assert in_child(lambda: _can_lock(tmp_path / "lock"))


def _can_lock(path: Path) -> bool:
    with locked(path, 0):
        return True


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": Infinity, "host": 1, "since": 2}', "[" * 4096, "\xff"])
def test_a_holder_that_does_not_say_who_it_is(tmp_path: Path, text: str) -> None:
    with holder(tmp_path / "lock"):
        # Writing the file from outside, without opening and closing it here, which would matter to POSIX locks.
        subprocess.run(
            [sys.executable, "-c", "import sys; open(sys.argv[1], 'wb').write(sys.argv[2].encode('latin-1'))", tmp_path / "lock", text],
            check=True,
        )
        with pytest.raises(SiteError, match=r"is running \(it does not say which\)"), locked(tmp_path / "lock", 0):
            pytest.fail("two have the lock")


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "lock", 0):
        pytest.fail("followed")
    assert not (tmp_path / "victim").exists()
