"""Words that several reports and errors use."""

from __future__ import annotations

from collections.abc import Sequence


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first few of the names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def printable(text: str) -> str:
    """Without what a terminal would act on: the text may come from an application."""
    lines = text.replace("\r\n", "\n")
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in lines)


def in_a_line(text: str, detail: str) -> str:
    """The text's first line; where that announces the detail, also its last: of a traceback the end says what is wrong."""
    first = printable(text).partition("\n")[0]
    last = next((line.strip() for line in reversed(printable(detail).split("\n")) if line.strip()), "")
    return f"{first} {last}".rstrip() if first.endswith(":") else first
