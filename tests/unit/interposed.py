"""What a process changes, call by call: each a point at which something can go wrong.

An audit hook (sys.addaudithook) hears of every call that changes a name, a mode or a time, or starts a program, before it
happens. Writing and fsync have no such event, so these functions are replaced. Nothing of this can be taken back: it is for
a process that is forked for it.
"""

from __future__ import annotations

import builtins
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CREATE, WRITE, FSYNC, START, STARTED = "create", "write", "fsync", "start", "started"
# Of each event: what it is called here, and which of its arguments is the name that comes, goes or changes.
_EVENTS = {
    "os.rename": ("rename", 1),
    "os.link": ("link", 1),
    "os.symlink": ("symlink", 1),
    "os.remove": ("unlink", 0),
    "os.mkdir": ("mkdir", 0),
    "os.rmdir": ("rmdir", 0),
    "os.chmod": ("chmod", 0),
    "os.utime": ("utime", 0),
    "subprocess.Popen": (START, 0),
}
# What a full file system refuses, and a quota: a new name, or more content.
NEEDS_SPACE = frozenset((CREATE, "mkdir", "link", "symlink", WRITE, FSYNC))
# What permissions can refuse, and what a failing disk can.
NEEDS_RIGHT = frozenset((CREATE, START, *(name for name, _ in _EVENTS.values())))
NEEDS_DISK = NEEDS_SPACE | NEEDS_RIGHT - {START}
_DELETED = 3


@dataclass(frozen=True)
class Point:
    """One call: of which kind, and what it is about."""

    call: str
    path: str


@dataclass
class Interposed:
    """``happens`` is told of each point before its call, with its number. What it raises, the call raises."""

    happens: Callable[[int, Point], None]
    refuses: Callable[[str, str], None] = lambda source, target: None
    points: list[Point] = field(default_factory=list)
    active: bool = True
    _deleted: int = 0
    _pid: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        sys.addaudithook(self._hear)
        real_pwrite, real_start = os.pwrite, subprocess.Popen.__init__
        self._real_open = builtins.open

        def fsync(descriptor: int) -> None:
            # Not done: it is for a machine that loses its power, and takes most of the time.
            self.point(FSYNC, descriptor)

        def pwrite(descriptor: int, data: bytes, offset: int) -> int:
            self.point(WRITE, descriptor)
            return real_pwrite(descriptor, data, offset)

        def start(process: Any, *arguments: Any, **more: Any) -> None:
            real_start(process, *arguments, **more)
            self.point(STARTED, arguments[0][0])

        os.fsync, os.pwrite = fsync, pwrite
        subprocess.Popen.__init__ = start
        builtins.open = io.open = self._open

    def point(self, call: str, path: object) -> None:
        if not self.active or os.getpid() != self._pid:
            return
        name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else str(path)
        # Of the many that are the deletion of one tree, whose names are relative, the first few are enough.
        self._deleted = 0 if name.startswith("/") or call not in ("unlink", "rmdir") else self._deleted + 1
        if self._deleted > _DELETED:
            return
        self.points.append(Point(call, name))
        # What happens at a point has none of its own.
        self.active = False
        try:
            self.happens(len(self.points) - 1, self.points[-1])
        finally:
            self.active = True

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[0], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
                self.point(CREATE, arguments[0])
        elif event in _EVENTS:
            call, position = _EVENTS[event]
            self.point(call, arguments[position])
            if call == "rename" and os.getpid() == self._pid:
                self.refuses(os.fsdecode(arguments[0]), os.fsdecode(arguments[1]))

    def _open(
        self, file: Any, mode: str = "r", buffering: int = -1, *text: Any, closefd: bool = True, opener: Any = None, **more: Any
    ) -> Any:
        if not set(mode) & set("wax+") or os.getpid() != self._pid:
            return self._real_open(file, mode, buffering, *text, closefd=closefd, opener=opener, **more)
        raw = _Raw(self, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffer: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, *text, **more)


class _Raw(io.FileIO):
    """A file of which each write is done by halves: the point is between the two."""

    def __init__(self, interposed: Interposed, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        super().__init__(file, mode, closefd, opener)
        self._interposed, self._rest = interposed, False

    def write(self, data: Any) -> int:
        content = bytes(data)
        if self._rest or len(content) < 2:
            self._interposed.point(WRITE, self.name)
            self._rest = False
            return super().write(content)
        self._rest = True
        return super().write(content[: len(content) // 2])
