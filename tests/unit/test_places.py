"""Where a site's files lie, and which places are refused."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocf_flask import places
from ocf_flask.errors import SettingError, SiteError
from ocf_flask.settings import Settings


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory with a short name: a shebang is not long."""
    path = Path(os.path.realpath(tempfile.mkdtemp(prefix="o")))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def alice(root: Path) -> places.Account:
    home = root / "home"
    home.mkdir()
    return places.Account("alice", os.getuid(), os.getgid(), home)


@pytest.fixture
def service(root: Path, alice: places.Account) -> Settings:
    """A server that serves sites from a web space, and alice's link to hers."""
    space = root / "web" / "a" / "alice"
    space.mkdir(parents=True)
    (alice.home / "public_html").symlink_to(space)
    return Settings("flasky", web_root=str(root / "web"))


@pytest.fixture
def ordinary() -> Settings:
    return Settings("flasky", web_root="/no/such/web-root")


def refusal(settings: Settings, owner: places.Account) -> str:
    with pytest.raises(SiteError) as caught:
        places.locate(settings, owner)
    return caught.value.message


def test_an_owners_sites_share_one_lock_of_the_crontab_wherever_they_lie(service: Settings, alice: places.Account) -> None:
    other = replace(service, name="shop", private_directory=str(alice.home / "apart" / "shop"))
    locks = {places.locate(one, alice).crontab_lock for one in (service, other)}
    assert locks == {alice.home / ".ocf-flask" / "crontab.lock"}


def test_the_account_of_no_name_is_ones_own() -> None:
    assert places.account("").uid == os.getuid()
    assert places.account(pwd.getpwuid(os.getuid()).pw_name) == places.account("")


def test_an_account_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingError) as caught:
        places.account("nobody-of-that-name")
    assert caught.value.message == (
        "ocf_flask_owner: this machine has no account 'nobody-of-that-name'. Check the spelling with: getent passwd nobody-of-that-name"
    )


def test_on_an_ordinary_machine_a_site_lies_below_the_home(ordinary: Settings, alice: places.Account) -> None:
    where = places.locate(ordinary, alice)
    assert where.site == alice.home / "public_html" / "flasky"
    assert where.private == alice.home / ".ocf-flask" / "flasky"
    assert list(alice.home.iterdir()) == [], "looking makes nothing"


def test_on_the_service_a_site_has_its_real_path(service: Settings, alice: places.Account, root: Path) -> None:
    assert places.locate(service, alice).site == root / "web" / "a" / "alice" / "flasky"


def test_both_directories_are_settings(ordinary: Settings, alice: places.Account, root: Path) -> None:
    where = places.locate(replace(ordinary, directory="~/www/x", private_directory=f"{root}/p"), alice)
    assert (where.site, where.private) == (alice.home / "www" / "x", root / "p")


def test_everything_private_lies_in_the_private_directory(ordinary: Settings, alice: places.Account) -> None:
    where = places.locate(ordinary, alice)
    for path in (where.releases, where.release("x"), where.current, where.lock, where.log, where.token, where.temporary):
        assert where.private in path.parents
    for path in (where.htaccess, where.run_fcgi, where.venv, where.new_htaccess, where.new_run_fcgi):
        assert path.parent == where.site


def test_an_account_without_web_space_is_told_makehttp(service: Settings, alice: places.Account, root: Path) -> None:
    alice = replace(alice, uid=4711)
    (alice.home / "public_html").unlink()
    assert refusal(service, alice) == (
        f"alice has no web space: this server serves sites from {root}/web, and {alice.home}/public_html does not exist. "
        "Log in as alice and type: makehttp"
    )


def test_a_plain_public_html_on_the_service_is_to_be_renamed_first(service: Settings, alice: places.Account) -> None:
    alice = replace(alice, uid=4711)
    link = alice.home / "public_html"
    link.unlink()
    link.mkdir()
    message = refusal(service, alice)
    assert f"{link} is not a link to it" in message
    assert message.endswith(f"Rename it (mv {link} {link}.old), then type: makehttp")


