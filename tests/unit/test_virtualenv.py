"""Virtualenvs: built by both tools with the same result, cloned, looked at."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ocf_flask import pythons, virtualenv
from ocf_flask.errors import SiteError, StepTimeout
from ocf_flask.site import Kit

ROOT = Path(__file__).parents[2]
PIP = (ROOT / "roles" / "ocf_flask" / "files" / "pip.py").read_text()
ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "UV_PYTHON_DOWNLOADS": "never",
}
PACKAGES = ["blinker", "click", "flask", "itsdangerous", "jinja2", "markupsafe", "werkzeug"]


@pytest.fixture(scope="session")
def wheels() -> Path:
    """A directory of wheels, downloaded once."""
    made = subprocess.run([ROOT / "molecule" / "image" / "wheels"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the wheels cannot be downloaded: {made.stderr[-300:]}")
    return ROOT / "build" / "wheels"


@pytest.fixture(scope="session")
def interpreter(wheels: Path) -> pythons.Interpreter:
    found = pythons.find("", env=ENV)
    tag = "cp" + "".join(found.version.split(".")[:2])
    if not list(wheels.glob(f"markupsafe-*-{tag}-*.whl")):
        pytest.skip(f"molecule/image/wheels.txt has no wheels for this machine's Python {found.version}")
    return found


def uv() -> str:
    return shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or ""


@dataclass(frozen=True)
class Bench:
    """Builds virtualenvs below a directory with one tool."""

    directory: Path
    tool: str
    interpreter: pythons.Interpreter
    wheels: Path

    def order(self, *packages: str, **more: object) -> virtualenv.Order:
        plain = virtualenv.Order(self.interpreter, packages, (), {}, virtualenv.Source(wheels=str(self.wheels)))
        return replace(plain, **more)  # type: ignore[arg-type]

    def build(self, order: virtualenv.Order, name: str = "venv", seconds: float = 60, start: Path | None = None) -> Path:
        scratch = self.directory / f"{name}-scratch"
        scratch.mkdir(exist_ok=True)
        tools = virtualenv.Tools(self.tool, PIP, scratch, self.directory, ENV, time.monotonic() + seconds)
        virtualenv.build(self.directory / name, order, tools, start)
        return self.directory / name


Benches = Callable[[str, Path], Bench]


@pytest.fixture(scope="session")
def bench(wheels: Path, interpreter: pythons.Interpreter) -> Benches:
    def make(tool: str, directory: Path) -> Bench:
        path = uv() if tool == "uv" else ""
        if tool == "uv" and not path:
            pytest.skip("there is no uv: pip install -r requirements-test.txt")
        return Bench(directory, path, interpreter, wheels)

    return make


@pytest.fixture(scope="session", params=["uv", "pip"])
def built(request: pytest.FixtureRequest, bench: Benches, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtualenv with Flask, made by each of the tools. Not to be changed."""
    made = bench(request.param, tmp_path_factory.mktemp("built"))
    return made.build(made.order("flask"))


@pytest.fixture
def cloned(built: Path, tmp_path: Path) -> Path:
    virtualenv.clone(built, tmp_path / "clone")
    return tmp_path / "clone"


def output(*command: str | Path, **env: str) -> str:
    return subprocess.run(list(command), env={**ENV, **env}, capture_output=True, text=True, check=True).stdout


def shell(venv: Path, line: str) -> str:
    return output("bash", "-c", f". {venv}/bin/activate && {line}")


def state(venv: Path) -> dict[str, tuple[float, bytes]]:
    """Each file's modification time and content."""
    files = (path for path in sorted(venv.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(venv)): (path.stat().st_mtime, path.read_bytes()) for path in files}


# Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("flask", "flask"), ("Flask_Login>=0.6", "flask-login"), ("  rich [jupyter] ; python_version > '3'", "rich"), ("a==1", "a"),
        ("zope.interface", "zope-interface"), ("lib @ https://example.edu/lib.whl", "lib"), ("lib@ file:///x", "lib"),
        ("-r other.txt", ""), ("--hash=x", ""), ("# flask", ""), ("", ""), ("./lib", ""), ("../lib", ""), ("/srv/lib", ""), ("wheels/lib.whl", ""),
        ("my-dir/lib", ""), ("https://example.edu/x.whl", ""),
    ],
)  # fmt: skip
def test_the_name_in_a_requirement(requirement: str, name: str) -> None:
    if requirement.startswith("https:"):
        # The scheme looks like a name, and no package has it.
        assert virtualenv.requirement_name(requirement) in ("https", "")
        return
    assert virtualenv.requirement_name(requirement) == name


