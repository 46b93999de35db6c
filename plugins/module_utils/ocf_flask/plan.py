"""What has to change: a pure function of what is wanted and what is there."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import publish, revision
from .permissions import Found, sentences
from .pythons import Interpreter
from .reader import without_credentials
from .release import Manifest
from .settings import SERVERS, Settings
from .virtualenv import requirement_name

# The recipe's steps, under which a report shows what changed.
PARTS = (
    *("takeover", "directory", "htaccess", "run_fcgi", "virtualenv", "packages", "code", "static"),
    *("settings", "command", "cron", "permissions"),
)
RUN_REPAIRED = "the program run repaired"
BUILD, UPDATE, CLONE, KEEP = "build", "update", "clone", "keep"


@dataclass(frozen=True)
class Wanted:
    """One site as it should be.

    ``inputs``: everything that decides about a release, by kind (see `observe`).
    ``packages``: the requirements that are installed whatever the user asks for, then the user's.
    ``declared``: normalized names in all of the requirements, files included.
    ``env``: the application's variables, which are secret. ``cron``: the site's lines in this host's crontab; None when it is not to be touched.
    """

    interpreter: Interpreter
    inputs: dict[str, Any]
    packages: tuple[str, ...]
    declared: frozenset[str]
    htaccess: bytes
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cron: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Observed:
    """One site as it is. ``expected_run_fcgi`` is what the live release's should read, ``env`` its variables; ``staged``:
    code was brought, because the live release has not all that is wanted. ``old_virtualenv_due``: that of a site that was
    taken over can leave its place."""

    directory_mode: int | None
    starter: bool
    live: Manifest | None
    live_python: str | None
    installed: Mapping[str, str]
    htaccess: bytes | None
    run_fcgi: bytes | None
    run_fcgi_mode: int
    expected_run_fcgi: bytes | None
    links_right: bool
    permissions: Found
    static: publish.Found = field(default_factory=publish.Found)
    staged: bool = False
    old_virtualenv_due: bool = False
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    run_right: bool = True
    cron: tuple[str, ...] | None = None


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
    run: bool = False
    cron: bool = False

    @property
    def empty(self) -> bool:
        steps = (self.release, self.htaccess, self.run_fcgi, self.directory, self.links, self.permissions, self.static, self.run, self.cron)
        return not any(steps)


NOTHING = Plan(
    changes=(),
    release=False,
    virtualenv=KEEP,
    by_hand={},
    pins={},
    starter=False,
    htaccess=False,
    run_fcgi=False,
    directory=False,
    links=False,
    permissions=False,
)


def make(wanted: Wanted, observed: Observed) -> Plan:
    """Compare, and say what to do."""
    virtualenv, reason = _virtualenv(wanted, observed)
    by_hand = _by_hand(wanted, observed)
    release_changes = [*_input_changes(wanted, observed), *_hand_changes(observed)]
    if reason:
        release_changes.insert(0, Change("virtualenv", reason))
    release = bool(release_changes)
    if release and wanted.inputs.get("release_command"):
        release_changes.append(Change("command", str(wanted.inputs["release_command"])))
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
    if not observed.run_right and observed.live is not None:
        changes.append(Change("command", RUN_REPAIRED))
    cron_changes = _cron_changes(wanted.cron, observed.cron)
    changes += cron_changes
    changes += [Change("permissions", what) for what in sentences(observed.permissions.differences)]
    return Plan(
        changes=tuple(sorted(map(_shown, changes), key=lambda change: PARTS.index(change.part))),
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
        run=not observed.run_right,
        cron=bool(cron_changes),
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


def _cron_changes(wanted: Sequence[str] | None, present: Sequence[str] | None) -> list[Change]:
    """Each line of the crontab's that comes or goes."""
    if wanted is None or present is None or tuple(wanted) == tuple(present):
        return []
    gone = [Change("cron", f"{_job(line)} removed") for line in present if line not in wanted]
    new = [Change("cron", f"{_job(line)} added") for line in wanted if line not in present]
    return gone + new or [Change("cron", "the lines put into order")]


def _job(line: str) -> str:
    """A line of ours in short: ``tidy (0 4 * * *)``."""
    match = re.fullmatch(r"(.*) /\S* --cron (\S+)", line)
    return f"{match[2]} ({match[1]})" if match else repr(line)


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
_FILES = {
    "runtime": "the FastCGI runtime",
    "template": "the template of run.fcgi",
    "pip": "the stand-in for pip",
    "command": "the program run",
}


def _input_changes(wanted: Wanted, observed: Observed) -> list[Change]:
    live = observed.live
    count = len(wanted.inputs["code"])
    if live is None:
        return [
            *(
                Change("code", what)
                for what in (*revision.first(wanted.inputs.get("source", {})), f"{count} file{'s' if count != 1 else ''}")
            ),
            *_named_changes({}, wanted, observed),
            *_command_changes({}, wanted),
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
    return changes + _named_changes(old, wanted, observed) + _command_changes(old, wanted)


def _shown(change: Change) -> Change:
    """Without the password that a package's URL has."""
    return replace(change, what=without_credentials(change.what))


def _named_changes(old: Mapping[str, Any], wanted: Wanted, observed: Observed) -> list[Change]:
    """Variables and scheduled commands that differ: their names."""
    jobs = [f"the scheduled command {what}" for what in differences(old.get("cron", {}), wanted.inputs.get("cron", {}))]
    return [Change("settings", what) for what in (*differences(observed.env, wanted.env), *jobs)]


def _command_changes(old: Mapping[str, Any], wanted: Wanted) -> list[Change]:
    """A new release command is run at once; one that is no longer asked for is no reason for a new release."""
    new = wanted.inputs.get("release_command")
    return [Change("settings", f"ocf_flask_release_command {new}")] if new and new != old.get("release_command") else []


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """In words, each entry that differs."""
    return [
        f"{name} {'changed' if name in old and name in new else 'added' if name in new else 'removed'}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def dropped_variables(observed: Observed, wanted: Wanted) -> list[str]:
    """The variables that the last deploy set and this one does not: for the report."""
    return [f"The variable {name}" for name in sorted(observed.env) if name not in wanted.env]


def dropped(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What the last deploy asked for and this one, at its defaults, does not: for the report."""
    defaults = {"app": Settings.app, "server": Settings.server}
    lost = [f"ocf_flask_{key} {old[key]}" for key, default in defaults.items() if old[key] != new[key] == default]
    kept = {requirement_name(one) for one in new["packages"]}
    # The server's own package goes with the server.
    return lost + [f"The package {without_credentials(one)}" for one in old["packages"] if requirement_name(one) not in {*kept, *SERVERS}]
