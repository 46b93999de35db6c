"""A src layout with a build system and a lock: the package is installed, with its data, metadata and entry points."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from application import App


@pytest.fixture(scope="module", autouse=True)
def _deployed(app: App) -> None:
    app.from_project()
    app.deployed()


def test_the_packages_metadata_and_entry_points_are_there(app: App) -> None:
    page = app.visit().text
    assert "<title>Papers 1.4.0</title>" in page
    for name in ("dijkstra", "gödel"):
        for kind in ("html", "text"):
            url = f"/~alice/papers/{quote(name)}.{kind}"
            assert f'<a href="{url}">{kind}</a>' in page
            assert app.container.visit(url).status == 200
    assert "<h1>Über formal unentscheidbare Sätze</h1>" in app.visit("/g%C3%B6del.html").text
    assert app.visit("/g%C3%B6del.text").headers["Content-Type"] == "text/plain; charset=utf-8"
    assert app.visit("/dijkstra.pdf").status == app.visit("/nobody.html").status == 404


def test_the_versions_are_those_of_the_lock(app: App) -> None:
    said = app.play(
        "run", "-e", json.dumps({"command": "python -c 'from importlib.metadata import version; print(version(\"markdown\"))'"})
    )
    assert "3.11.3" in said


def test_the_packages_command_is_in_the_virtualenv(app: App) -> None:
    said = app.play("run", "-e", json.dumps({"command": "papers-words"}))
    assert "dijkstra 15" in said and "gödel 14" in said


def test_the_packages_static_files_are_served(app: App) -> None:
    assert 'href="/~alice/papers/static/papers.css"' in app.visit().text
    assert app.visit("/static/papers.css").text == "body { max-width: 40em; }\n"


def test_a_new_text_and_a_new_version_are_deployed(app: App) -> None:
    app.assert_settled()
    app.assert_private("/pyproject.toml", "/uv.lock", "/src/papers/texts/dijkstra.md", "/papers/texts/dijkstra.md", "/README.md")
    app.change("pyproject.toml", 'version = "1.4.0"', 'version = "1.5.0"')
    app.change("uv.lock", 'version = "1.4.0"', 'version = "1.5.0"')
    (app.project / "src/papers/texts/hopper.md").write_text("# The education of a computer\n")
    app.deployed()
    page = app.visit().text
    assert "Papers 1.5.0" in page and "hopper" in page
    app.change("src/papers/texts/dijkstra.md", "considered harmful", "considered helpful")
    app.deployed()
    assert "considered helpful" in app.visit("/dijkstra.html").text, "a change of the code alone, without a new version"
    app.assert_settled()
