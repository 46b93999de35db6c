"""What visitors notice of new code: nothing but the new code. And what they get when the web server does not take it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosted import HOSTS, PUBLISHED, ROOT, Answer, Container, Host, Site, removed_afterwards
from load import Load

APP = """\
from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return "release {0}"
"""
# Within which the new code has to answer, after the deploy has ended.
SOON = 5.0


def write_app(site: Site, number: int) -> None:
    """New code, by a rename: a process that starts meanwhile has the old file or the new one."""
    site.write("flaskyapplication.new", APP.format(number))
    site.shell(f"cd {site.directory} && mv flaskyapplication.new flaskyapplication.py")


def load(site: Site, clients: int, host: str = "www.example.test", path: str = "") -> Load:
    path = path or f"/~alice/{site.name}/"
    return Load(site.container.address, host, path, clients, lambda body: body.startswith("release "))


def newest(answer: Answer) -> int:
    return int(answer.text.split()[1])


@pytest.fixture(scope="module")
def _no_recycling(container: Container) -> Iterator[None]:
    """Processes that live on.

    mod_fcgid ends one after 200 requests and delays new ones: under clients without pause the site would stand
    still for up to 20 s now and then, without any reload, which could not be told from a request lost by one.
    """
    path = "/etc/apache2/conf-enabled/zz-test-reload.conf"
    reload_apache = "kill -USR1 $(cat /run/apache2/apache2.pid) && sleep 1"
    container.shell(f"echo 'FcgidMaxRequestsPerProcess 0' > {path} && {reload_apache}", "root")
    yield
    container.shell(f"rm {path} && {reload_apache}", "root")


@pytest.mark.usefixtures("_no_recycling")
def test_deploys_under_load_lose_no_request_and_new_code_answers_on_each_host_at_once(container: Container) -> None:
    site = Site(container, "flasky")
    present = site.read("flaskyapplication.py")
    write_app(site, 0)
    site.deployed()
    hosts = {place: load(site, 2, host, prefix.format(site=site.name) + "/") for place, (host, prefix) in HOSTS.items()}
    ends: list[float] = []
    with hosts["user directory"], hosts["virtual host on the web space"], hosts["virtual host on the site"]:
        for number in (1, 2):
            write_app(site, number)
            site.deployed()
            ends.append(time.monotonic())
        time.sleep(1)
    site.write("flaskyapplication.py", present)
    site.shell(f"touch {site.directory}/run.fcgi")
    for place, one in hosts.items():
        assert one.lost == [], place
        for number, end in enumerate(ends, 1):
            assert one.seen[f"release {number}"][0] <= end + SOON, place
            assert one.seen[f"release {number - 1}"][1] <= end, f"{place}: nobody who asks after the deploy gets the old code"


@pytest.fixture(scope="module", name="touched")
def _touched(container: Container) -> Iterator[Site]:
    site = Site(container, "touched")
    write_app(site, 0)
    site.deployed()
    yield site
    container.shell(f"rm -rf {site.directory} {site.private}", "root")


def write_and_touch(site: Site, number: int) -> None:
    write_app(site, number)
    site.shell(f"touch {site.directory}/run.fcgi")


@pytest.mark.usefixtures("_no_recycling", "_restarter")
def test_touch_run_fcgi_under_load_loses_no_request_and_starts_the_new_code(touched: Site) -> None:
    before = newest(touched.visit())
    with load(touched, 8) as visitors:
        for number in (before + 1, before + 2):
            write_and_touch(touched, number)
            # The restarter looks every 3 s, and the process itself every 2 s; the machine may be busy.
            deadline = time.monotonic() + 20
            while f"release {number}" not in visitors.seen and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(SOON)
    assert visitors.lost == []
    assert visitors.seen[f"release {before + 1}"][1] <= visitors.seen[f"release {before + 2}"][0] + SOON


@pytest.mark.usefixtures("_restarter")
def test_touch_run_fcgi_reloads_a_site_that_nobody_visits(touched: Site) -> None:
    number = newest(touched.visit()) + 1
    write_and_touch(touched, number)
    time.sleep(SOON)
    assert newest(touched.visit()) == number


LATE_IMPORT = """\
import json
import os
import sys
import time