def test_what_is_installed_is_told_by_the_directories_names(tmp_path: Path) -> None:
    site_packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in (
        "Flask_Login-0.6.3.dist-info", "zope.interface-7.2.dist-info", "old-1.0-py3.11.egg-info", "old_two-1.0.egg-info", "~lask-3.0.dist-info",
        "flask", "flask.py", "-x-1.dist-info",
    ):  # fmt: skip
        (site_packages / name).mkdir(parents=True)
    assert virtualenv.installed(tmp_path) == {"flask-login": "0.6.3", "zope-interface": "7.2", "old": "1.0", "old-two": "1.0"}


def test_nothing_is_installed_where_nothing_is(tmp_path: Path) -> None:
    assert virtualenv.installed(tmp_path / "none") == {}
    assert virtualenv.requested(tmp_path / "none") == set()
    assert virtualenv.runs_with(tmp_path / "none") is None


# Building ---------------------------------------------------------------------------------------------------------


def test_what_was_asked_for_is_installed_and_runs(built: Path) -> None:
    assert list(virtualenv.installed(built)) == PACKAGES
    assert "flask" in virtualenv.requested(built)
    assert output(built / "bin" / "python", "-c", "import flask, sys; print(sys.prefix)") == f"{built}\n"
    assert output(built / "bin" / "flask", "--version").startswith("Python 3.")


def test_everything_has_bytecode(built: Path) -> None:
    (site_packages,) = built.glob("lib/python3*/site-packages")
    sources = [path for package in ("flask", "werkzeug", "jinja2", "click") for path in (site_packages / package).rglob("*.py")]
    assert len(sources) > 80
    missing = [path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))]
    assert missing == []


def test_it_runs_with_the_interpreter_that_was_asked_for(built: Path, interpreter: pythons.Interpreter) -> None:
    assert virtualenv.runs_with(built) == interpreter.path


def test_the_python_of_a_virtualenv_is_the_one_that_it_was_made_of(built: Path) -> None:
    assert pythons.find(f"{built}/bin/python", env=ENV) == pythons.find("/usr/bin/python3", env=ENV)


def test_an_interpreter_that_went_away_is_noticed(cloned: Path) -> None:
    for name in os.listdir(cloned / "bin"):
        if name.startswith("python"):
            (cloned / "bin" / name).unlink()
            (cloned / "bin" / name).symlink_to("/usr/bin/python3.gone")
    assert virtualenv.runs_with(cloned) is None


def test_a_virtualenv_has_no_copy_of_pip(built: Path) -> None:
    (site_packages,) = built.glob("lib/python3*/site-packages")
    assert not (site_packages / "pip").exists()
    assert sum(path.stat().st_size for path in built.rglob("*") if not path.is_symlink()) < 15_000_000


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_a_package_that_is_not_there_fails_with_the_tools_own_reason(bench: Benches, tmp_path: Path, tool: str) -> None:
    made = bench(tool, tmp_path)
    with pytest.raises(SiteError) as caught:
        made.build(made.order("flask-of-nobody"))
    assert caught.value.message == f"The packages could not be installed. {tool} says:"
    assert "flask-of-nobody" in caught.value.detail
    assert re.search("No matching distribution|not found in the", caught.value.detail)


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_a_requirements_file_is_installed_and_a_wrong_line_in_it_shown(bench: Benches, tmp_path: Path, tool: str) -> None:
    made = bench(tool, tmp_path)
    file = tmp_path / "requirements.txt"
    file.write_text("# mine\nitsdangerous>=2\n")
    venv = made.build(made.order("click", files=(file,)))
    assert list(virtualenv.installed(venv)) == ["click", "itsdangerous"]
    assert virtualenv.requested(venv) == {"click", "itsdangerous"}, "both tools mark what is asked for by name"
    file.write_text("itsdangerous >>> 2\n")
    with pytest.raises(SiteError) as caught:
        made.build(made.order(files=(file,)), "other")
    assert file.name in caught.value.detail
    assert ">>>" in caught.value.detail


