"""What the application writes: small things of the shared directory, each by itself. The whole is in test_source."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from ocf_flask import shared, tree


def test_a_copy_is_taken_back_unless_the_app_has_written_to_it(tmp_path: Path) -> None:
    for name, written in (("same", "1"), ("changed", "2")):
        (tmp_path / name).write_text("1")
        digest = tree.digest(tmp_path / name)
        (tmp_path / name).write_text(written)
        shared._unseed(tmp_path / name, digest)
    shared._unseed(tmp_path / "gone", "0" * 64)
    assert [path.name for path in tmp_path.iterdir()] == ["changed"]


@pytest.mark.parametrize("kind", ["file", "directory", "link to a file", "link to a directory", "link to nothing"])
def test_of_what_is_shared_the_sources_own_goes_and_not_what_a_link_leads_to(tmp_path: Path, kind: str) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target/file").write_text("1")
    one = tmp_path / "one"
    if kind == "file":
        one.write_text("1")
    elif kind == "directory":
        (one / "in/it").mkdir(parents=True)
    else:
        one.symlink_to({"file": "target/file", "directory": "target", "nothing": "none"}[kind.rpartition(" ")[2]])
    shared._discard(one)
    assert [path.name for path in tmp_path.iterdir()] == ["target"] and (tmp_path / "target/file").read_text() == "1"


def test_what_is_there_is_not_replaced_and_links_stay_behind(tmp_path: Path) -> None:
    source, kept = tmp_path / "source", tmp_path / "kept"
    (source / "below").mkdir(parents=True)
    for name in ("same", "differs", "below/new", "directory"):
        (source / name).write_text("the source's")
    (source / "link").symlink_to("same")
    (kept / "data/directory").mkdir(parents=True)
    (kept / "data/same").write_text("the source's")
    (kept / "data/differs").write_text("the app's")
    with ExitStack() as on_error:
        found = shared._seed(source, kept / "data", kept, on_error)
        assert (kept / "data/below/new").read_text() == "the source's"
    assert found == (["new"], ["differs", "directory"])
    assert sorted(path.name for path in (kept / "data").iterdir()) == ["differs", "directory", "same"], "taken back"
    assert (kept / "data/differs").read_text() == "the app's"


@pytest.mark.parametrize(
    ("names", "outermost"),
    [
        (["instance/", "instance/uploads/", "app.db"], ["app.db", "instance"]),
        (["a", "ab", "a/b"], ["a", "ab"]),
        ([], []),
    ],
)
def test_a_name_below_another_is_shared_with_it(names: list[str], outermost: list[str]) -> None:
    assert shared._outermost(names) == outermost
