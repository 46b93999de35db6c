"""Sites whose code a deploy brings, from this machine and from repositories, as visitors and their owners see them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosted import ROOT, Container, Host, Site, removed_afterwards

APP = """\
import os
from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    with open(os.path.join(app.instance_path, "visits"), "a") as file:
        file.write("x")
    return "{0}, visit %d" % os.path.getsize(os.path.join(app.instance_path, "visits"))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project on this machine."""
    path = tmp_path / "project"
    (path / "static").mkdir(parents=True)
    (path / "flaskyapplication.py").write_text(APP.format("one"))
    (path / "static" / "style.css").write_text("body {}")
    (path / ".env").write_text("SECRET=1")
    return path


class Repository:
    """A bare repository in the container, bob's; versions are pushed to it there."""

    def __init__(self, container: Container, name: str) -> None:
        self.container = container
        self.path = f"/home/b/bo/bob/{name}.git"
        self.url = f"file://{self.path}"
        self.tree = f"/tmp/{name}"
        git = "git config --global user.email bob@example.test; git config --global user.name Bob"
        self.shell(f"rm -rf {self.path} {self.tree}; {git}; git init -q --bare -b main {self.path}; git init -q -b main {self.tree}")

    def shell(self, command: str, stdin: str | None = None) -> str:
        return self.container.shell(command, "bob", stdin=stdin)

    def push(self, subject: str, **files: str) -> str:
        for name, content in files.items():
            self.shell(f'cd {self.tree} && mkdir -p "$(dirname {name})" && cat > {name}', stdin=content)
        self.shell(f"cd {self.tree} && git add -A && git commit -q --allow-empty -m '{subject}' && git push -q {self.path} HEAD:main")
        return self.shell(f"cd {self.tree} && git rev-parse HEAD").strip()


@pytest.fixture
def repository(container: Container, request: pytest.FixtureRequest) -> Iterator[Repository]:
    one = Repository(container, request.node.name.removeprefix("test_")[:20])
    yield one
    one.shell(f"rm -rf {one.path} {one.tree}")


