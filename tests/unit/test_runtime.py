"""What a visitor and an owner see of a site that the runtime serves."""

from __future__ import annotations

import errno
import gc
import importlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz_runtime import runtime
from ocf_flask import fastcgi
from runtime_site import PREFIX, RELEASE, RUNTIME, SECONDS, Site, environ

APPS = (Path(__file__).parent / "runtime_apps.py").read_text(encoding="utf-8")
SERVERS = ["builtin", "flup6", "flup"]
MakeSite = Callable[..., Site]


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def builtin(make_sites: MakeSite) -> Site:
    site = make_sites(APPS)
    site.start()
    return site


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, make_sites: MakeSite, builtin: Site) -> Site:
    """The same app with each server."""
    if request.param == "builtin":
        return builtin
    site = make_sites(APPS, server=request.param)
    site.start()
    return site


# --- Every request ends -----------------------------------------------------


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/raise", "ZeroDivisionError: a \\udc80 surrogate"),
        ("/exit", "SystemExit: 3"),
        ("/interrupt", "KeyboardInterrupt"),
        ("/raise-late", "ValueError: late"),
        ("/no-start", "did not call start_response"),
        ("/text-body", "the app's body has a str, not bytes"),
        ("/none", "'NoneType' object is not iterable"),
        ("/start-twice", "start_response was called twice"),
        ("/injection", "the header X-A has a control character"),
        ("/injected-line", "the header X-A has a control character"),
        ("/injected-name", "is no name for a header"),
        ("/injected-status", "is no status: it has to be like '200 OK'"),
        ("/header-of-bytes", "is not text"),
        ("/long-header", "the header X-A is longer than"),
        ("/bad-status", "'fine' is no status"),
        ("/interim-status", "'103 Early Hints' is no status"),
    ],
)
def test_a_failing_app_answers_500_and_its_owner_finds_the_traceback(site: Site, path: str, error: str) -> None:
    answer = site.ask(path)
    assert answer.status == 500
    assert answer.seconds < 5
    assert b"Traceback" not in answer.body
    assert error.split(":")[0].encode() not in answer.body
    assert "Traceback (most recent call last)" in answer.errors
    assert error in answer.errors
    heading = f"] {RELEASE} GET {PREFIX}{path}: Traceback"
    assert heading in site.log_text()
    assert error in site.log_text()
    assert site.ask("/").body == b"Hello World!"


def test_an_error_in_the_stream_ends_the_answer_there(site: Site) -> None:
    answer = site.ask("/raise-in-stream")
    assert (answer.status, answer.body) == (200, b"one")
    assert "ValueError: in the stream" in answer.errors


def test_what_the_app_returned_is_closed(site: Site) -> None:
    assert "closed" in site.ask("/close").errors
    assert "closed" in site.ask("/close", REQUEST_METHOD="HEAD").errors
    assert "closed" in site.ask("/close-no-content").errors
    assert "closed" in site.ask("/close-text").errors
    answer = site.ask("/close-raises")
    assert (answer.status, answer.body) == (200, b"a")
    assert "ValueError: while closing" in answer.errors


def test_it_is_closed_when_the_visitor_leaves(site: Site) -> None:
    with site.connect() as connection:
        connection.sendall(fastcgi.encode_request(environ("/close-endless")))
        connection.recv(10)
    assert site.ask("/").status == 200
    assert "closed the endless one" in site.log_text()
    assert "BrokenPipe" not in site.log_text()


def test_a_child_that_the_app_forked_does_not_answer_too(site: Site) -> None:
    assert site.ask("/fork").body == b"parent"


def test_threads_that_log_do_not_disturb_the_answer(site: Site) -> None:
    answer = site.ask("/threads")
    assert answer.body == b"z" * 10_000_000
    assert answer.errors.count("thread ") == 600


# --- Answers ----------------------------------------------------------------


def test_equal_headers_are_kept_and_other_scripts_arrive_as_utf_8(site: Site) -> None:
    answer = site.ask("/headers")
    assert answer.status == 200
    assert [value for name, value in answer.headers if name == "X-A"] == ["1", "2"]
    headers = dict(answer.headers)
    assert headers["X-L"] == "caf\xe9"
    assert headers["X-U"].encode("latin-1").decode() == "\u4e2d"
    assert "The header X-U is not Latin-1" in answer.errors


def test_a_reason_in_another_script_does_not_fail_the_answer() -> None:
    assert runtime.checked_status("404 Nicht gefunden \u4e2d") == "404 Nicht gefunden ?"


def test_headers_that_apache_would_take_for_its_own_are_dropped(site: Site) -> None:
    answer = site.ask("/dropped-headers")
    assert (answer.status, answer.body) == (200, b"kept")
    assert {name for name, _ in answer.headers} == {"Content-Length"}


