"""Uploads, pieces of them, streams, and bodies of many megabytes."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile

import pytest

from application import App
from browser import Browser, multipart

FILM = random.Random(1).randbytes(6_000_000)


@pytest.fixture(scope="module", autouse=True)
def _with_a_film(app: App) -> None:
    app.from_project()
    app.deployed()
    browser = Browser(app)
    page = browser.send(browser.open(), files={"file": ("my film.mp4", FILM)}, **{"from": "Zoë"})
    assert "Thank you, Zoë" in page.text and 'href="/~alice/gallery/uploads/my_film.mp4"' in page.text


def test_an_upload_comes_back_whole_and_in_pieces(app: App) -> None:
    whole = app.visit("/uploads/my_film.mp4")
    assert (whole.body, whole.headers["Content-Type"], whole.headers["Accept-Ranges"]) == (FILM, "video/mp4", "bytes")
    for wanted, start, end in (("0-99", 0, 100), ("2999990-3000009", 2_999_990, 3_000_010), ("-5", 5_999_995, 6_000_000)):
        piece = app.visit("/uploads/my_film.mp4", Range=f"bytes={wanted}")
        assert (piece.status, piece.body) == (206, FILM[start:end])
        assert piece.headers["Content-Range"] == f"bytes {start}-{end - 1}/6000000"
    assert app.visit("/uploads/my_film.mp4", Range="bytes=6000000-").status == 416
    assert app.visit("/uploads/my_film.mp4", If_None_Match=whole.headers["ETag"]).status == 304
    head = app.visit("/uploads/my_film.mp4", method="HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "6000000", b"")
    assert app.visit("/uploads/my_film.mp4?save").headers["Content-Disposition"] == "attachment; filename=my_film.mp4"


def test_what_is_not_allowed_is_refused(app: App) -> None:
    browser = Browser(app)
    assert "Files such as x.php are not allowed" in browser.send(browser.open(), files={"file": ("x.php", b"<?php")}).text
    body, kind = multipart({}, {"file": ("large.mp4", bytes(8_000_001))})
    large = app.visit("/", method="POST", body=body, Content_Type=kind)
    assert (large.status, large.text) == (413, "At most 8 MB, please.\n")
    for path in ("/uploads/../gallery.py", "/uploads/..%2Fgallery.py", "/uploads/%2e%2e/gallery.py", "/uploads//etc/passwd"):
        assert app.visit(path).status == 404, path
    assert app.shell(f"ls {app.private}/shared/uploads").split() == ["my_film.mp4"]


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
def test_a_large_body_is_read_in_pieces(app: App, chunked: bool) -> None:
    content = FILM * 4
    answer = app.visit("/checksum", method="PUT", body=(FILM for _ in range(4)) if chunked else content)
    assert json.loads(answer.text) == {"size": 24_000_000, "sha256": hashlib.sha256(content).hexdigest()}


def test_streams_of_unknown_length_arrive_whole(app: App) -> None:
    answer = app.visit("/all.zip")
    assert (answer.headers["Transfer-Encoding"], answer.headers["Content-Length"]) == ("chunked", None)
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.read("my_film.mp4") == FILM
    assert app.visit("/list.csv?for=Zo%C3%AB").text == "name,bytes (Zoë)\nmy_film.mp4,6000000\n"
    events = app.visit("/events")
    assert events.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert events.text == "id: 0\ndata: my_film.mp4\n\nevent: end\ndata:\n\n"
    head = app.visit("/all.zip", method="HEAD")
    assert (head.status, head.body) == (200, b"")


def test_uploads_outlive_a_release(app: App) -> None:
    app.assert_settled()
    app.assert_private("/gallery.py", "/uploads/", "/shared/uploads/my_film.mp4")
    assert app.shell(f"stat -c %a {app.private}/shared/uploads/my_film.mp4").strip() == "600"
    app.change("gallery.py", '"Thank you, ', '"Many thanks, ')
    app.deployed()
    assert app.visit("/uploads/my_film.mp4").body == FILM
    browser = Browser(app)
    assert "Many thanks" in browser.send(browser.open(), files={"file": ("a.txt", b"a")}, **{"from": "Ann"}).text
    app.assert_settled()
