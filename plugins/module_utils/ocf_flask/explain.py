"""A view of a site in words: what would change, and what its owner should know."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import aside, cron, observe, permissions, plan, release, virtualenv, web_space
from .outcome import Outcome
from .site import Site

_NEW = "NEW-RELEASE"
# Of the files whose permissions change, a difference lists this many.
_SHOWN = 100
# All that there is to do, after a run that was interrupted once it had switched.
SWEPT = {"directory": ["what an interrupted run had left taken away"]}


def describe(site: Site, view: observe.View, outcome: Outcome) -> None:
    """Everything about the outcome that is known before anything is done."""
    outcome.owner, outcome.url, outcome.directory = site.owner.name, site.url, str(site.places.site)
    outcome.next_time = _next_time(site)
    outcome.urls = list(site.urls)
    outcome.python = view.wanted.interpreter.version
    outcome.changes = {}
    for change in view.plan.changes:
        outcome.changes.setdefault(change.part, []).append(change.what)
    if view.live:
        outcome.release, outcome.tested = view.live.id, dict(view.live.tested)
        outcome.flask = view.observed.installed.get("flask", "")
    if site.adopted and not view.live:
        outcome.changes["takeover"] = list(site.adopted.what)
        outcome.to_declare, outcome.declared_in = site.adopted.lines(), site.lasting
    outcome.notes = _notes(site, view)
    outcome.diff = _diff(site, view)


def package_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """In words, each package that came, went or changed its version."""
    found = []
    for name in sorted({*before, *after}):
        if name not in before:
            found.append(f"{name} {after[name]} installed")
        elif name not in after:
            found.append(f"{name} {before[name]} removed")
        elif before[name] != after[name]:
            found.append(f"{name} {before[name]} -> {after[name]}")
    return found


def _notes(site: Site, view: observe.View) -> list[str]:
    notes = []
    if view.live and view.back_to is None:
        notes += [
            f"{one} was dropped: the last deploy asked for it, this one did not. To keep it for good, write it into {site.lasting}"
            for one in (*plan.dropped(view.live.inputs, view.wanted.inputs), *plan.dropped_variables(view.observed, view.wanted))
        ]
    if view.htaccess.replaced:
        notes.append("In .htaccess our lines stand in place of the recipe's: " + " / ".join(view.htaccess.replaced))
    notes += [f"In .htaccess, a rule of yours answers requests before the app can ({line})" for line in view.htaccess.taking]
    if view.plan.by_hand and view.live:
        named = _asked_for(site, view.live, view.plan.by_hand)
        notes.append(f"Installed by hand, and kept: {named}. To make it last, write it into {site.code}/requirements.txt")
    notes += site.url_notes
    if site.adopted and not view.live:
        notes += site.adopted.notes
    if site.settings.whole_web_space and not view.live:
        notes += web_space.notes(site.places.site, site.settings.public)
    venv = site.places.venv
    if aside.is_pending(site.places, site.adopted):
        if not view.observed.old_virtualenv_due:
            notes.append(
                f"{venv} is the virtualenv made by hand. Once no process can use it any more, a deploy renames it and puts the link to ours there"
            )
    elif os.path.lexists(venv) and observe.is_foreign(venv):
        notes.append(f"{venv} is yours and stays as it is; the site runs with {site.places.current}/venv")
    notes += _source_notes(site, view)
    notes += _cron_notes(site)
    notes += _permission_notes(view.observed.permissions)
    notes += [
        f"ocf_flask_public has {name}, which is a directory: what is in it is public only with a / at the end, as in {name}/"
        for name in site.settings.public
        if not name.endswith("/") and (site.code / name).is_dir()
    ]
    if site.owner.uid == 0:
        notes.append("This is root's own site, and suexec runs no site of root's. To deploy for another account: -e owner=NAME")
    return notes


def _cron_notes(site: Site) -> list[str]:
    host = site.settings.cron_host
    if not site.settings.cron or cron.is_here(host):
        return []
    return [f"The crontab was left alone: ocf_flask_cron_host is {host}, and this is {socket.gethostname()}. Deploy on {host} as well"]


def _permission_notes(found: permissions.Found) -> list[str]:
    notes = []
    if found.foreign:
        what = "of another account, whose permissions should be others, were left alone"
        notes.append(permissions.counted(found.foreign, what))
    if found.several:
        what = "that the web server cannot read, with other names too (hard links), were left alone: put copies in their place"
        notes.append(permissions.counted(found.several, what))
    for name, target in found.astray:
        notes.append(f"{name} leads to {target}, which visitors cannot read. To publish that, name it in ocf_flask_public")
    return notes


def _asked_for(site: Site, live: release.Manifest, by_hand: Mapping[str, str]) -> str:
    asked = virtualenv.requested(site.places.release(live.id) / "venv")
    named = {name: version for name, version in by_hand.items() if name in asked} or by_hand
    return ", ".join(f"{name}=={version}" for name, version in named.items())


def _next_time(site: Site) -> str:
    """Where a change to the code is made."""
    if site.settings.is_repository:
        return f"push to {site.revision.record['repository'] if site.revision else 'the repository'}"
    return f"edit the files in {site.settings.source if site.settings.is_managed else site.code}"


def _source_notes(site: Site, view: observe.View) -> list[str]:
    notes = list(site.revision.notes) if site.revision else []
    foreign = view.observed.static.foreign
    if foreign:
        notes.append(
            permissions.counted(foreign, f"of yours in {site.places.site} stay, where a deploy would copy the code's own")
            + ". To have those: move yours away, and deploy again"
        )
    if view.live and view.plan.release and site.settings.is_managed and not view.live.inputs.get("source"):
        notes.append(f"What is in {site.places.site} stays there, and is no longer what runs")
    if view.live and view.live.inputs.get("source") and not site.settings.is_managed:
        notes.append(f"The code in {site.code} is what runs now. What the app wrote before stays in {site.places.shared}")
    return notes


def _diff(site: Site, view: observe.View) -> list[dict[str, str]]:
    found, todo = [], view.plan
    if todo.htaccess:
        found.append(difference(site.places.htaccess, view.observed.htaccess, view.wanted.htaccess))
    if todo.run_fcgi:
        identity = view.back_to.id if view.back_to else _NEW if todo.release or not view.live else view.live.id
        found.append(difference(site.places.run_fcgi, view.observed.run_fcgi, observe.run_fcgi_of(site, identity)))
    if todo.starter:
        found.append(difference(site.places.site / f"{observe.STARTER_MODULE}.py", None, site.kit.starter.encode()))
    if todo.permissions:
        found.append(_permission_difference(site.places.site, view.observed.permissions.differences))
    if todo.cron:
        before, after = ("".join(f"{line}\n" for line in lines or ()) for lines in (view.observed.cron, view.wanted.cron))
        found.append(difference(Path("crontab"), before.encode("utf-8", "surrogateescape"), after.encode()))
    others = [
        f"{change.part}: {change.what}\n" for change in todo.changes if change.part not in ("htaccess", "run_fcgi", "permissions", "cron")
    ]
    if others:
        found.append(difference(site.places.release(_NEW), None, "".join(others).encode("utf-8", "surrogateescape")))
    return found


def _permission_difference(site: Path, differences: Sequence[permissions.Difference]) -> dict[str, str]:
    shown = differences[:_SHOWN]
    more = f"and {len(differences) - _SHOWN} more\n" if len(differences) > _SHOWN else ""
    before, after = ("".join(f"{getattr(one, which):04o} {one.name}\n" for one in shown) + more for which in ("mode", "wanted"))
    return difference(site, before.encode("utf-8", "surrogateescape"), after.encode("utf-8", "surrogateescape"))


def difference(path: Path, before: bytes | None, after: bytes) -> dict[str, str]:
    """A file's change, as Ansible takes it."""
    texts = {"before": (before or b"").decode("utf-8", "replace"), "after": after.decode("utf-8", "replace")}
    return {"before_header": str(path), "after_header": str(path), **texts}
