"""A club's pages: members log in and post."""

from __future__ import annotations

import os
from collections.abc import Mapping
from logging.config import dictConfig
from typing import Any

from flask import Flask

from . import auth, commands, posts
from .extensions import csrf, db, login_manager, migrate

dictConfig(
    {
        "version": 1,
        "formatters": {"default": {"format": "%(levelname)s in %(module)s: %(message)s"}},
        "handlers": {
            "wsgi": {"class": "logging.StreamHandler", "stream": "ext://flask.logging.wsgi_errors_stream", "formatter": "default"},
        },
        "root": {"level": "INFO", "handlers": ["wsgi"]},
        "disable_existing_loggers": False,
    }
)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(
        SECRET_KEY=os.environ.get("SECRET_KEY"),
        SQLALCHEMY_DATABASE_URI=os.environ.get("DATABASE_URL", "sqlite:///club.db"),
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.from_pyfile("settings.py", silent=True)
    app.config.update(config or {})
    if not app.config["SECRET_KEY"]:
        raise RuntimeError("Set SECRET_KEY.")
    os.makedirs(app.instance_path, exist_ok=True)

    db.init_app(app)
    migrate.init_app(app, db, render_as_batch=True)
    login_manager.init_app(app)
    csrf.init_app(app)

    app.register_blueprint(auth.bp)
    app.register_blueprint(posts.bp)
    app.cli.add_command(commands.create_admin)
    app.logger.info("The club has started.")
    return app
