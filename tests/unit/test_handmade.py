"""A run.fcgi that somebody wrote by hand: what is recognised, and what is told as unusual."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocf_flask import handmade

SITE, HOME = Path("/web/alice/flasky"), Path("/home/alice")
FILES = {
    f"{SITE}/flaskyapplication.py",
    f"{SITE}/hello.py",
    f"{SITE}/shop/__init__.py",
    f"{SITE}/shop/views.py",
    f"{HOME}/app/myapp/__init__.py",
    f"{HOME}/app/myapp/app.py",
    f"{HOME}/app/site/main.py",
}
RUN = "\n\nif __name__ == '__main__':\n    WSGIServer(app).run()\n"
FLUP = "#!venv/bin/python\nfrom flup.server.fcgi import WSGIServer\n"
AT_HOME = "#!/home/alice/app/venv/bin/python\nimport sys\nfrom flup.server.fcgi import WSGIServer\n"
RECIPE = FLUP + "from flaskyapplication import app" + RUN


def recognise(text: str | bytes) -> handmade.Handmade:
    content = text.encode() if isinstance(text, str) else text
    return handmade.recognise(content, SITE, HOME, is_file=FILES.__contains__)


VENV, APP_VENV = (f"{SITE}/venv",), ("/home/alice/app/venv",)
RECOGNISED: dict[str, tuple[str | bytes, str, str, tuple[str, ...]]] = {
    "layout 1": (RECIPE, "flaskyapplication:app", str(SITE), VENV),
    "an absolute shebang": (RECIPE.replace("!venv", f"!{SITE}/env"), "flaskyapplication:app", str(SITE), (f"{SITE}/env",)),
    "a shebang with a version and a blank": (RECIPE.replace("#!venv/bin/python", "#! venv/bin/python3.5 -u"), "flaskyapplication:app", str(SITE), VENV),
    "env's python": (RECIPE.replace("venv/bin/python", "/usr/bin/env python"), "flaskyapplication:app", str(SITE), ()),
    "the machine's python": (RECIPE.replace("venv/bin/python", "/usr/bin/python3"), "flaskyapplication:app", str(SITE), ()),
    "CRLF": (RECIPE.replace("\n", "\r\n"), "flaskyapplication:app", str(SITE), VENV),
    "tabs": (RECIPE.replace("    ", "\t"), "flaskyapplication:app", str(SITE), VENV),
    "comments and a coding": (
        RECIPE.replace("\nfrom flup", "\n# -*- coding: latin-1 -*-\n# Ren\xe9's\nfrom flup").encode("latin-1"),
        "flaskyapplication:app",
        str(SITE),
        VENV,
    ),
    "a docstring": (RECIPE.replace("\nfrom flup", '\n"""Starts the app."""\nfrom flup', 1), "flaskyapplication:app", str(SITE), VENV),
    "no main guard": (FLUP + "from flaskyapplication import app\nWSGIServer(app).run()\n", "flaskyapplication:app", str(SITE), VENV),
    "flipflop": (RECIPE.replace("flup.server.fcgi", "flipflop"), "flaskyapplication:app", str(SITE), VENV),
    "flup or flipflop": (
        RECIPE.replace("from flup", "try:\n    from flup", 1).replace(
            "WSGIServer\n", "WSGIServer\nexcept ImportError:\n    from flipflop import WSGIServer\n", 1
        ),
        "flaskyapplication:app",
        str(SITE),
        VENV,
    ),
    "a server by its module": (
        "#!venv/bin/python\nfrom flup.server import fcgi\nfrom hello import app\nfcgi.WSGIServer(app).run()\n",
        "hello:app",
        str(SITE),
        VENV,
    ),
    "a server by its full name": (
        "#!venv/bin/python\nimport flup.server.fcgi\nimport hello\nflup.server.fcgi.WSGIServer(hello.app).run()\n",
        "hello:app",
        str(SITE),
        VENV,
    ),
    "a server in two steps": (FLUP + "from hello import app\nserver = WSGIServer(app)\nserver.run()\n", "hello:app", str(SITE), VENV),
    "another name": (FLUP + "from hello import application as app" + RUN, "hello:application", str(SITE), VENV),
    "app as application": (FLUP + "from hello import app as application\nWSGIServer(application).run()\n", "hello:app", str(SITE), VENV),
    "an assigned name": (FLUP + "from hello import app\napplication = app\nWSGIServer(application).run()\n", "hello:app", str(SITE), VENV),
    "a module's attribute": (FLUP + "import hello as h\nWSGIServer(h.app).run()\n", "hello:app", str(SITE), VENV),
    "a submodule": (FLUP + "from shop import views\nWSGIServer(views.app).run()\n", "shop.views:app", str(SITE), VENV),
    "a dotted module": (FLUP + "import shop.views\nWSGIServer(shop.views.app).run()\n", "shop.views:app", str(SITE), VENV),
    "a star": (FLUP + "from hello import *\nWSGIServer(app).run()\n", "hello:app", str(SITE), VENV),
    "a factory": (FLUP + "from shop import create_app\napp = create_app()" + RUN, "shop:create_app()", str(SITE), VENV),
    "a factory in place": (FLUP + "from shop import create_app\nWSGIServer(create_app()).run()\n", "shop:create_app()", str(SITE), VENV),
    "a factory's arguments": (
        FLUP + "import shop\napp = shop.create_app('production', debug=False)" + RUN,
        "shop:create_app('production', debug=False)",
        str(SITE),
        VENV,
    ),
    "an exception caught": (
        FLUP + "from hello import app\ntry:\n    WSGIServer(app).run()\nexcept KeyboardInterrupt:\n    pass\n",
        "hello:app",
        str(SITE),
        VENV,
    ),
    "a docstring of two": ("#!venv/bin/python\n'one'\n'two'\n" + RECIPE.partition("\n")[2], "flaskyapplication:app", str(SITE), VENV),
    "its own directory as the current one": (FLUP + f"import os\nos.chdir('{SITE}')\nfrom hello import app" + RUN, "hello:app", str(SITE), VENV),
    "a directory of modules": (
        AT_HOME + "import site\nsite.addsitedir('/home/alice/app')\nfrom myapp.app import app" + RUN,
        "myapp.app:app",
        "/home/alice/app",
        APP_VENV,
    ),
    "cgitb": (FLUP + "import cgitb\ncgitb.enable()\nfrom hello import app" + RUN, "hello:app", str(SITE), VENV),
    "layout 2": (AT_HOME + "sys.path.insert(0, '/home/alice/app')\nfrom myapp.app import app" + RUN, "myapp.app:app", "/home/alice/app", APP_VENV),
    "layout 2, appended": (AT_HOME + "sys.path.append('/home/alice/app')\nfrom myapp.app import app" + RUN, "myapp.app:app", "/home/alice/app", APP_VENV),
    "layout 2, a slice": (AT_HOME + "sys.path[:0] = ['/home/alice/app']\nfrom myapp.app import app" + RUN, "myapp.app:app", "/home/alice/app", APP_VENV),
    "layout 2, a sum": (
        AT_HOME + "sys.path = ['/home/alice/app'] + sys.path\nfrom myapp.app import app" + RUN,
        "myapp.app:app",
        "/home/alice/app",
        APP_VENV,
    ),
    "layout 2, +=": (AT_HOME + "sys.path += ['/home/alice/app']\nfrom myapp.app import app" + RUN, "myapp.app:app", "/home/alice/app", APP_VENV),
    "layout 2, expanduser": (
        AT_HOME + "import os\nsys.path.insert(0, os.path.expanduser('~/app'))\nfrom myapp.app import app" + RUN,
        "myapp.app:app",
        "/home/alice/app",
        APP_VENV,
    ),
    "layout 2, joined": (
        AT_HOME + "import os\nHOME = os.environ['HOME']\nAPP = os.path.join(HOME, 'app')\nsys.path.insert(0, APP)\nfrom myapp.app import app" + RUN,
        "myapp.app:app",
        "/home/alice/app",
        APP_VENV,
    ),
    "layout 2, pathlib": (
        AT_HOME + "from pathlib import Path\nsys.path.insert(0, str(Path.home() / 'app'))\nfrom myapp.app import app" + RUN,
        "myapp.app:app",
        "/home/alice/app",
        APP_VENV,
    ),
    "its own directory": (
        FLUP + "import os, sys\nsys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\nfrom hello import app" + RUN,
        "hello:app",
        str(SITE),
        VENV,
    ),
    "activate_this": (
        "#!/usr/bin/python\nthis = '/home/alice/env/bin/activate_this.py'\nexec(open(this).read(), dict(__file__=this))\n"
        "from flup.server.fcgi import WSGIServer\nfrom hello import app" + RUN,
        "hello:app",
        str(SITE),
        ("/home/alice/env",),
    ),
    "activate_this in a with": (
        "#!/usr/bin/python3\nthis = 'venv/bin/activate_this.py'\nwith open(this) as file:\n    exec(file.read(), dict(__file__=this))\n"
        "from flup.server.fcgi import WSGIServer\nfrom hello import app" + RUN,
        "hello:app",
        str(SITE),
        VENV,
    ),
    "site-packages on the path": (
        "#!/usr/bin/python3\nimport sys\nsys.path.insert(0, '/home/alice/env/lib/python3.5/site-packages')\n"
        "from flup.server.fcgi import WSGIServer\nfrom hello import app" + RUN,
        "hello:app",
        str(SITE),
        ("/home/alice/env",),
    ),
    "an installed app": (FLUP + "from webapp import app" + RUN, "webapp:app", str(SITE), VENV),
    "a namespace package": (AT_HOME + "sys.path.insert(0, '/home/alice/app')\nfrom site_.main import app" + RUN, "site_.main:app", "/home/alice/app", APP_VENV),
}  # fmt: skip

UNUSUAL: dict[str, tuple[str, str]] = {
    "an argument": (FLUP + "from hello import app\nWSGIServer(app, umask=0o022).run()\n", "line 4 gives WSGIServer the argument umask=18"),
    "an address": (FLUP + "from hello import app\nWSGIServer(app, bindAddress='/tmp/x.sock', multithreaded=False).run()\n", "line 4 gives WSGIServer the arguments bindAddress='/tmp/x.sock', multithreaded=False"),
    "ProxyFix": (FLUP + "from werkzeug.middleware.proxy_fix import ProxyFix\nfrom hello import app\nWSGIServer(ProxyFix(app)).run()\n", "line 5 wraps the app in middleware: ProxyFix(app)"),
    "wsgi_app": (FLUP + "from hello import app\nfrom fixes import Fix\napp.wsgi_app = Fix(app.wsgi_app)" + RUN, "line 5 wraps the app in middleware: app.wsgi_app = Fix(app.wsgi_app)"),
    "a class of its own": (FLUP + "from hello import app\nclass Fix:\n    pass\nWSGIServer(Fix(app)).run()\n", "line 4 defines Fix, which only run.fcgi has"),
    "a function of its own": (FLUP + "from hello import app\ndef application(environ, start_response):\n    return app(environ, start_response)\nWSGIServer(application).run()\n", "line 4 defines application, which only run.fcgi has"),
    "Django": ("#!venv/bin/python\nimport os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'\nfrom django.core.servers.fastcgi import runfastcgi\nrunfastcgi(method='threaded')\n", "line 3 serves Django"),
    "Django's application": (FLUP + "from django.core.wsgi import get_wsgi_application\nWSGIServer(get_wsgi_application()).run()\n", "line 3 serves Django"),
    "a variable": (FLUP + "import os\nos.environ['SECRET_KEY'] = 'x'\nfrom hello import app" + RUN, "line 4 sets the environment variable SECRET_KEY, which ocf_flask_env can do"),
    "a default variable": (FLUP + "import os\nos.environ.setdefault('MODE', 'x')\nfrom hello import app" + RUN, "line 4 sets the environment variable MODE"),
    "a setting": (FLUP + "from hello import app\napp.debug = True" + RUN, "line 4 sets app.debug"),
    "a configuration": (FLUP + "from hello import app\napp.config['A'] = 1" + RUN, "line 4 does something that no recipe has: app.config['A'] = 1"),
    "two apps": (FLUP + "import os\nfrom hello import app\nfrom shop import app as other\nWSGIServer(app).run()\nWSGIServer(other).run()\n", "line 7 serves a second app, shop:app"),
    "a further import": (FLUP + "import startup\nfrom hello import app" + RUN, "line 3 imports startup, which is not where the app comes from"),
    "two directories": (AT_HOME + "sys.path[:0] = ['/home/alice/app', '/home/alice/lib']\nfrom myapp.app import app" + RUN, "line 4 puts /home/alice/lib on the path"),
    "a directory that must be run": (AT_HOME + "sys.path.insert(0, find())\nfrom myapp.app import app" + RUN, "line 4 puts a directory on the path that only running it would show: find()"),
    "another directory": (FLUP + "import os\nos.chdir('/home/alice')\nfrom hello import app" + RUN, "line 4 does something that no recipe has: os.chdir('/home/alice')"),
    "output": (FLUP + "print('Content-Type: text/html')\nfrom hello import app" + RUN, "line 3 does something that no recipe has: print("),
    "a condition": (FLUP + "import os\nfrom hello import app\nif os.path.exists('x'):\n    app = None" + RUN, "line 5 does something that no recipe has: if"),
    "Python 2": ("#!venv/bin/python\nprint 'hello'\n" + RECIPE, "line 2 is not Python 3: print 'hello'"),
    "no program": ("#!/bin/sh\nexec venv/bin/python app.py\n", "it is not a Python program: it names /bin/sh in its first line"),
    "no first line": ("from hello import app\n", "it is not a Python program: it has no first line"),
    "no server": ("#!venv/bin/python\nfrom hello import app\n", "it serves no app"),
    "CGI": ("#!venv/bin/python\nfrom wsgiref.handlers import CGIHandler\nfrom hello import app\nCGIHandler().run(app)\n", "line 4 does something that no recipe has: CGIHandler().run(app)"),
    "a server that never runs": (FLUP + "from hello import app\nserver = WSGIServer(app)\n", "line 4 makes a WSGIServer whose run() is never called"),
    "a relative import": (FLUP + "from . import app" + RUN, "line 3 imports from a package that run.fcgi is not in"),
    "a computed argument": (FLUP + "import os\nfrom shop import create_app\nWSGIServer(create_app(os.getcwd())).run()\n", "line 5 serves create_app(os.getcwd())"),
    "an argument of run": (FLUP + "from hello import app\nWSGIServer(app).run(1, debug=2)\n", "line 4 gives run() the argument 1, 2"),
    "a value": (FLUP + "from hello import app\napp" + RUN, "line 4 does something that no recipe has: app"),
    "a computed name": (FLUP + "from hello import app\nx = app or 1" + RUN, "line 4 does something that no recipe has: x = app or 1"),
    "another path": (FLUP + "import sys\nsys.path.insert()\nfrom hello import app" + RUN, "line 4 puts a directory on the path that only running it would show"),
    "a handler that does something": (
        FLUP + "try:\n    from hello import app\nexcept ImportError:\n    app = None\nfinally:\n    x = 1" + RUN,
        "line 6 does something that no recipe has: app = None",
    ),
    "an end that does something": (
        FLUP + "try:\n    from hello import app\nfinally:\n    x = 1" + RUN,
        "line 6 does something that no recipe has: x = 1",
    ),
    "NUL": (FLUP + "\0", "is not Python"),
}  # fmt: skip


@pytest.mark.parametrize("case", RECOGNISED)
def test_what_follows_a_recipe_is_recognised(case: str) -> None:
    text, app, code, virtualenvs = RECOGNISED[case]
    assert recognise(text) == handmade.Handmade(app, code, virtualenvs, ())


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_is_unusual_is_told_by_its_line(case: str) -> None:
    text, what = UNUSUAL[case]
    told = [one.sentence() for one in recognise(text).oddities]
    assert any(one.startswith(what) or (what == "is not Python" and what in one) for one in told), told


@pytest.mark.parametrize(
    "expression",
    [
        "os.environ['HOME'] + '/app'",
        "os.environ.get('HOME') + '/app'",
        "os.getenv('HOME') + '/app'",
        "os.path.expanduser('~alice') + '/app'",
        "os.path.split('/home/alice/app/run.fcgi')[0]",
        "os.path.realpath('../../../home/alice/app')",
        "os.path.normpath('/home/alice/lib/../app')",
        "os.path.join(os.getcwd(), '/home/alice/app')",
        "pathlib.Path('/home/alice/app/x').parent",
        "pathlib.Path('~/app').expanduser()",
    ],
)
def test_a_directory_is_known_however_it_is_written(expression: str) -> None:
    text = AT_HOME + f"import os, pathlib\nsys.path.insert(0, {expression})\nfrom myapp.app import app" + RUN
    assert recognise(text) == handmade.Handmade("myapp.app:app", "/home/alice/app", APP_VENV, ())


@pytest.mark.parametrize(
    "expression",
    [
        "'/home/alice' - 'app'",
        "find() + '/app'",
        "os.environ['ELSEWHERE']",
        "os.getenv('ELSEWHERE')",
        "os.path.split('/a/b')[1]",
        "os.path.split(find())[0]",
        "os.path.split()[0]",
        "Path(find()).parent",
        "find().resolve()",
        "os.path.join('/a', find())",
        "os.path.commonpath('/a')",
        "Path('/home/alice').joinpath('app')",
    ],
)
def test_a_directory_that_only_running_it_would_show_is_told(expression: str) -> None:
    text = AT_HOME + f"sys.path.insert(0, {expression})\nfrom hello import app" + RUN
    (oddity,) = recognise(text).oddities
    assert oddity.sentence().startswith("line 4 puts a directory on the path that only running it would show: ")


def test_a_long_piece_is_cut() -> None:
    (oddity,) = recognise(FLUP + f"from hello import app\nos.system('{'x' * 500}')" + RUN).oddities
    assert len(oddity.what) < 150
