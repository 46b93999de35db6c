"""A verb with something going wrong in it, and what has to hold then.

Each round is a run of its own on a copy of a prepared home: as the module does it, in a process that forks a worker for each
site. A fault happens to the worker of one site, at one of its points (see `interposed`). Then the site is looked at, the
verb is run again, and what there is compared with what a run without a fault makes.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import ocf_flask_source
from interposed import NEEDS_DISK, NEEDS_RIGHT, NEEDS_SPACE, Interposed, Point
from ocf_flask import fastcgi, moments, places, release, running, settings, sites
from ocf_flask import source as sources
from ocf_flask.outcome import DONE, FAILED
from ocf_flask.process import contained
from ocf_flask.revision import Brought
from ocf_flask.site import Kit
from runtime_site import environ

Around = Callable[[], AbstractContextManager[object]]
NAME = "flasky"
# What a site answers: of its code, of its environment, and of its packages. Its texts differ in size, as for `wheel`.
APP = """import os

import lib


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{0} {{os.environ['GREETING']}} {{lib.version}}".encode()]
"""
SECONDS = 30.0
# In bytes: less than a release's larger files have.
LARGEST = 2000
_ID = re.compile(r"\d{8}-\d{6}(?:-\d+)?")
# Times in names and records, and numbers of processes.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[- T]\d\d:?\d\d:?\d\d(?:Z| UTC)?(?:-\d+)?")
_KEPT = re.compile(r"\.ocf-flask-run\.fcgi\.")
# What whoever runs the app makes at any time; and what only says by whom and when.
_ANY, _BLANK = {"__pycache__", "log"}, {"lock", "token"}


def wheel(directory: Path, name: str, version: str) -> None:
    """A package of one module, which says its version."""
    # No two versions of one size: files of one size and second would pass for the same with Python's bytecode.
    info, source = f"{name}-{version}.dist-info", f"version = {version!r}\n" + "#" * int(version[0])
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    tags = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as file:
        for path, content in ((f"{name}.py", source), (f"{info}/METADATA", metadata), (f"{info}/WHEEL", tags)):
            file.writestr(path, content)
        file.writestr(f"{info}/RECORD", f"{name}.py,,{len(source)}\n{info}/METADATA,,{len(metadata)}\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@dataclass
class World:
    """An account's home and web space, below ``base``, in which all that a round changes lies."""

    base: Path
    shelf: Path
    kit: Kit

    def __post_init__(self) -> None:
        self.home, self.space, self.tmp, self.source = (self.base / name for name in ("home", "web", "temporary", "source"))

    def make(self) -> None:
        for path in (self.home, self.space, self.tmp, self.source):
            path.mkdir(parents=True)

    def web(self, name: str = NAME) -> Path:
        return self.space / name

    def private(self, name: str = NAME) -> Path:
        return self.home / ".ocf-flask" / name

    def write(self, path: str, content: str) -> None:
        target = self.base / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def variables(self, step: Step) -> dict[str, Any]:
        entries = [{"name": name, "directory": str(self.web(name)), "private_directory": str(self.private(name))} for name in step.names]
        more = {key: str(self.source) if value == "SOURCE" else value for key, value in step.settings.items()}
        common = {"url": "http://localhost:9/~{owner}/{name}/", "python": sys.executable, "wheels": str(self.shelf), **more}
        return {"ocf_flask_sites": entries, **{f"ocf_flask_{key}": value for key, value in common.items()}}

    def save(self, place: Path) -> None:
        subprocess.run(["cp", "-a", self.base, place], check=True)

    def load(self, place: Path) -> None:
        # The directory itself may be where a file system is mounted.
        subprocess.run(["find", self.base, "-mindepth", "1", "-delete"], check=True)
        subprocess.run(["cp", "-a", f"{place}/.", self.base], check=True)


