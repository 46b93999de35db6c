"""A compiled package (Pillow), and answers that browsers keep and ask for again."""

from __future__ import annotations

import struct

from application import App


def test_the_site_that_molecule_deployed_is_the_same(app: App) -> None:
    app.from_project()
    app.deployed()
    assert '<img src="chart/rain.png" alt="rain">' in app.visit().text


def test_pictures_are_drawn(app: App) -> None:
    answer = app.visit("/chart/rain.png?width=480")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.body.startswith(b"\x89PNG\r\n") and struct.unpack("!II", answer.body[16:24]) == (480, 200)
    for kind, start in (("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")):
        assert app.visit(f"/chart/visitors.{kind}").body.startswith(start)
    assert app.visit("/chart/snow.png").status == app.visit("/chart/rain.bmp").status == 404


def test_a_browser_that_has_the_picture_is_told_so(app: App) -> None:
    first = app.visit("/chart/rain.png")
    tag, date = first.headers["ETag"], first.headers["Last-Modified"]
    assert first.headers["Cache-Control"] == "public, max-age=600"
    same = app.visit("/chart/rain.png", If_None_Match=tag)
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    assert app.visit("/chart/rain.png", If_Modified_Since=date).status == 304
    assert app.visit("/chart/rain.png?width=100", If_None_Match=tag).status == 200
    piece = app.visit("/chart/rain.png", Range="bytes=0-7")
    assert (piece.status, piece.body, piece.headers["Content-Range"]) == (206, first.body[:8], f"bytes 0-7/{len(first.body)}")
    assert app.visit("/chart/rain.png", Range="bytes=0-7", If_Range='"other"').body == first.body
    head = app.visit("/chart/rain.png", method="HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(first.body)), b"")


def test_new_measurements_give_a_new_picture(app: App) -> None:
    app.assert_settled()
    app.assert_private("/plots.py", "/data/rain.csv")
    before = app.visit("/chart/rain.png")
    app.change("data/rain.csv", "Thu,4.25", "Thu,1\nFri,9")
    app.deployed()
    after = app.visit("/chart/rain.png", If_None_Match=before.headers["ETag"])
    assert after.status == 200 and after.body != before.body
    app.assert_settled()
