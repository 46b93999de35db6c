"""Which code is wanted: as a release records it, and in words. How it is got is the affair of `source`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .delivery import Delivery
    from .release import Manifest

# Of a commit's name, as git shows it.
_SHORT = 7


@dataclass(frozen=True)
class Revision:
    """What is to be deployed of managed code. ``record``: as a release records it among its ``inputs`` (see `source`).
    ``code``: its files with their marks, if these are known before it is staged, and ``delivery`` what this machine had
    not of their contents. ``notes``: what is to be said of it. ``is_live``: whether the live release has it."""

    record: Mapping[str, str]
    code: Mapping[str, str] | None = None
    delivery: Delivery | None = None
    notes: tuple[str, ...] = ()
    is_live: bool = False


@dataclass(frozen=True)
class Brought:
    """What the controller brings of its directories. ``sources``: of each the ``files`` with their marks and ``notes``,
    or the ``error`` why there are none."""

    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    delivery: Delivery | None = None


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """In words, how one source differs from another, each as a release records it (empty: edited in place)."""
    if _kind(old) != _kind(new):
        return [f"{_told(new)}, no longer {_told(old)}"]
    if "commit" not in new or old.get("commit") == new["commit"]:
        return []
    after = _commit(new) if _version(old) != _version(new) else str(new["commit"])[:_SHORT]
    return [f"{_commit(old)} -> {after}{_subject(new)}"]


def recorded(live: Manifest | None) -> dict[str, str]:
    """The source of a release. Its owner can edit the record."""
    found = live.inputs.get("source") if live else None
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def said(record: Mapping[str, str]) -> str:
    """Where code came from, in words; empty for code that is edited in place."""
    where = record.get("repository") or record.get("directory") or ""
    return f"{where} {', '.join(first(record))}".strip()


def first(record: Mapping[str, Any]) -> list[str]:
    """In words, what a first release is made of."""
    return [_commit(record) + _subject(record)] if "commit" in record else []


def _commit(record: Mapping[str, Any]) -> str:
    return f"{_version(record)} {str(record.get('commit') or '')[:_SHORT]}".strip()


def _subject(record: Mapping[str, Any]) -> str:
    return f" ({record['subject']})" if record.get("subject") else ""


def _kind(record: Mapping[str, Any]) -> str:
    return next((kind for kind in ("repository", "directory") if kind in record), "")


def _told(record: Mapping[str, Any]) -> str:
    kind = _kind(record)
    return f"from {'the repository' if kind == 'repository' else 'the directory'} {record[kind]}" if kind else "edited in place"


def _version(record: Mapping[str, Any]) -> str:
    return str(record.get("version") or "")