@dataclass(frozen=True)
class Step:
    """A verb, what is there before it, and what it is asked. ``apart``: home and web space are different file systems. ``builds``: whether
    it installs packages. ``mixed``: what the site answers, besides, after a kill that no run has followed yet."""

    verb: str
    prepare: Callable[[World], None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = (NAME,)
    apart: bool = False
    builds: bool = False
    mixed: str = ""
    asked: Callable[[World], sites.Asked] = lambda world: sites.Asked()


@dataclass
class Result:
    """How a run ended: of each site its record (none, when the run did not come to tell it), and the points that it had.
    ``hit``: whether the fault has happened."""

    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    hit: bool = False
    trouble: str = ""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at one point: ``happens`` in the worker before the call; ``lasts`` when it is told of all later ones too.
    ``calls``: the kinds of calls that it can happen to; empty for all."""

    happens: Callable[[Context, Point], None]
    calls: frozenset[str] = frozenset()
    lasts: bool = False

    def fits(self, point: Point) -> bool:
        return not self.calls or point.call in self.calls


@dataclass(frozen=True)
class Context:
    """What a fault may need to know. ``module``: the process that has forked the worker; ``again``: does the verb once more."""

    module: int
    tmp: Path
    again: Callable[[], None]


def _fails(number: int, point: Point) -> None:
    raise OSError(number, os.strerror(number), point.path)


def _kill(context: Context, _: Point) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.kill(context.module, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _signal(number: int) -> Callable[[Context, Point], None]:
    """The module's process gets it, as from Ctrl-C or a connection that ends; the worker hears of that by its own SIGTERM."""

    def happens(context: Context, _: Point) -> None:
        os.kill(context.module, number)
        time.sleep(SECONDS)
        raise AssertionError("the worker was not told")

    return happens


def _no_large_files(_: Context, __: Point) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))


def _full_tmp(context: Context, point: Point) -> None:
    if point.path.startswith(str(context.tmp)):
        _fails(errno.ENOSPC, point)


def _set_clock(seconds: float) -> None:
    real, mark = time.time, release.mark

    def marked(where: places.Places, identity: str) -> None:
        # The system's own time, which files get, is another.
        mark(where, identity)
        os.utime(where.release(identity) / "live", (time.time(),) * 2)

    class Jumped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Jumped:
            return cls.fromtimestamp(real() + seconds, tz)

    time.time = lambda: real() + seconds
    release.datetime = moments.datetime = Jumped
    release.mark = marked


FAULTS = {
    "kill -9": Fault(_kill),
    "SIGTERM": Fault(_signal(signal.SIGTERM)),
    "SIGINT": Fault(_signal(signal.SIGINT)),
    "ENOSPC": Fault(lambda _, point: _fails(errno.ENOSPC, point), NEEDS_SPACE, lasts=True),
    "EDQUOT": Fault(lambda _, point: _fails(errno.EDQUOT, point), NEEDS_SPACE, lasts=True),
    "EFBIG": Fault(_no_large_files),
    "EACCES": Fault(lambda _, point: _fails(errno.EACCES, point), NEEDS_RIGHT),
    "EIO": Fault(lambda _, point: _fails(errno.EIO, point), NEEDS_DISK),
    "full /tmp": Fault(_full_tmp, NEEDS_SPACE, lasts=True),
    "clock back": Fault(lambda *_: _set_clock(-86400)),
    "clock on": Fault(lambda *_: _set_clock(86400)),
    "second run": Fault(lambda context, _: context.again()),
}


