"""Sites made by hand, step by step as the recipes say, served by Apache, and then taken over."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hosted import RECIPE_HTACCESS, RECIPE_RUN_FCGI, Container, Site

APP = """
from flask import Flask, url_for

app = Flask(__name__)


@app.route("/")
def index():
    return "Made by hand"


@app.route("/page/<name>")
def page(name):
    import flask_login

    return f"{name} {url_for('index')}"


if __name__ == '__main__':
    app.run()
"""
RUN_FCGI_2 = """\
#!{home}/app/venv/bin/python
import sys

from flup.server.fcgi import WSGIServer

sys.path.insert(0, "{home}/app")

from myapp.app import app as application

if __name__ == "__main__":
    WSGIServer(application).run()
"""
HTACCESS_2 = """\
# Mine
ErrorDocument 404 /nothing.html
Options +ExecCGI
AddHandler fcgid-script .fcgi
<IfModule mod_rewrite.c>
RewriteEngine On
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule ^(.*)$ /~alice/THIS/run.fcgi/$1 [QSA,L]
RewriteRule ^$ /~alice/THIS/run.fcgi/ [L]
</IfModule>
"""
HOME = "/home/a/al/alice"


def processes(site: Site) -> str:
    """Those of this site that the web server has started from its virtualenv made by hand."""
    return site.shell(
        f"for pid in $(pgrep -u {site.owner} -f '^venv/bin/python.* run[.]fcgi'); do [ /proc/$pid/cwd -ef {site.directory} ] && echo $pid; done; true"
    )


def files(site: Site) -> str:
    return site.shell(
        f"cd {site.directory} && find . -not -path '*/__pycache__*' -printf '%p %m %s %l\\n' | sort && "
        "find . -type f -not -path '*/__pycache__*' -exec md5sum {} + | sort"
    )


def layout_1(site: Site) -> None:
    for path, content in {
        "flaskyapplication.py": APP,
        "css/style.css": "body {}",
        "paper.pdf": "%PDF",
        "data.csv": "1,2",
        ".htaccess": RECIPE_HTACCESS.replace("THIS", site.name) + "ErrorDocument 404 /nothing.html\n",
        "run.fcgi": RECIPE_RUN_FCGI,
    }.items():
        site.write(path, content)
    site.shell(
        f"cd {site.directory} && python3 -m venv venv && venv/bin/pip install --quiet flask flup6 flask-login && "
        "chmod a+x run.fcgi && chmod -R a+rX . && chmod go-w ."
    )


def test_layout_1_is_taken_over(site: Site) -> None:
    layout_1(site)
    assert site.visit().text == "Made by hand"
    assert "run.fcgi" in site.visit("/page/x").text
    assert processes(site)

    checked = site.deployed("--check", "--diff").output
    assert "would be changed" in checked and "ocf_flask_packages:" in checked
    assert site.visit("/data.csv").text == "1,2", "check mode changes nothing"

    said = site.deployed().output
    assert "Taken over the app flaskyapplication:app" in said
    assert "/data.csv was a file" in said
    assert f"{site.directory}/.htaccess.2" in said and f"{site.directory}/run.fcgi.2" in said
    # The same pages and files, and links without run.fcgi. Old bookmarks still lead to their page.
    assert site.visit().text == "Made by hand"
    assert site.visit("/page/x").text == f"x /~alice/{site.name}/"
    assert site.visit("/run.fcgi/page/x").text == f"x /~alice/{site.name}/"
    assert [site.visit(f"/{path}").text for path in ("css/style.css", "paper.pdf")] == ["body {}", "%PDF"]
    assert site.visit("/data.csv").status == 404
    assert "ErrorDocument 404 /nothing.html" in site.read(".htaccess") and "run.fcgi/$1" not in site.read(".htaccess")
    kept = site.shell(f"cd {site.directory} && ls -d .htaccess.2* run.fcgi.2*").split()
    # Apache itself shuts what begins with .ht.
    assert [site.visit(f"/{name}").status for name in kept] == [403, 404]

    # The restarter has ended the old processes, and the old virtualenv has made way.
    assert "The virtualenv made by hand is now" in said
    assert processes(site) == ""
    assert "venv.2" in site.shell(f"ls {site.directory}")
    assert site.shell(f"readlink {site.directory}/venv").startswith(f"{site.private}/releases/")
    assert site.shell(f"stat -c %a {site.directory}/venv.2*").strip() == "700"

    before = site.state()
    again = site.deployed()
    assert "up to date" in again.output and not again.changed
    assert site.state() == before
    assert "Taken over  from one made by hand" in site.play("status")


@pytest.fixture(name="app_at_home")
def _app_at_home(container: Container) -> Iterator[None]:
    container.shell(f"rm -rf {HOME}/app", "root")
    yield
    container.shell(f"rm -rf {HOME}/app", "root")


def layout_2(site: Site) -> None:
    site.shell(f"mkdir -p {HOME}/app/myapp && touch {HOME}/app/myapp/__init__.py && cat > {HOME}/app/myapp/app.py", stdin=APP)
    site.shell(
        f"cd {HOME}/app && printf 'flask\\nflask-login\\n' > requirements.txt && python3 -m venv venv && "
        "venv/bin/pip install --quiet -r requirements.txt flup6"
    )
    site.write("run.fcgi", RUN_FCGI_2.format(home=HOME))
    site.write(".htaccess", HTACCESS_2.replace("THIS", site.name))
    site.shell(f"cd {site.directory} && chmod a+x run.fcgi")


@pytest.mark.usefixtures("app_at_home")
def test_layout_2_is_taken_over_where_its_code_is(site: Site) -> None:
    layout_2(site)
    assert site.visit().text == "Made by hand"
    said = site.deployed().output
    assert 'ocf_flask_code_directory: "~/app"' in said
    assert f"{HOME}/app/venv is needed no more" in said
    assert site.visit().text == "Made by hand"
    assert site.visit("/page/x").text == f"x /~alice/{site.name}/"
    lines = site.read(".htaccess")
    assert lines.startswith("# Mine\nErrorDocument 404 /nothing.html\n# BEGIN ocf_flask") and lines.endswith("# END ocf_flask\n")
    assert not site.deployed().changed
    site.shell(f"sed -i 's/Made by hand/Edited at home/' {HOME}/app/myapp/app.py")
    site.deployed()
    assert site.visit().text == "Edited at home"


def test_a_site_whose_python_is_gone_is_taken_over(site: Site) -> None:
    layout_1(site)
    site.shell(f"cd {site.directory}/venv/bin && for link in python*; do ln -sfn /usr/bin/python3.0 $link; done")
    assert site.visit().status == 500
    said = site.deployed().output
    assert '- "flask-login"' in said
    assert site.visit("/page/x").text == f"x /~alice/{site.name}/"


def test_an_unusual_site_goes_on_untouched(site: Site) -> None:
    layout_1(site)
    site.shell(f"cd {site.directory} && sed -i 's/WSGIServer(app)/WSGIServer(app, umask=0o022)/' run.fcgi")
    before = files(site)
    done = site.deploy()
    assert done.returncode != 0
    assert "line 6 gives WSGIServer the argument umask=18" in done.output
    assert files(site) == before
    assert site.visit().text == "Made by hand"
    assert "A deploy leaves it alone" in site.play("status")


def test_a_take_over_that_fails_leaves_the_site_as_it_was(site: Site) -> None:
    layout_1(site)
    assert site.visit().text == "Made by hand"
    site.shell(f"cd {site.directory} && echo 'import nosuchpackage' > flaskyapplication.py")
    before = files(site)
    done = site.deploy()
    assert done.returncode != 0 and "nosuchpackage" in done.output
    assert files(site) == before
    time.sleep(4)  # The restarter would have ended the old process by now.
    assert site.visit().text == "Made by hand"
