"""What the sites of all owners share, made once for each host: what the module ``ocf_flask_store`` does.

It is made by the account that the store belongs to, which has nothing else, of what the inventory names. Of packages it takes wheels
alone, and runs nothing of them: not their builds, for there are none, and no ``.pth`` file, for the virtualenv's own Python is not
started once something is installed in it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from json import dumps
from pathlib import Path
from typing import Any, ClassVar

from . import files, places, pythons, report, resolver, settings, site, store, virtualenv, workers
from .errors import SettingError, SiteError
from .lock import locked
from .outcome import FAILED, SKIPPED, UNCHANGED, WOULD_CHANGE, Record, are_texts
from .run import Run, select
from .secrets import put_back
from .words import printable

__all__ = ["Run", "SettingError", "prepare", "put_back", "result"]

MADE, LEFT = "made", "left to the owners"
# Of each combination, the latest so many builds.
_KEPT = 3
# Beyond the time that builds may take: fork, tidy.
_SLACK = 60
_UV = "uv"


@dataclass
class Prepared(Record):
    """What became of one thing that sites share: uv, or a virtualenv with these packages, for so many sites."""

    states: ClassVar[tuple[str, ...]] = (UNCHANGED, MADE, WOULD_CHANGE, LEFT, *Record.states)

    state: str = UNCHANGED
    packages: dict[str, str] = field(default_factory=dict)
    python: str = ""
    sites: int = 0

    def is_sound(self) -> bool:
        return super().is_sound() and are_texts(self.packages.values())


class OwnersAlone(SiteError):
    """What cannot be shared, which is no failure: each owner installs it."""


@dataclass(frozen=True)
class Wish:
    """What some of an inventory's sites have in common. ``uv``: its path, ``none``, or empty."""

    python: str
    packages: tuple[str, ...]
    source: virtualenv.Source
    uv: str
    seconds: int


def prepare(run: Run, pip: str, *, check: bool) -> list[Prepared]:
    """Make what the inventory's sites share; with ``check``, say what would be made.

    :param pip: the text of the stand-in for pip.
    :raises SettingError: for what is wrong with the run as a whole.
    """
    wishes = _wishes(run)
    jobs = [_job(Path(path), Counter(wished), pip, check) for path, wished in wishes.items()]
    answers = workers.run(jobs, slots=1)
    return [one for answer in answers for one in _checked(answer)]


def _wishes(run: Run) -> dict[str, list[Wish]]:
    """What each site has of the inventory, by store. What is wrong with a site, its deploy will say."""
    defaults = {key[len(settings.PREFIX) :]: value for key, value in run.variables.items()}
    found: dict[str, list[Wish]] = {}
    for entry in select(run):
        try:
            one = settings.read(entry, defaults)
        except SiteError:
            continue
        # Wheels in an owner's home are the owner's alone.
        if one.store and not one.wheels.startswith("~"):
            source = virtualenv.Source(one.wheels, one.index)
            found.setdefault(one.store, []).append(Wish(one.python, one.all_packages, source, one.uv, one.timeouts.build))
    if not found:
        raise SettingError(
            "ocf_flask_store is not set: the directory for what the sites share. Name it in the inventory, as in: "
            "ocf_flask_store: /var/lib/ocf-flask"
        )
    return found


def _job(directory: Path, wished: Mapping[Wish, int], pip: str, check: bool) -> workers.Job:
    store.check(directory)
    owner = directory.stat().st_uid
    if os.getuid() == 0 and owner == 0:
        raise SettingError(
            f"ocf_flask_store is {str(directory)!r}, which belongs to root, and packages are not installed as root. "
            f"Give it to an account that has nothing else: chown -R ocf-flask {directory}"
        )
    account = places.account_of(owner)
    if os.getuid() not in (0, owner):
        raise SettingError(
            f"ocf_flask_store is {str(directory)!r}, which belongs to {account.name}. Prepare it as {account.name}, or as root."
        )
    seconds = sum(2 * wish.seconds for wish in wished) + _SLACK
    name = account.name if os.getuid() == 0 else ""
    return workers.Job(
        name, seconds, lambda: {"made": [asdict(one) for one in fill(directory, account, wished, pip, check=check)]}, "store"
    )


