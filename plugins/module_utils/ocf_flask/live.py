"""Asking the real web server which release of a site it serves."""

from __future__ import annotations

import http.client
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

TOKEN_HEADER = "OCF-Flask-Token"
# Connecting and each read; a server that is not there costs this once.
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
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        if parts.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, parts.port, timeout=_PATIENCE)
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=_PATIENCE)
        try:
            connection.request("GET", parts.path, headers={TOKEN_HEADER: token, "Cache-Control": "no-cache", "User-Agent": "ocf_flask"})
            response = connection.getresponse()
            body = response.read(200)
            # Only the runtime knows the token; it alone sends this type with a bare ID.
            if response.status == 200 and response.getheader("OCF-Flask-Release"):
                return Reply(release=body.decode("ascii", "replace").strip(), status=200)
            return Reply(status=response.status, location=response.getheader("Location") or "")
        finally:
            connection.close()
    except ssl.SSLError as error:
        return Reply(problem=f"its certificate is not accepted ({error.reason})")
    except (OSError, http.client.HTTPException) as error:
        return Reply(problem=getattr(error, "strerror", None) or str(error) or type(error).__name__)


def wait_for(url: str, token: str, release: str, *, before: Reply, seconds: float) -> Reply:
    """Ask until the release answers.

    Waits up to ``seconds`` while an older release of the site still answers or the server answers 5xx;
    gives up at once on a server that cannot be reached, and soon on one that answers otherwise.
    """
    start = time.monotonic()
    while True:
        reply = ask(url, token)
        waited = time.monotonic() - start
        patience = seconds if reply.release else min(seconds, _SETTLED)
        if reply.release == release or (reply.problem and not before.release) or waited > patience:
            return reply
        time.sleep(_BETWEEN)