def test_a_link_that_leads_nowhere_or_elsewhere_is_no_web_space(service: Settings, alice: places.Account, root: Path) -> None:
    alice = replace(alice, uid=4711)
    shutil.rmtree(root / "web" / "a")
    message = refusal(service, alice)
    assert f"is a link to {root}/web/a/alice, which does not exist" in message
    assert message.endswith("type: makehttp")
    (alice.home / "public_html").unlink()
    (alice.home / "public_html").symlink_to(root)
    assert "is not a link to it" in refusal(service, alice)


def test_root_has_no_web_space_and_is_asked_for_an_owner(service: Settings, alice: places.Account) -> None:
    (alice.home / "public_html").unlink()
    message = refusal(service, replace(alice, name="root", uid=0))
    assert message.endswith("root has no web space; name the site's owner: -e owner=ALICE")


@pytest.mark.parametrize("directory", ["~/", "~/public_html", "{home}", "{web}/a/alice", "{web}/a", "/"])
def test_a_directory_of_more_than_one_site_is_refused(service: Settings, alice: places.Account, root: Path, directory: str) -> None:
    directory = directory.format(home=alice.home, web=root / "web")
    message = refusal(replace(service, directory=directory), alice)
    assert message.startswith("ocf_flask_directory is '/")
    assert message.endswith(
        f"which is more than one site's directory. Name one of its own: -e ocf_flask_directory={alice.home}/public_html/flasky"
    )


@pytest.mark.parametrize("directory", ["~/", "{home}", "/"])
def test_the_home_itself_cannot_be_the_private_directory(service: Settings, alice: places.Account, directory: str) -> None:
    message = refusal(replace(service, private_directory=directory.format(home=alice.home)), alice)
    assert message.startswith("ocf_flask_private_directory is '/")
    assert message.endswith("-e ocf_flask_private_directory=~/.ocf-flask/flasky")


@pytest.mark.parametrize(
    "private", ["~/public_html/private", "~/public_html/flasky", "~/public_html/flasky/private", "{web}/private", "~/sneaky/x"]
)
def test_a_private_directory_that_visitors_may_reach_is_refused(
    service: Settings, alice: places.Account, root: Path, private: str
) -> None:  # fmt: skip
    (alice.home / "sneaky").symlink_to(root / "web")
    message = refusal(replace(service, private_directory=private.format(web=root / "web")), alice)
    assert "which visitors may reach (it is in " in message
    assert message.endswith("Name one outside: -e ocf_flask_private_directory=~/.ocf-flask/flasky")


def test_a_site_inside_its_private_directory_is_refused(ordinary: Settings, alice: places.Account) -> None:
    message = refusal(replace(ordinary, directory="~/x/site", private_directory="~/x"), alice)
    assert f"the site's directory {alice.home}/x/site is inside it" in message
    assert message.endswith("Name another: -e ocf_flask_private_directory=~/.ocf-flask/flasky")


def test_a_link_in_place_of_the_site_is_refused(service: Settings, alice: places.Account, root: Path) -> None:
    link = root / "web" / "a" / "alice" / "flasky"
    link.symlink_to(alice.home)
    message = refusal(service, alice)
    assert message.startswith(f"{link} is a symbolic link (to {alice.home}). The web server runs a site only from a real directory.")
    assert message.endswith("-e site=NAME")


def test_a_file_in_place_of_the_site_is_refused(service: Settings, alice: places.Account, root: Path) -> None:
    path = root / "web" / "a" / "alice" / "flasky"
    path.write_text("")
    assert refusal(service, alice).endswith(f"Rename it: mv {path} {path}.old")


