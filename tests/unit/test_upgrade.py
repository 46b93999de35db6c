"""Newer packages when they are asked for, and not before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from local_site import APP, Site
from ocf_flask import deploy, release, sites
from ocf_flask.outcome import Outcome
from test_source import Project
from test_virtualenv import output, wheel


@pytest.fixture(name="shelf")
def _shelf(site: Site, wheels: Path, tmp_path: Path) -> Path:
    """The wheels of Flask, and lib and tool in version 1.0; the site is deployed with these."""
    shutil.copytree(wheels, tmp_path / "shelf")
    for name in ("lib", "tool"):
        wheel(tmp_path / "shelf", name, "1.0")
    site.base["wheels"] = str(tmp_path / "shelf")
    site.write("flaskyapplication.py", APP.format("hello"))
    site.write("requirements.txt", "-r more.txt\ntool\n")
    site.write("more.txt", "lib\n")
    return tmp_path / "shelf"


def newer(shelf: Path) -> None:
    for name in ("lib", "tool"):
        wheel(shelf, name, "2.0")


def run(site: Site, *packages: str, check: bool = False, **more: Any) -> Outcome:
    source = more.get("source", "")
    brought = site.brought(source) if source.startswith("/") else sites.Brought()
    return sites.upgrade(site.settings(**more), site.kit, sites.Asked(brought, packages), check)


@pytest.mark.parametrize("uv", ["", "none"])
def test_an_upgrade_takes_newer_versions_and_a_second_finds_nothing(site: Site, shelf: Path, uv: str) -> None:
    site.deployed(uv=uv)
    newer(shelf)
    assert site.deploy(uv=uv).state == "unchanged"
    before = site.state()
    planned = run(site, check=True, uv=uv)
    assert planned.state == "would change" and planned.changes["packages"] == ["lib 1.0 -> 2.0", "tool 1.0 -> 2.0"], planned
    assert site.state() == before
    done = run(site, uv=uv)
    assert done.state == "upgraded" and done.changes["packages"] == ["lib 1.0 -> 2.0", "tool 1.0 -> 2.0"], (done.error, done.detail)
    assert len(site.releases()) == 2
    before = site.state()
    assert run(site, uv=uv).state == "unchanged"
    assert site.deploy(uv=uv).state == "unchanged"
    assert site.state() == before


def test_an_upgrade_killed_after_the_switch_is_completed_by_the_next(site: Site, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.deployed()
    newer(shelf)
    with monkeypatch.context() as patch:
        patch.setattr(deploy, "_tidy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(site)
    assert (site.private / "tmp").exists()
    assert run(site).state == "upgraded" and not (site.private / "tmp").exists()
    assert run(site).state == "unchanged"


def test_of_two_upgrades_at_a_time_the_later_finds_nothing_to_do(site: Site, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.deployed()
    newer(shelf)
    carry_out = deploy.carry_out

    def meanwhile(*arguments: Any) -> None:
        monkeypatch.setattr(deploy, "carry_out", carry_out)
        assert run(site).state == "upgraded"
        carry_out(*arguments)

    monkeypatch.setattr(deploy, "carry_out", meanwhile)
    assert run(site).state == "unchanged" and len(site.releases()) == 2


def test_what_an_upgrade_changes_in_run_fcgi_is_said_once(site: Site, shelf: Path) -> None:
    site.deployed()
    newer(shelf)
    assert run(site, check=True).changes["run_fcgi"] == ["starts the new release"]
    site.write("flaskyapplication.py", APP.format("changed, which makes a release too"))
    assert run(site, check=True).changes["run_fcgi"] == ["starts the new release"]


def test_only_the_named_package_is_upgraded_and_an_exact_version_holds(site: Site, shelf: Path) -> None:
    site.deployed()
    newer(shelf)
    assert run(site, "Lib").changes["packages"] == ["lib 1.0 -> 2.0"]
    site.write("requirements.txt", "lib\ntool==1.0\n")
    site.deployed()
    held = run(site, "tool")
    assert held.state == "unchanged" and any("requirements.txt" in note for note in held.notes)


def test_what_is_not_installed_is_refused_with_what_is(site: Site, shelf: Path) -> None:
    site.deployed()
    done = run(site, "wekzeug")
    assert done.state == "failed" and done.error.startswith(
        "The site has no package wekzeug to upgrade. Installed are: blinker, click, flask"
    )


def test_a_site_that_is_not_deployed_is_to_be_deployed_first(site: Site, shelf: Path) -> None:
    done = run(site)
    assert done.state == "failed" and "is not deployed yet" in done.error and "playbooks/deploy.yml -e site=flasky" in done.error
    assert not site.private.exists()


def test_code_goes_along_and_it_is_said(site: Site, shelf: Path) -> None:
    site.deployed()
    newer(shelf)
    site.write("flaskyapplication.py", APP.format("new"))
    done = run(site)
    assert done.state == "upgraded" and any("goes along" in note for note in done.notes)
    assert "flaskyapplication.py changed" in done.changes["code"]


def test_an_upgrade_that_breaks_the_app_leaves_the_site_as_it_was(site: Site, shelf: Path) -> None:
    site.write("flaskyapplication.py", "import lib\nassert lib.version == '1.0'\n" + APP.format("x"))
    site.deployed()
    newer(shelf)
    before = site.serving()
    done = run(site)
    assert done.state == "failed" and "AssertionError" in done.error + done.detail
    assert site.serving() == before and len(site.releases()) == 1


def test_a_file_that_is_included_counts_and_one_that_is_missing_ends_the_deploy_first(site: Site, shelf: Path) -> None:
    site.deployed()
    site.write("more.txt", "lib\nitsdangerous\n")
    assert site.deployed().state == "deployed"
    site.write("more.txt", "-c ../nowhere/limits.txt\nlib\n")
    before = site.serving()
    done = site.deploy()
    assert done.state == "failed" and "limits.txt, which " in done.error and "cannot be read: No such file" in done.error
    assert site.serving() == before
    site.write("more.txt", "-r requirements.txt\n")
    assert "include each other" in site.deploy().error


@pytest.mark.parametrize("uv", ["", "none"])
def test_hashes_are_demanded_of_the_files_alone(site: Site, shelf: Path, uv: str) -> None:
    import hashlib

    digest = hashlib.sha256((shelf / "lib-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    site.write("requirements.txt", f"lib==1.0 \\\n    --hash=sha256:{digest}\n")
    done = site.deployed(uv=uv, packages=["tool"])
    assert {"lib 1.0 installed", "tool 1.0 installed"} <= set(done.changes["packages"])
    # A version that is installed gives way where it cannot be had any more.
    (shelf / "tool-1.0-py3-none-any.whl").unlink()
    newer(shelf)
    assert site.deployed(uv=uv, packages=["tool", "lib"]).changes["packages"] == ["tool 1.0 -> 2.0"]
    site.write("requirements.txt", f"lib==1.0 --hash=sha256:{'0' * 64}\n")
    assert "could not be installed" in site.deploy(uv=uv, packages=["tool"]).error


def test_the_dependencies_of_pyproject_are_installed_where_there_is_no_requirements_file(site: Site, shelf: Path) -> None:
    (site.web / "requirements.txt").unlink()
    site.write("pyproject.toml", '[project]\nname = "x"\nversion = "1"\ndependencies = ["lib"]\n')
    assert "lib 1.0 installed" in site.deployed().changes["packages"]
    assert site.deploy().state == "unchanged"
    site.write("requirements.txt", "tool\n")
    done = site.deployed()
    assert {"lib 1.0 removed", "tool 1.0 installed"} <= set(done.changes["packages"]), "requirements.txt wins"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[tool.poetry]\nname = 'x'\n", "poetry export --output requirements.txt"),
        ("[project]\ndependencies = 'flask'\n", "is not a list of texts"),
        ("[project]\ndynamic = ['dependencies']\n", "leaves its dependencies to its build system"),
        ("[project\n", "pyproject.toml cannot be read: "),
    ],
)
def test_a_pyproject_that_cannot_be_used_ends_the_deploy_first(site: Site, shelf: Path, content: str, message: str) -> None:
    (site.web / "requirements.txt").unlink()
    site.write("pyproject.toml", content)
    done = site.deploy()
    assert done.state == "failed" and message in done.error
    assert not site.private.exists()


@pytest.mark.parametrize("kind", ["directory", "repository"])
def test_managed_code_gets_newer_packages_in_a_release_of_its_own_revision(site: Site, shelf: Path, tmp_path: Path, kind: str) -> None:
    project = Project(tmp_path)
    commit = project.push(**{"requirements.txt": "lib\n"})
    source = str(project.tree) if kind == "directory" else project.url
    site.deployed(source=source)
    newer(shelf)
    before = site.state()
    assert run(site, source=source, check=True).changes["packages"] == ["lib 1.0 -> 2.0"]
    assert site.state() == before
    done = run(site, source=source)
    assert done.state == "upgraded" and done.changes["packages"] == ["lib 1.0 -> 2.0"], (done.error, done.detail)
    assert "code" not in done.changes and not any("goes along" in note for note in done.notes)
    live = (site.private / "current").resolve()
    assert (live / "app" / "requirements.txt").read_text() == "lib\n" and str(live / "app") in (site.web / "run.fcgi").read_text()
    assert site.deploy(source=source).state == run(site, source=source).state == "unchanged"
    wheel(shelf, "lib", "3.0")
    assert project.push(**{"flaskyapplication.py": APP.format("two")}) != commit
    done = run(site, source=source)
    assert done.state == "upgraded" and any("goes along" in note for note in done.notes) and done.changes["packages"] == ["lib 2.0 -> 3.0"]
    assert "two" in (site.private / "current" / "app" / "flaskyapplication.py").read_text()


@pytest.mark.parametrize("uv", ["", "none"])
def test_what_was_installed_by_hand_is_upgraded_only_when_it_is_named(site: Site, shelf: Path, uv: str) -> None:
    site.write("requirements.txt", "tool\n")
    site.deployed(uv=uv)
    output(site.web / "venv" / "bin" / "pip", "install", "--quiet", "--no-index", "--find-links", str(shelf), "lib")
    site.deployed(uv=uv)
    newer(shelf)
    assert run(site, uv=uv).changes["packages"] == ["tool 1.0 -> 2.0"]
    wheel(shelf, "tool", "3.0")
    done = run(site, "lib", uv=uv)
    assert done.state == "upgraded" and done.changes["packages"] == ["lib 1.0 -> 2.0"], (done.error, done.detail)
    live = release.read((site.private / "current").resolve())
    assert live and live.by_hand == {"lib": "2.0"}
    assert site.deploy(uv=uv).state == "unchanged"


def test_newer_versions_are_tried_where_there_is_room_and_nothing_of_that_stays(
    site: Site, shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.deployed()
    tried: list[Path] = []
    build = deploy.build_virtualenv

    def recorded(one: Any, view: Any, target: Path, *more: Any, **named: Any) -> None:
        tried.append(target)
        build(one, view, target, *more, **named)

    monkeypatch.setattr(deploy, "build_virtualenv", recorded)
    monkeypatch.delenv("TMPDIR", raising=False)
    run(site, check=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run(site, check=True)
    assert [str(path.parents[1]) for path in tried] == ["/var/tmp", str(tmp_path)]
    assert not any(path.parent.exists() for path in tried)
