"""The smoke test: what it lets pass, and what it says of an app that does not."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocf_flask import smoke
from ocf_flask.errors import SiteError
from ocf_flask.settings import SmokeTest

RUNTIME = Path(__file__).parents[2] / "roles" / "ocf_flask" / "files" / "ocf_flask_runtime.py"
ID = "20261124-034512"
URL = "https://www.example.edu/~alice/flasky/"
TOKEN = "f" * 64
TEST = SmokeTest(timeout=20)

SAY = """
def app(environ, start_response):
    start_response({status!r}, [("Content-Type", "text/plain"), *{headers!r}])
    return [b"Hello World"]
"""


def saying(status: str, *headers: tuple[str, str]) -> str:
    return SAY.format(status=status, headers=headers)


Deploy = Callable[..., Path]


@pytest.fixture
def deploy() -> Iterator[Deploy]:
    """Lays a site out as a deploy does; gives its new run.fcgi."""
    root = Path(os.path.realpath(tempfile.mkdtemp(prefix="o")))

    def make(source: str, app: str = "flaskyapplication:app", shebang: str = sys.executable) -> Path:
        site, private = root / "site", root / "private"
        runtime = private / "releases" / ID / "runtime"
        runtime.mkdir(parents=True)
        shutil.copy(RUNTIME, runtime)
        (private / "token").write_text(TOKEN)
        site.mkdir()
        (site / "flaskyapplication.py").write_text(source)
        script = site / ".ocf-flask-new-run.fcgi"
        script.write_text(
            f"#!{shebang}\nimport sys\n\nsys.path[:0] = [{str(site)!r}, {str(runtime)!r}]\n\n"
            f"from ocf_flask_runtime import serve\n\nserve({app!r}, server='builtin')\n"
        )
        script.chmod(0o700)
        return script

    yield make
    shutil.rmtree(root)


def ask(script: Path, test: SmokeTest = TEST, url: str = URL) -> smoke.Tested:
    return smoke.smoke_test(script, test, url, TOKEN)


def failure(script: Path, test: SmokeTest = TEST) -> SiteError:
    with pytest.raises(SiteError) as caught:
        ask(script, test)
    return caught.value


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "302 Found", "308 Permanent Redirect", "401 Unauthorized", "403 Forbidden"])
def test_an_app_that_works_passes(deploy: Deploy, status: str) -> None:
    tested = ask(deploy(saying(status)))
    assert tested.status == int(status[:3])
    assert tested.warning == ""
    assert 0 < tested.seconds < 20


def test_a_redirect_is_not_followed(deploy: Deploy) -> None:
    assert ask(deploy(saying("302 Found", ("Location", "http://127.0.0.1:1/")))).status == 302


def test_404_passes_with_a_warning_that_says_how_to_ask_for_another_page(deploy: Deploy) -> None:
    tested = ask(deploy(saying("404 Not Found")))
    assert tested.status == 404
    assert tested.warning.startswith("GET / answers 404: the app has no such page.")
    assert '{"ocf_flask_smoke_test": {"path": "/login"}}' in tested.warning


def test_a_status_that_is_expected_passes_and_no_other(deploy: Deploy) -> None:
    script = deploy(saying("404 Not Found"))
    assert ask(script, replace(TEST, statuses=(200, 404))) == smoke.Tested(404, pytest.approx(1, abs=19))
    assert failure(script, replace(TEST, statuses=(200, 302))).message == (
        "The app answered GET / with 404, and ocf_flask_smoke_test.statuses expects 200, 302."
    )


def test_even_a_500_can_be_expected(deploy: Deploy) -> None:
    assert ask(deploy(saying("503 Service Unavailable")), replace(TEST, statuses=(503,))).status == 503


def test_another_4xx_fails_and_says_how_to_allow_it(deploy: Deploy) -> None:
    message = failure(deploy(saying("410 Gone"))).message
    assert message.startswith("The app answered GET / with 410. If that is right for it, say so: -e '")
    assert json.loads(message.partition("-e '")[2].rstrip("'")) == {"ocf_flask_smoke_test": {"statuses": [410]}}


def test_a_syntax_error_is_shown_with_its_line(deploy: Deploy) -> None:
    error = failure(deploy("def app(environ, start_response)\n    return []\n"))
    assert error.message == "The app does not start: SyntaxError: expected ':'"
    assert 'flaskyapplication.py", line 1' in error.detail
    assert "def app(environ, start_response)" in error.detail
    assert "importlib" not in error.detail


def test_a_missing_package_is_named(deploy: Deploy) -> None:
    error = failure(deploy("import flask_nologin\n"))
    assert error.message == (
        "The app does not start: 'flaskyapplication' imports 'flask_nologin', which is not installed. Write the package into requirements.txt"
    )
    assert error.detail.startswith('Traceback (most recent call last):\n  File "')
    assert error.detail.endswith("import flask_nologin\nModuleNotFoundError: No module named 'flask_nologin'")
    assert "importlib" not in error.detail


def test_a_wrong_attribute_is_answered_with_the_near_one(deploy: Deploy) -> None:
    error = failure(deploy(saying("200 OK").replace("def app", "def application"), "flaskyapplication:aplication"))
    assert "the app is 'flaskyapplication:aplication'" in error.message
    assert "is it 'application'?" in error.message


def test_a_wrong_module_is_answered_with_the_near_one(deploy: Deploy) -> None:
    error = failure(deploy(saying("200 OK"), "flaskyaplication:app"))
    assert "there is no module 'flaskyaplication'" in error.message
    assert "is it 'flaskyapplication'?" in error.message


def test_an_exception_on_the_page_is_shown_with_its_traceback(deploy: Deploy) -> None:
    error = failure(deploy("def app(environ, start_response):\n    return {}['visits']\n"))
    assert error.message == "The app answered GET / with 500: KeyError: 'visits'"
    assert error.detail.startswith("Traceback (most recent call last):")
    assert "return {}['visits']" in error.detail
    assert error.detail.count("Traceback") == 1


def test_what_the_app_prints_and_logs_is_shown_when_it_fails(deploy: Deploy) -> None:
    source = "import logging\nprint('starting')\ndef app(environ, start_response):\n    logging.warning('no database')\n    1 / 0\n"
    error = failure(deploy(source))
    assert "no database" in error.detail
    assert "starting" in error.detail


@pytest.mark.parametrize("where", ["import", "page"])
def test_an_app_that_hangs_is_ended_and_says_where(deploy: Deploy, where: str) -> None:
    hang = "import time\n\ndef wait_for_ever():\n    time.sleep(60)\n"
    source = hang + ("\nwait_for_ever()\n" if where == "import" else "\ndef app(environ, start_response):\n    wait_for_ever()\n")
    start = time.monotonic()
    error = failure(deploy(source), replace(TEST, timeout=1))
    assert time.monotonic() - start < 4
    assert error.message == "The app did not answer GET / within 1 s (ocf_flask_smoke_test.timeout)."
    assert 'flaskyapplication.py", line 4 in wait_for_ever' in error.detail


def test_an_answer_that_never_ends_is_no_answer(deploy: Deploy) -> None:
    source = "import itertools, time\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    while True:\n        yield b'.'\n        time.sleep(.01)\n"
    assert "did not answer GET / within 1 s" in failure(deploy(source), replace(TEST, timeout=1)).message


def test_a_huge_answer_is_not_read_to_its_end(deploy: Deploy) -> None:
    source = "def app(environ, start_response):\n    start_response('200 OK', [])\n    while True:\n        yield b'x' * 65536\n"
    start = time.monotonic()
    assert ask(deploy(source)).status == 200
    assert time.monotonic() - start < 5


def test_an_app_that_exits_at_once_is_reported_with_its_last_words(deploy: Deploy) -> None:
    error = failure(deploy("import os\nos.write(2, b'no licence\\n')\nos._exit(3)\n"))
    assert error.message == "The app ended without an answer to GET /: no licence"
    assert error.detail == "no licence"


def test_an_app_that_exits_without_a_word_is_reported(deploy: Deploy) -> None:
    error = failure(deploy("import os\nos._exit(0)\n"))
    assert error.message == "The app ended without an answer to GET /."
    assert error.detail != ""


def test_sys_exit_on_the_page_is_a_failure_and_no_hang(deploy: Deploy) -> None:
    error = failure(deploy("import sys\ndef app(environ, start_response):\n    sys.exit('no more')\n"))
    assert error.message == "The app answered GET / with 500: SystemExit: no more"


def test_a_shebang_that_leads_nowhere_is_named(deploy: Deploy) -> None:
    script = deploy(saying("200 OK"), shebang="/nonexistent/venv/bin/python")
    assert (
        failure(script).message == f"{script} cannot be started: its first line names '/nonexistent/venv/bin/python', which is not there."
    )


def test_a_script_that_is_not_executable_is_named(deploy: Deploy) -> None:
    script = deploy(saying("200 OK"))
    script.chmod(0o600)
    assert failure(script).message == f"{script} cannot be started: Permission denied."


def test_the_import_alone_can_be_tested(deploy: Deploy) -> None:
    script = deploy("def app(environ, start_response):\n    raise SystemError('asked')\n")
    assert ask(script, replace(TEST, mode="import")) == smoke.Tested(0, pytest.approx(1, abs=19))
    assert "asked" in failure(script).message


def test_testing_the_import_finds_what_does_not_import(deploy: Deploy) -> None:
    assert failure(deploy("1 / 0"), replace(TEST, mode="import")).message == "The app does not start: ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        (URL, "/", ["https", "www.example.edu", "443", "/~alice/flasky", "/", ""]),
        (URL, "/caf%C3%A9?a=b%20c", ["https", "www.example.edu", "443", "/~alice/flasky", "/caf\u00c3\u00a9", "a=b%20c"]),
        ("http://localhost:8080/", "/x", ["http", "localhost:8080", "8080", "", "/x", ""]),
        ("https://group.example.edu/my/site/", "/x/", ["https", "group.example.edu", "443", "/my/site", "/x/", ""]),
    ],
)
def test_the_app_sees_the_public_url(deploy: Deploy, url: str, path: str, expected: list[str]) -> None:
    keys = ["wsgi.url_scheme", "HTTP_HOST", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"]
    source = f"def app(environ, start_response):\n    raise ValueError(ascii([environ[key] for key in {keys!r}]))\n"
    script = deploy(source)
    with pytest.raises(SiteError) as caught:
        ask(script, replace(TEST, path=path), url)
    assert caught.value.message.endswith(f"ValueError: {expected!a}")


def test_the_app_starts_with_what_suexec_leaves_and_knows_that_it_is_tested(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    source = (
        "import os\ndef app(environ, start_response):\n"
        "    raise ValueError([sorted(os.environ), environ['OCF_FLASK_SMOKE_TEST'], os.getcwd(), os.getpid() == os.getsid(0)])\n"
    )
    script = deploy(source)
    names = ["HOME", "LANG", "LC_CTYPE", "LOGNAME", "OCF_FLASK_SMOKE_TEST", "PATH", "SHELL", "USER"]
    said = failure(script).message.partition("ValueError: ")[2]
    assert said in (
        repr([names, "1", str(script.parent), True]),
        repr([[n for n in names if n != "LC_CTYPE"], "1", str(script.parent), True]),
    )


def test_nothing_of_the_app_runs_on_after_its_test(deploy: Deploy, tmp_path: Path) -> None:
    source = f"import subprocess\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(subprocess.Popen(['sleep', '60']).pid))\n" + saying(
        "200 OK"
    )
    ask(deploy(source))
    stat = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    deadline = time.monotonic() + 5
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_long_directory_for_temporary_files_does_no_harm(deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert ask(deploy(saying("200 OK"))).status == 200
