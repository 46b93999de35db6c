"""The sites that the accounts of a machine have, as entries for an inventory: what the module ``ocf_flask_accounts_info`` does."""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from . import files, places, release, report, settings, workers
from .errors import SettingError, SiteError
from .outcome import FAILED, Record, are_texts

FOUND = "found"
# Accounts of people: those of programs have lower user IDs (login.defs(5)). Nobody's is the last of 16 bits.
_FIRST, _NOBODY = 1000, 65534
_SECONDS = 60
_SHEBANG = re.compile(r"#!(/.+)/releases/([^/]+)/venv/bin/python")
# What an entry has to say beside a name and an owner, where it is not the default.
_KEYS = ("directory", "private_directory", "whole_web_space")


@dataclass
class Sites(Record):
    """What one account has. ``entries`` as ``ocf_flask_sites`` takes them; ``by_hand``: names of sites that no deploy has made."""

    states: ClassVar[tuple[str, ...]] = (FOUND, *Record.states)

    state: str = FOUND
    entries: list[dict[str, Any]] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)

    def is_sound(self) -> bool:
        return super().is_sound() and all(isinstance(one, dict) for one in self.entries) and are_texts(self.by_hand)


def look(owner: places.Account) -> Sites:
    """The sites in an account's web space. Runs as that account."""
    found = Sites(owner.name, owner=owner.name)
    with found.recording():
        places.check_enabled(owner)
        space = Path(os.path.realpath(places.absolute(places.WEB_SPACE, owner)))
        for directory in [space, *sorted(path for path in _below(space) if os.path.isdir(path))]:
            with suppress(OSError):
                _add(found, owner, directory)
    return found


def _below(directory: Path) -> Sequence[Path]:
    return [path for path in directory.iterdir() if not path.name.startswith(".")] if directory.is_dir() else []


def _add(found: Sites, owner: places.Account, directory: Path) -> None:
    content = files.read(directory / "run.fcgi")
    if content is None:
        return
    match = _SHEBANG.fullmatch(content.partition(b"\n")[0].decode("utf-8", "replace"))
    manifest = release.read(Path(match[1], "releases", match[2])) if match else None
    if manifest is None:
        found.by_hand.append(directory.name)
        return
    given = {key: manifest.settings[key] for key in ("name", *_KEYS) if manifest.settings.get(key)}
    with suppress(SiteError):
        one = settings.read(given, {})
        # An entry that leads elsewhere would be another site.
        if places.locate(one, owner).site == directory:
            found.entries.append({**given, "owner": owner.name})


def find(owner: str) -> list[Sites]:
    """The sites of all people's accounts, or of one. Only root sees those of others.

    :raises SettingError: when there is no such account.
    """
    if owner or os.getuid():
        accounts = [places.account(owner)]
    else:
        accounts = [places.account(one.pw_name) for one in pwd.getpwall() if one.pw_uid >= _FIRST and one.pw_uid != _NOBODY]
    jobs = [workers.Job("" if one.uid == os.getuid() else one.name, _SECONDS, partial(_answer, one), "search") for one in accounts]
    answers = workers.run(jobs, slots=max(1, min(len(jobs), os.cpu_count() or 1)))
    return [_checked(answer, account) for answer, account in zip(answers, accounts)]


def _answer(owner: places.Account) -> dict[str, Any]:
    return asdict(look(owner))


def _checked(answer: Mapping[str, Any] | str, account: places.Account) -> Sites:
    """An answer as it can be relied on: it comes from a process of that account, and staff will deploy what it names."""
    try:
        found = Sites(**answer) if isinstance(answer, Mapping) else Sites("", state=FAILED, error=answer)
    except TypeError:
        found = Sites("", state="")
    if not found.is_sound():
        found = Sites("", state=FAILED, error="The search's answer has not the form of one.")
    found.name = found.owner = account.name
    found.entries = [one for one in map(_plain, found.entries) if one]
    for one in found.entries:
        one["owner"] = account.name
    found.by_hand = [name for name in found.by_hand if settings.SITE_NAME.fullmatch(name)]
    return found


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with values that settings can have, and nothing else; empty without them."""
    try:
        read = settings.read({key: entry[key] for key in ("name", *_KEYS) if key in entry}, {})
    except SettingError:
        return {}
    return {"name": read.name, **{key: getattr(read, key) for key in _KEYS if getattr(read, key)}}


def inventory(found: Sequence[Sites]) -> str:
    """YAML for a host's variables."""
    lines = ["# Sites that deploys have made, found in their owners' web spaces."]
    entries = [entry for one in found for entry in one.entries]
    lines += ["ocf_flask_sites:"] if entries else ["ocf_flask_sites: []"]
    lines += [f"  - {json.dumps(entry)}" for entry in entries]
    by_hand = [f"#   - {json.dumps({'name': name, 'owner': one.owner})}" for one in found for name in one.by_hand]
    if by_hand:
        lines += ["# Made by hand. Put in the list, they are taken over by the next deploy.", *by_hand]
    lines += [f"# {report.cause(one)}" for one in found if one.state != FOUND]
    return "\n".join(lines) + "\n"
