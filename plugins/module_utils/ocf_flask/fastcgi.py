"""Ask a FastCGI application one question, as mod_fcgid does.

The deploy's smoke test and the tests use it: it makes one request on a connected
socket, requires its end before a deadline, and believes nothing that it is sent.
Record layouts are from the FastCGI specification, version 1.0, section 8.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
RESPONDER = 1
REQUEST_ID = 1
LONGEST_CONTENT = 65_528
LONGEST_HEADERS = 1_000_000
LONGEST_ERRORS = 1_000_000

_header = struct.Struct("!BBHHBx")


@dataclass(frozen=True)
class Answer:
    """What the application said; `body` is at most the limit long."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    truncated: bool
    errors: str
    seconds: float


class FastCGIError(Exception):
    """There was no proper answer.

    `answer` is what came of it, if its headers were complete; `errors` is the
    text of its error stream so far.
    """

    def __init__(self, message: str, answer: Answer | None = None, errors: str = "") -> None:
        super().__init__(message)
        self.answer = answer
        self.errors = errors


class NoEnd(FastCGIError):
    """The request was not ended before the deadline: visitors would wait."""


class Closed(FastCGIError):
    """The connection was closed before the request was ended."""


class Malformed(FastCGIError):
    """What was sent is not FastCGI, or not the answer of a CGI program."""


class Refused(FastCGIError):
    """The application ended the request without having handled it."""


def request(
    connection: socket.socket,
    environ: Mapping[str, str],
    body: bytes = b"",
    *,
    deadline: float,
    limit: int = 1_000_000,
) -> Answer:
    """Make one request; `deadline` is a time of `time.monotonic`.

    `environ` has native strings as in PEP 3333, or any others, which are sent as
    UTF-8. When the body is longer than `limit` bytes, reading stops and the
    answer is `truncated`. Raises `NoEnd`, `Closed`, `Malformed` or `Refused`.
    """
    exchange = _Exchange(connection, deadline, limit)
    connection.setblocking(False)
    exchange.run(memoryview(encode_request(environ, body)))
    return exchange.answer()


def encode_request(environ: Mapping[str, str], body: bytes = b"", *, flags: int = 0) -> bytes:
    """All records of a request."""
    params = b"".join(_pair(name, value) for name, value in environ.items())
    begin = struct.pack("!HB5x", RESPONDER, flags)
    return b"".join(
        (record(BEGIN_REQUEST, begin), stream(PARAMS, params), stream(STDIN, body)),
    )


def record(kind: int, content: bytes, request_id: int = REQUEST_ID) -> bytes:
    return _header.pack(1, kind, request_id, len(content), 0) + content


def stream(kind: int, data: bytes) -> bytes:
    """`data` as records, and the empty one that ends a stream."""
    starts = range(0, len(data), LONGEST_CONTENT)
    records = [record(kind, data[at : at + LONGEST_CONTENT]) for at in starts]
    return b"".join((*records, record(kind, b"")))


def _pair(name: str, value: str) -> bytes:
    encoded = _encoded(name), _encoded(value)
    sizes = [len(part) for part in encoded]
    lengths = [bytes([n]) if n < 128 else struct.pack("!L", n | 1 << 31) for n in sizes]
    return b"".join((*lengths, *encoded))


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


