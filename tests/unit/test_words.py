"""Words that several reports and errors use."""

from __future__ import annotations

import pytest

from ocf_flask import words


@pytest.mark.parametrize(
    ("names", "said"), [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more")]
)
def test_of_many_names_the_first_are_said_and_how_many_more(names: list[str], said: str) -> None:
    assert words.some(names) == said


def test_a_line_end_of_windows_is_a_line_end() -> None:
    assert words.printable("a\r\nb") == "a\nb"


def test_other_languages_are_let_through() -> None:
    assert words.printable("Zażółć 日本語\n\tπ 🐍") == "Zażółć 日本語\n\tπ 🐍"


@pytest.mark.parametrize(
    ("text", "detail", "said"),
    [
        ("It is broken.\nMore", "x", "It is broken."),
        ("pip says:", "Looking\n  ERROR: no such package \n\n", "pip says: ERROR: no such package"),
        ("It says:", "", "It says:"),
        ("", "x", ""),
    ],
)
def test_a_text_and_its_detail_in_a_line(text: str, detail: str, said: str) -> None:
    assert words.in_a_line(text, detail) == said
