"""A JSON API for pages on other hosts: CORS, tokens, every method, an asynchronous view, errors as JSON, any script."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from application import App

PAGE = "https://todo.example.test"
NAME = "Käse & Brød/買う"


@pytest.fixture(scope="module", autouse=True)
def _deployed(app: App) -> None:
    app.from_project()
    app.deployed()


@pytest.fixture(scope="module")
def token(app: App) -> str:
    secret = base64.b64encode("zoë:Paßwort für alles".encode()).decode()
    answer = app.visit("/token", method="POST", Authorization=f"Basic {secret}")
    assert answer.status == 200, answer.text
    return f"Bearer {json.loads(answer.text)['token']}"


def ask(app: App, method: str, path: str, data: Any = None, **headers: str) -> tuple[int, Any]:
    body = None if data is None else json.dumps(data, ensure_ascii=False).encode()
    if body is not None:
        headers.setdefault("Content_Type", "application/json")
    answer = app.visit(path, method=method, body=body, **headers)
    assert not answer.body or answer.headers["Content-Type"] == "application/json", answer.text
    return answer.status, json.loads(answer.text) if answer.body else None


def test_only_who_has_the_password_gets_a_token(app: App, token: str) -> None:
    wrong = app.visit("/token", method="POST", Authorization="Basic " + base64.b64encode(b"zoe:no").decode())
    assert (wrong.status, json.loads(wrong.text)) == (401, {"error": "Unauthorized"})
    assert wrong.headers["WWW-Authenticate"] == 'Basic realm="Authentication Required"'
    assert ask(app, "GET", "/me", Authorization=token) == (200, {"user": "zoë"})
    assert ask(app, "GET", "/me", Authorization="Bearer nonsense")[0] == 401
    assert ask(app, "PUT", "/items/x", {"done": True})[0] == 401


def test_items_are_made_changed_and_deleted(app: App, token: str) -> None:
    for name in ("Milch", "买东西", "Käse & Brød?", "100%", "a+b;c=d", "'; DROP TABLE item; --"):
        path = f"/items/{quote(name, safe='')}"
        assert ask(app, "GET", path) == (404, {"error": "Not Found", "description": f"There is no item {name}."})
        assert ask(app, "PUT", path, {"done": False}, Authorization=token) == (201, {"name": name, "done": False})
        assert ask(app, "PUT", path, {"done": False}, Authorization=token)[0] == 200
        assert ask(app, "PATCH", path, Authorization=token) == (200, {"name": name, "done": True})
        url = f"http://www.example.test/~alice/api{path}"
        (listed,) = ask(app, "GET", "/items")[1]
        assert (listed["name"], listed["done"]) == (name, True)
        assert ask(app, "GET", listed["url"].removeprefix("http://www.example.test/~alice/api")) == (200, {"name": name, "done": True}), url
        assert ask(app, "DELETE", path, Authorization=token) == (204, None)
        assert ask(app, "GET", "/items") == (200, [])


def test_a_url_in_raw_utf_8_is_the_same(app: App, token: str) -> None:
    ask(app, "PUT", "/items/K%C3%A4se", {"done": True}, Authorization=token)
    assert ask(app, "GET", "/items/Käse") == (200, {"name": "Käse", "done": True})
    assert '"Käse"' in app.visit("/items/Käse").text
    ask(app, "DELETE", "/items/Käse", Authorization=token)


def test_a_page_on_another_host_may_ask(app: App, token: str) -> None:
    preflight = app.visit(
        "/items/x",
        method="OPTIONS",
        Origin=PAGE,
        Access_Control_Request_Method="PUT",
        Access_Control_Request_Headers="authorization, content-type",
    )
    allowed = preflight.headers
    assert (preflight.status, allowed["Access-Control-Allow-Origin"], allowed["Access-Control-Max-Age"]) == (200, PAGE, "3600")
    assert "PUT" in allowed["Access-Control-Allow-Methods"] and "authorization" in allowed["Access-Control-Allow-Headers"]
    answer = app.visit("/items", Origin=PAGE)
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert app.visit("/items", Origin="https://other.example.test").headers["Access-Control-Allow-Origin"] is None
    assert app.visit("/me", Origin=PAGE).headers["Access-Control-Allow-Origin"] is None
    plain = app.visit("/items/x", method="OPTIONS")
    assert set(plain.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}


def test_errors_are_json(app: App, token: str) -> None:
    assert ask(app, "GET", "/nothing")[0] == 404
    assert ask(app, "POST", "/items")[0] == 405
    assert ask(app, "PUT", "/items/x", {"done": "yes"}, Authorization=token) == (
        422,
        {"error": "Unprocessable Entity", "description": "done has to be true or false."},
    )
    assert ask(app, "PUT", "/items/x", {"done": True}, Authorization=token, Content_Type="text/plain")[0] == 415
    assert app.visit("/items/x", method="PUT", body=b"{", Authorization=token, Content_Type="application/json").status == 400
    assert ask(app, "GET", "/divide/0")[0] == 500
    assert "ZeroDivisionError" in app.shell(f"cat {app.private}/log/error.log")


def test_an_asynchronous_view_answers(app: App) -> None:
    assert ask(app, "GET", "/slow-sum") == (200, {"sum": 45})


def test_items_outlive_a_release(app: App, token: str) -> None:
    ask(app, "PUT", "/items/stays", {"done": True}, Authorization=token)
    app.assert_settled()
    app.assert_private("/wsgi.py", "/todo_api/auth.py", "/instance/todo.sqlite", "/todo.sqlite")
    app.change("todo_api/__init__.py", 'name="todo"', 'name="to do"')
    app.deployed()
    assert ask(app, "GET", "/") == (200, {"name": "to do", "items": "/items"})
    assert ask(app, "GET", "/items/stays") == (200, {"name": "stays", "done": True})
    assert ask(app, "GET", "/me", Authorization=token) == (200, {"user": "zoë"}), "the old release's token"
    app.assert_settled()