def wheel(directory: Path, name: str, version: str) -> None:
    """An empty package."""
    import zipfile

    info = f"{name}-{version}.dist-info"
    # No two versions of one size: files of one size and second would pass for the same with Python's bytecode.
    source, metadata = f"version = {version!r}\n" + "#" * int(version[0]), f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", source)
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{name}.py,,{len(source)}\n{info}/METADATA,,{len(metadata)}\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A wheel directory with two versions of `lib` and of `tool`."""
    directory = tmp_path / "shelf"
    directory.mkdir()
    for name in ("lib", "tool"):
        for version in ("1.0", "2.0"):
            wheel(directory, name, version)
    return directory


@pytest.mark.parametrize("tool", ["uv", "pip"])
@pytest.mark.parametrize(
    ("pins", "packages", "expected"),
    [
        ({}, ("lib", "tool"), {"lib": "2.0", "tool": "2.0"}),
        ({"lib": "1.0", "tool": "1.0"}, ("lib", "tool"), {"lib": "1.0", "tool": "1.0"}),
        ({"lib": "1.0", "gone": "7"}, ("lib",), {"lib": "1.0"}),
        ({"lib": "1.0", "tool": "1.0"}, ("lib>=2", "tool"), {"lib": "2.0", "tool": "1.0"}),
        ({"lib": "1.0", "tool": "1.0", "gone": "7"}, ("lib>=2", "tool"), {"lib": "2.0", "tool": "1.0"}),
        # A version that is to be had no more cannot stay.
        ({"lib": "0.5", "tool": "1.0"}, ("lib", "tool"), {"lib": "2.0", "tool": "1.0"}),
    ],
)
def test_versions_once_installed_stay_where_they_can(
    bench: Benches, tmp_path: Path, shelf: Path, tool: str, pins: dict[str, str], packages: tuple[str, ...], expected: dict[str, str]
) -> None:
    made = bench(tool, tmp_path)
    order = made.order(*packages, pins=pins, source=virtualenv.Source(wheels=str(shelf)))
    assert virtualenv.installed(made.build(order)) == expected


def unbuildable(directory: Path, name: str, version: str) -> None:
    """The source of a package that nothing can build, as an old one is for a newer Python."""
    import tarfile

    files = {
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": "raise RuntimeError('this does not compile')\n",
    }
    with tarfile.open(directory / f"{name}-{version}.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{name}-{version}/{path}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_a_version_that_can_be_had_but_not_built_gives_way_and_no_other_does(
    bench: Benches, tmp_path: Path, shelf: Path, tool: str
) -> None:
    unbuildable(shelf, "lib", "1.5")
    made, source = bench(tool, tmp_path), virtualenv.Source(wheels=str(shelf))
    order = made.order("lib", "tool", pins={"lib": "1.5", "tool": "1.0"}, source=source)
    assert virtualenv.installed(made.build(order)) == {"lib": "2.0", "tool": "1.0"}
    with pytest.raises(SiteError) as caught:
        made.build(made.order("lib==1.5", "tool", pins={"tool": "1.0"}, source=source), "exact")
    assert "this does not compile" in caught.value.detail


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_from_another_virtualenv_it_is_just_as_exact_and_leaves_that_one_as_it_was(
    bench: Benches, tmp_path: Path, shelf: Path, tool: str
) -> None:
    made = bench(tool, tmp_path)
    shutil.copy(next(made.wheels.glob("click-*.whl")), shelf)
    source = virtualenv.Source(wheels=str(shelf))
    start = made.build(made.order("lib==1.0", "tool", "click", source=source), "start")
    before = state(start)
    order = made.order("lib", "click", source=source, pins=virtualenv.installed(start))
    venv = made.build(order, start=start)
    assert virtualenv.installed(venv).keys() == {"lib", "click"} and virtualenv.installed(venv)["lib"] == "1.0"
    changed = made.build(made.order("lib>=2", "click", source=source, pins=virtualenv.installed(start)), "changed", start=start)
    assert output(changed / "bin" / "python", "-c", "import lib; print(lib.version)") == "2.0\n"
    assert state(start) == before
    if tool == "uv":
        (one,) = start.glob("lib/python3*/site-packages/click/core.py")
        assert one.samefile(venv / one.relative_to(start)), "what did not change takes no space again"
    assert list(venv.glob("lib/python3*/site-packages/__pycache__/lib.*.pyc"))


@pytest.mark.parametrize("damage", ["lib.py", "lib-2.0.dist-info/METADATA", "lib-2.0.dist-info/RECORD"])
def test_what_is_damaged_in_a_virtualenv_does_not_live_on_in_the_next(bench: Benches, tmp_path: Path, shelf: Path, damage: str) -> None:
    made = bench("uv", tmp_path)
    source = virtualenv.Source(wheels=str(shelf))
    start = made.build(made.order("lib", "tool", source=source), "start")
    (damaged,) = start.glob(f"lib/python3*/site-packages/{damage}")
    damaged.unlink()
    if damage == "lib.py":
        damaged.write_text("version = 'edited'\n")
    venv = made.build(made.order("lib", source=source), start=start)
    assert virtualenv.installed(venv) == {"lib": "2.0"}
    assert output(venv / "bin" / "python", "-c", "import lib; print(lib.version)") == "2.0\n"


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_a_virtualenv_has_the_files_of_one_of_venvs(bench: Benches, tmp_path: Path, tool: str) -> None:
    made = bench(tool, tmp_path)
    venv = made.build(made.order())
    assert {path.name for path in (venv / "bin").iterdir()} <= {
        *("activate", "activate.csh", "activate.fish", "Activate.ps1"),
        *("pip", "pip3", "python", "python3", f"python{'.'.join(made.interpreter.version.split('.')[:2])}"),
    }
    assert {path.name for path in venv.iterdir()} <= {"bin", "include", "lib", "lib64", "pyvenv.cfg", ".gitignore"}


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_paths_in_the_list_of_packages_start_from_the_sites_directory(bench: Benches, tmp_path: Path, shelf: Path, tool: str) -> None:
    made = bench(tool, tmp_path)
    found = virtualenv.installed(made.build(made.order("./shelf/lib-1.0-py3-none-any.whl")))
    assert found == {"lib": "1.0"}


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_building_stops_when_its_time_is_up(bench: Benches, tmp_path: Path, tool: str) -> None:
    made = bench(tool, tmp_path)
    with pytest.raises(StepTimeout, match=r"(Making the virtualenv|Installing the packages) took longer than"):
        made.build(made.order("flask"), seconds=-1)


def test_an_interpreter_that_cannot_make_virtualenvs_is_named_with_the_package_that_it_lacks(bench: Benches, tmp_path: Path) -> None:
    path = tmp_path / "python3"
    path.write_text('#!/bin/sh\necho "$0: No module named venv"\nexit 1\n')
    path.chmod(0o755)
    made = bench("pip", tmp_path)
    with pytest.raises(SiteError) as caught:
        made.build(made.order(interpreter=pythons.Interpreter(str(path), "3.11.2")))
    assert caught.value.message == f"{path} cannot make virtualenvs. As root, type: apt install python3-venv"


def test_uv_is_the_first_that_can_be_executed(tmp_path: Path) -> None:
    good, plain = tmp_path / "uv", tmp_path / "plain"
    good.touch(0o755)
    plain.write_text("")
    assert virtualenv.find_uv(["", "/nonexistent/uv", str(plain), str(tmp_path), str(good)], env=ENV) == str(good)
    assert virtualenv.find_uv([], env={"PATH": str(tmp_path)}) == str(good)
    assert virtualenv.find_uv([], env={"PATH": "/nonexistent"}) == ""


# pip for users ----------------------------------------------------------------------------------------------------


def test_pip_works_in_an_activated_virtualenv(built: Path) -> None:
    for command in ("pip", "pip3", "python -m pip"):
        assert shell(built, f"{command} --version").startswith("pip ")
    assert f"VIRTUAL_ENV={built}\n" in shell(built, "env")


def test_pip_installs_into_the_virtualenv_of_its_own(cloned: Path, shelf: Path) -> None:
    before = virtualenv.requested(cloned)
    shell(cloned, f"pip install --quiet --no-index --find-links {shelf} lib==1.0")
    assert virtualenv.installed(cloned)["lib"] == "1.0"
    assert virtualenv.requested(cloned) - before == {"lib"}
    assert output(cloned / "bin" / "python", "-c", "import lib; print(lib.__file__)").startswith(f"{cloned}/")
    shell(cloned, "pip uninstall --quiet --yes lib")
    assert "lib" not in virtualenv.installed(cloned)


# Clones -----------------------------------------------------------------------------------------------------------


def test_a_clone_has_the_same_packages_and_a_prefix_of_its_own(built: Path, cloned: Path) -> None:
    assert virtualenv.installed(cloned) == virtualenv.installed(built)
    assert virtualenv.runs_with(cloned) == virtualenv.runs_with(built)
    script = "import flask, sys; print(sys.prefix, flask.__file__)"
    prefix, flask = output(cloned / "bin" / "python", "-c", script).split()
    assert prefix == str(cloned)
    assert flask.startswith(f"{cloned}/")


def test_the_scripts_of_a_clone_run_in_it(built: Path, cloned: Path) -> None:
    assert output(cloned / "bin" / "flask", "--version").startswith("Python 3.")
    assert f"VIRTUAL_ENV={cloned}\n" in shell(cloned, "env")
    for path in [cloned / "pyvenv.cfg", *(cloned / "bin").iterdir()]:
        if not path.is_symlink():
            assert str(built).encode() not in path.read_bytes(), path
            assert path.stat().st_mode == (built / path.relative_to(cloned)).stat().st_mode


def test_a_clone_takes_next_to_no_space(built: Path, cloned: Path) -> None:
    own = [path for path in cloned.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1]
    assert sum(path.stat().st_size for path in own) < 50_000


def test_the_bytecode_of_a_clone_is_valid(cloned: Path) -> None:
    before = {name: stamp for name, (stamp, _) in state(cloned).items() if name.endswith(".pyc")}
    said = subprocess.run(
        [cloned / "bin" / "python", "-v", "-c", "import flask"], env=ENV, capture_output=True, text=True, check=True
    ).stderr
    (line,) = [
        line
        for line in said.splitlines()
        if re.search(r"code object from '.*/flask/app\.pyc?'|matches .*/flask/app\.py$", line) and "matches" in line
    ]
    assert str(cloned) in line
    assert {name: stamp for name, (stamp, _) in state(cloned).items() if name.endswith(".pyc")} == before


def test_a_change_in_a_clone_leaves_the_original_untouched(built: Path, cloned: Path, shelf: Path) -> None:
    before = state(built)
    wheel(shelf, "click", "99.0")
    wheel(shelf, "itsdangerous", "99.0")
    tool = [uv(), "pip", "install", "--quiet", "--python", f"{cloned}/bin/python"] if uv() else [f"{cloned}/bin/pip", "install", "--quiet"]
    shell(cloned, f"pip install --quiet --no-index --find-links {shelf} click==99.0")
    output(*tool, "--no-index", "--find-links", str(shelf), "itsdangerous==99.0", UV_CACHE_DIR=str(shelf / "cache"))
    shell(cloned, "pip uninstall --quiet --yes blinker")
    found = virtualenv.installed(cloned)
    assert (found["click"], found["itsdangerous"], "blinker" in found) == ("99.0", "99.0", False)
    assert state(built) == before


def test_the_original_can_go(built: Path, tmp_path: Path) -> None:
    virtualenv.clone(built, tmp_path / "one")
    virtualenv.clone(tmp_path / "one", tmp_path / "two")
    shutil.rmtree(tmp_path / "one")
    assert output(tmp_path / "two" / "bin" / "flask", "--version").startswith("Python 3.")


def test_a_clone_is_made_where_files_cannot_be_linked(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    virtualenv.clone(built, tmp_path / "clone")
    assert {name: stamp for name, (stamp, _) in state(tmp_path / "clone").items()} == {
        name: stamp for name, (stamp, _) in state(built).items()
    }
    assert output(tmp_path / "clone" / "bin" / "flask", "--version").startswith("Python 3.")


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_the_password_of_an_index_stands_on_no_command_line(
    tool: str, bench: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    run = virtualenv.process.run

    def recorded(command: Sequence[str | Path], **more: Any) -> virtualenv.process.Completed:
        commands.append(" ".join(map(str, command)))
        return run(command, **{**more, "env": {**more["env"], "PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"}})

    monkeypatch.setattr(virtualenv.process, "run", recorded)
    maker = bench(tool, tmp_path)
    with pytest.raises(SiteError) as caught:
        maker.build(maker.order("flask", source=virtualenv.Source(index="http://alice:hunter2@localhost:9/simple")))
    # That it was asked at all.
    assert "localhost" in caught.value.detail or "No matching distribution" in caught.value.detail
    assert "hunter2" not in caught.value.detail
    assert len(commands) >= 2 and not any("hunter2" in command for command in commands)


def test_the_stand_in_for_pip_runs_the_one_that_came_with_its_python(tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's may be older than another Python on the machine takes."""
    stand_in: dict[str, Any] = {"__name__": "pip"}
    exec(compile(kit.pip, "pip.py", "exec"), stand_in)
    made = {}
    for place in ("configured", "python/ensurepip/_bundled", "debian"):
        made[place] = tmp_path / place / "pip-24.0-py3-none-any.whl"
        made[place].parent.mkdir(parents=True)
        made[place].touch()
    stand_in["DEBIAN"] = str(tmp_path / "debian")
    monkeypatch.setattr("sysconfig.get_config_var", {"WHEEL_PKG_DIR": str(tmp_path / "configured")}.get)
    monkeypatch.setattr("sysconfig.get_path", {"stdlib": str(tmp_path / "python")}.get)
    found = []
    while wheel := stand_in["bundled"]():
        found.append(wheel)
        os.remove(wheel)
    assert found == [str(one) for one in made.values()]
