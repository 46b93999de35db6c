"""What a visitor meets."""

from __future__ import annotations

import pytest
from hosted import HOSTS, Container, Site

# What Apache gives away shows only where Flask does not serve the same files itself.
APP = """
from flask import Flask

app = Flask(__name__, static_folder=None)


@app.route("/")
def index():
    return "Hello World!"
"""


@pytest.fixture(scope="module", name="urls")
def _urls(container: Container) -> Site:
    """The site that the third host serves."""
    site = Site(container, "flasky")
    site.write("flaskyapplication.py", APP)
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
