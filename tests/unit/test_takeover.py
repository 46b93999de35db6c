"""A site made by hand, taken over on this machine: virtualenvs from wheels, and no web server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import local_site
from local_site import APP
from ocf_flask import aside, handmade_packages, requirements, settings, sites_info, status, takeover
from ocf_flask.places import Places

RECIPE = "#!venv/bin/python\nfrom flup.server.fcgi import WSGIServer\nfrom {module} import app\n\nif __name__ == '__main__':\n    WSGIServer(app).run()\n"
HTACCESS = (
    "RewriteEngine On\nRewriteBase /\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^(.*)$ /~alice/flasky/run.fcgi/$1 [QSA,L]\n"
    "ErrorDocument 404 /404.html\n"
)


def make_virtualenv(path: Path, wheels: str, *packages: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    subprocess.run([path / "bin/pip", "install", "--quiet", "--no-index", "--find-links", wheels, *packages], check=True)


@pytest.fixture(name="handmade")
def _handmade(site: local_site.Site, monkeypatch: pytest.MonkeyPatch) -> local_site.Site:
    """Layout 1, with things of its owner's beside."""
    site.write("hello.py", APP.format("by hand").replace("import Flask", "import Flask\nimport flask_login", 1))
    site.write("run.fcgi", RECIPE.format(module="hello"))
    site.write(".htaccess", HTACCESS)
    site.write("css/style.css", "body {}")
    site.write("data.csv", "1,2")
    (site.web / "run.fcgi").chmod(0o755)
    for directory in (site.web, *[path for path in site.web.rglob("*") if path.is_dir()]):
        directory.chmod(0o755)
    make_virtualenv(site.web / "venv", site.base["wheels"], "flask", "flup6", "flask-login")
    return site


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(directory)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in directory.rglob("*")
        if "__pycache__" not in path.parts
    }


def places_of(site: local_site.Site) -> Places:
    return Places(Path(site.web.resolve()), Path(site.private.resolve()), site.private / "crontab.lock")