from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return "release {0}"


@app.route("/late")
def late():
    return wait_and_import()


def wait_and_import():
    open("begun", "w").close()
    while not os.path.exists("go"):
        # mod_fcgid passes on 64 KB at a time, and gives up after 40 s without anything.
        yield " " * 65536
        time.sleep(1)
    import flask_login
    import ocf_flask_runtime

    yield json.dumps({{
        "release": os.path.dirname(os.path.dirname(ocf_flask_runtime.__file__)),
        "prefix": sys.prefix,
        "package": flask_login.__file__,
        "path": [path for path in sys.path if "/releases/" in path],
    }})
"""


def test_a_process_started_before_a_deploy_imports_from_its_own_release_to_its_end(site: Site) -> None:
    site.write("flaskyapplication.py", LATE_IMPORT.format(1))
    site.deployed("-e", "ocf_flask_packages=flask-login")
    old = site.shell(f"readlink -f {site.private}/current").strip()
    answers: list[Answer] = []
    visitor = threading.Thread(target=lambda: answers.append(site.visit("/late")))
    visitor.start()
    site.shell(f"cd {site.directory} && until [ -e begun ]; do sleep 0.1; done")
    site.write("flaskyapplication.py", LATE_IMPORT.format(2))
    # The new release's virtualenv is another one, without the package that is still to be imported.
    site.deployed(*site.entry(packages=[]))
    new = site.shell(f"readlink -f {site.private}/current").strip()
    assert newest(site.visit()) == 2 and old != new
    assert "No such file" in site.shell(f"ls -d {new}/venv/lib/python3*/site-packages/flask_login", check=False)
    site.shell(f"touch {site.directory}/go")
    visitor.join()
    found = json.loads(answers[0].text)
    assert found["release"] == old and found["prefix"] == f"{old}/venv"
    assert found["package"].startswith(f"{old}/venv/lib/")
    assert all(path.startswith(f"{old}/") for path in found["path"])


# As an editor saves a file, twice: the first one's inode number comes back, before a socket of mod_fcgid's takes it.
REPLACE = "cd {directory} && echo {number} > number.new && mv number.new number && stat -c %i number"
REPLACE_SCRIPT = (
    "cd {directory} && for twice in 1 2; do"
    " sed 's/VERSION = .*/VERSION = {number}/' run.fcgi > new && chmod 700 new && mv new run.fcgi; done"
)
# The release's own server, but as careless about its file as others are.
BY_HAND = """\
#!{release}/venv/bin/python
import sys

sys.path.insert(0, "{release}/runtime")
import ocf_flask_runtime

ocf_flask_runtime.Watch._look = lambda self: (0, 0)
VERSION = 0


def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"release %d" % VERSION]


