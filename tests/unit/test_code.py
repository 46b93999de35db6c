"""What counts as code."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from forks import in_child
from ocf_flask import code


def fill(directory: Path, *names: str) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return directory


@pytest.mark.parametrize(
    "name",
    [
        "flaskyapplication.py", "shop/__init__.py", "shop/deep/er/x.py", "templates/index.html", "shop/templates/mail/hello.txt",
        "requirements.txt", "requirements-dev.txt", "dev-requirements.in", "requirements/base.txt", "constraints.txt", "pyproject.toml", "uv.lock",
    ],
)  # fmt: skip
def test_a_source_file_counts(tmp_path: Path, name: str) -> None:
    assert list(code.find(fill(tmp_path, name))) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "app.sqlite", "instance/app.sqlite", "instance/config.py", "static/app.js", "shop/static/build.py", "uploads/a.jpg", "log/error.log",
        "__pycache__/x.cpython-311.pyc", ".git/hooks/x.py", ".venv/x.py", "node_modules/x/y.py", "run.fcgi", ".htaccess", "README.md", "app.py~",
        ".ocf-flask-new-run.fcgi", "uploads/requirements.txt.bak",
    ],
)  # fmt: skip
def test_what_the_app_or_somebody_else_writes_does_not_count(tmp_path: Path, name: str) -> None:
    assert code.find(fill(tmp_path, name)) == {}


def test_a_virtualenv_of_any_name_does_not_count(tmp_path: Path) -> None:
    fill(tmp_path, "env/pyvenv.cfg", "env/lib/python3.11/site-packages/flask/app.py", "app.py")
    assert list(code.find(tmp_path)) == ["app.py"]


def test_a_setting_names_more(tmp_path: Path) -> None:
    fill(tmp_path, "data/cities.json", "data/deep/x.json", "words.txt", "other.json")
    assert list(code.find(tmp_path, ("data/", "*.txt"))) == ["data/cities.json", "data/deep/x.json", "words.txt"]


def test_what_each_deploy_writes_never_counts_or_no_deploy_would_find_nothing_to_do(tmp_path: Path) -> None:
    fill(tmp_path, "run.fcgi", ".htaccess", "run.fcgi.2026-11-24-034512", ".ocf-flask-run.fcgi.x", "app.py")
    assert list(code.find(tmp_path, ("*", "run.*", ".*"))) == ["app.py"]


def test_content_decides_and_not_the_time(tmp_path: Path) -> None:
    before = code.find(fill(tmp_path, "a.py"))
    os.utime(tmp_path / "a.py", (0, 0))
    assert code.find(tmp_path) == before
    (tmp_path / "a.py").write_text("else")
    assert code.find(tmp_path) != before


def test_a_link_to_a_directory_is_not_followed_but_one_to_a_file_is_read(tmp_path: Path) -> None:
    fill(tmp_path / "other", "b.py")
    site = fill(tmp_path / "site", "a.py")
    (site / "linked").symlink_to(tmp_path / "other")
    (site / "loop").symlink_to(site)
    (site / "c.py").symlink_to(tmp_path / "other" / "b.py")
    (site / "gone.py").symlink_to(tmp_path / "nothing")
    assert list(code.find(site)) == ["a.py", "c.py"]


def test_a_pipe_named_like_code_does_not_stop_the_deploy(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.py")
    assert code.find(tmp_path) == {}


def test_what_becomes_a_pipe_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    found = code.find(fill(tmp_path, "a.py"))
    (tmp_path / "a.py").unlink()
    os.mkfifo(tmp_path / "a.py")
    with pytest.raises(OSError, match="no plain file"):
        code.copy(tmp_path, found, tmp_path / "copy")


def test_a_link_to_where_nobody_can_look_is_no_code(tmp_path: Path) -> None:
    closed = fill(tmp_path / "closed", "a.py")
    site = fill(tmp_path / "site", "b.py")
    (site / "a.py").symlink_to(closed / "a.py")
    closed.chmod(0)
    assert in_child(lambda: list(code.find(site)), tmp_path / "site") == ["b.py"]


def test_a_large_file_is_not_in_memory_as_a_whole(tmp_path: Path) -> None:
    fill(tmp_path, "a.py")
    os.truncate(tmp_path / "a.py", 256 << 20)

    def work() -> int:
        code.copy(tmp_path, {"a.py": ""}, tmp_path / "copy")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert in_child(work) - before < 64 << 10, "KiB"


def test_a_name_that_is_no_text_is_taken(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py")).write_text("")
    found = code.find(tmp_path)
    assert [os.fsencode(name) for name in found] == [b"caf\xe9.py"]
    code.copy(tmp_path, found, tmp_path / "copy")
    assert code.find(tmp_path / "copy") == found


def test_a_copy_has_the_same_content_and_is_the_owners_alone(tmp_path: Path) -> None:
    site = fill(tmp_path / "site", "a.py", "shop/templates/x.html", "b.txt")
    found = code.find(site)
    code.copy(site, found, tmp_path / "copy")
    assert code.find(tmp_path / "copy") == found
    assert not (tmp_path / "copy" / "b.txt").exists()
    assert {stat.S_IMODE((tmp_path / "copy" / name).stat().st_mode) for name in found} == {0o600}


@pytest.mark.parametrize(
    ("module", "files", "found"),
    [
        ("shop", ["shop/__init__.py"], "shop/static"),
        ("shop.web", ["shop/__init__.py", "shop/web.py"], "shop/static"),
        ("shop.web", ["shop/__init__.py", "shop/web/__init__.py"], "shop/web/static"),
        ("shop", ["shop.py"], ""),
        ("shop", ["shop.py", "shop/static/a.css"], ""),
        ("shop.web", [], ""),
    ],
)
def test_a_packages_static_files_lie_where_flask_looks_for_them(tmp_path: Path, module: str, files: list[str], found: str) -> None:
    assert code.package_static(fill(tmp_path, *files), module) == found


def test_a_package_elsewhere_has_no_static_files_here(tmp_path: Path) -> None:
    fill(tmp_path / "other", "shop/__init__.py")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/shop").symlink_to("../other/shop")
    assert code.package_static(tmp_path / "site", "shop") == ""


def test_what_seems_to_be_an_app_is_named_as_the_setting_takes_it(tmp_path: Path) -> None:
    sources = {
        "hello.py": "app = Flask(__name__)\n",
        "shop/__init__.py": "def create_app():\n    app = Flask(__name__)\n",
        "src/club/web.py": "import flask\n\nsite: flask.Flask = flask.Flask(__name__)\nother  = Flask('x')\n\ndef make_app(): ...\n",
        "nothing.py": "from hello import app\n\ndef create_apple(): ...\n",
        "tests/test_hello.py": "app = Flask(__name__)\n",
        "my-app.py": "app = Flask(__name__)\n",
        "notes.txt": "app = Flask(__name__)\n",
    }
    fill(tmp_path, *sources)
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    assert code.likely_apps(tmp_path, sources) == [
        "hello:app",
        "shop:create_app()",
        "club.web:site",
        "club.web:other",
        "club.web:make_app()",
    ]
