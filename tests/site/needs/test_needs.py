"""What applications need, on hosts with uv and with pip alone, as their owners and visitors see it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hosted import ROOT, Site

APP = """\
import importlib.metadata
from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return " ".join(importlib.metadata.version(name) for name in ("flask", "werkzeug"))
"""
# Old versions, which nobody gets without asking for them.
LOCKED = {"click": "8.0.4", "flask": "2.0.3", "itsdangerous": "2.0.1", "jinja2": "3.0.3", "markupsafe": "3.0.4", "werkzeug": "2.0.3"}
SHOP = """\
import importlib.metadata
from flask import Flask


def create_app():
    app = Flask(__name__)
    app.route("/")(lambda: "{0} " + importlib.metadata.version("shop"))
    return app


def main():
    print("{0} sale")
"""
PROJECT = """\
[project]
name = "shop"
version = "0.3"
requires-python = ">=3.9"
dependencies = ["flask"]

[project.scripts]
shop = "shop:main"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""


def lock() -> str:
    """A lock as uv writes it, of the wheels that the tests have."""
    packages = []
    for name, version in LOCKED.items():
        found = sorted(one for one in (ROOT / "build" / "wheels").iterdir() if one.name.lower().startswith(f"{name}-{version}-"))
        assert found, f"no wheel of {name} {version}"
        files = "".join(
            f'    {{ url = "https://files.pythonhosted.org/{one.name}", hash = "sha256:{hashlib.sha256(one.read_bytes()).hexdigest()}" }},\n'
            for one in found
        )
        needed = ", ".join(f'{{ name = "{one}" }}' for one in LOCKED if one != name) if name == "flask" else ""
        packages.append(
            f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ registry = "https://pypi.org/simple" }}\n'
            f"dependencies = [{needed}]\nwheels = [\n{files}]\n"
        )
    project = '[[package]]\nname = "club"\nversion = "1"\nsource = { virtual = "." }\ndependencies = [{ name = "flask" }]\n'
    metadata = '\n[package.metadata]\nrequires-dist = [{ name = "flask" }]\n'
    return "\n".join(['version = 1\nrevision = 3\nrequires-python = ">=3.9"\n', project + metadata, *packages])


def test_a_locked_project_has_the_versions_of_its_lock(site: Site) -> None:
    site.write("flaskyapplication.py", APP)
    site.write("pyproject.toml", '[project]\nname = "club"\nversion = "1"\ndependencies = ["flask"]\n')
    site.write("uv.lock", lock())
    site.deployed()
    assert site.visit().text == "2.0.3 2.0.3"
    assert site.visit("/uv.lock").status == site.visit("/pyproject.toml").status == 404
    before = site.state()
    assert not site.deployed().changed
    assert "uv lock --upgrade" in site.play("upgrade")
    assert site.state() == before
    site.write("pyproject.toml", '[project]\nname = "club"\nversion = "1"\ndependencies = ["flask", "flask-login"]\n')
    stale = site.deploy()
    assert stale.returncode != 0 and "(flask-login)" in stale.output and "uv lock" in stale.output
    site.shell(f"rm {site.directory}/uv.lock")
    site.deployed()
    assert site.visit().text.startswith("2.0.3"), "versions stay without the lock too, until an upgrade"
    assert "flask 2.0.3 -> 3." in site.play("upgrade")
    assert site.visit().text.startswith("3.")


def shop(directory: Path, word: str) -> None:
    (directory / "src" / "shop" / "static").mkdir(parents=True, exist_ok=True)
    (directory / "src" / "shop" / "__init__.py").write_text(SHOP.format(word))
    (directory / "src" / "shop" / "static" / "style.css").write_text("p {}")
    (directory / "pyproject.toml").write_text(PROJECT)


def test_a_project_in_src_is_edited_in_place(site: Site, tmp_path: Path) -> None:
    app = ["-e", "ocf_flask_app=shop:create_app()"]
    shop(tmp_path, "one")
    for path in tmp_path.rglob("*.*"):
        if path.is_file():
            site.write(str(path.relative_to(tmp_path)), path.read_text())
    site.deployed(*app)
    assert site.visit().text == "one 0.3"
    style = site.visit("/static/style.css")
    assert (style.text, style.headers["Cache-Control"]) == ("p {}", "max-age=3600")
    assert site.visit("/src/shop/__init__.py").status == 404
    assert site.shell(f"{site.directory}/venv/bin/shop") == "one sale\n"
    before = site.state()
    assert not site.deployed(*app).changed
    assert site.state() == before
    site.write("src/shop/__init__.py", SHOP.format("second"))
    site.deployed(*app)
    assert site.visit().text == "second 0.3"


@pytest.mark.parametrize("requirements", ["", "flask\n-e .\n"], ids=["known", "built"])
def test_a_release_runs_its_own_project(site: Site, tmp_path: Path, requirements: str) -> None:
    arguments = ["-e", f"ocf_flask_source={tmp_path}", "-e", "ocf_flask_app=shop:create_app()"]
    for word in ("one", "two"):
        shop(tmp_path, word)
        if requirements:
            (tmp_path / "requirements.txt").write_text(requirements)
        site.deployed(*arguments)
        assert site.visit().text == f"{word} 0.3"
        assert site.shell(f"{site.private}/run shop") == f"{word} sale\n"
    assert site.visit("/static/style.css").text == "p {}"
    assert not site.deployed(*arguments).changed


def test_what_cannot_be_had_is_said_with_the_reason_and_leaves_the_site(site: Site) -> None:
    site.write("flaskyapplication.py", APP)
    site.deployed()
    before = site.visit().text
    site.write("requirements.txt", "flask==3.1.3\nclick==8.0.4\n")
    done = site.deploy()
    assert done.returncode != 0
    assert f"correct flask==3.1.3 or click==8.0.4 in {site.directory}/requirements.txt" in " ".join(done.output.split())
    assert "click>=8.1.3" in done.output
    site.shell(f"rm {site.directory}/requirements.txt")
    site.write("pyproject.toml", PROJECT.replace(">=3.9", ">=3.99"))
    done = site.deploy()
    own = site.shell("/usr/bin/python3 -c 'import sys; print(sys.version.split()[0])'").strip()
    said = " ".join(done.output.split())
    assert done.returncode != 0 and "asks for Python >=3.99 (requires-python), and no such Python runs on this machine." in said
    assert f"This machine has {own} (/usr/bin/python{own.rpartition('.')[0]})." in said
    assert site.visit().text == before
