"""Hostile owners and honest ones in the same runs, by root, from a checkout in a directory of root's alone."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from attacks import APP, ATTACKS, PACKAGES, PROBE, SWAP, Attack

from hosted import Checkout, Container, Site

pytestmark = pytest.mark.usefixtures("_once")
NEIGHBOUR, THEIRS, SHOP = "chris", "/home/c/ch/chris", "/services/http/users/c/chris/shop"
TOOLS, HOME = "/opt/attacks", "/home/root"
# In root's file, in a neighbour's, and in root's environment: nobody else has it.
ROOTS, NEIGHBOURS, VARIABLE = "secret-6d1f0c2b", "secret-94b7e3aa", "secret-51cea7f0"
# The verbs in their order; each is run over those that attack it, and the honest.
VERBS = ("status", "upgrade", "rollback", "remove", "restore")
SETTINGS = {
    "ocf_flask_url": "http://www.example.test/~{owner}/{name}/",
    "ocf_flask_timeouts": {"lock": 1, "build": 300, "live": 5},
}


@dataclass(frozen=True)
class Hostile:
    """An account that makes an attack."""

    attack: Attack
    user: str

    @property
    def home(self) -> str:
        return f"/home/b/ba/{self.user}"

    @property
    def space(self) -> str:
        return f"/services/http/users/b/{self.user}"

    def entry(self) -> dict[str, Any]:
        return {"name": self.attack.name, "owner": self.user, **self.attack.settings}

    def command(self, command: str, *, user: str = "") -> str:
        """The command in a shell that knows the places, as the account that makes the attack or another."""
        places = {
            "HOME": self.home, "SITE": f"{self.space}/{self.attack.name}", "PRIVATE": f"{self.home}/.ocf-flask/{self.attack.name}",
            "THEIRS": THEIRS, "SHOP": SHOP, "TOOLS": TOOLS,
        }  # fmt: skip
        variables = " ".join(f"{name}={path}" for name, path in places.items())
        return f"runuser -u {user or self.user} -- env {variables} bash -ec {shlex.quote(command)} || echo {self.attack.name} failed"

    def preparations(self) -> str:
        return "\n".join([self.command(self.attack.owner or ":"), self.command(self.attack.root or ":", user="root")])


HOSTILE = tuple(Hostile(attack, f"bandit{number}") for number, attack in enumerate(ATTACKS))


def making(verb: str) -> list[Hostile]:
    return [one for one in HOSTILE if one.attack.verb == verb]


class Runs:
    """All runs, one after the other; of each, by the site's owner, what became of the site."""

    def __init__(self, container: Container, honest: list[Site]) -> None:
        self.container, self.honest = container, honest
        self.records: dict[str, dict[str, dict[str, Any]]] = {}
        self.said = self.pages = ""
        self._make_accounts()
        self._make_neighbours()
        self.checkout = Checkout(container, "root", HOME)
        self._prepare(making("deploy"))
        self.before = self.state()
        self.foreign = self.of_others()
        self.run("deploy", HOSTILE)
        self.run("logs", HOSTILE)
        # A later moment of those that change all the time; and the honest have a release to go back to.
        for one in honest:
            one.write("flaskyapplication.py", APP.replace("service", "command"))
        for _ in range(2):
            self.run("deploy", [one for one in making("deploy") if one.attack.cause is None], "again")
        self.root("pkill -f swap.py")
        self.left = {one.attack.name: self.root(f"pgrep -u {one.user}").split() for one in making("deploy")}
        for verb in VERBS:
            self._prepare(making(verb))
            # What is to be restored has to be removed.
            self.run(verb, [*making(verb), *(making("restore") if verb == "remove" else [])])
        self._prepare(making("find"))
        self.checkout.play(f"-i inventory/staff playbooks/find.yml -e to={HOME}/found.yml")
        self.found = yaml.safe_load(self.root(f"cat {HOME}/found.yml"))["ocf_flask_sites"]

    def root(self, *commands: str) -> str:
        return self.container.shell("bash -s", "root", stdin="\n".join(commands) + "\n", check=False)

    def _make_accounts(self) -> None:
        users = [NEIGHBOUR, *(one.user for one in HOSTILE)]
        homes = {user: f"/home/{user[0]}/{user[:2]}/{user}" for user in users}
        add = "useradd --no-create-home --gid ocf --shell /bin/bash --home-dir"
        said = self.root(
            *(f"{add} {home} {user}; install -d -m 700 -o {user} -g ocf {home}; makehttp {user}" for user, home in homes.items()),
            f"mkdir -p /root/kept /root/tmp {TOOLS}; install -d -m 700 {HOME}; chmod 700 /root; echo {ROOTS} > /root/kept/canary",
        )
        assert said == ""

    def _make_neighbours(self) -> None:
        shop = self.honest[0]
        for one in self.honest:
            one.write("flaskyapplication.py", APP)
        shop.shell(
            f"cd {SHOP}; echo {NEIGHBOURS} | tee ~/secret > closed; mkdir static; echo '# theirs' > static/notes; chmod 600 ~/secret closed"
        )
        probe = PROBE.replace("THEIRS", THEIRS).replace("SHOP", SHOP)
        for name, text in (("probe", probe), ("swap", SWAP), ("packages", PACKAGES)):
            self.container.shell(f"cat > {TOOLS}/{name}.py", "root", stdin=text)
        assert self.root(f"python3 {TOOLS}/packages.py {TOOLS} {TOOLS}/probe.py") == ""
        apps = [shlex.quote(one.attack.app.replace("TOOLS", TOOLS)) for one in HOSTILE]
        commands = [one.command(f"mkdir $SITE; printf %s {app} > $SITE/flaskyapplication.py") for one, app in zip(HOSTILE, apps)]
        assert self.root(*commands) == ""

    def _prepare(self, hostile: list[Hostile]) -> None:
        assert self.root(*(one.preparations() for one in hostile)) == ""

    def run(self, verb: str, hostile: Any, part: str = "") -> None:
        """Run a verb over hostile sites, with the honest ones among them, and keep what it said."""
        sites = [*(one.entry() for one in hostile)]
        sites[1:1] = [{"name": one.name, "owner": one.owner} for one in self.honest]
        self.container.shell("cat > /root/sites.json", "root", stdin=json.dumps({**SETTINGS, "ocf_flask_sites": sites}))
        options = "-e @/root/sites.json -e all=true -e report=/root/report"
        said = self.checkout.run(
            f"rm -rf /root/report; SECRET={VARIABLE} TMPDIR=/root/tmp .venv/bin/ansible-playbook -i inventory/staff playbooks/{verb}.yml {options}",
            check=False,
            seconds=600,
        )
        self.said += said
        page = self.container.shell("cat /root/report/report.html /root/report/failed.json", "root")
        listed = json.loads(self.container.shell("cat /root/report/host-localhost.json", "root"))["sites"]
        self.pages += page
        self.records[verb + part] = {one["owner"]: one for one in listed}

    def state(self) -> str:
        """All about the files that nobody but their owners may have changed."""
        files = f"/root/kept {THEIRS}/secret {SHOP}/closed {SHOP}/static/notes"
        return self.root(f"find {files} -printf '%p %u %g %m %s %T@\\n' | sort", f"cat /root/kept/* {THEIRS}/secret")

    def of_others(self) -> set[str]:
        """What is in a hostile account's directories and not its own."""
        return set(self.root(*(f"find {one.home} {one.space} ! -user {one.user} -printf '%p %u\\n'" for one in HOSTILE)).splitlines())


