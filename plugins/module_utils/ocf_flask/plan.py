"""What has to change: a pure function of what is wanted and what is there."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import publish, revision
from .permissions import Found, sentences
from .release import Manifest
from .settings import SERVERS, Settings
from .virtualenv import Interpreter, requirement_name

# The recipe's steps, under which a report shows what changed.
PARTS = ("takeover", "directory", "htaccess", "run_fcgi", "virtualenv", "packages", "code", "static", "settings", "permissions")
BUILD, UPDATE, CLONE, KEEP = "build", "update", "clone", "keep"


@dataclass(frozen=True)
class Wanted:
    """One site as it should be.

    ``inputs``: everything that decides about a release, by kind (see `observe`).
    ``packages``: the requirements that are installed whatever the user asks for, then the user's.
    ``declared``: normalized names in all of the requirements, files included.
    """

    interpreter: Interpreter
    inputs: dict[str, Any]
    packages: tuple[str, ...]
    declared: frozenset[str]
    htaccess: bytes


@dataclass(frozen=True)
class Observed:
    """One site as it is. ``expected_run_fcgi`` is what the live release's should read; ``staged``: code was brought, because
    the live release has not all that is wanted. ``old_virtualenv_due``: that of a site that was taken over can leave its
    place."""

    directory_mode: int | None
    starter: bool
    live: Manifest | None
    live_python: str | None
    installed: Mapping[str, str]
    htaccess: bytes | None
    run_fcgi: bytes | None
    run_fcgi_mode: int
    run_fcgi_edited: bool
    expected_run_fcgi: bytes | None
    links_right: bool
    permissions: Found
    static: publish.Found = field(default_factory=publish.Found)
    staged: bool = False
    old_virtualenv_due: bool = False


@dataclass(frozen=True)
class Change:
    """One line of a plan: a part of the site (one of `PARTS`), and what happens to it, in words."""

    part: str
    what: str


@dataclass(frozen=True)
class Plan:
    """What a deploy does. ``virtualenv`` is one of `BUILD`, `UPDATE` (a clone with other packages), `CLONE`, `KEEP`; ``pins`` are versions to stay with."""

    changes: tuple[Change, ...]
    release: bool
    virtualenv: str
    by_hand: Mapping[str, str]
    pins: Mapping[str, str]
    starter: bool
    htaccess: bool
    run_fcgi: bool
    directory: bool
    links: bool
    permissions: bool
    static: bool = False

    @property
    def empty(self) -> bool:
        return not (self.release or self.htaccess or self.run_fcgi or self.directory or self.links or self.permissions or self.static)


def make(wanted: Wanted, observed: Observed) -> Plan:
    """Compare, and say what to do."""
    virtualenv, reason = _virtualenv(wanted, observed)
    by_hand = _by_hand(wanted, observed)
    release_changes = [*_input_changes(wanted, observed), *_hand_changes(observed)]
    if reason:
        release_changes.insert(0, Change("virtualenv", reason))
    release = bool(release_changes)
    changes = [*_directory_changes(observed), *release_changes]
    htaccess = observed.htaccess != wanted.htaccess
    if htaccess:
        changes.append(Change("htaccess", "made" if observed.htaccess is None else "our lines written"))
    run_fcgi = release or _run_fcgi_wrong(observed)
    if run_fcgi:
        changes.append(Change("run_fcgi", _run_fcgi_change(observed, release)))
    if observed.old_virtualenv_due:
        changes.append(Change("virtualenv", "the one made by hand set aside, because nobody runs from it any more"))
    elif not observed.links_right and not release:
        changes.append(Change("virtualenv", "the link venv repaired"))
    changes += [Change("static", f"{name} {what}") for name, what in observed.static.todo.items()]
    changes += [Change("static", f"{name} no longer public") for name in (() if release else observed.static.stale)]
    changes += [Change("permissions", what) for what in sentences(observed.permissions.differences)]
    return Plan(
        changes=tuple(sorted(changes, key=lambda change: PARTS.index(change.part))),
        release=release,
        virtualenv=virtualenv if release else KEEP,
        by_hand=by_hand,
        pins=observed.installed or (observed.live.packages if observed.live else {}),
        starter=observed.starter,
        htaccess=htaccess,
        run_fcgi=run_fcgi,
        directory=bool(_directory_changes(observed)),
        links=not observed.links_right or release or observed.old_virtualenv_due,
        permissions=bool(observed.permissions.differences),
        static=observed.static.differs,
    )


def _directory_changes(observed: Observed) -> list[Change]:
    if observed.directory_mode is None:
        return [Change("directory", "made")]
    if observed.directory_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [Change("directory", "made writable by its owner alone (suexec refuses others)")]
    return []


def _run_fcgi_change(observed: Observed, release: bool) -> str:
    if not release:
        return "restored"
    return "made" if observed.run_fcgi is None else "starts the new release"


def _run_fcgi_wrong(observed: Observed) -> bool:
    mode_wrong = not observed.run_fcgi_mode & stat.S_IXUSR or bool(observed.run_fcgi_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return observed.run_fcgi != observed.expected_run_fcgi or mode_wrong


def _virtualenv(wanted: Wanted, observed: Observed) -> tuple[str, str]:
    """What to do for a virtualenv, and for building one that is not about other packages, why."""
    live = observed.live
    python = f"Python {wanted.interpreter.version}"
    if live is None:
        return BUILD, f"made with {python}"
    old = f"Python {live.inputs['python']['version']}"
    if observed.live_python is None:
        return BUILD, f"made anew with {python}, because its {old} is gone"
    if live.inputs["python"] != wanted.inputs["python"]:
        return BUILD, f"{old} ({live.inputs['python']['path']}) -> {python} ({wanted.interpreter.path})"
    if live.inputs.get("pip") != wanted.inputs["pip"]:
        return BUILD, ""
    missing = [name for name in live.packages if name not in observed.installed and name not in live.by_hand]
    if missing:
        return BUILD, f"made anew, because {', '.join(missing)} was missing"
    return UPDATE if any(live.inputs.get(kind) != wanted.inputs[kind] for kind in ("packages", "requirements", "server")) else CLONE, ""


def _by_hand(wanted: Wanted, observed: Observed) -> dict[str, str]:
    """What the owner installed himself and no setting asks for: carried over, with its version."""
    if observed.live is None:
        return {}
    ours = set(observed.live.packages) - set(observed.live.by_hand)
    return {name: version for name, version in observed.installed.items() if name not in ours and name not in wanted.declared}


def _hand_changes(observed: Observed) -> list[Change]:
    if observed.live is None:
        return []
    before, after = observed.live.packages, observed.installed
    return [Change("packages", f"{name} {version} installed by hand") for name, version in after.items() if before.get(name) != version] + [
        Change("packages", f"{name} {version} uninstalled by hand")
        for name, version in before.items()
        if name not in after and name in observed.live.by_hand
    ]


_SETTINGS = {"app": "ocf_flask_app", "server": "ocf_flask_server"}
_FILES = {"runtime": "the FastCGI runtime", "template": "the template of run.fcgi", "pip": "the stand-in for pip"}


def _input_changes(wanted: Wanted, observed: Observed) -> list[Change]:
    live = observed.live
    count = len(wanted.inputs["code"])
    if live is None:
        return [
            Change("code", what) for what in (*revision.first(wanted.inputs.get("source", {})), f"{count} file{'s' if count != 1 else ''}")
        ]
    old, new = live.inputs, wanted.inputs
    changes = [Change("code", what) for what in revision.changes(old.get("source", {}), new.get("source", {}))]
    changes += [Change("code", what) for what in differences(old.get("code", {}), new["code"])]
    if observed.staged and not changes:
        changes.append(Change("code", "put back: the live release's had been changed by hand"))
    if old.get("shared", []) != new.get("shared", []):
        changes.append(
            Change(
                "settings", f"ocf_flask_shared {', '.join(old.get('shared', [])) or 'nothing'} -> {', '.join(new['shared']) or 'nothing'}"
            )
        )
    for kind, setting in _SETTINGS.items():
        if old.get(kind) != new[kind]:
            changes.append(Change("settings", f"{setting} {old.get(kind)} -> {new[kind]}"))
    for kind, what in _FILES.items():
        if old.get(kind) != new[kind]:
            changes.append(Change("settings", f"{what} is another version's"))
    before, after = set(old.get("packages", ())), set(new["packages"])
    changes += [Change("packages", f"{one} no longer asked for") for one in sorted(before - after)]
    changes += [Change("packages", f"{one} asked for") for one in sorted(after - before)]
    changes += [Change("packages", what) for what in differences(old.get("requirements", {}), new["requirements"])]
    return changes


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """In words, each entry that differs."""
    return [
        f"{name} {'changed' if name in old and name in new else 'added' if name in new else 'removed'}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def dropped(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What the last deploy asked for and this one, at its defaults, does not: for the report."""
    defaults = {"app": Settings.app, "server": Settings.server}
    lost = [f"ocf_flask_{key} {old[key]}" for key, default in defaults.items() if old[key] != new[key] == default]
    kept = {requirement_name(one) for one in new["packages"]}
    # The server's own package goes with the server.
    return lost + [f"The package {one}" for one in old["packages"] if requirement_name(one) not in {*kept, *SERVERS}]
