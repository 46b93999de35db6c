"""What docs/what-cannot-work.md says, with the web server's own limits and, where a wait would be long, with smaller ones."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from browser import Browser
from hosted import Container, Site

APP = """
import itertools
import os
import socket
import subprocess
import threading
import time

from flask import Flask, Response, request

app = Flask(__name__)
PORT = 5051
counter = itertools.count(1)


@app.route("/")
def index():
    return "Hello World!"


@app.route("/silent")
def silent():
    time.sleep(600)
    return "at last"


@app.route("/stream")
def stream():
    def generate():
        for number in range(600):
            yield f"{number}\\n" + "x" * 100_000
            time.sleep(0.1)

    return Response(generate(), mimetype="text/plain")


@app.route("/events")
def events():
    def generate():
        yield "data: one\\n\\n"
        while not os.path.exists("go"):
            time.sleep(0.05)
        yield "data: two\\n\\n"

    return Response(generate(), mimetype="text/event-stream")


@app.route("/thread")
def thread():
    server = socket.create_server(("127.0.0.1", PORT))

    def beat():
        while True:
            with open("beats", "a") as file:
                file.write("x")
            server.accept()[0].close()

    def visit():
        while True:
            socket.create_connection(("127.0.0.1", PORT)).close()
            time.sleep(0.1)

    for target in (beat, visit):
        threading.Thread(target=target).start()
    return str(os.getpid())


@app.route("/wait")
def wait():
    number = next(counter)
    open(f"begun-{os.getpid()}-{number}", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.05)
    return str(os.getpid())


@app.route("/size", methods=["POST"])
def size():
    open("asked", "w").close()
    return str(len(request.get_data()))


@app.route("/program")
def program():
    return subprocess.check_output(["python", "-c", "print('from a program')"])


@app.route("/cookie")
def cookie():
    response = app.make_response("")
    response.set_cookie("everywhere", "1")
    response.set_cookie("here", "1", path=request.script_root or "/")
    return response


@app.route("/socket")
def websocket():
    sockets = [name for name in ("werkzeug.socket", "gunicorn.socket") if name in request.environ]
    return Response(repr(sockets), 101 if "upgrade" in request.args else 200, {"Upgrade": "websocket", "Connection": "Upgrade"})
