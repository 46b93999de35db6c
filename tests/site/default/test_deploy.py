"""What an owner meets: deploys that work, deploys that fail, and what is left of his files."""

from __future__ import annotations

import json

import pytest

from hosted import RECIPE_HTACCESS, RECIPE_RUN_FCGI, Container, Site

HELLO = """
from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return "{text}"
"""


def hello(text: str) -> str:
    return HELLO.format(text=text)


def test_a_second_deploy_touches_nothing(site: Site) -> None:
    first = site.deployed()
    assert first.changed and "GET / -> 200" in first.output and "Flask 3.1.3" in first.output
    assert f"URL        http://www.example.test/~alice/{site.name}/\n" in first.output, "the real web server confirmed it"
    before = site.state()
    second = site.deployed()
    assert not second.changed and "up to date: nothing was changed" in second.output
    assert site.state() == before


def test_check_mode_changes_nothing_and_tells_the_truth(site: Site) -> None:
    planned = site.deployed("--check", "--diff")
    assert planned.changed and "would be changed" in planned.output and "+RewriteEngine On" in planned.output
    assert site.shell(f"ls -d {site.directory} {site.private}", check=False).count("No such file") == 2
    site.deployed()
    before = site.state()
    assert not site.deployed("--check", "--diff").changed
    site.write("flaskyapplication.py", hello("new"))
    after_edit = site.state()
    planned = site.deployed("--check", "--diff")
    assert planned.changed and "flaskyapplication.py changed" in planned.output
    assert site.state() == after_edit != before


def test_the_files_are_the_owners_and_closed_to_others(site: Site) -> None:
    site.deployed()
    modes = dict(
        line.split()[::-1] for line in site.shell(f"cd {site.directory} && stat -c '%a:%U %n' .htaccess run.fcgi . *.py").splitlines()
    )
    assert modes == {".htaccess": "644:alice", "run.fcgi": "700:alice", ".": "701:alice", "flaskyapplication.py": "600:alice"}
    assert site.shell(f"find {site.directory} {site.private} ! -user alice").strip() == ""
    assert site.container.shell(f"ls {site.private}", "bob", check=False).endswith("Permission denied\n")


@pytest.mark.parametrize("edit", ["module", "template"])
def test_a_change_is_noticed_by_content_and_served_at_once(site: Site, edit: str) -> None:
    app = 'from flask import Flask, render_template\n\napp = Flask(__name__)\n\n\n@app.route("/")\ndef index():\n    return render_template("t.html") + "{0}"\n'
    site.write("flaskyapplication.py", app.format("one"))
    site.write("templates/t.html", "one ")
    site.deployed()
    assert site.visit().text == "one one"
    # The same size and the same time stamp: only the content says that it is new.
    path, content = ("flaskyapplication.py", app.format("two")) if edit == "module" else ("templates/t.html", "two ")
    site.shell(f"touch -r {site.directory}/{path} /tmp/stamp-{site.name}")
    site.write(path, content)
    site.shell(f"touch -r /tmp/stamp-{site.name} {site.directory}/{path}")
    assert site.deployed().changed
    assert site.visit().text == ("one two" if edit == "module" else "two one")


def test_data_does_not_count_as_code(site: Site) -> None:
    site.deployed()
    for path in ("instance/app.sqlite", "uploads/1.txt", "data.db", "static/a.css", "debug.log", ".git/config"):
        site.write(path, "data")
    site.shell(f"mkdir {site.directory}/env && touch {site.directory}/env/pyvenv.cfg {site.directory}/env/x.py")
    release = site.shell(f"readlink {site.directory}/venv")
    assert "closed to others" in site.deployed().output
    assert site.shell(f"readlink {site.directory}/venv") == release
    assert not site.deployed().changed


def test_pip_install_by_hand_works_and_is_carried_over(site: Site) -> None:
    site.deployed()
    site.shell(f"cd {site.directory} && . venv/bin/activate && pip install flask-login")
    done = site.deployed()
    assert "Installed by hand, and kept: flask-login==0.6.3" in done.output and "requirements.txt" in done.output
    site.write("requirements.txt", "flask-login==0.6.3\n")
    assert "Installed by hand" not in site.deployed().output
    assert "flask-login" in site.shell(f"cd {site.directory} && . venv/bin/activate && pip list").lower()
    assert not site.deployed().changed


