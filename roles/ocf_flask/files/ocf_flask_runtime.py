"""Serve a site's WSGI application to Apache's mod_fcgid.

Each release of a site has a copy of this file, and the site's ``run.fcgi`` is::

    #!<release>/venv/bin/python
    import sys
    sys.path[:0] = ["<directory of the app's code>", "<release>/runtime"]
    from ocf_flask_runtime import serve
    if __name__ == "__main__":
        serve("flaskyapplication:app", server="builtin")

It needs nothing but Python's standard library, 3.9 or later. From the top:

`Site`         where things lie, and the environment that an app expects
`Log`          the site's own error log; `ErrorStream` is where all text goes
`load`         ``"package.module:attribute"`` to a WSGI application
`Application`  that application, made safe: right URLs, each request ends
`Responder`    the FastCGI protocol, with `Connection` and `Body`
`Loop`         accepts connections, and drains when it is told or replaced
`Beginning`    starts the process again after `touch run.fcgi`
`serve`        puts them together, or explains itself in a terminal

Facts about mod_fcgid are from the source of its version 2.3.9, with the file's
name; those about FastCGI from its specification, version 1.0, with the section.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import gc
import io
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
from select import POLLIN, POLLOUT, poll  # eventlet takes it out of the module
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


class Site(NamedTuple):
    """Where a site's things lie. All paths are absolute."""

    script: str
    release: str
    private: str

    @classmethod
    def here(cls) -> Site:
        # suexec executes the script by its bare name, in its own directory.
        release = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return cls(os.path.abspath(sys.argv[0]), release, os.path.dirname(os.path.dirname(release)))

    @property
    def directory(self) -> str:
        return os.path.dirname(self.script)

    @property
    def release_id(self) -> str:
        return os.path.basename(self.release)

    @property
    def is_managed(self) -> bool:
        """Whether the release has code of its own, and with it a link to what its application writes."""
        return os.path.islink(os.path.join(self.release, "shared"))

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
    # As in a shell where the virtualenv is activated: "python", and the commands
    # that packages bring.
    commands = os.path.dirname(sys.executable)
    os.environ["PATH"] = os.pathsep.join([commands, os.environ.get("PATH", os.defpath)])
    # The directory of run.fcgi, which Python puts there, is mostly the app's too; and
    # in ours each import of the app's would look in vain.
    ours = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in dict.fromkeys(sys.path) if path != ours]
    path = os.path.join(site.release, "env")
    if os.path.exists(path):
        import json

        with open(path, encoding="utf-8") as file:
            variables = json.load(file)
        # As UTF-8, whatever the locale of a terminal from which a command is run.
        os.environb.update({name.encode(): value.encode("utf-8", "surrogateescape") for name, value in variables.items()})
    if site.is_managed:
        os.environ["OCF_FLASK_SHARED"] = os.path.join(site.private, "shared")
    os.chdir(os.path.join(site.release, "app") if site.is_managed else site.directory)


