"""What the process that is still root does: the system calls of whole runs, seen by strace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from hosted import Container, Site

pytestmark = pytest.mark.usefixtures("_once")
STRACE = "strace -f -qq -y -s 500 --seccomp-bpf -e trace=%file,%process,%creds -o /root/traces/$$"
# Homes and web spaces, as an argument or as what a descriptor is of.
OF_OWNERS = re.compile(r'["<]/(home|services)/')
STARTED = re.compile(r"^(?:v?fork|clone3?)\(.*= (\d+)|^<\.\.\. (?:v?fork|clone3?) resumed>.*= (\d+)")
# Of two processes that call at the same time, one call is in two parts.
GIVEN_UP = re.compile(r"^(?:setuid\([1-9]\d*|<\.\.\. setuid resumed>)\) += 0")


@dataclass
class Process:
    """Its calls, each with its place in the trace; and who started it, where."""

    calls: list[tuple[int, str]] = field(default_factory=list)
    parent: int = 0
    began: int = 0


class Trace:
    """The calls of a module and of all that it starts."""

    def __init__(self, text: str) -> None:
        self.processes: dict[int, Process] = {}
        for place, line in enumerate(text.splitlines()):
            number, call = line.split(None, 1)
            self.process(number).calls.append((place, call))
            started = STARTED.match(call)
            if started:
                child = self.process(started[1] or started[2])
                child.parent, child.began = int(number), place

    def process(self, number: str) -> Process:
        return self.processes.setdefault(int(number), Process())

    def by_root(self) -> list[str]:
        """The calls of each process before it has become another account."""
        return [call for one in self.processes.values() for place, call in one.calls if place < self.end_of_root(one)]

    def end_of_root(self, one: Process) -> float:
        parent = self.processes.get(one.parent)
        if parent and self.end_of_root(parent) < one.began:
            return 0
        return next((place for place, call in one.calls if GIVEN_UP.match(call)), float("inf"))


@pytest.fixture(name="_once", scope="module")
def _run_once(container: Container) -> None:
    if container.host != "bookworm":
        pytest.skip("traced on one host")


@pytest.fixture(name="sites")
def _sites(container: Container) -> Iterator[list[Site]]:
    yield (found := [Site(container, "traced", "alice"), Site(container, "traced", "bob")])
    for one in found:
        container.shell(f"rm -rf {one.directory} {one.private} ~{one.owner}/ocf-flask-removed", "root")


def traced(container: Container, verb: str, sites: list[Site]) -> Trace:
    """A run of that verb, of which each module is traced."""
    container.shell("rm -rf /root/traces; mkdir /root/traces; cat > /root/traced", "root", stdin=f'#!/bin/sh\nexec {STRACE} python3 "$@"\n')
    container.shell("chmod +x /root/traced", "root")
    variables = {
        "ansible_python_interpreter": "/root/traced",
        "ocf_flask_sites": [{"name": one.name, "owner": one.owner} for one in sites],
        "all": True,
    }
    done = container.play(f"playbooks/{verb}.yml", "", "-e", json.dumps(variables), owner="")
    assert done.returncode == 0, done.output
    return Trace(container.shell("cat /root/traces/*", "root"))


def test_no_process_that_is_still_root_names_anything_of_an_owners(container: Container, sites: list[Site]) -> None:
    for verb in ("deploy", "status", "remove", "restore", "find"):
        trace = traced(container, verb, sites)
        calls = [call for one in trace.processes.values() for _, call in one.calls]
        assert sum(bool(OF_OWNERS.search(call)) for call in calls) > 20, "they were looked at, by others"
        assert [call for call in trace.by_root() if OF_OWNERS.search(call)] == [], verb
        assert {GIVEN_UP.match(call)[1] for call in calls if GIVEN_UP.match(call)} >= {"1000", "1001"}  # type: ignore[index]


def test_a_process_leaves_its_groups_before_it_leaves_root(container: Container, sites: list[Site]) -> None:
    trace = traced(container, "find", sites)
    workers = [[call.split("(")[0] for _, call in one.calls if call.startswith("set")] for one in trace.processes.values()]
    assert [calls for calls in workers if calls] and all(calls == ["setgroups", "setgid", "setuid"] for calls in workers if calls)
