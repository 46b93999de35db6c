"""Serve a site's WSGI application to Apache's mod_fcgid.

Each release of a site has a copy of this file, and the site's ``run.fcgi`` is::

    #!<release>/venv/bin/python
    import sys
    sys.path[:0] = ["<directory of the app's code>", "<release>/runtime"]
    from ocf_flask_runtime import serve
    serve("flaskyapplication:app", server="builtin")

It needs nothing but Python's standard library, 3.9 or later. From the top:

`Site`         where things lie, and the environment that an app expects
`Log`          the site's own error log; `ErrorStream` is where all text goes
`load`         ``"package.module:attribute"`` to a WSGI application
`Application`  that application, made safe: right URLs, each request ends
`Connection`   the FastCGI protocol, and `Body` and `Responder` on top of it
`Loop`         accepts connections, and drains when it is told or replaced
`serve`        puts them together, or explains itself in a terminal

Facts about mod_fcgid are from the source of its version 2.3.9, with the file's
name; those about FastCGI from its specification, version 1.0, with the section.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import select
import signal
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union, cast

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from types import TracebackType

    Environ = dict[str, Any]
    Headers = list[tuple[str, str]]
    ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
    Write = Callable[[bytes], object]
    # The server's side of start_response: called once, with checked values.
    Start = Callable[[str, Headers], Write]
    WSGIApp = Callable[..., Iterable[bytes]]
    Buffer = Union[bytes, memoryview]

__all__ = ["serve"]

SCRIPT = "/run.fcgi"
WATCH_SECONDS = 2.0
# As long as mod_fcgid itself waits for us (its FcgidIOTimeout).
SILENCE_SECONDS = 40
# A process whose app cannot be imported answers 500 for this long. mod_fcgid
# adds 3 to a site's score for each process that starts and ends, takes off 1 a
# second, and from 10 on starts none and lets visitors wait (fcgid_spawn_ctl.c).
FAILED_SECONDS = 3.0


# --- The site ---------------------------------------------------------------


class Site(NamedTuple):
    """Where a site's things lie. All paths are absolute."""

    script: str
    release: str
    private: str

    @classmethod
    def here(cls) -> Site:
        # suexec executes the script by its bare name, in its own directory.
        release = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return cls(
            script=os.path.abspath(sys.argv[0]),
            release=release,
            private=os.path.dirname(os.path.dirname(release)),
        )

    @property
    def directory(self) -> str:
        return os.path.dirname(self.script)

    @property
    def release_id(self) -> str:
        return os.path.basename(self.release)

    def has_token(self, given: str) -> bool:
        """Whether `given` is the deploy's token, as it is at this moment."""
        import hmac

        try:
            with open(os.path.join(self.private, "token"), "rb") as file:
                token = file.read(4096).strip()
        except OSError:
            return False
        return bool(token) and hmac.compare_digest(token, given.encode("latin-1", "replace"))


def prepare_environment(site: Site) -> None:
    """Give the app what a login would have, and the release's own variables.

    suexec leaves a process with PATH alone (the safe_env_lst in its source).
    """
    import pwd

    # suexec's 022 would have the web server, and so any account that makes a link in
    # its own web space, read each database and upload. Apache has to pass through
    # directories. What it cannot read of static/, .htaccess has us answer.
    os.umask(0o066)

    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:
        pass
    else:
        os.environ.setdefault("HOME", account.pw_dir)
        os.environ.setdefault("USER", account.pw_name)
        os.environ.setdefault("LOGNAME", account.pw_name)
        os.environ.setdefault("SHELL", account.pw_shell)
    if not os.environ.get("LANG") and not os.environ.get("LC_ALL"):
        # Python has turned to UTF-8 by itself; this is for what the app starts.
        os.environ["LANG"] = "C.UTF-8"
    path = os.path.join(site.release, "env")
    if os.path.exists(path):
        import json

        with open(path, encoding="utf-8") as file:
            os.environ.update(json.load(file))
    os.chdir(site.directory)


# --- Errors -----------------------------------------------------------------


class Log:
    """The site's own error log, for its owner alone: three files of 1 MB.

    Opened for each entry: another process may have rotated it, and on NFS
    closing it is what makes the entry visible on the host where its owner is.
    """

    size = 1_000_000
    kept = 2
    longest_entry = 100_000

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "error.log")

    def write(self, heading: str, text: bytes) -> None:
        """Append an entry. A log that cannot be written must not fail a request."""
        if len(text) > self.longest_entry:
            text = text[: self.longest_entry] + b"\n[the rest is left out]"
        stamp = time.strftime("%Y-%m-%d %H:%M:%S %z")
        entry = f"{stamp} {heading}: ".encode("utf-8", "backslashreplace") + text
        try:
            descriptor = self._open()
            try:
                if os.fstat(descriptor).st_size + len(entry) > self.size:
                    self._rotate(descriptor)
                    os.close(descriptor)
                    descriptor = -1
                    descriptor = self._open()
                os.write(descriptor, entry if entry.endswith(b"\n") else entry + b"\n")
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
        except OSError:
            pass

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            os.mkdir(os.path.dirname(self.path), 0o700)
            return os.open(self.path, flags, 0o600)

    def _rotate(self, descriptor: int) -> None:
        """Rename the files, unless another process does or did so."""
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(self.path).st_ino != os.fstat(descriptor).st_ino:
                return
        except OSError:
            return
        for number in range(self.kept, 0, -1):
            older = f"{self.path}.{number}"
            newer = f"{self.path}.{number - 1}" if number > 1 else self.path
            if os.path.exists(newer):
                os.rename(newer, older)


# mod_fcgid logs the first 7,999 bytes of a STDERR record and drops the rest; a
# longer record can even make it write past its buffer (fcgid_bucket.c: willput).
STDERR_RECORD = 7_900


def stderr_pieces(data: bytes) -> Iterator[bytes]:
    """Cut `data` into what fits a STDERR record, at line ends where there are any."""
    while len(data) > STDERR_RECORD:
        cut = data.rfind(b"\n", 0, STDERR_RECORD) + 1 or STDERR_RECORD
        yield data[:cut]
        data = data[cut:]
    if data:
        yield data


