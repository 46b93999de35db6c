from __future__ import annotations

import os
import sqlite3

from flask import Blueprint, abort, current_app, g, jsonify, request, url_for

from .auth import token_auth

bp = Blueprint("items", __name__, url_prefix="/items")


def database() -> sqlite3.Connection:
    if "database" not in g:
        path = current_app.config["DATABASE"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        g.database = sqlite3.connect(path, isolation_level=None)
        g.database.execute("CREATE TABLE IF NOT EXISTS item (name TEXT PRIMARY KEY, done INTEGER NOT NULL)")
    return g.database


@bp.teardown_app_request
def close(error: BaseException | None) -> None:
    if "database" in g:
        g.pop("database").close()


@bp.get("")
def every():
    found = database().execute("SELECT name, done FROM item ORDER BY name")
    return jsonify([{"name": name, "done": bool(done), "url": url_for(".one", name=name, _external=True)} for name, done in found])


@bp.get("/<name>")
def one(name: str):
    found = database().execute("SELECT done FROM item WHERE name = ?", (name,)).fetchone()
    if found is None:
        abort(404, f"There is no item {name}.")
    return jsonify(name=name, done=bool(found[0]))


@bp.put("/<name>")
@token_auth.login_required
def put(name: str):
    wanted = request.get_json()
    if not isinstance(wanted, dict) or not isinstance(wanted.get("done"), bool):
        abort(422, "done has to be true or false.")
    is_new = database().execute("SELECT 1 FROM item WHERE name = ?", (name,)).fetchone() is None
    database().execute("REPLACE INTO item VALUES (?, ?)", (name, wanted["done"]))
    status = 201 if is_new else 200
    return jsonify(name=name, done=wanted["done"]), status, {"Location": url_for(".one", name=name)}


@bp.patch("/<name>")
@token_auth.login_required
def toggle(name: str):
    changed = database().execute("UPDATE item SET done = NOT done WHERE name = ?", (name,)).rowcount
    return one(name) if changed else abort(404, f"There is no item {name}.")


@bp.delete("/<name>")
@token_auth.login_required
def delete(name: str):
    database().execute("DELETE FROM item WHERE name = ?", (name,))
    return "", 204
