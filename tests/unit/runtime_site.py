"""A site as a deploy lays it out, and its run.fcgi as mod_fcgid starts it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

from ocf_flask import fastcgi

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "roles" / "ocf_flask" / "files" / "ocf_flask_runtime.py"
RELEASE = "20261124-034512"
PREFIX = "/~alice/flasky"
SECONDS = 20.0
# By which coverage measures a process.
MEASURED = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def import_runtime() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ocf_flask_runtime", RUNTIME)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def modules_of(server: str) -> list[str]:
    """Where a server is that the tests' own virtualenv lacks: flup and flup6 are modules of one name."""
    if server != "flup":
        return []
    subprocess.run([ROOT / "molecule/image/wheels"], env={**os.environ, "PYTHON": sys.executable}, stdout=subprocess.DEVNULL, check=True)
    return [str(next((ROOT / "build" / "wheels").glob("flup-*.whl")))]


def environ(path: str = "/", **more: str) -> dict[str, str]:
    """What mod_fcgid sends for a URL of the site in a user directory."""
    path, _, query = path.partition("?")
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": PREFIX + "/run.fcgi",
        "PATH_INFO": path,
        "REDIRECT_URL": PREFIX + path,
        "REQUEST_URI": PREFIX + path + ("?" + query if query else ""),
        "QUERY_STRING": query,
        "SERVER_NAME": "www.example.edu",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "www.example.edu",
        "GATEWAY_INTERFACE": "CGI/1.1",
        **more,
    }


class Site:
    """One site in `directory`, whose app is `source`."""

    def __init__(
        self, directory: Path, source: str, app: str = "flaskyapplication:app",
        server: str = "builtin", env: str | None = None,
    ) -> None:  # fmt: skip
        self.private = directory / "private"
        self.release = self.private / "releases" / RELEASE
        self.web = directory / "public_html" / "flasky"
        self.release.mkdir(parents=True)
        self.web.mkdir(parents=True)
        (self.private / "log").mkdir(mode=0o700)
        self.runtime = self.release / "runtime"
        self.runtime.mkdir()
        shutil.copy(RUNTIME, self.runtime)
        self.module = self.web / "flaskyapplication.py"
        self.module.write_text(source, encoding="utf-8")
        if env is not None:
            (self.release / "env").write_text(env)
        self.script = self.web / "run.fcgi"
        self.write_script(app, server)
        self.log = self.private / "log" / "error.log"
        self.socket_path = directory / "socket"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.listener = self.listen()

    def write_script(self, app: str, server: str) -> None:
        self.script.write_text(
            f"#!{sys.executable}\n"
            "import sys\n"
            f"sys.path[:0] = {[str(self.web), str(self.runtime), *modules_of(server)]!r}\n"
            "import ocf_flask_runtime\n"
            f"ocf_flask_runtime.serve({app!r}, server={server!r})\n"
        )
        self.script.chmod(0o755)

    def listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.socket_path))
        listener.listen(20)
        return listener

    def start(self, **variables: str) -> subprocess.Popen[bytes]:
        """Start run.fcgi as suexec does: PATH alone, by its name, in its directory."""
        return self.start_with(**variables)

    def start_with(self, *interpreter: str, **variables: str) -> subprocess.Popen[bytes]:
        """Likewise, with the interpreter that the kernel found in its first line a moment ago."""
        with (self.web.parent / "stderr").open("ab") as errors:
            process = subprocess.Popen(
                [*interpreter, "./run.fcgi"], cwd=self.web,
                stdin=self.listener.fileno(), stdout=subprocess.DEVNULL, stderr=errors,
                env={"PATH": os.environ["PATH"], **MEASURED, **variables},
            )  # fmt: skip
        self.processes.append(process)
        return process

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        connection.connect(str(self.socket_path))
        return connection

    def ask(self, path: str = "/", body: bytes = b"", **more: str) -> fastcgi.Answer:
        if body:
            more = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), **more}
        with self.connect() as connection:
            return fastcgi.request(
                connection, environ(path, **more), body,
                deadline=time.monotonic() + SECONDS, limit=200_000_000,
            )  # fmt: skip

    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def stderr_text(self) -> str:
        return (self.web.parent / "stderr").read_text()

    def stop(self) -> None:
        # A process that is killed leaves no measurement of itself.
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.listener.close()
