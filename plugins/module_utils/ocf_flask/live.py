"""Asking the real web server which release of a site it serves."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

TOKEN_HEADER = "OCF-Flask-Token"
# Connecting, and then the answer; a server that is not there costs this once.
_PATIENCE = 10.0
_BETWEEN = 0.3
# What answers at once with the old site, or not at all, may be another site: it is not waited for.
_SETTLED = 3.0


@dataclass(frozen=True)
class Reply:
    """``release``: the ID that the runtime answered. ``status``: of any other answer. ``problem``: why there was none."""

    release: str = ""
    status: int = 0
    problem: str = ""
    location: str = ""

    @property
    def broken(self) -> bool:
        return self.status >= 500

    def sentence(self) -> str:
        """For the report, after the URL."""
        if self.problem:
            return f"not reached from here: {self.problem}"
        if self.status in (401, 403):
            return f"answers {self.status}, so the release could not be asked for"
        if self.location:
            return f"redirects to {self.location}, so the release could not be asked for"
        return f"answers {self.status}, but not as this site"


def ask(url: str, token: str) -> Reply:
    """One question to the URL. Redirects are not followed."""
    late = threading.Event()
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, parts.port, timeout=_PATIENCE)
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=_PATIENCE)
        with _limited(connection, late):
            connection.request("GET", parts.path, headers={TOKEN_HEADER: token, "Cache-Control": "no-cache", "User-Agent": "ocf_flask"})
            response = connection.getresponse()
            body = response.read(200)
            # Only the runtime knows the token; it alone sends this type with a bare ID.
            if response.status == 200 and response.getheader("OCF-Flask-Release"):
                return Reply(release=body.decode("ascii", "replace").strip(), status=200)
            return Reply(status=response.status, location=response.getheader("Location") or "")
    except ssl.SSLCertVerificationError as error:
        return Reply(problem=f"its certificate is not accepted ({error.verify_message})")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if getattr(error, "errno", None) in (errno.ECONNREFUSED, errno.EADDRNOTAVAIL):
            return Reply(problem="no web server answers there")
        if late.is_set() or isinstance(error, TimeoutError):
            return Reply(problem=f"no answer within {_PATIENCE:g} s")
        return Reply(problem=getattr(error, "strerror", None) or str(error) or type(error).__name__)


@contextmanager
def _limited(connection: http.client.HTTPConnection, late: threading.Event) -> Iterator[None]:
    """Connect, for the block; after a while cut it off, for a server that sends a byte now and then is never late."""
    connection.connect()
    connected = connection.sock

    def cut() -> None:
        late.set()
        with suppress(OSError):
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(_PATIENCE, cut)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.close()


def wait_for(url: str, token: str, release: str, *, before: Reply, seconds: float) -> Reply:
    """Ask until the release answers.

    Waits up to ``seconds`` while an older release of the site still answers, or nobody where it answered before;
    gives up at once on a server that could not be reached before either, and soon on one that answers
    otherwise, 5xx too. A 5xx after which no answer comes is returned: a web server delays a program that
    keeps failing (mod_fcgid's spawn score, fcgid_spawn_ctl.c).
    """
    start = time.monotonic()
    failed: Reply | None = None
    while True:
        reply = ask(url, token)
        waited = time.monotonic() - start
        if reply.problem:
            reply = failed or reply
        else:
            failed = reply if reply.broken else None
        awaited = reply.release or (reply.problem and before.release)
        patience = seconds if awaited else min(seconds, _SETTLED)
        if reply.release == release or (reply.problem and not before.release) or waited > patience:
            return reply
        time.sleep(_BETWEEN)