ocf_flask_runtime.serve("__main__:app")
"""
RECIPE_RULES = """\
RewriteEngine On
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^ /~alice/THIS/run.fcgi
"""


def test_no_stale_process_answers_for_a_new_release_though_inode_numbers_are_reused(container: Container, site: Site) -> None:
    write_app(site, 0)
    site.deployed()
    by_hand = Site(container, "replaced_by_hand")
    by_hand.write(".htaccess", RECIPE_RULES.replace("THIS", by_hand.name))
    by_hand.write("run.fcgi", BY_HAND.format(release=site.shell(f"readlink -f {site.private}/current").strip()))
    seen: set[str] = set()
    # What else is written on this file system may take a number before it comes back.
    for number in range(50):
        inode = by_hand.shell(REPLACE.format(directory=by_hand.directory, number=number))
        if inode in seen:
            break
        seen.add(inode)
    else:
        pytest.fail("this file system is one that reuses inode numbers")
    answered = number = 0
    # The restarter may just have ended the old processes: then the next one is stale.
    while answered == number < 20:
        number += 1
        by_hand.shell(REPLACE_SCRIPT.format(directory=by_hand.directory, number=number))
        answered = newest(by_hand.visit())
    container.shell(f"rm -rf {by_hand.directory}", "root")
    assert answered < number, "without a link to the replaced file an old process answers for the new one"

    inodes = {site.shell(f"stat -c %i {site.directory}/run.fcgi")}
    for number in range(1, 5):
        write_app(site, number)
        site.deployed()
        assert newest(site.visit()) == number
        inodes.add(site.shell(f"stat -c %i {site.directory}/run.fcgi"))
    assert len(inodes) == 5


def check_that_only_the_time_between_was_lost(visitors: Load, undone: float) -> None:
    """While the server was asked there was no site: 500, or a wait where mod_fcgid delays a program that fails."""
    assert {one.problem for one in visitors.lost} <= {"status 500", "late"}
    assert max((one.start for one in visitors.lost), default=0.0) < undone


def role_with_unknown_directive(directory: Path) -> Path:
    """The role as it would be for a server that has a module which this one has not."""
    shutil.copytree(ROOT / "roles", directory / "roles")
    with (directory / "roles/ocf_flask/templates/htaccess.j2").open("a") as template:
        template.write("NoSuchDirective on\n")
    return directory / "roles"


def test_a_directive_that_the_server_does_not_take_is_undone_and_named(site: Site, tmp_path: Path) -> None:
    write_app(site, 1)
    site.deployed()
    before = site.read(".htaccess"), site.read("run.fcgi")
    write_app(site, 2)
    roles = role_with_unknown_directive(tmp_path)
    with load(site, 3) as visitors:
        failed = site.deploy(roles_path=roles)
        undone = time.monotonic()
        time.sleep(1)
    assert failed.returncode == 2 and "with 500 since the switch, so the switch was undone" in failed.output, failed.output
    assert f"does not take {site.directory}/.htaccess with what is new in it:" in failed.output
    assert "NoSuchDirective on" in failed.output
    assert (site.read(".htaccess"), site.read("run.fcgi")) == before
    check_that_only_the_time_between_was_lost(visitors, undone)
    assert newest(site.visit()) in (1, 2)


def test_a_first_deploy_that_the_server_does_not_take_leaves_no_site(site: Site, tmp_path: Path) -> None:
    failed = site.deploy(roles_path=role_with_unknown_directive(tmp_path))
    assert failed.returncode == 2 and "so the switch was undone" in failed.output
    assert f"does not take {site.directory}/.htaccess with our lines" in failed.output
    assert "No such file" in site.shell(f"ls {site.directory}", check=False)


@pytest.fixture(name="two_hosts")
def _two_hosts(container: Container) -> Iterator[tuple[Host, Host]]:
    """A web server, and a login host of another Debian release: each has a Python that the other lacks."""
    other = {"bookworm": "trixie", "trixie": "bookworm"}[container.host]
    volumes = {f"/{name}": f"{container.name}-two-{name}" for name in ("home", "services")}
    names = f"{container.name}-web", f"{container.name}-login"
    with removed_afterwards(names, volumes.values()):
        web = Host(names[0], volumes, *PUBLISHED, f"ocf-flask-test:{container.host}")
        web.await_web_server()
        # On the same network, so that it finds the web server by its name.
        login = Host(names[1], volumes, f"--network=container:{web.name}", f"ocf-flask-test:{other}", "sleep", "600")
        yield web, login


def test_a_python_that_the_web_server_lacks_is_undone_and_named(two_hosts: tuple[Host, Host]) -> None:
    web, login = two_hosts
    site = Site(web, "flasky")
    write_app(site, 1)
    site.deployed()
    before = site.read(".htaccess"), site.read("run.fcgi")
    python = login.shell("readlink -f /usr/bin/python3").strip()
    assert "No such file" in web.shell(f"ls {python}", check=False)
    write_app(site, 2)
    with load(site, 2) as visitors:
        failed = Site(login, "flasky").deploy()
        undone = time.monotonic()
        time.sleep(1)
    assert failed.returncode == 2 and "so the switch was undone. The app itself passed its test." in failed.output
    assert f"The web server does not start run.fcgi, which works on this machine: it has no Python at {python}" in failed.output
    assert (site.read(".htaccess"), site.read("run.fcgi")) == before
    check_that_only_the_time_between_was_lost(visitors, undone)
    assert newest(site.visit()) in (1, 2)
