"""What a report says of the plan, beside what is in the plan itself."""

from __future__ import annotations

import pytest

from ocf_flask import explain
from ocf_flask.permissions import Found


def test_each_package_that_came_went_or_changed_is_named_in_order() -> None:
    before = {"click": "8.0", "flask": "3.0", "old": "1"}
    after = {"click": "8.0", "flask": "3.1", "jinja2": "3"}
    assert explain.package_changes(before, after) == ["flask 3.0 -> 3.1", "jinja2 3 installed", "old 1 removed"]
    assert explain.package_changes(after, after) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Found((), ("a.db",), ()), ["a.db", "of another account", "left alone"]),
        (Found((), (), ("static/a.css",)), ["static/a.css", "hard links", "put copies in their place"]),
        (Found(astray=(("static/x", "/home/alice/x"),)), ["static/x leads to /home/alice/x", "ocf_flask_public"]),
    ],
)
def test_what_the_permissions_of_cannot_be_set_is_told(found: Found, words: list[str]) -> None:
    (note,) = explain._permission_notes(found)
    assert all(word in note for word in words)


def test_of_permissions_that_are_right_nothing_is_told() -> None:
    assert explain._permission_notes(Found()) == []
