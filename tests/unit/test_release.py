"""The records of releases, and which of them can go."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from forks import in_child
from ocf_flask import files, release
from ocf_flask.places import Places

ID = "20261124-034512"
MANIFEST = release.Manifest(
    id=ID,
    created="2026-11-24 03:45:12 UTC",
    inputs={
        "python": {"path": "/usr/bin/python3.11", "version": "3.11"},
        "app": "a:app",
        "server": "builtin",
        "packages": ["flask"],
        "code": {},
    },
    packages={"flask": "3.1.3"},
    by_hand={},
    run_fcgi="0" * 64,
    tested={},
)


@pytest.fixture
def where(tmp_path: Path) -> Places:
    found = Places(tmp_path / "site", tmp_path / "private", tmp_path / "crontab.lock")
    found.releases.mkdir(parents=True)
    return found


@pytest.fixture(name="directory")
def _directory(tmp_path: Path) -> Path:
    found = tmp_path / ID
    found.mkdir()
    return found


def test_a_record_reads_as_it_was_written(directory: Path) -> None:
    release.write(directory, MANIFEST)
    assert release.read(directory) == MANIFEST
    assert [path.name for path in directory.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "3", '"x"', "{}", '{"id": "x"}', "[" * 100_000, "\xff",
        json.dumps({**asdict(MANIFEST), "inputs": {}}),
        json.dumps({**asdict(MANIFEST), "inputs": {"python": "3.11"}}),
        json.dumps({**asdict(MANIFEST), "inputs": None}),
        json.dumps({**asdict(MANIFEST), "packages": ["flask"]}),
        json.dumps({**asdict(MANIFEST), "tested": None}),
        json.dumps({**asdict(MANIFEST), "of_a_later_version": 1}),
        *(json.dumps({**asdict(MANIFEST), "published": one}) for one in ([], {"a": "abc"}, {"a": ["x", "y"]}, {"a": ["x", "y", 1, 2]})),
        *(json.dumps({**asdict(MANIFEST), "inputs": {**MANIFEST.inputs, "python": one}}) for one in ({"path": ""}, {"version": ""})),
        *(
            json.dumps({**asdict(MANIFEST), "inputs": {key: one for key, one in MANIFEST.inputs.items() if key != left_out}})
            for left_out in ("app", "server", "packages", "code")
        ),
        *(json.dumps({**asdict(MANIFEST), "id": one}) for one in (5, "", "..", "../../x", f"{ID}-2")),
        *(
            json.dumps({**asdict(MANIFEST), "inputs": {**MANIFEST.inputs, "code": one}})
            for one in (None, [], ["a.py"], {"a.py": 1}, {"../a.py": "0"}, {"/etc/a.py": "0"}, {"": "0"}, {"./a.py": "0"})
        ),
        *(
            json.dumps({**asdict(MANIFEST), "inputs": {**MANIFEST.inputs, key: one}})
            for key, one in (
                *(("packages", bad) for bad in (None, "flask", [1], {})), ("requirements", ["a"]), ("source", None), ("source", {"commit": 1}),
                ("shared", "a"), ("cron", ["a"]), ("app", 1), ("server", "\ud800"), ("python", {"path": "", "version": 3}), ("of_ours", 1),
            )
        ),
    ],
    ids=range(52),
)  # fmt: skip
def test_a_record_that_somebody_spoiled_is_none(directory: Path, text: str) -> None:
    (directory / "manifest.json").write_bytes(text.encode("latin-1"))
    assert release.read(directory) is None


def test_a_release_without_a_record_has_none(tmp_path: Path) -> None:
    assert release.read(tmp_path) is None


def test_each_new_release_has_an_id_of_its_own(where: Places) -> None:
    for _ in range(4):
        identity = release.new_id(where)
        where.release(identity).mkdir()
    assert len(release.ages(where)) == 4


def test_ids_of_one_second_are_counted_and_sorted_as_they_were_made(tmp_path: Path) -> None:
    made = []
    for _ in range(11):
        made.append(files.unused(tmp_path, ID))
        (tmp_path / made[-1]).mkdir()
    assert made == [ID, *(f"{ID}-{number}" for number in range(2, 12))]
    later = "20261124-034513"
    assert sorted([later, *reversed(made)], key=release.order) == [*made, later]


def test_the_live_release_is_the_one_that_run_fcgi_starts_and_else_the_last(where: Places) -> None:
    assert (release.live(where), release.last_live(where), release.once_live(where)) == (None, None, [])
    identities = (ID, f"{ID}-2", f"{ID}-10", f"{ID}-11")
    for identity in identities:
        where.release(identity).mkdir()
        release.write(where.release(identity), replace(MANIFEST, id=identity))
    for identity in identities[:3]:
        release.mark(where, identity)
    where.run_fcgi.parent.mkdir(exist_ok=True)
    where.run_fcgi.write_text(f"#!{where.release(ID)}/venv/bin/python\n")
    where.current.symlink_to(where.release(f"{ID}-2"))
    live, last = release.live(where), release.last_live(where)
    assert live and last and (live.id, last.id) == (ID, ID)
    where.run_fcgi.write_text("#!/usr/bin/python3\n")
    last = release.last_live(where)
    assert release.live(where) is None and last and last.id == f"{ID}-2"
    assert [one.id for one in release.once_live(where)] == [f"{ID}-10", f"{ID}-2", ID]
    (where.release(f"{ID}-2") / "manifest.json").unlink()
    assert release.last_live(where) is None and [one.id for one in release.once_live(where)] == [f"{ID}-10", ID]
    where.current.unlink()
    where.current.symlink_to("/etc")
    assert release.last_live(where) is None


def test_only_a_release_is_marked_as_live(where: Places) -> None:
    where.release(ID).mkdir()
    release.mark_live(where, ID, "")
    release.mark(where, f"{ID}-2")
    assert [path.name for path in where.releases.iterdir()] == [ID]


def test_run_fcgi_names_its_release(where: Places) -> None:
    for identity in (ID, f"{ID}-2"):
        assert release.named_by(f"#!{where.release(identity)}/venv/bin/python\nimport sys\n".encode(), where) == identity


@pytest.mark.parametrize(
    "line",
    [
        "#!venv/bin/python", "#!/usr/bin/python3", "", "#!{releases}/../../x/venv/bin/python", "#!{releases}/current/venv/bin/python",
        "#!{releases}/20261124-034512/venv/bin/python -u", "#!{releases}/20261124-034512/venv/bin/python\r", "# {releases}/20261124-034512/venv/bin/python",
        "#!/other{releases}/20261124-034512/venv/bin/python", "\xff\xfe",
    ],
)  # fmt: skip
def test_a_run_fcgi_that_is_not_ours_names_none(where: Places, line: str) -> None:
    assert release.named_by(line.format(releases=where.releases).encode("latin-1") + b"\n", where) == ""


def test_no_run_fcgi_names_none(where: Places) -> None:
    assert release.named_by(None, where) == ""


HOUR = float(release.PROCESS_LIFETIME)


@pytest.mark.parametrize(
    ("ages", "live", "keep", "removable"),
    [
        ({}, "", 3, []),
        ({"d": 0.0}, "d", 1, []),
        ({"a": 9 * HOUR, "b": 8 * HOUR, "c": 7 * HOUR, "d": 0.0}, "d", 3, ["a"]),
        ({"a": 9 * HOUR, "b": 8 * HOUR, "c": 7 * HOUR, "d": 0.0}, "d", 1, ["a", "b", "c"]),
        ({"a": HOUR - 1, "b": 60.0, "d": 0.0}, "d", 1, []),
        ({"a": HOUR, "b": HOUR + 1, "d": 0.0}, "d", 1, ["b"]),
        ({"a": HOUR + 1, "b": None, "d": 0.0}, "d", 3, ["b"]),
        ({"a": 9 * HOUR, "b": None, "c": None, "d": 0.0}, "d", 2, ["b", "c"]),
        ({"a": 9 * HOUR, "d": 99 * HOUR}, "d", 1, ["a"]),
    ],
)
def test_which_releases_can_go(ages: dict[str, float | None], live: str, keep: int, removable: list[str]) -> None:
    assert release.removable(ages, live, keep) == removable


@limits(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.one_of(st.none(), st.floats(0, 1e6)), min_size=1), st.integers(1, 10), st.data())
def test_no_release_goes_that_serves_or_served_within_the_hour(ages: dict[str, float | None], keep: int, data: st.DataObject) -> None:
    live = data.draw(st.sampled_from(sorted(ages)))
    gone = release.removable(ages, live, keep)
    assert live not in gone
    left = {one: age for one, age in ages.items() if one not in gone}
    assert all(age is None or age > HOUR for one, age in ages.items() if one in gone)
    once_live = [one for one, age in ages.items() if age is not None or one == live]
    assert len([one for one in left if one in once_live]) >= min(keep, len(once_live))


def test_the_hour_begins_when_a_release_ceases_to_be_live(where: Places) -> None:
    for identity in (ID, f"{ID}-2"):
        where.release(identity).mkdir()
    release.mark_live(where, ID, "")
    marker = next(path for path in where.release(ID).iterdir())
    os.utime(marker, (0, 0))
    assert (release.ages(where)[ID] or 0) > HOUR
    assert release.ages(where)[f"{ID}-2"] is None
    release.mark_live(where, f"{ID}-2", ID)
    assert (release.ages(where)[ID] or 0) < 60
    assert release.ages(where)[f"{ID}-2"] is not None


def test_what_is_no_release_has_no_age(where: Places) -> None:
    (where.releases / "mine").mkdir()
    assert release.ages(where) == {}


def test_a_clock_that_went_back_makes_no_negative_age(where: Places) -> None:
    where.release(ID).mkdir()
    release.mark_live(where, ID, "")
    os.utime(next(where.release(ID).iterdir()), (2**32, 2**32))
    assert release.ages(where) == {ID: 0.0}


def test_a_release_that_was_made_read_only_is_removed(tmp_path: Path) -> None:
    path = tmp_path / ID
    outside = tmp_path / "outside"
    outside.mkdir()

    def spoil_and_remove() -> None:
        (path / "a" / "b").mkdir(parents=True)
        (path / "a" / "b" / "file").write_text("")
        (path / "a" / "link").symlink_to(outside)
        (path / "a" / "b").chmod(0o000)
        (path / "a").chmod(0o500)
        path.chmod(0o500)
        release.remove(path)

    # Permissions do not hold for root.
    in_child(spoil_and_remove, unprivileged=tmp_path)
    assert not path.exists()
    assert outside.is_dir()


def test_a_link_in_place_of_a_release_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / ID).symlink_to(tmp_path / "kept")
    release.remove(tmp_path / ID)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    release.remove(tmp_path / "never was")


def test_a_record_with_strange_settings_survives(directory: Path) -> None:
    settings: dict[str, Any] = {"packages": ["é", "\udce9"]}
    release.write(directory, replace(MANIFEST, settings=settings))
    assert release.read(directory) == replace(MANIFEST, settings=settings)