def _checked(answer: Mapping[str, Any] | str) -> list[Prepared]:
    """What the store's process says, as far as it has the form of it."""
    if isinstance(answer, str):
        return [Prepared("store", state=FAILED, error=answer)]
    try:
        found = [Prepared(**one) for one in answer["made"]]
    except (TypeError, KeyError):
        found = []
    if not found or not all(one.is_sound() for one in found):
        return [Prepared("store", state=FAILED, error="The store's answer has not the form of one.")]
    return found


def fill(directory: Path, account: places.Account, wished: Mapping[Wish, int], pip: str, *, check: bool = False) -> list[Prepared]:
    """Have everything in the store that is wished for. Runs as the account that it belongs to.

    :param wished: how many sites have each wish.
    """
    os.umask(0o022)
    env = {**site.tool_environment(account, own=False), "HOME": str(directory / "work")}
    if check:
        return [_looked_at(directory, wish, count, pip, env) for wish, count in wished.items()]
    with locked(directory / "lock", _SLACK, "preparation of this store"), _swept(directory):
        found = []
        if any(wish.uv == "" for wish in wished):
            source = next(wish.source for wish in wished if wish.uv == "")
            found.append(_bring_uv(directory, source, pip, env))
        found += [_have(directory, wish, count, pip, env) for wish, count in wished.items()]
        _keep_wheels(directory)
        return found


@contextmanager
def _swept(directory: Path) -> Iterator[None]:
    """A directory ``work`` for as long as the block runs; without what an interrupted run left."""
    work = directory / "work"
    shutil.rmtree(work, ignore_errors=True)
    for path in store.virtualenvs(directory).glob("*/*"):
        if not (path / store.COMPLETE).exists():
            shutil.rmtree(path, ignore_errors=True)
    work.mkdir()
    for path in (store.virtualenvs(directory), store.wheels(directory)):
        path.mkdir(exist_ok=True)
    try:
        yield
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _bring_uv(directory: Path, source: virtualenv.Source, pip: str, env: Mapping[str, str]) -> Prepared:
    """uv where every owner can run it: its newest version, switched to by one rename."""
    found = Prepared(_UV, sites=0)
    with found.recording():
        link = directory / _UV
        tools = _tools(directory, "", pip, env, source, 600)
        target = directory / f"uv-{time.time_ns()}"
        try:
            virtualenv.create(target, pythons.find("", env=env), tools)
            command = _pip(target, "install", "--no-compile", *source.arguments(), _UV)
            completed = tools.run("Installing uv", *command)
            if completed.returncode:
                raise SiteError("uv could not be had (ocf_flask_uv: none does without). pip says:", resolver.reason(completed.output, {}))
            found.packages = virtualenv.installed(target)
            if virtualenv.installed(link) == found.packages and os.access(store.uv(directory), os.X_OK):
                return found
            _switch(link, target)
            found.state = MADE
        finally:
            live = os.readlink(link) if link.is_symlink() else ""
            for path in directory.glob("uv-*"):
                if path.name != live:
                    shutil.rmtree(path, ignore_errors=True)
    return found


def _tools(directory: Path, uv: str, pip: str, env: Mapping[str, str], source: virtualenv.Source, seconds: float) -> virtualenv.Tools:
    work = directory / "work"
    return virtualenv.Tools(uv, pip, work, work, {**env, **source.environment()}, time.monotonic() + seconds)


def _pip(venv: Path, verb: str, *arguments: str | Path) -> tuple[str | Path, ...]:
    """The command line of a virtualenv's pip, which takes wheels alone."""
    options = ("--only-binary", ":all:", "--no-cache-dir", "--progress-bar", "off")
    return (venv / "bin/python", "-m", "pip", verb, *options, *arguments)


def _switch(link: Path, target: Path) -> None:
    temporary = link.parent / "work" / link.name
    temporary.symlink_to(target.name)
    os.rename(temporary, link)


