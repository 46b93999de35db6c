"""What a paper can be shown as; other packages can add to these by the entry point ``papers.formats``."""

from __future__ import annotations

from flask import Response, render_template
from markdown import markdown


def html(name: str, text: str) -> Response:
    return Response(render_template("paper.html", name=name, content=markdown(text)))


def text(name: str, text: str) -> Response:
    return Response(text, mimetype="text/plain")