@pytest.fixture(name="_once", scope="module")
def _run_once(container: Container) -> None:
    if container.host != "bookworm":
        pytest.skip("the attacks are made on one host, where uv and pip are both there")


@pytest.fixture(name="runs", scope="module")
def _runs(container: Container) -> Iterator[Runs]:
    runs = Runs(container, [Site(container, "shop", NEIGHBOUR), Site(container, "calm")])
    yield runs
    users = " ".join([NEIGHBOUR, *(one.user for one in HOSTILE)])
    for one in runs.honest:
        container.shell(f"rm -rf {one.directory} {one.private}", "root")
    # The others' files go with the container.
    container.shell(f"for user in {users}; do pkill -KILL -u $user; userdel $user; done", "root", check=False)


def ids(hostile: Hostile) -> str:
    return hostile.attack.name


@pytest.mark.parametrize("hostile", [one for one in HOSTILE if one.attack.verb != "find"], ids=ids)
def test_an_attacked_site_alone_has_what_its_owner_did(runs: Runs, hostile: Hostile) -> None:
    attack = hostile.attack
    if attack.verb != "deploy":
        assert runs.records["deploy"][hostile.user]["state"] == "deployed"
    record = runs.records[attack.verb][hostile.user]
    said = " ".join([record["error"], record["detail"], record.get("problem", ""), *record["notes"]])
    assert record["name"] == hostile.entry()["name"] and "Traceback" not in record["error"]
    if attack.cause:
        assert re.search(attack.cause, said), said
    elif attack.cause == "":
        assert record["state"] not in ("failed", "skipped") and not record.get("problem"), said


