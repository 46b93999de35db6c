"""A deployed site in a test container, looked at as a visitor (HTTP) and as its owner (a shell).

Molecule's verify step runs these tests for each container, and names it in the environment.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# The three ways to the same site: a user directory, a virtual host on the web space, one on the site's directory.
HOSTS = {
    "user directory": ("www.example.test", "/~alice/{site}"),
    "virtual host on the web space": ("alice.example.test", "/{site}"),
    "virtual host on the site": ("flasky.example.test", ""),
}

# For a container whose web server is asked, from here and from inside.
PUBLISHED = ("--publish=127.0.0.1::80", "--add-host=www.example.test:127.0.0.1")

# What users have made by hand; THIS stands for the site's name.
RECIPE_HTACCESS = """\
RewriteEngine On
RewriteBase /
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^(.*)$ /~alice/THIS/run.fcgi/$1 [QSA,L]
"""
RECIPE_RUN_FCGI = """\
#!venv/bin/python
from flup.server.fcgi import WSGIServer
from flaskyapplication import app

if __name__ == '__main__':
    WSGIServer(app).run()
"""


class Connection(http.client.HTTPConnection):
    """Sends a path that is not ASCII as curl does, in UTF-8."""

    def _encode_request(self, request: str) -> bytes:
        return request.encode()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    url: str = ""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True)
class Deploy:
    """``output`` is all that the user saw."""

    returncode: int
    output: str

    @property
    def changed(self) -> bool:
        return "changed=1" in self.output


class Container:
    """The test host: shell, web server, and the deploy as staff run it."""

    def __init__(self) -> None:
        self.host = os.environ["OCF_FLASK_TEST_HOST"]
        self.name = os.environ["OCF_FLASK_TEST_CONTAINER"]
        self.address = os.environ["OCF_FLASK_TEST_ADDRESS"]
        self.inventory = ["-i", "molecule/shared/inventory", "--limit", self.host]

    def shell(self, command: str, user: str = "alice", *, check: bool = True, stdin: str | None = None, seconds: int = 180) -> str:
        """What a command of the user's prints."""
        completed = subprocess.run(
            ["docker", "exec", "--interactive", "--user", user, self.name, "bash", "-lc", command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert not check or completed.returncode == 0, completed.stdout + completed.stderr
        return completed.stdout + completed.stderr

    def visit(
        self,
        path: str,
        host: str = "www.example.test",
        *,
        method: str = "GET",
        body: bytes | Iterable[bytes] | None = None,
        **headers: str,
    ) -> Answer:
        """One request, the path sent just as it is; a body in several pieces goes out in chunks."""
        connection = Connection(self.address, timeout=60)
        try:
            connection.request(method, path, body, headers={"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read(), f"http://{host}{path}")
        finally:
            connection.close()

    def deploy(self, site: str, *arguments: str, owner: str = "alice", roles_path: Path = ROOT / "roles") -> Deploy:
        return self.play("deploy.yml", site, *arguments, owner=owner, roles_path=roles_path)

    def play(self, playbook: str, site: str, *arguments: str, owner: str = "alice", roles_path: Path = ROOT / "roles") -> Deploy:
        """The real playbook against this host, with the settings that every test needs."""
        settings = [f"site={site}", "ocf_flask_url=http://www.example.test/~{owner}/{name}/"]
        settings += [f"owner={owner}"] if owner else []
        command = [str(Path(sys.executable).with_name("ansible-playbook")), *self.inventory]
        for one in settings:
            command += ["-e", one]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTEST_"))}
        if roles_path != ROOT / "roles":
            # Roles that lie beside a playbook go before all others.
            playbook = shutil.copy(ROOT / "playbooks" / Path(playbook).name, roles_path.parent)
        completed = subprocess.run(
            [*command, playbook, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        return Deploy(completed.returncode, completed.stdout + completed.stderr)


class Host(Container):
    """A container of the test's own, with the homes and web spaces of the `volumes`."""

    def __init__(self, name: str, volumes: dict[str, str], *options: str) -> None:
        self.host = self.name = name
        self.inventory = ["-i", f"{name},", "-c", "community.docker.docker"]
        for setting in ("ansible_python_interpreter=/usr/bin/python3", "ocf_flask_wheels=/wheels"):
            self.inventory += ["-e", setting]
        mounts = [f"--volume={volume}:{path}" for path, volume in volumes.items()]
        docker("run", "--detach", "--init", f"--name={name}", *mounts, f"--volume={ROOT}/build/wheels:/wheels:ro", *options)
        self.address = ""

    def await_web_server(self) -> None:
        """Until the web server of a host that publishes its port answers."""
        self.address = docker("port", self.name, "80").split()[0]
        self.shell("until curl --silent --output /dev/null http://www.example.test/; do sleep 0.2; done", "root")


@contextmanager
def removed_afterwards(names: Iterable[str], volumes: Iterable[str]) -> Iterator[None]:
    """The containers and volumes of those names are gone after the block, whichever of them there were."""
    try:
        yield
    finally:
        for name in names:
            subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)
        for volume in volumes:
            subprocess.run(["docker", "volume", "rm", volume], capture_output=True, check=False)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


class Checkout:
    """The project's files in an account's home on the host, with an environment that has ansible-core: of that version, or the host's."""

    ANSIBLE = {"bookworm": "2.19.14", "trixie": "2.21.5"}
    FILES = ("ansible.cfg", "deploy.yml", "galaxy.yml", "inventory", "meta", "playbooks", "plugins", "roles", "README.md", "LICENSE")

    def __init__(self, container: Container, user: str, home: str = "~", ansible: str = "") -> None:
        self.container, self.user = container, user
        self.directory = container.shell(f"echo {home}", user).strip() + "/checkout"
        archive = subprocess.run(["tar", "cz", "--exclude=__pycache__", *self.FILES], cwd=ROOT, capture_output=True, check=True).stdout
        container.shell(f"rm -rf {self.directory} && mkdir {self.directory}", user)
        self.run("base64 -d | tar xz --no-same-owner", stdin=base64.encodebytes(archive).decode())
        package = f"ansible-core=={ansible or self.ANSIBLE[container.host]}"
        with_pip = f"python3 -m venv .venv && .venv/bin/pip install --quiet {package}"
        with_uv = f"uv venv --quiet .venv && uv pip install --quiet --python .venv/bin/python {package}"
        self.run(f"if command -v uv > /dev/null; then {with_uv}; else {with_pip}; fi")

    def run(self, command: str, **options: Any) -> str:
        return self.container.shell(f"cd {self.directory} && {command}", self.user, **options)

    def play(self, arguments: str) -> str:
        return self.run(f".venv/bin/ansible-playbook {arguments}")


class Site:
    """One site of an account, with files of its own."""

    def __init__(self, container: Container, name: str, owner: str = "alice") -> None:
        self.container = container
        self.name = name
        self.owner = owner
        self.directory = f"/services/http/users/{owner[0]}/{owner}/{name}"
        self.private = f"/home/{owner[0]}/{owner[:2]}/{owner}/.ocf-flask/{name}"

    def write(self, path: str, content: str) -> None:
        target = f"{self.directory}/{path}"
        self.shell(f'mkdir -p "$(dirname {target})" && cat > {target}', stdin=content)

    def read(self, path: str) -> str:
        return self.shell(f"cat {self.directory}/{path}")

    def shell(self, command: str, *, check: bool = True, stdin: str | None = None) -> str:
        return self.container.shell(command, self.owner, check=check, stdin=stdin)

    def deploy(self, *arguments: str, roles_path: Path = ROOT / "roles") -> Deploy:
        return self.container.deploy(self.name, *arguments, owner=self.owner, roles_path=roles_path)

    def deployed(self, *arguments: str) -> Deploy:
        """A deploy that has to succeed."""
        done = self.deploy(*arguments)
        assert done.returncode == 0, done.output
        return done

    def entry(self, **settings: Any) -> list[str]:
        """Arguments by which the inventory has the site with these settings, also empty ones: what it does not set, the record does."""
        return ["-e", json.dumps({"ocf_flask_sites": [{"name": self.name, "owner": self.owner, **settings}]})]

    def play(self, verb: str, *arguments: str) -> str:
        """What a verb other than deploy prints; it has to succeed."""
        done = self.container.play(f"playbooks/{verb}.yml", self.name, *arguments, owner=self.owner)
        assert done.returncode == 0, done.output
        return done.output

    def visit(self, path: str = "/", **options: Any) -> Answer:
        """A page of the site, on the host for user directories."""
        return self.container.visit(f"/~{self.owner}/{self.name}{path}", **options)

    def state(self) -> str:
        """Everything about every file of the site: a change of any shows, an mtime's too."""
        return self.shell(f"find {self.directory} {self.private} -printf '%p %i %m %T@ %C@ %s %l\\n' | sort")
