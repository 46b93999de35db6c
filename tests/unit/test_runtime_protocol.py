"""The FastCGI side of the runtime, record by record, in process."""

from __future__ import annotations

import io
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz_runtime import APPS, BEGIN, END, FakeSocket, check, peer, runtime
from ocf_flask import fastcgi
from runtime_site import Site

EXAMPLES = int(os.environ.get("OCF_FLASK_FUZZ_EXAMPLES", "200"))
REQUEST = fastcgi.encode_request({"REQUEST_METHOD": "GET"}, b"body")


class Errors:
    """What a responder needs of an error stream."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def report(self, error: BaseException) -> None:
        raise error


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
    body = environ["wsgi.input"].read()
    start("200 OK", [("X-Method", environ["REQUEST_METHOD"])])
    yield b"got " + body


def converse(received: bytes) -> bytes:
    """What the runtime sends to `received`."""
    fake = FakeSocket(received)
    runtime.Responder(application, Errors())(fake)
    return bytes(fake.sent)


def records(data: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    while data:
        _, kind, request_id, length, padding = struct.unpack_from("!BBHHBx", data)
        found.append((kind, request_id, data[8 : 8 + length]))
        data = data[8 + length + padding :]
    return found


def kinds(data: bytes) -> list[int]:
    return [kind for kind, _, _ in records(data)]


def test_a_request_is_answered_and_ended() -> None:
    assert records(converse(REQUEST)) == [
        (6, 1, b"Status: 200 OK\r\nX-Method: GET\r\n\r\ngot body"),
        (6, 1, b""),
        (3, 1, bytes(8)),
    ]


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param(fastcgi.record(9, b"", 0), id="a management record"),
        pytest.param(fastcgi.record(1, struct.pack("!HB5x", 2, 0)), id="another role than responder"),
        pytest.param(fastcgi.record(1, b"\0\1"), id="a short BEGIN_REQUEST"),
        pytest.param(fastcgi.record(1, BEGIN, 2), id="another number than 1"),
        pytest.param(fastcgi.record(1, BEGIN) * 2, id="a request in another"),
        pytest.param(fastcgi.record(1, BEGIN) + fastcgi.record(2, b""), id="ABORT_REQUEST"),
        pytest.param(fastcgi.record(1, BEGIN) + fastcgi.record(4, b"x" * 60_000) * 100, id="endless parameters"),
        pytest.param(fastcgi.record(1, BEGIN) + fastcgi.stream(4, b"\x05\x05ab"), id="parameters that do not add up"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", id="HTTP"),
    ],
)
def test_what_mod_fcgid_never_sends_ends_the_connection(strange: bytes) -> None:
    assert converse(strange + REQUEST) == b""


def test_a_request_broken_off_in_its_body_is_ended() -> None:
    sent = converse(REQUEST[:-8] + fastcgi.record(2, b""))
    assert sent.endswith(END)


def test_long_names_and_values_arrive() -> None:
    pairs = {"A" * 127: "1" * 128, "B" * 200: "", "": "x", "C": "\xff" * 70_000}
    encoded = b"".join(fastcgi._pair(name, value) for name, value in pairs.items())
    assert runtime.decode_params(encoded) == pairs


def test_a_body_in_padded_records_arrives() -> None:
    padded = struct.pack("!BBHHBx", 1, 5, 1, 3, 5) + b"abc" + bytes(5)
    assert b"got abcabc" in converse(REQUEST[: -(8 + 4 + 8)] + padded * 2 + fastcgi.record(5, b""))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=48), st.sampled_from(APPS))
def test_nothing_that_is_received_hangs_or_kills_it(script: bytes, app: Callable[..., Any]) -> None:
    check(peer(script), app)


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(
    st.dictionaries(st.text("ABC_", max_size=150), st.text(max_size=150), max_size=3),
    st.binary(max_size=300),
)
def test_parameters_and_body_are_those_that_flup_finds(params: dict[str, str], body: bytes) -> None:
    flup = pytest.importorskip("flup.server.fcgi_base")
    encoded = fastcgi.encode_request(params, body)
    connection = runtime.Connection(None, FakeSocket(encoded).makefile("rb", 65_536))
    received = connection.receive_params(), runtime.Body(connection).readall()
    assert received == (flup_params(flup, encoded), body)


def flup_params(flup: Any, encoded: bytes) -> dict[str, str]:
    params, at = {}, 0
    content = b"".join(content for kind, _, content in records(encoded) if kind == 4)
    while at < len(content):
        # flup6 unpacks a length's first byte as signed, which serves as well.
        at, (name, value) = flup.decode_pair(content, at)
        params[name.decode("latin-1")] = value.decode("latin-1")
    return params


def test_a_real_process_outlives_rubbish_and_peers_that_leave(
    make_site: Callable[..., Site],
) -> None:
    site = make_site("def app(environ, start):\n    start('200 OK', [])\n    return [b'ok']\n")
    process = site.start()
    for rubbish in (b"", b"GET / HTTP/1.0\r\n\r\n", REQUEST[:20], REQUEST[:-4], b"\1" * 100):
        with site.connect() as connection:
            connection.sendall(rubbish)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1000):
                pass
    assert site.ask("/").body == b"ok"
    assert process.poll() is None


def test_the_output_is_locked_against_threads() -> None:
    ours, theirs = socket.socketpair()
    connection = runtime.Connection(ours, None)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.extend(iter(lambda: theirs.recv(9000), b"")))
    reader.start()
    errors = runtime.RequestErrors(connection)

    def send(kind: int) -> None:
        for _ in range(200):
            (connection.write if kind == 6 else errors.write)(bytes([kind]) * 30_000)

    threads = [threading.Thread(target=send, args=(kind,)) for kind in (6, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours.close()
    reader.join()
    theirs.close()
    found = records(b"".join(received))
    assert all(set(content) == {kind} for kind, _, content in found)
    assert sum(len(content) for _, _, content in found) == 12_000_000
