"""What two benchmarks share: figures of rounds, compared round by round, as a Markdown table with limits."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class FailedError(Exception):
    """A run that did not do what is measured: its figure would mean nothing."""


@dataclass(frozen=True)
class Row:
    """Two figures that are compared, by their keys.

    ``limit`` is what the ratio of ours to the other may be at most; 0 sets none. ``form`` and ``unit`` write a figure.
    """

    title: str
    ours: str
    other: str
    against: str
    limit: float = 0.0
    form: str = "{:.2f}"
    unit: str = " s"


def table(rows: Sequence[Row], rounds: Sequence[Mapping[str, float]]) -> tuple[str, bool]:
    """The Markdown table of these rounds, and whether each limit is met."""
    lines = ["| | ocf_flask | against | | ratio | at most | |", "|---|---|---|---|---|---|---|"]
    all_met = True
    for row in rows:
        ours, other = ([one[key] for one in rounds] for key in (row.ours, row.other))
        ratio = statistics.median(a / b for a, b in zip(ours, other, strict=True))
        met = not row.limit or ratio <= row.limit
        all_met = all_met and met
        verdict = f"{row.limit:.3g} | {'met' if met else 'missed'}" if row.limit else "|"
        cells = (row.title, _text(row, ours), row.against, _text(row, other), f"{ratio:.3f}", verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines), all_met


def _text(row: Row, values: Sequence[float]) -> str:
    low, middle, high = (row.form.format(value) for value in (min(values), statistics.median(values), max(values)))
    return f"{middle}{row.unit}" if low == high else f"{middle}{row.unit} ({low} to {high})"


def turned(names: Sequence[str], number: int) -> list[str]:
    """The names in an order that changes from round to round."""
    return [*names[number % len(names) :], *names[: number % len(names)]]
