"""What a visitor meets."""

from __future__ import annotations

import pytest
from hosted import HOSTS, Container, Site

URLS = """
import getpass

from flask import Flask, redirect, request, session, url_for

app = Flask(__name__)
app.secret_key = "test"


@app.route("/")
def index():
    session["seen"] = "yes"
    return f"index {request.url} {url_for('page', name='x')}"


@app.route("/page/<path:name>")
def page(name):
    return f"page {name!r} {request.script_root!r} {request.query_string.decode()!r} {request.headers.get('Authorization')!r}"


@app.route("/whoami")
def whoami():
    return getpass.getuser()


@app.route("/go")
def go():
    return redirect(url_for("page", name="there"))
"""


@pytest.fixture(scope="module", name="urls")
def _urls(container: Container) -> Site:
    """The site that the third host serves, with an app that says what it sees."""
    site = Site(container, "flasky")
    site.write("flaskyapplication.py", URLS)
    site.deployed()
    return site


@pytest.fixture(params=HOSTS, name="place")
def _place(request: pytest.FixtureRequest) -> tuple[str, str]:
    host, prefix = HOSTS[request.param]
    return host, prefix.format(site="flasky")


def test_the_index_answers_and_its_urls_have_no_run_fcgi(container: Container, urls: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    answer = container.visit(f"{prefix}/", host, X_Forwarded_Proto="https")
    assert answer.status == 200
    assert answer.text == f"index https://{host}{prefix}/ {prefix}/page/x"
    assert f"Path={prefix or '/'}" in answer.headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("plain", "plain"),
        ("100%25", "100%"),
        ("a%3Fb", "a?b"),
        ("a%23b", "a#b"),
        ("a%2Bb+c", "a+b+c"),
        ("caf%C3%A9", "café"),
        ("a%20b", "a b"),
        ("a::b::b", "a::b::b"),
        ("deep/er/", "deep/er/"),
        ("run.fcgi", "run.fcgi"),
    ],
)
def test_a_path_arrives_decoded_once(container: Container, urls: Site, place: tuple[str, str], path: str, name: str) -> None:
    host, prefix = place
    answer = container.visit(f"{prefix}/page/{path}?q=%25&r=1", host)
    assert answer.text == f"page {name!r} {prefix!r} 'q=%25&r=1' None"


def test_a_redirect_leads_to_the_same_host(container: Container, urls: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    assert container.visit(f"{prefix}/go", host).headers["Location"] == f"{prefix}/page/there"


def test_the_app_sees_authorization(container: Container, urls: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    assert "'Bearer abc'" in container.visit(f"{prefix}/page/x", host, Authorization="Bearer abc").text


def test_run_fcgi_asked_for_directly_is_the_site(container: Container, urls: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    assert container.visit(f"{prefix}/run.fcgi/page/x", host).text.startswith("page 'x'")


def test_the_app_runs_as_its_owner(container: Container, urls: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    assert container.visit(f"{prefix}/whoami", host).text == "alice"