@pytest.mark.parametrize("path", ["/no-content", "/not-modified"])
def test_an_answer_that_has_no_body_gets_none(site: Site, path: str) -> None:
    answer = site.ask(path)
    assert answer.status in (204, 304)
    assert answer.body == b""


def test_head_has_the_headers_and_no_body(site: Site) -> None:
    answer = site.ask("/", REQUEST_METHOD="HEAD")
    assert answer.body == b""
    assert ("Content-Length", "12") in answer.headers


def test_head_of_what_never_ends_ends(site: Site) -> None:
    answer = site.ask("/close-endless", REQUEST_METHOD="HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_a_body_is_cut_at_its_content_length(site: Site) -> None:
    answer = site.ask("/too-long")
    assert answer.body == b"abc"
    assert "longer than its Content-Length" in answer.errors


def test_a_body_that_is_too_short_is_logged(site: Site) -> None:
    answer = site.ask("/too-short")
    assert answer.body == b"abc"
    assert "27 bytes short of its Content-Length" in answer.errors


def test_write_goes_before_what_is_returned(site: Site) -> None:
    assert site.ask("/write").body == b"written and returned"


def test_start_response_with_exc_info_too_late_raises_that_error(site: Site) -> None:
    """PEP 3333: the app's own error, so that it ends there and the log says why."""
    answer = site.ask("/exc-info-too-late")
    assert (answer.status, answer.body) == (200, b"begun ")
    assert "ValueError: after the first byte" in answer.errors and "AttributeError" not in answer.errors


def test_start_response_with_exc_info_replaces_the_first(site: Site) -> None:
    answer = site.ask("/exc-info")
    assert (answer.status, dict(answer.headers)["X-Second"]) == (503, "yes")


def test_an_empty_string_sends_no_headers_yet(site: Site) -> None:
    answer = site.ask("/change-of-mind")
    assert (answer.status, answer.body) == (503, b"busy")


def test_a_file_is_sent_whole(site: Site) -> None:
    assert site.ask("/file").body.decode() == APPS
    assert "closed the file" in site.ask("/file-like").errors


def test_100_mb_as_one_object_arrive_quickly(site: Site) -> None:
    answer = site.ask("/large")
    assert len(answer.body) == 100_000_000
    assert answer.body[:32] == b"0123456789abcdef" * 2
    assert answer.seconds < 10


# --- Request bodies ---------------------------------------------------------


def test_the_input_has_the_methods_of_pep_3333(builtin: Site) -> None:
    answer = builtin.ask("/lines", b"one\ntwo\nthree\nfour")
    assert json.loads(answer.body) == ["one\n", "tw", "o\n", "three\n", "four", ""]


IMPOLITE = """

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
"""


def test_the_apps_own_signal_handlers_end_no_request(make_site: MakeSite) -> None:
    site = make_site(APPS + IMPOLITE)
    process = site.start()
    begun, go = site.web / "begun", site.web / "go"
    with site.connect() as leaving:
        leaving.sendall(fastcgi.encode_request(environ("/close-endless")))
        leaving.recv(10)
    first = site.connect()
    first.sendall(fastcgi.encode_request(environ("/wait", HTTP_BEGUN=str(begun), HTTP_WAIT_FOR=str(go))))
    wait_until(begun.exists)
    process.send_signal(signal.SIGTERM)
    go.touch()
    assert b"waited" in read_all(first)
    assert process.wait(SECONDS) == 0


def slowly(site: Site, path: str) -> bytes:
    """What a visitor gets who waits before he reads."""
    with site.connect() as connection:
        connection.settimeout(SECONDS)
        connection.sendall(fastcgi.encode_request(environ(path)))
        time.sleep(0.3)
        return read_all(connection)


def test_what_is_logged_in_the_middle_of_an_answer_does_not_stop_it(site: Site) -> None:
    assert slowly(site, "/alarm").count(b"x") >= 20_000_000
    assert "tick" in site.log_text()


def test_an_app_without_select_poll_sends_long_answers(make_site: MakeSite) -> None:
    site = make_site("import select\n" + APPS.replace("from __future__ import annotations\n", "") + "\ndel select.poll\n")
    site.start()
    assert slowly(site, "/unread").count(b"y") >= 3_000_000
    assert site.ask("/").body == b"Hello World!"


def test_an_app_that_takes_the_stream_below_its_output_is_heard(make_site: MakeSite) -> None:
    source = 'import codecs, sys\n\nsys.stdout = codecs.getwriter("utf-8")(sys.stdout.detach())\n'
    site = make_site(source + NEW.replace('    start("200', '    print("h\u00e9ard")\n    start("200'))
    site.start()
    pids = {site.ask("/").body.split(b",")[0] for _ in range(3)}
    assert len(pids) == 1 and site.log_text().count("h\u00e9ard") == 3 and "Traceback" not in site.log_text()


@pytest.mark.parametrize(
    ("given", "sent", "body"),
    [
        (" 3", "3", b"abc"), ("3 ", "3", b"abc"), ("6", "6", b"abcdef"), ("-1", "", b"abcdef"), ("0x3", "", b"abcdef"), ("3 x", "", b"abcdef"),
        ("", "", b"abcdef"), ("\u0663", "", b"abcdef"),
    ],
)  # fmt: skip
def test_a_content_length_is_kept_or_left_out(builtin: Site, given: str, sent: str, body: bytes) -> None:
    answer = builtin.ask("/length", HTTP_LENGTH=given.encode().decode("latin-1"))
    found = [value.strip() for name, value in answer.headers if name == "Content-Length"]
    assert (answer.status, answer.body, found) == (200, body, [sent] * bool(sent))


def test_an_upload_takes_bounded_memory(site: Site) -> None:
    before = int(site.ask("/count", b"x").body.split()[1])
    total, after = map(int, site.ask("/count", bytes(200_000_000)).body.split())
    assert total == 200_000_000
    # 100 MB were sent by the same process; a second peak would be 200 MB more.
    assert after - before < 20_000


def test_an_upload_that_is_not_read_is_no_error(site: Site) -> None:
    assert len(site.ask("/unread", bytes(3_000_000)).body) == 3_000_000


def test_a_small_answer_to_an_upload_that_is_not_read_arrives(builtin: Site) -> None:
    assert WritesFirst.ask(builtin, "/small", bytes(3_000_000)).count(b"small") == 1


def test_a_thread_that_logs_during_an_upload_takes_nothing_of_it(builtin: Site) -> None:
    assert b"6000000" in WritesFirst.ask(builtin, "/log-in-upload", bytes(6_000_000))


class WritesFirst:
    """Like mod_fcgid, writes all of the request before it reads a byte."""

    @staticmethod
    def ask(site: Site, path: str, body: bytes) -> bytes:
        params = environ(path, REQUEST_METHOD="POST", CONTENT_LENGTH=str(len(body)))
        with site.connect() as connection:
            connection.sendall(fastcgi.encode_request(params, body))
            received = bytearray()
            while data := connection.recv(1_000_000):
                received += data
        return bytes(received)


@pytest.mark.parametrize("path", ["/unread", "/echo"])
def test_a_long_answer_before_the_upload_is_read_does_not_wait_for_ever(builtin: Site, path: str) -> None:
    received = WritesFirst.ask(builtin, path, b"y" * 3_000_000)
    assert len(received) > 3_000_000
    end = fastcgi.record(fastcgi.END_REQUEST, bytes(8))
    assert received.endswith(end)


@pytest.mark.parametrize("server", ["flup6", "flup"])
def test_with_flup_a_long_answer_before_the_upload_is_read_waits(make_site: MakeSite, server: str) -> None:
    """What docs/servers.md says remains: flup writes without looking whether there is something to read."""
    site = make_site(APPS, server=server)
    site.start()
    with site.connect() as connection:
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.sendall(fastcgi.encode_request(environ("/unread", REQUEST_METHOD="POST"), b"y" * 3_000_000))


@pytest.mark.parametrize("server", ["flup6", "flup"])
def test_with_flup_readline_takes_no_size(make_site: MakeSite, server: str) -> None:
    """What docs/servers.md says remains; werkzeug does not call it so."""
    site = make_site(APPS, server=server)
    site.start()
    assert json.loads(site.ask("/lines", b"one\ntwo\nthree").body)[:2] == ["one\n", "two\n"]


def test_what_the_app_starts_does_not_have_the_socket_as_its_input(site: Site) -> None:
    assert site.ask("/subprocess").body == b"done"


# --- Errors and logs --------------------------------------------------------


def test_any_text_can_be_printed_and_logged(site: Site) -> None:
    answer = site.ask("/print")
    assert answer.status == 200
    for text in ("printed \xfc \u4e2d \\udc80\n", "to stderr\n", "a partial line"):
        assert text in answer.errors
        assert text in site.log_text()


def test_an_app_that_closes_its_error_stream_is_still_heard(site: Site) -> None:
    assert "still heard" in site.ask("/close-errors").errors


def test_no_error_record_is_longer_than_mod_fcgid_can_take(site: Site) -> None:
    received = WritesFirst.ask(site, "/print-much", b"x")
    longest = 0
    while received:
        _, kind, _, length, padding = fastcgi._header.unpack_from(received)
        content, received = received[8 : 8 + length], received[8 + length + padding :]
        if kind == fastcgi.STDERR and content:
            longest = max(longest, length)
            assert content.endswith(b"\n")
    assert 1000 < longest < 8000


def test_the_log_is_the_owners_alone(builtin: Site) -> None:
    builtin.ask("/raise")
    assert stat.S_IMODE(builtin.log.stat().st_mode) == 0o600


def test_the_log_is_rotated_by_size_and_three_files_are_kept(make_site: MakeSite) -> None:
    site = make_site(APPS)
    for _ in range(2):
        site.start()
        for _ in range(25):
            site.ask("/print-much")
    files = sorted(path.name for path in site.log.parent.iterdir())
    assert files == ["error.log", "error.log.1", "error.log.2"]
    assert all(path.stat().st_size <= 1_000_000 for path in site.log.parent.iterdir())


def test_each_entry_of_the_log_is_on_lines_of_its_own_and_none_is_too_long(tmp_path: Path) -> None:
    log = runtime.Log(str(tmp_path))
    for text in (b"without its end", b"with it\n", b"x" * (log.longest_entry + 1), b"x" * log.longest_entry):
        log.write("App", text)
    lines = [line.partition(" App: ")[2] or line for line in (tmp_path / "error.log").read_text().splitlines()]
    longest = "x" * log.longest_entry
    assert lines == ["without its end", "with it", longest, "[the rest is left out]", longest]


def test_a_log_that_cannot_be_written_fails_no_request(make_site: MakeSite) -> None:
    site = make_site(APPS)
    site.log.mkdir()
    site.start()
    assert "printed" in site.ask("/print").errors


def test_a_smoke_test_leaves_no_entry_in_the_log(make_site: MakeSite) -> None:
    site = make_site(APPS)
    site.start(OCF_FLASK_SMOKE_TEST="1")
    assert "ZeroDivisionError" in site.ask("/raise").errors
    assert not site.log.exists()


# --- The environment --------------------------------------------------------


def test_an_app_finds_what_suexec_removed_and_its_own_variables(make_site: MakeSite) -> None:
    site = make_site(APPS, env='{"SECRET": "s\u00fc\u00df"}')
    site.start()
    answer = json.loads(site.ask("/environ").body)
    process = answer["process"]
    assert process["SECRET"] == "s\u00fc\u00df"
    assert process["HOME"] == os.path.expanduser("~")
    assert process["USER"] == process["LOGNAME"]
    assert process["LANG"] == "C.UTF-8"
    assert "TZ" not in process
    assert answer["cwd"] == str(site.web)


def test_the_wsgi_environment_tells_the_truth(site: Site) -> None:
    wsgi = json.loads(site.ask("/environ", HTTPS="on").body)["environ"]
    assert wsgi["wsgi.url_scheme"] == "https"
    assert wsgi["wsgi.multithread"] is False
    assert wsgi["wsgi.multiprocess"] is True
    assert wsgi["wsgi.run_once"] is False


@pytest.mark.parametrize(
    ("params", "script", "path"),
    [
        ({"REDIRECT_URL": "/~a/s/environ"}, "/~a/s", "/environ"),
        ({"REDIRECT_URL": "/~a/s/run.fcgi/environ"}, "/~a/s", "/environ"),
        ({"REDIRECT_URL": ""}, "/~a/s", "/environ"),
        ({"REDIRECT_URL": "/elsewhere"}, "/~a/s", "/environ"),
        ({"SCRIPT_NAME": "/run.fcgi", "REDIRECT_URL": "/environ"}, "", "/environ"),
        ({"SCRIPT_NAME": "/s/run.fcgi", "REDIRECT_URL": "/s/environ"}, "/s", "/environ"),
    ],
)
def test_the_paths_are_right_on_every_host(site: Site, params: dict[str, str], script: str, path: str) -> None:
    asked = {"SCRIPT_NAME": "/~a/s/run.fcgi", "PATH_INFO": "/environ", **params}
    wsgi = json.loads(site.ask("/environ", b"", **asked).body)["environ"]
    assert (wsgi["SCRIPT_NAME"], wsgi["PATH_INFO"]) == (script, path)


# --- The deploy's question --------------------------------------------------


def test_the_deploys_token_is_answered_with_the_release(site: Site) -> None:
    (site.private / "token").write_text("secret\n")
    answer = site.ask("/raise", HTTP_OCF_FLASK_TOKEN="secret")
    assert (answer.status, answer.body) == (200, f"{RELEASE}\n".encode())
    assert ("Cache-Control", "no-store") in answer.headers
    for wrong in ("", "sec", "secrets", "wrong"):
        assert site.ask("/", HTTP_OCF_FLASK_TOKEN=wrong).body == b"Hello World!"
    (site.private / "token").write_text("")
    assert site.ask("/", HTTP_OCF_FLASK_TOKEN="").body == b"Hello World!"
    (site.private / "token").unlink()
    assert site.ask("/", HTTP_OCF_FLASK_TOKEN="secret").body == b"Hello World!"


# --- Flask ------------------------------------------------------------------

FLASK = """
from flask import Flask, session, url_for
app = Flask(__name__)
app.secret_key = "x"
{settings}
@app.route("/")
def index():
    session["a"] = 1
    return url_for("index", _external=True)
@app.route("/log")
def log():
    app.logger.error("a \\udc80 \\u4e2d")
    return "logged"
@app.route("/fail")
def fail():
    raise ValueError("in a view")
"""


@pytest.fixture(scope="module")
def flask_site(make_sites: MakeSite) -> Site:
    site = make_sites(FLASK.format(settings=""))
    site.start()
    return site


def cookie_of(answer: fastcgi.Answer) -> str:
    return dict(answer.headers)["Set-Cookie"]


def test_flasks_session_is_confined_to_the_site_on_each_host(flask_site: Site) -> None:
    answer = flask_site.ask("/")
    assert answer.body.decode() == f"http://www.example.edu{PREFIX}/"
    assert f"Path={PREFIX}" in cookie_of(answer)
    at_root = flask_site.ask("/", SCRIPT_NAME="/run.fcgi", REDIRECT_URL="/")
    assert cookie_of(at_root).endswith("Path=/")


def test_a_cookie_path_that_the_app_sets_is_kept(make_site: MakeSite) -> None:
    site = make_site(FLASK.format(settings="app.config['SESSION_COOKIE_PATH'] = '/own'"))
    site.start()
    assert "Path=/own" in cookie_of(site.ask("/"))


REMEMBER = """
@app.route("/remember")
def remember():
    # As flask_login.LoginManager._set_cookie does.
    response = app.make_response("")
    response.set_cookie("remember_token", "1", path=app.config.get("REMEMBER_COOKIE_PATH", "/"))
    return response
"""


def test_flask_logins_cookie_is_confined_too(make_site: MakeSite) -> None:
    site = make_site(FLASK.format(settings="") + REMEMBER)
    site.start()
    assert cookie_of(site.ask("/remember")).endswith(f"Path={PREFIX}")
    assert cookie_of(site.ask("/remember", SCRIPT_NAME="/run.fcgi", REDIRECT_URL="/remember")).endswith("Path=/")
    own = make_site(FLASK.format(settings="app.config['REMEMBER_COOKIE_PATH'] = '/own'") + REMEMBER)
    own.start()
    assert cookie_of(own.ask("/remember")).endswith("Path=/own") and f"Path={PREFIX}" in cookie_of(own.ask("/"))


def test_an_app_run_without_a_guard_is_ignored(make_site: MakeSite) -> None:
    after = '@app.route("/cli")\ndef cli():\n    import os\n    return os.environ.get("FLASK_RUN_FROM_CLI", "not set")\n'
    site = make_site(FLASK.format(settings="") + f"\n\napp.run(port=0)\n{after}")
    site.start()
    assert site.ask("/cli").body == b"not set"
    assert "Ignoring a call to 'app.run()'" in site.log_text()


def test_flasks_own_log_reaches_the_owner(flask_site: Site) -> None:
    assert flask_site.ask("/log").body == b"logged"
    assert flask_site.ask("/fail").status == 500
    assert "a \\udc80 \u4e2d" in flask_site.log_text()
    assert "ValueError: in a view" in flask_site.log_text()


# --- An app that cannot be imported -----------------------------------------


@pytest.mark.parametrize(
    ("source", "app", "words"),
    [
        ("x = (", "flaskyapplication:app", "SyntaxError"),
        ("1/0", "flaskyapplication:app", "ZeroDivisionError"),
        ("raise SystemExit", "flaskyapplication:app", "SystemExit"),
        ("import nowhere_to_be_found", "flaskyapplication:app", "imports 'nowhere_to_be_found'"),
        ("", "flaskyaplication:app", "is it 'flaskyapplication'?"),
        ("application = print", "flaskyapplication:aplication", "is it 'application'?"),
        ("app = 3", "flaskyapplication", "it is 'int'"),
        ("def make(): pass", "flaskyapplication:make", "write 'flaskyapplication:make()'"),
        ("def make(): pass", "flaskyapplication:make()", "it is 'NoneType'"),
        ("def make(a): pass", "flaskyapplication:make(x)", "literal arguments"),
    ],
)
def test_an_app_that_cannot_be_imported_answers_500_and_says_why(make_site: MakeSite, source: str, app: str, words: str) -> None:
    site = make_site(source, app=app)
    site.start()
    (site.private / "token").write_text("secret")
    answer = site.ask("/", HTTP_OCF_FLASK_TOKEN="secret")
    assert answer.status == 500
    assert words in answer.errors
    assert words in site.log_text()


@pytest.mark.parametrize("server", SERVERS)
def test_its_process_ends_by_itself_and_a_mended_app_works(make_site: MakeSite, server: str) -> None:
    site = make_site("1/0", server=server)
    process = site.start()
    assert site.ask("/").status == 500
    assert "ZeroDivisionError" in site.log_text()
    assert process.wait(SECONDS) == 0
    site.listener.close()
    site.socket_path.unlink()
    site.listener = site.listen()
    site.module.write_text(APPS, encoding="utf-8")
    site.start()
    assert site.ask("/").status == 200


def test_a_factory_is_called_with_its_literal_arguments(make_site: MakeSite) -> None:
    source = APPS + "\ndef make(a, *, b):\n    assert (a, b) == (1, 'x')\n    return app\n"
    site = make_site(source, app="flaskyapplication:make(1, b='x')")
    site.start()
    assert site.ask("/").status == 200


# --- Reload -----------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
def test_sigterm_lets_the_request_in_flight_and_the_queued_ones_be_answered(make_site: MakeSite, tmp_path: Path, server: str) -> None:
    site = make_site(APPS, server=server)
    process = site.start()
    begun, go = tmp_path / "begun", tmp_path / "go"
    waits = {"HTTP_BEGUN": str(begun), "HTTP_WAIT_FOR": str(go)}
    first = site.connect()
    first.sendall(fastcgi.encode_request(environ("/wait", **waits)))
    wait_until(begun.exists)
    queued = [site.connect() for _ in range(3)]
    process.send_signal(signal.SIGTERM)

    def refused() -> bool:
        with socket.socket(socket.AF_UNIX) as late:
            late.settimeout(SECONDS)
            return late.connect_ex(str(site.socket_path)) == errno.ECONNREFUSED

    wait_until(refused)
    go.touch()
    assert b"waited" in read_all(first)
    for connection in queued:
        answer = fastcgi.request(connection, environ(), deadline=time.monotonic() + SECONDS)
        assert answer.body == b"Hello World!"
        connection.close()
    assert process.wait(SECONDS) == 0


def read_all(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(100_000), b""))


