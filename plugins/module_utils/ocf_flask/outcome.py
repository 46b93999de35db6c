"""What became of a site: the record that a worker hands back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

UNCHANGED, WOULD_CHANGE, DEPLOYED, FAILED = "unchanged", "would change", "deployed", "failed"


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(one, str) for one in values)


@dataclass
class Outcome:
    """What a deploy did to one site or, in check mode, would do.

    ``tested`` is the smoke test's ``path``, ``status``, ``seconds`` and ``at``; ``reached`` says why the real
    URL could not confirm the release, and is empty when it did; ``changes`` has sentences by part of the site
    (`plan.PARTS`); ``diff`` is as Ansible takes it; ``error``, ``detail`` and ``advice`` are a `SiteError`'s.
    """

    name: str
    owner: str = ""
    state: str = UNCHANGED
    url: str = ""
    directory: str = ""
    release: str = ""
    python: str = ""
    flask: str = ""
    tested: dict[str, Any] = field(default_factory=dict)
    reached: str = ""
    changes: dict[str, list[str]] = field(default_factory=dict)
    diff: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    detail: str = ""
    advice: str = ""
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        return self.state in (DEPLOYED, WOULD_CHANGE)

    def is_sound(self) -> bool:
        """Whether each field has what it should: the record comes from a process of the site's owner."""
        blank = Outcome("")
        types = {one.name: (int, float) if one.name == "seconds" else (type(getattr(blank, one.name)),) for one in fields(self)}
        return (
            all(isinstance(getattr(self, name), known) for name, known in types.items())
            and self.state in (UNCHANGED, WOULD_CHANGE, DEPLOYED, FAILED)
            and all(isinstance(lines, list) and _are_texts(lines) for lines in self.changes.values())
            and all(isinstance(one, dict) and _are_texts(one.values()) for one in self.diff)
            and _are_texts(self.notes)
            and (not self.tested or self._is_test(self.tested))
        )

    @staticmethod
    def _is_test(tested: dict[str, Any]) -> bool:
        return (
            _are_texts([tested.get("path"), tested.get("at")])
            and isinstance(tested.get("status"), int)
            and isinstance(tested.get("seconds"), (int, float))
        )

    def fail(self, error: str, detail: str = "", advice: str = "") -> None:
        """Nothing that was planned has happened."""
        self.state, self.error, self.detail, self.advice = FAILED, error, detail, advice
        self.changes, self.diff = {}, []
