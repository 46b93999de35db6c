"""Moments, always in UTC: as records and reports show them, and as names of what is kept have them."""

from __future__ import annotations

from datetime import datetime, timezone

_SHOWN = "%Y-%m-%d %H:%M:%S UTC"
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def now() -> str:
    """Now, as records and reports show it."""
    return datetime.now(timezone.utc).strftime(_SHOWN)


def stamp() -> str:
    """Now, as names of what is kept have it: they sort by time."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d-%H%M%S")


def age(moment: str) -> float:
    """Seconds since a moment that a record has.

    :raises ValueError: for one that is not as `now` writes it.
    """
    then = datetime.strptime(moment, _SHOWN).replace(tzinfo=timezone.utc)
    return (datetime.now(timezone.utc) - then).total_seconds()


def ago(moment: str) -> str:
    """How long ago a moment of a record is: ``3 days ago``; empty for one that cannot be read."""
    try:
        seconds = age(moment)
    except ValueError:
        return ""
    for unit, length in _UNITS:
        count = int(seconds // length)
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
