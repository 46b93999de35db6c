"""A tree of code, written where nothing was, whatever its names are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ocf_flask import tree
from ocf_flask.errors import SiteError

Put = Callable[[tree.Writer], object]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda writer: writer.file("a", [b"1"]), lambda writer: writer.file("a", [b"2"])),
        (lambda writer: writer.file("a", [b"1"]), lambda writer: writer.file("a/b", [b"2"])),
        (lambda writer: writer.file("a/b", [b"1"]), lambda writer: writer.file("a", [b"2"])),
        (lambda writer: writer.file("a", [b"1"]), lambda writer: (writer.link("a", "b"), writer.finish())),
        (lambda writer: writer.file("a", [b"1"]), lambda writer: (writer.link("a/b", "c"), writer.finish())),
    ],
)
def test_two_things_of_one_name_are_refused(tmp_path: Path, first: Put, second: Put) -> None:
    writer = tree.Writer(tmp_path / "tree")
    first(writer)
    with pytest.raises(SiteError, match="two files with the name"):
        second(writer)
    content = {path.name: path.read_bytes() for path in writer.target.rglob("*") if path.is_file()}
    assert list(content.values()) == [b"1"], "the first one is as it was"


@pytest.mark.parametrize("name", ["", "../x", "/x", "a/../../x", "./x", "a//x", ".git/hooks/x", "a/.GIT/x", "a\nb", "\x1b[2J"])
def test_a_name_that_leads_elsewhere_is_left_out_and_can_be_shown(tmp_path: Path, name: str) -> None:
    writer = tree.Writer(tmp_path / "tree")
    assert writer.file(name, [b"1"]) == ""
    writer.link(name, "a")
    writer.finish()
    assert list(tmp_path.rglob("*")) == [tmp_path / "tree"]
    assert len(writer.left_out) == 2 and all(one.isprintable() for one in writer.left_out)


@pytest.mark.parametrize("leads_to", ["..", "/etc/passwd", "../tree-of-another/x", "file/../../x"])
def test_a_link_that_leads_out_of_the_tree_is_taken_away(tmp_path: Path, leads_to: str) -> None:
    writer = tree.Writer(tmp_path / "tree")
    writer.file("file", [b"1"])
    writer.link("loop", leads_to)
    writer.link("by-way-of-it", "loop")
    writer.link("stays", "file")
    writer.finish()
    assert sorted(os.listdir(writer.target)) == ["file", "stays"]
    assert sorted(writer.left_out) == ["by-way-of-it", "loop"]


@pytest.mark.parametrize("leads_to", ["", "a\0b"])
def test_a_link_that_no_file_system_has_is_left_out(tmp_path: Path, leads_to: str) -> None:
    writer = tree.Writer(tmp_path / "tree")
    writer.link("link", leads_to)
    writer.finish()
    assert (os.listdir(writer.target), writer.left_out) == ([], ["link"])


def test_each_kind_of_file_has_its_mark(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("1")
    (tmp_path / "program").write_text("1")
    (tmp_path / "program").chmod(0o700)
    (tmp_path / "link").symlink_to("plain")
    os.mkfifo(tmp_path / "pipe")
    digest = tree.digest(tmp_path / "plain")
    assert tree.marks(tmp_path) == {"link": "-> plain", "plain": digest, "program": f"{digest} x"}
    assert (tree.mark(tmp_path / "pipe"), tree.mark(tmp_path / "none"), tree.mark(tmp_path / "plain/below")) == ("", "", "")
