"""Asking the real URL, answered here by a server of our own."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ocf_flask import live

TOKEN = "t" * 64
OLD, NEW = "20261124-034512", "20261124-050000"
Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    class Answering(Handler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    listening.daemon_threads = True
    # The default makes shutdown wait half a second.
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}/~alice/flasky/"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def release(identity: str) -> Answer:
    """As the runtime answers, to one who has the token."""

    def answer(handler: Handler) -> None:
        known = handler.headers["OCF-Flask-Token"] == TOKEN and handler.path == "/~alice/flasky/"
        handler.send_response(200)
        if known:
            handler.send_header("OCF-Flask-Release", identity)
        handler.end_headers()
        handler.wfile.write(f"{identity}\n".encode() if known else b"Hello World")

    return answer


def status(number: int, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(number)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(b"<html>")

    return answer


def one_after_the_other(*answers: Answer) -> Answer:
    left = list(answers)

    def answer(handler: Handler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return answer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_PATIENCE", 1.0)
    monkeypatch.setattr(live, "_BETWEEN", 0.02)
    monkeypatch.setattr(live, "_SETTLED", 0.3)


@pytest.fixture
def nobody() -> str:
    """A URL where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


def test_the_release_that_serves_says_so() -> None:
    with server(release(NEW)) as url:
        assert live.ask(url, TOKEN) == live.Reply(release=NEW, status=200)


def test_without_the_right_token_there_is_no_release_to_learn() -> None:
    with server(release(NEW)) as url:
        reply = live.ask(url, "wrong")
    assert reply == live.Reply(status=200)
    assert reply.sentence() == "answers 200, but not as this site"


@pytest.mark.parametrize(
    ("answer", "sentence", "broken"),
    [
        (status(500), "answers 500, but not as this site", True),
        (status(503), "answers 503, but not as this site", True),
        (status(404), "answers 404, but not as this site", False),
        (status(401), "answers 401, so the release could not be asked for", False),
        (status(403), "answers 403, so the release could not be asked for", False),
        (
            status(302, Location="https://login.example.edu/"),
            "redirects to https://login.example.edu/, so the release could not be asked for",
            False,
        ),
    ],
)
def test_another_answer_is_described(answer: Answer, sentence: str, broken: bool) -> None:
    with server(answer) as url:
        reply = live.ask(url, TOKEN)
    assert (reply.sentence(), reply.broken, reply.release) == (sentence, broken, "")


def test_a_redirect_does_not_take_the_token_elsewhere() -> None:
    asked: list[str] = []

    def elsewhere(handler: Handler) -> None:
        asked.append(handler.path)
        status(200)(handler)

    with server(elsewhere) as other, server(status(302, Location=other)) as url:
        live.ask(url, TOKEN)
    assert asked == []


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/", "http://127.0.0.1:99999/", "http://a..b/", "http://[::1/"])
def test_a_url_that_leads_nowhere_is_a_sentence_and_no_error(url: str) -> None:
    reply = live.ask(url, TOKEN)
    assert reply.problem
    assert reply.sentence().startswith("not reached from here: ")


def test_a_refused_connection_is_said(nobody: str) -> None:
    assert live.ask(nobody, TOKEN).sentence() == "not reached from here: no web server answers there"


def test_a_server_that_never_answers_costs_a_while_and_no_more() -> None:
    gone = threading.Event()
    with server(lambda handler: [gone.wait(20)] and None) as url:
        start = time.monotonic()
        reply = live.ask(url, TOKEN)
        assert 0.9 < time.monotonic() - start < 3
        gone.set()
    assert reply.sentence() == "not reached from here: no answer within 1 s"


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_server_that_answers_a_byte_now_and_then_costs_no_more_either(part: str) -> None:
    gone = threading.Event()

    def drip(handler: Handler) -> None:
        if part == "body":
            handler.send_response(200)
            handler.end_headers()
        try:
            while not gone.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            pass

    with server(drip) as url:
        start = time.monotonic()
        reply = live.ask(url, TOKEN)
        assert time.monotonic() - start < 3
        gone.set()
    # A body that does not end is an answer all the same: its status is known.
    assert reply == (live.Reply(problem="no answer within 1 s") if part == "headers" else live.Reply(status=200))


def test_what_is_no_http_is_a_problem_and_no_error() -> None:
    with server(lambda handler: [handler.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")] and None) as url:
        assert live.ask(url, TOKEN).problem


def test_https_asked_of_a_plain_server_is_a_problem_and_no_error() -> None:
    with server(release(NEW)) as url:
        assert live.ask(url.replace("http:", "https:"), TOKEN).problem


def test_the_new_release_is_waited_for_while_the_old_one_answers() -> None:
    with server(one_after_the_other(*[release(OLD)] * 30, release(NEW))) as url:
        before = live.ask(url, TOKEN)
        reply = live.wait_for(url, TOKEN, NEW, before=before, seconds=20)
    assert reply.release == NEW


def test_the_old_release_is_told_when_the_time_is_up() -> None:
    with server(release(OLD)) as url:
        start = time.monotonic()
        reply = live.wait_for(url, TOKEN, NEW, before=live.Reply(release=OLD), seconds=0.5)
    assert reply.release == OLD
    assert 0.5 <= time.monotonic() - start < 2


def test_an_error_that_passes_is_waited_out() -> None:
    with server(one_after_the_other(status(503), status(500), release(NEW))) as url:
        assert live.wait_for(url, TOKEN, NEW, before=live.Reply(release=OLD), seconds=20).release == NEW


@pytest.mark.parametrize("number", [500, 404, 401])
def test_an_answer_that_stays_is_not_waited_for_long(number: int) -> None:
    with server(status(number)) as url:
        start = time.monotonic()
        reply = live.wait_for(url, TOKEN, NEW, before=live.Reply(), seconds=60)
    assert reply.status == number
    assert time.monotonic() - start < 2


def test_a_server_that_was_not_there_before_is_not_waited_for(nobody: str) -> None:
    start = time.monotonic()
    reply = live.wait_for(nobody, TOKEN, NEW, before=live.ask(nobody, TOKEN), seconds=60)
    assert reply.problem
    assert time.monotonic() - start < 0.25


def hanging(gone: threading.Event) -> Answer:
    return lambda handler: [gone.wait(20)] and None


def test_no_answer_after_an_error_is_that_error() -> None:
    """mod_fcgid lets visitors wait for a program that failed a few times."""
    gone = threading.Event()
    with server(one_after_the_other(status(500), hanging(gone))) as url:
        reply = live.wait_for(url, TOKEN, NEW, before=live.Reply(release=OLD), seconds=60)
        gone.set()
    assert reply == live.Reply(status=500)


def test_a_site_that_answered_before_is_waited_for_when_it_does_not() -> None:
    gone = threading.Event()
    with server(one_after_the_other(hanging(gone), release(NEW))) as url:
        assert live.wait_for(url, TOKEN, NEW, before=live.Reply(release=OLD), seconds=20).release == NEW
        gone.set()


def test_a_site_that_answered_before_and_never_again_is_told_as_that(nobody: str) -> None:
    reply = live.wait_for(nobody, TOKEN, NEW, before=live.Reply(release=OLD), seconds=0.5)
    assert reply.problem and not reply.broken