def run(world: World, step: Step, fault: Fault | None = None, number: int = -1, *, hours: float = 0, **changed: Any) -> Result:
    """Do the verb in a process of its own, and wait until nothing of it is left.

    :param hours: how much later it is.
    :param changed: settings, by their full names.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            os.setsid()
            # What runs in the background may have been told to ignore it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if hours:
                _set_clock(3600 * hours)
            _module(world, step, fault, number, changed, writing)
        except KeyboardInterrupt:
            pass
        except BaseException:
            _say(writing, {"trouble": traceback.format_exc()})
        finally:
            os._exit(0)
    os.close(writing)
    result = Result()
    # It ends once the module and all its workers have.
    with open(reading, encoding="utf-8") as file:
        for line in file:
            said = json.loads(line)
            result.outcomes.update(said.get("outcomes", {}))
            result.points += [Point(*one) for one in said.get("points", ())]
            result.hit |= said.get("hit", False)
            result.trouble += said.get("trouble", "")
    os.waitpid(pid, 0)
    return result


def _say(writing: int, what: Mapping[str, Any]) -> None:
    os.write(writing, json.dumps(what).encode() + b"\n")


def _module(world: World, step: Step, fault: Fault | None, number: int, changed: Mapping[str, Any], writing: int) -> None:
    account = places.account("")
    places.account = lambda _: replace(account, home=world.home, shell="")
    os.environ.update(TMPDIR=str(world.tmp), UV_HTTP_TIMEOUT="1", UV_HTTP_RETRIES="0")
    tempfile.tempdir = str(world.tmp)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.fsync = lambda _: None
    if fault is None:
        # A minute later.
        for left in world.tmp.glob("ocf-flask.*"):
            os.utime(left, (0, 0))
    variables = {**world.variables(step), **changed}
    asked = step.asked(world)
    if "ocf_flask_source" in variables:
        asked = replace(asked, brought=_brought(world, variables))
    verb = sites.verb(step.verb, world.kit, asked, check=False)
    module = os.getpid()

    def work(one: settings.Settings) -> Any:
        if one.name != NAME:
            return verb.work(one)

        def again() -> None:
            pid = os.fork()
            if pid == 0:
                try:
                    outcome = verb.work(replace(one, timeouts=replace(one.timeouts, lock=0)))
                    _say(writing, {"outcomes": {"again": asdict(outcome)}})
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)

        context = Context(module, world.tmp, again)

        def happens(at: int, point: Point) -> None:
            if at == number:
                _say(writing, {"hit": True})
            if fault and (at == number or (fault.lasts and at > number)) and fault.fits(point):
                fault.happens(context, point)

        here = Interposed(happens, lambda *names: _refuse_across(world, *names) if step.apart else None)
        try:
            return verb.work(one)
        finally:
            here.active = False
            if fault is None:
                _say(writing, {"points": [(one.call, one.path) for one in here.points]})

    run = sites.Run(variables, "", "", ())
    outcomes = sites.execute(run, replace(verb, work=work))
    _say(writing, {"outcomes": {one.name: asdict(one) for one in outcomes}})


def _refuse_across(world: World, *names: str) -> None:
    if len({name.startswith(f"{world.home}/") for name in names}) > 1:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def _brought(world: World, variables: Mapping[str, Any]) -> Brought:
    found = ocf_flask_source.listings([str(world.source)])
    entry, *_ = variables["ocf_flask_sites"]
    one = settings.read(entry, {key.removeprefix("ocf_flask_"): value for key, value in variables.items()})
    lacking = sources.missing(one, Brought(found))
    if not lacking:
        return Brought(found)
    # On another machine, perhaps.
    archive = world.base.parent / "code.zip"
    ocf_flask_source.pack(found, set(lacking), str(archive))
    brought = sites.brought(found, str(archive))
    archive.unlink()
    return brought


def answer(web: Path) -> str:
    """What a new process of the site answers, started as mod_fcgid does it; empty when visitors cannot reach it."""
    script = web / "run.fcgi"
    if not script.exists() or not web.stat().st_mode & 0o001:
        return ""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as connection, open(os.devnull, "wb") as nowhere:
        # An abstract name: there is nothing to clean up.
        listener.bind(f"\0ocf-flask-faults-{os.getpid()}")
        listener.listen(1)
        try:
            with contained(["./run.fcgi"], env={"PATH": os.environ["PATH"]}, cwd=web, stdin=listener.fileno(), stdout=nowhere):
                connection.connect(listener.getsockname())
                listener.close()
                found = fastcgi.request(connection, environ("/"), deadline=time.monotonic() + SECONDS, limit=1_000_000)
        except (OSError, fastcgi.FastCGIError) as error:
            return f"no answer: {error}"
    return f"{found.status} {found.body.decode()}"


def tree(world: World) -> dict[str, str]:
    """All that there is: of each file its mode and content, without what differs between two runs."""
    found: dict[str, str] = {}
    known = _identities(world.home)
    for folder, directories, names in os.walk(world.base):
        directories[:] = [name for name in directories if name not in _ANY]
        for name in (*directories, *names):
            path = Path(folder, name)
            if not _KEPT.match(name):
                content = "" if name in _BLANK else _plain(_content(path), known)
                # Of a site that was shut, nobody knows whether it was 711 or 701.
                mode = stat.S_IMODE(path.lstat().st_mode) & (0o707 if path.parent == world.space else 0o777)
                found[_plain(str(path.relative_to(world.base)), known)] = f"{mode:o} {content}"
    return dict(sorted(found.items()))


def _identities(home: Path) -> dict[str, str]:
    """The releases of each site, in the order in which they were made."""
    return {
        identity: f"RELEASE-{place}"
        for releases in home.rglob("releases")
        for place, identity in enumerate(sorted((path.name for path in releases.iterdir()), key=release.order), 1)
    }


def _plain(text: str, known: Mapping[str, str]) -> str:
    return _TIME.sub("TIME", _ID.sub(lambda match: known.get(match[0], match[0]), text))


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    if not path.is_file():
        return "no file"
    if path.name == "record.json" and path.read_text().endswith("}\n"):
        record = json.loads(path.read_text())
        return json.dumps({**record, "mode": record["mode"] & 0o707})
    if path.name == "manifest.json" and path.read_text().endswith("}\n"):
        manifest = json.loads(path.read_text())
        for key in ("created", "tested", "run_fcgi"):
            del manifest[key]
        for key in ("timeouts", "index", "wheels"):
            del manifest["settings"][key]
        manifest["published"] = {name: record[:2] for name, record in manifest["published"].items()}
        return json.dumps(manifest)
    return path.read_bytes().decode("utf-8", "replace")


@dataclass
class Trial:
    """A step, and what a run of it without a fault makes."""

    world: World
    step: Step
    place: Path
    last: Result = field(default_factory=Result)
    _answers: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        world = self.world
        world.make()
        self.step.prepare(world)
        world.save(self.place)
        self.tree_before, self.before = tree(world), self.answers()
        self._of_old_pages: frozenset[str] | None = None
        self.clean = run(world, self.step)
        states = {one["state"] for one in self.clean.outcomes.values()}
        assert states == {DONE[self.step.verb]} and not self.clean.trouble, self.clean
        self.tree_after, self.after = tree(world), self.answers()
        self.points = self.clean.points
        self.again()
        assert tree(world) == self.tree_after, "a run with nothing to do changes something"

    def answers(self) -> dict[str, str]:
        """What each site answers; asked once for each state that there is."""
        state = json.dumps(tree(self.world))
        if state not in self._answers:
            self._answers[state] = {name: answer(self.world.web(name)) for name in self.step.names}
        return self._answers[state]

    def again(self) -> Result:
        return run(self.world, self.step)

    def at(self, fault: Fault) -> list[int]:
        """The points at which it can happen."""
        return [number for number, point in enumerate(self.points) if fault.fits(point)]

    def round(self, fault: Fault | None, number: int = -1, around: Around = nullcontext, **changed: Any) -> list[str]:
        """What is wrong when this happens at that point.

        :param around: what is so as long as the verb is at work.
        :param changed: settings of that run, by their full names.
        """
        gone = self.of_old_pages() if fault is FAULTS["clock on"] else frozenset()
        self.world.load(self.place)
        with around():
            self.last = result = run(self.world, self.step, fault, number, **changed)
        wrong = [result.trouble] if result.trouble else []
        if fault and not result.hit:
            wrong.append(f"there was no point {number}")
        wrong += self._broken(result) + self._visible(result)
        wrong += self._left_running()
        if tree(self.world) == self.tree_before:
            # Then the next run is the one that there was without a fault.
            return wrong
        last = self.again()
        # What has been removed, or restored, is not once more.
        if self.step.verb not in ("remove", "restore"):
            failed = [one for one in last.outcomes.values() if one["state"] == FAILED]
            wrong += [f"the next run of {one['name']} fails: {one['error']} {one['detail']}" for one in failed]
        return wrong + self.unlike_the_clean(gone)

    def of_old_pages(self) -> frozenset[str]:
        """The static files that the verb leaves for an hour, because pages of before name them."""
        if self._of_old_pages is None:
            self.world.load(self.place)
            before = self._published()
            self.again()
            self._of_old_pages = before - self._published()
        return self._of_old_pages

    def _published(self) -> frozenset[str]:
        """The files in the web spaces that are copies of the live releases' code."""
        found = {
            name: release.last_live(places.Places(self.world.web(name), self.world.private(name), self.world.home))
            for name in self.step.names
        }
        return frozenset(f"web/{name}/{path}" for name, live in found.items() if live for path in live.published)

    def unlike_the_clean(self, gone: frozenset[str] = frozenset()) -> list[str]:
        """How all differs from what a run without the fault leaves, but for what may be gone."""
        now = tree(self.world)
        wanted = {path: found for path, found in self.tree_after.items() if path in now or path not in gone}
        wrong = self._differences(wanted, self.after)
        if wrong and self.step.verb == "remove":
            # Where there was no space, the site's directory stays in the web space: what counts is that all of it comes back.
            back = run(self.world, replace(self.step, verb="restore"))
            if back.outcomes.get(NAME, {}).get("state") == DONE["restore"] and not self._differences(self.tree_before, self.before):
                return []
        return [f"after the next run, {one}" for one in wrong]

    def _good(self, name: str, result: Result) -> set[str]:
        """What the site may answer then."""
        states = {result.outcomes.get(one, {}).get("state", "") for one in (name, *(("again",) if name == NAME else ()))} - {""}
        if DONE[self.step.verb] in states:
            return {self.after[name]}
        # A removal shuts the site before all else.
        if FAILED in states and self.step.verb != "remove":
            return {self.before[name]}
        return {self.before[name], self.after[name], *([self.step.mixed] if self.step.mixed and not states else [])}

    @staticmethod
    def _broken(result: Result) -> list[str]:
        """Errors of a kind that nobody is to see."""
        return [f"{name}: {one['error']} {one['detail']}" for name, one in result.outcomes.items() if "without an answer" in one["error"]]

    def _visible(self, result: Result) -> list[str]:
        """What visitors would find wrong."""
        wrong = []
        for name, now in self.answers().items():
            good, outcome = self._good(name, result), result.outcomes.get(name, {})
            if now not in good:
                told = f"{outcome.get('state', 'nothing')}: {outcome.get('error', '')}"
                wrong.append(f"{name} answers {now!r}, not {' or '.join(map(repr, sorted(good)))}, when the run said {told}")
            if (self.world.web(name) / ".htaccess").exists() and not (self.world.web(name) / "run.fcgi").exists():
                wrong.append(f"{name} has .htaccess without run.fcgi")
        for path, found in tree(self.world).items():
            known = {one.get(path, "").partition(" ")[2] for one in (self.tree_before, self.tree_after)}
            if path.startswith("web/") and "/." not in path and found.partition(" ")[2] not in known:
                wrong.append(f"visitors see {path}: {found[:300]!r}")
        return wrong

    def _left_running(self) -> list[str]:
        wrong = []
        for name in self.step.names:
            wrong += [f"process {pid} is left" for pid in running.users(self.world.private(name))]
            lock = self.world.private(name) / "lock"
            if lock.exists():
                with lock.open("r+") as file:
                    try:
                        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except OSError:
                        wrong.append("the lock is held")
        return wrong

    def _differences(self, wanted: Mapping[str, str], answers: Mapping[str, str]) -> list[str]:
        now, after = tree(self.world), self.answers()
        wrong = [f"{path} is left: {now[path][:100]}" for path in now if path not in wanted]
        wrong += [f"{path} is missing" for path in wanted if path not in now]
        wrong += [f"{path} is {_differing(found, wanted[path])}" for path, found in now.items() if wanted.get(path, found) != found]
        if after != answers:
            wrong.append(f"it answers {after}, not {answers}")
        return wrong


