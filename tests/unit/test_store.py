"""What all owners share: made once, of wheels alone, and copied."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local_site import Site
from ocf_flask import places, prepare, pythons, store, virtualenv
from ocf_flask.errors import SettingError
from ocf_flask.prepare import LEFT, MADE, Wish
from ocf_flask.run import Run
from ocf_flask.site import Kit

INTERPRETER = pythons.Interpreter("/usr/bin/python3.11", "3.11.2")
UV = str(Path(sys.executable).with_name("uv"))
Fill = Callable[..., list[prepare.Prepared]]


def order(*packages: str, **more: Any) -> virtualenv.Order:
    return replace(virtualenv.Order(INTERPRETER, packages, (), {}, virtualenv.Source()), **more)


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("flask", "flask"),
        ("Flask_Login >= 0.6, <1", "flask-login<1,>=0.6"),
        ("uvicorn[Standard, extra_one]==1.*", "uvicorn[extra-one,standard]==1.*"),
        ("a~=1.0,!=1.0.3", "a!=1.0.3,~=1.0"),
        *(
            (line, "")
            for line in ("", "-r /etc/shadow", "--index-url=http://x", "./here", "/abs/dir", "git+https://x/y", "a @ file:///etc/passwd")
        ),
        *(
            (line, "")
            for line in (
                "a.whl",
                "dir/a",
                "a-1.0.tar.gz",
                "a; python_version < '3'",
                "a --hash=sha256:00",
                "https://x/a.whl",
                "a\n-e .",
                ".",
            )
        ),
    ],
)
def test_only_names_and_versions_are_shared(line: str, plain: str) -> None:
    assert store.plain_requirement(line) == plain


def test_the_same_requirements_in_another_spelling_are_one_combination(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# what the app needs\nFlask_Login>=0.6 # sessions\n")
    one = store.combination(order("flask", "flask-login >= 0.6"), "pip")
    assert one == store.combination(order("flask", files=(file,)), "pip")
    assert one is not None
    others = [
        store.combination(order("flask"), "pip"),
        store.combination(order("flask", "flask-login >= 0.6"), "another pip"),
        store.combination(order("flask", "flask-login >= 0.6", source=virtualenv.Source(index="https://index.example.edu/")), "pip"),
        store.combination(order("flask", "flask-login >= 0.6", interpreter=replace(INTERPRETER, version="3.13.1")), "pip"),
    ]
    assert len({one.key, *(other.key for other in others if other)}) == 5


def test_a_patch_release_of_python_is_the_same() -> None:
    later = order("flask", interpreter=replace(INTERPRETER, version="3.11.9"))
    one, other = store.combination(order("flask"), "pip"), store.combination(later, "pip")
    assert one and other and one.key == other.key


@pytest.mark.parametrize(
    "more",
    [
        {"packages": ("flask", "-e .")},
        {"locked": ("flask==3.1.3 --hash=sha256:00",)},
        {"hashed": True},
        {"source": virtualenv.Source(index="https://me:secret@index.example.edu/")},
    ],
)
def test_what_its_owner_alone_can_install_is_no_combination(more: dict[str, Any]) -> None:
    assert store.combination(replace(order("flask"), **more), "pip") is None


def stored(directory: Path, wanted: virtualenv.Order, **versions: str) -> Path:
    found = store.combination(wanted, "pip")
    assert found
    place = store.virtualenvs(directory) / found.key / versions["flask"]
    (place / "venv").mkdir(parents=True)
    (place / "venv" / "mark").write_text(versions["flask"])
    (place / store.COMPLETE).write_text(json.dumps({"packages": versions, "asked": found.asked, "made": int(versions["flask"][0])}))
    return place


@pytest.fixture
def two(tmp_path: Path) -> Path:
    for version in ("2.3.3", "3.1.3"):
        stored(tmp_path / "store", order("flask"), flask=version)
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("pins", "taken"),
    [({}, "3.1.3"), ({"flask": "2.3.3"}, "2.3.3"), ({"flask": "2.0.0"}, None), ({"other": "1"}, "3.1.3")],
)
def test_a_site_gets_the_newest_build_that_has_its_versions(two: Path, tmp_path: Path, pins: dict[str, str], taken: str | None) -> None:
    assert store.copy(two, tmp_path / "venv", order("flask", pins=pins), "pip", tmp_path) is (taken is not None)
    assert not taken or (tmp_path / "venv" / "mark").read_text() == taken


def test_what_is_copied_is_no_link_to_the_store(two: Path, tmp_path: Path) -> None:
    store.copy(two, tmp_path / "venv", order("flask"), "pip", tmp_path)
    assert (tmp_path / "venv" / "mark").stat().st_nlink == 1


@pytest.mark.parametrize("name", [".pip/pip.conf", ".config/pip/pip.conf", ".config/uv/uv.toml", ".netrc"])
def test_an_owner_who_says_where_packages_come_from_gets_them_from_there(two: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    assert not store.copy(two, tmp_path / "venv", order("flask"), "pip", tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"packages": [], "asked": []}', '{"packages": {}, "asked": [], "made": "x"}', None])
def test_a_build_without_a_sound_record_is_none(two: Path, tmp_path: Path, content: str | None) -> None:
    for record in store.virtualenvs(two).glob(f"*/*/{store.COMPLETE}"):
        record.unlink()
        if content is not None:
            record.write_text(content)
    assert not store.copy(two, tmp_path / "venv", order("flask"), "pip", tmp_path)


def test_a_build_that_is_taken_away_while_it_is_copied_is_passed_over(two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = virtualenv.clone

    def clone(source: Path, target: Path, **more: bool) -> None:
        if source.parent.name == "3.1.3":
            target.mkdir()
            raise FileNotFoundError(source)
        real(source, target, **more)

    monkeypatch.setattr(virtualenv, "clone", clone)
    assert store.copy(two, tmp_path / "venv", order("flask"), "pip", tmp_path)
    assert (tmp_path / "venv" / "mark").read_text() == "2.3.3"


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_store_that_others_can_write_to_is_refused(two: Path, tmp_path: Path, mode: int) -> None:
    two.chmod(mode)
    with pytest.raises(SettingError, match="chmod go-w"):
        store.copy(two, tmp_path / "venv", order("flask"), "pip", tmp_path)


def test_a_store_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"prepare\.yml"):
        store.copy(tmp_path / "none", tmp_path / "venv", order("flask"), "pip", tmp_path)


@pytest.fixture(params=["uv", "pip"])
def fill(request: pytest.FixtureRequest, tmp_path: Path, wheels: Path, kit: Kit) -> Fill:
    """Fills a store from the wheel directory, with one of the tools; ``bring``: with a uv that is brought for it."""
    directory = tmp_path / "store"
    directory.mkdir()
    tool = {"uv": UV, "pip": "none", "bring": ""}[request.param]

    def fill(*packages: str, check: bool = False, index: Path = wheels, python: str = sys.executable) -> list[prepare.Prepared]:
        wish = Wish(python, packages, virtualenv.Source(str(index)), tool, 120)
        return prepare.fill(directory, places.account(""), {wish: 3}, kit.pip, check=check)

    return fill


def test_a_virtualenv_is_made_once(fill: Fill, tmp_path: Path) -> None:
    (first,) = fill("flask", "flask-login")
    assert (first.state, first.sites, first.error, first.detail) == (MADE, 3, "", "")
    assert first.packages["flask"] and first.packages["flask-login"]
    (again,) = fill("flask", "flask-login")
    assert (again.state, again.packages) == ("unchanged", first.packages)
    assert len(list(store.virtualenvs(tmp_path / "store").glob("*/*"))) == 1
    assert {path.name.split("-")[0].lower() for path in store.wheels(tmp_path / "store").iterdir()} >= {"flask", "flask_login"}
    assert not (tmp_path / "store" / "work").exists()


def test_check_mode_makes_nothing(fill: Fill, tmp_path: Path) -> None:
    (found,) = fill("flask", check=True)
    assert found.state == "would change"
    assert list((tmp_path / "store").iterdir()) == []


def test_bytecode_is_there_and_valid(fill: Fill, tmp_path: Path) -> None:
    fill("flask")
    (place,) = store.virtualenvs(tmp_path / "store").glob("*/*/venv")
    virtualenv.clone(place, tmp_path / "copy", linked=False)
    said = subprocess.run(
        [tmp_path / "copy/bin/python", "-v", "-c", "import flask; print(flask.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert str(tmp_path / "copy") in said.stdout
    assert re.search(r"flask/__pycache__/app\.cpython-\d+\.pyc matches", said.stderr)
    assert not re.search(r"code object from '.*/site-packages/.*\.py'", said.stderr)


def poisoned(directory: Path, name: str, said: Path) -> None:
    """A wheel with what runs when the virtualenv's Python starts, and one with a source distribution alone."""
    with zipfile.ZipFile(directory / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"open({str(said)!r}, 'a').write('imported\\n')\n")
        wheel.writestr(f"{name}.pth", f"import os; open({str(said)!r}, 'a').write('started\\n')\n")
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", f"{name}.py,,\n{name}.pth,,\n{name}-1.0.dist-info/RECORD,,\n")


