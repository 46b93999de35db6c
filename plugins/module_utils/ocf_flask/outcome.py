"""What became of a site: the record that a worker hands back."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from .errors import AccountDisabled, SiteError
from .words import in_a_line

UNCHANGED, WOULD_CHANGE, FAILED, SKIPPED = "unchanged", "would change", "failed", "skipped"
# What a verb has done, by its name.
DONE = {
    "deploy": "deployed",
    "upgrade": "upgraded",
    "run": "run",
    "rollback": "rolled back",
    "remove": "removed",
    "restore": "restored",
}
DEPLOYED = DONE["deploy"]
# Beyond this, Python refuses to show a whole number as a fraction.
_MOST = 1e15


def are_texts(values: Iterable[object]) -> bool:
    """Whether there is nothing but text among the values."""
    return all(isinstance(one, str) for one in values)


@dataclass
class Record:
    """What a verb says of one site. ``state`` is one of `states`; ``error``, ``detail`` and ``advice`` are a `SiteError`'s, and say
    of a site that was skipped why."""

    states: ClassVar[tuple[str, ...]] = (FAILED, SKIPPED)
    # The fields in which there may be what other programs printed.
    quoting: ClassVar[tuple[str, ...]] = ("error", "detail", "advice")

    name: str
    owner: str = ""
    state: str = ""
    error: str = ""
    detail: str = ""
    advice: str = ""
    seconds: float = 0.0

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Time the block, and take down what is wrong with the site in place of raising it."""
        start = time.monotonic()
        try:
            yield
        except OSError as error:
            self._take_down(said(error))
        except SiteError as error:
            self._take_down(error)
            if isinstance(error, AccountDisabled):
                self.state = SKIPPED
        self.seconds = round(time.monotonic() - start, 3)

    def _take_down(self, error: SiteError) -> None:
        self.fail(error.message, error.detail, error.advice)

    def cause(self) -> str:
        """Why it failed or was skipped, in one line; empty when it was not."""
        return in_a_line(self.error, self.detail)

    def result(self) -> dict[str, Any]:
        """What a module returns of it."""
        return {**asdict(self), "cause": self.cause()}

    def is_sound(self) -> bool:
        """Whether each field has what it should: the record comes from a process of the site's owner."""
        blank = type(self)("")
        values = {one.name: (getattr(self, one.name), type(getattr(blank, one.name))) for one in fields(self)}
        typed = all(
            is_number(value, (int, float) if kind is float else kind) if kind in (int, float) else isinstance(value, kind)
            for value, kind in values.values()
        )
        return typed and self.state in self.states

    def fail(self, error: str, detail: str = "", advice: str = "") -> None:
        """It could not be done."""
        self.state, self.error, self.detail, self.advice = FAILED, error, detail, advice


def said(error: OSError) -> SiteError:
    """What the system refused, in its words."""
    place = f": {error.filename}" if error.filename else ""
    return SiteError(f"{error.strerror or error}{place}.", advice=_advice(error))


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "There is no space left: see what uses it with du -sh ~/* ~/.[a-z]*, delete something, and deploy again."
    if error.errno in (errno.EACCES, errno.EPERM):
        return "See whose it is with ls -ld, and deploy as its owner."
    return ""


def is_number(value: object, kind: type | tuple[type, ...] = (int, float)) -> bool:
    """Whether this is a number that can be shown, of that kind."""
    return isinstance(value, kind) and isinstance(value, (int, float)) and -_MOST < value < _MOST


def is_test(tested: dict[str, Any]) -> bool:
    """Whether this is the record of a smoke test, or empty: there was none."""
    return not tested or (
        tested.keys() == {"path", "status", "seconds", "at"}
        and are_texts([tested["path"], tested["at"]])
        and is_number(tested["status"], int)
        and is_number(tested["seconds"])
    )


@dataclass
class Outcome(Record):
    """What a deploy did to one site or, in check mode, would do.

    ``tested`` is the smoke test's ``path``, ``status``, ``seconds`` and ``at``; ``reached`` says why the real
    URL could not confirm the release, and is empty when it did; ``changes`` has sentences by part of the site
    (`plan.PARTS`); ``next_time`` says what to do before another deploy; ``diff`` is as Ansible takes it.
    ``to_declare``: settings, as lines of YAML, that say what a site had that was taken over, and ``declared_in``
    where they are written. ``urls``: the site's on
    virtual hosts. ``output``: what a command of the user's printed; ``commanded``: whether a command, or the release command, was begun. ``archive``: where a
    site that was removed is, or was.
    """

    states: ClassVar[tuple[str, ...]] = (UNCHANGED, WOULD_CHANGE, *DONE.values(), *Record.states)
    quoting: ClassVar[tuple[str, ...]] = (*Record.quoting, "output")

    state: str = UNCHANGED
    verb: str = "deploy"
    url: str = ""
    directory: str = ""
    next_time: str = ""
    release: str = ""
    python: str = ""
    flask: str = ""
    tested: dict[str, Any] = field(default_factory=dict)
    reached: str = ""
    changes: dict[str, list[str]] = field(default_factory=dict)
    diff: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    to_declare: str = ""
    declared_in: str = ""
    urls: list[str] = field(default_factory=list)
    output: str = ""
    commanded: bool = False
    archive: str = ""

    @property
    def changed(self) -> bool:
        return self.state not in (UNCHANGED, *Record.states)

    def result(self) -> dict[str, Any]:
        return {**{key: value for key, value in super().result().items() if key != "diff"}, "changed": self.changed}

    def is_sound(self) -> bool:
        return (
            super().is_sound()
            and all(isinstance(lines, list) and are_texts(lines) for lines in self.changes.values())
            and all(isinstance(one, dict) and are_texts(one.values()) for one in self.diff)
            and are_texts([*self.notes, *self.urls])
            and is_test(self.tested)
        )

    def done(self) -> None:
        """The verb has done what it is for."""
        self.state = DONE[self.verb]

    def fail(self, error: str, detail: str = "", advice: str = "") -> None:
        """Nothing that was planned has happened."""
        super().fail(error, detail, advice)
        self.changes, self.diff = {}, []