class Log:
    """A log of the site's own, for its owner alone: three files of 1 MB.

    Opened for each entry: another process may have rotated it, and on NFS
    closing it is what makes the entry visible on the host where its owner is.
    """

    size = 1_000_000
    kept = 2
    longest_entry = 100_000

    def __init__(self, directory: str, name: str = "error.log") -> None:
        self.path = os.path.join(directory, name)
        self._taken: tuple[int, ...] = ()

    def write(self, heading: str, text: bytes) -> None:
        """Append an entry. A log that cannot be written must not fail a request."""
        if len(text) > self.longest_entry:
            text = text[: self.longest_entry] + b"\n[the rest is left out]"
        stamp = time.strftime("%Y-%m-%d %H:%M:%S %z")
        entry = f"{stamp} {heading}: ".encode("utf-8", "backslashreplace") + text
        entry += b"" if entry.endswith(b"\n") else b"\n"
        with contextlib.suppress(OSError):
            with self._open() as file:
                self._follow(file)  # another process may have rotated it
                if os.fstat(file.fileno()).st_size + len(entry) <= self.size:
                    file.write(entry)
                    return
                self._rotate(file.fileno())
            with self._open() as file:
                self._follow(file)
                file.write(entry)

    def take_over(self, *descriptors: int) -> None:
        """Make `descriptors` lead here, also after a rotation; they stay as they are if it cannot be written."""
        with contextlib.suppress(OSError), self._open() as file:
            self._taken = descriptors
            self._follow(file)

    def _follow(self, file: io.FileIO) -> None:
        for taken in self._taken:
            if os.fstat(taken).st_ino != os.fstat(file.fileno()).st_ino:
                os.dup2(file.fileno(), taken)

    def _open(self) -> io.FileIO:
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(self.path), 0o700)
        return io.FileIO(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a")

    def _rotate(self, descriptor: int) -> None:
        """Rename the files, unless another process does or did so."""
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(self.path).st_ino != os.fstat(descriptor).st_ino:
                return
            for number in range(self.kept, 0, -1):
                newer = f"{self.path}.{number - 1}" if number > 1 else self.path
                if os.path.exists(newer):
                    os.rename(newer, f"{self.path}.{number}")


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


class Text(io.TextIOWrapper):
    """`sys.stdout` and `sys.stderr`: also for an app that puts a stream of its own over what is below, as many do."""

    def detach(self) -> io.BufferedWriter:
        """What is below; this goes on working, or the process would lose its voice."""
        self.flush()
        return cast("io.BufferedWriter", self.buffer)


class ErrorStream(io.RawIOBase):
    """Where all text goes: to the web server's log and to the site's own.

    It is below ``wsgi.errors``, ``sys.stderr`` and ``sys.stdout``. During a
    request the text goes to the web server through the request's own error
    stream, else through what was descriptor 2; writing to it never fails.

    What the app starts inherits 1 and 2, and its output is the owner's affair:
    these lead to the site's log alone, for the web server's is everybody's.
    """

    def __init__(self, site: Site, log: Log | None = None) -> None:
        self._release_id = site.release_id
        self._log = log
        self._server = os.dup(2)
        if log is not None:
            log.take_over(1, 2)
        self._request: Any = None
        self._about = ""
        self._partial = b""
        self._lock = threading.RLock()
        # A surrogate or any other text must not make logging fail.
        below = cast("io.BufferedWriter", self)
        self.text = Text(below, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def close(self) -> None:
        """An app that closes its error stream shall still be heard."""

    def attach(self, request: Any, about: str) -> None:
        """Send what follows to `request`, a binary stream like flup's."""
        self._request, self._about = request, about

    def forget(self) -> None:
        """In a process that the app forked: the request, and what it began to say, are its parent's."""
        self._lock = threading.RLock()
        self._request, self._partial = None, b""

    def give_back(self) -> None:
        """Have 1 and 2 lead to the web server again, for the program that takes this one's place."""
        for descriptor in (1, 2):
            os.dup2(self._server, descriptor)

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
                os.write(self._server, text)
            else:
                for piece in stderr_pieces(text):
                    request.write(piece)
                    request.flush()
        except Exception:  # the visitor has left, or the log's disk is full
            pass
        if self._log is not None:
            self._log.write(f"[{os.getpid()}] {self._release_id} {self._about}".rstrip(), text)

    def report(self, error: BaseException) -> None:
        """Write the traceback of `error`."""
        import traceback

        try:
            ours = isinstance(error, AppError)
            for one in (error.__cause__, error) if ours and error.__cause__ else (error,):
                lines = traceback.format_exception(type(one), one, frames_to_show(one), chain=not ours)
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
        missing, directory = error.name or "", sys.path[0]
        if f"{module_name}.".startswith(f"{missing}."):
            there = [os.path.splitext(file)[0] for file in os.listdir(directory)] if os.path.isdir(directory) else []
            raise AppError(f"the app is {name!r}, but there is no module {missing!r} in {directory}{near(missing, there)}") from None
        raise AppError(f"{module_name!r} imports {missing!r}, which is not installed. Write the package into requirements.txt") from error
    found = evaluate(module, expression.strip() or "app", name)
    if not callable(found):
        raise AppError(f"{name!r} is not a WSGI application: it is {type(found).__name__!r}{other(module)}")
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
    try:
        return functools.reduce(getattr, path.split("."), module)
    except AttributeError:
        hint = near(path, dir(module)) or other(module)
        file = getattr(module, "__file__", None)
        raise AppError(f"the app is {name!r}, but {module.__name__!r} ({file}) has no {path!r}{hint}") from None


def other(module: Any) -> str:
    """The applications that a module has."""
    apps = [key for key, value in vars(module).items() if hasattr(value, "wsgi_app") and not isinstance(value, type)]
    return f"; {module.__name__!r} has {', '.join(map(repr, apps))}" if apps else ""


def near(word: str, words: Iterable[str]) -> str:
    import difflib

    matches = difflib.get_close_matches(word, [w for w in words if w != word], n=3)
    return f"; is it {' or '.join(map(repr, matches))}?" if matches else ""


def check_arguments(app: Any, name: str) -> None:
    """Refuse a plain function that cannot take an application's two arguments."""
    import inspect

    if not inspect.isfunction(app):
        return
    try:
        inspect.signature(app).bind(None, None)
    except TypeError:
        hint = f"if it makes the application, write {name + '()'!r}"
        raise AppError(f"{name!r} is a function that does not take a WSGI application's two arguments; {hint}") from None


class Gone(ConnectionError):
    """The web server has closed the connection, or is silent: the visitor has left."""


# PEP 3333 keeps these for the server. Apache would take a Status header from
# the app for ours, and a Transfer-Encoding for its own.
is_the_servers = re.compile(
    r"(connection|keep-alive|proxy-authenticate|proxy-authorization|status|te|trailers?|transfer-encoding|upgrade)\Z", re.IGNORECASE
).match
# Apache reads a script's header into 8,192 bytes (MAX_STRING_LEN, used in
# fcgid_bridge.c); a longer one is "End of script output before headers".
LONGEST_HEADER = 8_189
header_name = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z").match
# Apache answers 500 by itself when one of these gets into a header.
control_character = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
whole_number = re.compile(r"[0-9]+\Z").match
# An answer cannot be 1xx: mod_fcgid takes the first header block for all there is.
status_line = re.compile(r"[2-9][0-9][0-9](?: |\Z)").match

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
            if not is_the_servers(name):
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
        self._bodyless = status[:3] in ("204", "304")
        if status[:3] == "200":  # else Apache answers with the page that Location names (CGI)
            headers = [item for item in headers if item[0].lower() != "location"]
        length = next((v.strip() for name, v in headers if name.lower() == "content-length"), None)
        if length is not None and not whole_number(length):
            self._errors.write(f"The Content-Length {length!r} is no number of bytes; left out.\n")
            headers = [item for item in headers if item[0].lower() != "content-length"]
            length = None
        if length is None and only is not None and not self._bodyless:
            headers = [*headers, ("Content-Length", str(len(only)))]
        if length is not None and not (self._head or self._bodyless):
            self._left = int(length)
        self._send = self._start(status, headers)

    def write(self, data: bytes) -> None:
        """PEP 3333's write: send `data` at once."""
        data = self.body(data)
        if data and self._send is not None:
            try:
                self._send(data)
            except OSError as error:
                raise Gone from error

    def body(self, data: bytes) -> bytes:
        """What is to be sent of `data`: as much as method, status and length allow."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"the app's body has a {type(data).__name__}, not bytes")
        if not self.begun and data:  # until then the app may change its mind
            self.begin()
        if not self.begun or self._head or self._bodyless:
            return b""
        data = bytes(data)  # copies nothing that is bytes
        if self._left is not None and len(data) > self._left:
            if self._left >= 0:
                self._errors.write("The body is longer than its Content-Length; cut off.\n")
            data, self._left = data[: max(self._left, 0)], -1
        elif self._left is not None:
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
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(FAILURE_PAGE)))]
        self._set = "500 Internal Server Error", [*headers, ("Cache-Control", "no-store")]
        return self.body(FAILURE_PAGE)


def checked_status(status: str) -> str:
    if not isinstance(status, str) or not status_line(status) or control_character(status):
        raise ValueError(f"{status!r} is no status: it has to be like '200 OK'")
    # A reason that is longer than a line may be would fail the answer, and is shown to nobody.
    return status.encode("latin-1", "replace").decode("latin-1")[: LONGEST_HEADER - len("Status: ")]


class FileWrapper:
    """``wsgi.file_wrapper``: a file in blocks of four FastCGI records."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self._file = file
        self._size = max(block_size, 4 * LONGEST_CONTENT)
        self.close = getattr(file, "close", lambda: None)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._size), b"")