def test_what_is_no_longer_declared_is_dropped_and_said(site: Site) -> None:
    site.deployed("-e", "ocf_flask_packages=flask-login")
    assert not site.deployed().changed, "for staff, what is not declared stays"
    done = site.deployed(*site.entry(packages=[]))
    assert "flask-login 0.6.3 removed" in done.output
    assert f"inventory/sites/{site.name}.yml" in done.output.replace("\n", " ")


BROKEN = {
    "syntax error": ("def broken(:\n", "SyntaxError"),
    "missing package": ("import nosuchpackage\n", "No module named 'nosuchpackage'"),
    "wrong name": ("from flask import Flask\n\napplication = Flask(__name__)\n", "has 'application'"),
    "exception on /": (hello("x").replace('return "x"', "return 1 / 0"), "ZeroDivisionError: division by zero"),
    "hang": ("import time\n\ntime.sleep(1000)\n", "did not answer GET / within 3 s"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_app_leaves_the_old_one_serving(site: Site, kind: str) -> None:
    source, message = BROKEN[kind]
    site.write("flaskyapplication.py", hello("still here"))
    site.deployed()
    assert site.visit().text == "still here"
    good = site.shell(
        f"readlink {site.directory}/venv; md5sum {site.directory}/run.fcgi {site.directory}/.htaccess; ls {site.private}/releases"
    )
    site.write("flaskyapplication.py", source)
    failed = site.deploy("-e", json.dumps({"ocf_flask_smoke_test": {"timeout": 3 if kind == "hang" else 30}}))
    assert failed.returncode == 2 and message in failed.output
    assert "flaskyapplication.py" in failed.output
    assert "processes that are running go on with the old code" in failed.output
    assert good == site.shell(
        f"readlink {site.directory}/venv; md5sum {site.directory}/run.fcgi {site.directory}/.htaccess; ls {site.private}/releases"
    )
    assert site.visit().text == "still here"
    # The way back that the error names.
    assert f"go back to the last that worked: make rollback site={site.name}" in failed.output
    site.play("rollback")
    assert site.visit().text == "still here"
    assert not site.deployed().changed


def test_a_broken_app_on_the_first_deploy_leaves_the_directory_as_it_was(site: Site) -> None:
    site.write("flaskyapplication.py", "import nosuchpackage\n")
    failed = site.deploy()
    assert failed.returncode == 2 and "Nothing was changed" in failed.output
    assert site.shell(f"ls -A {site.directory}").split() == ["__pycache__", "flaskyapplication.py"]


def test_a_package_that_cannot_be_installed_is_named_with_the_tools_reason(site: Site) -> None:
    site.deployed()
    failed = site.deploy("-e", "ocf_flask_packages=nosuchpackage")
    assert failed.returncode == 2 and "nosuchpackage" in failed.output.partition("says:")[2]
    assert site.visit().text == "Hello World!"


USERS_RULES = """\
# mine
AuthType Basic
AuthName "Private"
AuthUserFile {directory}/.users
Require valid-user
ErrorDocument 404 "mine"
Redirect 302 /~alice/{name}/old https://www.example.org/new
"""


@pytest.mark.parametrize("position", ["above", "below"])
def test_a_users_own_htaccess_stays_and_works(site: Site, position: str) -> None:
    site.write("flaskyapplication.py", hello("private"))
    site.deployed()
    rules = USERS_RULES.format(directory=site.directory, name=site.name)
    block = site.read(".htaccess")
    site.write(".htaccess", rules + block if position == "above" else block + rules)
    # The password is "secret".
    site.write(".users", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    site.shell(f"chmod 644 {site.directory}/.users")
    assert site.visit().status == 401
    assert site.visit("/static/x").status == 401
    assert site.visit(Authorization="Basic YWxpY2U6c2VjcmV0").text == "private"
    assert site.visit("/run.fcgi").status == 401
    assert site.visit("/old", Authorization="Basic YWxpY2U6c2VjcmV0").headers["Location"] == "https://www.example.org/new"
    site.write("flaskyapplication.py", hello("new"))
    done = site.deployed()
    assert "answers 401" in done.output and "Redirect 302" in done.output
    assert site.read(".htaccess") == (rules + block if position == "above" else block + rules)
    assert site.visit(Authorization="Basic YWxpY2U6c2VjcmV0").text == "new"


def test_the_recipes_files_are_replaced_and_kept(site: Site) -> None:
    site.write("flaskyapplication.py", hello("by hand"))
    site.write(".htaccess", "ErrorDocument 403 no\n" + RECIPE_HTACCESS.replace("THIS", site.name))
    site.write("run.fcgi", RECIPE_RUN_FCGI)
    done = site.deployed()
    assert "in place of the recipe's" in done.output and "yours is kept as" in done.output
    assert site.visit("/").text == "by hand"
    assert "RewriteBase" not in site.read(".htaccess") and site.read(".htaccess").startswith("ErrorDocument 403 no\n# BEGIN ocf_flask")
    assert site.shell(f"cat {site.directory}/run.fcgi.20*") == RECIPE_RUN_FCGI
    assert not site.deployed().changed


def test_an_edited_run_fcgi_is_kept_as_a_dated_copy(site: Site) -> None:
    site.deployed()
    site.shell(f"echo '# mine' >> {site.directory}/run.fcgi")
    assert "yours is kept as" in site.deployed().output
    assert site.shell(f"tail -1 {site.directory}/run.fcgi.20*") == "# mine\n"
    assert "# mine" not in site.read("run.fcgi")
    assert site.visit().text == "Hello World!"


def test_further_settings_reach_the_site(site: Site) -> None:
    site.write(
        "shop/__init__.py", hello("from a factory").replace("app = Flask(__name__)", "def create_app():\n    app = Flask(__name__)\n")
    )
    source = (
        "from flask import Flask\n\n\ndef create_app():\n    app = Flask(__name__)\n\n"
        '    @app.route("/login")\n    def login():\n        return "from a factory"\n\n    return app\n'
    )
    site.write("shop/__init__.py", source)
    site.write("downloads/paper.txt", "a paper\n")
    site.shell(f"chmod -R a+rX {site.directory}/downloads")
    settings = {
        "ocf_flask_app": "shop:create_app()",
        "ocf_flask_public": ["downloads/"],
        "ocf_flask_smoke_test": {"path": "/login", "statuses": [200]},
        "ocf_flask_keep": 1,
    }
    site.deployed("-e", json.dumps(settings))
    assert site.visit("/login").text == "from a factory"
    assert site.visit("/downloads/paper.txt").text == "a paper\n"
    assert not site.deployed("-e", json.dumps(settings)).changed
    assert site.shell(f"ls {site.directory}/flaskyapplication.py", check=False).count("No such file") == 1


@pytest.mark.parametrize("server", ["flup6", "flup"])
def test_the_other_servers_serve_the_site(site: Site, server: str) -> None:
    site.deployed("-e", f"ocf_flask_server={server}")
    assert site.visit().text == "Hello World!"
    assert server in site.shell(f"{site.directory}/venv/bin/python -m pip list")


def test_an_account_without_a_web_space_is_told_of_makehttp(container: Container) -> None:
    failed = container.deploy("flasky", owner="carol")
    assert failed.returncode == 2 and "makehttp" in failed.output
    assert container.shell("ls -A ~", "carol").split() == container.shell("ls -A /etc/skel", "root").split()


def test_root_on_the_service_is_told_to_name_an_owner(container: Container) -> None:
    failed = container.deploy("flasky", owner="")
    assert failed.returncode == 2 and "-e owner=" in failed.output


def test_a_deploy_at_the_same_time_waits_and_then_names_the_other(site: Site) -> None:
    site.deployed()
    holder = "import fcntl, json, sys, time; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
    site.shell(
        f'python3 -c "{holder}" {site.private}/lock > /tmp/held-{site.name} & until grep -q held /tmp/held-{site.name}; do sleep 0.1; done'
    )
    site.write("flaskyapplication.py", hello("new"))
    failed = site.deploy("-e", json.dumps({"ocf_flask_timeouts": {"lock": 1}}))
    site.container.shell("pkill -f fcntl.lockf", "root")
    assert failed.returncode == 2 and "Another deploy of this site is running (process " in failed.output
    assert site.deployed().changed