def test_a_child_that_the_app_forks_and_ends_does_not_end_the_site(site: Site) -> None:
    assert site.ask("/terminated-child").body == b"ended by signal 15"
    assert site.ask("/").body == b"Hello World!"
    assert site.processes[0].poll() is None


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("change", ["replace", "remove"])
def test_a_process_ends_when_its_script_is_replaced_or_removed(make_site: MakeSite, server: str, change: str) -> None:
    site = make_site(APPS, server=server)
    process = site.start()
    assert site.ask("/").status == 200
    if change == "replace":
        new = site.web / "new"
        new.write_text("")
        os.utime(new, (1, 1))
        new.rename(site.script)
    else:
        site.script.unlink()
    assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("restarter", [False, True])
def test_a_process_whose_script_is_replaced_still_answers_those_who_waited_for_it(make_site: MakeSite, restarter: bool) -> None:
    site = make_site(APPS)
    process = site.start()
    new = site.web / "new"
    shutil.copy(site.script, new)
    assert site.ask("/").status == 200
    new.rename(site.script)
    if restarter:
        process.terminate()
    # They ask once a second.
    for _ in range(2):
        assert site.ask("/").status == 200
        time.sleep(1)
    assert process.wait(SECONDS) == 0


def touch(site: Site) -> None:
    later = site.script.stat().st_mtime + 10
    os.utime(site.script, (later, later))