# Where Flask has the path of its session's cookie, and Flask-Login that of the one that logs in again.
COOKIE_PATHS = ("SESSION_COOKIE_PATH", "REMEMBER_COOKIE_PATH")


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
        flask = sys.modules.get("flask")
        self._config: Any = app.config if flask is not None and isinstance(app, flask.Flask) else None
        self._cookie_paths: dict[str, str] = {}
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
            self._stay_one()
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
        start("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "no-store"), ("OCF-Flask-Release", release)])
        return [release.encode() + b"\n"]

    def _confine_cookie(self, environ: Environ) -> None:
        """Keep Flask's session, and Flask-Login's, from the other sites on a shared host name.

        One process can answer for several hosts, so it is set for each request.
        """
        config = self._config
        if config is None or config.get("APPLICATION_ROOT") not in (None, "/"):
            return
        for name in COOKIE_PATHS:
            if config.get(name) == self._cookie_paths.get(name):
                config[name] = self._cookie_paths[name] = environ["SCRIPT_NAME"] or "/"

    def _pass_on(self, result: Any, response: Response) -> Generator[bytes, None, None]:
        if isinstance(result, (str, bytes)):
            raise TypeError(f"the app returned {type(result).__name__}, not a list of bytes")
        known = isinstance(result, (list, tuple)) and len(result) == 1
        if known and isinstance(result[0], bytes) and not response.begun:
            response.begin(only=result[0])
        for data in result:
            self._stay_one()
            data = response.body(data)
            if data:
                yield data
            if response.begun and response.complete:
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
        if url and (url == prefix or url.startswith(prefix + "/")):
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


# mod_fcgid makes a connection for each request and then closes it. It sends one
# BEGIN_REQUEST (number 1, flags 0, the role of a responder), all parameters in
# one record, the body, and no other record (fcgid_protocol.c; add_request_body
# in fcgid_bridge.c). So there is no multiplexing and no kept connection here,
# and what departs from this ends the connection.
BEGIN_REQUEST, _, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
REQUEST_ID = 1
RESPONDER = struct.pack("!H", 1)

record_header = struct.Struct("!BBHHBx")

# The longest content that is a multiple of eight, so that no record needs
# padding to be aligned (specification, 3.3).
LONGEST_CONTENT = 65_528
LONGEST_PARAMS = 1_000_000


def record(kind: int, content: bytes) -> bytes:
    return record_header.pack(1, kind, REQUEST_ID, len(content), 0) + content


ENDING = record(STDOUT, b"") + record(END_REQUEST, bytes(8))


class Broken(Gone):
    """The peer sends what mod_fcgid never does."""


class Turn:
    """Whose turn it is to send: an app's threads may log while the answer is being sent.

    They wait for each other. What Python runs in the middle of a turn, finalizers
    and signal handlers, cannot wait for it: that gets `Gone`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_taken = False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._is_taken:
            self._lock.release()
            raise Gone
        self._is_taken = True

    def __exit__(self, *_: object) -> None:
        self._is_taken = False
        self._lock.release()


class Connection:
    """One connection from the web server: a request in, its answer out."""

    def __init__(self, sock: socket.socket, received: io.BufferedReader) -> None:
        self._sock = sock
        self._received = received
        self._turn = Turn()
        self._thread = threading.get_ident()
        self._rest: list[Buffer] = []
        self._head = b""
        self.body: Body | None = None

    def receive(self, length: int) -> bytes:
        """Exactly `length` bytes."""
        try:
            content = self._received.read(length)
        except OSError as error:
            raise Gone(str(error)) from None
        if content is None or len(content) < length:
            raise Gone
        return content

    def receive_into(self, into: memoryview) -> int:
        """Some bytes, at least one."""
        try:
            count = self._received.readinto1(into)
        except OSError as error:
            raise Gone(str(error)) from None
        if not count:
            raise Gone
        return count

    def receive_header(self, expected: int) -> tuple[int, int]:
        """The lengths of the next record's content and padding; its type has to be `expected`."""
        version, kind, request_id, length, padding = record_header.unpack(self.receive(8))
        if (version, kind, request_id) != (1, expected, REQUEST_ID):
            raise Broken(f"a record of version {version}, type {kind} and request {request_id}, where one of type {expected} belongs")
        return length, padding

    def receive_record(self, expected: int) -> bytes:
        length, padding = self.receive_header(expected)
        return self.receive(length + padding)[:length]

    def receive_params(self) -> dict[str, str]:
        """The parameters of the request that begins here. Raises `Broken` or `Gone`."""
        begin = self.receive_record(BEGIN_REQUEST)
        if len(begin) != 8 or not begin.startswith(RESPONDER):
            raise Broken("a request for something else than a responder")
        params = bytearray()
        while content := self.receive_record(PARAMS):
            params += content
            if len(params) > LONGEST_PARAMS:
                raise Broken("more parameters than any request has")
        return decode_params(bytes(params))

    def send(self, buffers: list[Buffer]) -> None:
        """Send all of `buffers`, in one system call if the peer keeps up.

        Raises `Gone` too for what cannot be sent now: in the middle of something
        else, or from a thread that would have to wait during an upload.
        """
        with self._turn:
            if self._rest and not self._may_wait():
                raise Gone
            self._send([*self._rest, *buffers])

    def _send(self, buffers: list[Buffer]) -> None:
        has_begun, self._rest = bool(self._rest), []
        while buffers:
            try:
                sent = self._sock.sendmsg(buffers, (), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                if self._may_wait():
                    self._wait_for_peer()
                elif has_begun:
                    self._rest = buffers  # goes before whatever is sent next
                    return
                else:
                    raise Gone from None
                continue
            except OSError as error:
                raise Gone(str(error)) from None
            has_begun = True
            while buffers and sent >= len(buffers[0]):
                sent -= len(buffers.pop(0))
            if sent:
                buffers[0] = memoryview(buffers[0])[sent:]

    def _may_wait(self) -> bool:
        """Whether this thread can: of an upload, the app's own thread alone reads."""
        return threading.get_ident() == self._thread or self.body is None or self.body.complete

    def _wait_for_peer(self) -> None:
        """Wait until more can be sent.

        mod_fcgid reads nothing before it has written all of the request
        (handle_request in fcgid_bridge.c): an app that answers at length before
        it has read its upload would wait for ever.
        """
        if self.body is not None:
            self.body.spool()
        poller = poll()
        poller.register(self._sock, POLLOUT)
        poller.poll()

    def start(self, status: str, headers: Headers) -> Write:
        """The server's start_response. The headers go with the first of the body."""
        self._head = header_block(status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        """Send `data`, copying it only when it is short."""
        head, self._head = self._head, b""
        if len(head) + len(data) <= LONGEST_CONTENT:
            head, data = b"", head + data
        for view in (memoryview(head), memoryview(data)):
            for at in range(0, len(view), LONGEST_CONTENT):
                content = view[at : at + LONGEST_CONTENT]
                self.send([record_header.pack(1, STDOUT, REQUEST_ID, len(content), 0), content])


def decode_params(data: bytes) -> dict[str, str]:
    """Name-value pairs as PEP 3333's native strings. Raises `Broken`."""
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
        at = -1
    if at != end:
        raise Broken("parameters that do not add up")
    return params


class Body(io.RawIOBase):
    """The request's body, read from the connection when the app asks for it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._left = self._padding = 0
        self._spool: Any = None
        self.complete = False

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if self._spool is not None:
            return cast("int", self._spool.readinto(into))
        try:
            if not self._left and not self.complete:
                self._next_record()
            if self.complete:
                return 0
            count = self._connection.receive_into(memoryview(into)[: self._left])
        except Gone:
            self.complete = True
            raise
        self._left -= count
        return count

    def _next_record(self) -> None:
        self._connection.receive(self._padding)
        self._left, self._padding = self._connection.receive_header(STDIN)
        if not self._left:
            self._connection.receive(self._padding)
            self.complete = True

    def spool(self) -> None:
        """Put what is still to come aside, for the app to read later."""
        if not self.complete:
            import tempfile

            spool = tempfile.TemporaryFile()  # noqa: SIM115 (discard closes it)
            block = bytearray(65_536)
            while count := self.readinto(block):
                spool.write(memoryview(block)[:count])
            spool.seek(0)
            self._spool = spool

    def discard(self) -> None:
        """Take in what the app left unread, or the web server reports an error."""
        if self._spool is not None:
            self._spool.close()
        block = bytearray(0 if self.complete else 65_536)
        while not self.complete:
            self.readinto(block)


class RequestErrors:
    """The request's STDERR stream, the server's binary ``wsgi.errors``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection.send([record(STDERR, data)])

    def flush(self) -> None:
        """Nothing is held back."""


class Responder:
    """Answers a connection's request with a WSGI application."""

    def __init__(self, application: Application, errors: ErrorStream) -> None:
        self._application = application
        self._errors = errors

    def __call__(self, sock: socket.socket) -> None:
        with cast("io.BufferedReader", sock.makefile("rb", 65_536)) as received:
            connection = Connection(sock, received)
            try:
                params = connection.receive_params()
            except Broken as error:
                self._errors.text.write(f"The web server sent {error}; the connection is closed.\n")
            except Gone:
                pass
            else:
                self._answer(connection, params)

    def _answer(self, connection: Connection, params: dict[str, str]) -> None:
        """Answer the request, and whatever happens, end it."""
        connection.body = body = Body(connection)
        try:
            environ = complete_environ(params, body, RequestErrors(connection))
            with contextlib.closing(self._application(environ, connection.start)) as result:
                for data in result:
                    connection.write(data)
                connection.write(b"")
            body.discard()
        except Gone:
            pass
        except BaseException as error:  # an error of ours, but the visitor must not wait
            self._errors.report(error)
        finally:
            connection.body = None
            with contextlib.suppress(Gone):
                connection.send([ENDING])


def header_block(status: str, headers: Headers) -> bytes:
    lines = [f"Status: {status}\r\n", *(f"{name}: {value}\r\n" for name, value in headers), "\r\n"]
    return "".join(lines).encode("latin-1")


def complete_environ(params: dict[str, str], body: io.RawIOBase, errors: Any) -> Environ:
    https = params.get("HTTPS", "").lower() in ("on", "1")
    return {
        "REQUEST_METHOD": "GET",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "QUERY_STRING": "",
        **params,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if https else "http",
        "wsgi.input": io.BufferedReader(body, 65_536),
        "wsgi.errors": errors,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


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

    def touched(self) -> bool:
        """Whether it is still that file, only newer, and one that suexec would start.

        suexec refuses what others can write: they may have, to run it as the owner.
        """
        inode, modified = self._look()
        return inode == self._inode and modified > self._modified and self._is_the_owners_alone()

    def can_start(self) -> bool:
        """Whether its first line names an interpreter that is there."""
        try:
            with open(self._path, "rb") as file:
                first_line = file.readline().strip()
        except OSError:
            return False
        return os.access(self._path, os.X_OK) and first_line.startswith(b"#!") and os.access(first_line[2:], os.X_OK)

    def _is_the_owners_alone(self) -> bool:
        try:
            found = [os.stat(path) for path in (self._path, os.path.dirname(self._path))]
        except OSError:
            return False
        return all(one.st_uid == os.getuid() and not one.st_mode & 0o022 for one in found)


class Loop:
    """Accepts connections and answers them one after the other.

    mod_fcgid gives a process one request at a time (apply_free_procnode in
    fcgid_bridge.c takes it off the list of idle ones), so threads buy nothing.
    """

    def __init__(self, listener: socket.socket, watch: Watch) -> None:
        self._listener = listener
        self._watch = watch
        self._poller = poll()
        self._poller.register(listener, POLLIN)
        self._draining = False
        self._end = float("inf")
        listener.setblocking(False)

    def end_after(self, seconds: float) -> None:
        self._end = min(self._end, time.monotonic() + seconds)

    def drain(self, *_: object) -> None:
        """Answer what is queued, then end: the handler of SIGTERM.

        Not at once where it is the restarter's, who has seen another run.fcgi. After
        `touch run.fcgi` the process is about to start again on the socket; one whose
        file was replaced is still waited for by some visitors (see `run`). That is
        over before mod_fcgid, if it was its signal after all, kills after 4 seconds.
        """
        if self._watch.touched():
            self._draining = True
        elif self._watch.changed():
            self.end_after(WATCH_SECONDS)
        else:
            self._draining = True
            self._shut()

    def _shut(self) -> None:
        """Take no more connections.

        Linux then refuses new connections to a Unix socket, so that the web
        server turns to another process, but still gives out the queued ones.
        """
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RD)

    def leave(self) -> None:
        """In a process that the app forked: leave the socket and SIGTERM to its parent.

        It must end on the signal, as a pool's worker does, and not shut the socket instead.
        """
        self._listener.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def run(self, answer: Callable[[socket.socket], None]) -> bool:
        """Let `answer` have each connection.

        Returns whether the process shall start again: what is queued is then left to that.

        A process whose run.fcgi was replaced gets no new visitors, but all those that
        came before and found every process busy: they ask each second for one that
        was started from the old file (apply_free_procnode in fcgid_bridge.c compares
        inodes). So it ends when it is idle; else they would wait up to 12 seconds.
        """
        while not self._draining:
            seconds = min(WATCH_SECONDS, max(self._end - time.monotonic(), 0))
            idle = not (self._poller.poll(seconds * 1000) and self._serve_next(answer))
            over = self._watch.touched() or (idle and self._watch.changed())
            # Only ever set: what the signal's handler sets meanwhile must not be lost.
            if over or time.monotonic() >= self._end:
                self._draining = True
        again = self._watch.touched() and not has_threads() and self._watch.can_start()
        if not again:
            self._shut()
            while self._serve_next(answer):
                pass
        return again

    def _serve_next(self, answer: Callable[[socket.socket], None]) -> bool:
        """Answer a connection if one waits; whether it did."""
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:  # the peer has gone again
            return False
        except OSError as error:
            # Else it is short of descriptors or memory, which may pass.
            if error.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):  # the app has closed it
                self._draining = True
            time.sleep(0.1)
            return False
        with sock:
            sock.settimeout(None)  # the app may have set another for all new ones
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", SILENCE_SECONDS, 0))
            answer(sock)
        return True


# How long what the app does at its exit may keep visitors waiting.
EXIT_SECONDS = 2
SECOND_START = "OCF_FLASK_SECOND_START"


def has_threads() -> bool:
    """Whether the app has threads that Python would wait for at its end."""
    return any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())


class Beginning:
    """What a process had from the web server, to start again with."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._directory = os.getcwd()
        self._name = os.path.basename(sys.argv[0])
        self._umask = os.umask(0o022)
        os.umask(self._umask)

    def again(self, listener: socket.socket, errors: ErrorStream) -> None:
        """Become what run.fcgi starts now, on the same socket, or end.

        mod_fcgid does not notice. Ended processes it would replace late: their places
        count as taken until it looks for them, every 4 seconds (scan_errorlist in
        fcgid_pm_main.c), and each end and start delays the next ones (fcgid_spawn_ctl.c).
        After `touch run.fcgi` on a busy site visitors would wait up to 10 seconds.
        """
        # It must not end a process that has begun but cannot answer it yet: it may have requests queued.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        signal.signal(signal.SIGALRM, lambda *_: self._execute(listener, errors))
        signal.alarm(EXIT_SECONDS)
        atexit._run_exitfuncs()
        self._execute(listener, errors)

    def _execute(self, listener: socket.socket, errors: ErrorStream) -> None:
        signal.alarm(0)
        errors.give_back()
        os.dup2(listener.fileno(), 0)
        os.chdir(self._directory)
        os.umask(self._umask)
        # With a slash, the restarter does not find the file: it would go on
        # ending the process, whose number is the old one's. The watch remains.
        script = os.path.join(".", self._name)
        with contextlib.suppress(OSError):
            os.execve(script, [script], self._environment)
        # An exit handler that hangs must not get its turn again.
        os._exit(1)


def start_again_if_mixed(site: Site) -> None:
    """See that the interpreter is the one of this release.

    When run.fcgi is replaced after the kernel has read its first line and before
    Python reads the rest, the old release's Python has the new release's code.
    """
    python = os.path.join(site.release, "venv", "bin", "python")
    second = os.environ.pop(SECOND_START, "")
    if sys.executable == python or second:
        return
    try:
        with open(site.script, "rb") as file:
            first_line = file.readline().strip()
        if first_line == b"#!" + os.fsencode(python):
            os.execve(sys.argv[0], sys.argv, {**os.environ, SECOND_START: "1"})
    except OSError:
        pass


def flup_answer(application: Application, errors: ErrorStream) -> Callable[[socket.socket], None]:
    """Answer a connection's request with flup's FastCGI, or flup6's.

    Only their protocol is used. Their ways to accept connections lose requests:
    the threaded one (flup.server.fcgi) ends with requests in flight on SIGTERM,
    and in flup6 the single-threaded one (fcgi_single) cannot be made on
    Python 3, since it calls dict.has_key.
    """
    from flup.server import fcgi_base  # type: ignore[import-untyped,unused-ignore]

    class LockedConnection(fcgi_base.Connection):  # type: ignore[misc]
        turn = Turn()

        def writeRecord(self, rec: Any) -> None:
            with self.turn:
                super().writeRecord(rec)

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

    def answer(sock: socket.socket) -> None:
        try:
            LockedConnection(sock, None, flup_server, *more).run()
        except OSError:  # the visitor has left
            pass
        except Exception as error:  # flup lets errors of the format through
            errors.text.write(f"flup gave up a connection: {error!r}\n")

    return answer


def explain(name: str, site: Site) -> int:
    """Make one request in process and show the answer; the exit status."""
    print(f"{site.script} is started by Apache's mod_fcgid, with a listening socket")
    print("as its standard input, when a visitor asks for the site. This is a terminal, so")
    print(f"it makes one test request to the app {name!r} of release {site.release_id}.\n", flush=True)
    errors = ErrorStream(site)
    try:
        application = start_application(name, site, errors)
    except BaseException as error:
        errors.report(error)
        print("\nThe app cannot be imported; visitors get 500 until it can.")
        return 1
    path = sys.argv[1] if len(sys.argv) > 1 else "/"
    status, headers, body = ask(application, path)
    print(f"GET {path}", status, *(f"{header}: {value}" for header, value in headers), sep="\n")
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


def start_application(name: str, site: Site, errors: ErrorStream) -> Application:
    """The app, in its environment. Raises what it raises when it is imported."""
    prepare_environment(site)
    with without_collections(), ignoring_app_run():
        return Application(load(name), site, errors)


# More objects than a process has.
NEVER = 1 << 30


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Import without the garbage collector, which would walk all modules so far again and again: a fifth of a cold start.

    What is there then lives as long as the process, so that no later collection looks at it.
    An app that sets the collector itself is left its setting.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(NEVER)
    try:
        yield
    finally:
        gc.freeze()
        if gc.get_threshold()[0] == NEVER:
            gc.set_threshold(*thresholds)


@contextlib.contextmanager
def ignoring_app_run() -> Iterator[None]:
    """Import as ``flask run`` does: an ``app.run()`` that no ``__name__`` guards would never return.

    Flask then ignores it, and says so in the log (``Flask.run``).
    """
    name = "FLASK_RUN_FROM_CLI"
    given = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        if given is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = given


def close_inherited_descriptors() -> None:
    """Close Apache's own, which nothing that the app starts should hold.

    mod_fcgid leaves two ends of its pipes open. What Python has opened is not
    inheritable (PEP 446).
    """
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own is closed by now
            if int(name) > 2 and os.get_inheritable(int(name)):
                os.close(int(name))


def release_children(loop: Loop, errors: ErrorStream) -> None:
    """Make a process that the app forks, such as a worker of multiprocessing's, the app's own."""

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def in_child() -> None:
        errors.forget()
        loop.leave()
        unblock()

    # A signal that reaches the child before it has left would be lost.
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}),
        after_in_parent=unblock,
        after_in_child=in_child,
    )


def failing(error: BaseException) -> WSGIApp:
    """An app that answers each request with `error`."""

    def app(environ: Environ, start: Callable[..., Write]) -> Iterable[bytes]:
        raise error

    return app


def answer_with(name: str, server: str, site: Site, errors: ErrorStream, loop: Loop) -> Callable[[socket.socket], None]:
    """What answers a connection's request: the app, or 500 if it cannot be imported."""
    try:
        application = start_application(name, site, errors)
        return Responder(application, errors) if server == "builtin" else flup_answer(application, errors)
    except BaseException as error:
        loop.end_after(FAILED_SECONDS)
        return Responder(Application(failing(error), site, errors, imported=False), errors)


def serve(app: str, server: str = "builtin") -> None:
    """Serve `app`, named as for `load`, until mod_fcgid or the watch ends it.

    `server` is ``builtin``, ``flup6`` or ``flup``. In a terminal it explains
    itself instead, and exits 0 if the app answers without an error, else 1.
    """
    if server not in ("builtin", "flup6", "flup"):
        raise ValueError(f"the server {server!r} is none of builtin, flup6, flup")
    site = Site.here()
    start_again_if_mixed(site)
    beginning = Beginning()
    watch = Watch(site.script)
    listener = listening_socket()
    if listener is None:
        sys.exit(explain(app, site))
    close_inherited_descriptors()
    smoke_test = "OCF_FLASK_SMOKE_TEST" in os.environ
    if smoke_test:
        import faulthandler

        # The deploy sends it when its time is up: a hanging app says where it hangs.
        faulthandler.register(signal.SIGQUIT, file=os.dup(2), all_threads=True)
    errors = ErrorStream(site, None if smoke_test else Log(os.path.join(site.private, "log")))
    sys.stdout = sys.stderr = errors.text
    loop = Loop(listener, watch)
    signal.signal(signal.SIGTERM, loop.drain)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    release_children(loop, errors)
    answer = answer_with(app, server, site, errors, loop)
    # An app's own handler would end it in the middle of a request.
    signal.signal(signal.SIGTERM, loop.drain)
    if loop.run(answer):
        beginning.again(listener, errors)
    # A thread or exit handler of the app must not keep a drained process alive.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(10)
