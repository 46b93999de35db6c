"""A site that is its owner's whole web space, on a virtual host and in the user directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hosted import RECIPE_HTACCESS, RECIPE_RUN_FCGI, Container, Site

SPACE = "/services/http/users/a/alice"
WHOLE = [
    "-e",
    '{"ocf_flask_directory": "~/public_html", "ocf_flask_whole_web_space": true, "ocf_flask_url": "http://www.example.test/~alice/"}',
]
APP = "from flask import Flask, request, url_for\n\napp = Flask(__name__)\n\n\n@app.route('/')\n@app.route('/<path:p>')\ndef index(p=''):\n    return '{name} ' + url_for('index', p=p)\n"
VHOST = "alice.example.test"


@pytest.fixture(name="whole", scope="module")
def _whole(container: Container) -> Iterator[Site]:
    """Three sites below, one deployed, one by hand, one by hand two directories down; and plain files."""
    container.shell(f"find {SPACE} -mindepth 1 -delete; rm -rf /home/a/al/alice/.ocf-flask", "root")
    hand = Site(container, "hand")
    hand.write("flaskyapplication.py", APP.format(name="by hand"))
    hand.write("run.fcgi", RECIPE_RUN_FCGI)
    hand.write(".htaccess", RECIPE_HTACCESS.replace("THIS", "hand"))
    hand.shell(f"cd {hand.directory} && python3 -m venv venv && venv/bin/pip install --quiet flask flup6 && chmod a+x run.fcgi")
    hand.shell(
        f"mkdir -p {SPACE}/club && cp -R {hand.directory} {SPACE}/club/ && sed -i 's|/hand/|/club/hand/|' {SPACE}/club/hand/.htaccess"
    )
    sub = Site(container, "sub")
    sub.write("flaskyapplication.py", APP.format(name="below"))
    sub.deployed()
    one = Site(container, "all")
    one.directory = SPACE
    one.write("flaskyapplication.py", APP.format(name="all"))
    one.write("index.html", "the old page")
    one.write("photos/a.png", "a photo")
    one.write("static/style.css", "body {}")
    one.shell(f"chmod -R a+rX {SPACE}/photos {SPACE}/index.html {SPACE}/static")
    yield one
    container.shell(f"find {SPACE} -mindepth 1 -delete; rm -rf /home/a/al/alice/.ocf-flask; chmod 755 {SPACE}", "root")


def text(container: Container, path: str, host: str = "www.example.test") -> str:
    return container.visit(path, host).text


def test_check_mode_says_what_else_lies_there(whole: Site, container: Container) -> None:
    said = whole.deployed("--check", *WHOLE).output
    assert "these sites below it go on as they are: club/hand, hand, sub" in said
    assert "Visitors no longer get 2 files that they could (index.html, photos/)" in said
    assert text(container, "/~alice/photos/a.png") == "a photo"


def test_the_web_space_is_one_site_and_those_below_go_on(whole: Site, container: Container) -> None:
    assert text(container, "/~alice/hand/x") == "by hand /~alice/hand/run.fcgi/x"
    whole.deployed(*WHOLE)
    assert text(container, "/~alice/") == "all /~alice/"
    assert text(container, "/~alice/a/b") == "all /~alice/a/b"
    assert text(container, "/", VHOST) == "all /"
    assert text(container, "/photos/a.png", VHOST) == "all /photos/a.png"
    assert text(container, "/~alice/static/style.css") == "body {}"
    # The sites below, also those made by hand.
    assert text(container, "/~alice/sub/x") == "below /~alice/sub/x"
    assert text(container, "/sub/x", VHOST) == "below /sub/x"
    assert text(container, "/~alice/hand/x") == "by hand /~alice/hand/run.fcgi/x"
    assert text(container, "/~alice/club/hand/x") == "by hand /~alice/club/hand/run.fcgi/x"
    assert text(container, "/~alice/club/x") == "all /~alice/club/x"
    assert container.visit("/~alice", "www.example.test").status == 301


def test_nothing_of_the_web_space_leaks(whole: Site, container: Container) -> None:
    for path in ("flaskyapplication.py", ".htaccess", "run.fcgi", "venv/pyvenv.cfg", "hand/.htaccess"):
        answer = container.visit(f"/~alice/{path}")
        assert "Flask" not in answer.text and "Rewrite" not in answer.text and "home =" not in answer.text, path


def test_a_further_deploy_changes_nothing(whole: Site) -> None:
    assert not whole.deployed(*WHOLE).changed


def test_a_site_that_comes_later_is_left_alone_too(whole: Site, container: Container) -> None:
    later = Site(container, "later")
    later.write("flaskyapplication.py", APP.format(name="later"))
    later.deployed()
    assert text(container, "/~alice/later/x") == "later /~alice/later/x"
    assert text(container, "/later/x", VHOST) == "later /later/x"


def test_the_report_knows_the_urls_on_virtual_hosts(whole: Site) -> None:
    whole.shell("printf 'alice alice.example.test - - \\nalice - www.club.test -\\n' > ~/vhosts")
    said = whole.deployed("-e", "ocf_flask_virtual_hosts=~/vhosts", *WHOLE).output
    assert "Also at    https://alice.example.test/, https://www.club.test/" in said
