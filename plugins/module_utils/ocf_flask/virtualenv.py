"""Virtualenvs: built by uv or by venv and pip with the same result, cloned, looked at without running them."""

from __future__ import annotations

import csv
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import process, resolver
from .errors import SiteError
from .pythons import Interpreter

_NOT_IN_VENV = (
    *("bin/activate.bat", "bin/deactivate.bat", "bin/pydoc.bat", "bin/activate.ps1", "bin/activate.nu", "bin/activate.xsh"),
    *("bin/activate_this.py", ".gitignore", "CACHEDIR.TAG"),
)
_Put = Callable[[str, str], None]
# At most so much of a file is copied at a time, in bytes.
_PIECE = 1 << 26
# Not what pip leaves of an interrupted uninstallation: ~lask-3.1.3.dist-info.
_DIST_INFO = re.compile(r"([A-Za-z0-9].*?)-([^-]+)(?:-py3[^-]*)?\.(?:dist|egg)-info")


def normalize(name: str) -> str:
    """A package's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """The normalized name of a package as pip is told of it; empty for an option, a path or a comment."""
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?![/\w.-])", requirement)
    return normalize(match[1]) if match else ""


def installed(venv: Path) -> dict[str, str]:
    """Version by normalized name of what is installed, read from the directories' names alone."""
    found = {}
    for site_packages in venv.glob("lib/python3*/site-packages"):
        for name in os.listdir(site_packages):
            match = _DIST_INFO.fullmatch(name)
            if match:
                found[normalize(match[1])] = match[2]
    return dict(sorted(found.items()))


def requested(venv: Path) -> set[str]:
    """Normalized names of what somebody asked pip for by name, unlike what came as a dependency (PEP 376).

    uv marks all that it installs.
    """
    return {
        normalize(match[1])
        for path in venv.glob("lib/python3*/site-packages/*/REQUESTED")
        if (match := _DIST_INFO.fullmatch(path.parent.name))
    }


def runs_with(venv: Path) -> str | None:
    """The real interpreter of a virtualenv; None when it is gone, as after an upgrade of the system."""
    python = venv / "bin" / "python"
    if not os.access(python, os.X_OK):
        return None
    return os.path.realpath(python)


@dataclass(frozen=True)
class Source:
    """Where packages come from. All empty: PyPI, or what the owner's own pip or uv configuration says.

    ``wheels``: a directory of wheels in place of an index. ``also``: one of wheels that need not be downloaded.
    """

    wheels: str = ""
    index: str = ""
    also: str = ""

    def arguments(self) -> list[str]:
        """As pip and uv both take them."""
        if self.wheels:
            return ["--no-index", "--find-links", self.wheels]
        return ["--find-links", self.also] if self.also else []

    def environment(self) -> dict[str, str]:
        """The index, whose URL may have a password: every account of a machine can read a command line."""
        return dict.fromkeys(("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"), self.index) if self.index else {}


@dataclass(frozen=True)
class Order:
    """What a virtualenv is made of.

    ``packages`` and ``files``: requirements and requirements files, as pip takes them. ``pins``: versions
    to stay with where the requirements allow it, by name. ``locked``: the lines of one more requirements file.
    ``hashed``: the files have hashes. ``asked``: of each package its name, its line, and what has that (see `resolver.about`).
    """

    interpreter: Interpreter
    packages: tuple[str, ...]
    files: tuple[Path, ...]
    pins: Mapping[str, str]
    source: Source
    hashed: bool = False
    locked: tuple[str, ...] = ()
    asked: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Tools:
    """What builds: ``uv`` (empty: venv and pip), the text of the stand-in for pip, and a scratch directory.

    ``cwd`` is the directory that relative paths in requirements files start from.
    """

    uv: str
    pip: str
    scratch: Path
    cwd: Path
    env: Mapping[str, str]
    deadline: float

    def run(self, step: str, *command: str | Path) -> process.Completed:
        left = max(0.1, self.deadline - time.monotonic())
        return process.run(command, env=self.env, cwd=self.cwd, seconds=left, step=step)


def find_uv(candidates: Sequence[str], *, env: Mapping[str, str]) -> str:
    """The first uv that this user can execute, then the one in PATH; empty without any."""
    for candidate in candidates:
        if candidate and os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return shutil.which("uv", path=env.get("PATH", os.defpath)) or ""


