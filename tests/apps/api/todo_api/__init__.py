"""A list of things to do, as a JSON API for a page on another host."""

from __future__ import annotations

import asyncio
import os

from flask import Flask, jsonify
from flask_cors import CORS
from werkzeug.exceptions import HTTPException

from . import items
from .auth import basic_auth, token_auth, token_for


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_prefixed_env("TODO")
    app.config.setdefault("DATABASE", os.path.join(app.instance_path, "todo.sqlite"))
    app.json.ensure_ascii = False
    app.json.sort_keys = False
    CORS(app, resources={r"/items*": {"origins": ["https://todo.example.test"]}}, supports_credentials=True, max_age=3600)
    app.register_blueprint(items.bp)

    @app.get("/")
    def index():
        return jsonify(name="todo", items="/items")

    @app.post("/token")
    @basic_auth.login_required
    def token():
        return jsonify(token=token_for(basic_auth.current_user()))

    @app.get("/me")
    @token_auth.login_required
    def me():
        return jsonify(user=token_auth.current_user())

    @app.get("/slow-sum")
    async def slow_sum():
        async def part(number: int) -> int:
            await asyncio.sleep(0.01)
            return number

        return {"sum": sum(await asyncio.gather(*map(part, range(10))))}

    @app.get("/divide/<int:by>")
    def divide(by: int):
        return {"result": 1 / by}

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException):
        response = error.get_response()
        response.data = app.json.dumps({"error": error.name, "description": error.description})
        response.content_type = "application/json"
        return response

    return app
