"""What hostile owners do to a run of staff's, as data: `test_attacks` has each done, and sees what came of it.

There is an account with one site for each attack. In the shell commands ``$SITE`` and ``$PRIVATE`` are its directories, ``$THEIRS``
is the home of a neighbour whose site ``shop`` is in ``$SHOP``, ``/root/kept`` is root's, and ``$TOOLS`` has the programs of below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

APP = """\
from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return "at your service"
"""

# Notes down, in its owner's home, what the code that runs it is, and what it can do.
PROBE = '''\
import ctypes, json, os, pwd


def can(work):
    try:
        return work() not in (-1, None)
    except OSError:
        return False


def parents():
    """The processes above this one, and which of root's rights each still has; a worker has its owner's."""
    found, pid = {}, os.getppid()
    while pid > 1:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            status = dict(line.split(":", 1) for line in file)
        found[pid] = int(status["Uid"].split()[0])
        pid = int(status["PPid"])
    return found


# The kernel gives root what it has of a process that was root.
above = {pid: user for pid, user in parents().items() if os.stat(f"/proc/{pid}").st_uid == 0}
attempts = {
    "read what is root's": lambda: os.listdir("/root"),
    "read passwords": lambda: open("/etc/shadow").read(),
    "write what is root's": lambda: open("/root/kept/written", "w"),
    "read what is a neighbour's": lambda: open("THEIRS/secret").read(),
    "write into a neighbour's site": lambda: open("SHOP/written", "w"),
    "be root": lambda: os.setuid(0) or "root",
    "be of root's group": lambda: os.setgid(0) or "root",
    "have a terminal": lambda: open("/dev/tty"),
}
for pid, user in above.items():
    of = f"/proc/{pid}"
    attempts[f"environment of {pid}"] = lambda of=of: open(f"{of}/environ").read()
    attempts[f"memory of {pid}"] = lambda of=of: open(f"{of}/mem", "r+b")
    attempts[f"directory of {pid}"] = lambda of=of: os.readlink(f"{of}/cwd")
    attempts[f"descriptors of {pid}"] = lambda of=of: [open(f"{of}/fd/{one}", "w") for one in os.listdir(f"{of}/fd")]
    attempts[f"trace {pid}"] = lambda pid=pid: ctypes.CDLL(None).ptrace(16, pid, 0, 0)
    if user == 0:
        attempts[f"signal {pid}"] = lambda pid=pid: os.kill(pid, 0) or "sent"
had = [what for what, work in attempts.items() if can(work)]
links = [f"/proc/self/fd/{one}" for one in os.listdir("/proc/self/fd")]
evidence = {
    "users": list(os.getresuid()), "groups": sorted({*os.getresgid(), *os.getgroups()}), "environment": dict(os.environ), "umask": os.umask(0o022),
    "directory": os.getcwd(), "descriptors": [os.readlink(one) for one in links if os.path.islink(one)], "tried": len(attempts), "had": had,
}
with open(f"{pwd.getpwuid(os.getuid()).pw_dir}/evidence-{os.getpid()}.json", "w") as file:
    json.dump(evidence, file)
'''

# Exchanges two names for as long as it runs.
SWAP = """\
import ctypes, os, sys, time

libc = ctypes.CDLL(None)
one, other = map(os.fsencode, sys.argv[1:])
while True:
    libc.renameat2(-100, one, -100, other, 2)
    time.sleep(0.001)
"""

# A source distribution whose build probes, and wheels that do so or lead out of their directory.
PACKAGES = """\
import io, sys, tarfile, zipfile

target, probe = sys.argv[1:]
code = open(probe).read()


def wheel(name, files, record=""):
    info = f"{name}-1.0.dist-info/"
    with zipfile.ZipFile(f"{target}/{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(info + "METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "RECORD", record + "".join(f"{path},,\\n" for path in files))


