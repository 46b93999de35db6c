"""Values out of a user's mapping, as Python has them: from YAML, or from a command line, where all is text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 200
# As YAML and Ansible have them.
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
# The action plugin has the same (`ocf_flask_secrets`).
_CREDENTIALS = re.compile(r"(https?://)[^/\s]*@|(\b\w+://[^/:@\s]*):[^/\s]*(?=@)")
# In flask[async,dotenv]>=2,<4,jinja2 only the last comma is between packages.
_AFTER_BRACKETS = re.compile(r"(?<=[\[\]])")
_BETWEEN_ITEMS = re.compile(r",(?!\s*(?:[<>]|[=~!]=))")


def unknown_name(name: str, known: Sequence[str], kind: str) -> str:
    """A sentence about a name that is none of the known ones, with the one that was perhaps meant."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"There is no {kind} {name}. Did you mean {near[0]}?"
    return f"There is no {kind} {name}. These are known: {', '.join(sorted(known))}."


def without_credentials(text: str) -> str:
    """The text with URLs as they can be shown: without passwords and, but for ssh's, names."""
    return _CREDENTIALS.sub(lambda match: match[1] or match[2], text)


def shown(value: object) -> str:
    """A value for a message, without credentials, cut where nobody reads on."""
    try:
        text = without_credentials(repr(value))
    except ValueError:  # A number of thousands of digits.
        text = "a number"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _parts(text: str) -> list[str]:
    """What stands between commas, without looking from each comma for the bracket that may follow."""
    parts = [""]
    for chunk in _AFTER_BRACKETS.split(text):
        first, *others = [chunk] if chunk.endswith("]") else _BETWEEN_ITEMS.split(chunk)
        parts[-1] += first
        parts += others
    return parts


class Reader:
    """Takes values out of a user's mapping; collects what is wrong with them, all of it."""

    def __init__(self, values: Mapping[str, Any], label: str) -> None:
        self.values = values
        self.label = label
        self.problems: list[str] = []

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def wrong(self, key: str, rule: str) -> None:
        self.problems.append(f"{self.label}{key} is {shown(self.values.get(key))}: {rule}")

    def text(self, key: str, default: str, pattern: re.Pattern[str] | None = None, rule: str = "it takes text.") -> str:
        value = self.get(key)
        if value is None or value == "":
            return default
        # YAML reads 3.11 as a number: what was written is what is meant.
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = shown(value)
        if not isinstance(value, str) or not value.isprintable() or (pattern and not pattern.fullmatch(value)):
            self.wrong(key, rule)
            return default
        return value

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        value = self.get(key)
        if value is None or value == "":
            return default
        if value not in choices:
            self.wrong(key, f"it is one of {', '.join(choices)}.")
            return default
        return str(value)

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value = self.get(key)
        if value is None or value == "":
            return default
        text = value if isinstance(value, str) else shown(value)
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            self.wrong(key, f"it takes a whole number from {low} to {high}.")
            return default
        return int(text)

    def truth(self, key: str, default: bool) -> bool:
        value = self.get(key)
        if value is None or value == "":
            return default
        word = str(value).lower()
        if word not in (*_TRUE, *_FALSE):
            self.wrong(key, "it takes true or false.")
            return default
        return word in _TRUE

    def items(self, key: str, default: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        """A list, or what a command line makes of one: ``a,b`` (never split inside brackets)."""
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, str):
            return tuple(part.strip() for part in _parts(value) if part.strip())
        if isinstance(value, int) and not isinstance(value, bool):
            return (value,)
        if not isinstance(value, (list, tuple)):
            self.wrong(key, "it takes a list.")
            return default
        return tuple(value)

    def mapping(self, key: str, known: Sequence[str]) -> Reader:
        value = self.get(key)
        if value is None or value == "":
            value = {}
        if not isinstance(value, Mapping):
            self.wrong(key, f"it takes a dictionary with the keys {', '.join(known)}.")
            value = {}
        inner = Reader(value, f"{self.label}{key}.")
        inner.problems = self.problems
        self.problems += [unknown_name(str(one), known, f"key of {self.label}{key},") for one in value if one not in known]
        return inner
