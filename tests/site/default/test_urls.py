"""URLs: what a visitor asks for is what the app sees, and what the app links to is there, on every host.

One ``.htaccess`` and one ``run.fcgi`` serve a user directory, a virtual host on the web space and one on the
site's directory. What Apache decides before any ``.htaccess`` is tested as what it is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from hosted import HOSTS, Answer, Container, Site

# Says what it sees of each request, on pages that it does not have as well.
APP = """
import getpass
import hashlib

from flask import Flask, abort, jsonify, redirect, request, session, url_for

app = Flask(__name__)
app.secret_key = "test"
app.config.update({config})
ALL = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@app.route("/", methods=ALL)
@app.route("/<path:name>", methods=ALL)
def page(name=None):
    session["seen"] = "yes"
    body = request.get_data()
    return jsonify(
        method=request.method,
        prefix=request.environ["SCRIPT_NAME"],
        path=request.environ["PATH_INFO"],
        query=request.environ["QUERY_STRING"],
        url=request.url,
        links=[url_for("page"), url_for("page", name="a b/100%?"), url_for("static", filename="x.css")],
        external=url_for("page", name="x", _external=True),
        user=getpass.getuser(),
        authorization=request.headers.get("Authorization"),
        body=[len(body), hashlib.sha256(body).hexdigest()],
    )


@app.route("/directory/")
def directory():
    return "a directory"


@app.route("/go")
def go():
    return redirect(url_for("page", name="there", q="100%"))


@app.route("/status/<int:status>")
def fail(status):
    abort(status)


@app.errorhandler(Exception)
def failed(error):
    answer = page()
    answer.status_code = error.code
    answer.headers["X-Page"] = "the app's own"
    return answer
