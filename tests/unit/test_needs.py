"""What a site's code asks for: locked versions, a Python, the code itself as a package, and what is said when it cannot be had."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from local_site import APP, Site
from ocf_flask import pyproject, pythons, requirements, resolver, sites, uv_lock
from ocf_flask.errors import SettingError
from ocf_flask.outcome import Outcome
from test_pythons import fake
from test_virtualenv import ENV, output, uv, wheel

TOOLS = pytest.mark.parametrize("tool", ["", "none"], ids=["uv", "pip"])
PROJECT = '[project]\nname = "Shop-App"\nversion = "0.3"\ndependencies = [{0}]\n'
BUILD_SYSTEM = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
# As uv writes it: a package in two versions, one that an extra of another needs, a cycle, one for another system, groups and extras of the
# project's own, one from a repository.
LOCK = """\
version = 1
revision = 3
requires-python = ">=3.9"
resolution-markers = ["python_full_version >= '3.12'", "python_full_version < '3.12'"]

[[package]]
name = "shop-app"
version = "0.1.0"
source = { editable = "." }
dependencies = [
    { name = "lib", extra = ["fast"], marker = "python_full_version < '3.14'" },
    { name = "tool" },
]

[package.optional-dependencies]
mail = [{ name = "mailer" }]

[package.dev-dependencies]
dev = [{ name = "checker" }]

[package.metadata]
requires-dist = [
    { name = "lib", extras = ["fast"], marker = "python_full_version < '3.14'", specifier = ">=1,<3" },
    { name = "mailer", marker = "extra == 'mail'" },
    { name = "tool" },
]
provides-extras = ["mail"]

[[package]]
name = "lib"
version = "1.5"
source = { registry = "https://pypi.org/simple" }
dependencies = [{ name = "loop", marker = "sys_platform == 'linux'" }, { name = "winlib", marker = "sys_platform == 'win32'" }]

[package.optional-dependencies]
fast = [
    { name = "speed", version = "1.0", source = { registry = "https://pypi.org/simple" }, marker = "python_full_version < '3.12'" },
    { name = "speed", version = "2.0", source = { registry = "https://pypi.org/simple" }, marker = "python_full_version >= '3.12'" },
]

[[package]]
name = "loop"
version = "1.0"
source = { registry = "https://pypi.org/simple" }
dependencies = [{ name = "lib" }, { name = "tool" }]

[[package]]
name = "speed"
version = "1.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "speed"
version = "2.0"
source = { registry = "https://pypi.org/simple" }
dependencies = [{ name = "winlib" }]

[[package]]
name = "tool"
version = "2.0"
source = { git = "https://example.edu/tool?subdirectory=py&rev=main#0123456789abcdef0123456789abcdef01234567" }

