from __future__ import annotations

from flask import current_app, jsonify
from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.security import check_password_hash, generate_password_hash

basic_auth = HTTPBasicAuth()
token_auth = HTTPTokenAuth()


def serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["KEY"])


def token_for(user: str) -> str:
    return serializer().dumps(user)


@basic_auth.verify_password
def verify_password(user: str, password: str) -> str | None:
    known = {"zoë": generate_password_hash(current_app.config["PASSWORD"])}
    return user if user in known and check_password_hash(known[user], password) else None


@token_auth.verify_token
def verify_token(token: str) -> str | None:
    try:
        return serializer().loads(token, max_age=3600)
    except BadSignature:
        return None


@basic_auth.error_handler
def no_password(status: int):
    return jsonify(error="Unauthorized"), status


@token_auth.error_handler
def no_token(status: int):
    return jsonify(error="Unauthorized"), status
