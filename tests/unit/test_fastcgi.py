"""The FastCGI client believes nothing that it is sent, and never waits for ever."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocf_flask import fastcgi

EXAMPLES = int(os.environ.get("OCF_FLASK_FUZZ_EXAMPLES", "100"))
END = fastcgi.record(fastcgi.END_REQUEST, bytes(8))
PAGE = fastcgi.record(fastcgi.STDOUT, b"Status: 201 Created\r\nX-A: 1\r\nX-A: 2\r\n\r\nbody")


def answer_to(sent: bytes, *, close: bool = True, seconds: float = 5, body: bytes = b"", limit: int = 1000) -> fastcgi.Answer:
    """The client's answer when the other side sends `sent`, whatever it is asked."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        if close:
            theirs.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + seconds
        return fastcgi.request(ours, {"REQUEST_METHOD": "GET"}, body, deadline=deadline, limit=limit)


def test_an_answer_has_status_headers_and_body() -> None:
    answer = answer_to(PAGE + fastcgi.record(fastcgi.STDERR, "ü".encode()) + END)
    assert (answer.status, answer.body, answer.errors) == (201, b"body", "ü")
    assert answer.headers == (("X-A", "1"), ("X-A", "2"))
    assert not answer.truncated


def test_an_answer_without_a_status_is_200() -> None:
    assert answer_to(fastcgi.record(fastcgi.STDOUT, b"A: b\n\n") + END).status == 200


def test_an_answer_without_its_end_is_an_error_at_the_deadline() -> None:
    started = time.monotonic()
    with pytest.raises(fastcgi.NoEnd, match="not ended within") as caught:
        answer_to(PAGE + fastcgi.record(fastcgi.STDERR, b"oops"), close=False, seconds=0.1)
    assert time.monotonic() - started < 2
    assert caught.value.answer is not None
    assert (caught.value.answer.status, caught.value.errors) == (201, "oops")


def test_a_stream_of_errors_that_never_ends_is_an_error_at_the_deadline() -> None:
    ours, theirs = socket.socketpair()

    def flood() -> None:
        noise = fastcgi.record(fastcgi.STDERR, b"x" * 60_000)
        try:
            while True:
                theirs.sendall(noise)
        except OSError:
            pass

    thread = threading.Thread(target=flood)
    thread.start()
    with ours, pytest.raises(fastcgi.NoEnd) as caught:
        fastcgi.request(ours, {}, deadline=time.monotonic() + 0.3)
    thread.join()
    theirs.close()
    assert len(caught.value.errors) <= fastcgi.LONGEST_ERRORS


def test_a_long_answer_is_cut_at_the_limit_without_waiting_for_its_end() -> None:
    answer = answer_to(PAGE + fastcgi.record(fastcgi.STDOUT, b"x" * 5000), close=False, limit=10)
    assert answer.truncated
    assert answer.body == b"bodyxxxxxx"


@pytest.mark.parametrize(
    ("sent", "error", "words"),
    [
        (b"", fastcgi.Closed, "before the request's end"),
        (PAGE, fastcgi.Closed, "before the request's end"),
        (b"\2" + bytes(7), fastcgi.Malformed, "version 2"),
        (END, fastcgi.Malformed, "without an answer"),
        (fastcgi.record(fastcgi.STDOUT, b"rubbish\r\n\r\n"), fastcgi.Malformed, "rubbish"),
        (fastcgi.record(fastcgi.STDOUT, b"Status: x\r\n\r\n"), fastcgi.Malformed, "'.*x'"),
        (fastcgi.record(fastcgi.END_REQUEST, b""), fastcgi.Malformed, "wrong length"),
        (
            fastcgi.record(fastcgi.END_REQUEST, struct.pack("!LB3x", 0, 3)),
            fastcgi.Refused,
            "code 3",
        ),
    ],
)
def test_what_is_no_answer_is_named(sent: bytes, error: type[fastcgi.FastCGIError], words: str) -> None:
    with pytest.raises(error, match=words):
        answer_to(sent)


def test_records_of_other_requests_are_ignored() -> None:
    other = fastcgi.record(fastcgi.STDOUT, b"no header", request_id=2)
    assert answer_to(other + PAGE + other + END).body == b"body"


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(fastcgi.record, st.integers(0, 12), st.binary(max_size=40), st.integers(0, 2)),
            st.sampled_from([PAGE, END, PAGE[:-3]]),
        ),
        max_size=8,
    )
)
def test_whatever_is_sent_gives_an_answer_or_one_of_the_errors(parts: list[bytes]) -> None:
    try:
        answer = answer_to(b"".join(parts))
    except fastcgi.FastCGIError:
        return
    assert 0 <= answer.status <= 999


def test_an_answer_that_comes_while_the_body_is_still_being_sent_is_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(PAGE + END)
        deadline = time.monotonic() + 5
        assert fastcgi.request(ours, {}, b"x" * 5_000_000, deadline=deadline).status == 201


@pytest.mark.parametrize("sent", [PAGE + END, PAGE])
def test_what_came_before_the_connection_was_closed_in_the_middle_of_the_request_is_read(sent: bytes) -> None:
    """Between the moment at which it could be sent to, and the sending, the other side may have gone."""
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(sent)
        theirs.close()
        exchange = fastcgi._Exchange(ours, time.monotonic() + 5, 1000)
        if sent.endswith(END):
            assert exchange._send(memoryview(b"x")) == 0
            assert exchange.answer().status == 201
        else:
            with pytest.raises(fastcgi.Closed, match="the connection was closed"):
                exchange._send(memoryview(b"x"))