class _Exchange:
    """One request on its way: sends and receives at once, so that nobody waits for us."""

    def __init__(self, connection: socket.socket, deadline: float, limit: int) -> None:
        self._connection = connection
        self._started = time.monotonic()
        self._deadline = deadline
        self._limit = limit
        self._received = bytearray()
        self._output = bytearray()
        self._errors = bytearray()
        self._head: tuple[int, tuple[tuple[str, str], ...]] | None = None
        self._ended = self._truncated = False

    def run(self, outgoing: memoryview) -> None:
        while not self._ended and not self._truncated:
            readable, writable = self._wait(bool(outgoing))
            if readable:
                self._receive()
            if writable and not self._ended:
                outgoing = outgoing[self._send(outgoing) :]

    def _wait(self, sending: bool) -> tuple[bool, bool]:
        seconds = self._deadline - time.monotonic()
        poller = select.poll()
        poller.register(self._connection, select.POLLIN | (select.POLLOUT if sending else 0))
        ready = poller.poll(seconds * 1000) if seconds > 0 else []
        if not ready:
            waited = time.monotonic() - self._started
            raise self._failure(NoEnd, f"the request was not ended within {waited:.1f} s")
        events = ready[0][1]
        return bool(events & ~select.POLLOUT), sending and bool(events & select.POLLOUT)

    def _send(self, outgoing: memoryview) -> int:
        try:
            return self._connection.send(outgoing[:1_000_000])
        except BlockingIOError:
            return 0
        except OSError as error:
            # An answer may have been sent before the connection was closed.
            self._receive()
            if self._ended:
                return 0
            raise self._failure(Closed, f"the connection was closed: {error}") from error

    def _receive(self) -> None:
        try:
            data = self._connection.recv(262_144)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._failure(Closed, f"the connection was closed: {error}") from error
        if not data:
            raise self._failure(Closed, "the connection was closed before the request's end")
        self._received += data
        self._take_records()

    def _take_records(self) -> None:
        """Handle the complete records among what was received."""
        at = 0
        while len(self._received) - at >= _header.size and not self._ended:
            version, kind, request_id, length, padding = _header.unpack_from(self._received, at)
            if version != 1:
                raise self._failure(Malformed, f"a FastCGI record of version {version}")
            content = at + _header.size
            if len(self._received) < content + length + padding:
                break
            if request_id == REQUEST_ID:
                self._take(kind, bytes(self._received[content : content + length]))
            at = content + length + padding
        del self._received[:at]

    def _take(self, kind: int, content: bytes) -> None:
        if kind == STDOUT:
            self._output += content
            self._check_output()
        elif kind == STDERR:
            self._errors += content[: LONGEST_ERRORS - len(self._errors)]
        elif kind == END_REQUEST:
            self._end(content)

    def _check_output(self) -> None:
        if self._head is None:
            self._head = self._take_head()
        if self._head is None and len(self._output) > LONGEST_HEADERS:
            raise self._failure(Malformed, "the answer's headers do not end")
        if self._head is not None and len(self._output) > self._limit:
            del self._output[self._limit :]
            self._truncated = True

    def _take_head(self) -> tuple[int, tuple[tuple[str, str], ...]] | None:
        """Cut the header block from the output; None if it is not complete."""
        ends = [(self._output.find(end), len(end)) for end in (b"\r\n\r\n", b"\n\n")]
        found = [end for end in ends if end[0] >= 0]
        if not found:
            return None
        start, size = min(found)
        block = self._output[:start].decode("latin-1")
        del self._output[: start + size]
        return self._parsed(block)

    def _parsed(self, block: str) -> tuple[int, tuple[tuple[str, str], ...]]:
        status, headers = 200, []
        for line in block.replace("\r\n", "\n").split("\n"):
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise self._failure(Malformed, f"the answer has the header line {line[:200]!r}")
            if name.lower() != "status":
                headers.append((name, value.strip()))
            elif value.strip()[:3].isdecimal():
                status = int(value.strip()[:3])
            else:
                raise self._failure(Malformed, f"the answer has the status {value[:200]!r}")
        return status, tuple(headers)

    def _end(self, content: bytes) -> None:
        if len(content) != 8:
            raise self._failure(Malformed, "an END_REQUEST record of a wrong length")
        if content[4]:
            raise self._failure(Refused, f"the request was refused, with code {content[4]}")
        self._ended = True

    def answer(self) -> Answer:
        if self._head is None:
            raise self._failure(Malformed, "the request was ended without an answer")
        status, headers = self._head
        seconds = time.monotonic() - self._started
        return Answer(status, headers, bytes(self._output), self._truncated, self._error_text(), seconds)

    def _error_text(self) -> str:
        return self._errors.decode("utf-8", "replace")

    def _failure(self, kind: type[FastCGIError], message: str) -> FastCGIError:
        answer = self.answer() if self._head is not None else None
        return kind(message, answer, self._error_text())
