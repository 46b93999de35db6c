"""Commands in a release: the release command of a deploy, and the verb ``run``."""

from __future__ import annotations

from pathlib import Path

from . import places, process, release, smoke
from .errors import SiteError
from .outcome import WOULD_CHANGE, Outcome
from .settings import Settings
from .site import Kit, owner_of

DATABASE = "The release command had begun: what it did, to a database for instance, was not undone."
# From a release's record and its runtime, which a person can change.
_NO_RUN = "The release {identity} of {name} has no program to run commands with."


def run_in(release_directory: Path, command: str, *, seconds: float, setting: str) -> process.Completed:
    """Run a command line in a release, by its own program ``run``, with the environment of a process of the web server's.

    :param setting: the time limit's, for the error.
    :raises SiteError: when it cannot be started, or takes too long.
    """
    # What it prints comes in order: Python's own buffer would hold back stdout alone.
    env = {"PATH": smoke.SUEXEC_PATH, "PYTHONUNBUFFERED": "1"}
    argv: list[str | Path] = [release_directory / "run", "-c", command]
    return process.run(argv, env=env, cwd=Path("/"), seconds=seconds, step=f"The command {command!r} ({setting})")


def ended(completed: process.Completed) -> str:
    """How a command ended, in words."""
    status = completed.returncode
    # A shell whose command was killed adds 128 (sh(1)).
    return f"was ended by signal {-status if status < 0 else status - 128}" if status < 0 or status > 128 else f"ended with status {status}"


def release_command(release_directory: Path, settings: Settings) -> str:
    """Run the release command in a new release; what it printed.

    :raises SiteError: when it fails.
    """
    command = settings.release_command
    completed = run_in(release_directory, command, seconds=settings.timeouts.command, setting="ocf_flask_timeouts.command")
    if completed.returncode:
        raise SiteError(f"The release command {command!r} {ended(completed)}.", completed.output)
    return completed.output


def _example(kit: Kit, name: str) -> str:
    again = kit.again.format(verb="run", name=name)
    return f"{again} cmd='flask routes'" if again.startswith("make ") else f"""{again} -e '{{"command": "flask routes"}}'"""


def run(settings: Settings, kit: Kit, command: str, check: bool) -> Outcome:
    """Run a command line in the live release of one site. Never raises for what is wrong with the site.

    Takes no lock: a deploy must not wait for somebody's long command, and the release stays an hour after it was live.
    """
    outcome = Outcome(settings.name, owner=settings.owner, verb="run")
    with outcome.recording():
        if not command.strip():
            raise SiteError(f"Which command? Type for example: {_example(kit, settings.name)}")
        owner = owner_of(settings)
        where = places.locate(settings, owner)
        outcome.owner, outcome.url, outcome.directory = owner.name, places.public_url(settings, owner), str(where.site)
        manifest = release.live(where)
        if manifest is None:
            raise SiteError(
                f"No deploy's release of {settings.name} is live, so there is nothing to run a command in.",
                advice=f"Deploy it first: {kit.again.format(verb='deploy', name=settings.name)}",
            )
        outcome.release, outcome.python = manifest.id, str(manifest.inputs["python"]["version"])
        outcome.changes = {"command": [command]}
        if check:
            outcome.state = WOULD_CHANGE
            return outcome
        if not (where.release(manifest.id) / "run").is_file():
            raise SiteError(
                _NO_RUN.format(identity=manifest.id, name=settings.name), advice="Deploy it again: that makes a release with one."
            )
        outcome.commanded = True
        completed = run_in(where.release(manifest.id), command, seconds=settings.timeouts.command, setting="ocf_flask_timeouts.command")
        if completed.returncode:
            raise SiteError(f"The command {command!r} {ended(completed)}.", completed.output)
        outcome.output = completed.output
        outcome.done()
    return outcome
