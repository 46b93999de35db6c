"""What a visitor gets from a process of the site, through the real Apache and mod_fcgid, whatever its app does."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hosted import Answer, Container, Site

GIB = 1 << 30
LARGE = 100_000_000
# mod_fcgid waits 40 s for a request that does not end; a process starts in less than one.
AT_ONCE = 20
APP = """
import os
import sys
import time

PLAIN = [("Content-Type", "text/plain")]


def app(environ, start):
    return globals()["do" + environ["PATH_INFO"].replace("/", "_").replace("-", "_")](environ, start)


def do_(environ, start):
    start("200 OK", PLAIN)
    return [b"Hello World!"]


def do_raise(environ, start):
    raise ZeroDivisionError("in a view")


def do_exit(environ, start):
    raise SystemExit(3)


def do_end_the_process(environ, start):
    os._exit(3)


def do_interim(environ, start):
    start("103 Early Hints", PLAIN)
    return []


def do_stream(environ, start):
    start("200 OK", PLAIN)
    yield b"one"
    raise ValueError("in the stream")


def do_headers(environ, start):
    start("200 OK", [*PLAIN, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-U", "\\u4e2d"), ("X-L", "caf\\xe9")])
    return [b"headers"]


def do_print(environ, start):
    print("printed \\xfc \\u4e2d \\udc80")
    start("200 OK", PLAIN)
    return [b"printed"]


def do_no_content(environ, start):
    start("204 No Content", [])
    return [b"not to be sent"]


def do_not_modified(environ, start):
    start("304 Not Modified", [("ETag", '"x"')])
    return [b"not to be sent"]


def do_too_long(environ, start):
    start("200 OK", [*PLAIN, ("Content-Length", "3")])
    return [b"abcdef"]


def do_too_short(environ, start):
    start("200 OK", [*PLAIN, ("Content-Length", "30")])
    return [b"abc"]


def do_count(environ, start):
    \"\"\"Read the body in pieces; how much it was, and how large the process has ever been, in KiB.\"\"\"
    total = 0
    while piece := environ["wsgi.input"].read(65536):
        total += len(piece)
    with open("/proc/self/status") as file:
        peak = next(line.split()[1] for line in file if line.startswith("VmHWM"))
    start("200 OK", PLAIN)
    return [f"{total} {peak}".encode()]


def do_large(environ, start):
    start("200 OK", PLAIN)
    return [b"0123456789" * 10_000_000]


class Endless:
    def __iter__(self):
        return iter(lambda: b"x" * 50_000, b"")

    def close(self):
        print("closed the endless one")


def do_endless(environ, start):
    start("200 OK", PLAIN)
    return Endless()


def do_wait(environ, start):
    open("begun", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.02)
    start("200 OK", PLAIN)
    return [f"waited {os.getpid()}".encode()]
"""


@pytest.fixture(scope="module", name="serving")
def _serving(container: Container) -> Iterator[Site]:
    site = Site(container, "serving")
    site.write("flaskyapplication.py", APP)
    site.deployed()
    yield site
    container.shell(f"rm -rf {site.directory} {site.private}", "root")


def visited(site: Site, path: str, **headers: str) -> Answer:
    """A page of the site, which comes at once."""
    start = time.monotonic()
    answer = site.visit(path, **headers)
    assert time.monotonic() - start < AT_ONCE
    return answer


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/raise", "ZeroDivisionError: in a view"),
        ("/exit", "SystemExit: 3"),
        ("/interim", "'103 Early Hints' is no status"),
    ],
)
def test_an_app_that_fails_answers_500_at_once(serving: Site, path: str, words: str) -> None:
    assert visited(serving, path).status == 500
    assert words in serving.shell(f"cat {serving.private}/log/error.log")
    assert visited(serving, "/").text == "Hello World!"


def test_an_app_that_ends_its_process_costs_that_answer_alone(serving: Site) -> None:
    assert visited(serving, "/end-the-process").status == 500
    assert visited(serving, "/").text == "Hello World!"


def test_an_error_in_the_stream_ends_the_answer_at_once(serving: Site) -> None:
    assert visited(serving, "/stream").text == "one"


def test_headers_and_output_can_be_any_text(serving: Site) -> None:
    answer = visited(serving, "/headers")
    assert (answer.status, answer.text) == (200, "headers")
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["X-U"].encode("latin-1").decode() == "\u4e2d"
    assert answer.headers["X-L"] == "caf\xe9"
    assert visited(serving, "/print").text == "printed"
    assert "printed \xfc \u4e2d \\udc80" in serving.shell(f"cat {serving.private}/log/error.log")


def test_what_has_no_body_gets_none(serving: Site) -> None:
    assert visited(serving, "/no-content").status == 204
    assert visited(serving, "/not-modified").status == 304
    container = serving.container
    head = container.visit("/~alice/serving/", method="HEAD")
    assert (head.status, head.headers["Content-Length"], head.text) == (200, "12", "")


def test_a_body_is_what_its_length_says_or_ends_there(serving: Site) -> None:
    assert visited(serving, "/too-long").text == "abc"
    with pytest.raises(http.client.IncompleteRead) as error:
        visited(serving, "/too-short")
    assert error.value.partial == b"abc"


def test_100_mb_as_one_object_arrive(serving: Site) -> None:
    answer = visited(serving, "/large")
    assert len(answer.text) == LARGE
    assert answer.text.endswith("0123456789")


@pytest.mark.parametrize("size", [LARGE, GIB], ids=["100 MB", "1 GiB"])
def test_an_upload_takes_no_memory_of_the_process(serving: Site, size: int) -> None:
    serving.container.shell("pkill -f [s]erving/releases; true", "root")  # what came before had a peak of its own
    blocks = (bytes(1 << 20) for _ in range(size >> 20))
    connection = http.client.HTTPConnection(serving.container.address, timeout=120)
    headers = {"Host": "www.example.test", "Content-Length": str(size >> 20 << 20)}
    connection.request("POST", "/~alice/serving/count", body=blocks, headers=headers)
    total, peak = map(int, connection.getresponse().read().split())
    connection.close()
    assert total == size >> 20 << 20
    assert peak < 50_000


def test_what_the_app_returned_is_closed_when_the_visitor_leaves(serving: Site) -> None:
    connection = http.client.HTTPConnection(serving.container.address, timeout=60)
    connection.request("GET", "/~alice/serving/endless", headers={"Host": "www.example.test"})
    assert connection.getresponse().read(100_000)
    connection.close()
    end = time.monotonic() + AT_ONCE
    while "closed the endless one" not in serving.shell(f"cat {serving.private}/log/error.log"):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_sigterm_lets_the_request_in_flight_be_answered(serving: Site) -> None:
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(serving.visit, "/wait")
        serving.shell(f"for n in $(seq 200); do [ -e {serving.directory}/begun ] && exit; sleep 0.1; done; exit 1")
        serving.shell(f"pkill -TERM -f [s]erving/releases; touch {serving.directory}/go")
        assert answer.result().text.startswith("waited ")
    assert visited(serving, "/").text == "Hello World!"