def test_nothing_of_a_package_runs(fill: Fill, tmp_path: Path, wheels: Path) -> None:
    index = shutil.copytree(wheels, tmp_path / "index")
    poisoned(index, "poison", tmp_path / "said")
    (found,) = fill("flask", "poison", index=index)
    assert found.packages["poison"] == "1.0"
    fill("flask", "poison", index=index)
    assert not (tmp_path / "said").exists()
    (venv,) = store.virtualenvs(tmp_path / "store").glob("*/*/venv")
    subprocess.run([venv / "bin/python", "-c", ""], check=True)
    assert set((tmp_path / "said").read_text().splitlines()) == {"started"}


def test_a_source_distribution_is_left_to_the_owners(fill: Fill, tmp_path: Path, wheels: Path) -> None:
    index = shutil.copytree(wheels, tmp_path / "index")
    source = tmp_path / "source" / "sdistonly-1.0"
    source.mkdir(parents=True)
    (source / "setup.py").write_text(f"open({str(tmp_path / 'said')!r}, 'w').write('built')\n")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: sdistonly\nVersion: 1.0\n")
    shutil.make_archive(str(index / "sdistonly-1.0"), "gztar", source.parent, source.name)
    (found,) = fill("flask", "sdistonly", index=index)
    assert found.state == LEFT
    assert "sdistonly" in found.detail
    assert not (tmp_path / "said").exists()
    assert list(store.virtualenvs(tmp_path / "store").glob("*/*")) == []


