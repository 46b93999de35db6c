"""The papers that a reading group has read, from Markdown files within the package."""

from __future__ import annotations

from importlib.metadata import entry_points, version

from flask import Flask, Response, abort, render_template

from .texts import all_texts, text_of

__version__ = version("reading-papers")


def create_app() -> Flask:
    app = Flask(__name__)
    formats = {point.name: point.load() for point in entry_points(group="papers.formats")}

    @app.context_processor
    def about() -> dict[str, object]:
        return {"version": __version__, "formats": sorted(formats)}

    @app.get("/")
    def index() -> str:
        return render_template("index.html", texts=all_texts())

    @app.get("/<name>.<kind>")
    def paper(name: str, kind: str) -> Response:
        text = text_of(name)
        if text is None or kind not in formats:
            abort(404)
        return formats[kind](name, text)

    return app