[[package]]
name = "winlib"
version = "1.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "mailer"
version = "1.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "checker"
version = "1.0"
source = { registry = "https://pypi.org/simple" }
"""
DEPENDENCIES = ("lib[fast] >=1, <3 ; python_version < '3.14'", "Tool")


@pytest.fixture(name="shelf")
def _shelf(site: Site, wheels: Path, tmp_path: Path) -> Path:
    """The wheels of Flask, and lib and tool in the versions 1.0 and 2.0; the site has an app and no requirements file."""
    shutil.copytree(wheels, tmp_path / "shelf")
    for name in ("lib", "tool"):
        for version in ("1.0", "2.0"):
            wheel(tmp_path / "shelf", name, version)
    site.base["wheels"] = str(tmp_path / "shelf")
    site.write("flaskyapplication.py", APP.format("hello"))
    return tmp_path / "shelf"


def lock(site: Site, shelf: Path, *arguments: str) -> None:
    """What a student types."""
    if not uv():
        pytest.skip("there is no uv: pip install -r requirements-test.txt")
    command = [uv(), "lock", "--quiet", "--no-index", "--find-links", str(shelf), "--python", sys.executable, *arguments]
    subprocess.run(command, cwd=site.web, check=True, env={**ENV, "UV_CACHE_DIR": str(shelf.parent / "cache")})


def versions(outcome: Outcome) -> set[str]:
    return {change for change in outcome.changes["packages"] if change.startswith(("lib", "tool", "shop"))}


# A lock -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "shop-app"\nversion = "0.1.0"\ndependencies = {list(DEPENDENCIES)!r}\n')
    (tmp_path / "uv.lock").write_text(LOCK)
    return tmp_path / "uv.lock"


def chosen(lines: list[str], **environment: str) -> set[str]:
    """The packages that pip would take of a requirements file."""
    wanted = (Requirement(line) for line in lines)
    here = {**default_environment(), **environment}
    return {f"{one.name} {one.specifier}{one.url or ''}" for one in wanted if one.marker is None or one.marker.evaluate(here)}


@pytest.mark.parametrize(("python", "platform"), [("3.11.2", "linux"), ("3.13.1", "linux"), ("3.13.1", "win32"), ("3.14.0", "linux")])
def test_of_a_lock_the_same_is_taken_as_by_uv_itself(locked: Path, python: str, platform: str) -> None:
    if not uv():
        pytest.skip("there is no uv: pip install -r requirements-test.txt")
    command = [uv(), "export", "--frozen", "--quiet", "--no-emit-project", "--no-dev", "--no-hashes", "--no-header", "--no-annotate"]
    theirs = subprocess.run(command, cwd=locked.parent, check=True, capture_output=True, text=True, env=ENV).stdout.splitlines()
    ours, required = uv_lock.read(locked, DEPENDENCIES)
    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0], "sys_platform": platform}
    assert chosen(list(ours), **environment) == chosen(theirs, **environment) != set()
    assert required == ">=3.9"


def test_a_lock_of_other_dependencies_is_refused_with_what_differs(locked: Path) -> None:
    for dependencies, other in (
        (("lib[fast]>=1,<3", "tool", "flask-login"), "(flask-login)"),
        (("lib[fast]>=2,<3", "tool"), "(lib<3,>=1, lib<3,>=2)"),
        (("lib>=1,<3",), "(tool)"),
    ):
        with pytest.raises(SettingError) as caught:
            uv_lock.read(locked, dependencies)
        assert other in caught.value.message and caught.value.message.endswith("uv lock")
    uv_lock.read(locked, ("lib (>=1,<3)", "tool"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1\n", "version = 2\n", "is of version 2, and a deploy reads version 1"),
        ('source = { editable = "." }', 'source = { editable = "packages/shop" }', "has no project of the directory"),
        (
            '{ git = "https://example.edu/tool?',
            '{ directory = "libs/tool", x = "',
            "from the directory or file 'libs/tool'. Write the packages",
        ),
        ('name = "winlib"\nversion', 'name = "other"\nversion', "is not what uv writes"),
        ("[[package]]", "[[package", "cannot be read"),
    ],
)
def test_a_lock_that_cannot_be_used_says_what_to_type(locked: Path, old: str, new: str, message: str) -> None:
    locked.write_text(LOCK.replace(old, new, 1))
    with pytest.raises(SettingError, match=message):
        uv_lock.read(locked, DEPENDENCIES)


@TOOLS
def test_a_locked_site_gets_the_locked_versions_until_the_lock_changes(site: Site, shelf: Path, tool: str) -> None:
    site.write("pyproject.toml", PROJECT.format('"flask", "lib==1.0", "tool"'))
    lock(site, shelf)
    site.write("pyproject.toml", PROJECT.format('"flask", "lib", "tool"'))
    lock(site, shelf)
    assert versions(site.deployed(uv=tool)) == {"lib 1.0 installed", "tool 2.0 installed"}
    before = site.state()
    assert site.deploy(uv=tool).state == "unchanged"
    held = sites.upgrade(site.settings(uv=tool), site.kit, sites.Asked())
    assert held.state == "unchanged" and any(
        "uv lock --upgrade. Then: ansible-playbook playbooks/deploy.yml" in note for note in held.notes
    )
    assert site.state() == before
    lock(site, shelf, "--upgrade")
    planned = site.deploy(check=True, uv=tool)
    assert any(change.endswith("uv.lock changed") for change in planned.changes["packages"]) and planned.changes["code"] == [
        "uv.lock changed"
    ]
    assert versions(site.deployed(uv=tool)) == {"lib 1.0 -> 2.0"}
    assert site.deploy(uv=tool).state == "unchanged"


@TOOLS
def test_a_lock_is_held_against_the_settings_and_what_it_lacks_is_installed_beside_it(site: Site, shelf: Path, tool: str) -> None:
    site.write("pyproject.toml", PROJECT.format('"lib"'))
    lock(site, shelf)
    text = (site.web / "uv.lock").read_text()
    site.write("uv.lock", text.replace('version = "2.0"', 'version = "1.0"').replace("lib-2.0", "lib-1.0"))
    assert {"lib 1.0 installed", "tool 2.0 installed"} <= set(site.deployed(uv=tool, packages=["tool"]).changes["packages"])
    done = site.deploy(uv=tool, packages=["lib>=2"])
    assert (
        done.state == "failed"
        and f"correct lib==1.0 in {site.web}/pyproject.toml (then type: uv lock), or lib>=2 in ocf_flask_packages" in done.error
    )


@TOOLS
def test_the_hashes_of_a_lock_are_demanded(site: Site, shelf: Path, tool: str) -> None:
    site.write("pyproject.toml", PROJECT.format('"lib"'))
    lock(site, shelf)
    path = shelf / "lib-2.0-py3-none-any.whl"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    text = (site.web / "uv.lock").read_text()
    assert "lib-2.0-py3-none-any.whl" in text
    entry = f'{{ url = "https://example.edu/{path.name}", hash = "sha256:{digest}" }}'
    site.write("uv.lock", text.replace(f'{{ path = "{path}" }}', entry))
    assert digest in (site.web / "uv.lock").read_text()
    assert versions(site.deployed(uv=tool)) == {"lib 2.0 installed"}
    site.write("uv.lock", (site.web / "uv.lock").read_text().replace(digest, "0" * 64))
    done = site.deploy(uv=tool)
    assert done.state == "failed" and "correct lib==2.0 in" in done.error and digest in done.detail


def test_a_password_in_a_url_is_not_shown_with_the_line_to_correct(site: Site, shelf: Path) -> None:
    site.write("requirements.txt", "lib @ http://alice:hunter2@localhost:9/lib-1.0-py3-none-any.whl\n")
    site.base["timeouts"] = {"build": 30}
    done = site.deploy()
    assert f"correct lib @ http://localhost:9/lib-1.0-py3-none-any.whl in {site.web}/requirements.txt" in done.error
    assert "hunter2" not in done.error + done.detail


@pytest.mark.parametrize("line", ["requests", "requests @ http://localhost:9/requests.whl"])
@pytest.mark.parametrize(
    "said", ["cause: error sending request for url (http://localhost:9/simple/requests/)", "connection broken by requests"]
)
def test_an_index_that_cannot_be_reached_is_no_lines_fault(line: str, said: str) -> None:
    found = resolver.about(said, [("requests", line, "requirements.txt")], "3.11")
    assert found.startswith(f": correct {line} in requirements.txt." if "@" in line else ": the package index cannot be reached from ")


def test_only_the_lines_that_are_to_blame_are_named(tmp_path: Path) -> None:
    asked = [("flask", "flask>=3", "requirements.txt"), ("flask-login", "flask-login<1", "requirements.txt"), ("lib", "lib", "a setting")]
    about = "Because flask_login<1 depends on nothing and lib was not found, no solution"
    assert resolver.about(about, asked, "3.11") == ": correct flask-login<1 in requirements.txt, or lib in a setting."
    assert resolver.about("no such thing", asked, "3.11") == "."


@pytest.mark.parametrize(
    ("said", "more"),
    [
        (
            "requires a different Python: 3.9.2 not in >=3.10",
            " Some versions need another Python than 3.9, which ocf_flask_python chooses.",
        ),
        ("the current Python version (3.9) does not satisfy Python>=3.10", " Some versions need another Python than 3.9, which"),
        (
            "error: subprocess-exited-with-error",
            " Building it failed; a version, or another package, that has a wheel for Python 3.9 needs",
        ),
        ("Failed to build `lib==1.0`", " Building it failed;"),
        ("a python that is no reason", ""),
    ],
)
def test_what_a_python_has_to_do_with_it_is_told(said: str, more: str) -> None:
    found = resolver.about(said, [], "3.9")
    assert found.startswith(f".{more}") and (more or found == ".")


def test_requirements_txt_goes_first_unless_pyproject_is_chosen(site: Site, shelf: Path) -> None:
    site.write("pyproject.toml", PROJECT.format('"lib"'))
    site.write("requirements.txt", "tool\n")
    assert versions(site.deployed()) == {"tool 2.0 installed"}
    assert versions(site.deployed(requirements="pyproject.toml")) == {"tool 2.0 removed", "lib 2.0 installed"}
    assert site.deploy(requirements="uv.lock").state == "unchanged", "a lock is one of the project's"
    done = site.deploy(requirements="backend/pyproject.toml")
    assert done.state == "failed" and f"there is no file {site.web}/backend/pyproject.toml" in done.error


# A Python ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requires", "fitting", "others"),
    [
        ("", "3.9.0 3.14.1", ""),
        (">=3.10", "3.10.0 3.13.1", "3.9.19"),
        (">=3.9,<3.13", "3.9.0 3.12.9", "3.8.1 3.13.0"),
        (">= 3.10.2, != 3.11.*", "3.10.2 3.12.0", "3.10.1 3.11.0 3.11.9"),
        ("~=3.10", "3.10.0 3.13.5", "3.9.9"),
        ("~=3.10.4", "3.10.4 3.10.9", "3.10.3 3.11.0"),
        ("==3.11.*", "3.11.0 3.11.9", "3.1.1 3.12.0"),
        ("==3.11.2,!=3.11.4", "3.11.2", "3.11.3"),
        (">3.11", "3.11.1 3.12.0", "3.11.0"),
        ("<=3.11", "3.11.0", "3.11.1"),
        (">=3.13.0rc1,<4.0", "3.13.0", "3.12.9"),
    ],
)
def test_requires_python_is_compared_as_pip_does(requires: str, fitting: str, others: str) -> None:
    assert [one for one in (fitting + " " + others).split() if pyproject.allows(requires, one)] == fitting.split()


def test_a_python_is_looked_for_that_the_project_and_the_setting_allow(tmp_path: Path) -> None:
    for minor in ("96", "97", "98"):
        fake(tmp_path, f"python3.{minor}", f"3.{minor}.1")
    env = {**ENV, "PATH": str(tmp_path)}

    def find(wanted: str, required: str) -> str:
        return pythons.find(wanted, env=env, required=required, by=Path("pyproject.toml")).version

    assert find("", ">=3.9") == pythons.find("", env=ENV).version
    assert find("", ">=3.90,<3.98") == "3.97.1"
    assert find("<3.97", ">=3.90") == find("3.96", ">=3.90") == "3.96.1"
    with pytest.raises(SettingError) as caught:
        find("3.96", ">=3.97")
    assert caught.value.message.startswith(
        "pyproject.toml asks for Python >=3.97 (requires-python) and ocf_flask_python is '3.96', and no such"
    )
    assert caught.value.message.endswith(f"Type for example: -e ocf_flask_python={tmp_path}/python3.98")


def test_only_pythons_that_run_are_named_when_none_fits(site: Site, shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(tmp_path / "bin", "python3.97", "3.97.1")
    shim = tmp_path / "bin" / "python3.98"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.98: command not found'\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    site.base["python"] = ""
    site.write("pyproject.toml", PROJECT.format("") + 'requires-python = ">=3.99"\n')
    done = site.deploy()
    assert done.error.startswith(
        f"{site.web}/pyproject.toml asks for Python >=3.99 (requires-python), and no such Python runs on this machine."
    )
    assert f"3.97.1 ({tmp_path}/bin/python3.97)" in done.error and "3.98" not in done.error
    assert done.error.endswith("If the app runs with one of these, change requires-python")
    assert not site.private.exists()
    site.write("pyproject.toml", PROJECT.format("") + 'requires-python = "^3.11"\n')
    assert "requires-python is '^3.11'. It takes versions" in site.deploy().error


# The code itself --------------------------------------------------------------------------------------------------

SHOP = """\
import importlib.metadata
from flask import Flask

