"""The processes of this account, on this machine, that run from a virtualenv."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_BETWEEN = 0.1


def users(directory: Path) -> list[int]:
    """The IDs of those that run from a virtualenv which is that directory, or lies in it; never one's own."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            # Another account's, or one that has just ended.
            with suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == os.getuid() and _uses(Path("/proc", name), str(directory)):
                    found.append(int(name))
    return found


def _uses(process: Path, directory: str) -> bool:
    """By the name that it was started with, which a shebang may have given relative to the site's directory; by its program;
    by a library that it has loaded."""
    command = os.fsdecode((process / "cmdline").read_bytes()).split("\0")[0]
    # A name without a slash was found in PATH: a shell or an editor may stand in the directory.
    started = os.path.normpath(os.path.join(os.readlink(process / "cwd"), command)) if "/" in command else ""
    if any(one.startswith(f"{directory}/") for one in (started, os.readlink(process / "exe"))):
        return True
    return f" {directory}/".encode() in (process / "maps").read_bytes()


def end(directory: Path, seconds: float) -> int:
    """Ask them to end, and after that time make them; how many there were."""
    asked = users(directory)
    _send(asked, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while (left := users(directory)) and time.monotonic() < deadline:
        time.sleep(_BETWEEN)
    _send(left, signal.SIGKILL)
    return len(asked)


def _send(processes: list[int], number: int) -> None:
    for pid in processes:
        with suppress(OSError):
            os.kill(pid, number)
