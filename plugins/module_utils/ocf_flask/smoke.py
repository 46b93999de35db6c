"""The smoke test: a release is started as suexec and mod_fcgid would start it, and asked once.

No web server is needed: mod_fcgid gives a process a listening socket as descriptor 0 and suexec an empty
environment, and so does this. An answer counts only with its END_REQUEST, for the web server waits for that.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from . import fastcgi, moments, process, scratch
from .errors import SiteError
from .live import TOKEN_HEADER
from .settings import SmokeTest

# What suexec leaves: its compiled-in PATH (apache2/support/suexec.c, AP_SAFE_PATH), nothing else.
SUEXEC_PATH = "/usr/local/bin:/usr/bin:/bin"
MARK = "OCF_FLASK_SMOKE_TEST"
# For a hanging application to say where it hangs, once asked by SIGQUIT.
_LAST_WORDS = 0.5
_ANSWER_LIMIT = 1_000_000
# What the runtime writes before the traceback of an app that it could not import.
_NOT_IMPORTED = "The app could not be imported:"
# Its error that says all that there is to know; what led to it may stand above.
_NO_APP = "ocf_flask_runtime.AppError: "


@dataclass(frozen=True)
class Tested:
    """``status`` is 0 when only the import was tested. ``seconds`` runs from the start of the process."""

    status: int
    seconds: float
    warning: str = ""

    def record(self, test: SmokeTest) -> dict[str, Any]:
        """As manifests and reports have it: what was asked, and when."""
        return {"path": test.path, "status": self.status, "seconds": round(self.seconds, 3), "at": moments.now()}


def smoke_test(run_fcgi: Path, test: SmokeTest, url: str, token: str) -> Tested:
    """Start the release that a ``run.fcgi`` names and make one request to it.

    :param run_fcgi: in the site's directory, executable, not necessarily under its final name.
    :param url: the site's public URL, which gives the request its host, scheme and prefix.
    :raises SiteError: with the traceback, when the application does not import, hangs, or answers amiss.
    """
    environ = _environ(run_fcgi, test, url)
    if test.mode == "import":
        environ["HTTP_" + TOKEN_HEADER.upper().replace("-", "_")] = token
    start = time.monotonic()
    # The name of a socket has at most 107 bytes (unix(7)), and a user's TMPDIR may have more.
    short = None if len(os.fsencode(tempfile.gettempdir())) < 80 else "/tmp"
    with scratch.directory(short) as directory, process.Output() as output:
        listener = socket.socket(socket.AF_UNIX)
        env = {"PATH": SUEXEC_PATH, MARK: "1"}
        try:
            listener.bind(str(directory / "socket"))
            listener.listen(5)
            with process.contained(
                [str(run_fcgi)], env=env, cwd=run_fcgi.parent, stdin=listener.fileno(), stdout=output.writing
            ) as started:
                output.follow()
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(listener.getsockname())
                    # Ours closed, the connection ends when the process does.
                    listener.close()
                    answer, problem = _ask(connection, environ, start + test.timeout, started)
        except OSError as error:
            raise SiteError(f"{run_fcgi} cannot be started: {_why_not(run_fcgi, error)}") from None
        finally:
            listener.close()
        seconds = time.monotonic() - start
        printed = output.text()
    if answer is None or (answer.status >= 500 and answer.status not in test.statuses):
        raise _failure(test, answer, problem, printed, f"{test.timeout} s")
    return _judge(test, answer.status, seconds)


def _why_not(run_fcgi: Path, error: OSError) -> str:
    """The system says "No such file" for a script that is there when its interpreter is not."""
    first_line = run_fcgi.read_bytes().partition(b"\n")[0].decode("utf-8", "replace") if run_fcgi.is_file() else ""
    if isinstance(error, FileNotFoundError) and first_line.startswith("#!"):
        return f"its first line names {first_line[2:].strip()!r}, which is not there."
    return f"{error.strerror or error}."


def _ask(
    connection: socket.socket, environ: dict[str, str], deadline: float, started: subprocess.Popen[bytes]
) -> tuple[fastcgi.Answer | None, fastcgi.FastCGIError | None]:
    try:
        return fastcgi.request(connection, environ, deadline=deadline, limit=_ANSWER_LIMIT), None
    except fastcgi.NoEnd as error:
        os.kill(started.pid, signal.SIGQUIT)
        try:
            started.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            pass
        return None, error
    except fastcgi.FastCGIError as error:
        return None, error


def _failure(test: SmokeTest, answer: fastcgi.Answer | None, problem: fastcgi.FastCGIError | None, printed: str, limit: str) -> SiteError:
    errors = answer.errors if answer else (problem.errors if problem else "")
    detail = f"{printed.rstrip()}\n{errors}".strip()
    cause = _last_line(detail)
    if isinstance(problem, fastcgi.NoEnd):
        return SiteError(f"The app did not answer GET {test.path} within {limit} (ocf_flask_smoke_test.timeout).", detail)
    if answer is None:
        return SiteError(f"The app ended without an answer to GET {test.path}{cause}", detail or str(problem))
    if detail.startswith(_NOT_IMPORTED):
        detail = detail.partition("\n")[2].rstrip()
        before, _, last = detail.rpartition("\n")
        if last.startswith(_NO_APP):
            return SiteError(f"The app does not start: {last[len(_NO_APP) :]}", before)
        return SiteError(f"The app does not start{cause}", detail)
    return SiteError(f"The app answered GET {test.path} with {answer.status}{cause}", detail)


def _last_line(detail: str) -> str:
    lines = [line.strip() for line in detail.splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else "."


def _judge(test: SmokeTest, status: int, seconds: float) -> Tested:
    if test.mode == "import":
        return Tested(0, seconds)
    if test.statuses:
        if status not in test.statuses:
            expected = ", ".join(map(str, test.statuses))
            raise SiteError(f"The app answered GET {test.path} with {status}, and ocf_flask_smoke_test.statuses expects {expected}.")
    elif status == 404:
        return Tested(
            status,
            seconds,
            f'GET {test.path} answers 404: the app has no such page. Another can be asked: -e \'{{"ocf_flask_smoke_test": {{"path": "/login"}}}}\'',
        )
    elif not (200 <= status < 400 or status in (401, 403)):
        raise SiteError(
            f"The app answered GET {test.path} with {status}. If that is right for it, say so: "
            f'-e \'{{"ocf_flask_smoke_test": {{"statuses": [{status}]}}}}\''
        )
    return Tested(status, seconds)


def _environ(run_fcgi: Path, test: SmokeTest, url: str) -> dict[str, str]:
    parts = urlsplit(url)
    prefix = parts.path.rstrip("/")
    path, _, query = test.path.partition("?")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    site = run_fcgi.parent
    environ = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "Apache",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": parts.hostname or "localhost",
        "SERVER_PORT": str(port),
        "SERVER_ADDR": "127.0.0.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "49152",
        "DOCUMENT_ROOT": str(site.parent),
        "REQUEST_METHOD": "GET",
        "REQUEST_SCHEME": parts.scheme,
        "REQUEST_URI": prefix + test.path,
        "REDIRECT_URL": unquote(prefix + path, "latin-1"),
        "REDIRECT_STATUS": "200",
        "SCRIPT_NAME": unquote(prefix, "latin-1") + "/",
        "SCRIPT_FILENAME": f"{site}/",
        "QUERY_STRING": query,
        "HTTP_HOST": parts.netloc,
        "HTTP_USER_AGENT": "ocf_flask smoke test",
        "HTTP_ACCEPT": "*/*",
        MARK: "1",
    }
    if parts.scheme == "https":
        environ["HTTPS"] = "on"
    return environ
