"""The owner's crontab: a site's lines between two marker lines, everything else as it was, byte for byte.

A line starts `Places.run` with the job's name. The command itself lies in the release: in a crontab ``%`` is special
(crontab(5)), and each release has its own. Crontabs are read by ``crontab -l`` and written
by ``crontab -`` alone.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import SettingError, SiteError
from .lock import locked
from .places import Places
from .settings import Cron, read

_MARKER = re.compile(rb"[ \t]*# (BEGIN|END) ocf_flask (\S+)\s*")
_SECONDS = 20


def is_here(host: str) -> bool:
    """Whether ``ocf_flask_cron_host`` names this machine, by its short or its full name; empty names each."""
    if not host:
        return True
    here = socket.gethostname().lower()
    host = host.lower().rstrip(".")
    # getfqdn may ask a name server: only when the name itself does not decide.
    return here == host or here.partition(".")[0] == host or socket.getfqdn().lower() == host


def recorded(settings: Mapping[str, Any]) -> tuple[Cron, ...]:
    """The jobs of a release's record; none when there are none that can be read."""
    try:
        return read({"name": "site", "cron": settings.get("cron") or []}, {}).cron
    except SettingError:
        return ()


def lines(where: Places, jobs: Sequence[Cron]) -> tuple[str, ...]:
    """The crontab's line for each job."""
    return tuple(f"{job.schedule} {where.run} --cron {job.name}" for job in jobs)


def present(env: Mapping[str, str]) -> bytes:
    """The crontab of the account that this process runs as; empty when it has none.

    :raises SiteError: when it may have none.
    """
    completed = _crontab(["-l"], env)
    if completed.returncode == 0:
        return completed.stdout
    said = completed.stderr.decode("utf-8", "replace").strip()
    if said.startswith("no crontab for"):
        return b""
    raise SiteError(
        "This account cannot have a crontab on this machine, and the site has scheduled commands (ocf_flask_cron). "
        "Ask the staff to allow it, name another host with -e ocf_flask_cron_host=HOST, or take the commands out",
        said,
    )


def ours(content: bytes, name: str) -> tuple[str, ...]:
    """The lines of the site that are in a crontab.

    :raises SiteError: when its marker lines are not one pair.
    """
    _, inside, _ = _split(content, name)
    return tuple(line.decode("utf-8", "replace").rstrip("\n") for line in inside)


def merge(content: bytes, name: str, wanted: Sequence[str]) -> bytes:
    """A crontab with these lines for the site: where they were, else at the end. Without any, the markers go too.

    :raises SiteError: when the marker lines are not one pair.
    """
    before, _, after = _split(content, name)
    block = [f"# BEGIN ocf_flask {name}", *wanted, f"# END ocf_flask {name}"] if wanted else []
    if block and before and not before[-1].endswith(b"\n"):
        before[-1] += b"\n"
    return b"".join([*before, *(f"{line}\n".encode() for line in block), *after])


def install(where: Places, name: str, jobs: Sequence[Cron], env: Mapping[str, str]) -> None:
    """Have the crontab run a site's jobs, and no other of the site's; written only when that is a change.

    :param env: of the program ``crontab``: a ``PATH`` at least.
    :raises SiteError: when it cannot be written, or its marker lines are not one pair.
    """
    put(where, name, lines(where, jobs), env)


def remove(where: Places, name: str, env: Mapping[str, str]) -> None:
    """Take a site's lines out of the crontab, if there are any.

    :raises SiteError: as for `install`.
    """
    put(where, name, (), env)


def put(where: Places, name: str, wanted: Sequence[str], env: Mapping[str, str]) -> None:
    """Have the crontab contain these lines for the site: `install`, and its way back."""
    where.crontab_lock.parent.mkdir(mode=0o700, exist_ok=True)
    # Several sites of one owner may be deployed at once, and share the crontab.
    with locked(where.crontab_lock, 30, what="change of the crontab"):
        content = present(env)
        new = merge(content, name, wanted)
        if new == content:
            return
        completed = _crontab(["-"] if new else ["-r"], env, new)
        if completed.returncode != 0:
            said = (completed.stdout + completed.stderr).decode("utf-8", "replace")
            raise SiteError("The crontab could not be written. See what is in it with: crontab -l", said)


def _crontab(arguments: Sequence[str], env: Mapping[str, str], content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["crontab", *arguments], input=content, capture_output=True, env={**env, "LC_ALL": "C"}, cwd="/", timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        raise SiteError(
            "This machine has no program crontab, and the site has scheduled commands (ocf_flask_cron). "
            "Name the host that is to run them with -e ocf_flask_cron_host=HOST, or take them out"
        ) from None
    except subprocess.TimeoutExpired:
        raise SiteError(f"The program crontab did not end within {_SECONDS} s. Try again, or see what it does with: crontab -l") from None


def _split(content: bytes, name: str) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """The lines before our markers, between them, and after them."""
    found = re.findall(rb"[^\n]*\n|[^\n]+", content)
    marks = [(number, match[1]) for number, line in enumerate(found) if (match := _MARKER.fullmatch(line)) and match[2] == name.encode()]
    if not marks:
        return found, [], []
    if [word for _, word in marks] != [b"BEGIN", b"END"]:
        there = ", ".join(f"'# {word.decode()} ocf_flask {name}' (line {number + 1})" for number, word in marks)
        raise SiteError(
            f"The crontab has {there}, and should have one pair of BEGIN and END, or none. "
            f"Type crontab -e, delete these marker lines and our lines at them, keep your own, then deploy again"
        )
    (begin, _), (end, _) = marks
    return found[:begin], found[begin + 1 : end], found[end + 1 :]
