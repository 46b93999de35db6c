"""The demo's site: what a visitor, the web server and the application see of each other."""

import getpass
import os
import platform
from importlib.metadata import version

from flask import Flask, render_template, request, session, url_for

app = Flask(__name__)
app.secret_key = os.urandom(16)


@app.route("/")
def index():
    session["visits"] = session.get("visits", 0) + 1
    facts = {
        "This page": request.url,
        "Another page": url_for("hello", name="Ada Lovelace", _external=True),
        "Runs as": f"{getpass.getuser()} (user ID {os.getuid()}), by suexec",
        "Python and Flask": f"{platform.python_version()} and {version('flask')}",
        "Process": f"{os.getpid()}, started by mod_fcgid",
        "Cookie path": app.config["SESSION_COOKIE_PATH"],
        "Your visits": session["visits"],
    }
    return render_template("index.html", facts=facts)


@app.route("/hello/<name>")
def hello(name):
    return render_template("index.html", facts={"Hello": name, "This page": request.url})


if __name__ == "__main__":
    app.run()