NEW = """
import os

def app(environ, start):
    start("200 OK", [])
    mask = os.umask(0)
    os.umask(mask)
    return [repr((os.getpid(), os.getcwd(), mask, os.environ.get("LEFT"))).encode()]
"""
LEAVES_THINGS = """
import atexit, os, pathlib, sys, time

sys.argv[:] = ["other", "name"]
os.environ["LEFT"] = "by the old code"
os.umask(0o077)
atexit.register(pathlib.Path("ended").absolute().touch)

def app(environ, start):
    os.chdir("/")
    start("200 OK", [])
    return [b"old"]
"""


@pytest.mark.parametrize("server", ["builtin", "flup6"])
@pytest.mark.parametrize("restarter", [False, True])
def test_a_touched_script_starts_again_in_the_same_process_with_nothing_of_the_old_code(
    make_site: MakeSite, server: str, restarter: bool
) -> None:
    site = make_site(LEAVES_THINGS, server=server)
    process = site.start()
    assert site.ask("/").body == b"old"
    site.module.write_text(NEW)
    shutil.rmtree(site.web / "__pycache__")
    touch(site)
    if restarter:
        process.terminate()
    wait_until((site.web / "ended").exists)
    assert site.ask("/").body.decode() == repr((process.pid, str(site.web), 0o066, None))
    process.terminate()
    assert process.wait(SECONDS) == 0, "now that nothing was touched it ends"