def build(target: Path, order: Order, tools: Tools, start: Path | None = None) -> None:
    """Make a virtualenv with just what the order names.

    Versions already in use stay. Where not all of them can be had together with what is asked for, those
    that must change do, and no others.

    :param start: a virtualenv of the same interpreter, with which the new one shares the space of what they have
        in common, where the tool can make it exact: pip cannot.
    :raises SiteError: with pip's or uv's own reason.
    """
    tools = replace(tools, env={**tools.env, **order.source.environment()})
    wanted = Path(tools.scratch, "requirements.in")
    wanted.write_text("".join(f"{package}\n" for package in order.packages))
    requirements: list[str | Path] = ["-r", wanted]
    files = order.files
    if order.locked:
        files = (*files, Path(tools.scratch, "locked.txt"))
        files[-1].write_text("".join(f"{line}\n" for line in order.locked))
    for file in files:
        requirements += ["-r", file]
    if order.hashed:
        _build_hashed(target, order, wanted, requirements[2:], tools)
        return
    if start and tools.uv and is_whole(start):
        clone(start, target)
        if _install(target, ["--exact", *requirements], {}, order.source, tools).returncode == 0:
            return
        shutil.rmtree(target)
    create(target, order.interpreter, tools)
    completed = _install(target, requirements, order.pins, order.source, tools)
    for pins in _reconciled(target, requirements, order, tools) if order.pins else ():
        if completed.returncode == 0:
            break
        completed = _install(target, requirements, pins, order.source, tools)
    _check(completed, order, tools)


def _check(completed: process.Completed, order: Order, tools: Tools) -> None:
    if completed.returncode:
        listed = {str(tools.scratch / "requirements.in"): order.packages, str(tools.scratch / "locked.txt"): order.locked}
        why = resolver.reason(completed.output, listed)
        what = resolver.about(why, order.asked, order.interpreter.version)
        raise SiteError(f"The packages could not be installed{what} {'uv' if tools.uv else 'pip'} says:", why)


def _build_hashed(target: Path, order: Order, wanted: Path, files: Sequence[str | Path], tools: Tools) -> None:
    """Where one requirement has a hash, pip demands them of all: so the files come first, and then what has none.

    The files name exact versions, to which the rest is held.
    """
    create(target, order.interpreter, tools)
    _check(_install(target, ["--require-hashes", *files], {}, order.source, tools), order, tools)
    exact = installed(target)
    completed = _install(target, ["-r", wanted], {**order.pins, **exact}, order.source, tools)
    if completed.returncode and order.pins:
        completed = _install(target, ["-r", wanted], exact, order.source, tools)
    _check(completed, order, tools)


def is_whole(venv: Path) -> bool:
    """Whether each installed package has its files, none of another size (PEP 376's ``RECORD``)."""
    for path in venv.glob("lib/python3*/site-packages/*"):
        if not _DIST_INFO.fullmatch(path.name):
            continue
        try:
            with open(path / "RECORD", newline="", encoding="utf-8") as file:
                sizes = {name: size for name, _, size in csv.reader(file) if size and not name.startswith("..")}
            if not all((path.parent / name).stat().st_size == int(size) for name, size in sizes.items()):
                return False
        except (OSError, ValueError, csv.Error):
            return False
    return True


def _reconciled(target: Path, requirements: Sequence[str | Path], order: Order, tools: Tools) -> Iterator[Mapping[str, str]]:
    """Versions that satisfy the requirements, the pins among them where they can be; none when nothing does. Further ones to
    try when these cannot be installed."""
    if not tools.uv:
        yield _reconcile_with_pip(target, requirements, order, tools)
        return
    yield choose_with_uv(target, requirements, order, tools)
    # Of an old version there may be the source alone, which a newer Python cannot build.
    yield choose_with_uv(target, requirements, order, tools, "--no-build")