def _differing(one: str, other: str) -> str:
    """Two texts from where they begin to differ."""
    same = next((place for place, pair in enumerate(zip(one, other)) if pair[0] != pair[1]), min(len(one), len(other)))
    start = max(0, same - 40)
    return f"{one[start : start + 150]!r}, not {other[start : start + 150]!r}"


def _deployed(world: World, step: Step) -> None:
    done = run(world, replace(step, verb="deploy", asked=lambda _: sites.Asked(), apart=False))
    assert {one["state"] for one in done.outcomes.values()} == {DONE["deploy"]}, done


OLD = {"env": {"GREETING": "hello"}, "packages": ["lib==1.0"]}
NEW = {"env": {"GREETING": "good morning"}, "packages": ["lib==2.0"]}


def _code(world: World, text: str, names: tuple[str, ...] = (NAME,)) -> None:
    for name in names:
        world.write(f"web/{name}/flaskyapplication.py", APP.format(text))
        world.write(f"web/{name}/static/a.css", f"/* {text} */")


def _nothing(world: World) -> None:
    _code(world, "one")


def _one(world: World, names: tuple[str, ...] = (NAME,)) -> None:
    _code(world, "one", names)
    _deployed(world, Step("deploy", _nothing, OLD, names))


def _edited(world: World, names: tuple[str, ...] = (NAME,)) -> None:
    _one(world, names)
    _code(world, "three", names)
    world.write("web/flasky/more.py", "MORE = True\n")