"""


@dataclass(frozen=True)
class Place:
    """One of the site's hosts, and the site's prefix there."""

    container: Container
    host: str
    prefix: str

    def visit(self, path: str, **options: Any) -> Answer:
        return self.container.visit(self.prefix + path, self.host, **options)

    def seen(self, path: str, **options: Any) -> dict[str, Any]:
        """What the app saw of a request."""
        answer = self.visit(path, **options)
        assert answer.headers["Content-Type"] == "application/json", f"{answer.status} {answer.text[:200]}"
        seen: dict[str, Any] = json.loads(answer.text)
        return seen


@pytest.fixture(scope="module", name="urls")
def _urls(container: Container) -> Site:
    """The site that the third host serves, and in it names that are also those of pages."""
    site = Site(container, "flasky")
    site.shell(f"cd {site.directory} && rm -rf static templates shop favicon.ico robots.txt .well-known")
    site.write("flaskyapplication.py", APP.format(config=""))
    site.write("shop/__init__.py", "")
    site.write("templates/index.html", "")
    site.write("notes.txt", "")
    site.shell(f"mkdir {site.directory}/static")
    site.deployed()
    return site


@pytest.fixture(params=HOSTS, name="place")
def _place(container: Container, urls: Site, request: pytest.FixtureRequest) -> Place:
    host, prefix = HOSTS[request.param]
    return Place(container, host, prefix.format(site=urls.name))


# --- What the app sees ---

SHAPES = (
    # Plain ones, and slashes at the end.
    *("/", "/page", "/page/", "/deep/er/page", "/deep/er/page/"),
    # Characters that mean something in a URL, encoded and not.
    *("/100%25", "/%25", "/%2541", "/%252F", "/%253F", "/a%3Fb", "/a%23b", "/a%2Bb", "/a+b", "/a%20b", "/%20a%20"),
    *("/a&b=c", "/a%26b%3Dc", "/a=b", "/a;b=c", "/a%3Bb", "/;", "/a,b", "/a:b", "/a::b", "/::b", "/%3A%3A", "/a@b"),
    *("/a~b", "/%7Ealice", "/a!b", "/a'b", "/(a)", "/a*b", "/a|b", "/a%7Cb", "/%22a%22", "/%3Ca%3E", "/[a]", "/%5Ba%5D", "/{a}"),
    # Those that mean something to a rewrite rule, a shell or a path of another system.
    *("/$1", "/$0%25%7B", "/%251", "/%25%7BENV:HOME%7D", "/%24%7Bx%7D", "/a%5Cb", "/%5C1", "/^$", "/-d", "/`a`", "/C:%5Ca"),
    # Text, and bytes that are none.
    *("/caf%C3%A9", "/caf\u00e9", "/%E4%B8%AD%E6%96%87", "/\U0001f40d", "/%FF", "/a%FFb", "/%C3", "/%C0%AF", "/%ED%A0%80"),
    *("/%01", "/a%09b", "/a%0Ab", "/%0A", "/a%0A", "/a%0D%0Ab", "/a%1Bb", "/%7F", "/%C2%85"),
    # Dots that are no "." and "..".
    *("/...", "/a.", "/a..", "/..a", "/.a", "/a/.../b", "/.git/config", "/.env"),
    # Names of the site's own files and directories, of what a server likes to answer, and of the site.
    *("/templates", "/templates/", "/templates/index.html", "/templates/x", "/static", "/static/", "/shop", "/shop/", "/shop/x"),
    *("/flaskyapplication", "/flaskyapplication.py", "/flaskyapplication.py/x", "/notes", "/notes.txt", "/notes.txt/x", "/__pycache__/x"),
    *("/index.html", "/a.php", "/a.cgi", "/a.fcgi", "/a.py", "/a.shtml", "/favicon.ico", "/robots.txt", "/.well-known/", "/.well-known/x"),
    *("/flasky", "/flasky/", "/~alice", "/~alice/flasky/x", "/static/x.css"),
    *("/page/run.fcgi", "/page/run.fcgi/x", "/run.fcgix", "/run.fcgi.bak", "/xrun.fcgi/a"),
)  # fmt: skip


@pytest.mark.parametrize("path", SHAPES)
def test_a_path_arrives_decoded_once(place: Place, path: str) -> None:
    seen = place.seen(path)
    assert seen["path"].encode("latin-1") == unquote_to_bytes(path)
    assert seen["prefix"] == place.prefix
    assert seen["links"] == [f"{place.prefix}/", f"{place.prefix}/a%20b/100%25%3F", f"{place.prefix}/static/x.css"]
    assert seen["url"].startswith(f"http://{place.host}{place.prefix}/")


@pytest.mark.parametrize(
    "query",
    [
        *(
            "q=1",
            "",
            "?",
            "q=%25&r=%3F%23%2B",
            "a=b&a=c;d",
            "q=caf%C3%A9",
            "q=%FF%00",
            "a+b%20c",
            "/~alice/flasky/run.fcgi",
            "q=..//..",
            "=&=",
        ),
        *("url=http://x/?y=1", "x=" + 7_900 * "y"),
    ],
)
def test_a_query_string_arrives_as_it_was_sent(place: Place, query: str) -> None:
    for path in ("/", "/page", "/templates", "/a%3Fb"):
        seen = place.seen(f"{path}?{query}")
        assert (seen["path"].encode("latin-1"), seen["query"]) == (unquote_to_bytes(path), query)


# Apache has taken out empty and relative segments before it looks for a file.
MERGED = {
    "//": "/",
    "///a": "/a",
    "/a//b": "/a/b",
    "/a//": "/a/",
    "/a///b//": "/a/b/",
    "/http://x": "/http:/x",
    "/./a": "/a",
    "/a/./b": "/a/b",
    "/a/.": "/a/",
    "/a/../b": "/b",
    "/a/..": "/",
    "/%2e/a": "/a",
    "/a/%2E%2e/b": "/b",
    "/templates/..": "/",
    "/static/../page": "/page",
}


@pytest.mark.parametrize("path", MERGED)
def test_empty_and_relative_segments_are_apaches(place: Place, path: str) -> None:
    seen = place.seen(path)
    assert (seen["prefix"], seen["path"]) == (place.prefix, MERGED[path])


# These do not reach a site at all.
REFUSED = {
    "/%2F": 404,
    "/a%2Fb": 404,
    "/a%2fb/": 404,
    "/%00": 404,
    "/a%00b": 404,
    "/%": 400,
    "/a%1": 400,
    "/a%zz": 400,
    "/page?a#b": 400,
}


@pytest.mark.parametrize("path", REFUSED)
def test_what_apache_refuses_gets_its_own_page(place: Place, path: str) -> None:
    answer = place.visit(path)
    assert answer.status == REFUSED[path]
    assert answer.headers["Content-Type"].startswith("text/html") and "X-Page" not in answer.headers


def test_a_path_may_be_as_long_as_a_files_can_be(place: Place) -> None:
    for path in ("/" + 1_000 * "a", "/page/" + 3_000 * "a", 1_900 * "/a", "/templates/" + 1_000 * "a"):
        assert place.seen(path)["path"] == path
    # Apache turns it into a file's path, of at most 4,096 bytes, before it knows of the site.
    assert place.visit("/" + 5_000 * "a").status in (403, 404)
    assert place.visit("/" + 9_000 * "a").status == 414


RUN_FCGI = {"/run.fcgi": "/", "/run.fcgi/": "/", "/run.fcgi/page": "/page", "/run.fcgi/100%25": "/100%", "/run.fcgi/run.fcgi": "/run.fcgi"}


@pytest.mark.parametrize("path", RUN_FCGI)
def test_run_fcgi_asked_for_directly_is_the_site(place: Place, path: str) -> None:
    """Old links and bookmarks of the recipe's sites go on working."""
    seen = place.seen(path + "?q=1")
    assert (seen["prefix"], seen["path"], seen["query"]) == (place.prefix, RUN_FCGI[path], "q=1")
    assert "run.fcgi" not in "".join([*seen["links"], seen["external"]])


