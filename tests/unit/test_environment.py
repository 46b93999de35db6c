"""The environment of a release's application, in a file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocf_flask import environment


def test_what_is_written_is_read_and_the_owners_alone(tmp_path: Path) -> None:
    variables = {"SECRET_KEY": "s3cr\N{SNOWMAN}t", "EMPTY": "", "LINES": "a\nb"}
    environment.write(tmp_path, variables)
    assert environment.read(tmp_path) == variables
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600


def test_without_variables_there_is_no_file(tmp_path: Path) -> None:
    environment.write(tmp_path, {})
    assert list(tmp_path.iterdir()) == [] and environment.read(tmp_path) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'["A"]', b"3", b'{"A": 1}', b'{"A": "1", "B": null}', b"\xff", b"[" * 100_000])
def test_a_file_that_its_owner_has_edited_to_something_else_has_no_variables(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "env").write_bytes(content)
    assert environment.read(tmp_path) == {}
