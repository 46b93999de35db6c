"""What a visitor, or another account of the machine, can get out of a site: nothing but what is public."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

import pytest

from hosted import HOSTS, Answer, Container, Site

# In each private file: where a visitor reads it, something has leaked.
SECRET = "the-secret-word"
# What a script prints, and its source does not have.
EXECUTED = "this-was-executed"
NOT_FOUND = "the app has no such page"

# Flask would serve its static files itself: what Apache gives away shows only where it does not.
APP = f'''
from flask import Flask

SECRET = "{SECRET}"
app = Flask(__name__, static_folder=None)


@app.route("/")
def index():
    return "index"


@app.route("/shop/cart")
def cart():
    return "cart"


@app.errorhandler(404)
def not_found(error):
    return "{NOT_FOUND}", 404
'''
SCRIPT = f"#!/bin/sh\\n# {SECRET}\\necho Content-Type: text/plain; echo; echo this-was-''executed\\n"

PRIVATE = (
    # Source, settings, and what tools leave beside them.
    *("flaskyapplication/__init__.py", "flaskyapplication/models.py", "shop/__init__.py", "settings.py", "config.json", "wsgi.py"),
    *("flaskyapplication/templates/page.html", "requirements.txt", "pyproject.toml", "Makefile", "Dockerfile", "notes.txt", "id_rsa"),
    *(".env", ".env.production", ".flaskenv", ".gitignore", ".git/config", ".git/HEAD", ".git/objects/aa/bb", ".svn/entries", ".ssh/id_rsa"),
    # Data.
    *("app.sqlite", "app.db-wal", "instance/app.sqlite", "instance/config.py", "dump.sql", "uploads/1.txt", "logs/debug.log", "debug.log"),
    # Backups and editors' files.
    *("flaskyapplication/__init__.py~", "flaskyapplication/.__init__.py.swp", "settings.py.bak", "settings.py.orig", "backup.tar.gz", "site.zip"),
    *(".DS_Store", "run.fcgi~", "run.fcgi.bak", "run.fcgi.2026-11-24-034512", ".ocf-flask-run.fcgi.old"),
    # A virtualenv, packages, and a page for each handler and index that the server knows.
    *("env/pyvenv.cfg", "env/lib/python3/site-packages/x.py", "env/bin/activate", "node_modules/x/package.json", "index.html", "docs/index.html"),
    *("old.php", "page.html.en", "page.shtml", "page.var", "report.pl.txt"),
    # Below the public directories.
    *("static/.secret", "static/.git/config", "static/deep/.hidden/x.txt", "static/x.php", "static/x.phtml"),
    *("flaskyapplication/static/.secret", "flaskyapplication/static/.d/x.txt", "flaskyapplication/static/x.php", "robots.txt.bak"),
)  # fmt: skip
# Private programs, and programs below static/ as visitors may upload them.
PROGRAMS = ("x.cgi", "x.pl", "x.py", "x.fcgi", "programs/x.cgi")
UPLOADED = (
    "static/x.cgi",
    "static/x.py",
    "static/x.pl",
    "static/up.php",
    "static/up.fcgi",
    "flaskyapplication/static/up.cgi",
    "static/up.shtml",
)

# Other ways to ask for the same, and names that an answer could reveal.
DISGUISED = (
    *("%2eenv", "%2Eenv", "./.env", "static/../.env", "static/%2e%2e/.env", "static/%2E%2E/%2Eenv", "static/deep/../../.env", "x/../.git/config"),
    *(".env/", ".env/x", ".env?x", "notes.txt;x", "settings.py/", "static/../instance/app.sqlite", "run.fcgi/.env", "run.fcgi/../.env"),
    *("requirements", "page", "page.html", "settings", "notes", "app", "index", "docs/index", "static/page", "flaskyapplication/models"),
    *("static", "static/", "static/deep", "static/deep/", "static/?C=M;O=A", ".git", ".git/", "instance", "instance/", "uploads", "uploads/"),
    *("shop", "shop/", "env", "env/", "docs", "docs/", "__pycache__", "flaskyapplication", "flaskyapplication/", "flaskyapplication/__pycache__/"),
    *("flaskyapplication/static", "flaskyapplication/static/", "flaskyapplication/static/pkg.css", "flaskyapplication/templates/"),
    *(".ocf-flask-new-run.fcgi", ".ocf-flask-new-htaccess", ".ocf-flask-venv", "programs/", "static/pkg.css/x", "static/style.css/x"),
)  # fmt: skip
# What Apache refuses before it looks for a file: with the same answer for a name that is not there.
REFUSED = {
    ".htaccess": ".htnothing",
    "static/.htaccess": "static/.htnothing",
    "docs/.htpasswd": "docs/.htnothing",
    ".htaccess~": ".htnothing",
    ".htaccess.bak": ".htnothing",
    "static/..%2f.env": "static/..%2f.nothing",
    "static%2f..%2f.env": "static%2f..%2f.nothing",
    ".env%00": ".nothing%00",
    "static/%2e%2e%2f.env": "static/%2e%2e%2f.nothing",
    "../../../../etc/passwd": "../../../../etc/nothing",
}


@pytest.fixture(scope="module", name="leaky")
def _leaky(container: Container) -> Iterator[Site]:
    """The site that the third host serves, as careless as can be: all its files readable by all."""
    site = Site(container, "flasky")
    site.shell(f"rm -rf {site.directory}/flaskyapplication.py {site.directory}/__pycache__")
    site.write("flaskyapplication/__init__.py", APP)
    lines = [f"umask 022; cd {site.directory}"]
    for path in PRIVATE:
        text = f"# {SECRET}" if path.endswith(("requirements.txt", ".toml", ".py")) else SECRET
        lines += [f"mkdir -p $(dirname {path})", f"[ -e {path} ] || echo '{text}' > {path}"]
    for path in (*PROGRAMS, *UPLOADED):
        lines += [f"mkdir -p $(dirname {path}); printf {shlex.quote(SCRIPT)} > {path}; chmod 755 {path}"]
    # An upload's own text is public; that it runs must not be.
    lines += [f"sed -i /{SECRET}/d {' '.join(UPLOADED)}"]
    lines += [
        f"printf 'Options +Indexes' > static/.htaccess; for name in .htaccess~ .htaccess.bak docs/.htpasswd; do echo {SECRET} > $name; done"
    ]
    lines += ["printf 'body { color: red }' > static/style.css; printf '<svg/>' > static/deep/logo.svg; printf both > static/both.css"]
    lines += ["printf 'body { color: blue }' > flaskyapplication/static/pkg.css; mkdir -p flaskyapplication/static/img"]
    lines += ["printf '<svg/>' > flaskyapplication/static/img/a.svg; printf package > flaskyapplication/static/both.css"]
    lines += ["printf x > 'flaskyapplication/static/a b+c,ä.js'; printf x > 'static/a b+c,ä.js'; printf 'User-agent: *' > robots.txt"]
    lines += ["mkdir -p .well-known/acme-challenge; printf challenge > .well-known/acme-challenge/token; printf x > .well-known/.secret"]
    lines += [
        f"find {site.directory} -type d -exec chmod 755 {{}} +; find {site.directory} -type f ! -name run.fcgi -exec chmod a+r {{}} +"
    ]
    # As one copies it from elsewhere: Apache could not read it.
    lines += ["chmod 600 static/style.css flaskyapplication/static/pkg.css; chmod 700 static/deep flaskyapplication/static/img"]
    site.shell("bash -s", stdin="\n".join(lines))
    site.deployed()
    yield site
    site.shell(f"cd {site.directory} && find . -mindepth 1 -maxdepth 1 ! -name .htaccess ! -name run.fcgi ! -name venv -exec rm -rf {{}} +")
    site.write(
        "flaskyapplication.py",
        'from flask import Flask\n\napp = Flask(__name__)\napp.add_url_rule("/", view_func=lambda: "Hello World!")\n',
    )
    site.deployed()


@pytest.fixture(params=HOSTS, name="place")
def _place(request: pytest.FixtureRequest) -> tuple[str, str]:
    host, prefix = HOSTS[request.param]
    return host, prefix.format(site="flasky")


def summary(answer: Answer) -> tuple[int, str, str | None]:
    return answer.status, answer.text, answer.headers["Location"]


def bytecode(site: Site) -> list[str]:
    """The names of the compiled modules, which differ from Python to Python."""
    return [path.removeprefix("./") for path in site.shell(f"cd {site.directory} && find . -name '*.pyc'").split()]


@pytest.mark.parametrize("path", [*PRIVATE, *PROGRAMS, *DISGUISED])
def test_the_app_answers_for_all_that_is_private(container: Container, leaky: Site, place: tuple[str, str], path: str) -> None:
    host, prefix = place
    expected = (200, "index", None) if path.endswith("run.fcgi/") else (404, NOT_FOUND, None)
    assert summary(container.visit(f"{prefix}/{path}", host)) == expected


def test_the_app_answers_for_bytecode(container: Container, leaky: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    assert bytecode(leaky)
    assert {summary(container.visit(f"{prefix}/{path}", host)) for path in bytecode(leaky)} == {(404, NOT_FOUND, None)}


@pytest.mark.parametrize("path", REFUSED)
def test_what_apache_refuses_it_refuses_for_any_name(container: Container, leaky: Site, place: tuple[str, str], path: str) -> None:
    host, prefix = place
    answer = container.visit(f"{prefix}/{path}", host)
    assert SECRET not in answer.text and answer.status in (400, 403, 404)
    assert summary(answer) == summary(container.visit(f"{prefix}/{REFUSED[path]}", host))


def test_a_package_may_have_the_name_of_a_page(container: Container, leaky: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    assert container.visit(f"{prefix}/shop/cart", host).text == "cart"


def test_the_link_to_the_virtualenv_is_all_that_apache_answers_for(container: Container, leaky: Site, place: tuple[str, str]) -> None:
    """It leads where Apache cannot go, which it says before it reads any .htaccess; every site has this name."""
    host, prefix = place
    for path in ("venv", "venv/pyvenv.cfg", "venv/nothing"):
        answer = container.visit(f"{prefix}/{path}", host)
        assert answer.status == 403 and SECRET not in answer.text


@pytest.mark.parametrize("path", UPLOADED)
def test_a_program_below_static_is_never_run(container: Container, leaky: Site, place: tuple[str, str], path: str) -> None:
    host, prefix = place
    url = path.removeprefix("flaskyapplication/")
    for method in ("GET", "POST"):
        answer = container.visit(f"{prefix}/{url}", host, method=method)
        assert EXECUTED not in answer.text
        assert (answer.status, answer.text) == (404, NOT_FOUND) or answer.text.startswith("#!/bin/sh")


def without_rules(site: Site) -> None:
    site.shell(f"sed -i '/^Rewrite/d' {site.directory}/.htaccess && ! grep -q ^Rewrite {site.directory}/.htaccess")


def without_htaccess(site: Site) -> None:
    site.shell(f"rm {site.directory}/.htaccess")


@pytest.mark.parametrize("lost", [without_rules, without_htaccess])
def test_what_is_private_stays_so(container: Container, leaky: Site, lost: Callable[[Site], None]) -> None:
    """Without our lines that rewrite, and by permissions alone."""
    kept = leaky.read(".htaccess")
    probes = [*PRIVATE, *DISGUISED, *REFUSED, "venv/pyvenv.cfg", "venv/", "", *bytecode(leaky)]
    # Without any .htaccess the server runs the owner's programs, as its owner: that is not what they contain.
    probes += [*PROGRAMS, *UPLOADED] if lost is without_rules else []
    lost(leaky)
    try:
        answers = {
            (host, path): container.visit(f"{prefix.format(site='flasky')}/{path}", host)
            for host, prefix in HOSTS.values()
            for path in probes
        }
    finally:
        leaky.write(".htaccess", kept)
    leaked = [key for key, answer in answers.items() if SECRET in answer.text or EXECUTED in answer.text or "Index of" in answer.text]
    assert len(answers) > 300 and leaked == []


STATIC = {
    "static/style.css": ("text/css", "body { color: red }"),
    "static/deep/logo.svg": ("image/svg+xml", "<svg/>"),
    "static/a%20b+c,%C3%A4.js": ("text/javascript", "x"),
    "robots.txt": ("text/plain", "User-agent: *"),
    ".well-known/acme-challenge/token": (None, "challenge"),
    # The package's own, which Flask gives the same URL.
    "static/pkg.css": ("text/css", "body { color: blue }"),
    "static/img/a.svg": ("image/svg+xml", "<svg/>"),
    "static/both.css": ("text/css", "package"),
}


@pytest.mark.parametrize("path", STATIC)
def test_static_files_come_from_apache_with_validation_ranges_and_caching(
    container: Container, leaky: Site, place: tuple[str, str], path: str
) -> None:
    host, prefix = place
    url, (content_type, text) = f"{prefix}/{path}", STATIC[path]
    answer = container.visit(url, host)
    assert (answer.status, answer.text, answer.headers.get_content_type()) == (200, text, content_type or "text/plain")
    assert content_type is None or answer.headers["Content-Type"]
    assert answer.headers["Cache-Control"] == "max-age=3600" and answer.headers["Accept-Ranges"] == "bytes"
    etag = answer.headers["ETag"]
    unchanged = container.visit(url, host, If_None_Match=etag)
    assert (unchanged.status, unchanged.text, unchanged.headers["ETag"]) == (304, "", etag)
    assert container.visit(url, host, If_Modified_Since=answer.headers["Last-Modified"]).status == 304
    part = container.visit(url, host, Range="bytes=1-3")
    assert (part.status, part.text) in ((206, text[1:4]), (416, part.text))
    assert part.status == 206 or len(text) == 1
    head = container.visit(url, host, method="HEAD")
    assert (head.status, head.text, head.headers["Content-Length"], head.headers["ETag"]) == (200, "", str(len(text)), etag)


def test_a_modules_static_files_come_from_apache_too(site: Site) -> None:
    site.write("static/style.css", "body { color: green }")
    site.deployed()
    answer = site.visit("/static/style.css")
    assert (answer.text, answer.headers["Cache-Control"]) == ("body { color: green }", "max-age=3600")
    assert site.visit("/static/style.css", If_None_Match=answer.headers["ETag"]).status == 304
    site.write("static/new/late.css", "put there after the deploy")
    assert site.visit("/static/new/late.css").headers["Cache-Control"] == "max-age=3600"


def test_a_deploy_says_once_what_it_closes_and_opens(site: Site) -> None:
    site.write(".env", SECRET)
    site.write("static/style.css", "body {}")
    site.shell(f"chmod 755 {site.directory}; chmod 600 {site.directory}/static/style.css")
    planned = site.deployed("--check", "--diff")
    assert "-0644 .env" in planned.output and "+0600 .env" in planned.output and "+0644 static/style.css" in planned.output
    done = site.deployed()
    assert (
        "permissions 3 files closed to others (the site's directory, .env, static), 1 file opened to the web server (static/style.css)"
        in done.output
    )
    assert site.shell(f"cd {site.directory} && stat -c %a . .env static static/style.css").split() == ["701", "600", "711", "644"]
    again = site.deployed()
    assert not again.changed and "permissions" not in again.output
    assert site.visit("/static/style.css").text == "body {}"


def test_a_password_file_that_htaccess_names_stays_readable_and_its_neighbour_does_not(site: Site) -> None:
    site.deployed()
    block = site.read(".htaccess")
    site.write(".htaccess", f"AuthType Basic\nAuthName x\nAuthUserFile {site.directory}/.users\nRequire valid-user\n{block}")
    # The password is "secret".
    site.write(".users", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    site.write(".users.old", SECRET)
    site.shell(f"chmod 600 {site.directory}/.users")
    site.deployed()
    assert site.shell(f"stat -c %a {site.directory}/.users {site.directory}/.users.old").split() == ["644", "600"]
    assert site.visit().status == 401
    assert site.visit(Authorization="Basic YWxpY2U6c2VjcmV0").text == "Hello World!"
    assert SECRET not in site.visit("/.users.old", Authorization="Basic YWxpY2U6c2VjcmV0").text


CLOSED = (
    "static/style.css",
    "static/deep/logo.svg",
    "static/a%20b+c,%C3%A4.js",
    "static/both.css",
    "static/pkg.css",
    "static/img/a.svg",
    "robots.txt",
)


def test_a_static_file_that_apache_cannot_read_is_the_apps_to_answer(container: Container, leaky: Site, place: tuple[str, str]) -> None:
    host, prefix = place
    leaky.shell(f"cd {leaky.directory} && chmod -R go-r static flaskyapplication/static robots.txt && chmod a+r static/.htaccess")
    try:
        assert {summary(container.visit(f"{prefix}/{path}", host)) for path in CLOSED} == {(404, NOT_FOUND, None)}
    finally:
        leaky.deployed()
    assert container.visit(f"{prefix}/static/style.css", host).headers["Cache-Control"] == "max-age=3600"


WRITING = f'''
import os
from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return "index"


@app.route("/write")
def write():
    for path, text in (("instance/app.sqlite", "{SECRET}"), ("uploads/1.txt", "{SECRET}"), ("static/uploads/1.txt", "an upload")):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
    return "written"


@app.route("/uploads/<name>")
def uploads(name):
    return f"the app shows {{name}}"
'''


@pytest.fixture(name="writing")
def _writing(site: Site) -> Site:
    """A site whose app has written files since it was deployed."""
    site.write("flaskyapplication.py", WRITING)
    site.deployed()
    assert site.visit("/write").text == "written"
    return site


def test_what_the_app_writes_is_closed_from_the_start(writing: Site) -> None:
    paths = "instance instance/app.sqlite uploads static/uploads static/uploads/1.txt"
    assert writing.shell(f"cd {writing.directory} && stat -c %a {paths}").split() == ["711", "600", "711", "711", "600"]
    assert writing.visit("/uploads/1.txt").text == "the app shows 1.txt", "a directory of that name is not in the way"
    writing.shell(f"rm -r {writing.directory}/static")
    assert not writing.deployed().changed


def test_an_upload_below_static_is_there_at_once_and_apaches_after_the_next_deploy(writing: Site) -> None:
    answer = writing.visit("/static/uploads/1.txt")
    assert (answer.status, answer.text, answer.headers["Cache-Control"]) == (200, "an upload", "no-cache")
    assert "1 file opened to the web server (static/uploads/1.txt)" in writing.deployed().output
    answer = writing.visit("/static/uploads/1.txt")
    assert (answer.status, answer.text, answer.headers["Cache-Control"]) == (200, "an upload", "max-age=3600")


def test_an_app_that_sets_its_own_umask_has_its_uploads_delivered_at_once(site: Site) -> None:
    site.write("flaskyapplication.py", WRITING.replace("import os", "import os\n\nos.umask(0o022)"))
    site.deployed()
    site.visit("/write")
    assert site.visit("/static/uploads/1.txt").headers["Cache-Control"] == "max-age=3600"


def test_a_directory_that_its_owner_has_closed_stays_closed(writing: Site) -> None:
    writing.shell(f"chmod 700 {writing.directory}/instance; chmod a+r {writing.directory}/static/uploads/1.txt")
    assert not writing.deployed().changed
    assert writing.visit("/instance/app.sqlite").status == 403


def test_another_account_gets_nothing_by_a_link_in_its_own_web_space(writing: Site) -> None:
    """Apache follows it, as the account that can read all that it delivers."""
    web_space = "/services/http/users/b/bob/leaks"
    links = {"data": "instance/app.sqlite", "upload": "uploads/1.txt", "source": "flaskyapplication.py", "static": "static/uploads/1.txt"}
    commands = [f"ln -s {writing.directory}/{path} {web_space}/{name}" for name, path in links.items()]
    writing.shell(f"chmod a+r {writing.directory}/static/uploads/1.txt")
    writing.container.shell(f"mkdir {web_space} && echo Options FollowSymLinks > {web_space}/.htaccess && {' && '.join(commands)}", "bob")
    try:
        texts = {name: writing.container.visit(f"/~bob/leaks/{name}").text for name in links}
    finally:
        writing.container.shell(f"rm -r {web_space}", "bob")
    assert texts["static"] == "an upload", "so the link works"
    assert [name for name in ("data", "upload", "source") if SECRET in texts[name] or "Flask" in texts[name]] == []


def test_another_account_of_the_machine_sees_nothing(site: Site) -> None:
    site.write(".env", SECRET)
    site.write("static/style.css", "body {}")
    site.deployed()
    # Put there since, as careless as can be.
    site.write("instance/app.sqlite", SECRET)
    seen = site.container.shell(
        f"cd /; ls -A {site.directory}; cat {site.directory}/.env {site.directory}/instance/app.sqlite {site.directory}/static/style.css; "
        f"ls {site.private} ~alice/.ocf-flask; cat {site.directory}/venv/pyvenv.cfg; touch {site.directory}/mine; find {site.directory} -type f",
        "bob",
        check=False,
    )
    assert len(seen.splitlines()) == 9 and all(line.endswith("Permission denied") for line in seen.splitlines())