class ErrorStream(io.RawIOBase):
    """Where all text goes: to the web server's log and to the site's own.

    It is below ``wsgi.errors``, ``sys.stderr`` and ``sys.stdout``. During a
    request the text goes to the web server through the request's own error
    stream, else through descriptor 2; writing to it never fails.
    """

    def __init__(self, site: Site, log: Log | None = None) -> None:
        self._release_id = site.release_id
        self._log = log
        self._request: Any = None
        self._about = ""
        self._partial = b""
        self._lock = threading.RLock()
        # A surrogate or any other text must not make logging fail.
        self.text = io.TextIOWrapper(
            cast("io.BufferedWriter", self),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def close(self) -> None:
        """An app that closes its error stream shall still be heard."""

    def attach(self, request: Any, about: str) -> None:
        """Send what follows to `request`, a binary stream like flup's."""
        self._request, self._about = request, about

    def detach(self) -> None:
        self.text.flush()
        with self._lock:
            partial, self._partial = self._partial, b""
            if partial:
                self._emit(partial)
            self._request, self._about = None, ""

    def write(self, data: Any) -> int:
        """Pass on complete lines: print writes a line and its end separately."""
        with self._lock:
            text = self._partial + bytes(data)
            cut = text.rfind(b"\n") + 1 if len(text) < Log.longest_entry else len(text)
            self._partial = text[cut:]
            if cut:
                self._emit(text[:cut])
        return len(data)

    def _emit(self, text: bytes) -> None:
        request = self._request
        try:
            if request is None:
                os.write(2, text)
            else:
                for piece in stderr_pieces(text):
                    request.write(piece)
                    request.flush()
        except Exception:  # the visitor has left, or the log's disk is full
            pass
        if self._log is not None:
            heading = f"[{os.getpid()}] {self._release_id}"
            self._log.write(f"{heading} {self._about}" if self._about else heading, text)

    def report(self, error: BaseException) -> None:
        """Write the traceback of `error`."""
        import traceback

        try:
            lines = traceback.format_exception(type(error), error, frames_to_show(error))
            self.text.write("".join(lines))
        except Exception:  # an exception whose own __str__ fails, or no memory
            self.text.write(f"{type(error).__name__} (its traceback cannot be shown)\n")
        self.text.flush()


def frames_to_show(error: BaseException) -> TracebackType | None:
    """The traceback from the app's first frame on: ours and the import's tell its owner nothing."""
    frame = error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if file != __file__ and not file.startswith("<frozen ") and "/importlib/" not in file:
            return frame
        frame = frame.tb_next
    # These say themselves where they are; anything else that has only our frames is our mistake.
    return None if isinstance(error, (SyntaxError, AppError)) else error.__traceback__


def described(environ: Environ) -> str:
    """A request's method and URL, in one line."""
    url = environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
    text = f"{environ.get('REQUEST_METHOD', '')} {url}"
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", text)[:1000]


# --- The app's name ---------------------------------------------------------


class AppError(Exception):
    """The app that run.fcgi names is not there, or is not an app."""


def load(name: str) -> WSGIApp:
    """Import ``package.module[:attribute[.attribute]]``, default attribute ``app``.

    The last part may be a call with literal arguments: ``pkg:create_app("test")``.
    Raises `AppError`, or whatever the app itself raises when it is imported.
    """
    import importlib

    module_name, _, expression = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{module_name}.".startswith(f"{missing}."):
            raise AppError(
                f"the app is {name!r}, but there is no module {missing!r} in {sys.path[0]}{near(missing, modules_in(sys.path[:1]))}"
            ) from None
        raise AppError(f"{module_name!r} was found, but it imports {missing!r}, which is not installed in the site's virtualenv") from error
    found = evaluate(module, expression.strip() or "app", name)
    if not callable(found):
        raise AppError(f"{name!r} is not a WSGI application: it is {type(found).__name__!r}")
    check_arguments(found, name)
    return cast("WSGIApp", found)


def evaluate(module: Any, expression: str, name: str) -> Any:
    """The attribute of `module`, or what the factory that is called there returns."""
    if "(" not in expression:
        return attribute(module, expression, name)
    import ast

    try:
        call = ast.parse(expression, mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError("it is not a call")
        path = ast.unparse(call.func)
        values = [ast.literal_eval(value) for value in call.args]
        keywords = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise AppError(f"the app {name!r} is neither an attribute nor a call with literal arguments: {error}") from None
    return attribute(module, path, name)(*values, **keywords)


def attribute(module: Any, path: str, name: str) -> Any:
    found = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            items = vars(module).items()
            apps = [key for key, value in items if hasattr(value, "wsgi_app") and not isinstance(value, type)]
            hint = near(part, dir(found)) or (f"; it has {', '.join(apps)}" if apps else "")
            raise AppError(
                f"the app is {name!r}, but {module.__name__!r} ({getattr(module, '__file__', None)}) has no {path!r}{hint}"
            ) from None
    return found


def near(word: str, words: Iterable[str]) -> str:
    import difflib

    matches = difflib.get_close_matches(word, [w for w in words if w != word], n=3)
    return f"; is it {' or '.join(map(repr, matches))}?" if matches else ""


def modules_in(directories: Iterable[str]) -> list[str]:
    names = [name for path in directories if os.path.isdir(path) for name in os.listdir(path)]
    return [os.path.splitext(name)[0] for name in names]


def check_arguments(app: Any, name: str) -> None:
    """Refuse a plain function that cannot take an application's two arguments."""
    import inspect

    if not inspect.isfunction(app):
        return
    try:
        inspect.signature(app).bind(None, None)
    except TypeError:
        raise AppError(
            f"{name!r} is a function that does not take a WSGI application's two arguments;"
            f" if it makes the application, write {name + '()'!r}"
        ) from None


# --- The application --------------------------------------------------------


class Gone(ConnectionError):
    """The web server has closed the connection: the visitor has left."""


# PEP 3333 keeps these for the server. Apache would take a Status header from
# the app for ours, and a Transfer-Encoding for its own.
SERVERS_HEADERS = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "status"),
        *("te", "trailer", "trailers", "transfer-encoding", "upgrade"),
    )
)
# Apache reads a script's header into 8,192 bytes (MAX_STRING_LEN, used in
# fcgid_bridge.c); a longer one is "End of script output before headers".
LONGEST_HEADER = 8_189
header_name = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z").match
# Apache answers 500 by itself when one of these gets into a header.
control_character = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
status_line = re.compile(r"[1-9][0-9][0-9](?: |\Z)").match