def test_a_signal_at_the_moment_in_which_the_loop_sees_that_it_is_not_over_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RUNTIME.parent))
    runtime = importlib.import_module("ocf_flask_runtime")
    (tmp_path / "run.fcgi").touch()
    asked = 0

    def monotonic() -> float:
        # Called twice in each turn: for how long to wait, and then whether it is over.
        nonlocal asked
        asked += 1
        if asked == 2:
            loop.drain()
        assert asked < 10, "the loop goes on without end"
        return 0.0

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        loop = runtime.Loop(listener, runtime.Watch(str(tmp_path / "run.fcgi")))
        monkeypatch.setattr(runtime, "WATCH_SECONDS", 0)
        monkeypatch.setattr(runtime.time, "monotonic", monotonic)
        assert not loop.run(lambda connection: None)
    assert asked == 2


@pytest.mark.parametrize("what", ["script", "directory"])
def test_a_touched_script_that_others_can_write_is_not_started_again(make_site: MakeSite, what: str) -> None:
    site = make_site(APPS)
    process = site.start()
    assert site.ask("/").status == 200
    (site.script if what == "script" else site.web).chmod(0o770)
    touch(site)
    assert process.wait(SECONDS) == 0


def test_what_is_queued_when_the_script_is_touched_is_answered_by_the_new_code(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(APPS)
    process = site.start()
    begun, go = tmp_path / "begun", tmp_path / "go"
    first = site.connect()
    first.sendall(fastcgi.encode_request(environ("/wait", HTTP_BEGUN=str(begun), HTTP_WAIT_FOR=str(go))))
    wait_until(begun.exists)
    queued = [site.connect() for _ in range(3)]
    site.module.write_text(NEW)
    shutil.rmtree(site.web / "__pycache__")
    touch(site)
    process.terminate()
    go.touch()
    assert b"waited" in read_all(first)
    for connection in queued:
        answer = fastcgi.request(connection, environ(), deadline=time.monotonic() + SECONDS)
        assert answer.body.startswith(f"({process.pid}, ".encode())
        connection.close()


def test_an_exit_handler_that_hangs_delays_the_new_code_a_little(make_site: MakeSite) -> None:
    site = make_site(LEAVES_THINGS + "\natexit.register(time.sleep, 1000)\n")
    process = site.start()
    assert site.ask("/").body == b"old"
    site.module.write_text(NEW)
    shutil.rmtree(site.web / "__pycache__")
    touch(site)
    wait_until(lambda: site.ask("/").body.startswith(f"({process.pid}, ".encode()))


def test_what_the_app_does_at_its_exit_keeps_no_drained_process(make_site: MakeSite) -> None:
    site = make_site(LEAVES_THINGS + "\nimport signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\natexit.register(time.sleep, 1000)\n")
    process = site.start()
    assert site.ask("/").body == b"old"
    process.terminate()
    assert process.wait(SECONDS) == -signal.SIGALRM


THREAD = "\nimport threading\nthreading.Thread(target=time.sleep, args=(8,)).start()\n"


@pytest.mark.parametrize("why", ["a thread of the app is still at work", "the new script cannot be started"])
def test_a_touched_script_that_cannot_start_again_ends_its_process(make_site: MakeSite, why: str) -> None:
    site = make_site(LEAVES_THINGS + (THREAD if "thread" in why else ""))
    process = site.start()
    assert site.ask("/").body == b"old"
    if "script" in why:
        site.script.write_text("#!/nowhere/python\n")
    touch(site)
    process.terminate()
    assert process.wait(SECONDS) == 0


def test_a_process_whose_script_is_replaced_while_it_starts_has_the_new_interpreter_too(make_site: MakeSite) -> None:
    site = make_site("import sys\n\ndef app(environ, start):\n    start('200 OK', [])\n    return [sys.executable.encode()]\n")
    python = site.release / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    site.script.write_text(site.script.read_text().replace(sys.executable, str(python), 1))
    # The kernel has read the first line of the old script; Python comes to read the new one.
    site.start_with(sys.executable)
    assert site.ask("/").body.decode() == str(python)


def test_an_interpreter_that_calls_itself_otherwise_is_started_no_third_time(make_site: MakeSite) -> None:
    site = make_site(APPS)
    python = site.release / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    site.script.write_text(site.script.read_text().replace(sys.executable, str(python), 1))
    site.start()
    assert site.ask("/").status == 200


def test_an_idle_process_whose_script_stays_goes_on(builtin: Site) -> None:
    assert builtin.processes[0].poll() is None


# --- In a terminal ----------------------------------------------------------


def run_in_a_terminal(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(site.script), *arguments], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=SECONDS, check=False, cwd="/",
    )  # fmt: skip


