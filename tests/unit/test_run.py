"""A run: which sites it is about, and that one of them cannot spoil the others."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ocf_flask import sites, workers
from ocf_flask.errors import SettingError
from ocf_flask.outcome import DEPLOYED, FAILED, UNCHANGED, Outcome
from ocf_flask.run import Run, execute, select
from ocf_flask.settings import Settings
from ocf_flask.site import Kit

KIT = Kit("", "", "", "", "", "", "", "")
DEPLOYING = sites.verb("deploy", KIT, sites.Asked(), check=True)
ME = pwd.getpwuid(os.getuid()).pw_name
SITES: list[dict[str, Any]] = [
    {"name": "flasky", "owner": "alice"},
    {"name": "shop", "owner": "bob"},
    {"name": "flasky", "owner": "bob"},
    {"name": "blog"},
]


def run(site: str = "", owner: str = "", elsewhere: tuple[str, ...] = (), **variables: Any) -> Run:
    return Run({f"ocf_flask_{key}": value for key, value in variables.items()}, site, owner, elsewhere)


def selected(*arguments: Any, **more: Any) -> list[tuple[str, str]]:
    return [(entry["name"], entry.get("owner", "")) for entry in select(run(*arguments, **more))]


def refusal(of: Run) -> str:
    with pytest.raises(SettingError) as caught:
        execute(of, DEPLOYING)
    return caught.value.message


def test_without_a_list_the_command_line_names_the_site() -> None:
    assert selected("flasky") == [("flasky", "")]
    assert selected("flasky", "alice") == [("flasky", "alice")]
    assert selected("flasky", sites=[]) == [("flasky", "")]


def test_without_a_list_and_a_name_the_run_says_what_to_type() -> None:
    assert refusal(run()).startswith("Which site? Add -e site=NAME, for example: -e site=flasky\n")


def test_a_wrong_name_on_the_command_line_is_refused() -> None:
    assert refusal(run("my/site")).endswith("Type for example: -e site=site")


@pytest.mark.parametrize(
    ("site", "owner", "expected"),
    [
        ("", "", [("flasky", "alice"), ("shop", "bob"), ("flasky", "bob"), ("blog", "")]),
        ("flasky", "", [("flasky", "alice"), ("flasky", "bob")]),
        ("flasky", "bob", [("flasky", "bob")]),
        ("", "bob", [("shop", "bob"), ("flasky", "bob")]),
    ],
)
def test_with_a_list_the_command_line_selects(site: str, owner: str, expected: list[tuple[str, str]]) -> None:
    assert selected(site, owner, sites=SITES) == expected


def test_an_entry_without_an_owner_is_the_default_owners() -> None:
    of = Run({"ocf_flask_sites": SITES, "ocf_flask_owner": "carol"}, "", "carol", ())
    assert [entry["name"] for entry in select(of)] == ["blog"]


def test_no_match_is_an_error_that_lists_the_names() -> None:
    assert (
        refusal(run("flaky", sites=SITES))
        == "No site matches site=flaky. Did you mean flasky? The sites of this inventory: blog, flasky, shop"
    )
    assert (
        refusal(run("shop", "alice", sites=SITES))
        == "No site matches site=shop owner=alice. The sites of this inventory: blog, flasky, shop"
    )
    assert refusal(run("flaky", elsewhere=("carol/wiki",), sites=SITES)).endswith("The sites of this inventory: blog, flasky, shop, wiki")
    many = [{"name": f"site{number:04}"} for number in range(1000)]
    assert refusal(run("wiki", sites=many)).endswith("site0018, site0019 and 980 more")


def test_a_site_of_another_host_is_no_error_here() -> None:
    assert selected("wiki", elsewhere=("carol/wiki",), sites=SITES) == []
    assert selected("wiki", elsewhere=("/wiki",)) == []
    assert selected(elsewhere=("carol/wiki",), sites=[]) == []
    assert selected("", "carol", elsewhere=("carol/wiki",), sites=SITES) == []
    assert selected("wiki", "carol", elsewhere=("/wiki",), sites=SITES) == [], "the owner there is not known here"


@pytest.mark.parametrize(("site", "owner"), [("", "carlo"), ("wiki", "bob"), ("wikki", ""), ("shop", "carol")])
def test_what_no_host_has_is_an_error_on_each(site: str, owner: str) -> None:
    assert refusal(run(site, owner, elsewhere=("carol/wiki",), sites=SITES)).startswith("No site matches ")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"pakages": []}, "There is no setting ocf_flask_pakages. Did you mean ocf_flask_packages?"),
        ({"sites": "flasky"}, "ocf_flask_sites is 'flasky': it takes a list such as [{name: flasky, owner: alice}]"),
        ({"sites": {"flasky": {}}}, "ocf_flask_sites is {'flasky': {}}: it takes a list"),
        ({"sites": ["flasky"]}, "ocf_flask_sites has the entry 'flasky': each takes at least a name, as in {name: flasky, owner: alice}"),
        ({"sites": [{"owner": "alice"}]}, "ocf_flask_sites has the entry {'owner': 'alice'}: each takes at least a name"),
        ({"sites": [{"name": ""}]}, "each takes at least a name"),
    ],
)
def test_what_is_wrong_with_a_run_stops_it_before_anything_changes(variables: dict[str, Any], message: str) -> None:
    assert message in refusal(run("flasky", **variables))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"name": "a"}, f"The sites a and a of {ME} have the same name, a. Take one of them out."),
        ({"name": "a", "owner": ME}, f"The sites a and a of {ME} have the same name, a. Take one of them out."),
        ({"name": "b", "directory": "~/public_html/a"}, "/a. Leave directory away, and each has its own, ~/public_html/NAME."),
        ({"name": "b", "directory": "~//public_html/./a/"}, "have the same directory, "),
        ({"name": "b", "private_directory": "~/.ocf-flask/a"}, "have the same private_directory, "),
    ],
)
def test_two_sites_in_one_place_stop_the_run(other: dict[str, Any], message: str) -> None:
    assert message in refusal(run(sites=[{"name": "a"}, other]))


def test_what_is_wrong_with_one_site_fails_that_site_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sites._WORK, "deploy", lambda settings, kit, asked, check: Outcome(settings.name, state=UNCHANGED))
    entries = [
        {"name": "a", "keep": 0},
        {"name": "b"},
        {"name": "c", "owner": "nobody-of-that-name"},
        {"name": "../d"},
        {"name": "e", "x": 1},
        {"name": "f"},
    ]
    outcomes = execute(run(sites=entries), DEPLOYING)
    assert [(outcome.name, outcome.state) for outcome in outcomes] == [
        ("a", FAILED), ("b", UNCHANGED), ("c", FAILED), ("../d", FAILED), ("e", FAILED), ("f", UNCHANGED),
    ]  # fmt: skip
    assert [outcome.error.partition(":")[0] for outcome in outcomes if outcome.error][:2] == ["ocf_flask_keep is 0", "ocf_flask_owner"]
    found = sites.result(outcomes, "again")
    assert found["failed"] is True
    assert found["changed"] is False
    assert found["msg"].splitlines()[0] == "a: ocf_flask_keep is 0: it takes a whole number from 1 to 100."
    assert len(found["msg"].splitlines()) == 4


def answered(answer: Mapping[str, Any] | str, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    monkeypatch.setattr(workers, "run", lambda jobs, slots, done: [done(index, answer) for index in range(len(jobs))])
    (outcome,) = execute(run("flasky"), DEPLOYING)
    return outcome


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"x": 1},
        {"name": "x", "state": "splendid"},
        {"name": "x", "notes": [{}]},
        {"name": "x", "tested": {"status": []}},
        {"name": "x", "changes": {"a": 1}},
    ],
)
def test_an_answer_that_is_none_fails_its_site_and_the_report_is_still_written(
    answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = answered(answer, monkeypatch)
    assert (outcome.name, outcome.state, outcome.error) == ("flasky", FAILED, "The deploy's answer has not the form of one.")
    assert "flasky was not deployed." in sites.result([outcome], "again")["report"]


def test_a_worker_cannot_speak_for_another_site(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answered(asdict(Outcome("bank", state=DEPLOYED)), monkeypatch).name == "flasky"


def test_a_worker_that_ended_without_an_answer_is_shown_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = answered("The deploy ended without an answer (status 1). Traceback:\n  File", monkeypatch)
    assert (outcome.error, outcome.detail) == ("The deploy ended without an answer (status 1). Traceback:", "  File")


def test_the_worker_has_time_for_all_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[workers.Job] = []

    def take(jobs: list[workers.Job], slots: int, done: Any) -> None:
        seen.extend(jobs)

    monkeypatch.setattr(workers, "run", take)
    execute(run("flasky", timeouts={"lock": 10, "build": 20, "live": 30}, smoke_test={"timeout": 40}), DEPLOYING)
    assert seen[0].seconds > 10 + 20 + 30 + 40


def test_what_an_owner_needs_is_imported_before_root_becomes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(workers, "run", lambda jobs, slots, done: [done(index, "") for index in range(len(jobs))])
    verb = replace(DEPLOYING, load=lambda: loaded.append("transaction"))
    execute(run("flasky"), verb)
    assert loaded == []
    execute(run("flasky", "nobody"), verb)
    assert loaded == ["transaction"]


def test_a_verb_has_the_time_of_all_its_steps() -> None:
    one = Settings("flasky")
    steps = {"lock": one.timeouts.lock, "build": one.timeouts.build, "test": one.smoke_test.timeout, "command": one.timeouts.command}
    least = sum(steps.values()) + one.smoke_test.timeout + one.timeouts.live

    def seconds(verb: str, **more: Any) -> float:
        return sites.verb(verb, KIT, sites.Asked(), check=False).seconds(replace(one, **more))

    assert seconds("deploy", release_command="x") > least
    assert (
        seconds("deploy", source="https://example.edu/x.git") == seconds("deploy") + steps["build"] == seconds("deploy", source="~/x") + 600
    )
    assert seconds("upgrade") == seconds("deploy") + steps["build"], "the versions of now are built again, and newer ones"
    assert one.timeouts.command < seconds("run") < seconds("deploy")


def test_a_result_has_what_programs_need() -> None:
    done = Outcome("a", state=DEPLOYED, diff=[{"before": "", "after": "x", "before_header": "h", "after_header": "h"}])
    found = sites.result([done, Outcome("b")], "again")
    assert found["changed"] is True
    assert "failed" not in found
    assert found["diff"] == done.diff
    hostile = replace(done, diff=[{"before": "", "after": "\x1b]0;x\x07\n\tSetEnv A 1\n", "before_header": "\x1b", "after_header": "h"}])
    (shown,) = sites.result([hostile], "")["diff"]
    mark = "\N{REPLACEMENT CHARACTER}"
    assert (shown["before_header"], shown["after"]) == (mark, f"{mark}]0;x{mark}\n\tSetEnv A 1\n")
    assert [(site["name"], site["changed"], "diff" in site) for site in found["sites"]] == [("a", True, False), ("b", False, False)]
    assert "a is deployed." in found["report"]


def test_a_place_that_is_refused_is_the_failure_of_its_site(tmp_path: Path) -> None:
    (outcome,) = execute(run("flasky", directory=str(tmp_path / "a"), private_directory=str(tmp_path / "a" / "b"), web_root=""), DEPLOYING)
    assert outcome.state == FAILED
    assert "which visitors may reach" in outcome.error


def test_only_the_sites_of_a_retry_file_are_selected() -> None:
    everything = {"sites": [*SITES, {"name": "own"}]}
    assert selected(**everything) == [(one["name"], one.get("owner", "")) for one in everything["sites"]]
    again = Run({"ocf_flask_sites": everything["sites"]}, "", "", (), only=("bob/flasky", f"{ME}/own"))
    assert [(entry["name"], entry.get("owner")) for entry in select(again)] == [("flasky", "bob"), ("own", None)]
    assert refusal(replace(again, only=("bob/gone",))).startswith("No site matches only=bob/gone.")
    there = replace(again, only=("bob/gone",), elsewhere=("bob/gone",))
    assert select(there) == select(replace(there, elsewhere=("/gone",))) == []
    assert refusal(replace(there, elsewhere=("alice/gone", "bob/shop"))).startswith("No site matches only=bob/gone.")