wheel("starts", {"probing.py": code, "starts.pth": "import probing\\n"})
wheel("climbs", {"../" * 20 + "root/kept/written": "x", "climbs.py": ""})
wheel("places", {"/root/kept/written": "x", "places.py": ""})
backend = code + '''

def build_wheel(directory, settings=None, metadata=None):
    import zipfile
    name = "builds-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as archive:
        archive.writestr("builds.py", "")
        archive.writestr("builds-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\\\nName: builds\\\\nVersion: 1.0\\\\n")
        archive.writestr("builds-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\\\nRoot-Is-Purelib: true\\\\nTag: py3-none-any\\\\n")
        archive.writestr("builds-1.0.dist-info/RECORD", "")
    return name
'''
files = {
    "pyproject.toml": '[build-system]\\nrequires = []\\nbuild-backend = "backend"\\nbackend-path = ["."]\\n[project]\\nname = "builds"\\nversion = "1.0"\\n',
    "backend.py": backend,
    "PKG-INFO": "Metadata-Version: 2.1\\nName: builds\\nVersion: 1.0\\n",
}
with tarfile.open(f"{target}/builds-1.0.tar.gz", "w:gz") as archive:
    for name, text in files.items():
        member = tarfile.TarInfo(f"builds-1.0/{name}")
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))
"""

# What a text may try where it is shown: a template, a terminal's sequence, a script, a formula.
HOSTILE = "=HYPERLINK(1){{ lookup('pipe', 'touch /root/kept/written') }}<script>alert(1)</script>\\x1b]0;owned\\x07\\x1b[2J"


# Makes another release of the live one, an older one; its record is changed by what follows.
OLDER = """\
set -- $PRIVATE/releases/*; cp -r $1 $PRIVATE/releases/20200101-000000; touch $PRIVATE/releases/20200101-000000/live
"""


def recorded(change: str, release: str = "$(readlink $PRIVATE/current)") -> str:
    """A shell command that changes a release's record: Python, in which it is ``record``."""
    code = f"import json, sys; record = json.load(open(sys.argv[1])); {change}; json.dump(record, open(sys.argv[1], 'w'))"
    return f'python3 -c "{code}" $PRIVATE/{release}/manifest.json'


@dataclass(frozen=True)
class Attack:
    """``owner``: shell commands of the hostile account, before the verb; ``root``: what it cannot do itself, but may find.

    ``cause`` is what the run says of the site, as a regular expression; empty where the site is none the worse for it, and None where
    that depends on the moment, or on the kernel. ``verb``: what meets it; a site is deployed before it is attacked on another verb than that.
    """

    name: str
    cause: str | None
    owner: str = ""
    root: str = ""
    app: str = APP
    settings: Mapping[str, Any] = field(default_factory=dict)
    verb: str = "deploy"


LINKED = "is a symbolic link"
DENIED = "Permission denied"
PIPE = "no plain file|not a plain file"
PROBING = "exec(open('TOOLS/probe.py').read())\n" + APP
SHORT = {"timeouts": {"lock": 1, "build": 10, "live": 1}, "smoke_test": {"timeout": 3}}
# A process above the app's whose user ID is the owner's: the worker.
WORKER = """\
import os, signal
with open(f"/proc/{os.getppid()}/status") as file:
    assert f"Uid:\\t{os.getuid()}" in file.read()
"""


def swapped(name: str, path: str, other: str, **more: Any) -> Attack:
    """A place that is now a directory or file, now a link to somebody else's."""
    begin = (
        f"ln -s {other} ~/other; mv ~/other {path}.other; setsid python3 $TOOLS/swap.py {path} {path}.other > /dev/null 2>&1 < /dev/null &"
    )
    return Attack(
        name, None, f"mkdir -p $PRIVATE/releases $PRIVATE/log ~/ocf-flask-removed; touch $PRIVATE/lock $SITE/.htaccess; {begin}", **more
    )


ATTACKS = (
    # First, because it takes its slot the longest.
    Attack(
        "app-stops-its-worker", "took longer than 75 s in all", app=WORKER + "os.kill(os.getppid(), signal.SIGSTOP)\n" + APP, settings=SHORT
    ),
    Attack("site-is-a-link", LINKED, "rm -r $SITE; ln -s $SHOP $SITE"),
    Attack("site-is-a-link-to-root", LINKED, "rm -r $SITE; ln -s /root/kept $SITE"),
    Attack(
        "web-space-is-a-link",
        "belongs to chris",
        "ln -sfn $(dirname $SHOP) ~/public_html",
        settings={"directory": "~/public_html/shop"},
    ),
    Attack("private-is-a-link", DENIED, "ln -s $THEIRS/.ocf-flask ~/.ocf-flask"),
    Attack("private-is-a-link-to-root", DENIED, "mkdir ~/.ocf-flask; ln -s /root/kept $PRIVATE"),
    Attack("htaccess-is-a-link", LINKED, "ln -s /etc/shadow $SITE/.htaccess"),
    Attack("htaccess-is-a-hard-link", None, root="ln $SHOP/static/notes $SITE/.htaccess"),
    Attack("htaccess-is-a-pipe", PIPE, "mkfifo $SITE/.htaccess"),
    Attack("run-fcgi-is-a-link", PIPE, "ln -s $SHOP/run.fcgi $SITE/run.fcgi"),
    Attack("run-fcgi-is-a-hard-link", "belongs to chris", root="ln $SHOP/static/notes $SITE/run.fcgi"),
    Attack("run-fcgi-is-a-pipe", PIPE, "mkfifo $SITE/run.fcgi"),
    Attack("releases-are-a-link", DENIED, "mkdir -p $PRIVATE; ln -s $THEIRS/.ocf-flask/shop/releases $PRIVATE/releases"),
    Attack("releases-are-a-link-to-root", DENIED, "mkdir -p $PRIVATE; ln -s /root/kept $PRIVATE/releases"),
    Attack("current-is-a-link", "", "mkdir -p $PRIVATE; ln -s /root/kept $PRIVATE/current"),
    Attack("scratch-is-a-link", DENIED, "mkdir -p $PRIVATE; ln -s $THEIRS $PRIVATE/tmp"),
    Attack("token-is-a-link", DENIED, "mkdir -p $PRIVATE; ln -s /etc/shadow $PRIVATE/token"),
    Attack("log-is-a-link", DENIED, "mkdir -p $PRIVATE; ln -s /root/kept $PRIVATE/log"),
    Attack("log-file-is-a-link", "", "mkdir -p $PRIVATE/log; ln -s /root/kept/canary $PRIVATE/log/error.log"),
    Attack("lock-is-a-link", "Too many levels of symbolic links", "mkdir -p $PRIVATE; ln -s /root/kept/canary $PRIVATE/lock"),
    Attack("lock-is-a-hard-link", DENIED, "mkdir -p $PRIVATE", root="ln $THEIRS/secret $PRIVATE/lock"),
    Attack("lock-is-a-pipe", PIPE, "mkdir -p $PRIVATE; mkfifo $PRIVATE/lock"),
    Attack(
        "lock-is-held",
        "Another deploy of this site is running",
        "mkdir -p $PRIVATE; setsid python3 -c \"import fcntl, time; file = open('$PRIVATE/lock', 'w'); fcntl.lockf(file, 2); time.sleep(999)\" "
        "> /dev/null 2>&1 < /dev/null & sleep 0.5",
        settings=SHORT,
    ),
    Attack("virtualenv-is-a-link", "", "ln -s /root/kept $SITE/venv"),
    Attack("static-is-a-link", "", "ln -s $THEIRS $SITE/static"),
    Attack("static-has-hard-links", "", "mkdir $SITE/static", root="ln $SHOP/closed $SITE/static/closed"),
    Attack("static-has-devices", "", "mkdir $SITE/static; mkfifo $SITE/static/pipe", root="mknod $SITE/static/disk b 8 0"),
    Attack("app-is-a-pipe", "there is no module", "rm $SITE/flaskyapplication.py; mkfifo $SITE/flaskyapplication.py"),
    Attack("app-is-a-device", "there is no module", "ln -sf /dev/zero $SITE/flaskyapplication.py"),
    Attack("app-is-a-link", "no module", "ln -sf $THEIRS/secret $SITE/flaskyapplication.py"),
    Attack("requirements-are-a-link", "requirements.txt", "ln -s /etc/shadow $SITE/requirements.txt"),
    Attack("requirements-are-a-hard-link", "requirements.txt", root="ln $SHOP/closed $SITE/requirements.txt"),
    Attack("requirements-include-passwords", "/etc/shadow", "echo '-r /etc/shadow' > $SITE/requirements.txt"),
    Attack("requirements-climb", "canary", "echo '-c ../../../../../../root/kept/canary' > $SITE/requirements.txt"),
    Attack("requirements-include-a-device", "/dev/zero", "echo '-r /dev/zero' > $SITE/requirements.txt"),
    Attack("home-is-anothers", DENIED, root="chown chris $HOME; chmod 755 $HOME"),
    Attack("home-is-a-link", DENIED, root="mv $HOME $HOME.old; ln -s $THEIRS $HOME"),
    Attack("home-is-missing", "has no web space", root="mv $HOME $HOME.old"),
    Attack("app-acts-at-import", "", app=PROBING),
    Attack("package-acts-at-build", "", 'echo "$TOOLS/builds-1.0.tar.gz" > $SITE/requirements.txt'),
    Attack("package-acts-at-build-by-pip", "", 'echo "$TOOLS/builds-1.0.tar.gz" > $SITE/requirements.txt', settings={"uv": "none"}),
    Attack("wheel-acts-at-start", "", 'echo "$TOOLS/starts-1.0-py3-none-any.whl" > $SITE/requirements.txt'),
    Attack("wheel-climbs", None, 'echo "$TOOLS/climbs-1.0-py3-none-any.whl" > $SITE/requirements.txt'),
    Attack(
        "wheel-climbs-with-pip",
        "could not be installed",
        'echo "$TOOLS/climbs-1.0-py3-none-any.whl" > $SITE/requirements.txt',
        settings={"uv": "none"},
    ),
    Attack("wheel-names-a-place", None, 'echo "$TOOLS/places-1.0-py3-none-any.whl" > $SITE/requirements.txt'),
    Attack("app-answers-gigabytes", "", app=APP.replace('"at your service"', '("x" * 1_000_000 for _ in range(10**6))')),
    Attack("app-prints-gigabytes", "did not answer", app=APP + "import os\nwhile True:\n    os.write(2, bytes(1 << 20))\n", settings=SHORT),
    Attack(
        "app-forks",
        "",
        app=APP
        + "import os, time\nfor _ in range(50 if 'OCF_FLASK_SMOKE_TEST' in os.environ else 0):\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(999)\n        os._exit(0)\n",
    ),
    Attack("app-kills-its-worker", r"ended without an answer \(status -9\)", app=WORKER + "os.kill(os.getppid(), signal.SIGKILL)\n" + APP),
    Attack("traceback-is-hostile", "RuntimeError: =HYPERLINK", app=f'raise RuntimeError("{HOSTILE}")\n'),
    Attack(
        "names-are-hostile",
        "",
        "cd $SITE; mkdir -p templates; touch -- -rf.py '{{ x }}.py' '<script>.py' $'\\e[2J.py' $'a\\nb.py' '$(id).py' templates/$'\\xff'",
    ),
    Attack("name-is-an-option", "The site name '--help' cannot be used", settings={"name": "--help"}),
    Attack("name-climbs", "cannot be used", settings={"name": "../../c/chris/shop"}),
    Attack("directory-climbs", "it takes an absolute path", settings={"directory": "~/../../../../root/kept/site"}),
    Attack("directory-is-roots", DENIED, settings={"directory": "/root/kept/site"}),
    Attack(
        "code-has-100000-files",
        "",
        "mkdir -p ~/many/data; mv $SITE/flaskyapplication.py ~/many; cd ~/many/data; seq 100000 | xargs touch",
        settings={"directory": "~/many", "timeouts": {"build": 600, "live": 1}},
    ),
    Attack("log-has-10-gigabytes", "", "mkdir -p $PRIVATE/log; truncate -s 10G $PRIVATE/log/error.log"),
    swapped("site-is-swapped", "$SITE", "$SHOP"),
    swapped("private-is-swapped", "$PRIVATE", "$THEIRS/.ocf-flask/shop"),
    swapped("releases-are-swapped", "$PRIVATE/releases", "/root/kept"),
    swapped("log-is-swapped", "$PRIVATE/log", "/root/kept"),
    swapped("lock-is-swapped", "$PRIVATE/lock", "/root/kept/canary"),
    swapped("htaccess-is-swapped", "$SITE/.htaccess", "/etc/shadow"),
    Attack("record-is-a-link", "its releases are gone", "ln -sf /etc/shadow $PRIVATE/current/manifest.json", verb="status"),
    Attack(
        "record-is-a-pipe",
        "its releases are gone",
        "rm $PRIVATE/current/manifest.json; mkfifo $PRIVATE/current/manifest.json",
        verb="status",
    ),
    Attack("status-reads-a-log", "", "ln -sf /etc/shadow $PRIVATE/log/error.log", verb="status"),
    Attack("status-reads-gigabytes", "", "truncate -s 10G $PRIVATE/log/error.log", verb="status"),
    Attack(
        "interpreter-acts",
        None,
        "cd $PRIVATE/current/venv/bin; rm python; (echo '#!/usr/bin/python3'; cat $TOOLS/probe.py) > python; chmod +x python",
        verb="status",
    ),
    Attack("record-asks-for-passwords", "cannot be used", recorded("record['settings']['packages'] = ['-r /etc/shadow']"), verb="upgrade"),
    Attack("record-is-a-template", "cannot be used", recorded("record['settings']['app'] = '{{ 7 * 7 }}'"), verb="upgrade"),
    Attack(
        "record-names-a-key",
        None,
        recorded("record['settings'].update(source='/root/kept', deploy_key='/root/kept/canary')"),
        verb="upgrade",
    ),
    swapped("record-is-swapped", "$PRIVATE/current/manifest.json", "/etc/shadow", verb="upgrade"),
    Attack("older-release-is-a-link", DENIED, "ln -s $THEIRS $PRIVATE/releases/20200101-000000", verb="rollback"),
    Attack(
        "older-code-climbs",
        "has no release before",
        OLDER
        + recorded(
            "record.update(id='20200101-000000'); record['inputs']['code'] = {'../../../../../../../root/kept/written': 'x'}",
            "releases/20200101-000000",
        ),
        verb="rollback",
    ),
    Attack(
        "older-code-is-a-link",
        "are not what was deployed",
        OLDER
        + recorded("record.update(id='20200101-000000')", "releases/20200101-000000")
        + "; cd $PRIVATE/releases/20200101-000000; rm -r app; ln -s /root/kept app",
        verb="rollback",
    ),
    Attack(
        "record-leads-elsewhere",
        "",
        recorded("record['settings'].update(name='{{ 7 * 7 }}', directory='/root/kept', private_directory='$THEIRS')"),
        verb="find",
    ),
    Attack("archives-are-a-link", DENIED, "ln -s $THEIRS ~/ocf-flask-removed", verb="remove"),
    Attack("archives-are-a-link-to-root", DENIED, "ln -s /root/kept ~/ocf-flask-removed", verb="remove"),
    swapped("archives-are-swapped", "~/ocf-flask-removed", "/root/kept", verb="remove"),
    Attack("removed-is-a-pipe", "", "mkfifo $SITE/pipe; ln -s /etc/shadow $SITE/passwords", verb="remove"),
    Attack(
        "archive-record-is-a-link",
        "was not removed",
        "cd ~/ocf-flask-removed/*; rm record.json; ln -s /etc/shadow record.json",
        verb="restore",
    ),
    Attack(
        "archive-leads-elsewhere",
        DENIED,
        """sed -i "s|\\"left\\": \\"\\"|\\"left\\": \\"$SHOP\\"|" ~/ocf-flask-removed/*/record.json""",
        verb="restore",
    ),
    Attack("archive-is-a-link", DENIED, "cd ~/ocf-flask-removed/*; mv private ..; ln -s /root/kept private", verb="restore"),
)