"""
# As in server.md's table of the real server's, but small.
LIMITS = """
FcgidIOTimeout 3
FcgidBusyTimeout 4
FcgidBusyScanInterval 1
FcgidIdleTimeout 2
FcgidIdleScanInterval 1
FcgidMaxRequestLen 1000000
Header always set X-Limits small
"""
PROCESSES = 5
LONG = 20.0


@pytest.fixture(scope="module")
def probe(container: Container) -> Iterator[Site]:
    one = Site(container, "limits")
    one.write("flaskyapplication.py", APP)
    one.deployed()
    yield one
    container.shell(f"rm -rf {one.directory} {one.private}", "root")


@pytest.fixture(scope="module")
def small_limits(probe: Site) -> Iterator[None]:
    """The web server with small figures, until the end of this module."""
    path = "/etc/apache2/conf-enabled/zz-limits.conf"
    reload = "kill -HUP $(cat /run/apache2/apache2.pid)"
    probe.container.shell(f"cat > {path}; {reload}", "root", stdin=LIMITS)
    until(lambda: headers(probe).get("X-Limits") == "small")
    yield
    probe.container.shell(f"rm {path}; {reload}", "root")
    until(lambda: headers(probe) and "X-Limits" not in headers(probe))


def headers(site: Site) -> dict[str, str]:
    try:
        return dict(site.visit().headers)
    except OSError:
        return {}


def until(condition: object) -> None:
    end = time.monotonic() + LONG
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.1)


def files(site: Site, pattern: str) -> list[str]:
    return site.shell(f"cd {site.directory}; ls {pattern} 2>/dev/null; true").split()


def test_a_websocket_cannot_be_opened(probe: Site) -> None:
    key = base64.b64encode(bytes(16)).decode()
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": key}
    plain = probe.visit("/socket", **asked)
    assert (plain.status, plain.text) == (200, "[]"), "what flask-sock looks for is not there"
    assert probe.visit("/socket?upgrade", **asked).status == 500
    assert "'101 SWITCHING PROTOCOLS' is no status" in probe.shell(f"cat {probe.private}/log/error.log")


def test_at_most_five_requests_of_a_site_are_answered_at_a_time(probe: Site) -> None:
    probe.shell(f"cd {probe.directory}; rm -f go begun-*")
    with ThreadPoolExecutor(PROCESSES + 3) as pool:
        answers = [pool.submit(probe.visit, "/wait") for _ in range(PROCESSES + 3)]
        until(lambda: len(files(probe, "begun-*")) == PROCESSES)
        time.sleep(2)  # A sixth would have begun by now, as these did.
        begun = files(probe, "begun-*")
        probe.shell(f"touch {probe.directory}/go")
        pids = [answer.result().text for answer in answers]
    assert len(begun) == PROCESSES and len(set(pids)) == PROCESSES
    # Each process has variables of its own: all count from one.
    assert {name.rpartition("-")[2] for name in begun} == {"1"}


def test_events_arrive_when_64_kb_are_together_or_the_answer_ends(probe: Site) -> None:
    probe.shell(f"rm -f {probe.directory}/go")
    connection = http.client.HTTPConnection(probe.container.address, timeout=3)
    connection.request("GET", "/~alice/limits/events", headers={"Host": "www.example.test"})
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    probe.shell(f"touch {probe.directory}/go")
    assert probe.visit("/events").text == "data: one\n\ndata: two\n\n"


def test_a_cookie_of_the_apps_own_goes_where_its_path_says(probe: Site) -> None:
    browser = Browser(probe)
    browser.open("/cookie")
    assert browser.paths() == {"everywhere": "/", "here": "/~alice/limits"}


def test_a_server_of_the_apps_own_is_ignored_or_not_deployed(site: Site) -> None:
    site.write("flaskyapplication.py", APP + "\n\napp.run(port=5050)\n")
    site.deployed()
    assert site.visit().text == "Hello World!"
    site.write("flaskyapplication.py", APP + '\n\nfrom werkzeug.serving import run_simple\n\nrun_simple("127.0.0.1", 5050, app)\n')
    done = site.deploy("-e", '{"ocf_flask_smoke_test": {"timeout": 5}}')
    assert done.returncode != 0 and "did not answer GET / within 5 s" in done.output and "in run_simple" in done.output
    assert site.visit().text == "Hello World!"


def test_an_asgi_app_is_not_deployed(site: Site) -> None:
    site.write("flaskyapplication.py", "async def app(scope, receive, send):\n    pass\n")
    done = site.deploy()
    assert done.returncode != 0 and "does not take a WSGI application's two arguments" in done.output
    site.write("flaskyapplication.py", "class App:\n    async def __call__(self, scope, receive, send):\n        pass\n\n\napp = App()\n")
    done = site.deploy()
    assert done.returncode != 0 and "missing 1 required positional argument: 'send'" in done.output


def test_a_program_that_a_view_waits_for_works(probe: Site) -> None:
    assert probe.visit("/program").text == "from a program\n"


def test_web_assembly_is_a_static_file(probe: Site) -> None:
    probe.write("static/module.wasm", "\0asm")
    probe.deployed()
    answer = probe.visit("/static/module.wasm")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/wasm")


@pytest.mark.usefixtures("small_limits")
class TestSmallLimits:
    def test_an_answer_that_is_silent_for_too_long_is_500(self, probe: Site) -> None:
        assert probe.visit("/silent").status == 500
        assert probe.visit().text == "Hello World!"

    def test_an_answer_that_takes_too_long_is_cut_off(self, probe: Site) -> None:
        text = probe.visit("/stream").text
        assert text.startswith("0\n") and "\n599\n" not in text
        assert probe.visit().text == "Hello World!"

    def test_a_thread_and_its_port_end_with_their_idle_process(self, probe: Site) -> None:
        pid = probe.visit("/thread").text
        until(lambda: probe.container.shell(f"kill -0 {pid} && echo runs", "root", check=False) != "runs\n")
        assert probe.shell("(: < /dev/tcp/127.0.0.1/5051) 2> /dev/null && echo open || echo closed") == "closed\n"
        beats = probe.read("beats")
        time.sleep(1)
        assert probe.read("beats") == beats and len(beats) > 3

    def test_the_app_sees_an_upload_when_all_of_it_is_there(self, probe: Site) -> None:
        probe.shell(f"rm -f {probe.directory}/asked")

        def pieces() -> Iterator[bytes]:
            yield bytes(400_000)
            time.sleep(4)  # Longer than the app may be silent.
            assert files(probe, "asked") == []
            yield bytes(400_000)

        assert probe.visit("/size", method="POST", body=pieces()).text == "800000"
        assert files(probe, "asked") == ["asked"]

    def test_an_upload_that_is_too_large_does_not_reach_the_app(self, probe: Site) -> None:
        assert probe.visit("/size", method="POST", body=bytes(1_000_000)).text == "1000000"
        probe.shell(f"rm -f {probe.directory}/asked")
        assert probe.visit("/size", method="POST", body=bytes(1_000_001)).status == 500
        assert files(probe, "asked") == []