def test_a_site_by_hand_is_taken_over(handmade: local_site.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = handmade.deployed()
    assert outcome.changes["takeover"] == [
        f"the app hello:app in {handmade.web}",
        f"8 packages in {handmade.web}/venv (Python {sys.version_info[0]}.{sys.version_info[1]})",
    ]
    notes = "\n".join(outcome.notes)
    assert "/data.csv was a file" in notes
    assert "run.fcgi/page, still lead" in notes
    assert "In .htaccess our lines stand in place of the recipe's" in notes
    assert outcome.to_declare.splitlines() == [
        'ocf_flask_app: "hello:app"',
        "ocf_flask_packages:",
        '  - "flask-login"',
        "ocf_flask_public:",
        '  - "favicon.ico"',
        '  - "robots.txt"',
        '  - ".well-known/"',
        '  - "css/"',
    ]
    # The old files are kept, and the owner's own rule.
    (copy,) = handmade.web.glob("run.fcgi.2*")
    assert copy.read_text() == RECIPE.format(module="hello")
    (old,) = handmade.web.glob(".htaccess.2*")
    assert old.read_text() == HTACCESS
    now = (handmade.web / ".htaccess").read_text()
    assert now.endswith("ErrorDocument 404 /404.html\n") and "run.fcgi/$1" not in now
    assert "css/" in now
    # No web server here: for an hour, processes on another host may use the old virtualenv.
    assert (handmade.web / "venv/pyvenv.cfg").exists()


def test_what_was_taken_over_lasts_and_a_further_deploy_changes_nothing(handmade: local_site.Site) -> None:
    handmade.deployed()
    before = handmade.state()
    again = handmade.deploy()
    assert (again.state, again.error) == ("unchanged", "")
    assert handmade.state() == before
    assert "Once no process can use it any more" in "\n".join(again.notes)


def test_declaring_what_was_taken_over_changes_nothing(handmade: local_site.Site) -> None:
    handmade.deployed()
    public = ["favicon.ico", "robots.txt", ".well-known/", "css/"]
    again = handmade.deploy(app="hello:app", packages=["flask-login"], public=public)
    assert again.state == "unchanged", again.changes


def test_a_declared_setting_wins_over_what_was_taken_over(handmade: local_site.Site) -> None:
    handmade.deployed()
    handmade.write("other.py", APP.format("other"))
    outcome = handmade.deployed(app="other:app")
    assert outcome.changes["settings"] == ["ocf_flask_app hello:app -> other:app"]
    # The rest stays.
    assert (handmade.web / ".htaccess").read_text().count("css/") == 1


def test_the_old_virtualenv_makes_way_after_an_hour(handmade: local_site.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    handmade.deployed()
    monkeypatch.setattr(aside, "PROCESS_LIFETIME", -1)
    assert handmade.deploy(check=True).changes["virtualenv"] == ["the one made by hand set aside, because nobody runs from it any more"]
    outcome = handmade.deployed()
    (old,) = handmade.web.glob("venv.2*")
    assert (old.stat().st_mode & 0o777, (old / "pyvenv.cfg").exists()) == (0o700, True)
    assert f"delete it: rm -r {old}" in "\n".join(outcome.notes)
    assert (handmade.web / "venv").is_symlink()
    assert handmade.deploy().state == "unchanged"


def test_the_old_virtualenv_stays_while_a_process_uses_it(handmade: local_site.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    handmade.deployed()
    monkeypatch.setattr(aside, "PROCESS_LIFETIME", -1)
    started = subprocess.Popen(
        ["venv/bin/python", "-c", "print(flush=True); input()"], cwd=handmade.web, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with started as process:
        assert process.stdout and process.stdout.readline()
        assert aside.users(places_of(handmade)) == [process.pid]
        assert handmade.deploy().state == "unchanged"
        process.communicate(b"\n")
    assert handmade.deploy().state == "deployed"


def test_an_interrupted_renaming_is_completed(handmade: local_site.Site) -> None:
    handmade.deployed()
    aside.put(places_of(handmade))
    assert handmade.deploy().state == "deployed"
    assert (handmade.web / "venv").is_symlink()


def test_the_interpreter_may_be_gone(handmade: local_site.Site) -> None:
    for link in (handmade.web / "venv/bin").glob("python*"):
        link.unlink()
        link.symlink_to("/usr/bin/python3.0")
    outcome = handmade.deployed()
    assert '  - "flask-login"' in outcome.to_declare


def test_check_mode_says_it_all_and_changes_nothing(handmade: local_site.Site) -> None:
    before = contents(handmade.web)
    outcome = handmade.deploy(check=True)
    assert outcome.state == "would change"
    assert "hello:app" in outcome.to_declare and "/data.csv was a file" in "\n".join(outcome.notes)
    assert contents(handmade.web) == before
    assert not handmade.private.exists()


@pytest.mark.parametrize("broken", ["raise RuntimeError('no')", "import nosuchpackage"])
def test_a_failing_test_leaves_the_site_byte_for_byte(handmade: local_site.Site, broken: str) -> None:
    handmade.write("hello.py", broken)
    before = contents(handmade.web)
    outcome = handmade.deploy()
    assert outcome.state == "failed"
    assert contents(handmade.web) == before


def test_an_unusual_site_is_left_alone(handmade: local_site.Site) -> None:
    handmade.write("run.fcgi", RECIPE.format(module="hello").replace("WSGIServer(app)", "WSGIServer(app, umask=0o022)"))
    before = contents(handmade.web)
    outcome = handmade.deploy()
    assert outcome.state == "failed"
    assert outcome.error.endswith("  line 6 gives WSGIServer the argument umask=18")
    assert "-e ocf_flask_app=wsgi:app" in outcome.advice
    assert contents(handmade.web) == before
    assert not handmade.private.exists()


def test_an_unusual_site_whose_app_is_declared_is_taken_over(handmade: local_site.Site) -> None:
    handmade.write("run.fcgi", RECIPE.format(module="hello").replace("WSGIServer(app)", "WSGIServer(app, umask=0o022)"))
    outcome = handmade.deployed(app="hello:app")
    assert "What run.fcgi did besides is no longer done: line 6 gives WSGIServer the argument umask=18" in outcome.notes
    assert "ocf_flask_app" not in outcome.to_declare


def test_layout_2_is_taken_over_where_its_code_is(site: local_site.Site, tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "myapp").mkdir(parents=True)
    (app / "myapp/__init__.py").touch()
    (app / "myapp/app.py").write_text(APP.format("from elsewhere"))
    (app / "requirements.txt").write_text("flask\nflask-login\n")
    make_virtualenv(app / "venv", site.base["wheels"], "flask", "flup6", "flask-login")
    site.write(
        "run.fcgi",
        f"#!{app}/venv/bin/python\nimport sys\nsys.path.insert(0, {str(app)!r})\n"
        "from flup.server.fcgi import WSGIServer\nfrom myapp.app import app\nWSGIServer(app).run()\n",
    )
    outcome = site.deployed()
    assert outcome.to_declare.splitlines() == ['ocf_flask_app: "myapp.app:app"', f'ocf_flask_code_directory: "{app}"']
    assert f"{app}/venv is needed no more. Once you are content, delete it: rm -r {app}/venv" in outcome.notes
    assert (app / "venv/pyvenv.cfg").exists()
    assert (site.web / "venv").is_symlink()
    assert site.deploy().state == "unchanged"
    (app / "myapp/app.py").write_text(APP.format("changed"))
    assert site.deployed().changes["code"] == ["myapp/app.py changed"]


def test_with_code_from_elsewhere_the_rest_is_taken_over(handmade: local_site.Site, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "flaskyapplication.py").write_text(APP.format("brought"))
    outcome = handmade.deployed(source=str(project))
    assert outcome.changes["takeover"][0] == "the app flaskyapplication:app"
    assert outcome.to_declare.splitlines() == [
        "ocf_flask_public:", '  - "favicon.ico"', '  - "robots.txt"', '  - ".well-known/"', '  - "css/"',
    ]  # fmt: skip
    assert (handmade.web / "hello.py").exists()


def test_code_in_a_directory_that_no_setting_can_name_is_left_alone(handmade: local_site.Site, tmp_path: Path) -> None:
    app = tmp_path / "my app"
    app.mkdir()
    (handmade.web / "hello.py").rename(app / "hello.py")
    text = RECIPE.format(module="hello").replace("from flup", f"import sys\nsys.path.insert(0, {str(app)!r})\nfrom flup")
    handmade.write("run.fcgi", text)
    before = contents(handmade.web)
    outcome = handmade.deploy()
    assert outcome.state == "failed" and "what it says cannot be a setting: " in outcome.error and str(app) in outcome.advice
    assert contents(handmade.web) == before


def test_old_processes_are_waited_for_for_a_moment(handmade: local_site.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [[1], [1], []]
    assert aside.wait(places_of(handmade), alive=lambda _: left.pop(0)) and left == []
    monkeypatch.setattr(aside, "_PATIENCE", 0.0)
    assert not aside.wait(places_of(handmade), alive=lambda _: [1])


def test_a_link_to_the_old_virtualenv_is_renamed_and_what_it_leads_to_stays(handmade: local_site.Site, tmp_path: Path) -> None:
    (handmade.web / "venv").rename(tmp_path / "venv")
    (handmade.web / "venv").symlink_to(tmp_path / "venv")
    before = (tmp_path / "venv").stat().st_mode
    old = aside.put(places_of(handmade))
    assert os.readlink(old) == str(tmp_path / "venv") and (tmp_path / "venv").stat().st_mode == before


def test_versions_stay(handmade: local_site.Site) -> None:
    outcome = handmade.deployed()
    assert outcome.changes["packages"] == []


def test_status_says_what_a_site_by_hand_is(handmade: local_site.Site) -> None:
    found = status.look_up(handmade.settings(), test=False, log_lines=0)
    assert found.state == "not by ocf_flask"
    text = sites_info.result([found], "make {verb} site={name}", logs=False)["report"]
    assert f"A deploy can take it over: the app hello:app in {handmade.web}, 8 packages in" in text


def test_status_says_why_a_site_by_hand_cannot_be_taken_over(handmade: local_site.Site) -> None:
    handmade.write("run.fcgi", RECIPE.format(module="hello").replace("WSGIServer(app)", "WSGIServer(app, umask=0o022)"))
    text = sites_info.result([status.look_up(handmade.settings(), test=False, log_lines=0)], "make {verb} site={name}", logs=False)[
        "report"
    ]
    assert "line 6 gives WSGIServer the argument umask=18" in text


def test_status_says_that_a_site_was_taken_over(handmade: local_site.Site) -> None:
    handmade.deployed()
    found = status.look_up(handmade.settings(), test=False, log_lines=0)
    assert found.taken_over.endswith("UTC")
    assert "Taken over" in sites_info.result([found], "make {verb} site={name}", logs=False)["report"]


def test_requirements_files_are_read_through(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r base.txt\n-r requirements.txt\nSQLAlchemy>=2 # it\n")
    (tmp_path / "base.txt").write_text("flask_login==0.6\n")
    assert requirements.named(tmp_path / "requirements.txt") == {"sqlalchemy", "flask-login"}


def test_a_constraint_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-c limits.txt\n--constraint=limits.txt\nflask\n")
    (tmp_path / "limits.txt").write_text("flask-login==0.6.3\n")
    assert requirements.named(tmp_path / "requirements.txt") == {"flask"}


def test_what_was_not_installed_from_an_index_is_asked_for_as_it_was(tmp_path: Path) -> None:
    code, library = tmp_path / "app", tmp_path / "lib"
    for directory in (code / "part", library):
        directory.mkdir(parents=True)
    origins = {
        "plain": "", "flask": "", "named": "", "vcs": "https://example.org/vcs.git", "part": str(code / "part"), "all": str(tmp_path),
        "lib": str(library), "gone": str(tmp_path / "gone"),
    }  # fmt: skip
    requirement = "vcs @ git+https://example.org/vcs.git@0123"
    installed = {name: handmade_packages.Package("1", origin=origin, requirement=requirement) for name, origin in origins.items()}
    (code / "requirements.txt").write_text("Named>=1\n")
    asked, notes = takeover._packages(handmade_packages.Packages("3.5", installed), code, settings.Settings("flasky"))
    assert asked == (str(library), "plain", requirement)
    assert notes == [
        f"all was installed from {tmp_path}, where the app's code is: it is imported from there",
        f"gone was installed from {tmp_path}/gone, which is gone: if the app needs it, name it in ocf_flask_packages",
        f"lib was installed from {library}, and is again: a change there takes effect with `pip install` or another version of it",
        f"part was installed from {code}/part, where the app's code is: it is imported from there",
        "vcs was installed from https://example.org/vcs.git, and is again",
    ]


def test_of_many_urls_that_are_the_apps_now_the_first_are_told() -> None:
    assert takeover._bounded(["one"] * 10) == ["one"] * 10
    assert takeover._bounded(["one"] * 12) == [*["one"] * 10, "And 2 more URLs of files are the app's now"]