# Ways to write the same directory; the app's own URLs have the plain one.
SPELLINGS = [
    *(("www.example.test", f"{start}/page") for start in ("/%7Ealice/flasky", "/~alice//flasky", "//~alice/flasky", "/~alice/./flasky")),
    *(
        ("www.example.test", f"{start}/page")
        for start in ("/~alice/%66lasky", "/~alice/x/../flasky", "http://www.example.test/~alice/flasky")
    ),
    *(("alice.example.test", f"{start}/page") for start in ("//flasky", "/%66lasky", "/./flasky", "/x/../flasky")),
    *(("flasky.example.test", f"{start}/page") for start in ("/", "/.", "/x/..", "http://flasky.example.test")),
]


@pytest.mark.parametrize(("host", "path"), SPELLINGS)
def test_the_site_has_one_prefix_however_it_is_written(container: Container, urls: Site, host: str, path: str) -> None:
    (prefix,) = (prefix.format(site=urls.name) for name, prefix in HOSTS.values() if name == host)
    seen = json.loads(container.visit(path, host).text)
    assert (seen["prefix"], seen["path"], seen["external"]) == (prefix, "/page", f"http://{host}{prefix}/x")


def test_the_app_runs_as_its_owner(place: Place) -> None:
    for path in ("/", "/page", "/templates", "/run.fcgi"):
        assert place.seen(path)["user"] == "alice"


# --- What the app says ---


def test_external_urls_have_the_visitors_scheme_host_and_port(place: Place) -> None:
    assert place.seen("/page")["external"] == f"http://{place.host}{place.prefix}/x"
    assert place.seen("/page", X_Forwarded_Proto="https")["external"] == f"https://{place.host}{place.prefix}/x"
    assert place.seen("/page", X_Forwarded_Proto="https")["url"] == f"https://{place.host}{place.prefix}/page"
    with_port = Place(place.container, f"{place.host}:8080", place.prefix)
    assert with_port.seen("/page")["external"] == f"http://{place.host}:8080{place.prefix}/x"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_leads_to_the_same_site(place: Place, scheme: str) -> None:
    answer = place.visit("/go", X_Forwarded_Proto=scheme)
    assert (answer.status, answer.headers["Location"]) == (302, f"{place.prefix}/there?q=100%25")
    answer = place.visit("/directory?q=%25", X_Forwarded_Proto=scheme)
    assert (answer.status, answer.headers["Location"]) == (308, f"{scheme}://{place.host}{place.prefix}/directory/?q=%25")
    assert place.visit("/run.fcgi/go", X_Forwarded_Proto=scheme).headers["Location"] == f"{place.prefix}/there?q=100%25"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("query", ["", "?q=%25&r=1"])
