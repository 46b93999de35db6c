"""The report of a run in files: for people one page that needs nothing else, for programs JSON, and what to deploy once more.

Loaded by its path, because an action plugin in a plain checkout can import nothing that lies beside it. The texts come from the sites'
owners: they are data everywhere.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from html import escape
from typing import Any

FAILED = "failed"
_PAGE, _AGAIN = "report.html", "failed.json"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.15em; margin: 2em 0 .5em } p.when { color: #666; margin-top: 0 }
table { border-collapse: collapse; width: 100% } th { text-align: left; color: #666; font-weight: normal }
th, td { padding: .3em .8em .3em 0; border-bottom: 1px solid #ddd; vertical-align: top } td.number { text-align: right }
.state { white-space: nowrap } tr.failed .state { color: #b00020; font-weight: bold } tr.changed .state { color: #00692e }
pre { background: #f6f6f6; padding: .8em; overflow-x: auto; white-space: pre-wrap } summary { cursor: pointer }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } pre { background: #262626 } th, td { border-color: #333 }
tr.failed .state { color: #ff7a85 } tr.changed .state { color: #6fd08c } }
"""


def write(directory: str, host: str, verb: str, sites: Sequence[Mapping[str, Any]], *, check: bool) -> str:
    """Write a host's part of a run, and the page of all hosts that the directory knows.

    :param sites: as the module returns them.
    :returns: what to say of it; why not, when it cannot be written.
    """
    directory = os.path.abspath(os.path.expanduser(directory))
    try:
        os.makedirs(directory, exist_ok=True)
        # The hosts of a play end at the same time.
        with _locked(directory):
            name = re.sub(r"[^\w.-]", "_", host)
            _replace(directory, f"host-{name}.json", json.dumps(_part(host, verb, sites, check=check), indent=1))
            parts = list(_parts(directory))
            _replace(directory, _PAGE, page(parts))
            again = retry(parts)
            _replace(directory, _AGAIN, json.dumps(again))
    except OSError as error:
        return f"\n\nThe report could not be written to {directory}: {error.strerror}"
    said = f"\n\nAll of it: {directory}/{_PAGE}"
    return said + (f"\nOnce more those that failed: add -e @{directory}/{_AGAIN}" if again["only"] else "")


def retry(parts: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The sites that failed, as the playbooks take them with ``-e @FILE``. Names and owners are the inventory's."""
    return {"only": [f"{one['owner']}/{one['name']}" for part in parts for one in part["sites"] if one["state"] == FAILED]}


def page(parts: Sequence[Mapping[str, Any]]) -> str:
    """HTML with everything in it."""
    counted = Counter(str(one["state"]) for part in parts for one in part["sites"])
    title = ", ".join(f"{number} {state}" for state, number in sorted(counted.items(), key=lambda item: (item[0] != FAILED, -item[1])))
    body = _causes([one for part in parts for one in part["sites"]]) + "".join(_section(part) for part in parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n<h1>{escape(title) or 'No sites'}</h1>\n{body}</html>\n"
    )


def _causes(sites: Sequence[Mapping[str, Any]]) -> str:
    """What several sites failed for, the most frequent first: on upgrade day a few causes have hundreds of sites."""
    counted = Counter(str(one["cause"]) for one in sites if one.get("cause"))
    rows = [f'<tr><td class="number">{number}</td><td>{escape(cause)}</td></tr>' for cause, number in counted.most_common() if number > 1]
    return "<h2>What several have in common</h2>\n<table>{}\n</table>\n".format("\n".join(rows)) if rows else ""


def _section(part: Mapping[str, Any]) -> str:
    ordered = sorted(part["sites"], key=lambda one: (one["state"] != FAILED, one["state"] == "unchanged"))
    mode = " (check mode: nothing was changed)" if part["check"] else ""
    heading = "".join(f"<th>{name}</th>" for name in ("Site", "Owner", "Result", "Python", "Seconds", ""))
    rows = "\n".join(_row(one) for one in ordered)
    return (
        f'<h2>{escape(part["verb"])} on {escape(part["host"])}{mode}</h2><p class="when">{escape(part["on"])}</p>\n'
        f"<table><tr>{heading}</tr>\n{rows}\n</table>\n"
    )


def _row(site: Mapping[str, Any]) -> str:
    url = str(site.get("url", ""))
    name = escape(str(site["name"]))
    # A link leads nowhere but to a web page.
    named = f'<a href="{escape(url)}">{name}</a>' if re.match(r"https?://[\w.:\[\]-]+/", url) else name
    kind = FAILED if site["state"] == FAILED or site.get("problem") else "changed" if site.get("changed") else "other"
    state = escape(str(site["state"])) + (", test failed" if site.get("problem") else "")
    seconds = f"{site['seconds']:.1f}" if isinstance(site.get("seconds"), (int, float)) else ""
    python = escape(str(site.get("python", "")))
    return (
        f'<tr class="{kind}"><td>{named}</td><td>{escape(str(site["owner"]))}</td><td class="state">{state}</td>'
        f'<td>{python}</td><td class="number">{seconds}</td><td>{_said(site)}</td></tr>'
    )


def _said(site: Mapping[str, Any]) -> str:
    """What there is to say of a site: the first line, and the rest to be opened."""
    first = str(site.get("cause") or "")
    more = str(site.get("error") or site.get("problem") or "").split("\n")[1:]
    rest = [*more, *str(site.get("detail") or "").split("\n"), *str(site.get("advice") or "").split("\n")]
    if not first:
        changes = site.get("changes") or {}
        lines = [f"{part}: {', '.join(map(str, found))}" for part, found in changes.items() if found]
        first, rest = (lines or [""])[0], [*lines[1:], *map(str, site.get("notes") or [])]
    text = "\n".join(line for line in rest if line.strip())
    return f"<details><summary>{escape(first)}</summary><pre>{escape(text)}</pre></details>" if text else escape(first)


def _part(host: str, verb: str, sites: Sequence[Mapping[str, Any]], *, check: bool) -> dict[str, Any]:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    return {"host": host, "verb": verb, "check": check, "on": now, "sites": list(sites)}


def _parts(directory: str) -> Iterator[dict[str, Any]]:
    for name in sorted(os.listdir(directory)):
        if re.fullmatch(r"host-.*\.json", name):
            try:
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    found = json.load(file)
            except (ValueError, RecursionError):
                continue
            # Somebody's own file may have such a name.
            if isinstance(found, dict) and {"host", "verb", "check", "on", "sites"} <= found.keys():
                yield found


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(directory: str, name: str, text: str) -> None:
    """A file's new content, whole or not at all; for the account that runs the play alone."""
    path = os.path.join(directory, name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with open(os.open(f"{path}.new", flags, 0o600), "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    os.replace(f"{path}.new", path)