def test_a_shebang_that_old_kernels_would_cut_is_refused(ordinary: Settings, alice: places.Account) -> None:
    fits = places.SHEBANG_LIMIT - len(f"#!{alice.home}//releases/20261124-034512-2/venv/bin/python")
    for letter, number in (("x", fits), ("é", fits // 2)):
        places.locate(replace(ordinary, private_directory=f"~/{letter * number}"), alice)
        message = refusal(replace(ordinary, private_directory=f"~/{letter * (number + 1)}"), alice)
        assert "is too long: the first line of run.fcgi would have 12" in message
        assert message.endswith("Choose a shorter site name, or a shorter directory with -e ocf_flask_private_directory=~/.flask/NAME")


@pytest.mark.parametrize("name", ["my web", 'a"b', "a'b", "a$b", "a\nb"])
def test_a_home_whose_name_breaks_a_shebang_is_refused(ordinary: Settings, root: Path, name: str) -> None:
    owner = places.Account("alice", os.getuid(), os.getgid(), root / name)
    assert "with which neither a shebang nor Apache's FcgidWrapper works. Name another: -e ocf_flask_directory=PATH" in refusal(
        ordinary, owner
    )
    assert refusal(replace(ordinary, directory=f"{root}/site"), owner).endswith("Name another: -e ocf_flask_private_directory=PATH")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "https://www.ocf.berkeley.edu/~alice/flasky/"),
        ("https://{owner}.example.edu/{name}/", "https://alice.example.edu/flasky/"),
        ("https://group.example.edu/", "https://group.example.edu/"),
    ],
)
def test_the_public_url(service: Settings, alice: places.Account, url: str, expected: str) -> None:
    assert places.public_url(replace(service, url=url), alice) == expected


def test_the_public_url_of_an_ordinary_machine(ordinary: Settings, alice: places.Account) -> None:
    assert places.public_url(ordinary, alice) == "http://localhost/~alice/flasky/"


@pytest.mark.parametrize("make", [lambda where: where.site.mkdir(parents=True), lambda where: where.private.mkdir(parents=True)])
def test_what_is_anothers_is_refused(ordinary: Settings, alice: places.Account, make: Callable[[places.Places], None]) -> None:
    where = places.locate(ordinary, alice)
    places.check_ownership(where, alice)
    make(where)
    places.check_ownership(where, alice)
    with pytest.raises(SiteError) as caught:
        places.check_ownership(where, replace(alice, name="bob", uid=54321))
    me = pwd.getpwuid(os.getuid()).pw_name
    assert f"belongs to {me}, not to bob: the web server would not run it." in caught.value.message
    assert "or have it changed: chown -R bob /" in caught.value.message


def test_only_in_another_sites_directory_a_new_one_is_refused(ordinary: Settings, alice: places.Account) -> None:
    within = places.locate(replace(ordinary, directory="~/public_html/club/forum"), alice)
    within.site.parent.mkdir(parents=True)
    (alice.home / "public_html/run.fcgi").touch()
    places.check_apart(within, alice, "forum")
    (within.site.parent / "run.fcgi").touch()
    with pytest.raises(SettingError, match=r"in the directory of another site, .*/club: .* -e ocf_flask_directory=~/public_html/forum$"):
        places.check_apart(within, alice, "forum")


def test_a_run_fcgi_that_is_no_file_is_refused(ordinary: Settings, alice: places.Account) -> None:
    where = places.locate(ordinary, alice)
    where.site.mkdir(parents=True)
    where.run_fcgi.symlink_to("elsewhere")
    with pytest.raises(SiteError, match=r"run\.fcgi is not a plain file\. Rename it: mv "):
        places.check_ownership(where, alice)


def test_a_site_may_be_the_web_space_when_both_settings_say_so(service: Settings, alice: places.Account, root: Path) -> None:
    wanted = replace(service, directory="~/public_html", whole_web_space=True)
    assert places.locate(wanted, alice).site == root / "web" / "a" / "alice"
    assert places.public_url(wanted, alice) == "https://www.ocf.berkeley.edu/~alice/"


def test_without_saying_so_the_web_space_is_no_site(service: Settings, alice: places.Account) -> None:
    assert "which is more than one site's directory" in refusal(replace(service, directory="~/public_html"), alice)


@pytest.mark.parametrize("directory", ["", "~/public_html/flasky", "~/"])
def test_the_whole_web_space_has_to_be_named_as_the_directory(service: Settings, alice: places.Account, directory: str) -> None:
    assert refusal(replace(service, directory=directory, whole_web_space=True), alice) == (
        f"ocf_flask_whole_web_space is true, and ocf_flask_directory is {directory!r}, not the web space. "
        "For a site that is the whole web space, set: -e ocf_flask_directory=~/public_html"
    )


def test_a_web_space_that_is_not_there_is_refused_as_a_whole_too(service: Settings, alice: places.Account) -> None:
    (alice.home / "public_html").unlink()
    assert "has no web space" in refusal(replace(service, directory="~/public_html", whole_web_space=True), alice)