def choose_with_uv(target: Path, requirements: Sequence[str | Path], order: Order, tools: Tools, *options: str) -> Mapping[str, str]:
    """With uv, which prefers the versions that it finds in the file that it is to write (docs.astral.sh/uv/pip/compile/)."""
    resolved = write_pins(Path(tools.scratch, "resolved.txt"), order.pins)
    files = [file for file in requirements if file != "-r"]
    command = (tools.uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python", target / "bin" / "python")
    output = ("--output-file", resolved)
    completed = tools.run("Choosing the packages' versions", *command, *cache(tools), *output, *options, *files, *order.source.arguments())
    if completed.returncode:
        return {}
    pairs = (line.partition(";")[0].partition("==") for line in resolved.read_text().splitlines())
    return {normalize(name.partition("[")[0].strip()): version.strip() for name, equals, version in pairs if equals}


def _reconcile_with_pip(target: Path, requirements: Sequence[str | Path], order: Order, tools: Tools) -> Mapping[str, str]:
    """The same with pip, which prefers what it finds installed: so the pins are, in a virtualenv for this alone."""
    trial = Path(tools.scratch, "trial")
    create(trial, order.interpreter, tools)
    pinned = [f"{name}=={version}" for name, version in order.pins.items()]
    together = _install(trial, ["--no-deps", *pinned], {}, order.source, tools)
    for one in pinned if together.returncode else ():
        # One that is to be had no more is not what keeps the others out.
        _install(trial, ["--no-deps", one], {}, order.source, tools)
    found = {} if _install(trial, requirements, {}, order.source, tools).returncode else installed(trial)
    shutil.rmtree(trial)
    return found


def write_pins(path: Path, pins: Mapping[str, str]) -> Path:
    path.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
    return path


def create(target: Path, interpreter: Interpreter, tools: Tools) -> None:
    step = "Making the virtualenv"
    if tools.uv:
        command: list[str | Path] = [tools.uv, "venv", "--quiet", "--no-project", *cache(tools), "--python", interpreter.path, target]
    else:
        command = [interpreter.path, "-I", "-m", "venv", "--without-pip", target]
    completed = tools.run(step, *command)
    if completed.returncode:
        if "No module named venv" in completed.output:
            raise SiteError(f"{interpreter.path} cannot make virtualenvs. As root, type: apt install python3-venv")
        raise SiteError(f"The virtualenv could not be made with {interpreter.path}:", completed.output)
    # What venv does not make either: for other systems, or of use to uv alone.
    for name in _NOT_IN_VENV:
        (target / name).unlink(missing_ok=True)
    (site_packages,) = target.glob("lib/python3*/site-packages")
    Path(site_packages, "pip.py").write_text(tools.pip)
    for name in ("pip", "pip3"):
        script = target / "bin" / name
        script.write_text(f"#!{target}/bin/python\nimport runpy\n\nrunpy.run_module('pip', run_name='__main__')\n")
        script.chmod(0o755)


def _install(target: Path, requirements: Sequence[str | Path], pins: Mapping[str, str], source: Source, tools: Tools) -> process.Completed:
    arguments = [*requirements, *source.arguments()]
    if pins:
        arguments += ["-c", write_pins(Path(tools.scratch, "pins.txt"), pins)]
    python = target / "bin" / "python"
    # Not quiet: pip would not say what conflicts.
    command: tuple[str | Path, ...] = (python, "-m", "pip", "install", "--progress-bar", "off", "--no-cache-dir", "--compile")
    if tools.uv:
        command = (tools.uv, "pip", "install", "--quiet", "--python", python, "--compile-bytecode", *cache(tools))
    completed = tools.run("Installing the packages", *command, *arguments)
    # Left by uv, and of use to it alone.
    (target / ".lock").unlink(missing_ok=True)
    return completed


def cache(tools: Tools) -> tuple[str | Path, ...]:
    """For uv, one beside the virtualenv: it lets uv link instead of copy, goes with the scratch directory, and the owner's home has none."""
    return ("--cache-dir", tools.scratch / "uv")


def clone(source: Path, target: Path, *, linked: bool = True) -> None:
    """A virtualenv like another, at another path, where it is the same owner's sharing its files' space (``linked``).

    Installers replace files and never write into them, so a hard link is as good as a copy. What has the
    virtualenv's own path in it (``bin/``, ``pyvenv.cfg``) is written anew. Modification times stay, so
    the bytecode stays valid.
    """
    put = _link_or_copy if linked else _copy
    _clone(
        str(source), str(target), put, lambda origin, copy: _moved(origin, copy, str(source).encode(), str(target).encode()), ("", "bin")
    )


def _clone(source: str, target: str, put: _Put, put_own: _Put, own: Sequence[str]) -> None:
    """``own``: the directories below this one, empty for itself, in which files may have the virtualenv's path in them."""
    os.mkdir(target, 0o755)
    with os.scandir(source) as entries:
        for entry in entries:
            copy = f"{target}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), copy)
            elif entry.is_dir():
                _clone(entry.path, copy, put, put_own, ("",) if entry.name in own else ())
            else:
                (put_own if "" in own else put)(entry.path, copy)


def _moved(origin: str, copy: str, old: bytes, new: bytes) -> None:
    """A copy with another path of the virtualenv in it."""
    _copy(origin, copy)
    content = Path(origin).read_bytes()
    if old in content:
        status = os.stat(copy)
        Path(copy).write_bytes(content.replace(old, new))
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


def _link_or_copy(origin: str, copy: str) -> None:
    try:
        os.link(origin, copy)
    except OSError:
        _copy(origin, copy)


def _copy(origin: str, copy: str) -> None:
    """A file with its content, permissions and times: shutil's takes twice as long, for what no virtualenv has."""
    with open(origin, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IMODE(status.st_mode))
        with open(descriptor, "wb", buffering=0):
            while os.sendfile(descriptor, file.fileno(), None, _PIECE):
                pass
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
