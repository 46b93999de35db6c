"""What a deploy would do, from what is wanted and what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from ocf_flask import permissions, plan, publish
from ocf_flask.pythons import Interpreter
from ocf_flask.release import Manifest

INPUTS: dict[str, Any] = {
    "python": {"path": "/usr/bin/python3.11", "version": "3.11"},
    "packages": ["flask", "rich"],
    "requirements": {"/home/alice/requirements.txt": "1"},
    "server": "builtin",
    "app": "flaskyapplication:app",
    "code": {"flaskyapplication.py": "a", "requirements.txt": "1"},
    "runtime": "r",
    "template": "t",
    "pip": "p",
    "command": "c",
    "release_command": "",
    "cron": {},
}
WANTED = plan.Wanted(
    interpreter=Interpreter("/usr/bin/python3.11", "3.11.2"), inputs=INPUTS, packages=("flask", "rich"),
    declared=frozenset(("flask", "rich")), htaccess=b"ours\n",
)  # fmt: skip
LIVE = Manifest(
    id="20261124-034512", created="", inputs=INPUTS, packages={"flask": "3.1.3", "rich": "14.0", "click": "8.1"}, by_hand={},
    run_fcgi="", tested={},
)  # fmt: skip
FRESH = plan.Observed(
    directory_mode=None, starter=True, live=None, live_python=None, installed={}, htaccess=None,
    run_fcgi=None, run_fcgi_mode=0, expected_run_fcgi=None, links_right=False, permissions=permissions.Found(),
)  # fmt: skip
SERVING = plan.Observed(
    directory_mode=0o711, starter=False, live=LIVE, live_python="/usr/bin/python3.11", installed=LIVE.packages, htaccess=b"ours\n",
    run_fcgi=b"#!", run_fcgi_mode=0o700, expected_run_fcgi=b"#!", links_right=True,
    permissions=permissions.Found(),
)  # fmt: skip


def found(name: str, mode: int, wanted: int) -> permissions.Found:
    return permissions.Found((permissions.Difference(name, (1, 1), mode, wanted),))


def words(found: plan.Plan) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for change in found.changes:
        said.setdefault(change.part, []).append(change.what)
    return said


def wanted(**inputs: Any) -> plan.Wanted:
    return replace(WANTED, inputs={**INPUTS, **inputs})


def test_a_site_as_it_should_be_is_left_alone() -> None:
    found = plan.make(WANTED, SERVING)
    assert found.empty
    assert found.changes == ()
    assert found.virtualenv == plan.KEEP


_INPUTS = st.fixed_dictionaries(
    {
        "python": st.fixed_dictionaries({"path": st.text(max_size=5), "version": st.sampled_from(["3.9", "3.13"])}),
        "packages": st.lists(st.text(max_size=5), max_size=3, unique=True),
        "requirements": st.dictionaries(st.text(max_size=5), st.text(max_size=3), max_size=2),
        "server": st.sampled_from(["builtin", "flup", "flup6"]),
        "app": st.text(max_size=5),
        "code": st.dictionaries(st.text(max_size=5), st.text(max_size=3), max_size=3),
        "runtime": st.text(max_size=3),
        "template": st.text(max_size=3),
        "pip": st.text(max_size=3),
        "command": st.text(max_size=3),
        "release_command": st.text(max_size=3),
        "cron": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    }
)
_PACKAGES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"), max_size=4)


@limits(max_examples=100, deadline=None)
@given(_INPUTS, _PACKAGES, _PACKAGES)
def test_what_was_just_deployed_is_nothing_to_do(inputs: dict[str, Any], packages: dict[str, str], by_hand: dict[str, str]) -> None:
    live = replace(LIVE, inputs=inputs, packages={**packages, **by_hand}, by_hand=by_hand)
    assert plan.make(replace(WANTED, inputs=inputs), replace(SERVING, live=live, installed=live.packages)).empty


@limits(max_examples=200, deadline=None)
@given(_INPUTS, _INPUTS, _PACKAGES, _PACKAGES)
def test_an_empty_plan_says_nothing_and_any_other_something(
    old: dict[str, Any], new: dict[str, Any], recorded: dict[str, str], installed: dict[str, str]
) -> None:
    live = replace(LIVE, inputs=old, packages=recorded)
    found = plan.make(replace(WANTED, inputs=new), replace(SERVING, live=live, installed=installed))
    assert found.empty == (not found.changes)
    assert found.empty == (old == new and recorded == installed) or sorted(old["packages"]) == sorted(new["packages"])


def test_a_fresh_site_has_everything_made() -> None:
    found = plan.make(WANTED, FRESH)
    assert words(found) == {
        "directory": ["made"],
        "htaccess": ["made"],
        "run_fcgi": ["made"],
        "virtualenv": ["made with Python 3.11.2"],
        "code": ["2 files"],
    }
    assert (found.release, found.virtualenv, found.starter, found.links) == (True, plan.BUILD, True, True)


def test_one_file_is_not_files() -> None:
    assert words(plan.make(wanted(code={"a.py": "1"}), FRESH))["code"] == ["1 file"]


@pytest.mark.parametrize(
    ("changed", "said", "virtualenv"),
    [
        ({"code": {**INPUTS["code"], "flaskyapplication.py": "b"}}, {"code": ["flaskyapplication.py changed"]}, plan.CLONE),
        ({"code": {**INPUTS["code"], "x.py": "b"}}, {"code": ["x.py added"]}, plan.CLONE),
        ({"code": {"requirements.txt": "1"}}, {"code": ["flaskyapplication.py removed"]}, plan.CLONE),
        ({"app": "shop:app"}, {"settings": ["ocf_flask_app flaskyapplication:app -> shop:app"]}, plan.CLONE),
        ({"server": "flup"}, {"settings": ["ocf_flask_server builtin -> flup"]}, plan.UPDATE),
        ({"runtime": "r2"}, {"settings": ["the FastCGI runtime is another version's"]}, plan.CLONE),
        ({"template": "t2"}, {"settings": ["the template of run.fcgi is another version's"]}, plan.CLONE),
        ({"pip": "p2"}, {"settings": ["the stand-in for pip is another version's"]}, plan.BUILD),
        ({"packages": ["flask", "rich", "attrs"]}, {"packages": ["attrs asked for"]}, plan.UPDATE),
        ({"packages": ["flask"]}, {"packages": ["rich no longer asked for"]}, plan.UPDATE),
        ({"requirements": {}}, {"packages": ["/home/alice/requirements.txt removed"]}, plan.UPDATE),
        ({"requirements": {"/home/alice/requirements.txt": "2"}}, {"packages": ["/home/alice/requirements.txt changed"]}, plan.UPDATE),
        (
            {"python": {"path": "/usr/bin/python3.13", "version": "3.13"}},
            {"virtualenv": ["Python 3.11 (/usr/bin/python3.11) -> Python 3.11.2 (/usr/bin/python3.11)"]},
            plan.BUILD,
        ),
    ],
)
def test_what_differs_is_said_and_a_new_release_made(changed: dict[str, Any], said: dict[str, list[str]], virtualenv: str) -> None:
    found = plan.make(wanted(**changed), SERVING)
    assert words(found) == {**said, "run_fcgi": ["starts the new release"]}
    assert (found.release, found.virtualenv, found.htaccess, found.starter) == (True, virtualenv, False, False)


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        ({"directory_mode": 0o777}, {"directory": ["made writable by its owner alone (suexec refuses others)"]}),
        ({"directory_mode": 0o775}, {"directory": ["made writable by its owner alone (suexec refuses others)"]}),
        ({"htaccess": None}, {"htaccess": ["made"]}),
        ({"htaccess": b"theirs\n"}, {"htaccess": ["our lines written"]}),
        ({"permissions": found(".env", 0o644, 0o600)}, {"permissions": ["1 file closed to others (.env)"]}),
        ({"permissions": found("static/a.css", 0o600, 0o644)}, {"permissions": ["1 file opened to the web server (static/a.css)"]}),
        ({"run_fcgi": b"edited"}, {"run_fcgi": ["restored"]}),
        ({"run_fcgi_mode": 0o644}, {"run_fcgi": ["restored"]}),
        ({"run_fcgi_mode": 0o775}, {"run_fcgi": ["restored"]}),
        ({"links_right": False}, {"virtualenv": ["the link venv repaired"]}),
        ({"old_virtualenv_due": True}, {"virtualenv": ["the one made by hand set aside, because nobody runs from it any more"]}),
        ({"run_right": False}, {"command": ["the program run repaired"]}),
        ({"static": publish.Found(todo={"static/a.css": "changed"})}, {"static": ["static/a.css changed"]}),
        ({"static": publish.Found(stale=("static/a.css",))}, {"static": ["static/a.css no longer public"]}),
    ],
)
def test_what_needs_no_new_release_is_repaired_without_one(observed: dict[str, Any], said: dict[str, list[str]]) -> None:
    found = plan.make(WANTED, replace(SERVING, **observed))
    assert words(found) == said
    assert not found.empty
    assert not found.release
    assert found.virtualenv == plan.KEEP


@pytest.mark.parametrize(
    ("wanted", "present", "said"),
    [
        (("0 4 * * * /p/run --cron tidy",), (), ["tidy (0 4 * * *) added"]),
        ((), ("0 4 * * * /p/run --cron tidy",), ["tidy (0 4 * * *) removed"]),
        (
            ("5 4 * * * /p/run --cron tidy",),
            ("0 4 * * * /p/run --cron tidy", "mine"),
            ["tidy (0 4 * * *) removed", "'mine' removed", "tidy (5 4 * * *) added"],
        ),
        (("a", "b"), ("b", "a"), ["the lines put into order"]),
        (("a",), ("a",), []),
        (None, ("a",), []),
        (("a",), None, []),
    ],
)
def test_each_line_of_the_crontab_that_differs_is_said(
    wanted: tuple[str, ...] | None, present: tuple[str, ...] | None, said: list[str]
) -> None:
    found = plan.make(replace(WANTED, cron=wanted), replace(SERVING, cron=present))
    assert words(found) == ({"cron": said} if said else {})
    assert (found.cron, found.empty, found.release) == (bool(said), not said, False)


def test_a_new_release_runs_the_release_command_and_no_other_deploy_does() -> None:
    upgrading = {"release_command": "flask db upgrade"}
    live = replace(LIVE, inputs={**INPUTS, **upgrading})
    found = plan.make(wanted(**upgrading, app="shop:app"), replace(SERVING, live=live))
    assert words(found)["command"] == ["flask db upgrade"]
    assert plan.make(wanted(**upgrading), replace(SERVING, live=live)).empty
    assert plan.make(wanted(**upgrading), replace(SERVING, live=live, htaccess=None)).release is False


def test_the_commit_of_code_from_a_repository_is_said() -> None:
    repository = {"repository": "https://example.org/shop", "branch": "main"}
    old, new = {**repository, "commit": "0" * 40}, {**repository, "commit": "1" * 40, "subject": "Sell more"}
    first = plan.make(wanted(source=old, release_command="flask db upgrade"), FRESH)
    assert words(first)["code"][0].endswith("0" * 7) and words(first)["code"][1:] == ["2 files"]
    assert words(first)["command"] == ["flask db upgrade"]
    again = plan.make(wanted(source=new, code={}), replace(SERVING, live=replace(LIVE, inputs={**INPUTS, "source": old})))
    (commits, *files) = words(again)["code"]
    assert "0000000 -> " in commits and commits.endswith("1111111 (Sell more)")
    assert files == ["flaskyapplication.py removed", "requirements.txt removed"]


def test_a_record_of_an_earlier_version_that_lacks_kinds_is_compared_with_nothing() -> None:
    live = replace(LIVE, inputs={kind: INPUTS[kind] for kind in ("python", "app", "server")})
    found = words(plan.make(wanted(shared=["instance/"], requirements={"/r.txt": "1"}, code={"a.py": "1"}), replace(SERVING, live=live)))
    assert found["code"] == ["a.py added"]
    assert found["packages"] == ["flask asked for", "rich asked for", "/r.txt added"]
    assert found["settings"][0] == "ocf_flask_shared nothing -> instance/"


def test_a_release_command_is_run_when_it_is_new_and_not_when_it_is_gone() -> None:
    found = plan.make(wanted(release_command="flask db upgrade"), SERVING)
    assert (words(found)["settings"], words(found)["command"]) == (["ocf_flask_release_command flask db upgrade"], ["flask db upgrade"])
    live = replace(LIVE, inputs={**INPUTS, "release_command": "flask db upgrade"})
    assert plan.make(WANTED, replace(SERVING, live=live)).empty


def test_no_password_of_a_packages_url_is_said() -> None:
    asked = "shop @ git+https://u:hunter2@git.example.edu/shop"
    inputs = {**INPUTS, "packages": [*INPUTS["packages"], asked]}
    new = plan.make(replace(WANTED, inputs=inputs), SERVING)
    shown = "shop @ git+https://git.example.edu/shop"
    assert [change.what for change in new.changes if change.part == "packages"] == [f"{shown} asked for"]
    assert plan.dropped(inputs, INPUTS) == [f"The package {shown}"]


def test_the_names_of_variables_and_scheduled_commands_that_differ_are_said() -> None:
    live = replace(LIVE, inputs={**INPUTS, "cron": {"tidy": "1", "mail": "1"}})
    found = plan.make(
        replace(wanted(cron={"tidy": "2", "mail": "1"}), env={"SAME": "1", "NEW": "x", "OTHER": "b"}),
        replace(SERVING, live=live, env={"SAME": "1", "OLD": "x", "OTHER": "a"}),
    )
    assert words(found)["settings"] == ["NEW added", "OLD removed", "OTHER changed", "the scheduled command tidy changed"]
    assert words(plan.make(replace(wanted(cron={"tidy": "1"}), env={"NEW": "x"}), FRESH))["settings"] == [
        "NEW added",
        "the scheduled command tidy added",
    ]


def test_the_variables_that_are_set_no_more_are_named() -> None:
    observed = replace(SERVING, env={"B": "1", "KEPT": "1", "A": "1"})
    assert plan.dropped_variables(observed, replace(WANTED, env={"KEPT": "2"})) == ["The variable A", "The variable B"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([], ["instance/"], "nothing -> instance/"),
        (["instance/", "uploads/"], [], "instance/, uploads/ -> nothing"),
        (["instance/"], ["instance/", "a.db"], "instance/ -> instance/, a.db"),
    ],
)
def test_what_is_shared_is_said_when_it_changes(old: list[str], new: list[str], said: str) -> None:
    found = plan.make(wanted(shared=new), replace(SERVING, live=replace(LIVE, inputs={**INPUTS, "shared": old})))
    assert words(found) == {"settings": [f"ocf_flask_shared {said}"], "run_fcgi": ["starts the new release"]}


def test_code_that_was_changed_in_a_release_by_hand_is_put_back() -> None:
    found = plan.make(WANTED, replace(SERVING, staged=True))
    assert words(found)["code"] == ["put back: the live release's had been changed by hand"]
    assert words(plan.make(wanted(code={}), replace(SERVING, staged=True)))["code"] == [
        "flaskyapplication.py removed",
        "requirements.txt removed",
    ]


def test_versions_stay_those_that_are_installed_or_else_those_of_the_record() -> None:
    assert plan.make(WANTED, replace(SERVING, installed={"flask": "3.0"})).pins == {"flask": "3.0"}
    assert plan.make(WANTED, replace(SERVING, installed={})).pins == LIVE.packages
    assert plan.make(WANTED, FRESH).pins == {}


def test_what_is_public_no_more_is_no_step_of_its_own_in_a_new_release() -> None:
    found = plan.make(wanted(app="x:app"), replace(SERVING, static=publish.Found(stale=("static/a.css",))))
    assert "static" not in words(found) and found.static


def test_what_stands_in_the_way_of_a_virtualenv_comes_first() -> None:
    found = plan.make(WANTED, replace(SERVING, installed={"flask": "3.1.3", "rich": "15.0"}))
    assert [change.part for change in found.changes][:2] == ["run_fcgi", "virtualenv"]


def test_a_group_writable_run_fcgi_would_be_refused_by_suexec_and_an_owners_alone_not() -> None:
    assert plan.make(WANTED, replace(SERVING, run_fcgi_mode=0o755)).empty


def test_a_package_installed_by_hand_is_carried_over() -> None:
    found = plan.make(WANTED, replace(SERVING, installed={**LIVE.packages, "attrs": "25.1"}))
    assert words(found)["packages"] == ["attrs 25.1 installed by hand"]
    assert found.by_hand == {"attrs": "25.1"}
    assert found.virtualenv == plan.CLONE


def test_a_package_installed_by_hand_is_carried_over_when_the_virtualenv_is_built_anew() -> None:
    observed = replace(SERVING, installed={**LIVE.packages, "attrs": "25.1"}, live_python=None)
    found = plan.make(WANTED, observed)
    assert found.by_hand == {"attrs": "25.1"}
    assert found.virtualenv == plan.BUILD


def test_a_package_installed_by_hand_once_stays_without_another_deploy() -> None:
    live = replace(LIVE, packages={**LIVE.packages, "attrs": "25.1"}, by_hand={"attrs": "25.1"})
    found = plan.make(WANTED, replace(SERVING, live=live, installed=live.packages))
    assert found.empty
    assert found.by_hand == {"attrs": "25.1"}


def test_a_package_that_was_then_written_down_is_by_hand_no_more() -> None:
    live = replace(LIVE, packages={**LIVE.packages, "attrs": "25.1"}, by_hand={"attrs": "25.1"})
    asked = replace(wanted(packages=["flask", "rich", "attrs"]), declared=frozenset(("flask", "rich", "attrs")))
    assert plan.make(asked, replace(SERVING, live=live, installed=live.packages)).by_hand == {}


def test_a_package_upgraded_by_hand_is_said() -> None:
    found = plan.make(WANTED, replace(SERVING, installed={**LIVE.packages, "flask": "3.2"}))
    assert words(found)["packages"] == ["flask 3.2 installed by hand"]
    assert found.by_hand == {}


def test_a_package_of_ours_uninstalled_by_hand_comes_back() -> None:
    found = plan.make(WANTED, replace(SERVING, installed={"flask": "3.1.3"}))
    assert found.virtualenv == plan.BUILD
    assert words(found)["virtualenv"] == ["made anew, because rich, click was missing"]


def test_a_package_by_hand_uninstalled_by_hand_is_gone() -> None:
    live = replace(LIVE, packages={**LIVE.packages, "attrs": "25.1"}, by_hand={"attrs": "25.1"})
    found = plan.make(WANTED, replace(SERVING, live=live))
    assert words(found)["packages"] == ["attrs 25.1 uninstalled by hand"]
    assert (found.by_hand, found.virtualenv) == ({}, plan.CLONE)


def test_a_python_that_an_upgrade_of_the_system_took_away_is_replaced() -> None:
    found = plan.make(replace(WANTED, interpreter=Interpreter("/usr/bin/python3.13", "3.13.5")), replace(SERVING, live_python=None))
    assert words(found)["virtualenv"] == ["made anew with Python 3.13.5, because its Python 3.11 is gone"]
    assert found.virtualenv == plan.BUILD


def test_the_changes_come_in_the_order_of_the_recipe() -> None:
    found = plan.make(wanted(app="x:app", code={}), replace(SERVING, directory_mode=0o777, htaccess=None, live_python=None))
    parts = [change.part for change in found.changes]
    assert parts == sorted(parts, key=plan.PARTS.index)
    assert {"directory", "htaccess", "run_fcgi", "virtualenv", "code", "settings"} == set(parts)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {}, []),
        ({"app": "shop:app"}, {}, ["ocf_flask_app shop:app"]),
        ({}, {"app": "shop:app"}, []),
        ({"app": "a:app"}, {"app": "b:app"}, []),
        ({"server": "flup", "packages": ["flask", "flup", "rich"]}, {}, ["ocf_flask_server flup"]),
        ({"packages": ["flask", "rich", "attrs>=25"]}, {}, ["The package attrs>=25"]),
        ({"packages": ["flask", "rich>=13"]}, {}, []),
        ({"packages": ["Flask", "Rich[jupyter]"]}, {}, []),
    ],
)
def test_what_an_earlier_deploy_had_and_this_one_does_not_ask_for(old: dict[str, Any], new: dict[str, Any], said: list[str]) -> None:
    assert plan.dropped({**INPUTS, **old}, {**INPUTS, **new}) == said


_MAKERS: list[Callable[[], plan.Plan]] = [lambda: plan.make(WANTED, FRESH), lambda: plan.make(WANTED, SERVING)]


@pytest.mark.parametrize("make", _MAKERS)
def test_planning_twice_gives_the_same_plan(make: Callable[[], plan.Plan]) -> None:
    assert make() == make()
