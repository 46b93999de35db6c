"""A uv.lock, as lines of a requirements file: each form that an entry can have."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ocf_flask import uv_lock
from ocf_flask.errors import SettingError

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML can be read with Python 3.11 or newer")

PYPI = {"registry": "https://pypi.org/simple"}
FILE = {"hash": "sha256:1"}


def toml(value: Any) -> str:
    """A value as TOML writes it, in a line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(key)} = {toml(inner)}' for key, inner in value.items())} }}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else json.dumps(value)


def entry(name: str, *needs: Any, **more: Any) -> dict[str, Any]:
    """A package, and what it depends on: a name, or what the lock says of it."""
    edges = [{"name": one} if isinstance(one, str) else one for one in needs]
    return {"name": name, "version": "1", "source": PYPI, "dependencies": edges, **more}


def project(*needs: Any, **more: Any) -> dict[str, Any]:
    """The project itself, whose own dependencies the lock was made of."""
    found = entry("shop", *needs, source={"virtual": "."})
    asked = [{"name": one["name"]} for one in found["dependencies"]]
    return {**found, "metadata": {"requires-dist": asked}, **more}


def read(directory: Path, *packages: dict[str, Any], dependencies: list[str] | None = None, **top: Any) -> tuple[tuple[str, ...], str]:
    file = directory / "uv.lock"
    content = {"version": 1, **top, "package": list(packages)}
    file.write_text("".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in content.items()))
    asked = [one["name"] for one in packages[0].get("dependencies", [])] if dependencies is None else dependencies
    return uv_lock.read(file, asked)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (PYPI, "b==1"),
        ({"git": "https://example.org/b.git?rev=main#0123"}, "b @ git+https://example.org/b.git@0123"),
        ({"git": "https://example.org/b.git#0123"}, "b @ git+https://example.org/b.git@0123"),
        ({"git": "ssh://git@example.org/b?subdirectory=lib/b&tag=v1#0123"}, "b @ git+ssh://git@example.org/b@0123#subdirectory=lib/b"),
        ({"url": "https://example.org/b-1.whl"}, "b @ https://example.org/b-1.whl"),
    ],
)
def test_where_a_package_comes_from_is_as_pip_takes_it(tmp_path: Path, source: dict[str, str], line: str) -> None:
    assert read(tmp_path, project("b"), entry("b", source=source)) == ((line,), "")


@pytest.mark.parametrize("root", [{"virtual": "."}, {"editable": "."}])
def test_the_project_itself_is_no_line_however_it_is_there(tmp_path: Path, root: dict[str, str]) -> None:
    assert read(tmp_path, project("b", source=root), entry("b"), **{"requires-python": ">=3.11"}) == (("b==1",), ">=3.11")


def test_a_project_without_dependencies_has_no_lines(tmp_path: Path) -> None:
    assert read(tmp_path, {"name": "shop", "source": {"virtual": "."}}) == ((), "")


