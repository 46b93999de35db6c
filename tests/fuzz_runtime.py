"""Malformed and hostile FastCGI records, and what must hold whatever is received.

The unit tests take a few hundred cases. ``make fuzz`` takes a million, which Atheris (libFuzzer) chooses by
what they reach in the runtime, and leaves one that fails in ``build/``: ``make fuzz ARGS=build/crash-...`` takes
that one again. ARGS can be any of libFuzzer's options.
"""

from __future__ import annotations

import importlib
import io
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ocf_flask import fastcgi
from runtime_site import environ, import_runtime

BUILD = Path(__file__).resolve().parents[1] / "build"
FUZZING = __name__ == "__main__"
if FUZZING:
    import atheris

    with atheris.instrument_imports(include=["ocf_flask_runtime"]):
        runtime: Any = importlib.import_module("ocf_flask_runtime")
else:
    runtime = import_runtime()
BEGIN = struct.pack("!HB5x", 1, 0)
END = fastcgi.record(fastcgi.END_REQUEST, bytes(8))
SEEDS = (
    fastcgi.encode_request({"REQUEST_METHOD": "GET"}, b"body"),
    fastcgi.encode_request(environ(), b"line\n" * 20),
    fastcgi.encode_request(environ("/", REQUEST_METHOD="HEAD", CONTENT_LENGTH="-1")),
    fastcgi.record(1, BEGIN) + fastcgi.record(4, b""),
    fastcgi.record(1, BEGIN),
    fastcgi.stream(4, b"\x01\x01ab"),
    fastcgi.stream(5, b"x" * 70_000),
)
BYTES = (0, 1, 2, 3, 4, 5, 8, 9, 127, 128, 255)


class FakeSocket:
    """A connection whose peer has sent everything and takes everything."""

    def __init__(self, received: bytes) -> None:
        self.received = received
        self.sent = bytearray()

    def makefile(self, mode: str, size: int) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self.received), size)  # type: ignore[arg-type]

    def sendmsg(self, buffers: list[Any], *_: object) -> int:
        data = b"".join(buffers)
        self.sent += data
        return len(data)


class Strict(runtime.ErrorStream):  # type: ignore[misc, name-defined]
    """The responder's own error stream: an error that it reports is a mistake of the runtime."""

    def _emit(self, text: bytes) -> None:
        """Say nothing."""

    def report(self, error: BaseException) -> None:
        raise error


def reads(environ: dict[str, Any], start: Any) -> list[bytes]:
    start("200 OK", [("X-Method", environ["REQUEST_METHOD"])])
    return [b"got " + environ["wsgi.input"].read()]


def reads_lines(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
    write = start("200 OK", [("Content-Length", "9")])
    write(b"lines: ")
    yield from environ["wsgi.input"]


def reads_nothing(environ: dict[str, Any], start: Any) -> list[bytes]:
    start("204 No Content", [])
    return [b"nothing"]


def fails(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
    start("200 OK", [])
    print(environ["wsgi.input"].read(3), file=environ["wsgi.errors"])
    yield b"one"
    raise SystemExit


APPS: tuple[Callable[..., Any], ...] = (reads, reads_lines, reads_nothing, fails)


def peer(script: bytes) -> bytes:
    """What a peer sends, put together as the bytes of `script` say: requests, records, and changes to both."""
    steps = iter(script)
    sent = bytearray()
    for step in steps:
        number, at = next(steps, 0), next(steps, 0) * max(len(sent), 1) // 256
        if step % 8 < 2:
            sent += SEEDS[number % len(SEEDS)]
        elif step % 8 == 2:
            sent += struct.pack("!BBHHBx", 1 - (number == 255), number % 13, step // 128, at % 300, number // 64) + bytes(at % 300)
        elif step % 8 == 3:
            sent[at:at] = script[: number % 32]
        elif step % 8 == 4:
            del sent[at : at + number % 32]
        elif step % 8 == 5:
            del sent[len(sent) - number :]
        elif sent:
            sent[at] = number if step % 8 == 6 else BYTES[number % len(BYTES)]
    return bytes(sent)


SITE = runtime.Site("/nowhere/run.fcgi", "/nowhere/releases/1", "/nowhere")
# Each has a descriptor of its own.
ERRORS, STRICT = runtime.ErrorStream(SITE), Strict(SITE)


def check(received: bytes, app: Callable[..., Any]) -> None:
    """Whatever is received, the runtime returns; nothing it has sent lacks its end, and all of it is FastCGI."""
    fake = FakeSocket(received)
    runtime.Responder(runtime.Application(app, SITE, ERRORS), STRICT)(fake)
    sent = bytes(fake.sent)
    assert not sent or sent.endswith(END)
    while sent:
        version, kind, request_id, length, padding = struct.unpack_from("!BBHHBx", sent)
        assert (version, request_id, padding) == (1, 1, 0)
        assert kind in (3, 6, 7)
        assert (kind == 3) == (len(sent) == 8 + length)
        sent = sent[8 + length :]


def main() -> None:
    """Take a million cases, or what libFuzzer's options say; it exits 0 when none fails."""

    def one(case: bytes) -> None:
        check(peer(case[1:]), APPS[case[0] % len(APPS)] if case else reads)

    options = ["-runs=1000000", "-max_len=64", "-timeout=20", f"-artifact_prefix={BUILD}/", "-print_final_stats=1"]
    BUILD.mkdir(exist_ok=True)
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], one)
    atheris.Fuzz()


if FUZZING:
    main()