def test_every_site_can_be_looked_at(runs: Runs) -> None:
    assert len(runs.records["logs"]) == len(HOSTILE) + len(runs.honest)
    for record in runs.records["logs"].values():
        assert not re.search("without an answer|took longer|has not the form", record["error"]), record


@pytest.mark.parametrize(
    ("run", "state"),
    [
        ("deploy", "deployed"), ("deployagain", "unchanged"), ("status", "deployed"), ("upgrade", "unchanged"), ("rollback", "rolled back"),
        ("remove", "removed"), ("restore", "restored"),
    ],
)  # fmt: skip
def test_the_honest_are_served_all_the_while(runs: Runs, run: str, state: str) -> None:
    assert {runs.records[run][one.owner]["state"] for one in runs.honest} == {state}


def test_in_the_end_the_honest_sites_answer(runs: Runs) -> None:
    assert [one.visit().text for one in runs.honest] == ["at your service"] * 2


def test_what_is_roots_and_a_neighbours_is_as_it_was(runs: Runs) -> None:
    assert ROOTS in runs.before and NEIGHBOURS in runs.before
    assert runs.state() == runs.before


def test_nothing_in_an_owners_directories_has_become_roots_or_anothers(runs: Runs) -> None:
    assert runs.of_others() <= runs.foreign


def test_nobody_has_what_is_roots_or_a_neighbours(runs: Runs) -> None:
    # Or grep would follow what was exchanged for a link since find looked.
    runs.root("pkill --full swap.py; true")
    secrets = [ROOTS, NEIGHBOURS, VARIABLE, runs.root("sed -n 1p /etc/shadow").strip()]
    options = " ".join(f"-e {shlex.quote(one)}" for one in secrets)
    own = " ".join(f"\\( -user {one.user} -path '*{one.user}/*' \\) -o" for one in HOSTILE)
    found = f"find /home/b/ba /services/http/users/b /tmp -type f -size -64M \\( {own} -path '/tmp/*' \\) -print0"
    assert runs.root(f"{found} | xargs -0 grep -slF {options} -- /dev/null") == ""
    assert not any(secret in runs.said + runs.pages for secret in secrets)


@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS if "-act" in attack.name])
def test_an_owners_code_has_nothing_but_its_owners_rights(runs: Runs, name: str) -> None:
    (hostile,) = (one for one in HOSTILE if one.attack.name == name)
    files = runs.root(f"cd {hostile.home}; stat -c '%U %G %n' evidence-*").splitlines()
    assert files and all(line.startswith(f"{hostile.user} ocf ") for line in files)
    user, group = runs.root(f"id -u {hostile.user}; id -g {hostile.user}").split()
    for text in runs.root(f"cd {hostile.home}; for file in evidence-*; do cat $file; echo; done").splitlines():
        evidence = json.loads(text)
        assert evidence["users"] == [int(user)] * 3 and evidence["groups"] == [int(group)]
        assert evidence["had"] == [] and evidence["tried"] > 10
        places = [*evidence["environment"].values(), *evidence["descriptors"], evidence["directory"]]
        assert not [one for one in places if "/root" in one or VARIABLE in one]
        assert evidence["umask"] & 0o022 == 0o022


@pytest.mark.parametrize("name", ["app-stops-its-worker", "app-kills-its-worker", "app-forks", "app-prints-gigabytes"])
def test_what_an_app_began_in_its_test_has_ended_with_it(runs: Runs, name: str) -> None:
    # The site itself may have been asked for.
    assert len(runs.left[name]) <= (name == "app-forks")


def test_what_is_found_is_its_owners_own(runs: Runs) -> None:
    names = {one.user: one.attack.name for one in HOSTILE}
    found = [one for one in runs.found if one["owner"] in names]
    assert len(found) > 20
    for one in found:
        assert one["name"] == names[one["owner"]] and one.keys() <= {"name", "owner"}


def test_reports_show_hostile_text_as_text(runs: Runs) -> None:
    assert "=HYPERLINK(1){{ lookup(" in runs.said and "<script>alert" in runs.said
    assert all(char.isprintable() or char in "\n\t" for char in runs.said)
    assert "&lt;script&gt;alert" in runs.pages and "<script" not in runs.pages and "{{ lookup(" in runs.pages