def test_newer_versions_are_another_build(fill: Fill, tmp_path: Path, wheels: Path) -> None:
    index = tmp_path / "index"
    shutil.copytree(wheels, index, ignore=shutil.ignore_patterns("flask-3*", "Flask-3*"))
    (old,) = fill("flask", index=index)
    for path in (*wheels.glob("flask-3*"), *wheels.glob("Flask-3*")):
        shutil.copy2(path, index)
    (new,) = fill("flask", index=index)
    assert (new.state, new.packages == old.packages) == (MADE, False)
    assert [build.packages for build in sorted(_all(tmp_path), key=lambda build: build.made)] == [old.packages, new.packages]


def test_builds_that_are_many_versions_old_go(fill: Fill, tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_KEPT", 1)
    index = shutil.copytree(wheels, tmp_path / "index", ignore=shutil.ignore_patterns("flask-3*", "Flask-3*"))
    fill("flask", index=index)
    for path in (*wheels.glob("flask-3*"), *wheels.glob("Flask-3*")):
        shutil.copy2(path, index)
    (new,) = fill("flask", index=index)
    assert [build.packages for build in _all(tmp_path)] == [new.packages]
    assert len(list(store.virtualenvs(tmp_path / "store").glob("*/*"))) == 1


def test_a_version_that_was_withdrawn_from_the_index_is_gone_from_the_store(fill: Fill, tmp_path: Path, wheels: Path) -> None:
    index = shutil.copytree(wheels, tmp_path / "index")
    (first,) = fill("flask", index=index)
    withdrawn = [path for path in index.iterdir() if path.name.lower().startswith(f"flask-{first.packages['flask']}-")]
    there = store.wheels(tmp_path / "store")
    assert withdrawn and all((there / path.name).exists() for path in withdrawn)
    for path in withdrawn:
        path.unlink()
    (second,) = fill("flask", index=index)
    assert second.packages["flask"] != first.packages["flask"]
    assert not any((there / path.name).exists() for path in withdrawn)


def _all(tmp_path: Path) -> list[store.Build]:
    return [build for path in store.virtualenvs(tmp_path / "store").iterdir() for build in store.builds(path)]


def test_on_another_python_there_are_the_versions_that_sites_have(
    fill: Fill, tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    shutil.copytree(wheels, index, ignore=shutil.ignore_patterns("flask-3*", "Flask-3*"))
    (old,) = fill("flask", index=index)
    for path in (*wheels.glob("flask-3*"), *wheels.glob("Flask-3*")):
        shutil.copy2(path, index)
    # As on an upgraded system: the same path, and another Python.
    ours = store.combination
    monkeypatch.setattr(store, "combination", lambda order, pip: replace(found, version="3.14") if (found := ours(order, pip)) else None)
    (rebuilt,) = fill("flask", index=index)
    assert (rebuilt.state, rebuilt.packages) == (MADE, old.packages)
    (newest,) = fill("flask", index=index)
    assert newest.packages != old.packages


def test_an_interrupted_run_leaves_nothing_that_counts(fill: Fill, tmp_path: Path) -> None:
    half = store.virtualenvs(tmp_path / "store") / "key" / "1"
    (half / "venv").mkdir(parents=True)
    (tmp_path / "store" / "work").mkdir()
    fill("flask")
    assert not half.exists()


def test_a_site_gets_a_copy_from_the_store(fill: Fill, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill("flask")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(virtualenv, "build", lambda *args, **more: pytest.fail("installed by itself"))
    outcome = site.deployed(store=str(tmp_path / "store"))
    assert outcome.flask
    venv = site.web / "venv"
    assert str(tmp_path / "store") not in (venv / "pyvenv.cfg").read_text()
    assert all(
        str(tmp_path / "store").encode() not in path.read_bytes()
        for path in (venv / "bin").iterdir()
        if path.is_file() and not path.is_symlink()
    )
    assert site.deploy(store=str(tmp_path / "store")).state == "unchanged"


def test_what_the_store_has_not_a_site_installs(fill: Fill, site: Site, tmp_path: Path) -> None:
    fill("flask")
    assert site.deployed(store=str(tmp_path / "store"), packages="flask-login").flask


@pytest.mark.parametrize("fill", ["bring"], indirect=True)
def test_uv_is_brought_once_and_again_when_it_is_broken(fill: Fill, tmp_path: Path) -> None:
    directory = tmp_path / "store"
    uv, flask = fill("flask")
    assert (uv.name, uv.state, list(uv.packages), flask.state) == ("uv", MADE, ["uv"], MADE), (uv.error, uv.detail)
    first = os.readlink(directory / "uv")
    assert [one.state for one in fill("flask")] == ["unchanged", "unchanged"]
    assert os.readlink(directory / "uv") == first
    store.uv(directory).chmod(0o644)
    assert [one.state for one in fill("flask")] == [MADE, "unchanged"]
    assert subprocess.run([store.uv(directory), "--version"], capture_output=True, check=True).stdout.startswith(b"uv ")
    assert [path.name for path in directory.glob("uv-*")] == [os.readlink(directory / "uv")] != [first]


@pytest.mark.parametrize("fill", ["bring"], indirect=True)
def test_where_uv_cannot_be_had_the_one_that_is_there_stays(fill: Fill, tmp_path: Path) -> None:
    fill("flask")
    before = os.readlink(tmp_path / "store/uv")
    (tmp_path / "empty").mkdir()
    uv, _ = fill("flask", index=tmp_path / "empty")
    assert uv.state == "failed" and "ocf_flask_uv: none" in uv.error and "uv" in uv.detail
    assert os.readlink(tmp_path / "store/uv") == before
    assert [path.name for path in (tmp_path / "store").glob("uv-*")] == [before]


def test_a_store_that_others_can_write_to_is_not_filled(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(SettingError, match="writ"):
        prepare.prepare(run(sites=[{"name": "a"}], store=str(tmp_path)), "pip", check=False)


def test_the_store_is_its_owners_to_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = places.account("").name
    monkeypatch.setattr(prepare.os, "getuid", lambda: 12345)
    with pytest.raises(SettingError, match=f"which belongs to {me}. Prepare it as {me}, or as root"):
        prepare._job(tmp_path, {}, "pip", check=False)


def run(**variables: Any) -> Run:
    return Run({f"ocf_flask_{key}": value for key, value in variables.items()}, "", "", [])


def test_without_a_store_there_is_nothing_to_prepare() -> None:
    with pytest.raises(SettingError, match="ocf_flask_store: /var/lib/ocf-flask"):
        prepare.prepare(run(sites=[{"name": "a"}]), "pip", check=False)


@pytest.mark.skipif(os.getuid() != 0, reason="only root has directories of root's")
def test_root_installs_no_packages(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="chown"):
        prepare.prepare(run(sites=[{"name": "a"}], store=str(tmp_path)), "pip", check=False)


def test_the_wishes_of_an_inventory_are_counted() -> None:
    sites: list[dict[str, Any]] = [
        *({"name": f"a{number}"} for number in range(3)),
        {"name": "b", "packages": ["flask-login"]},
        {"name": "c", "python": "not a python"},
        {"name": "d", "wheels": "~/wheels"},
    ]
    (wishes,) = prepare._wishes(run(sites=sites, store="/var/lib/x")).values()
    assert [(wish.packages, wish.source.wheels) for wish in wishes] == [(("flask",), "")] * 3 + [
        (("flask", "flask-login"), ""),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        "it ended",
        {},
        {"made": []},
        {"made": [{"name": "x", "state": "owned"}]},
        {"made": [{"nope": 1}]},
        {"made": 3},
        {"made": [{"name": "uv", "packages": {"uv": 5}}]},
    ],
)
def test_an_answer_without_the_form_of_one_is_a_failure(answer: Any) -> None:
    (found,) = prepare._checked(answer)
    result = prepare.result([found], check=False)
    assert result["failed"] and "is not in the store" in result["msg"]


def test_the_report_counts_and_explains() -> None:
    found = [
        prepare.Prepared("uv", state=MADE, packages={"uv": "0.9.9"}),
        prepare.Prepared("flask", state="unchanged", python="3.11.2", packages={"flask": "3.1.3", "click": "8"}, sites=480),
        prepare.Prepared("flask, odd", state=LEFT, error="Not all is there as wheels. pip says:", detail="no odd\x1b[31m", sites=2),
    ]
    text = prepare.result(found, check=False)["report"]
    assert text.startswith("The sites' shared store is ready.\n")
    assert prepare.result(found, check=True)["report"].startswith("The sites' shared store (check mode: nothing was made).\n")
    assert "480" in text and "2 packages" in text and "0.9.9" in text
    assert "no odd" in text and "\x1b" not in text
