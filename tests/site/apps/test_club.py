"""A package with a factory, from a git repository: migrations, log-in, CSRF, a command of its own, logging."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from application import App
from browser import Browser
from hosted import Answer

PASSWORD = "correct horse battery staple"
MIGRATION = """\
import sqlalchemy as sa
from alembic import op

revision = "c0ffee000001"
down_revision = "8d41e07c52af"


def upgrade():
    with op.batch_alter_table("post") as batch_op:
        batch_op.add_column(sa.Column("likes", sa.Integer(), nullable=False, server_default="7"))


def downgrade():
    with op.batch_alter_table("post") as batch_op:
        batch_op.drop_column("likes")
"""


class Repository:
    """The project's bare repository on the host, its owner's."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.tree, self.bare = "/home/a/al/alice/club.work", "/home/a/al/alice/club.git"
        app.arguments += ["-e", f"ocf_flask_source=file://{self.bare}"]

    def push(self, subject: str) -> None:
        """Commit the project as it is."""
        self.app.put(self.tree)
        git = "git -c user.name=Alice -c user.email=alice@example.test"
        self.app.shell(
            f"[ -d {self.bare} ] || {{ git init -q --bare -b main {self.bare}; git init -q -b main {self.tree}; }}; "
            f"cd {self.tree} && git add -A && {git} commit -q -m {shlex.quote(subject)} && git push -q {self.bare} HEAD:main"
        )


@pytest.fixture(scope="module", autouse=True)
def repository(app: App) -> Iterator[Repository]:
    one = Repository(app)
    one.push("First")
    app.deployed()
    yield one
    app.shell(f"rm -rf {one.tree} {one.bare}")


def log_in(browser: Browser, password: str = PASSWORD, **fields: str) -> Answer:
    return browser.send(browser.open("/auth/login"), name="zoë", password=password, **fields)


def test_the_migrations_have_run(app: App) -> None:
    assert "No posts yet" in app.visit().text
    assert "8d41e07c52af (head)" in app.play("run", "-e", json.dumps({"command": "flask db current"}))
    assert app.shell(f"find {app.private}/shared -type f -printf '%P %m'").strip() == "instance/club.db 600"


def test_a_command_of_the_apps_makes_an_account(app: App) -> None:
    said = app.play("run", "-e", json.dumps({"command": "flask create-admin zoë"}))
    assert "zoë can log in now ✓" in said
    again = app.container.play("playbooks/run.yml", app.name, *app.arguments, "-e", json.dumps({"command": "flask create-admin zoë"}))
    assert again.returncode != 0 and "There is a user zoë already." in again.output
    assert PASSWORD not in said + again.output


def test_a_member_logs_in_and_posts(app: App) -> None:
    browser = Browser(app)
    login = browser.follow(browser.open("/posts/new"))
    assert "Please log in to access this page." in login.text and login.url.endswith("/auth/login?next=%2F~alice%2Fclub%2Fposts%2Fnew")
    assert "Name or password are wrong." in browser.send(login, name="zoë", password="wrong").text
    page = browser.send(login, name="zoë", password=PASSWORD)
    assert page.url.endswith("/posts/new")
    page = browser.send(page, title="Café <b>", body="Tuesday, 日本語")
    assert page.url.endswith("/posts/1") and "Posted." in page.text
    assert "<h1>Café &lt;b&gt;</h1>" in page.text and "Tuesday, 日本語" in app.visit("/posts/1").text
    assert "This field is required." in browser.send(browser.open("/posts/new"), title=" ", body="x").text
    assert browser.send(page, csrf_token=csrf(page)).url.endswith("/club/"), "logged out"
    assert "Log in" in browser.open().text


def csrf(page: Answer) -> str:
    return re.search(r'name="csrf_token" (?:type="hidden" )?value="([^"]+)"', page.text)[1]  # type: ignore[index]


def test_a_form_of_another_site_is_refused(app: App) -> None:
    browser = Browser(app)
    log_in(browser)
    form = b"title=x&body=x"
    forged = browser.open("/posts/new", method="POST", body=form, Content_Type="application/x-www-form-urlencoded")
    assert (forged.status, "The CSRF token is missing." in forged.text) == (400, True)
    assert browser.open("/posts/1/delete", method="POST").status == 400
    assert app.visit("/posts/1").status == 200


def test_behind_tls_the_forms_work_and_strangers_referers_do_not(app: App) -> None:
    browser = Browser(app, secure=True)
    assert log_in(browser).url == "https://www.example.test/~alice/club/"
    page = browser.open("/posts/new")
    body = f"csrf_token={csrf(page)}&title=x&body=x".encode()
    kind = "application/x-www-form-urlencoded"
    for referer in ("https://evil.example.test/", ""):
        refused = browser.open("/posts/new", method="POST", body=body, Content_Type=kind, Referer=referer)
        assert refused.status == 400, referer


def test_all_cookies_stay_with_the_site(app: App) -> None:
    browser = Browser(app)
    log_in(browser, remember="y")
    assert browser.paths() == {"session": "/~alice/club", "remember_token": "/~alice/club"}
    # The session is over, and the other cookie logs in again.
    browser.cookies.clear("www.example.test", "/~alice/club", "session")
    assert "Log zoë out" in browser.open().text
    assert browser.send(browser.open(), csrf_token=csrf(browser.open())).status == 200
    assert "Log in" in browser.open().text and "remember_token" not in browser.paths()


def test_the_owner_reads_what_it_logs(app: App) -> None:
    log = app.play("logs", "-e", "lines=500")
    assert "INFO in auth: zoë has logged in" in log and "WARNING in auth: wrong password for 'zoë'" in log
    assert PASSWORD not in log


def test_nothing_private_is_served(app: App) -> None:
    app.assert_private(
        "/club/__init__.py", "/club/templates/base.html", "/migrations/env.py", "/migrations/alembic.ini", "/instance/club.db",
        "/shared/instance/club.db", "/club.db",
    )  # fmt: skip
    assert app.visit("/static/club.css").text == (app.project / "club/static/club.css").read_text()


def test_a_migration_that_fails_leaves_the_old_release(app: App, repository: Repository) -> None:
    path = app.project / "migrations/versions/c0ffee000001_likes.py"
    path.write_text(MIGRATION.replace("sa.Column(", "sa.Colum("))
    repository.push("Likes, wrongly")
    failed = app.deploy()
    assert failed.returncode != 0 and "Colum" in failed.output and "The release command 'flask db upgrade'" in failed.output
    assert PASSWORD not in failed.output
    assert "Café" in app.visit().text


def test_a_new_column_comes_and_the_posts_stay(app: App, repository: Repository) -> None:
    (app.project / "migrations/versions/c0ffee000001_likes.py").write_text(MIGRATION)
    app.change("club/models.py", "    body: Mapped", "    likes: Mapped[int] = mapped_column(default=0)\n    body: Mapped")
    app.change("club/templates/show.html", "<div>{{ post.body }}</div>", "<div>{{ post.body }}</div><i>{{ post.likes }} likes</i>")
    repository.push("Likes")
    app.deployed()
    page = app.visit("/posts/1").text
    assert "Tuesday, 日本語" in page and "7 likes" in page
    browser = Browser(app)
    log_in(browser)
    assert browser.open("/posts/new").status == 200
    app.assert_settled()
