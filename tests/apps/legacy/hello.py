"""A guest book of 2021, which nobody has touched since."""

import datetime
import os

import flask
from flask import Flask, Markup, escape, jsonify, render_template, request
from flask.json import JSONEncoder
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from werkzeug.urls import url_quote


class CustomJSONEncoder(JSONEncoder):
    def default(self, obj):
        if isinstance(obj, datetime.date):
            return obj.isoformat()
        return JSONEncoder.default(self, obj)


app = Flask(__name__)
app.json_encoder = CustomJSONEncoder
app.config["JSON_AS_ASCII"] = False
app.config["SECRET_KEY"] = os.environ["GUESTBOOK_KEY"]
login_manager = LoginManager(app)
BOOK = os.path.join(app.root_path, "guestbook.txt")


class Owner(UserMixin):
    id = "owner"


@login_manager.user_loader
def load(user_id):
    return Owner() if user_id == "owner" else None


@app.before_first_request
def create_book():
    open(BOOK, "a").close()
    app.config["STARTED"] = datetime.date.today()


@app.route("/")
def index():
    with open(BOOK, encoding="utf-8") as book:
        entries = [Markup("<b>%s</b>") % line.strip() for line in book]
    return render_template("index.html", entries=entries, environment=app.env)


@app.route("/sign", methods=["POST"])
def sign():
    with open(BOOK, "a", encoding="utf-8") as book:
        book.write(request.form["text"].replace("\n", " ") + "\n")
    return 'Thank you, {}! <a href="{}">Back</a>'.format(escape(request.form["name"]), flask.url_for("index"))


@app.route("/login", methods=["POST"])
def login():
    if request.form["password"] != app.config["SECRET_KEY"]:
        return "No.", 403
    login_user(Owner(), remember=True)
    return flask.redirect(flask.url_for("stats") + "?from=" + url_quote("über uns"))


@app.route("/stats")
@login_required
def stats():
    with open(BOOK, encoding="utf-8") as book:
        return jsonify(entries=len(book.readlines()), started=app.config["STARTED"], user=current_user.id, came=request.args.get("from"))


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=80, debug=True)
