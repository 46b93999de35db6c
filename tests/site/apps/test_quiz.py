"""A single module, edited in place: sessions, messages, templates, a database beside the code, an error page."""

from __future__ import annotations

import pytest

from application import App
from browser import Browser
from hosted import Deploy


@pytest.fixture(scope="module", autouse=True)
def without_settings(app: App) -> Deploy:
    """A deploy before there were settings; after it, one with them."""
    app.put(app.directory)
    without = app.container.deploy(app.name)
    app.deployed()
    return without


def test_the_deploy_names_the_app_that_is_there(without_settings: Deploy) -> None:
    assert without_settings.returncode != 0
    assert "ocf_flask_app" in without_settings.output and "app:app" in without_settings.output


def test_a_visitor_plays(app: App) -> None:
    browser = Browser(app)
    assert "Nobody yet" in browser.open().text
    page = browser.send(browser.open(), name="Zoë")
    assert page.url.endswith("/~alice/quiz/question/1") and "Which river" in page.text
    page = browser.send(page, choice="Danube")
    assert "Right!" in page.text and "1 of 3" in page.text and "ありがとう" in page.text
    page = browser.send(page, choice="さようなら")
    assert "No, it is ありがとう." in page.text
    page = browser.send(page, choice="True")
    assert page.url.endswith("/result") and "Zoë, you have 66 %." in page.text
    assert "Zoë: 66 %" in browser.open().text
    # One who has not said a name is sent back, with a message that is shown once.
    stranger = Browser(app)
    assert "Say who you are first." in stranger.follow(stranger.open("/question/2")).text
    assert "Say who you are first." not in stranger.open().text


def test_each_visitor_has_a_session_that_stays_with_the_site(app: App) -> None:
    one, other = Browser(app), Browser(app)
    one.send(one.send(one.open(), name="One"), choice="Danube")
    other.send(other.open(), name="Other")
    assert "1 of 3" in one.open("/question/2").text and "0 of 3" in other.open("/question/2").text
    assert one.paths() == {"session": "/~alice/quiz"}


def test_the_apps_own_error_page_is_shown(app: App) -> None:
    for path in ("/question/4", "/nothing/höre", "/static/missing.css"):
        answer = Browser(app).open(path.replace("ö", "%C3%B6"))
        assert answer.status == 404 and "There is no page" in answer.text, path
    assert "There is no page /nothing/höre." in app.visit("/nothing/h%C3%B6re").text
    assert "Traceback" not in app.shell(f"cat {app.private}/log/error.log")


def test_static_files_are_served_by_the_urls_in_the_page(app: App) -> None:
    page = app.visit().text
    for name, kind in (("style.css", "text/css"), ("quiz.js", "text/javascript")):
        assert f'"/~alice/quiz/static/{name}"' in page
        answer = app.visit(f"/static/{name}")
        assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, kind)
        assert answer.text == (app.project / "static" / name).read_text()


def test_answers_secret_and_database_are_private(app: App) -> None:
    app.assert_private("/questions.json", "/config.py", "/app.py", "/quiz.db", "/schema.sql", "/templates/base.html", "/app", "/config")
    assert app.shell(f"stat -c %a {app.directory}/quiz.db").strip() == "600"


def test_a_changed_question_is_deployed_and_the_best_scores_stay(app: App) -> None:
    app.assert_settled()
    app.change("questions.json", "Which river flows", "What river flows")
    app.put(app.directory)
    done = app.deployed()
    assert "questions.json changed" in done.output
    browser = Browser(app)
    assert "Zoë: 66 %" in browser.open().text
    assert "What river" in browser.send(browser.open(), name="Again").text
    app.assert_settled()
