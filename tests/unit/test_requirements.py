"""Requirements files, as pip reads them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ocf_flask import requirements
from ocf_flask.errors import SettingError


def write(directory: Path, **files: str) -> Path:
    """Files by their names without ``.txt``; the path of the first."""
    for name, content in files.items():
        (directory / f"{name}.txt").write_bytes(content.encode("utf-8", "surrogateescape"))
    return directory / f"{next(iter(files))}.txt"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("flask\n\n  rich  \n", ["flask", "rich"]),
        ("flask # the app\n# all of it\n\t# this too\nrich#1\n", ["flask", "rich#1"]),
        ("flask \\\n  --hash=x \\\r\n --hash=y\nrich\r\n", ["flask    --hash=x   --hash=y", "rich"]),
        # A comment ends with its line, and with it a line that goes on.
        ("# off: \\\nflask\n", ["flask"]),
        ("flask \\\n  # why\nrich\n", ["flask", "rich"]),
        ("caf\udce9\n", ["caf\ufffd"]),
        ("", []),
    ],
)
def test_the_lines_of_a_file_are_pips(tmp_path: Path, content: str, expected: list[str]) -> None:
    assert list(requirements.lines(write(tmp_path, x=content))) == expected


REQUIREMENTS = ["-r y.txt", "-ry.txt", "-r=y.txt", "--requirement y.txt", "--requirement=y.txt"]
CONSTRAINTS = ["-c y.txt", "-cy.txt", "--constraint = y.txt"]


@pytest.mark.parametrize("line", [*REQUIREMENTS, *CONSTRAINTS, "-r 'y.txt'", '-r "y.txt"', "-r ./sub/../y.txt"])
def test_a_file_that_is_included_counts(tmp_path: Path, line: str) -> None:
    assert requirements.reached([write(tmp_path, x=line, y="")]) == (tmp_path / "x.txt", tmp_path / "y.txt")


@pytest.mark.parametrize("line", ["flask", "# -r y.txt", "--requirements y.txt", "-r https://example.org/y.txt", "-e y.txt", "-r"])
def test_what_is_no_file_to_include_is_not_looked_for(tmp_path: Path, line: str) -> None:
    assert requirements.reached([write(tmp_path, x=line)]) == (tmp_path / "x.txt",)


def test_each_file_counts_once_and_is_relative_to_the_one_that_includes_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.txt").write_text("-r b.txt\n-r ../y.txt\n")
    (tmp_path / "sub/b.txt").touch()
    first = write(tmp_path, x="-r sub/a.txt\n-r y.txt\n", y="flask\n")
    expected = ("x.txt", "sub/a.txt", "sub/b.txt", "y.txt")
    assert requirements.reached([first, first]) == tuple(tmp_path / name for name in expected)


def test_files_that_include_each_other_are_named_in_a_circle(tmp_path: Path) -> None:
    first = write(tmp_path, x="-r y.txt", y="-r z.txt", z="-r y.txt")
    with pytest.raises(SettingError) as caught:
        requirements.reached([first])
    y, z = tmp_path / "y.txt", tmp_path / "z.txt"
    assert caught.value.message == f"Requirements files include each other: {y} -> {z} -> {y}. Take one of the lines out."


def test_a_file_that_is_missing_is_named_with_the_one_that_includes_it(tmp_path: Path) -> None:
    first = write(tmp_path, x="-r y.txt")
    end = "cannot be read: No such file or directory. Correct the line, or its path."
    with pytest.raises(SettingError) as caught:
        requirements.reached([first])
    assert caught.value.message == f"The requirements file {tmp_path / 'y.txt'}, which {first} includes, {end}"
    with pytest.raises(SettingError) as caught:
        requirements.reached([tmp_path / "y.txt"])
    assert caught.value.message == f"The requirements file {tmp_path / 'y.txt'} {end}"


@pytest.mark.parametrize("line", [*REQUIREMENTS, *CONSTRAINTS])
def test_an_included_file_asks_for_packages_and_a_constraint_for_none(tmp_path: Path, line: str) -> None:
    first = write(tmp_path, x=f"Flask_Login>=1 ; python_version > '3'\n{line}\n-r {tmp_path}/gone.txt\n-r x.txt\n.\n", y="Rich[x]\n")
    assert requirements.named(first) == {"flask-login"} | ({"rich"} if line in REQUIREMENTS else set())


def test_a_name_that_is_a_directory_is_not_a_file_of_requirements(tmp_path: Path) -> None:
    assert requirements.named(tmp_path) == set()


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("flask --hash=sha256:x", True),
        ("flask \\\n  --hash sha256:x", True),
        ("--require-hashes", True),
        ("--hash=x", True),
        ("flask", False),
        ("flask # --hash=x", False),
        ("flask--hash=x", False),
        ("flask --hashes", False),
    ],
)
def test_a_hash_in_one_of_the_files_is_known(tmp_path: Path, line: str, has: bool) -> None:
    first = write(tmp_path, x="rich\n", y=line)
    assert requirements.have_hashes([first, tmp_path / "y.txt"]) is has


@pytest.mark.parametrize("text", ["\\\n" * 50_000, "x" + " " * 100_000 + "y", "[" * 100_000, "x" + " ;" * 50_000])
def test_a_file_takes_no_time_whatever_is_in_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(text)
    start = time.monotonic()
    requirements.reached([file])
    requirements.named(file)
    requirements.directories([file], [], tmp_path)
    requirements.have_hashes([file])
    assert time.monotonic() - start < 5
