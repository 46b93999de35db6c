"""The app that most tests of the runtime ask: one path for each thing an app can do."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from typing import Any

HEADERS = [("Content-Type", "text/plain")]


def app(environ: dict[str, Any], start_response: Any) -> Any:
    name = environ["PATH_INFO"].strip("/").replace("-", "_") or "root"
    return globals()["do_" + name](environ, start_response)


def do_root(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return [b"Hello World!"]


def do_environ(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    own = {key: value for key, value in environ.items() if isinstance(value, (str, bool, tuple))}
    return [json.dumps({"environ": own, "process": dict(os.environ), "cwd": os.getcwd()}).encode()]


def do_raise(environ: Any, start: Any) -> Any:
    raise ZeroDivisionError("a \udc80 surrogate")


def do_exit(environ: Any, start: Any) -> Any:
    raise SystemExit(3)


def do_interrupt(environ: Any, start: Any) -> Any:
    raise KeyboardInterrupt


def do_raise_late(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    raise ValueError("late")


def do_raise_in_stream(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    yield b"one"
    raise ValueError("in the stream")


class Closing:
    def __init__(self, parts: Any, message: str = "closed\n", error: Any = None) -> None:
        self.parts, self.message, self.error = parts, message, error

    def __iter__(self) -> Any:
        return iter(self.parts)

    def close(self) -> None:
        print(self.message, file=sys.stderr)
        if self.error:
            raise self.error


def do_close(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return Closing([b"a", b"b"])


def do_close_raises(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return Closing([b"a"], error=ValueError("while closing"))


def do_close_endless(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return Closing((b"x" * 50_000 for _ in iter(int, 1)), "closed the endless one")


def do_close_no_content(environ: Any, start: Any) -> Any:
    start("204 No Content", [])
    return Closing([b"a"])


def do_close_text(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return Closing(["text"])


class FileLike(io.BytesIO):
    def close(self) -> None:
        print("closed the file")


def do_file_like(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return environ["wsgi.file_wrapper"](FileLike(b"content"))


def do_no_start(environ: Any, start: Any) -> Any:
    return [b"x"]


def do_interim_status(environ: Any, start: Any) -> Any:
    start("103 Early Hints", HEADERS)
    return []


def do_change_of_mind(environ: Any, start: Any) -> Any:
    """PEP 3333: an empty string sends no headers yet."""
    start("200 OK", HEADERS)
    yield b""
    try:
        raise ValueError("before the first byte")
    except ValueError:
        start("503 Busy", HEADERS, sys.exc_info())
    yield b"busy"


def do_text_body(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return ["text"]


def do_none(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)


def do_write(environ: Any, start: Any) -> Any:
    write = start("200 OK", HEADERS)
    write(b"written ")
    write(b"and ")
    return [b"returned"]


def do_exc_info(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    try:
        raise ValueError("x")
    except ValueError:
        start("503 Busy", [("X-Second", "yes")], sys.exc_info())
    return [b"busy"]


def do_exc_info_too_late(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    yield b"begun "
    try:
        raise ValueError("after the first byte")
    except ValueError:
        start("503 Busy", HEADERS, sys.exc_info())
    yield b"busy"


def do_start_twice(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    start("200 OK", HEADERS)
    return []


def do_headers(environ: Any, start: Any) -> Any:
    start("200 OK", [("X-A", "1"), ("X-A", "2"), ("X-L", "caf\xe9"), ("X-U", "\u4e2d")])
    return [b""]


def do_dropped_headers(environ: Any, start: Any) -> Any:
    start("200 OK", [("Status", "404"), ("Transfer-Encoding", "chunked"), ("Location", "/x")])
    return [b"kept"]


def do_injection(environ: Any, start: Any) -> Any:
    start("200 OK", [("X-A", "1\r\nSet-Cookie: a=b")])
    return [b""]


def do_long_header(environ: Any, start: Any) -> Any:
    start("200 OK", [("X-A", "1" * 9000)])
    return [b""]


def do_bad_status(environ: Any, start: Any) -> Any:
    start("fine", HEADERS)
    return [b""]


def do_too_long(environ: Any, start: Any) -> Any:
    start("200 OK", [("Content-Length", "3")])
    return [b"abcdef", b"ghi"]


def do_too_short(environ: Any, start: Any) -> Any:
    start("200 OK", [("Content-Length", "30")])
    return [b"abc"]


def do_no_content(environ: Any, start: Any) -> Any:
    start("204 No Content", [])
    return [b"not to be sent"]


def do_not_modified(environ: Any, start: Any) -> Any:
    start("304 Not Modified", [("Content-Length", "14")])
    return [b"not to be sent"]


def do_print(environ: Any, start: Any) -> Any:
    print("printed \xfc \u4e2d \udc80")
    print("to stderr", file=sys.stderr)
    environ["wsgi.errors"].write("a partial line")
    start("200 OK", HEADERS)
    return [b""]


def do_print_much(environ: Any, start: Any) -> Any:
    print("\n".join(f"line {number} {'x' * 90}" for number in range(1000)))
    start("200 OK", HEADERS)
    return [b""]


def do_close_errors(environ: Any, start: Any) -> Any:
    environ["wsgi.errors"].close()
    sys.stdout.close()
    print("still heard")
    start("200 OK", HEADERS)
    return [b""]


def do_file(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return environ["wsgi.file_wrapper"](open(__file__, "rb"), 10)


def do_large(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return [b"0123456789abcdef" * (100_000_000 // 16)]


def do_small(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return [b"small"]


def do_injected_name(environ: Any, start: Any) -> Any:
    start("200 OK", [("X-A\r\nB", "c")])
    return [b""]


def do_injected_line(environ: Any, start: Any) -> Any:
    start("200 OK", [("X-A", "1\nB: c")])
    return [b""]


def do_injected_status(environ: Any, start: Any) -> Any:
    start("200 OK\r\nB: c", HEADERS)
    return [b""]


def do_header_of_bytes(environ: Any, start: Any) -> Any:
    start("200 OK", [("X-A", b"c")])
    return [b""]


def do_length(environ: Any, start: Any) -> Any:
    start("200 OK", [*HEADERS, ("Content-Length", environ["HTTP_LENGTH"])])
    return [b"abc", b"def"]


def do_alarm(environ: Any, start: Any) -> Any:
    left = [200]

    def tell(*_: Any) -> None:
        left[0] -= 1
        print("tick")
        if not left[0]:
            signal.setitimer(signal.ITIMER_REAL, 0)

    signal.signal(signal.SIGALRM, tell)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    start("200 OK", HEADERS)
    return [b"x" * 20_000_000]


def do_log_in_upload(environ: Any, start: Any) -> Any:
    talker = threading.Thread(target=lambda: [print("y" * 1000) for _ in range(3000)])
    talker.start()
    count = 0
    while piece := environ["wsgi.input"].read(10_000):
        count += len(piece)
        time.sleep(0.001)
    talker.join()
    start("200 OK", HEADERS)
    return [str(count).encode()]


def do_unread(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return [b"y" * 3_000_000]


def do_echo(environ: Any, start: Any) -> Any:
    start("200 OK", HEADERS)
    return iter(lambda: environ["wsgi.input"].read(100_000), b"")


def do_lines(environ: Any, start: Any) -> Any:
    source = environ["wsgi.input"]
    start("200 OK", HEADERS)
    parts = [source.readline(), source.readline(2), *source.readlines(), source.read()]
    return [json.dumps([part.decode() for part in parts]).encode()]


def do_count(environ: Any, start: Any) -> Any:
    """Read the body in pieces; how much it was and how large the process got."""
    total = 0
    while piece := environ["wsgi.input"].read(65_536):
        total += len(piece)
    with open("/proc/self/status") as file:
        peak = next(line.split()[1] for line in file if line.startswith("VmHWM"))
    start("200 OK", HEADERS)
    return [f"{total} {peak}".encode()]


def do_subprocess(environ: Any, start: Any) -> Any:
    import subprocess

    start("200 OK", HEADERS)
    return [subprocess.run(["cat"], capture_output=True, timeout=5, check=True).stdout, b"done"]


def do_fork(environ: Any, start: Any) -> Any:
    child = os.fork()
    if not child:
        sys.exit(0)
    os.waitpid(child, 0)
    start("200 OK", HEADERS)
    return [b"parent"]


def do_terminated_child(environ: Any, start: Any) -> Any:
    import signal
    import time

    ready, begun = os.pipe()
    child = os.fork()
    if not child:
        os.write(begun, b"x")
        for _ in range(1000):  # not signal.pause, which would miss a signal that comes just before it
            time.sleep(0.01)
        os._exit(1)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    start("200 OK", HEADERS)
    return [f"ended by signal {os.WTERMSIG(status)}".encode()]


def do_wait(environ: Any, start: Any) -> Any:
    """Say that the request has begun, then wait until a file appears."""
    import time

    open(environ["HTTP_BEGUN"], "w").close()
    while not os.path.exists(environ["HTTP_WAIT_FOR"]):
        time.sleep(0.005)
    start("200 OK", HEADERS)
    return [b"waited"]


def do_threads(environ: Any, start: Any) -> Any:
    """Log from threads while a large body is on its way."""
    import threading

    def log() -> None:
        for number in range(200):
            print(f"thread {number}", file=sys.stderr)

    threads = [threading.Thread(target=log) for _ in range(3)]
    start("200 OK", HEADERS)
    for thread in threads:
        thread.start()
    for _ in range(100):
        yield b"z" * 100_000
    for thread in threads:
        thread.join()
