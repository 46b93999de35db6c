"""Who may read what in a site's directory."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from ocf_flask import permissions, templates
from ocf_flask.permissions import Difference, Entry, Found, Rules

PUBLIC = ("static/", "robots.txt", ".well-known/", "img/*.png", "shop/static/")
ME, OTHER = 1000, 1001
USERS, SERVERS = 100, 33
RULES = Rules(re.compile(templates.public_expression(PUBLIC)), frozenset((".htaccess", ".users")), ME, frozenset((SERVERS,)))


def entry(name: str, mode: int, *, kind: int = stat.S_IFREG, uid: int = ME, gid: int = USERS, links: int = 1, inode: int = 0) -> Entry:
    return Entry(name, kind | mode, uid, gid, (1, inode or abs(hash(name))), links)


def directory(name: str, mode: int, *, gid: int = USERS) -> Entry:
    return entry(name, mode, kind=stat.S_IFDIR, gid=gid, links=2)


def wanted(*entries: Entry) -> dict[str, str]:
    """The permissions that change, in octal."""
    return {one.name: f"{one.wanted:o}" for one in permissions.decide(entries, RULES).differences}


@pytest.mark.parametrize(
    "name",
    [
        ".env", "flaskyapplication.py", "run.fcgi", ".git/config", "instance/app.sqlite", "__pycache__/app.cpython-311.pyc", "app.py~", "venv/pyvenv.cfg",
        ".ocf-flask-run.fcgi.x", "static/.secret", "static/.git/config", "static/a/.b/c", "shop/__init__.py", "shop/templates/x.html", "img/deep/x.png",
        "img/.x.png", "robots.txt.bak", "xstatic/a.css", "static/x.php", "static/x.fcgi", ".well-known/.x", "other/static/x.css", ".htaccess.bak",
    ],
)  # fmt: skip
def test_what_is_not_public_is_for_its_owner_alone(name: str) -> None:
    assert wanted(entry(name, 0o644)) == {name: "600"}
    assert wanted(entry(name, 0o777)) == {name: "700"}
    assert wanted(entry(name, 0o440)) == {name: "400"}
    assert wanted(entry(name, 0o600)) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("static/a.css", "static/deep/er/a.css", "robots.txt", ".well-known/acme-challenge/x", "img/x.png", "shop/static/a.css"),
        *(".htaccess", ".users"),
    ],
)
def test_what_apache_delivers_or_reads_is_readable_and_not_writable(name: str) -> None:
    assert wanted(entry(name, 0o600)) == {name: "644"}
    assert wanted(entry(name, 0o666)) == {name: "644"}
    assert wanted(entry(name, 0o604)) == {}
    assert wanted(entry(name, 0o755)) == {}


def test_directories_keep_passage_and_cannot_be_listed() -> None:
    names = ("shop", "instance", ".git", "__pycache__")
    assert wanted(*(directory(name, 0o755) for name in names)) == dict.fromkeys(names, "711")
    for mode in (0o711, 0o701, 0o710):
        assert wanted(*(directory(name, mode) for name in names)) == {}


def test_a_directory_that_is_closed_stays_closed_unless_something_in_it_is_public() -> None:
    assert wanted(directory("instance", 0o700)) == {}
    assert wanted(directory("shop", 0o700), entry("shop/x.py", 0o600)) == {}
    entries = [directory(name, 0o700) for name in ("shop", "shop/static", "shop/static/css")]
    assert wanted(*entries, entry("shop/static/css/a.css", 0o644)) == dict.fromkeys(("shop", "shop/static", "shop/static/css"), "711")
    assert wanted(directory("img", 0o700), entry("img/x.png", 0o644)) == {"img": "711"}


def test_the_directories_for_public_files_are_open_before_there_are_any() -> None:
    assert wanted(directory("static", 0o700), directory("static/uploads", 0o700)) == {"static": "711", "static/uploads": "711"}
    assert wanted(directory("static/.private", 0o700)) == {}


def test_the_sites_directory_is_closed_to_the_group_as_well() -> None:
    for mode in (0o755, 0o711, 0o700, 0o777):
        assert wanted(directory(".", mode)) == {".": "701"}
    assert wanted(directory(".", 0o701)) == {}


def test_a_web_server_in_the_group_keeps_what_it_needs() -> None:
    assert wanted(directory(".", 0o755, gid=SERVERS)) == {".": "711"}
    assert wanted(directory("shop", 0o750, gid=SERVERS)) == {"shop": "710"}
    assert wanted(entry("static/a.css", 0o604, gid=SERVERS)) == {"static/a.css": "644"}
    assert wanted(entry("static/a.css", 0o640, gid=SERVERS)) == {}
    assert wanted(entry("a.py", 0o640, gid=SERVERS)) == {"a.py": "600"}


def test_high_bits_stay() -> None:
    assert wanted(directory("shared", 0o2775)) == {"shared": "2711"}


def test_pipes_sockets_and_links_are_left_alone() -> None:
    kinds = (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFLNK, stat.S_IFCHR)
    assert permissions.decide([entry(f"x{kind}", 0o777, kind=kind) for kind in kinds], RULES) == Found()


def test_another_accounts_file_is_only_named() -> None:
    found = permissions.decide([entry("theirs", 0o644, uid=OTHER), entry("closed", 0o600, uid=OTHER)], RULES)
    assert found == Found(foreign=("theirs",))


def test_a_file_with_several_names_is_closed_but_never_opened() -> None:
    assert wanted(entry(".env", 0o644, links=2)) == {".env": "600"}
    found = permissions.decide([entry("static/a.css", 0o600, links=2)], RULES)
    assert found == Found(several=("static/a.css",))
    assert wanted(entry("static/a.css", 0o666, links=2)) == {"static/a.css": "644"}


def test_a_file_with_a_public_and_a_private_name_stays_as_it_is() -> None:
    names = ("a.css", "static/a.css")
    assert permissions.decide([entry(name, 0o644, links=2, inode=7) for name in names], RULES) == Found()
    found = permissions.decide([entry(name, 0o600, links=2, inode=7) for name in names], RULES)
    assert found == Found(several=("static/a.css",))


_NAMES = st.lists(st.sampled_from([".", "static", ".x", "a", "robots.txt", "shop", "img", "x.png", "x.php"]), min_size=1, max_size=4).map(
    "/".join
)
_ENTRIES = st.lists(
    st.builds(
        entry,
        _NAMES,
        st.integers(0, 0o777),
        kind=st.sampled_from([stat.S_IFREG, stat.S_IFDIR]),
        gid=st.sampled_from([USERS, SERVERS]),
        links=st.integers(1, 2),
        inode=st.integers(1, 5),
    ),
    max_size=6,
    unique_by=(lambda one: one.name, lambda one: one.inode),
)


@limits(max_examples=300, deadline=None)
@given(_ENTRIES)
def test_what_was_just_set_is_right_and_the_owner_loses_nothing(entries: list[Entry]) -> None:
    found = permissions.decide(entries, RULES)
    change = {one.name: one for one in found.differences}
    after = [entry(e.name, change[e.name].wanted, kind=stat.S_IFMT(e.mode), gid=e.gid, links=e.links, inode=e.inode[1]) if e.name in change else e
             for e in entries]  # fmt: skip
    assert permissions.decide(after, RULES).differences == ()
    assert all(one.mode & 0o7700 == one.wanted & 0o7700 for one in found.differences)
    assert all(not e.permissions & 0o022 for e in after if e.is_file or e.is_directory)


def test_sentences_count_and_name_a_few() -> None:
    found = [Difference(name, (1, 1), 0o644, 0o600) for name in (".", "a", "b", "c", "d")] + [Difference("static/x", (1, 1), 0o600, 0o644)]
    assert permissions.sentences(found) == [
        "5 files closed to others (the site's directory, a, b and 2 more)",
        "1 file opened to the web server (static/x)",
    ]
    assert permissions.sentences([Difference("static/x", (1, 1), 0o602, 0o644)]) == [
        "1 file closed to others (static/x)",
        "1 file opened to the web server (static/x)",
    ]
    assert permissions.sentences([]) == []


# On the disk.


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    site.mkdir(mode=0o755)
    return site


def fill(site: Path, files: dict[str, int]) -> None:
    for name, mode in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
        path.chmod(mode)


def modes(site: Path) -> dict[str, str]:
    return {str(path.relative_to(site)): f"{stat.S_IMODE(path.lstat().st_mode):o}" for path in (site, *site.rglob("*"))}


def set_all(site: Path) -> Found:
    found = permissions.compare(site, PUBLIC)
    for difference in found.differences:
        permissions.make(site, difference)
    return found


def test_what_was_found_is_changed_and_found_no_more(site: Path) -> None:
    fill(site, {".env": 0o644, "static/a.css": 0o600, "pkg/deep/x.py": 0o664, "static/.secret": 0o644})
    (site / "static").chmod(0o700)
    set_all(site)
    assert modes(site) == {
        ".": "701", ".env": "600", "static": "711", "static/a.css": "644", "static/.secret": "600", "pkg": "711", "pkg/deep": "711",
        "pkg/deep/x.py": "600",
    }  # fmt: skip
    assert permissions.compare(site, PUBLIC) == Found()


def test_undoing_gives_back_what_was(site: Path) -> None:
    fill(site, {".env": 0o664, "static/a.css": 0o600})
    before = modes(site)
    for difference in set_all(site).differences:
        permissions.undo(site, difference)
    assert modes(site) == before


@pytest.mark.parametrize("program", [True, False])
def test_another_site_inside_of_this_one_is_left_alone(site: Path, program: bool) -> None:
    inner = site / "static" / "shop"
    inner.mkdir(parents=True, mode=0o755)
    for name in ("config.py", "index.html"):
        (inner / name).write_text("x")
        (inner / name).chmod(0o640)
    if program:
        (inner / "run.fcgi").symlink_to("gone")
    set_all(site)
    modes = [stat.S_IMODE((inner / name).stat().st_mode) for name in ("", "config.py", "index.html")]
    assert (modes == [0o755, 0o640, 0o640]) is program


def test_a_site_that_is_not_there_yet_has_nothing_to_find(tmp_path: Path) -> None:
    assert permissions.compare(tmp_path / "none", PUBLIC) == Found()


def test_nothing_is_changed_through_a_link_or_outside(site: Path, tmp_path: Path) -> None:
    fill(tmp_path / "outside", {"file": 0o644, "closed": 0o600})
    (site / "file").symlink_to(tmp_path / "outside/file")
    (site / "directory").symlink_to(tmp_path / "outside")
    (site / "static").symlink_to(tmp_path / "outside")
    (site / "robots.txt").symlink_to(tmp_path / "outside/closed")
    set_all(site)
    assert modes(tmp_path / "outside") == {".": "755", "file": "644", "closed": "600"}


def test_a_file_that_was_replaced_since_it_was_looked_at_is_left_alone(site: Path, tmp_path: Path) -> None:
    fill(site, {"static/a.css": 0o600, "static/gone.css": 0o600, "static/d/x.css": 0o600})
    found = permissions.compare(site, PUBLIC)
    fill(tmp_path / "outside", {"a.css": 0o600, "x.css": 0o600})
    (site / "static/a.css").unlink()
    (site / "static/a.css").symlink_to(tmp_path / "outside/a.css")
    (site / "static/gone.css").unlink()
    (site / "static/d").rename(site / "d")
    (site / "static/d").symlink_to(tmp_path / "outside")
    for difference in found.differences:
        permissions.make(site, difference)
    assert modes(tmp_path / "outside") == {".": "755", "a.css": "600", "x.css": "600"}


def test_a_file_that_its_owner_cannot_read_and_a_pipe_do_not_stop_a_deploy(site: Path) -> None:
    fill(site, {"static/a.css": 0o200, "b": 0o066})
    os.mkfifo(site / "pipe", 0o666)
    set_all(site)
    assert modes(site) | {"pipe": ""} == {".": "701", "static": "711", "static/a.css": "244", "b": "0", "pipe": ""}


def test_a_directory_that_its_owner_cannot_read_is_closed_itself(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(site, {"shut/x": 0o644})
    (site / "shut").chmod(0o055)
    scan = os.scandir

    def refuse(path: str) -> object:
        if "shut" in path:
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        set_all(site)
    assert (modes(site)["shut"], modes(site)["shut/x"]) == ("11", "644")


AUTH: dict[str, Callable[[Path], str]] = {
    "AuthUserFile": lambda site: f"AuthType Basic\nAuthUserFile {site}/.users\n",
    "in quotes, in other case": lambda site: f'  authuserfile "{site}/.users"\r\n',
    "AuthGroupFile": lambda site: f"AuthGroupFile {site}/.users",
    "by another spelling": lambda site: f"AuthUserFile {site}/x/../.users\n",
    "an expression": lambda site: f"Require expr file('{site}/.users') =~ /x/\n",
    "in a block": lambda site: f"<Files x>\nAuthUserFile {site}/.users\n</Files>\n",
}


@pytest.mark.parametrize("kind", AUTH)
def test_a_file_that_htaccess_has_the_web_server_read_is_readable(site: Path, kind: str) -> None:
    fill(site, {".users": 0o600, ".other": 0o644, "x/y": 0o600})
    (site / ".htaccess").write_text(AUTH[kind](site))
    set_all(site)
    assert (modes(site)[".users"], modes(site)[".other"]) == ("644", "600")


@pytest.mark.parametrize("place", ["deep/er/.htaccess", "../.htaccess"])
def test_it_may_be_named_above_or_below(site: Path, place: str) -> None:
    fill(site, {"auth/users": 0o644, "auth/other": 0o644, place: 0o644})
    (site / place).write_text(f"AuthUserFile {site}/auth/users\n")
    set_all(site)
    assert (modes(site)["auth"], modes(site)["auth/users"], modes(site)["auth/other"]) == ("711", "644", "600")
    assert (site / place).stat().st_mode & 0o777 == 0o644


def test_the_files_of_a_password_database_are_found_by_its_name(site: Path) -> None:
    fill(site, {"users.pag": 0o644, "users.dir": 0o644, "users.txt": 0o644})
    (site / ".htaccess").write_text(f"AuthDBMUserFile {site}/users\n")
    set_all(site)
    assert [modes(site)[name] for name in ("users.pag", "users.dir", "users.txt")] == ["644", "644", "600"]


def test_a_comment_and_our_own_lines_open_nothing(site: Path) -> None:
    fill(site, {".users": 0o600, "run.fcgi": 0o755})
    (site / ".htaccess").write_text(f'# AuthUserFile {site}/.users\nFcgidWrapper "{site}/run.fcgi" virtual\n')
    set_all(site)
    assert (modes(site)[".users"], modes(site)["run.fcgi"]) == ("600", "700")


def test_a_public_link_to_what_is_not_public_is_named(site: Path) -> None:
    fill(site, {"uploads/1.jpg": 0o644, "static/a.css": 0o644, "shop/static/b.css": 0o644, "x.css": 0o644})
    (site / "static/uploads").symlink_to("../uploads")
    (site / "static/x.css").symlink_to(site / "x.css")
    (site / "static/shop").symlink_to("../shop/static")
    (site / "static/outside").symlink_to("/etc")
    (site / "static/nowhere").symlink_to("../nowhere")
    (site / "private").symlink_to("uploads")
    assert sorted(set_all(site).astray) == [("static/uploads", "uploads"), ("static/x.css", "x.css")]
    assert modes(site)["uploads/1.jpg"] == "600"


def test_ten_thousand_files_take_no_time_to_speak_of(site: Path) -> None:
    for number in range(100):
        below = site / "static" / str(number)
        below.mkdir(parents=True)
        for name in range(100):
            (below / str(name)).touch(0o644)
    set_all(site)
    start = time.monotonic()
    assert permissions.compare(site, PUBLIC) == Found()
    assert time.monotonic() - start < 5