@pytest.mark.parametrize("host", ["www.example.test", "alice.example.test:8080"])
def test_the_site_without_its_slash_leads_to_the_site(container: Container, urls: Site, host: str, query: str, scheme: str) -> None:
    path = "/~alice/flasky" if host.startswith("www") else "/flasky"
    answer = container.visit(path + query, host, X_Forwarded_Proto=scheme)
    assert (answer.status, answer.headers["Location"]) == (301, f"{scheme}://{host}{path}/{query}")


def test_the_session_cookie_is_confined_to_the_site(container: Container, urls: Site) -> None:
    for _ in range(2):
        for host, prefix in HOSTS.values():
            cookie = container.visit(f"{prefix}/".format(site=urls.name), host).headers["Set-Cookie"]
            assert f"Path={prefix.format(site=urls.name) or '/'}" in cookie.split("; ")


@pytest.mark.parametrize("setting", ["SESSION_COOKIE_PATH", "APPLICATION_ROOT"])
def test_a_cookie_path_that_the_app_sets_is_kept(site: Site, setting: str) -> None:
    site.write("flaskyapplication.py", APP.format(config=f"{setting}='/~alice'"))
    site.deployed()
    for host, prefix in list(HOSTS.values())[:2]:
        cookie = site.container.visit(f"{prefix}/".format(site=site.name), host).headers["Set-Cookie"]
        assert "Path=/~alice" in cookie.split("; ")


# --- Methods, bodies, headers ---

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
BODY = bytes(range(256)) * 800


@pytest.mark.parametrize("method", METHODS)
def test_every_method_reaches_the_app_with_its_body(place: Place, method: str) -> None:
    for path in ("/", "/page", "/templates", "/run.fcgi/page"):
        assert place.seen(path, method=method)["method"] == method
    whole = [len(BODY), hashlib.sha256(BODY).hexdigest()]
    assert place.seen("/page?q=1", method=method, body=BODY)["body"] == whole
    # In chunks: without a Content-Length.
    chunked = place.seen("/page?q=1", method=method, body=(BODY[at : at + 7_000] for at in range(0, len(BODY), 7_000)))
    assert (chunked["method"], chunked["query"], chunked["body"]) == (method, "q=1", whole)


def test_head_has_the_headers_of_get_and_no_body(place: Place) -> None:
    for path in ("/", "/page", "/templates", "/status/404"):
        head, get = place.visit(path, method="HEAD"), place.visit(path)
        assert (head.status, head.headers["Content-Type"], head.text) == (get.status, get.headers["Content-Type"], "")
        assert get.text


def test_a_method_that_the_app_does_not_know_is_the_apps_affair(place: Place) -> None:
    answer = place.visit("/page", method="PROPFIND")
    assert (answer.status, answer.headers["X-Page"]) == (405, "the app's own")


@pytest.mark.parametrize("value", ["Bearer abc.def", "Basic YWxpY2U6c2VjcmV0", 'Digest username="alice"'])
def test_the_app_sees_authorization(place: Place, value: str) -> None:
    assert place.seen("/page", Authorization=value)["authorization"] == value


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 429, 500, 502, 503])
def test_an_error_page_is_the_apps_own(place: Place, status: int) -> None:
    answer = place.visit(f"/status/{status}")
    assert (answer.status, answer.headers["X-Page"]) == (status, "the app's own")
    assert json.loads(answer.text)["path"] == f"/status/{status}"
