"""Work in a process of its own, for tests that end processes or give up rights."""

from __future__ import annotations

import json
import os
import pwd
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def in_child(work: Callable[[], Any], unprivileged: Path | None = None) -> Any:
    """What `work` returns, as JSON has it; done by a child that, if we are root, is nobody and owns that directory."""
    reading, writing = os.pipe()
    if unprivileged and os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(unprivileged, nobody.pw_uid, nobody.pw_gid)
        for parent in (unprivileged, *list(unprivileged.parents)[:-2]):
            parent.chmod(parent.stat().st_mode | 0o011)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            if unprivileged and os.getuid() == 0:
                os.setgid(nobody.pw_gid)
                os.setuid(nobody.pw_uid)
            answer = {"value": work()}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        finally:
            with open(writing, "w") as file:
                json.dump(answer, file)
            os._exit(0)
    os.close(writing)
    with open(reading) as file:
        answer = json.load(file)
    os.waitpid(pid, 0)
    assert "error" not in answer, answer["error"]
    return answer["value"]


def is_running(pid: int) -> bool:
    """Not gone, and not a zombie that waits for whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int) -> bool:
    """Whether a process does, within a few seconds."""
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    return not is_running(pid)
