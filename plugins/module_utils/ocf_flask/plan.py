"""What has to change: a pure function of what is wanted and what is there."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .release import Manifest
from .virtualenv import Interpreter, normalize

# The recipe's steps, under which a report shows what changed.
PARTS = ("directory", "htaccess", "run_fcgi", "virtualenv", "packages", "code", "settings")
BUILD, CLONE, KEEP = "build", "clone", "keep"


@dataclass(frozen=True)
class Wanted:
    """One site as it should be.

    ``inputs``: everything that decides about a release, by kind (see `deploy.inputs_of`).
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
    """One site as it is. ``expected_run_fcgi`` is what the live release's should read."""

    directory_mode: int | None
    starter: bool
    live: Manifest | None
    live_python: str | None
    installed: Mapping[str, str]
    htaccess: bytes | None
    htaccess_mode: int
    run_fcgi: bytes | None
    run_fcgi_mode: int
    run_fcgi_edited: bool
    expected_run_fcgi: bytes | None
    links_right: bool


@dataclass(frozen=True)
class Change:
    """One line of a plan: a part of the site, before and after, in words."""

    part: str
    before: str
    after: str


@dataclass(frozen=True)
class Plan:
    """What a deploy does. ``virtualenv`` is one of `BUILD`, `CLONE`, `KEEP`."""

    changes: tuple[Change, ...]
    release: bool
    virtualenv: str
    by_hand: Mapping[str, str]
    starter: bool
    htaccess: bool
    run_fcgi: bool
    directory: bool
    links: bool

    @property
    def empty(self) -> bool:
        return not (self.release or self.htaccess or self.run_fcgi or self.directory or self.links)


def make(wanted: Wanted, observed: Observed) -> Plan:
    """Compare, and say what to do."""
    virtualenv, reason = _virtualenv(wanted, observed)
    by_hand = _by_hand(wanted, observed)
    release_changes = [*_virtualenv_change(wanted, observed, virtualenv, reason), *_input_changes(wanted, observed), *_hand_changes(observed)]
    release = bool(release_changes)
    changes = [*_directory_changes(observed), *release_changes]
    htaccess = observed.htaccess != wanted.htaccess or not observed.htaccess_mode & stat.S_IROTH
    if htaccess:
        changes.append(Change("htaccess", "absent" if observed.htaccess is None else "", "our lines written"))
    run_fcgi = release or _run_fcgi_wrong(observed)
    if run_fcgi:
        changes.append(Change("run_fcgi", "absent" if observed.run_fcgi is None else "", "starts the new release" if release else "restored"))
    if not observed.links_right and not release:
        changes.append(Change("virtualenv", "", "the link venv repaired"))
    return Plan(
        changes=tuple(sorted(changes, key=lambda change: PARTS.index(change.part))),
        release=release,
        virtualenv=virtualenv if release else KEEP,
        by_hand=by_hand,
        starter=observed.starter,
        htaccess=htaccess,
        run_fcgi=run_fcgi,
        directory=bool(_directory_changes(observed)),
        links=not observed.links_right or release,
    )


def _directory_changes(observed: Observed) -> list[Change]:
    if observed.directory_mode is None:
        return [Change("directory", "absent", "made")]
    if observed.directory_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [Change("directory", "writable by others, so suexec would refuse it", "writable by its owner alone")]
    return []


def _run_fcgi_wrong(observed: Observed) -> bool:
    mode_wrong = not observed.run_fcgi_mode & stat.S_IXUSR or bool(observed.run_fcgi_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return observed.run_fcgi != observed.expected_run_fcgi or mode_wrong


def _virtualenv(wanted: Wanted, observed: Observed) -> tuple[str, str]:
    live = observed.live
    if live is None:
        return BUILD, "absent"
    if observed.live_python is None:
        return BUILD, f"its Python {live.inputs['python']['version']} is gone"
    if live.inputs["python"] != wanted.inputs["python"]:
        return BUILD, f"Python {live.inputs['python']['version']}"
    if any(live.inputs.get(kind) != wanted.inputs[kind] for kind in ("packages", "requirements", "server", "pip")):
        return BUILD, ""
    missing = [name for name in live.packages if name not in observed.installed and name not in live.by_hand]
    return (BUILD, f"{', '.join(missing)} missing") if missing else (CLONE, "")


def _virtualenv_change(wanted: Wanted, observed: Observed, action: str, reason: str) -> list[Change]:
    if action != BUILD or not reason:
        return []
    return [Change("virtualenv", reason, f"Python {wanted.interpreter.version}")]


def _by_hand(wanted: Wanted, observed: Observed) -> dict[str, str]:
    """What the owner installed himself and no setting asks for: carried over, with its version."""
    if observed.live is None:
        return {}
    ours = set(observed.live.packages) - set(observed.live.by_hand)
    return {name: version for name, version in observed.installed.items() if name not in ours and name not in wanted.declared}


def _hand_changes(observed: Observed) -> list[Change]:
    if observed.live is None:
        return []
    before = observed.live.packages
    return [
        Change("packages", f"{name} {before[name]}" if name in before else "", f"{name} {version} (installed by hand)")
        for name, version in observed.installed.items()
        if before.get(name) != version
    ] + [
        Change("packages", f"{name} {version}", "uninstalled by hand")
        for name, version in before.items()
        if name not in observed.installed and name in observed.live.by_hand
    ]


_SETTINGS = {"app": "ocf_flask_app", "server": "ocf_flask_server"}
_FILES = {"runtime": "the FastCGI runtime", "template": "the template of run.fcgi", "pip": "the stand-in for pip"}


def _input_changes(wanted: Wanted, observed: Observed) -> list[Change]:
    live = observed.live
    if live is None:
        return [Change("code", "", f"{len(wanted.inputs['code'])} files")]
    old, new = live.inputs, wanted.inputs
    changes = [Change("code", *words) for words in differences(old.get("code", {}), new["code"])]
    for kind, setting in _SETTINGS.items():
        if old.get(kind) != new[kind]:
            changes.append(Change("settings", f"{setting}: {old.get(kind)}", str(new[kind])))
    for kind, what in _FILES.items():
        if old.get(kind) != new[kind]:
            changes.append(Change("settings", what, "a newer version of the role"))
    before, after = set(old.get("packages", ())), set(new["packages"])
    changes += [Change("packages", f"{one} asked for", "no longer asked for") for one in sorted(before - after)]
    changes += [Change("packages", "", f"{one} asked for") for one in sorted(after - before)]
    changes += [Change("packages", *words) for words in differences(old.get("requirements", {}), new["requirements"])]
    return changes


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str]]:
    """Before and after, in words, of each entry that differs."""
    return [
        (name if name in old else "", f"{name} {'changed' if name in old and name in new else 'added' if name in new else 'removed'}")
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def dropped(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The settings that the last deploy had and this one leaves at their defaults: for the report."""
    lost = [f"ocf_flask_{key}: {old[key]}" for key in ("app", "server") if old.get(key) != new.get(key) and key in old]
    return lost + [
        f"ocf_flask_packages: {one}"
        for one in old.get("packages", ())
        if normalize(one) not in {normalize(other) for other in new.get("packages", ())}
    ]
