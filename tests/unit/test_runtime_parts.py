"""Parts of the runtime by themselves, where a request would show too little."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fuzz_runtime import runtime
from runtime_site import RUNTIME, SECONDS

DIRECTORY = "/home/a/public_html/s"
SITE = SimpleNamespace(directory=DIRECTORY)
Headers = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("script", "info", "more", "expected"),
    [
        # Rewritten: REDIRECT_URL is the path as the visitor gave it.
        ("/~a/s/run.fcgi", "", {"REDIRECT_URL": "/~a/s"}, ("/~a/s", "/")),
        ("/~a/s/run.fcgi", "/x", {"REDIRECT_URL": "/~a/s/x"}, ("/~a/s", "/x")),
        ("/~a/s/run.fcgi", "/x", {"REDIRECT_URL": "/~a/sister"}, ("/~a/s", "/x")),
        ("/~a/s/run.fcgi", "/run.fcgi/x", {}, ("/~a/s", "/x")),
        ("/~a/s/run.fcgi", "/run.fcgi", {}, ("/~a/s", "/")),
        ("/~a/s/run.fcgi", "/run.fcgix", {}, ("/~a/s", "/run.fcgix")),
        ("/~a/s/", "x", {}, ("/~a/s", "x")),
        ("/run.fcgi", "/x", {}, ("", "/x")),
        # Not rewritten.
        ("/~a/s/d/x", "", {"SCRIPT_FILENAME": f"{DIRECTORY}/d/x"}, ("/~a/s", "/d/x")),
        ("/~a/s/d", "/x", {"SCRIPT_FILENAME": f"{DIRECTORY}/d"}, ("/~a/s", "/d/x")),
        ("/~a/sister/d", "/x", {"SCRIPT_FILENAME": f"{DIRECTORY}ister/d"}, ("/~a/sister/d", "/x")),
        ("/~a/s/e", "/x", {"SCRIPT_FILENAME": f"{DIRECTORY}/d"}, ("/~a/s/e", "/x")),
        ("/~a/s", "", {}, ("/~a/s", "/")),
        ("", "", {}, ("", "/")),
    ],
)
def test_script_name_is_the_sites_prefix(script: str, info: str, more: dict[str, str], expected: tuple[str, str]) -> None:
    environ = {"SCRIPT_NAME": script, "PATH_INFO": info, **more}
    runtime.correct_paths(environ, SITE)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected


@pytest.mark.parametrize(
    ("given", "scheme"),
    [({}, "http"), ({"HTTPS": "on"}, "https"), ({"HTTPS": "ON"}, "https"), ({"HTTPS": "1"}, "https"), ({"HTTPS": "off"}, "http")],
)
def test_the_scheme_is_the_servers(given: dict[str, str], scheme: str) -> None:
    environ = runtime.complete_environ(given, io.BytesIO(), io.StringIO())
    assert environ["wsgi.url_scheme"] == scheme and environ["wsgi.input"].read(1) == b""


class Answer:
    """What a response hands to the server."""

    def __init__(self, method: str = "GET") -> None:
        self.status, self.headers, self.body, self.errors = "", [], b"", io.StringIO()
        self.response = runtime.Response({"REQUEST_METHOD": method, "wsgi.errors": self.errors}, self._start)

    def _start(self, status: str, headers: Headers) -> Any:
        self.status, self.headers = status, headers
        return self._write

    def _write(self, data: bytes) -> None:
        self.body += data

    def give(self, status: str, headers: Headers, parts: Iterable[bytes] = (b"x",)) -> dict[str, str]:
        write = self.response.start_response(status, headers)
        for part in parts:
            write(part)
        if not self.response.begun:
            self.response.begin(only=b"")
        return {name.lower(): value for name, value in self.headers}


@pytest.mark.parametrize(("status", "stays"), [("200 OK", False), ("201 Created", True), ("302 Found", True), ("404 Not Found", True)])
def test_location_is_left_out_where_apache_would_answer_with_that_page(status: str, stays: bool) -> None:
    assert ("location" in Answer().give(status, [("Location", "/x")])) is stays


@pytest.mark.parametrize(
    "name", ["Connection", "keep-alive", "Status", "TE", "Trailer", "trailers", "Transfer-Encoding", "Upgrade", "Proxy-Authenticate"]
)
def test_headers_of_the_connection_are_the_servers(name: str) -> None:
    assert Answer().give("200 OK", [(name, "x"), ("X-" + name, "x")]) == {f"x-{name.lower()}": "x"}


@pytest.mark.parametrize(
    ("status", "length"), [("200 OK", "0"), ("204 No Content", None), ("304 Not Modified", None), ("404 Not Found", "0")]
)
def test_an_answer_that_has_no_body_gets_no_length(status: str, length: str | None) -> None:
    answer = Answer()
    assert answer.give(status, [], parts=()).get("content-length") == length
    assert answer.response.complete is (length is None)


@pytest.mark.parametrize(("method", "complete"), [("GET", False), ("HEAD", True)])
def test_nothing_of_a_body_is_sent_for_head(method: str, complete: bool) -> None:
    answer = Answer(method)
    answer.give("200 OK", [("Content-Length", "6")], [b"abc"])
    assert (answer.body == b"", answer.response.complete) == (complete, complete)


def test_what_is_longer_than_its_length_is_cut_off_and_ends_the_answer() -> None:
    answer = Answer()
    answer.give("200 OK", [("Content-Length", "4")], [b"abc", b"def", b"ghi"])
    assert answer.body == b"abcd" and answer.response.complete and answer.errors.getvalue().count("cut off") == 1


def test_a_header_is_as_long_as_apache_takes_with_its_name() -> None:
    longest = runtime.LONGEST_HEADER - len("X-A") - 2
    assert Answer().give("200 OK", [("X-A", "v" * longest)])["x-a"] == "v" * longest
    with pytest.raises(ValueError, match="longer than the 8189 bytes"):
        Answer().give("200 OK", [("X-A", "v" * (longest + 1))])


@pytest.mark.parametrize("status", ["200", "200 OK", "599 Own"])
def test_a_status_is_taken(status: str) -> None:
    assert runtime.checked_status(status) == status


def test_a_reason_is_no_longer_than_apache_takes_of_a_line() -> None:
    assert runtime.checked_status("404 " + "no " * 5000) == ("404 " + "no " * 5000)[: runtime.LONGEST_HEADER - len("Status: ")]


@pytest.mark.parametrize("status", ["", "20 OK", "2000 OK", "200OK", "103 Early Hints", "200 OK\n", "200 O\rK", "200 O\x7fK"])
def test_a_status_is_refused(status: str) -> None:
    with pytest.raises(ValueError, match="is no status"):
        runtime.checked_status(status)


@pytest.mark.parametrize(
    ("number", "gone"), [(errno.ENOENT, True), (errno.ENOTDIR, True), (errno.ESTALE, True), (errno.EIO, False), (errno.EACCES, False)]
)
def test_a_file_server_that_has_hiccups_ends_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, gone: bool) -> None:
    script = tmp_path / "run.fcgi"
    script.touch()
    watch = runtime.Watch(str(script))
    assert not watch.changed()

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(runtime.os, "stat", fail)
    assert watch.changed() is gone


@pytest.mark.parametrize(("daemon", "kept"), [(True, False), (False, True)])
def test_only_threads_that_python_waits_for_keep_a_process(daemon: bool, kept: bool) -> None:
    end = threading.Event()
    before = runtime.has_threads()
    thread = threading.Thread(target=end.wait, daemon=daemon)
    thread.start()
    try:
        assert runtime.has_threads() is (before or kept)
    finally:
        end.set()
        thread.join()


def application(**config: object) -> Any:
    app = runtime.Application(lambda environ, start: [], SITE, SimpleNamespace(text=io.StringIO()))
    app._config = config
    return app


@pytest.mark.parametrize("root", [None, "/"])
def test_cookies_are_confined_to_the_site_of_each_request(root: str | None) -> None:
    app = application(APPLICATION_ROOT=root, SESSION_COOKIE_PATH=None)
    for prefix, path in (("/~a/s", "/~a/s"), ("", "/")):
        app._confine_cookie({"SCRIPT_NAME": prefix})
        assert app._config["SESSION_COOKIE_PATH"] == app._config["REMEMBER_COOKIE_PATH"] == path


@pytest.mark.parametrize("config", [{"APPLICATION_ROOT": "/own", "SESSION_COOKIE_PATH": None}, {"SESSION_COOKIE_PATH": "/own"}])
def test_cookies_that_the_app_has_confined_stay_so(config: dict[str, Any]) -> None:
    app = application(**config)
    app._confine_cookie({"SCRIPT_NAME": "/~a/s"})
    assert app._config["SESSION_COOKIE_PATH"] == config["SESSION_COOKIE_PATH"]


def test_a_log_that_another_process_has_rotated_is_not_rotated_again(tmp_path: Path) -> None:
    log = runtime.Log(str(tmp_path))
    log.write("a", b"1")
    with log._open() as stale:
        log.write("a", b"2")
        os.rename(log.path, f"{log.path}.1")
        log.write("b", b"3")
        log._rotate(stale.fileno())
    assert sorted(os.listdir(tmp_path)) == ["error.log", "error.log.1"]
    assert "b: 3" in Path(log.path).read_text()


def test_a_log_that_another_process_is_rotating_is_left_to_it(tmp_path: Path) -> None:
    log = runtime.Log(str(tmp_path))
    log.write("a", b"1")
    with log._open() as theirs, log._open() as ours:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        log._rotate(ours.fileno())
        assert os.listdir(tmp_path) == ["error.log"]
        fcntl.flock(theirs, fcntl.LOCK_UN)
        log._rotate(ours.fileno())
    assert os.listdir(tmp_path) == ["error.log.1"]


@pytest.fixture(name="listener")
def _listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        yield listener


def a_loop(listener: socket.socket) -> Any:
    (directory,) = Path(listener.getsockname()).parents[:1]
    (directory / "run.fcgi").touch()
    return runtime.Loop(listener, runtime.Watch(str(directory / "run.fcgi")))


def test_a_web_server_that_falls_silent_is_given_up(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.SILENCE_SECONDS == 40, "as long as mod_fcgid waits"
    monkeypatch.setattr(runtime, "SILENCE_SECONDS", 1)
    errors = SimpleNamespace(text=io.StringIO(), attach=lambda *_: None, detach=lambda: None)
    responder = runtime.Responder(lambda environ, start: [], errors)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(listener.getsockname())
        served = threading.Thread(target=a_loop(listener)._serve_next, args=(responder,), daemon=True)
        served.start()
        served.join(SECONDS)
        assert not served.is_alive()


def test_a_child_that_the_app_forks_has_neither_the_socket_nor_the_handler(listener: socket.socket) -> None:
    loop = a_loop(listener)
    before = signal.signal(signal.SIGTERM, loop.drain)
    try:
        loop.leave()
        assert listener.fileno() == -1
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_the_web_server_left_open_is_closed_and_nothing_else() -> None:
    ask = "import os, ocf_flask_runtime as it; own = os.open('.', 0); it.close_inherited_descriptors(); print(os.listdir('/proc/self/fd'), own)"
    reading, writing = os.pipe()
    try:
        os.set_inheritable(writing, True)
        command = [sys.executable, "-c", ask]
        said = subprocess.run(command, pass_fds=(writing,), cwd=RUNTIME.parent, capture_output=True, text=True, check=True).stdout
    finally:
        os.close(reading)
        os.close(writing)
    there, _, own = said.strip().rpartition(" ")
    assert repr(own) in there and repr(str(writing)) not in there
    assert all(repr(number) in there for number in "012")