@pytest.mark.parametrize("server", SERVERS)
def test_in_a_terminal_it_shows_the_answer_to_one_request(make_site: MakeSite, server: str) -> None:
    result = run_in_a_terminal(make_site(APPS, server=server))
    assert result.returncode == 0
    for words in ("mod_fcgid", "200 OK", "Hello World!", "The app works."):
        assert words in result.stdout


@pytest.mark.parametrize("source", [APPS, "1/0"])
def test_in_a_terminal_it_shows_the_traceback(make_site: MakeSite, source: str) -> None:
    site = make_site(source)
    result = run_in_a_terminal(site, "/raise")
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr
    assert not site.log.exists()


def test_an_unknown_server_is_refused(make_site: MakeSite) -> None:
    result = run_in_a_terminal(make_site(APPS, server="gunicorn"))
    assert result.returncode == 1
    assert "'gunicorn' is none of builtin, flup6, flup" in result.stderr


@pytest.mark.parametrize("server", SERVERS)
def test_wsgirefs_validator_has_no_complaint(make_site: MakeSite, server: str) -> None:
    source = APPS + (
        "\nfrom wsgiref.validate import validator\nplain = app\n@validator\n"
        "def app(environ, start):\n"
        "    body = environ['wsgi.input'].read(3)\n"
        "    start('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [b'valid ' + body]\n"
    )
    site = make_site(source, server=server)
    site.start()
    answer = site.ask("/", b"abc")
    assert (answer.status, answer.body, answer.errors) == (200, b"valid abc", "")