@pytest.fixture(scope="session")
def sshd(container: Container) -> Iterator[str]:
    """A real SSH server in the container; its address."""
    container.shell("mkdir -p /run/sshd; ssh-keygen -A > /dev/null; /usr/sbin/sshd -o PidFile=/run/sshd/test.pid", "root")
    inspect = ["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container.name]
    yield subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.strip()
    container.shell("kill $(cat /run/sshd/test.pid)", "root")


def managed(source: object, **more: str) -> list[str]:
    arguments = [f"ocf_flask_source={source}", *(f"ocf_flask_{key}={value}" for key, value in more.items())]
    return [part for one in arguments for part in ("-e", one)]


def test_the_demo_of_this_checkout_serves(flasky: Site) -> None:
    assert flasky.visit().status == 200
    style = flasky.visit("/static/style.css")
    assert (style.status, style.headers["Cache-Control"]) == (200, "max-age=3600")
    assert flasky.shell(f"ls {flasky.directory}").split() == ["run.fcgi", "static", "venv"]


def test_a_directory_of_this_machine_is_deployed_for_another_account(site: Site, project: Path) -> None:
    first = site.deployed(*managed(project))
    assert "Left out, because they are for one machine: .env" in first.output
    assert f"edit the files in {project}, then:" in first.output
    assert site.visit().text == "one, visit 2"  # The first was the test's.
    assert site.visit("/static/style.css").text == "body {}"
    for secret in ("/.env", "/flaskyapplication.py", "/instance/visits"):
        assert site.visit(secret).status == 404
    assert site.shell(f"find {site.private} {site.directory} ! -user alice") == ""
    before = site.state()
    assert not site.deployed(*managed(project)).changed
    assert site.state() == before
    (project / "flaskyapplication.py").write_text(APP.format("two"))
    (project / "static" / "style.css").write_text("p {}")
    checked = site.deployed(*managed(project), "--check", "--diff")
    assert "flaskyapplication.py changed" in checked.output and site.state() == before
    site.deployed(*managed(project))
    # What the app wrote is still there: two tests and a visit before this one.
    assert site.visit().text == "two, visit 4" and site.visit("/static/style.css").text == "p {}"


def test_nothing_that_travelled_stays_behind(site: Site, project: Path) -> None:
    before = site.container.shell("find / -xdev -name code.zip 2>/dev/null", "root", check=False)
    site.deployed(*managed(project))
    assert site.container.shell("find / -xdev -name code.zip 2>/dev/null", "root", check=False) == before == ""


@pytest.mark.parametrize("pipelining", ["true", "false"])
@pytest.mark.parametrize("account", ["alice", "root"])
def test_from_a_laptop_over_ssh(site: Site, project: Path, sshd: str, tmp_path: Path, account: str, pipelining: str) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    authorize = "mkdir -p -m 700 ~/.ssh; cat > ~/.ssh/authorized_keys"
    site.container.shell(authorize, account, stdin=key.with_suffix(".pub").read_text())
    options = f"-o StrictHostKeyChecking=no -o UserKnownHostsFile={tmp_path}/known -i {key}"
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")), "-i", f"{sshd},", "-u", account, "deploy.yml", "-e", f"site={site.name}",
        "-e", "ocf_flask_url=http://www.example.test/~{owner}/{name}/", *managed(project), *(["-e", "owner=alice"] if account == "root" else []),
        "-e", "ansible_python_interpreter=/usr/bin/python3", "--ssh-extra-args", options,
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTEST_"))}
    environment["ANSIBLE_PIPELINING"] = pipelining
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.visit().text == "one, visit 2"
    assert site.shell(f"find {site.private} {site.directory} ! -user alice") == ""
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert "changed=0" in again.stdout, again.stdout


def test_a_branch_a_commit_and_the_way_back(site: Site, repository: Repository) -> None:
    # Another account's repository, which git reads only when it is told to.
    site.container.shell(f"chmod 755 /home/b/bo/bob; git config --system --add safe.directory {repository.path}", "root")
    first = repository.push("One", **{"flaskyapplication.py": APP.format("one"), "static/a.css": "a"})
    site.deployed(*managed(repository.url))
    second = repository.push("Two", **{"flaskyapplication.py": APP.format("two"), "static/a.css": "b"})
    done = site.deployed(*managed(repository.url))
    assert f"code       main {first[:7]} -> {second[:7]} (Two), flaskyapplication.py changed" in done.output
    assert (site.visit().text, site.visit("/static/a.css").text) == ("two, visit 3", "b")
    site.deployed(*managed(repository.url, version=first))
    assert (site.visit().text, site.visit("/static/a.css").text) == ("one, visit 5", "a")
    assert not site.deployed(*managed(repository.url, version=first[:10])).changed
    wrong = site.deploy(*managed(repository.url, version="mian"))
    assert wrong.returncode != 0 and "Did you mean main?" in wrong.output
    site.container.shell("chmod 700 /home/b/bo/bob", "root")


def test_a_private_repository_over_ssh_with_a_deploy_key(site: Site, repository: Repository, sshd: str) -> None:
    repository.push("One", **{"flaskyapplication.py": APP.format("one")})
    url = f"ssh://bob@127.0.0.1{repository.path}"
    refused = site.deploy(*managed(url))
    assert refused.returncode != 0 and "does not let this account in" in refused.output and "deploy key" in refused.output
    key = "/home/a/al/alice/.ssh/deploy"
    site.shell(f"mkdir -p -m 700 ~/.ssh; rm -f {key} {key}.pub; ssh-keygen -q -t ed25519 -N '' -f {key}")
    repository.shell("mkdir -p -m 700 ~/.ssh; cat > ~/.ssh/authorized_keys", stdin=site.shell(f"cat {key}.pub"))
    site.deployed(*managed(url, deploy_key="~/.ssh/deploy"))
    assert site.visit().text == "one, visit 2"
    repository.push("Two", **{"flaskyapplication.py": APP.format("two")})
    assert "(Two)" in site.deployed(*managed(url, deploy_key="~/.ssh/deploy")).output


def test_credentials_are_nowhere_to_be_seen(site: Site) -> None:
    done = site.deploy(*managed("http://alice:hunter2222@127.0.0.1:1/x.git"), "-vvv")
    assert done.returncode != 0 and "The repository http://127.0.0.1:1/x.git cannot be reached" in done.output
    assert "hunter2222" not in done.output


def test_uploads_below_static_are_the_apps_to_deliver(site: Site, project: Path) -> None:
    site.deployed(*managed(project, shared="instance/,static/uploads/"))
    site.shell(f"echo image > {site.private}/shared/static/uploads/a.txt")
    assert site.visit("/static/uploads/a.txt").text == "image\n"
    (project / "flaskyapplication.py").write_text(APP.format("two"))
    site.deployed(*managed(project, shared="instance/,static/uploads/"))
    assert site.visit("/static/uploads/a.txt").text == "image\n"


def test_a_directory_is_deployed_by_becoming_its_owner(site: Site, project: Path) -> None:
    site.deployed(*managed(project), "--become", "--become-user", "alice")
    assert site.visit().text == "one, visit 2"


@pytest.fixture
def bare(container: Container) -> Iterator[Host]:
    """A host that reaches no other and has neither git nor uv."""
    name, home = f"{container.name}-bare", f"{container.name}-bare-home"
    with removed_afterwards([name], [home]):
        host = Host(name, {"/home": home}, "--network=none", "--add-host=www.example.test:127.0.0.1", f"ocf-flask-test:{container.host}")
        host.shell("rm /usr/bin/git; until curl --silent --output /dev/null http://www.example.test/; do sleep 0.2; done", "root")
        yield host


def test_a_host_without_network_git_and_uv_is_deployed_to(bare: Host, project: Path) -> None:
    site = Site(bare, "flasky")
    site.deployed(*managed(project))
    assert site.shell("curl --silent http://www.example.test/~alice/flasky/") == "one, visit 2"
    failed = site.deploy("-e", "ocf_flask_source=https://git.example.test/alice/flasky.git")
    assert failed.returncode == 2 and "This machine has no git" in failed.output
    assert site.shell("curl --silent http://www.example.test/~alice/flasky/") == "one, visit 3"


@pytest.fixture
def oldest(container: Container) -> Iterator[Host]:
    """A host with the oldest Python that the role runs with, and without a web server."""
    if container.host != "bookworm":
        pytest.skip("once is enough: the controller is the same for both releases")
    built = subprocess.run([ROOT / "molecule/image/build", "bullseye"], capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"Debian 11 is no longer supported, and cannot be had here: {built.stderr[-200:]}")
    name, home = f"{container.name}-oldest", f"{container.name}-oldest-home"
    with removed_afterwards([name], [home]):
        host = Host(name, {"/home": home}, "--network=none", "ocf-flask-test:bullseye")
        host.shell("until [ -e ~alice/public_html ]; do sleep 0.2; done", "root")
        yield host


def test_a_host_with_the_oldest_python_is_deployed_to(oldest: Host, project: Path) -> None:
    site = Site(oldest, "flasky")
    done = site.deployed(*managed(project))
    assert "Runs on    Python 3.9." in done.output and "Tested     GET / -> 200" in done.output
    assert "nothing was changed" in site.deployed(*managed(project)).output
    (project / "flaskyapplication.py").write_text("1 / 0\n")
    failed = site.deploy(*managed(project))
    assert failed.returncode == 2 and "ZeroDivisionError" in failed.output
    (project / "flaskyapplication.py").write_text(APP.format("two"))
    site.deployed(*managed(project))
    assert "is rolled back" in site.play("rollback")
    assert "Test now    GET / -> 200" in site.play("status")
    assert "GET" in site.play("run", "-e", '{"command": "flask routes"}')
    assert "is removed" in site.play("remove")
    assert "is restored" in site.play("restore")


def test_a_playbook_of_another_project_has_the_role(site: Site, tmp_path: Path) -> None:
    places = {
        "roles_path": "roles",
        "library": "plugins/modules",
        "module_utils": "plugins/module_utils",
        "action_plugins": "plugins/action",
    }
    (tmp_path / "ansible.cfg").write_text("[defaults]\n" + "".join(f"{key} = {ROOT / path}\n" for key, path in places.items()))
    (tmp_path / "ours.yml").write_text("- hosts: all\n  gather_facts: false\n  roles: [ocf_flask]\n")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTEST_"))}
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(ROOT / "molecule/shared/inventory"), "--limit", site.container.host,
        "ours.yml", *site.entry(), "-e", "ocf_flask_url=http://www.example.test/~{owner}/{name}/",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.visit().text == "Hello World!"
