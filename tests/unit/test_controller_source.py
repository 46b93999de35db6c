"""Which files of a directory on the controller are the project's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import ocf_flask_source as controller
from ocf_flask import tree


def fill(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    return directory


def git(directory: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=directory, check=True, capture_output=True)


def test_without_a_gitignore_all_but_what_tools_make_is_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(
        tmp_path, "app.py", "data/x.json", "venv/pyvenv.cfg", "venv/lib/y.py", "a/.tox/x", "a/__pycache__/b.pyc", "a/b.pyc", ".mypy_cache/x"
    )
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert list(controller.listing(str(tmp_path))[0]) == ["app.py", "data/x.json"]


@pytest.mark.parametrize("work_tree", [True, False])
def test_what_gitignore_names_stays(tmp_path: Path, work_tree: bool) -> None:
    fill(tmp_path, "app.py", "debug.log", "sub/keep.log", "sub/secret.txt", "instance/app.db")
    (tmp_path / ".gitignore").write_text("*.log\n/instance/\n")
    (tmp_path / "sub/.gitignore").write_text("!keep.log\nsecret.txt\n")
    if work_tree:
        git(tmp_path, "init", "-q")
    assert list(controller.listing(str(tmp_path))[0]) == [".gitignore", "app.py", "sub/.gitignore", "sub/keep.log"]
    assert not list(tmp_path.glob(".git/index"))


def test_a_gitignore_without_git_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "app.py", "sub/.gitignore")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(controller.SourceError, match=r"has a .gitignore, and there is no git here .* Install git"):
        controller.listing(str(tmp_path))


def test_a_directory_in_a_work_tree_and_a_repository_in_it(tmp_path: Path) -> None:
    fill(tmp_path, "other.py", "site/app.py", "site/gone.py", "site/lib/x.py", "site/lib/y.log")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "site/app.py", "site/gone.py")
    git(tmp_path / "site/lib", "init", "-q")
    (tmp_path / "site/lib/.gitignore").write_text("*.log\n")
    (tmp_path / "site/gone.py").unlink()
    assert list(controller.listing(str(tmp_path / "site"))[0]) == ["app.py", "lib/.gitignore", "lib/x.py"]


def test_links_travel_when_they_stay_inside(tmp_path: Path) -> None:
    project = fill(tmp_path / "p", "app.py", "data/x")
    (project / "inside").symlink_to("data/x")
    (project / "absolute").symlink_to(project / "data")
    (project / "outside").symlink_to(tmp_path)
    (project / "up").symlink_to("data/../../elsewhere")
    found, notes = controller.listing(str(project))
    assert (found["inside"], found["absolute"]) == ("-> data/x", "-> data") and not {"outside", "up"} & set(found)
    assert notes == ["Left out, because they lead out of the directory: outside, up"]


def test_variables_for_one_machine_stay_and_examples_of_them_travel(tmp_path: Path) -> None:
    fill(tmp_path, ".env", ".env.local", ".env.example", ".flaskenv", "app.env.py")
    found, (note,) = controller.listing(str(tmp_path))
    assert list(found) == [".env.example", ".flaskenv", "app.env.py"]
    assert note == "Left out, because they are for one machine: .env, .env.local. Give the site its variables with ocf_flask_env"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "there is no such directory"),
        (lambda path: path.mkdir(), "there are no files in it that could be deployed"),
        (
            lambda path: fill(path, *(str(number) for number in range(30))),
            "which has more than 20 files or 1000 MB. Name the project's own",
        ),
    ],
)
def test_what_cannot_be_a_project_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: object, message: str) -> None:
    monkeypatch.setattr(controller, "MOST_FILES", 20)
    assert callable(prepare)
    prepare(tmp_path / "p")
    found = controller.listings([str(tmp_path / "p")])
    assert message in found[str(tmp_path / "p")]["error"]


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    source = str(fill(tmp_path / "p", "app.py"))
    found = controller.listings([source])
    (tmp_path / "p/app.py").write_text("other")
    with pytest.raises(controller.SourceError, match=r"app.py was changed while it was being deployed. Deploy again."):
        controller.pack(found, {tree.digest(Path(source, "app.py")), *found[source]["files"].values()}, str(tmp_path / "x.zip"))


def test_marks_are_those_of_the_engine(tmp_path: Path) -> None:
    fill(tmp_path, "app.py", "tool")
    os.chmod(tmp_path / "tool", 0o755)
    (tmp_path / "link").symlink_to("tool")
    assert controller.listing(str(tmp_path))[0] == tree.marks(tmp_path)


def test_only_the_chosen_sites_directories_are_read() -> None:
    listed = [{"name": "a", "source": "/srv/a/"}, {"name": "b", "owner": "bob"}, {"name": "c", "source": "https://x/y"}]
    variables = {"ocf_flask_source": "~/p", "ocf_flask_sites": listed}
    assert controller.directories(variables, "", "") == ["/srv/a", "~/p"]
    assert controller.directories(variables, "a", "") == ["/srv/a"]
    assert controller.directories(variables, "", "bob") == ["~/p"]
    assert controller.directories({"ocf_flask_source": "git@x:y.git"}, "a", "") == []