EDGES = """
import os
import socket
import sys

socket.setdefaulttimeout(0.2)
print("said at import")


def app(environ, start):
    path = environ["PATH_INFO"]
    write = start("200 OK", [])
    if path == "/write":
        write(b"")
        return [b"written"]
    if path == "/system":
        os.system("echo said by a program")
        return [b"done"]
    if path == "/log":
        print("x" * 90_000)
        return [b"logged"]
    if path == "/large":
        return [b"x" * 8_000_000]

    def pieces():
        yield b""
        if path == "/fork" and os.fork() == 0:
            yield b"child"
        yield b"parent"

    return pieces()
"""


@pytest.fixture(name="edges")
def _edges(make_site: MakeSite) -> Site:
    site = make_site(EDGES)
    site.start()
    return site


def test_head_is_answered_though_the_body_begins_with_nothing(edges: Site) -> None:
    assert edges.ask("/", REQUEST_METHOD="HEAD").status == 200
    assert edges.ask("/").body == b"parent"


def test_write_takes_nothing_too(edges: Site) -> None:
    assert edges.ask("/write").body == b"written"


def test_a_child_forked_in_the_middle_of_a_body_does_not_answer_too(edges: Site) -> None:
    assert edges.ask("/fork").body == b"parent"
    assert edges.ask("/").body == b"parent"