FAILURE_PAGE = b"500 Internal Server Error\n\nThe site has a problem. Its log says more.\n"


class Response:
    """One answer: what the app says is checked before the server hears of it."""

    def __init__(self, environ: Environ, start: Start) -> None:
        self._start = start
        self._head = environ.get("REQUEST_METHOD") == "HEAD"
        self._errors = environ["wsgi.errors"]
        self._set: tuple[str, Headers] | None = None
        self._send: Write | None = None
        self._bodyless = False
        self._left: int | None = None

    @property
    def begun(self) -> bool:
        return self._send is not None

    @property
    def complete(self) -> bool:
        """Whether nothing that the app has still to say will be sent."""
        return self._head or self._bodyless or self._left == -1

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
        """PEP 3333's start_response, as the app calls it."""
        if exc_info is not None:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # else the traceback refers to itself
        elif self._set is not None:
            raise AssertionError("start_response was called twice without exc_info")
        self._set = checked_status(status), self._checked_headers(headers)
        return self.write

    def _checked_headers(self, headers: Headers) -> Headers:
        checked = []
        for name, value in headers:
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError(f"the header {name!r}: {value!r} is not text")
            if not header_name(name):
                raise ValueError(f"{name!r} is no name for a header")
            if control_character(value):
                raise ValueError(f"the header {name} has a control character: {value[:200]!r}")
            if name.lower() not in SERVERS_HEADERS:
                checked.append((name, self._native(name, value)))
        return checked

    def _native(self, name: str, value: str) -> str:
        """`value` as PEP 3333 wants it: its bytes, decoded as Latin-1."""
        if not value.isascii():
            try:
                value.encode("latin-1")
            except UnicodeEncodeError:
                # What a browser expects of a header that is not ASCII.
                value = value.encode("utf-8", "surrogateescape").decode("latin-1")
                self._errors.write(f"The header {name} is not Latin-1; it is sent as UTF-8.\n")
        if len(name) + len(value) + 2 > LONGEST_HEADER:
            raise ValueError(f"the header {name} is longer than the {LONGEST_HEADER} bytes that Apache takes")
        return value

    def begin(self, only: bytes | None = None) -> None:
        """Hand status and headers to the server; `only` is the body if all is known."""
        if self._set is None:
            raise AssertionError("the app did not call start_response")
        status, headers = self._set
        self._bodyless = status[0] == "1" or status[:3] in ("204", "304")
        if status[:3] == "200":
            # CGI's meaning of a Location without a redirect's status: another
            # page of the site, or a redirect, in place of this answer.
            headers = [item for item in headers if item[0].lower() != "location"]
        length = next((v for name, v in headers if name.lower() == "content-length"), None)
        if length is None and only is not None and not self._bodyless:
            headers = [*headers, ("Content-Length", str(len(only)))]
        if length is not None and length.isdecimal() and not (self._head or self._bodyless):
            self._left = int(length)
        self._send = self._start(status, headers)

    def write(self, data: bytes) -> None:
        """PEP 3333's write: send `data` at once."""
        data = self.body(data)
        send = cast("Write", self._send)
        try:
            send(data)
        except OSError as error:
            raise Gone from error

    def body(self, data: bytes) -> bytes:
        """What is to be sent of `data`: as much as method, status and length allow."""
        if not isinstance(data, bytes):
            if not isinstance(data, (bytearray, memoryview)):
                raise TypeError(f"the app's body has a {type(data).__name__}, not bytes")
            data = bytes(data)
        if not self.begun:
            self.begin()
        if self._head or self._bodyless:
            return b""
        if self._left is not None:
            if len(data) > self._left:
                if self._left >= 0:
                    self._errors.write("The body is longer than its Content-Length; cut off.\n")
                data, self._left = data[: max(self._left, 0)], -1
            else:
                self._left -= len(data)
        return data

    def finish(self) -> None:
        if not self.begun:
            self.begin()
        if self._left is not None and self._left > 0:
            self._errors.write(f"The body is {self._left} bytes short of its Content-Length.\n")

    def fail(self) -> bytes:
        """The page for an app that failed, or nothing when it is too late for one."""
        if self.begun:
            return b""
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(FAILURE_PAGE))),
            ("Cache-Control", "no-store"),
        ]
        self._set = "500 Internal Server Error", headers
        return self.body(FAILURE_PAGE)


def checked_status(status: str) -> str:
    if not isinstance(status, str) or not status_line(status) or control_character(status):
        raise ValueError(f"{status!r} is no status: it has to be like '200 OK'")
    return status.encode("latin-1", "replace").decode("latin-1")