def _two(world: World) -> None:
    _edited(world)
    _deployed(world, Step("deploy", _nothing, NEW))


def _source(world: World, text: str) -> None:
    world.write("source/flaskyapplication.py", APP.format(text))
    world.write("source/static/a.css", f"/* {text} */")
    world.write(f"source/static/{text}.css", "")
    world.write("source/instance/app.cfg", "FIRST = True")


def _brought_one(world: World) -> None:
    _source(world, "one")
    _deployed(world, Step("deploy", _nothing, {**OLD, "source": "SOURCE"}))


def _brought_edited(world: World) -> None:
    _brought_one(world)
    shutil.rmtree(world.source)
    _source(world, "three")


def _removed(world: World) -> None:
    _two(world)
    done = run(world, Step("remove", _nothing, NEW))
    assert done.outcomes[NAME]["state"] == DONE["remove"], done


def _first(world: World) -> sites.Asked:
    return sites.Asked(release=min((path.name for path in (world.private() / "releases").iterdir()), key=release.order))


LOOSE = {"env": OLD["env"], "packages": ["lib"]}


def _upgradable(world: World) -> None:
    _code(world, "one")
    _deployed(world, Step("deploy", _nothing, OLD))
    _deployed(world, Step("deploy", _nothing, LOOSE))


