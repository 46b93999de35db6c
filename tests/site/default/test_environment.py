"""What an app finds around it under suexec, and what a user expects there: much the same as in a terminal."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from hosted import Container, Site

APP = """
import getpass, locale, multiprocessing, os, signal, site, subprocess, sys, tempfile, threading, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from flask import Flask, jsonify

import greetings
import parts.deep

app = Flask(__name__)


def output(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


@app.route("/")
def index():
    return "ready"


@app.route("/encoding")
def encoding():
    with tempfile.TemporaryDirectory() as directory:
        name = Path(directory, "caf\u00e9 \u4e2d.txt")
        with open(name, "w") as file:
            file.write("caf\u00e9 \u4e2d")
        bytes_of_name, = os.listdir(os.fsencode(directory))
        return jsonify(
            preferred=locale.getpreferredencoding(False),
            stdout=sys.stdout.encoding,
            name=bytes_of_name.decode("utf-8"),
            content=name.read_bytes().decode("utf-8"),
            by_a_program=output("cat", str(name)),
            of_programs=output("locale", "charmap").strip(),
            of_python=output(sys.executable, "-c", "import sys; print(sys.stdout.encoding, open(0).encoding)").lower().split(),
        )


@app.route("/say")
def say():
    print("printed caf\u00e9 \u4e2d \\udc80")
    print("to stderr", file=sys.stderr)
    return "said"


@app.route("/program")
def program():
    os.system("echo said by a program; echo to its stderr >&2")
    subprocess.run("echo through sys.stderr", shell=True, stdout=sys.stderr)
    return "done"


@app.route("/owner")
def owner():
    return jsonify(
        environ=dict(os.environ), user=getpass.getuser(), uid=os.getuid(), euid=os.geteuid(), groups=os.getgroups(),
        home=[str(Path.home()), os.path.expanduser("~"), os.path.expanduser("~/x")],
        of_programs=output("sh", "-c", "echo ~; id -un; pwd").split(),
    )


@app.route("/files")
def files():
    with tempfile.NamedTemporaryFile() as temporary, tempfile.TemporaryDirectory() as directory:
        Path("made.txt").write_text("")
        os.mkdir("made")
        return jsonify(
            temporary=[os.path.dirname(temporary.name), oct(os.stat(temporary.name).st_mode), os.stat(temporary.name).st_uid],
            directory=oct(os.stat(directory).st_mode),
            made=[oct(os.stat(name).st_mode) for name in ("made.txt", "made")],
        )


@app.route("/time")
def zone():
    return jsonify(python=time.strftime("%Z %z"), of_programs=output("date", "+%Z %z").strip())


@app.route("/process")
def process():
    return jsonify(
        cwd=os.getcwd(), argv=sys.argv, executable=sys.executable, path=sys.path, user_site=site.ENABLE_USER_SITE,
        stdin=sys.stdin.read(), command=Path("/proc/self/cmdline").read_text().split("\\0"), name=__name__,
    )


@app.route("/code")
def code():
    with app.open_resource("data/words.txt") as resource:
        return jsonify(
            module=greetings.HELLO, package=parts.deep.NAME, relative=open("data/words.txt").read(),
            beside=Path(__file__).with_name("data").joinpath("words.txt").read_text(), resource=resource.read().decode(), root=app.root_path,
        )


@app.route("/children")
def children():
    signals = {}
    # Without those of the C library's own, which are as whoever started the container engine left them.
    known = sum(1 << number - 1 for number in signal.valid_signals())
    for line in output("cat", "/proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if name in ("SigBlk", "SigIgn", "SigCgt"):
            signals[name] = int(value, 16) & known
    return jsonify(
        signals=signals,
        descriptors=output("sh", "-c", "ls -l /proc/$$/fd", close_fds=False).splitlines()[1:],
        stdin=output("cat", "-"),
        status=os.waitstatus_to_exitcode(os.system("exit 3")),
        flask=output(sys.executable, "-c", "import flask; print(flask.__file__)").strip(),
        by_name=output("python", "-c", "import flask; print(flask.__file__)").strip(),
        command=output("flask", "--version"),
    )


@app.route("/pool/<method>")
def pool(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as workers:
        squares = workers.map(greetings.square, range(5))
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        cubes = list(executor.map(greetings.square, range(3)))
    worker = context.Process(target=time.sleep, args=(60,))
    worker.start()
    worker.terminate()
    worker.join(10)
    return jsonify(squares=squares, more=cubes, ended_by=worker.exitcode)


@app.route("/fork")
def fork():
    child = os.fork()
    if child == 0:
        print("said by the child")
        sys.stdout.flush()
        os._exit(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
    return jsonify(status=os.waitpid(child, 0)[1])


@app.route("/thread")
def thread():
    said = []
    worker = threading.Thread(target=lambda: said.append(output("echo", "from a thread")))
    worker.start()
    worker.join()
    return jsonify(said)
"""

# Of a made-up time zone, for the container is at UTC, where a wrong answer would look right.
ZONE = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lBB", 19_800 + 900, 0, 0) + b"OCF\0"


@pytest.fixture(scope="module", name="inside")
def _inside(container: Container) -> Iterator[Site]:
    """A site whose app tells of its surroundings, on a host with a time zone."""
    site = Site(container, "inside")
    container.shell(f"rm -rf {site.directory} {site.private}", "root")
    site.write("flaskyapplication.py", APP)
    site.write("greetings.py", 'HELLO = "hello"\n\n\ndef square(x):\n    return x * x\n')
    site.write("parts/__init__.py", "")
    site.write("parts/deep.py", "NAME = __name__\n")
    site.write("data/words.txt", "caf\u00e9\n")
    container.shell("base64 -d > /etc/localtime", "root", stdin=base64.b64encode(ZONE).decode())
    site.deployed()
    yield site
    container.shell(f"rm -rf /etc/localtime {site.directory} {site.private}", "root")


def seen(site: Site, path: str) -> Any:
    answer = site.visit(path)
    assert answer.status == 200, site.shell(f"tail -n 30 {site.private}/log/error.log", check=False)
    return json.loads(answer.text)


def test_text_is_utf_8_everywhere(inside: Site) -> None:
    found = seen(inside, "/encoding")
    assert {found["preferred"].lower(), found["stdout"].lower(), found["of_programs"].lower(), *found["of_python"]} == {"utf-8"}
    assert found["name"] == "caf\u00e9 \u4e2d.txt"
    assert found["content"] == found["by_a_program"] == "caf\u00e9 \u4e2d"


def test_any_text_can_be_printed(inside: Site) -> None:
    assert inside.visit("/say").text == "said"
    log = inside.shell(f"cat {inside.private}/log/error.log")
    assert "printed caf\u00e9 \u4e2d \\udc80\n" in log and "to stderr\n" in log


def test_what_programs_say_is_in_the_owners_log_and_in_no_other(inside: Site) -> None:
    assert inside.visit("/program").text == "done"
    log = inside.shell(f"cat {inside.private}/log/error.log")
    shared = inside.shell("cat /opt/httpd/error.log")
    for words in ("said by a program\n", "to its stderr\n", "through sys.stderr\n"):
        assert words in log and words not in shared


def test_the_app_runs_as_its_owner_and_knows_his_home(inside: Site) -> None:
    found = seen(inside, "/owner")
    uid, gid, home = inside.shell("id -u; id -g; echo ~").split()
    assert (found["user"], found["uid"], found["euid"], found["groups"]) == ("alice", int(uid), int(uid), [int(gid)])
    assert found["home"] == [home, home, f"{home}/x"]
    assert found["of_programs"] == [home, "alice", inside.directory]


def test_the_process_has_a_logins_variables_and_none_of_the_web_servers(inside: Site) -> None:
    environ = seen(inside, "/owner")["environ"]
    executable = seen(inside, "/process")["executable"]
    assert environ == {
        "HOME": inside.shell("echo ~").strip(),
        "USER": "alice",
        "LOGNAME": "alice",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        # As if the virtualenv were activated, and then what suexec gives.
        "PATH": f"{executable.rpartition('/')[0]}:/usr/local/bin:/usr/bin:/bin",
    }


def test_temporary_files_are_private_and_others_as_the_owner_would_make_them(inside: Site) -> None:
    found = seen(inside, "/files")
    assert found["temporary"] == ["/tmp", "0o100600", int(inside.shell("id -u"))]
    assert found["directory"] == "0o40700"
    assert found["made"] == ["0o100600", "0o40711"], "closed from the start, but for Apache's way through directories"
    assert inside.shell(f"cd {inside.directory} && stat -c %U made.txt made").split() == ["alice", "alice"]


def test_the_time_is_the_hosts(inside: Site) -> None:
    assert seen(inside, "/time") == {"python": "OCF +0545", "of_programs": "OCF +0545"}
    assert inside.shell("date '+%Z %z'").strip() == "OCF +0545"


def test_the_process_is_at_home_in_the_sites_directory(inside: Site) -> None:
    found = seen(inside, "/process")
    assert (found["cwd"], found["argv"], found["name"]) == (inside.directory, ["run.fcgi"], "flaskyapplication")
    assert found["command"][-2:] == ["run.fcgi", ""], "the restarter looks for this argument"
    assert found["stdin"] == "", "what reads its input gets none, and does not wait"
    assert found["executable"] == inside.shell(f"realpath -s $(readlink {inside.directory}/venv)/bin/python").strip()


def test_modules_come_from_the_site_the_virtualenv_and_python_alone(inside: Site) -> None:
    found = seen(inside, "/process")
    release = found["executable"].partition("/venv/")[0]
    site_directory, *standard, packages = found["path"]
    assert site_directory == inside.directory
    assert packages.startswith(f"{release}/venv/lib/python3.") and packages.endswith("/site-packages")
    assert standard and all(path.startswith("/usr/lib/python3") for path in standard)
    assert found["user_site"] is False


def test_the_apps_own_modules_and_files_are_found(inside: Site) -> None:
    found = seen(inside, "/code")
    assert (found["module"], found["package"], found["root"]) == ("hello", "parts.deep", inside.directory)
    assert found["relative"] == found["beside"] == found["resource"] == "caf\u00e9\n"


def test_programs_start_with_a_clean_slate(inside: Site) -> None:
    found = seen(inside, "/children")
    assert found["signals"] == {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}
    descriptors = {line.split()[-3]: line.split()[-1] for line in found["descriptors"]}
    assert set(descriptors) == {"0", "1", "2"}, "no descriptor of the web server's"
    assert descriptors["0"] == "/dev/null" and found["stdin"] == ""
    assert found["status"] == 3


def test_programs_of_the_virtualenv_are_found_by_name(inside: Site) -> None:
    found = seen(inside, "/children")
    assert found["by_name"] == found["flask"] and "/venv/lib/python3." in found["flask"]
    assert "Flask 3.1.3" in found["command"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works(inside: Site, method: str) -> None:
    expected = {"squares": [0, 1, 4, 9, 16], "more": [0, 1, 4], "ended_by": -15}
    assert [seen(inside, f"/pool/{method}") for _ in range(2)] == [expected, expected]


def test_a_forked_process_is_the_apps_own(inside: Site) -> None:
    assert [seen(inside, "/fork")["status"] for _ in range(2)] == [0, 0]
    assert inside.shell(f"cat {inside.private}/log/error.log").count("said by the child") == 2


def test_threads_work(inside: Site) -> None:
    assert seen(inside, "/thread") == ["from a thread\n"]