@pytest.mark.parametrize("packages", [(), ({"name": "shop", "source": {"virtual": "lib"}},)])
def test_a_lock_of_another_directory_is_refused(tmp_path: Path, packages: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(SettingError) as caught:
        read(tmp_path, *packages, dependencies=[])
    assert caught.value.message == f"{tmp_path}/uv.lock has no project of the directory that it lies in. Type there: uv lock"
    (tmp_path / "uv.lock").write_text("version = 1\n")
    with pytest.raises(SettingError, match="has no project of the directory"):
        uv_lock.read(tmp_path / "uv.lock", [])


def on(name: str, marker: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "marker": marker, **more}


@pytest.mark.parametrize(
    ("packages", "lines"),
    [
        ([project(on("b", "m1")), entry("b", on("c", "m2")), entry("c")], ("b==1 ; (m1)", "c==1 ; (m1) and (m2)")),
        ([project("b", "c"), entry("b", on("d", "m1")), entry("c", on("d", "m2")), entry("d")], ("b==1", "c==1", "d==1 ; (m1) or (m2)")),
        # A way without a condition is enough, whenever it is found.
        ([project(on("b", "m1"), "c"), entry("b"), entry("c", "b")], ("b==1", "c==1")),
        ([project("b", "c"), entry("b"), entry("c", on("b", "m1"))], ("b==1", "c==1")),
        # Of two ways, the one that asks for less.
        ([project(on("b", "m1"), on("c", "m1")), entry("b"), entry("c", on("b", "m2"))], ("b==1 ; (m1)", "c==1 ; (m1)")),
        # In a circle.
        ([project("b"), entry("b", "c"), entry("c", "b")], ("b==1", "c==1")),
        ([project("b"), entry("b"), entry("unasked")], ("b==1",)),
    ],
)
def test_each_way_to_a_package_counts_with_its_markers(tmp_path: Path, packages: list[dict[str, Any]], lines: tuple[str, ...]) -> None:
    assert read(tmp_path, *packages)[0] == lines


def test_an_extra_brings_its_packages_and_one_that_is_not_there_none(tmp_path: Path) -> None:
    extras = {"optional-dependencies": {"async": [{"name": "c"}], "other": [{"name": "d"}]}}
    packages = [entry("b", **extras), entry("c"), entry("d")]
    for asked, lines in ((["async"], ("b==1", "c==1")), (["gone"], ("b==1",)), ([], ("b==1",))):
        assert read(tmp_path, project({"name": "b", "extra": asked}), *packages)[0] == lines
    assert read(tmp_path, project({"name": "b", "extra": ["gone"]}), entry("b"))[0] == ("b==1",)


@pytest.mark.parametrize(("key", "one", "other"), [("version", "1", "2"), ("source", PYPI, {"url": "https://example.org/b.whl"})])
def test_of_several_of_a_name_the_one_that_is_told_is_meant(tmp_path: Path, key: str, one: Any, other: Any) -> None:
    found = read(tmp_path, project({"name": "b", key: other}), entry("b", **{key: one}), entry("b", **{key: other}))
    assert found[0] == (("b==2",) if key == "version" else ("b @ https://example.org/b.whl",))


def test_the_hashes_of_all_files_are_demanded_if_every_package_has_some(tmp_path: Path) -> None:
    one = entry("b", sdist=FILE, wheels=[{"hash": "sha256:2"}, {"url": "x"}])
    other = entry("c", wheels=[{"hash": "sha256:3"}])
    hashed = ("b==1 --hash=sha256:1 --hash=sha256:2", "c==1 --hash=sha256:3")
    assert read(tmp_path, project("b", "c"), one, other)[0] == hashed
    assert read(tmp_path, project("b", "c"), one, entry("c"))[0] == ("b==1", "c==1")
    # pip takes no hash for what it clones.
    cloned = entry("c", source={"git": "https://example.org/c#0"}, sdist=FILE)
    assert read(tmp_path, project("b", "c"), one, cloned)[0] == ("b==1", "c @ git+https://example.org/c@0")


@pytest.mark.parametrize("key", ["git", "url", "path", "directory", "editable"])
def test_what_comes_from_elsewhere_is_locked_without_the_version_that_is_asked_for(tmp_path: Path, key: str) -> None:
    asked = project("B-x", metadata={"requires-dist": [{"name": "b-x", key: "y"}]})
    assert read(tmp_path, asked, entry("B-x"), dependencies=["b_x>=1"])[0] == ("B-x==1",)


@pytest.mark.parametrize(
    ("dependencies", "locked", "said"),
    [
        (["b>=2"], [{"name": "b", "specifier": ">=1"}], "b>=1, b>=2"),
        (["b"], [{"name": "b"}, {"name": "c"}], "c"),
        (["b", "c <3, >1"], [{"name": "b"}], "c<3,>1"),
        (["b"], [{"name": "b"}, {"name": "c", "marker": "extra == 'dev'"}], ""),
        (["b >= 1 , < 2"], [{"name": "b", "specifier": "<2,>=1"}], ""),
        # How uv writes it is not always how it is asked for.
        (["b~=1.0a1"], [{"name": "b", "specifier": "~=1.0a1.post0"}], ""),
    ],
)
def test_a_lock_is_of_the_dependencies_that_are_asked_for(
    tmp_path: Path, dependencies: list[str], locked: list[dict[str, str]], said: str
) -> None:
    root = project("b", metadata={"requires-dist": locked})
    if not said:
        assert read(tmp_path, root, entry("b"), dependencies=dependencies)[0] == ("b==1",)
        return
    with pytest.raises(SettingError) as caught:
        read(tmp_path, root, entry("b"), dependencies=dependencies)
    file = tmp_path / "uv.lock"
    assert caught.value.message == (
        f"{file} was not made of the dependencies that pyproject.toml has now ({said}). Type where its project is: uv lock"
    )
