"""What a visitor meets."""

from __future__ import annotations

import pytest
from hosted import HOSTS, Container, Site

URLS = """
import getpass

from flask import Flask, redirect, request, session, url_for

# What Apache gives away shows only where Flask does not serve the same files itself.
app = Flask(__name__, static_folder=None)
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
    site.write("static/style.css", "body { color: red }\n")
    site.write("static/.secret", "a secret\n")
    site.write("static/x.cgi", "#!/bin/sh\necho; echo executed\n")
    site.write("robots.txt", "User-agent: *\n")
    site.write(".env", "SECRET=1\n")
    site.write(".git/config", "a secret\n")
    site.write("instance/app.sqlite", "a secret\n")
    site.shell(f"chmod 755 {site.directory}/static/x.cgi; chmod -R a+rX {site.directory}/static")
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


def test_static_files_come_from_apache_with_caching(container: Container, urls: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    answer = container.visit(f"{prefix}/static/style.css", host)
    assert (answer.status, answer.text) == (200, "body { color: red }\n")
    assert answer.headers["ETag"] and answer.headers["Cache-Control"]
    assert container.visit(f"{prefix}/robots.txt", host).text == "User-agent: *\n"


@pytest.mark.parametrize(
    "path",
    [
        *("flaskyapplication.py", "run.fcgi.bak", ".env", ".git/config", ".htaccess", "instance/app.sqlite", "requirements"),
        *("venv/pyvenv.cfg", "__pycache__/", "static/", "static/.secret", "static/x.cgi", "templates", "%2e%2e/flasky/.env"),
        "static/..%2f.env",
    ],
)
def test_nothing_private_is_served_or_run(container: Container, urls: Site, place: tuple[str, str], path: str) -> None:
    host, prefix = place
    answer = container.visit(f"{prefix}/{path}", host)
    assert "secret" not in answer.text and "SECRET" not in answer.text and "import" not in answer.text
    assert "executed" not in answer.text.splitlines()
    if not path.startswith("static/x"):
        assert answer.status in (400, 403, 404)


def test_the_app_runs_as_its_owner(container: Container, urls: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    assert container.visit(f"{prefix}/whoami", host).text == "alice"