class FileWrapper:
    """``wsgi.file_wrapper``: a file in blocks of four FastCGI records."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self._file = file
        self._size = max(block_size, 4 * 65528)

    def close(self) -> None:
        if hasattr(self._file, "close"):
            self._file.close()

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._size), b"")


class Application:
    """The site's app as every server runs it.

    A WSGI application that never raises, always calls the server's
    start_response, yields nothing but bytes, and closes what the app returned.
    The server's ``wsgi.errors`` is a binary stream; the app's is text.
    """

    def __init__(self, app: WSGIApp, site: Site, errors: ErrorStream, *, imported: bool = True) -> None:
        self._app = app
        self._imported = imported
        self._site = site
        self._errors = errors
        self._config = flask_config(app)
        self._cookie_path: str | None = None
        self._process = os.getpid()

    def __call__(self, environ: Environ, start: Start) -> Generator[bytes, None, None]:
        self._errors.attach(environ["wsgi.errors"], described(environ))
        environ["wsgi.errors"] = self._errors.text
        environ.setdefault("wsgi.file_wrapper", FileWrapper)
        # Without it werkzeug takes a chunked upload for empty.
        environ["wsgi.input_terminated"] = True
        response = Response(environ, start)
        result: Any = None
        try:
            correct_paths(environ, self._site)
            result = self._choose(environ)(environ, response.start_response)
            self._stay_one()
            yield from self._pass_on(result, response)
        except GeneratorExit:  # the server stops here: the visitor has left
            raise
        except Gone:
            self._errors.text.write("The visitor left before the answer was complete.\n")
        except BaseException as error:  # SystemExit too, or the visitor waits 40 s
            self._stay_one()
            if not self._imported:
                self._errors.text.write("The app could not be imported:\n")
            self._errors.report(error)
            yield response.fail()
        finally:
            self._close(result)
            self._errors.detach()

    def _choose(self, environ: Environ) -> WSGIApp:
        """The app, or the answer to the deploy's question which release this is."""
        token = environ.get("HTTP_OCF_FLASK_TOKEN")
        if token is not None and self._imported and self._site.has_token(token):
            return self._answer_release
        self._confine_cookie(environ)
        return self._app

    def _answer_release(self, environ: Environ, start: Callable[..., Write]) -> list[bytes]:
        release = self._site.release_id
        headers = [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
        start("200 OK", [*headers, ("OCF-Flask-Release", release)])
        return [release.encode() + b"\n"]

    def _confine_cookie(self, environ: Environ) -> None:
        """Keep Flask's session from the other sites on a shared host name.

        One process can answer for several hosts, so it is set for each request.
        """
        config = self._config
        if config is None or config.get("APPLICATION_ROOT") not in (None, "/"):
            return
        if config.get("SESSION_COOKIE_PATH") == self._cookie_path:
            self._cookie_path = environ["SCRIPT_NAME"] or "/"
            config["SESSION_COOKIE_PATH"] = self._cookie_path

    @staticmethod
    def _pass_on(result: Any, response: Response) -> Generator[bytes, None, None]:
        if isinstance(result, (str, bytes)):
            raise TypeError(f"the app returned {type(result).__name__}, not a list of bytes")
        known = isinstance(result, (list, tuple)) and len(result) == 1
        if known and isinstance(result[0], bytes) and not response.begun:
            response.begin(only=result[0])
        for data in result:
            data = response.body(data)
            if data:
                yield data
            if response.complete:
                return
        response.finish()

    def _close(self, result: Any) -> None:
        try:
            if hasattr(result, "close"):
                result.close()
        except BaseException as error:
            self._errors.report(error)

    def _stay_one(self) -> None:
        """End a child that the app forked and let return here.

        It would answer the same request a second time and then serve others.
        """
        if os.getpid() != self._process:
            self._errors.text.flush()
            os._exit(0)


def flask_config(app: WSGIApp) -> dict[str, Any] | None:
    flask = sys.modules.get("flask")
    if flask is None or not isinstance(app, flask.Flask):
        return None
    return cast("dict[str, Any]", app.config)


def correct_paths(environ: Environ, site: Site) -> None:
    """Set SCRIPT_NAME to the site's own prefix and PATH_INFO to the rest.

    Every URL is rewritten to the site's own (or, by other rules, to run.fcgi),
    so SCRIPT_NAME has the prefix, which differs from host to host, and
    REDIRECT_URL the path as the visitor gave it, decoded once.
    """
    prefix = environ.get("SCRIPT_NAME", "")
    path = environ.get("PATH_INFO", "")
    url = environ.get("REDIRECT_URL", "")
    if url or prefix.endswith(("/", SCRIPT)):
        prefix = prefix[: -len(SCRIPT)] if prefix.endswith(SCRIPT) else prefix.rstrip("/")
        if url == prefix or url.startswith(prefix + "/"):
            path = url[len(prefix) :]
        if path == SCRIPT or path.startswith(SCRIPT + "/"):
            path = path[len(SCRIPT) :]
    else:
        # Not rewritten: the handler was reached through the file asked for.
        file, directory = environ.get("SCRIPT_FILENAME", ""), site.directory
        below = file[len(directory) :] if file.startswith(directory + "/") else ""
        if below and prefix.endswith(below):
            prefix, path = prefix[: -len(below)], below + path
    environ["SCRIPT_NAME"] = prefix.rstrip("/")
    environ["PATH_INFO"] = path or "/"


# --- FastCGI ----------------------------------------------------------------

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER = 1
KEEP_CONN = 1
REQUEST_COMPLETE, CANT_MPX_CONN, _, UNKNOWN_ROLE = range(4)

record_header = struct.Struct("!BBHHBx")
request_begin = struct.Struct("!HB5x")
request_end = struct.Struct("!LB3x")

# The longest content that is a multiple of eight, so that no record needs
# padding to be aligned (specification, 3.3).
LONGEST_CONTENT = 65_528
RECORDS_AT_ONCE = 16
# mod_fcgid sends one record of at most 65,535 bytes (fcgid_protocol.c).
LONGEST_PARAMS = 1_000_000


class Broken(Gone):
    """The peer does not speak FastCGI."""


class Aborted(Gone):
    """The web server has aborted the request."""


class Request(NamedTuple):
    """A request whose parameters have arrived; None when they make no sense."""

    id: int
    keep: bool
    params: dict[str, str] | None


class Connection:
    """One connection from the web server: records in, records out."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = memoryview(bytearray(65_536))
        self._start = self._end = 0
        self._outgoing: list[Buffer] = []
        # An app's threads may log while the answer is being sent.
        self._lock = threading.Lock()
        self.body: Body | None = None

    @property
    def pending(self) -> bool:
        """Whether more has been received than was asked for."""
        return self._end > self._start

    def _receive_some(self, into: memoryview) -> int:
        try:
            received = self.sock.recv_into(into)
        except BlockingIOError:
            raise Gone(f"the web server sent nothing for {SILENCE_SECONDS} s") from None
        except OSError as error:
            raise Gone(str(error)) from None
        if not received:
            raise Gone("the web server closed the connection")
        return received

    def receive_into(self, into: memoryview) -> int:
        """Some bytes, at least one, straight into `into` when it is large."""
        if not self.pending:
            if len(into) >= 16_384:
                return self._receive_some(into)
            self._start, self._end = 0, self._receive_some(self._buffer)
        count = min(len(into), self._end - self._start)
        into[:count] = self._buffer[self._start : self._start + count]
        self._start += count
        return count

    def receive(self, length: int) -> bytes:
        """Exactly `length` bytes."""
        if self._end - self._start >= length:
            self._start += length
            return bytes(self._buffer[self._start - length : self._start])
        content = bytearray(length)
        rest = memoryview(content)
        while rest:
            rest = rest[self.receive_into(rest) :]
        return bytes(content)

    def receive_header(self) -> tuple[int, int, int, int]:
        """A record's type, request ID, content length and padding length."""
        version, kind, request_id, length, padding = record_header.unpack(self.receive(8))
        if version != 1:
            raise Broken(f"a FastCGI record of version {version}")
        return kind, request_id, length, padding

    def receive_record(self) -> tuple[int, int, bytes]:
        kind, request_id, length, padding = self.receive_header()
        content = self.receive(length)
        self.receive(padding)
        return kind, request_id, content

    def next_request(self) -> Request | None:
        """Read on to a complete set of parameters; None at the end."""
        try:
            begun = self._begin()
            return begun and self._params(*begun)
        except Broken:
            raise
        except Gone:
            return None

    def _begin(self) -> tuple[int, bool] | None:
        """The next request's ID and whether the connection outlives it."""
        while True:
            kind, request_id, content = self.receive_record()
            if kind != BEGIN_REQUEST or not request_id:
                self.handle_other(kind, request_id, content)
                continue
            role, keep = self._begin_body(content)
            if role == RESPONDER:
                return request_id, keep
            self.end(request_id, UNKNOWN_ROLE)
            if not keep:
                return None

    @staticmethod
    def _begin_body(content: bytes) -> tuple[int, bool]:
        if len(content) != request_begin.size:
            raise Broken("a BEGIN_REQUEST record of a wrong length")
        role, flags = request_begin.unpack(content)
        return role, bool(flags & KEEP_CONN)

    def _params(self, request_id: int, keep: bool) -> Request | None:
        params = bytearray()
        while True:
            kind, other_id, content = self.receive_record()
            if other_id != request_id or not other_id:
                self.handle_other(kind, other_id, content)
            elif kind == PARAMS and not content:
                return Request(request_id, keep, decode_params(bytes(params)))
            elif kind == PARAMS:
                params += content
                if len(params) > LONGEST_PARAMS:
                    raise Broken("more parameters than any request has")
            elif kind == ABORT_REQUEST:
                self.end(request_id, REQUEST_COMPLETE)
                return self.next_request() if keep else None
            else:
                raise Broken(f"a record of type {kind} among a request's parameters")

    def handle_other(self, kind: int, request_id: int, content: bytes) -> None:
        """Answer a record that is not part of the request at hand."""
        if request_id == 0 and kind == GET_VALUES:
            self._reply(record(GET_VALUES_RESULT, 0, values_result(content)))
        elif request_id == 0:
            self._reply(record(UNKNOWN_TYPE, 0, bytes([kind]) + bytes(7)))
        elif kind == BEGIN_REQUEST:
            self._begin_body(content)
            self._reply(record(END_REQUEST, request_id, request_end.pack(0, CANT_MPX_CONN)))
        # Else it belongs to a request that is over: ignored (specification, 3.3).

    def _reply(self, data: bytes) -> None:
        if self._lock.locked():  # we read while we wait to send: it has to queue
            self._outgoing.append(data)
        else:
            self.send([data])

    def send(self, buffers: list[Buffer]) -> None:
        """Send all of `buffers`, in one system call if the peer keeps up."""
        with self._lock:
            self._outgoing += buffers
            outgoing = self._outgoing
            while outgoing:
                try:
                    sent = self.sock.sendmsg(outgoing, (), socket.MSG_DONTWAIT)
                except BlockingIOError:
                    self._wait_for_peer()
                    continue
                except OSError as error:
                    outgoing.clear()
                    raise Gone(str(error)) from None
                while outgoing and sent >= len(outgoing[0]):
                    sent -= len(outgoing.pop(0))
                if sent:
                    outgoing[0] = memoryview(outgoing[0])[sent:]

    def _wait_for_peer(self) -> None:
        """Wait until more can be sent, meanwhile taking in the request's body.

        mod_fcgid reads nothing before it has written all of the request
        (handle_request in fcgid_bridge.c): an app that answers at length before
        it has read its upload would wait for ever.
        """
        wanted = select.POLLOUT
        if self.body is not None and not self.body.complete:
            wanted |= select.POLLIN
        poller = select.poll()
        poller.register(self.sock, wanted)
        events = poller.poll()[0][1]
        if events & select.POLLIN and not events & select.POLLOUT:
            cast("Body", self.body).spool()

    def send_stream(self, kind: int, request_id: int, data: bytes, before: bytes = b"") -> None:
        """Send `before` and `data` as records of a stream, without copying `data`."""
        if before and len(before) + len(data) <= LONGEST_CONTENT:
            before, data = b"", before + data
        for start in range(0, len(before), LONGEST_CONTENT):
            self.send([record(kind, request_id, before[start : start + LONGEST_CONTENT])])
        view = memoryview(data)
        step = LONGEST_CONTENT * RECORDS_AT_ONCE
        for start in range(0, len(view), step):
            buffers: list[Buffer] = []
            for at in range(start, min(start + step, len(view)), LONGEST_CONTENT):
                content = view[at : at + LONGEST_CONTENT]
                buffers += record_header.pack(1, kind, request_id, len(content), 0), content
            self.send(buffers)

    def end(self, request_id: int, status: int, *before: bytes) -> None:
        content = request_end.pack(0, status)
        self.send([b"".join((*before, record(END_REQUEST, request_id, content)))])

    def close(self) -> None:
        self.sock.close()


def record(kind: int, request_id: int, content: bytes) -> bytes:
    return record_header.pack(1, kind, request_id, len(content), 0) + content


def decode_params(data: bytes) -> dict[str, str] | None:
    """Name-value pairs as PEP 3333's native strings; None if they don't add up."""
    params = {}
    at, end = 0, len(data)
    try:
        while at < end:
            lengths = []
            for _ in range(2):
                length = data[at]
                at += 1
                if length & 0x80:
                    length = int.from_bytes(data[at - 1 : at + 3], "big") & 0x7FFF_FFFF
                    at += 3
                lengths.append(length)
            value = at + lengths[0]
            name, at = data[at:value], value + lengths[1]
            params[name.decode("latin-1")] = data[value:at].decode("latin-1")
    except IndexError:
        return None
    return params if at == end else None


def encode_pair(name: bytes, value: bytes) -> bytes:
    lengths = (struct.pack("!B" if n < 128 else "!L", n if n < 128 else n | 1 << 31)
               for n in (len(name), len(value)))  # fmt: skip
    return b"".join((*lengths, name, value))


def values_result(content: bytes) -> bytes:
    """The answer to GET_VALUES: what was asked for and is known."""
    known = {"FCGI_MAX_CONNS": b"1", "FCGI_MAX_REQS": b"1", "FCGI_MPXS_CONNS": b"0"}
    asked = decode_params(content) or {}
    return b"".join(encode_pair(name.encode(), known[name]) for name in asked if name in known)


class Body(io.RawIOBase):
    """A request's body, read from the connection when the app asks for it."""

    def __init__(self, connection: Connection, request_id: int) -> None:
        self._connection = connection
        self._id = request_id
        self._left = self._padding = 0
        self._spool: Any = None
        self._spool_read = 0
        self.complete = False

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if self._spool is not None:
            self._spool.seek(self._spool_read)
            count: int = self._spool.readinto(into)
            self._spool_read += count
            if count:
                return count
        return self._receive_into(memoryview(into))

    def _receive_into(self, into: memoryview) -> int:
        if not self._left and not self.complete:
            self._next_record()
        if self.complete:
            return 0
        count = self._connection.receive_into(into[: self._left])
        self._left -= count
        return count

    def _next_record(self) -> None:
        """Go on to the next STDIN record, dealing with what comes before it."""
        connection = self._connection
        try:
            while True:
                connection.receive(self._padding)
                kind, request_id, self._left, self._padding = connection.receive_header()
                if kind == STDIN and request_id == self._id:
                    break
                content = connection.receive(self._left)
                if kind == ABORT_REQUEST and request_id == self._id:
                    raise Aborted("the web server aborted the request")
                if request_id != self._id:
                    connection.handle_other(kind, request_id, content)
            if not self._left:
                connection.receive(self._padding)
                self.complete = True
        except Gone:
            self.complete = True
            raise

    def spool(self) -> None:
        """Put what has arrived aside, for the app to read later."""
        if self._spool is None:
            import tempfile

            self._spool = tempfile.TemporaryFile()  # noqa: SIM115 (drain closes it)
        block = memoryview(bytearray(65_536))
        try:
            count = self._receive_into(block)
        except Gone:
            return
        self._spool.seek(0, os.SEEK_END)
        self._spool.write(block[:count])

    def drain(self) -> None:
        """Take in what the app left unread, or the web server reports an error."""
        if not self.complete:
            block = memoryview(bytearray(65_536))
            while self._receive_into(block):
                pass
        if self._spool is not None:
            self._spool.close()


class RequestErrors:
    """A request's STDERR stream, the server's binary ``wsgi.errors``."""

    def __init__(self, connection: Connection, request_id: int) -> None:
        self._connection = connection
        self._id = request_id
        self.used = False

    def write(self, data: bytes) -> None:
        self.used = True
        self._connection.send([record(STDERR, self._id, data)])

    def flush(self) -> None:
        """Nothing is held back."""


class Responder:
    """Answers a connection's requests with a WSGI application."""

    def __init__(self, application: Application, errors: ErrorStream) -> None:
        self._application = application
        self._errors = errors

    def converse(self, connection: Connection) -> bool:
        """Answer what there is to answer; whether the connection shall be kept."""
        try:
            while True:
                request = connection.next_request()
                if request is None:
                    return False
                self._answer(connection, request)
                if not request.keep:
                    return False
                if not connection.pending:
                    return True
        except Broken as error:
            self._errors.text.write(f"The web server sent {error}; the connection is closed.\n")
        except Gone:
            pass
        return False

    def _answer(self, connection: Connection, request: Request) -> None:
        """Answer one request, and whatever happens, end it."""
        errors = RequestErrors(connection, request.id)
        connection.body = body = Body(connection, request.id)
        answer = Answer(connection, request.id)
        try:
            if request.params is None:
                answer.start("400 Bad Request", [("Content-Type", "text/plain")])
                answer.write(b"400 Bad Request\n")
            else:
                environ = complete_environ(request.params, body, errors)
                answer.run(self._application(environ, answer.start))
            body.drain()
        except Gone:
            pass
        except BaseException as error:  # an error of ours, but the visitor must not wait
            self._errors.report(error)
        finally:
            connection.body = None
            ends = [record(STDOUT, request.id, b"")]
            if errors.used:
                ends.append(record(STDERR, request.id, b""))
            connection.end(request.id, REQUEST_COMPLETE, *ends)


class Answer:
    """A request's STDOUT stream: header block, then body."""

    def __init__(self, connection: Connection, request_id: int) -> None:
        self._connection = connection
        self._id = request_id
        self._head = b""

    def start(self, status: str, headers: Headers) -> Write:
        self._head = header_block(status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        head, self._head = self._head, b""
        self._connection.send_stream(STDOUT, self._id, data, before=head)

    def run(self, result: Generator[bytes, None, None]) -> None:
        """Send what `result` yields. It is an `Application`'s, so it does not raise."""
        try:
            for data in result:
                self.write(data)
            if self._head:
                self.write(b"")
        finally:
            result.close()


def header_block(status: str, headers: Headers) -> bytes:
    lines = [f"Status: {status}\r\n", *(f"{name}: {value}\r\n" for name, value in headers), "\r\n"]
    return "".join(lines).encode("latin-1")


def complete_environ(params: dict[str, str], body: io.RawIOBase, errors: Any) -> Environ:
    environ: Environ = dict(params)
    environ.setdefault("REQUEST_METHOD", "GET")
    environ.setdefault("SERVER_NAME", "localhost")
    environ.setdefault("SERVER_PORT", "80")
    environ.setdefault("SERVER_PROTOCOL", "HTTP/1.0")
    environ.setdefault("QUERY_STRING", "")
    environ["wsgi.version"] = (1, 0)
    environ["wsgi.url_scheme"] = "https" if is_on(environ.get("HTTPS")) else "http"
    environ["wsgi.input"] = io.BufferedReader(body, 65_536)
    environ["wsgi.errors"] = errors
    environ["wsgi.multithread"] = False
    environ["wsgi.multiprocess"] = True
    environ["wsgi.run_once"] = False
    return environ


def is_on(value: str | None) -> bool:
    return (value or "").lower() in ("on", "1")


# --- The loop ---------------------------------------------------------------


class Watch:
    """Notices that the site's run.fcgi is gone, or is not the one that was started."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inode = self._modified = 0
        self._inode, self._modified = self._look()

    def _look(self) -> tuple[int, int]:
        try:
            status = os.stat(self._path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
                return -1, 0
            return self._inode, self._modified  # NFS hiccups; it is not gone
        return status.st_ino, status.st_mtime_ns

    def changed(self) -> bool:
        inode, modified = self._look()
        return inode == -1 or inode != self._inode or modified > self._modified


class Loop:
    """Accepts connections and answers them one after the other.

    mod_fcgid gives a process one request at a time (apply_free_procnode in
    fcgid_bridge.c takes it off the list of idle ones), so threads buy nothing.
    """

    kept_at_most = 32

    def __init__(self, listener: socket.socket, is_over: Callable[[], bool]) -> None:
        self._listener = listener
        self._is_over = is_over
        self._kept: dict[int, Connection] = {}
        self._poller = select.poll()
        self._poller.register(listener, select.POLLIN | select.POLLRDHUP)
        self._draining = False
        self._end = float("inf")
        listener.setblocking(False)

    def end_after(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def drain(self, *_: object) -> None:
        """Answer what is queued, then end. Also the handler of SIGTERM.

        Linux then refuses new connections to a Unix socket, so that the web
        server turns to another process, but still gives out the queued ones. It
        would throw away those of a TCP socket, which is just left in the end.
        """
        self._draining = True
        if self._listener.family == socket.AF_UNIX:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RD)

    def run(self, converse: Callable[[Connection], bool]) -> None:
        """Let `converse` answer connections; it says which of them to keep."""
        while not self._draining:
            seconds = min(WATCH_SECONDS, max(self._end - time.monotonic(), 0))
            self._turn(converse, seconds)
            if self._is_over() or time.monotonic() >= self._end:
                self.drain()
        while self._turn(converse, 0):
            pass
        for connection in self._kept.values():
            connection.close()

    def _turn(self, converse: Callable[[Connection], bool], seconds: float) -> bool:
        """Serve what is ready within `seconds`; whether there was anything."""
        served = False
        for descriptor, event in self._poller.poll(seconds * 1000):
            connection = self._kept.pop(descriptor, None)
            if connection is not None:
                self._poller.unregister(descriptor)
            else:
                # A process that shares the socket may have shut it: it is then
                # always ready, though accept finds nothing (EAGAIN).
                self._draining |= bool(event & (select.POLLRDHUP | select.POLLHUP))
                connection = self._accept()
            if connection is not None:
                served = True
                if converse(connection):
                    self._keep(connection)
                else:
                    connection.close()
        return served

    def _accept(self) -> Connection | None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:  # a process that shares the socket was faster
            return None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                time.sleep(0.1)
            elif error.errno not in (errno.ECONNABORTED, errno.EPROTO, errno.EPERM):
                self._draining = True  # it was shut, or the app has closed it
            return None
        silence = struct.pack("@ll", SILENCE_SECONDS, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, silence)
        return Connection(sock)

    def _keep(self, connection: Connection) -> None:
        if len(self._kept) >= self.kept_at_most:
            descriptor = next(iter(self._kept))
            self._poller.unregister(descriptor)
            self._kept.pop(descriptor).close()
        self._kept[connection.sock.fileno()] = connection
        self._poller.register(connection.sock, select.POLLIN)


# --- flup and flup6 ---------------------------------------------------------


def flup_converse(application: Application, errors: ErrorStream) -> Callable[[Connection], bool]:
    """Answer a connection's requests with flup's FastCGI, or flup6's.

    Only their protocol is used. Their ways to accept connections lose requests:
    the threaded one (flup.server.fcgi) ends with requests in flight on SIGTERM,
    and in flup6 the single-threaded one (fcgi_single) cannot be made on
    Python 3, since it calls dict.has_key.
    """
    from flup.server import fcgi_base  # type: ignore[import-untyped,unused-ignore]

    class FlupConnection(fcgi_base.Connection):  # type: ignore[misc]
        def _cleanupSocket(self) -> None:
            # As flup does it, but not for ever.
            try:
                self._sock.shutdown(socket.SHUT_WR)
                while self._sock.recv(65_536):
                    pass
            except OSError:
                pass
            self._sock.close()

    def flup_application(environ: Environ, start: Callable[..., Write]) -> Iterator[bytes]:
        def start_with_bytes(status: str, headers: Headers) -> Write:
            # flup6 takes ASCII headers only, but a status in bytes as it is; the
            # headers go with it. Both put "Status: " before and an empty line after.
            block = header_block(status + (" " if len(status) == 3 else ""), headers)
            return start(block[len("Status: ") : -len("\r\n\r\n")], [])

        # flup copies what remains for each record it sends of a block.
        result = application(environ, start_with_bytes)
        try:
            for data in result:
                for at in range(0, len(data), LONGEST_CONTENT):
                    yield data[at : at + LONGEST_CONTENT]
        finally:
            result.close()

    flup_server = fcgi_base.BaseFCGIServer(flup_application, multithreaded=False, multiprocess=True, debug=False)
    flup_server.maxwrite = LONGEST_CONTENT + record_header.size
    # flup 1.0.3 has one argument more than flup6: its own time limit.
    more = [None] * (fcgi_base.Connection.__init__.__code__.co_argcount - 4)

    def converse(connection: Connection) -> bool:
        try:
            FlupConnection(connection.sock, None, flup_server, *more).run()
        except Exception as error:  # flup lets socket and format errors through
            errors.text.write(f"flup gave up a connection: {error!r}\n")
        return False

    return converse


# --- In a terminal ----------------------------------------------------------


EXPLANATION = """\
{script} is started by Apache's mod_fcgid, with a listening socket
as its standard input, when a visitor asks for the site. This is a terminal, so
it makes one test request to the app {app!r} of release {release}.

"""


def explain(name: str, site: Site) -> int:
    """Make one request in process and show the answer; the exit status."""
    print(EXPLANATION.format(script=site.script, app=name, release=site.release_id), flush=True)
    errors = ErrorStream(site)
    try:
        prepare_environment(site)
        application = Application(load(name), site, errors)
    except BaseException as error:
        if isinstance(error, AppError) and error.__cause__ is None:
            error.__traceback__ = None
        errors.report(error)
        print("\nThe app cannot be imported; visitors get 500 until it can.")
        return 1
    path = sys.argv[1] if len(sys.argv) > 1 else "/"
    status, headers, body = ask(application, path)
    print(f"GET {path}\n{status}")
    for header, value in headers:
        print(f"{header}: {value}")
    print(f"\n{body[:2000].decode('utf-8', 'replace')}")
    if len(body) > 2000:
        print(f"[{len(body)} bytes in all]")
    failed = status.startswith("5")
    print("\nThe app failed." if failed else "\nThe app works.", end=" ")
    print(f"Its log is {os.path.join(site.private, 'log', 'error.log')}")
    return int(failed)


def ask(application: Application, path: str) -> tuple[str, Headers, bytes]:
    """The application's status, headers and body for a GET of `path`."""
    started: list[Any] = ["", []]
    written: list[bytes] = []

    def start(status: str, headers: Headers) -> Write:
        started[:] = status, headers
        return written.append

    path, _, query = path.partition("?")
    params = {"PATH_INFO": path.encode().decode("latin-1"), "QUERY_STRING": query}
    errors = io.FileIO(2, "w", closefd=False)
    environ = complete_environ(params, io.FileIO(os.devnull), errors)
    written += application(environ, start)
    return started[0], started[1], b"".join(written)


# --- The start --------------------------------------------------------------


def listening_socket() -> socket.socket | None:
    """The socket at descriptor 0 (specification, 2.2); None in a terminal.

    What the app starts must not have it: it would read its input from there,
    or keep it open when we have ended, and visitors would wait for nobody.
    """
    try:
        sock = socket.socket(fileno=os.dup(0))
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        return None
    if not listening:
        return None
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return sock


def open_standard_descriptors() -> None:
    """Make sure that no connection becomes descriptor 1 or 2, which all print to."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, True)


def failing(error: BaseException) -> WSGIApp:
    """An app that answers each request with `error`."""

    def app(environ: Environ, start: Callable[..., Write]) -> Iterable[bytes]:
        raise error

    return app


def serve(app: str, server: str = "builtin") -> None:
    """Serve `app`, named as for `load`, until mod_fcgid or the watch ends it.

    `server` is ``builtin``, ``flup6`` or ``flup``. In a terminal it explains
    itself instead, and exits 0 if the app answers without an error, else 1.
    """
    if server not in ("builtin", "flup6", "flup"):
        raise ValueError(f"the server {server!r} is none of builtin, flup6, flup")
    site = Site.here()
    watch = Watch(site.script)
    listener = listening_socket()
    if listener is None:
        sys.exit(explain(app, site))
    open_standard_descriptors()
    smoke_test = "OCF_FLASK_SMOKE_TEST" in os.environ
    if smoke_test:
        import faulthandler

        # The deploy sends it when its time is up: a hanging app says where it hangs.
        faulthandler.register(signal.SIGQUIT, file=os.dup(2), all_threads=True)
    errors = ErrorStream(site, None if smoke_test else Log(os.path.join(site.private, "log")))
    sys.stdout = sys.stderr = errors.text
    loop = Loop(listener, watch.changed)
    # SIGTERM is mod_fcgid's and the restarter's, SIGUSR1 Apache's word for
    # "gracefully" (specification, 4). Python itself ignores SIGPIPE.
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, loop.drain)
    loop.run(converse_with(app, server, site, errors, loop))
    # A thread or exit handler of the app must not keep a drained process alive.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(10)


def converse_with(name: str, server: str, site: Site, errors: ErrorStream, loop: Loop) -> Callable[[Connection], bool]:
    """What answers a connection's requests: the app, or 500 if it cannot be imported."""
    try:
        prepare_environment(site)
        application = Application(load(name), site, errors)
        if server == "builtin":
            return Responder(application, errors).converse
        return flup_converse(application, errors)
    except BaseException as error:
        if isinstance(error, AppError) and error.__cause__ is None:
            error.__traceback__ = None
        loop.end_after(FAILED_SECONDS)
        application = Application(failing(error), site, errors, imported=False)
        return Responder(application, errors).converse