def _looked_at(directory: Path, wish: Wish, count: int, pip: str, env: Mapping[str, str]) -> Prepared:
    found = Prepared(", ".join(wish.packages), sites=count)
    with found.recording(), _owners_alone(found):
        order, wanted = _order(wish, pip, env)
        present = store.builds(store.virtualenvs(directory) / wanted.key)
        found.python = order.interpreter.version
        found.state, found.packages = (UNCHANGED, dict(present[-1].packages)) if present else (WOULD_CHANGE, {})
    return found


def _order(wish: Wish, pip: str, env: Mapping[str, str]) -> tuple[virtualenv.Order, store.Combination]:
    """What is to be installed, and the combination that it makes.

    :raises OwnersAlone: for what each owner installs alone.
    """
    interpreter = pythons.find(wish.python, env=env)
    order = virtualenv.Order(interpreter, wish.packages, (), {}, wish.source)
    wanted = store.combination(order, pip)
    if wanted is None:
        raise OwnersAlone("Only names and versions are shared: no path, URL or option, and no index with a password.")
    return replace(order, packages=wanted.packages), wanted


def _have(directory: Path, wish: Wish, count: int, pip: str, env: Mapping[str, str]) -> Prepared:
    """A virtualenv with the newest versions that a wish allows; for a Python that is new here, also with those that sites have on another."""
    found = Prepared(", ".join(wish.packages), sites=count)
    with found.recording(), _owners_alone(found):
        order, wanted = _order(wish, pip, env)
        place = store.virtualenvs(directory) / wanted.key
        uv = "" if wish.uv == "none" else virtualenv.find_uv([wish.uv, str(store.uv(directory))], env=env)
        tools = _tools(directory, uv, pip, env, wish.source, 2 * wish.seconds)
        found.python = order.interpreter.version
        for pins in _versions_elsewhere(directory, wanted) if not store.builds(place) else [{}]:
            found.packages, is_new = _build(directory, wanted, replace(order, pins=pins), tools)
            found.state = MADE if is_new else found.state
        for old in store.builds(place)[:-_KEPT]:
            (old.venv.parent / store.COMPLETE).unlink()
            shutil.rmtree(old.venv.parent)
    return found


@contextmanager
def _owners_alone(found: Prepared) -> Iterator[None]:
    try:
        yield
    except OwnersAlone as why:
        found.state, found.error, found.detail = LEFT, why.message, why.detail


def _versions_elsewhere(directory: Path, wanted: store.Combination) -> list[Mapping[str, str]]:
    """The versions that sites with the same requirements have on other Pythons, the latest last; at least none."""
    there = [build for path in store.virtualenvs(directory).iterdir() for build in store.builds(path) if list(build.asked) == wanted.asked]
    there.sort(key=lambda build: build.made)
    return list({tuple(build.packages.items()): build.packages for build in there}.values())[-_KEPT:] or [{}]


def _build(
    directory: Path, combination: store.Combination, order: virtualenv.Order, tools: virtualenv.Tools
) -> tuple[dict[str, str], bool]:
    """A build of the order's versions: what it has, and whether there was none.

    :raises OwnersAlone: when the packages cannot be had as wheels.
    """
    place = store.virtualenvs(directory) / combination.key
    present = store.builds(place)
    target = place / str(time.time_ns()) / "venv"
    try:
        target.parent.mkdir(parents=True)
        virtualenv.create(target, order.interpreter, tools)
        wanted = tools.scratch / "requirements.in"
        wanted.write_text("".join(f"{package}\n" for package in order.packages))
        chosen = virtualenv.choose_with_uv(target, ["-r", wanted], order, tools, "--no-build") if tools.uv else {}
        if chosen and (same := next((build for build in present if build.packages == chosen), None)):
            shutil.rmtree(target.parent)
            return dict(same.packages), False
        got = _downloaded(target, wanted, chosen, directory, order, tools)
        _install(target, wanted, got, order, tools)
        packages = virtualenv.installed(target)
        if any(build.packages == packages for build in present):
            shutil.rmtree(target.parent)
            return packages, False
        content = {"packages": packages, "asked": combination.asked, "made": time.time_ns()}
        files.write_new(target.parent / store.COMPLETE, dumps(content).encode(), 0o644)
        for wheel in got.glob("*.whl"):
            os.replace(wheel, store.wheels(directory) / wheel.name)
    except BaseException:
        shutil.rmtree(target.parent, ignore_errors=True)
        raise
    return packages, True