BULK = (NAME, "second")
STEPS = {
    "first deploy": Step("deploy", _nothing, OLD, builds=True),
    "update": Step("deploy", _edited, NEW, builds=True),
    "update of code brought": Step("deploy", _brought_edited, {**OLD, "env": NEW["env"], "source": "SOURCE"}),
    "rollback": Step("rollback", _two, NEW, asked=_first, mixed="200 one good morning 2.0"),
    "upgrade": Step("upgrade", _upgradable, LOOSE, builds=True),
    "remove": Step("remove", _two, NEW),
    "remove, two file systems": Step("remove", _two, NEW, apart=True),
    "restore": Step("restore", _removed, NEW),
    "restore, two file systems": Step("restore", _removed, NEW, apart=True),
    "bulk": Step("deploy", lambda world: _edited(world, BULK), NEW, BULK, builds=True),
}


def table(counted: Mapping[tuple[str, str], int]) -> str:
    """How many times each fault was had in each step, in Markdown."""
    rows = [f"| step | {' | '.join(FAULTS)} |", "|---" * (len(FAULTS) + 1) + "|"]
    rows += [f"| {step} | {' | '.join(str(counted.get((step, fault), 0)) for fault in FAULTS)} |" for step in STEPS]
    return "".join(f"{row}\n" for row in rows)
