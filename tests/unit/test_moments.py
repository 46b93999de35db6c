"""Moments, as records and reports show them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ocf_flask import moments


def before(seconds: int) -> str:
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S UTC")


def test_what_is_written_can_be_read() -> None:
    assert 0 <= moments.age(moments.now()) < 60


@pytest.mark.parametrize("moment", ["", "nonsense", "2026-11-28", "2026-11-28 10:00:00"])
def test_what_was_not_written_so_is_no_moment(moment: str) -> None:
    with pytest.raises(ValueError, match="does not match"):
        moments.age(moment)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "just now"), (70, "1 minute ago"), (150, "2 minutes ago"), (7300, "2 hours ago"), (90_000, "1 day ago"), (180_000, "2 days ago")],
)
def test_how_long_ago_something_was(seconds: int, said: str) -> None:
    assert moments.ago(before(seconds)) == said


def test_of_a_moment_that_cannot_be_read_nothing_is_said() -> None:
    assert moments.ago("nonsense") == ""