def create_app():
    app = Flask(__name__)
    app.route("/")(lambda: "{0} " + importlib.metadata.version("shop-app"))
    return app

def main():
    print("{0}", __file__)
"""


def shop(directory: Path, greeting: str, more: str = '[project.scripts]\nshop = "shop:main"\n') -> None:
    (directory / "src" / "shop" / "static").mkdir(parents=True, exist_ok=True)
    (directory / "src" / "shop" / "__init__.py").write_text(SHOP.format(greeting))
    (directory / "src" / "shop" / "static" / "style.css").write_text("p {}")
    (directory / "pyproject.toml").write_text(PROJECT.format('"flask"') + more + BUILD_SYSTEM)


def managed(site: Site, directory: Path, **more: Any) -> Outcome:
    return site.deployed(source=str(directory), app="shop:create_app()", **more)


def said(site: Site, identity: str, *command: str) -> str:
    return output(site.private / "releases" / identity / "venv" / "bin" / command[0], *command[1:])


def test_each_release_imports_its_own_code_from_src_though_its_virtualenv_is_a_clone(site: Site, wheels: Path, tmp_path: Path) -> None:
    shop(tmp_path, "one")
    done = managed(site, tmp_path)
    assert done.tested["status"] == 200 and not any("shop" in change for change in done.changes["packages"])
    shop(tmp_path, "two", '[project.scripts]\nsale = "shop:main"\n[project.entry-points."flask.commands"]\nsale = "shop:main"\n')
    managed(site, tmp_path)
    shop(tmp_path, "three", '[project.scripts]\nsale = "shop:main"\n')
    managed(site, tmp_path, packages=["flask-login"])
    one, two, three = site.releases()
    for identity, word, script in ((one, "one", "shop"), (two, "two", "sale"), (three, "three", "sale")):
        assert said(site, identity, script) == f"{word} {site.private}/releases/{identity}/app/src/shop/__init__.py\n"
        code = "import importlib.metadata as m; print(m.version('shop-app'), *(e.name for e in m.entry_points(group='flask.commands')))"
        assert said(site, identity, "python", "-c", code).split()[:1] == ["0.3"]
    assert "sale" in said(site, two, "python", "-c", code) and "sale" not in said(site, three, "python", "-c", code)
    assert not (site.private / "releases" / two / "venv" / "bin" / "shop").exists()
    assert (site.web / "static" / "style.css").read_text() == "p {}"
    assert site.deploy(source=str(tmp_path), app="shop:create_app()", packages=["flask-login"]).state == "unchanged"
    assert sites.upgrade(
        site.settings(source=str(tmp_path), app="shop:create_app()", packages=["flask-login"]),
        site.kit,
        sites.Asked(brought=site.brought(str(tmp_path))),
    ).state == "unchanged"  # fmt: skip


def test_edited_in_place_the_site_runs_what_is_in_src(site: Site, shelf: Path) -> None:
    (site.web / "flaskyapplication.py").unlink()
    shop(site.web, "one")
    assert "It seems to be shop:create_app()" in site.deploy().error
    site.deployed(app="shop:create_app()")
    shop(site.web, "another")
    assert site.deploy(check=True, app="shop:create_app()").changes["code"] == ["src/shop/__init__.py changed"]
    assert output(site.web / "venv" / "bin" / "shop") == f"another {site.web}/src/shop/__init__.py\n"
    assert b"src/shop/static" in (site.web / ".htaccess").read_bytes()
    assert "src/shop/static/style.css" not in os.listdir(site.web)


def test_without_a_build_system_src_is_importable_all_the_same_and_without_pyproject_too(site: Site, shelf: Path) -> None:
    site.write("src/flaskyapplication.py", APP.format("hello"))
    (site.web / "flaskyapplication.py").unlink()
    assert site.deployed().tested["status"] == 200
    site.write("src/__init__.py", "")
    assert "there is no module 'flaskyapplication'" in site.deploy().error, "then src is a package"


def test_what_pip_installed_of_the_project_itself_is_not_carried_over_as_a_package_of_an_index(site: Site, shelf: Path) -> None:
    shop(site.web, "one")
    site.deployed()
    wheel(shelf, "shop_app", "0.3")
    output(site.web / "venv" / "bin" / "pip", "install", "--quiet", "--no-index", "--find-links", str(shelf), "shop_app")
    (shelf / "shop_app-0.3-py3-none-any.whl").unlink()
    done = site.deployed(packages=["lib"])
    assert not any("by hand, and kept" in note for note in done.notes)


@pytest.mark.parametrize("line", ["-e .", "."])
@TOOLS
def test_a_directory_among_the_requirements_is_built_anew_for_each_release(
    site: Site, shelf: Path, tmp_path: Path, tool: str, line: str
) -> None:
    project = tmp_path / "project"
    shop(project, "one")
    (project / "requirements.txt").write_text(f"flask\n{line}\n")
    managed(site, project, uv=tool)
    shop(project, "two")
    managed(site, project, uv=tool)
    for identity, word in zip(site.releases(), ("one", "two")):
        assert said(site, identity, "python", "-c", "import shop; shop.main()").startswith(f"{word} {site.private}/releases/{identity}/")


def test_directories_are_told_from_packages(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "requirements.txt").write_text("-e .[dev]\n--editable=./lib ; python_version > '3'\nlib\n-r other.txt\n./x.whl\n")
    found = requirements.directories([tmp_path / "requirements.txt"], ["flask", "./lib"], tmp_path)
    assert found == ["./lib", ".", "./lib"]


# What cannot be had -----------------------------------------------------------------------------------------------


@TOOLS
@pytest.mark.parametrize(
    ("lines", "correct", "reasons"),
    [
        ("flask\nflask-logni>=1  # sessions\n", "flask-logni>=1 in", ["flask-logni"]),
        ("flask==3.1.3\nclick==8.0.4\n", "flask==3.1.3 or click==8.0.4 in", ["click>=8.1.3", "click==8.0.4"]),
        ("lib==9\n", "lib==9 in", ["lib==9"]),
        ("later\n", "later in", [">=3.99"]),
        ("lib==1.0 --hash=sha256:" + "0" * 64 + "\n", "lib==1.0 in", ["0" * 64, "lib==1.0"]),
    ],
    ids=["typo", "conflict", "version", "python", "hash"],
)
def test_the_resolvers_reason_is_given_with_the_line_to_correct(
    site: Site, shelf: Path, tool: str, lines: str, correct: str, reasons: list[str]
) -> None:
    import zipfile

    wheel(shelf, "later", "1.0")
    with zipfile.ZipFile(shelf / "later-1.0-py3-none-any.whl", "w") as file:
        file.writestr("later-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: later\nVersion: 1.0\nRequires-Python: >=3.99\n")
        file.writestr("later-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("later-1.0.dist-info/RECORD", "")
    site.write("requirements.txt", lines)
    done = site.deploy(uv=tool)
    path = f"{site.web}/requirements.txt"
    assert done.error.startswith(f"The packages could not be installed: correct {correct} {path}."), done.error
    assert done.error.endswith("pip says:" if tool else "uv says:")
    assert ("need another Python than 3" in done.error) == (lines == "later\n"), done.detail
    for reason in reasons:
        assert reason in done.detail
    assert "Collecting" not in done.detail and "requirements.in" not in done.detail and len(done.detail.splitlines()) < 12, done.detail
