"""The collection: built, installed into an empty place, and deployed with; and the checks before a release."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from test_repository import ROOT, load_tool

release: Any = load_tool("release")


@pytest.fixture(scope="module", name="archive")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(release.build(tmp_path_factory.mktemp("archive")))


def test_the_archive_has_the_collection_and_nothing_else_of_the_checkout(archive: Path) -> None:
    with tarfile.open(archive) as file:
        names = {name.partition("/")[0] for name in file.getnames()}
    # MANIFEST.json and FILES.json are Galaxy's own.
    expected = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "docs", "meta", "playbooks", "plugins", "roles", "tests"}
    assert names == expected | {"MANIFEST.json", "FILES.json"}
    with tarfile.open(archive) as file:
        assert [name for name in file.getnames() if name.startswith("tests/") and not name.startswith("tests/sanity")] == []
        assert [name for name in file.getnames() if "__pycache__" in name] == []


def test_installed_offline_it_deploys_with_and_without_an_inventory(
    archive: Path, tmp_path_factory: pytest.TempPathFactory, wheels: Path
) -> None:
    home = tmp_path_factory.mktemp("h")
    release.install(archive, home)
    release.try_out(home, "-e", f"ocf_flask_wheels={wheels}")
    assert sorted(path.name for path in home.iterdir()) == [".ansible", "directory", "hosts.yml", "private", "private_directory", "web"]


@pytest.fixture(name="tree")
def _tree(tmp_path: Path) -> Path:
    """A committed tree that is ready for the release 1.2.0."""
    (tmp_path / "galaxy.yml").write_text("version: 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0 (2026-11-27)\n\n- New.\n\n## 1.1.0 (2026-11-01)\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(tree: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments], cwd=tree, check=True)


def commit(tree: Path) -> None:
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--allow-empty", "--no-verify", "--message=x")


def test_a_tree_that_is_ready_has_no_problem(tree: Path) -> None:
    assert release.problems(tree) == []


@pytest.mark.parametrize("heading", ["1.1.9 (2026-11-27)", "Unreleased", "1.2.0", "1.2.01 (2026-11-27)"])
def test_the_changelog_has_to_begin_with_the_version_that_is_built(tree: Path, heading: str) -> None:
    (tree / "CHANGELOG.md").write_text(f"# Changelog\n\n## {heading}\n\n## 1.2.0 (2026-11-27)\n")
    commit(tree)
    (problem,) = release.problems(tree)
    assert problem == f"CHANGELOG.md begins with {heading!r}, and galaxy.yml has the version 1.2.0. Write: ## 1.2.0 (DATE)"


def test_what_is_not_committed_is_named(tree: Path) -> None:
    (tree / "new.py").touch()
    (problem,) = release.problems(tree)
    assert problem.endswith("?? new.py")


def test_a_version_is_released_once(tree: Path) -> None:
    git(tree, "tag", "v1.2.0")
    (problem,) = release.problems(tree)
    assert problem == "v1.2.0 is tagged already. Raise the version in galaxy.yml."


def test_this_tree_has_one_version() -> None:
    assert [one for one in release.problems(ROOT) if one.startswith("CHANGELOG")] == []
