"""A quiz: questions from a file, the score in the session, the best scores in a database."""

import json
import sqlite3

from flask import Flask, abort, flash, g, redirect, render_template, request, session, url_for

from config import SECRET_KEY

app = Flask(__name__)
app.secret_key = SECRET_KEY

with app.open_resource("questions.json") as file:
    QUESTIONS = json.load(file)


def database() -> sqlite3.Connection:
    if "database" not in g:
        g.database = sqlite3.connect("quiz.db")
        g.database.row_factory = sqlite3.Row
        with app.open_resource("schema.sql", "r") as schema:
            g.database.executescript(schema.read())
    return g.database


@app.teardown_appcontext
def close_database(error=None):
    if "database" in g:
        g.pop("database").close()


@app.context_processor
def numbers():
    return {"score": session.get("score", 0), "total": len(QUESTIONS)}


@app.template_filter("percent")
def percent(value):
    return f"{100 * value // len(QUESTIONS)} %"


@app.route("/")
def index():
    best = database().execute("SELECT name, score FROM best ORDER BY score DESC, name LIMIT 10").fetchall()
    return render_template("index.html", best=best)


@app.post("/start")
def start():
    session.clear()
    session["name"] = request.form["name"].strip() or "nobody"
    return redirect(url_for("question", number=1))


@app.route("/question/<int:number>", methods=["GET", "POST"])
def question(number):
    if not 0 < number <= len(QUESTIONS):
        abort(404)
    if "name" not in session:
        flash("Say who you are first.", "error")
        return redirect(url_for("index"))
    current = QUESTIONS[number - 1]
    if request.method == "GET":
        return render_template("question.html", number=number, question=current)
    if request.form.get("choice") == current["answer"]:
        session["score"] = session.get("score", 0) + 1
        flash("Right!", "success")
    else:
        flash(f"No, it is {current['answer']}.", "error")
    if number < len(QUESTIONS):
        return redirect(url_for("question", number=number + 1))
    return redirect(url_for("result"))


@app.route("/result")
def result():
    if "name" not in session:
        return redirect(url_for("index"))
    with database() as connection:
        connection.execute("INSERT INTO best VALUES (?, ?)", (session["name"], session.get("score", 0)))
    response = app.make_response(render_template("result.html", name=session["name"], score=session.get("score", 0)))
    session.clear()
    return response


@app.errorhandler(404)
def not_found(error):
    return render_template("404.html", path=request.path), 404


if __name__ == "__main__":
    app.run(debug=True)