def _downloaded(
    target: Path, wanted: Path, chosen: Mapping[str, str], directory: Path, order: virtualenv.Order, tools: virtualenv.Tools
) -> Path:
    """A directory with the wheels of the chosen versions, or where none are chosen, of those that can be had.

    pip reads what a wheel says of itself, and runs nothing of it. What the store has is not downloaded again, but has no say in the choice: a
    version that was withdrawn from the index is not taken from there.

    :raises OwnersAlone: when not all can be had.
    """
    got = tools.scratch / "got"
    shutil.rmtree(got, ignore_errors=True)
    for pins in [chosen, {}] if chosen else [order.pins, {}]:
        source = replace(order.source, also=str(store.wheels(directory)) if pins is chosen else "")
        held: tuple[str | Path, ...] = ("-c", virtualenv.write_pins(tools.scratch / "pins.txt", pins)) if pins else ()
        command = _pip(target, "download", "--dest", got, "-r", wanted, *source.arguments(), *held)
        completed = tools.run("Downloading the wheels", *command)
        if completed.returncode == 0:
            return got
    raise OwnersAlone("Not all is there as wheels. pip says:", resolver.reason(completed.output, {str(wanted): order.packages}))


def _install(target: Path, wanted: Path, got: Path, order: virtualenv.Order, tools: virtualenv.Tools) -> None:
    """Install from the wheels, and compile with the Python that the virtualenv is of, not with the virtualenv's."""
    source = ("--no-index", "--find-links", got, "-r", wanted)
    command = _pip(target, "install", "--no-compile")
    if tools.uv:
        command = (tools.uv, "pip", "install", "--quiet", "--no-build", "--python", target / "bin/python", *virtualenv.cache(tools))
    completed = tools.run("Installing the packages", *command, *source)
    if completed.returncode:
        raise SiteError("The packages could not be installed:", completed.output)
    # uv's, which everybody may write to.
    (target / ".lock").unlink(missing_ok=True)
    # What does not compile is not for this Python, and nothing imports it.
    tools.run("Compiling the packages", order.interpreter.path, "-I", "-S", "-m", "compileall", "-q", target / "lib")


def _keep_wheels(directory: Path) -> None:
    """Leave the wheels of each combination's newest build alone: of others, a version may have been withdrawn from the index."""
    newest = [build[-1].packages for path in store.virtualenvs(directory).iterdir() if (build := store.builds(path))]
    wanted = {(name, version) for packages in newest for name, version in packages.items()}
    for wheel in store.wheels(directory).glob("*.whl"):
        name, version = wheel.name.split("-")[:2]
        if (virtualenv.normalize(name), version) not in wanted:
            wheel.unlink()


def result(found: Sequence[Prepared], *, check: bool) -> dict[str, Any]:
    """What the module returns."""
    failed = [one for one in found if one.state == FAILED]
    answer = {"changed": any(one.state in (MADE, WOULD_CHANGE) for one in found), "prepared": [one.result() for one in found]}
    if not failed:
        return {**answer, "report": _lines(found, check=check)}
    return {**answer, "failed": True, "msg": "\n\n".join(report.failure(one, f"{one.name} is not in the store.") for one in failed)}


def _lines(found: Sequence[Prepared], *, check: bool) -> str:
    rows = [(one.name, one.python, str(one.sites or ""), one.state, _gist(one)) for one in found]
    heading = "The sites' shared store" + (" (check mode: nothing was made)." if check else " is ready.")
    return printable("\n".join([heading, "", *report.table(("packages", "Python", "sites", "result", ""), rows)]))


def _gist(one: Prepared) -> str:
    if one.state in (LEFT, SKIPPED):
        return one.cause()
    return f"{len(one.packages)} packages" if one.name != _UV else one.packages.get(_UV, "")