def test_a_slow_visitor_is_waited_for_whatever_time_limit_the_app_sets_for_its_own_sockets(edges: Site) -> None:
    with edges.connect() as connection:
        connection.sendall(fastcgi.encode_request(environ("/large")))
        time.sleep(1)
        assert len(read_all(connection)) > 8_000_000


def test_what_a_program_says_is_in_the_log_also_after_a_rotation(edges: Site) -> None:
    log = edges.log
    for _ in range(12):
        edges.ask("/log")
    assert log.with_name("error.log.1").exists()
    edges.ask("/system")
    assert "said by a program\n" in log.read_text()


def test_a_process_that_starts_again_says_everything_once_and_to_the_web_server_too(edges: Site) -> None:
    assert edges.ask("/").status == 200
    touch(edges)
    wait_until(lambda: edges.log.read_text().count("said at import") == 2)
    assert edges.ask("/").status == 200
    lines = edges.log.read_text().splitlines()
    said = [line for line in lines if "said at import" in line]
    assert len(said) == 2 and all(line.endswith(": said at import") for line in said)
    assert (edges.web.parent / "stderr").read_text().count("said at import") == 2


@pytest.mark.parametrize(
    ("own", "enabled", "threshold"),
    [("", True, gc.get_threshold()[0]), ("gc.disable()", False, gc.get_threshold()[0]), ("gc.set_threshold(7)", True, 7)],
)
def test_the_garbage_collector_is_as_the_app_has_it_and_spares_what_was_imported(
    make_site: MakeSite, own: str, enabled: bool, threshold: int
) -> None:
    site = make_site(
        f"import gc\n{own}\n\ndef app(environ, start):\n    start('200 OK', [])\n"
        "    return [f'{gc.isenabled()} {gc.get_threshold()[0]} {gc.get_freeze_count() > 1000}'.encode()]\n"
    )
    site.start()
    assert site.ask("/").body.decode() == f"{enabled} {threshold} True"


def test_the_runtime_is_imported_without_what_few_apps_need() -> None:
    code = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1])\n"
        "import ocf_flask_runtime; print(*sorted(set(sys.modules) - before))"
    )
    directory = str(Path(__file__).parents[2] / "roles" / "ocf_flask" / "files")
    result = subprocess.run([sys.executable, "-c", code, directory], capture_output=True, text=True, check=True)
    for heavy in ("argparse", "logging", "traceback", "json", "inspect", "tempfile", "ast"):
        assert heavy not in result.stdout.split()
