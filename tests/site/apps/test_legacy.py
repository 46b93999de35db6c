"""An application of 2021 with that year's Flask, in the home directory, on today's Python."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator

import pytest

from application import App
from browser import Browser

CODE = "/home/a/al/alice/legacy"


@pytest.fixture(scope="module", autouse=True)
def _deployed(app: App) -> Iterator[None]:
    app.put(CODE)
    app.deployed()
    yield
    app.shell(f"rm -r {CODE}")


def test_it_has_its_pins(app: App) -> None:
    assert "Werkzeug 2.0.3" in app.play("run", "-e", json.dumps({"command": "flask --version"}))


def test_a_visitor_signs(app: App) -> None:
    browser = Browser(app)
    page = browser.send(browser.open(), name="<Zoë>", text="schön & gut")
    assert page.text == 'Thank you, &lt;Zoë&gt;! <a href="/~alice/legacy/">Back</a>'
    assert "<b>schön &amp; gut</b>" in browser.open().text
    assert "Guest book (development)" in browser.open().text


def test_its_owner_logs_in(app: App) -> None:
    browser = Browser(app)
    assert browser.open("/stats").status == 401
    form = b"password=nobody+knows+this"
    login = browser.open("/login", method="POST", body=form, Content_Type="application/x-www-form-urlencoded")
    assert login.status == 302
    stats = browser.follow(login)
    assert json.loads(stats.text) == {"entries": 1, "started": datetime.date.today().isoformat(), "user": "owner", "came": "über uns"}
    assert "über uns" in stats.text, "JSON_AS_ASCII is off"
    assert browser.paths() == {"session": "/~alice/legacy", "remember_token": "/~alice/legacy"}


def test_the_book_stays(app: App) -> None:
    app.assert_settled()
    app.assert_private("/hello.py", "/guestbook.txt", "/templates/index.html")
    app.change("templates/index.html", "<h1>Guest book", "<h1>Our guest book")
    app.put(CODE)
    app.deployed()
    page = app.visit().text
    assert "Our guest book" in page and "schön &amp; gut" in page
    app.assert_settled()
