"""What a site is: looked at as its owner, and changed in nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from . import archives, files, permissions, places, process, recorded, release, revision, settings, smoke, takeover, vhosts, virtualenv
from .errors import SettingError, SiteError
from .outcome import Record, are_texts, is_test
from .site import owner_of
from .words import in_a_line

DEPLOYED, ABSENT, FOREIGN = "deployed", "not deployed", "not by ocf_flask"
# The runtime's own files (`Log` in ocf_flask_runtime.py), the older one first.
_LOGS = ("error.log.1", "error.log")
# Of each log, this many bytes at its end are looked at.
_LOG_BYTES = 512 * 1024
_PYTHON_SECONDS = 20
# As the runtime begins an entry, and Python a traceback.
_ENTRY = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}) \[")
_TRACEBACK = "Traceback (most recent call last):"
# So many of the last exceptions are shown, each with at most so many characters.
_ERRORS, _LONGEST = 3, 300


@dataclass
class Status(Record):
    """One site as it is now.

    ``python_runs``: whether the virtualenv's interpreter does. ``disk``: bytes in the site directory and the private
    one, in blocks. ``tested`` is a smoke test made now, as `Outcome.tested`, and ``problem`` why it failed;
    ``log`` the last lines of the site's own log, from the file ``log_file``. ``taken_over``: when a site made by hand was.
    ``errors``: the last exceptions in the log, a line each, with their times. ``urls``: those on virtual hosts.
    ``source``: where managed code came from. ``earlier``: the other releases that a rollback can go to, the newest first,
    and ``archives`` the names of those that can be restored.
    """

    states: ClassVar[tuple[str, ...]] = (DEPLOYED, ABSENT, FOREIGN, *Record.states)
    quoting: ClassVar[tuple[str, ...]] = (*Record.quoting, "problem", "log", "errors")

    state: str = ABSENT
    url: str = ""
    directory: str = ""
    app: str = ""
    server: str = ""
    release: str = ""
    deployed: str = ""
    source: str = ""
    earlier: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    python: str = ""
    python_runs: bool = False
    packages: dict[str, str] = field(default_factory=dict)
    disk: int = 0
    tested: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    log_file: str = ""
    log: str = ""
    errors: str = ""
    notes: list[str] = field(default_factory=list)
    taken_over: str = ""
    urls: list[str] = field(default_factory=list)

    def cause(self) -> str:
        problem, *details = self.problem.split("\n")
        return super().cause() or in_a_line(problem, "\n".join(details))

    def is_sound(self) -> bool:
        return (
            super().is_sound()
            and is_test(self.tested)
            and are_texts([*self.notes, *self.urls, *self.earlier, *self.archives])
            and are_texts(self.packages.values())
        )


def look_up(wanted: settings.Settings, *, test: bool, log_lines: int) -> Status:
    """Look at one site; with ``test``, start it once more and make a request. Never raises for what is wrong with it.

    :param log_lines: how many of its log's last lines to bring.
    """
    found = Status(wanted.name, owner=wanted.owner)
    with found.recording():
        owner = owner_of(wanted)
        where = places.locate(wanted, owner)
        found.owner, found.url, found.directory = owner.name, places.public_url(wanted, owner), str(where.site)
        found.urls, found.notes = vhosts.urls(wanted, owner, where, found.url)
        found.disk = _disk(where.site) + _disk(where.private)
        found.log_file = str(where.log / _LOGS[-1])
        logged = _last_lines(where.log)
        found.log = "\n".join(logged[-log_lines:] if log_lines else [])
        found.errors = "\n".join(exceptions(logged)[-_ERRORS:])
        found.archives = [one.path.name for one in archives.find(owner, where) if one.is_whole]
        manifest = release.live(where)
        if manifest:
            _describe_release(found, manifest, where)
            deployed = _as_deployed(wanted, manifest)
            found.notes += permissions.warnings(permissions.look(deployed, where).differences)
            if test:
                _test(found, deployed, where)
        elif where.run_fcgi.exists():
            found.state = FOREIGN
            found.notes.append(_outlook(wanted, owner, where))
    return found


def _outlook(wanted: settings.Settings, owner: places.Account, where: places.Places) -> str:
    """What a deploy would make of a site that it has not made."""
    try:
        adopted = takeover.look(wanted, owner, where)
    except SiteError as error:
        return f"A deploy leaves it alone. {error.message}"
    if adopted is None:
        return "Its run.fcgi is a deploy's, but its releases are gone: deploy again"
    return f"A deploy can take it over: {', '.join(adopted.what)}"


def _describe_release(found: Status, manifest: release.Manifest, where: places.Places) -> None:
    venv = where.release(manifest.id) / "venv"
    found.state, found.release, found.deployed = DEPLOYED, manifest.id, manifest.created
    found.app, found.server = str(manifest.inputs["app"]), str(manifest.inputs["server"])
    found.taken_over = str(manifest.adopted.get("on", ""))
    found.earlier = [f"{one.id} (deployed on {one.created})" for one in release.once_live(where) if one.id != manifest.id]
    found.source = revision.said(revision.recorded(manifest))
    found.packages = virtualenv.installed(venv)
    found.python = str(manifest.inputs["python"]["version"])
    with suppress(SiteError):
        asked: list[str | Path] = [venv / "bin" / "python", "-I", "-c", "import platform; print(platform.python_version())"]
        answer = process.run(asked, env={"PATH": smoke.SUEXEC_PATH}, cwd=where.site, seconds=_PYTHON_SECONDS, step="Asking the Python")
        if answer.returncode == 0:
            found.python, found.python_runs = answer.output.strip(), True
    if not found.python_runs:
        found.notes.append(f"The virtualenv's Python {found.python} does not run here: deploy again, and it is made anew")


def _as_deployed(wanted: settings.Settings, manifest: release.Manifest) -> settings.Settings:
    """With what the release was deployed with."""
    try:
        return recorded.as_deployed(wanted, manifest)
    except SettingError:
        return wanted


def _test(found: Status, wanted: settings.Settings, where: places.Places) -> None:
    if wanted.smoke_test.mode == "none":
        return
    token = files.read(where.token) or b""
    try:
        tested = smoke.smoke_test(where.run_fcgi, wanted.smoke_test, found.url, token.decode("ascii", "replace").strip())
    except SiteError as error:
        found.problem = f"{error.message}\n{error.detail}".strip()
        return
    found.tested = tested.record(wanted.smoke_test)


def _disk(directory: Path) -> int:
    """What is below a directory, in bytes of blocks; a file with several names counts once."""
    return sum({(found.st_dev, found.st_ino): found.st_blocks * 512 for found in _below(directory)}.values())


def _below(directory: Path) -> Iterator[os.stat_result]:
    for folder, names, file_names in os.walk(directory):
        for name in (*names, *file_names):
            with suppress(OSError):
                yield os.lstat(os.path.join(folder, name))


def _last_lines(directory: Path) -> list[str]:
    found: list[str] = []
    for name in _LOGS:
        # A pipe, on which a reader would wait for good, cannot be sought in.
        with suppress(OSError), open(directory / name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LOG_BYTES))
            found += file.read(_LOG_BYTES).decode("utf-8", "replace").split("\n")[:-1]
    return found


def exceptions(logged: Sequence[str]) -> list[str]:
    """The last line of each traceback in a log, after the time of its entry."""
    found, when, inside = [], "", False
    for line in logged:
        entry = _ENTRY.match(line)
        if entry:
            when, inside = entry[1], False
        if _TRACEBACK in line:
            inside = True
        elif inside and line.strip() and not line[0].isspace():
            found.append(f"{when} {line}"[:_LONGEST].strip())
            inside = False
    return found
