"""What a user may write as a setting, and what is said to one who wrote something else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from ocf_flask import settings
from ocf_flask.errors import SettingError
from ocf_flask.settings import Cron


def read(**values: Any) -> settings.Settings:
    return settings.read({"name": "flasky"}, values)


def refusal(**values: Any) -> str:
    with pytest.raises(SettingError) as caught:
        read(**values)
    return caught.value.message


def test_a_site_needs_nothing_but_a_name() -> None:
    assert settings.read({"name": "flasky"}, {}) == settings.Settings("flasky")


@pytest.mark.parametrize("name", ["a", "7", "flasky", "My-site_2", "x" * 64])
def test_a_plain_name_is_taken(name: str) -> None:
    assert settings.check_name(name) == name


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("public_html/flasky", "flasky"),
        ("../../etc", "etc"),
        ("/srv/www/shop/", "shop"),
        ("my site", "my-site"),
        ("-v", "v"),
        (".hidden", "hidden"),
        ("..", "flasky"),
        ("---", "flasky"),
        ("ünï", "uni"),
        ("über", "uber"),
        ("a\n", "a"),
        ("x" * 65, "x" * 64),
        (["flasky"], "flasky"),
        (True, "True"),
    ],
)
def test_a_site_name_that_is_a_path_is_refused_with_a_suggestion(name: object, suggestion: str) -> None:
    with pytest.raises(SettingError) as caught:
        settings.check_name(name)
    assert f"The site name {name!r} cannot be used" in caught.value.message
    assert caught.value.message.endswith(f"-e site={suggestion}")
    assert settings.check_name(suggestion) == suggestion


@pytest.mark.parametrize("name", [None, ""])
def test_a_site_without_a_name_is_told_how_to_have_one(name: object) -> None:
    with pytest.raises(SettingError, match=r"A site has no name\. .*\{name: flasky, owner: alice\}"):
        settings.check_name(name)


def test_a_name_that_yaml_reads_as_a_number_is_to_be_quoted() -> None:
    with pytest.raises(SettingError, match=r"The site name 2024 is a number to YAML\. .* name: '2024'"):
        settings.check_name(2024)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("owner", "alice smith", "it takes the name of an account."),
        ("owner", "../alice", "it takes the name of an account."),
        ("owner", ["alice"], "it takes the name of an account."),
        ("directory", "public_html/flasky", "it takes an absolute path or one that begins with ~/"),
        ("directory", "~bob/flasky", "it takes an absolute path or one that begins with ~/"),
        ("directory", "~/my site", "without blanks, quotes or .. in it."),
        ("directory", "~/a/../../bob", "without blanks, quotes or .. in it."),
        ("directory", '~/a"b', "without blanks, quotes or .. in it."),
        ("private_directory", "/srv/a b", "it takes an absolute path"),
        ("private_directory", "/srv/a\nb", "it takes an absolute path"),
        ("wheels", "wheels", "it takes an absolute path"),
        ("web_root", "services", "it takes an absolute path"),
        ("uv", "uv", "it takes an absolute path"),
        ("store", "~/store", "it takes an absolute path, without blanks, quotes or .. in it: the directory is all owners'."),
        ("app", "flaskyapplication.py", "without .py, for example flaskyapplication:app or shop:create_app()."),
        ("app", "shop.py:app", "it takes MODULE:NAME or MODULE:FACTORY(), without .py"),
        (
            "app",
            "my-app:app",
            "it takes MODULE:NAME or MODULE:FACTORY(), without .py, for example flaskyapplication:app or shop:create_app().",
        ),
        ("app", "shop:create_app(", "it takes MODULE:NAME or MODULE:FACTORY()"),
        ("app", 'shop:create_app("x")', "it takes MODULE:NAME or MODULE:FACTORY()"),
        ("app", ":app", "it takes MODULE:NAME or MODULE:FACTORY()"),
        ("app", "app/main:app", "it takes MODULE:NAME or MODULE:FACTORY()"),
        ("python", 3.1, "(in quotes: '3.10' is not 3.1)"),
        ("python", "2.7", "it takes a version such as 3.11"),
        ("python", "pypy3", "or an interpreter's absolute path."),
        ("python", "bin/python3", "or an interpreter's absolute path."),
        ("python", "/usr/bin/python 3", "or an interpreter's absolute path."),
        ("python", True, "it takes text."),
        ("server", "gunicorn", "it is one of builtin, flup6, flup."),
        ("server", ["flup"], "it is one of builtin, flup6, flup."),
        ("requirements", "-r other.txt", "it takes the path of a requirements file or a pyproject.toml, or none."),
        ("requirements", ["a.txt"], "it takes the path of a requirements file or a pyproject.toml, or none."),
        ("keep", 0, "it takes a whole number from 1 to 100."),
        ("keep", "many", "it takes a whole number from 1 to 100."),
        ("keep", "1" * 5000, "it takes a whole number from 1 to 100."),
        pytest.param("keep", 10**5000, "it takes a whole number from 1 to 100.", id="huge"),
        ("keep", 3.5, "it takes a whole number from 1 to 100."),
        ("keep", True, "it takes a whole number from 1 to 100."),
        ("keep", "٣", "it takes a whole number from 1 to 100."),
        ("index", "pypi.example.edu/simple", "it takes the URL of a package index."),
        ("url", "www.example.edu", "it takes the site's URL, for example https://www.example.edu/~{owner}/{name}/"),
        ("url", "ftp://www.example.edu/", "it takes the site's URL"),
        ("url", "https://example.edu:99999/", "it takes the site's URL"),
        ("url", "https://example.edu:http/", "it takes the site's URL"),
        ("url", "https://[::1/", "it takes the site's URL"),
        ("url", "https://www..edu/", "it takes the site's URL"),
        ("url", "https://:80/", "it takes the site's URL"),
        ("url", "https://example.edu:0/", "it takes the site's URL"),
        ("url", "https://example.edu/{user}/", "it takes the site's URL"),
        ("url", "https://example.edu/?a=b", "it takes the site's URL"),
        ("url", "https://a b/", "it takes the site's URL"),
        ("packages", {"flask": "3"}, "it takes a list."),
        ("packages", True, "it takes a list."),
        ("packages", ["flask", "-r /etc/passwd"], "'-r /etc/passwd' is not a package. Each is as pip takes it, for example flask-login"),
        ("packages", ["--index-url=http://x"], "is not a package."),
        ("packages", ["a\nb"], "is not a package."),
        ("packages", [3], "3 is not a package."),
        ("packages", [None], "None is not a package."),
        ("public", ["../other"], "'../other' is not a path inside the site's directory. Write them as robots.txt, downloads/ or *.css."),
        ("public", ["/etc/passwd"], "is not a path inside the site's directory."),
        ("public", ["a b"], "is not a path inside the site's directory."),
        ("public", [5], "5 is not a path inside the site's directory."),
        ("public", 1.5, "it takes a list."),
        ("code", ["a/../../b"], "is not a path inside the site's directory."),
        ("code", ["*"], "'*' is everything, with what the app itself writes. Name what is code, for example data/*.json."),
        (
            "source",
            "flasky",
            "it takes a directory of the machine that runs Ansible, such as ~/projects/flasky, or the URL of a git repository.",
        ),
        ("source", "ftp://example.edu/a.git", "or the URL of a git repository."),
        ("version", "--upload-pack=x", "it takes the name of a branch or tag, or a commit."),
        ("version", "a..b", "it takes the name of a branch or tag, or a commit."),
        ("deploy_key", "key", "it takes an absolute path"),
        ("code_directory", "app", "it takes an absolute path"),
        ("shared", ["../data"], "is not a path inside the site's directory."),
        ("shared", ["*.db"], "'*.db' has a * in it. Each is one file, such as app.db, or one directory, such as uploads/."),
        ("release_command", "flask db upgrade\nrm x", "it takes one command in one line."),
        ("cron", {"tidy": "flask tidy"}, "it takes a list."),
        ("cron", ["flask tidy"], "'flask tidy' is not a scheduled command. Each has a name, a schedule and a command"),
        ("cron", [{"name": "tidy", "schedule": "@daily"}], "is not a scheduled command."),
        ("cron", [{"name": "tidy", "schedule": "@daily", "command": 5}], "is not a scheduled command."),
        ("cron", [{"name": "tidy", "schedule": 5, "command": "flask tidy"}], "is not a scheduled command."),
        ("cron", [{"name": "a b", "schedule": "@daily", "command": "x"}], "'a b' is no name of its own"),
        ("cron", [{"name": "a", "schedule": "@daily", "command": "x"}] * 2, "'a' is no name of its own"),
        ("cron", [{"name": "a", "schedule": "daily", "command": "x"}], "'daily' is not a schedule of five fields, nor @hourly"),
        ("cron", [{"name": "a", "schedule": "* * * *", "command": "x"}], "is not a schedule of five fields"),
        ("cron", [{"name": "a", "schedule": "@reboot", "command": "x"}], "is not a schedule of five fields"),
        ("cron", [{"name": "a", "schedule": "@daily", "command": "x\n* * * * * y"}], "is not one command in one line."),
        ("cron", [{"name": "a", "schedule": "@daily", "command": " "}], "is not one command in one line."),
        ("version", ["main"], "it takes the name of a branch or tag, or a commit."),
        ("release_command", ["flask", "db"], "it takes one command in one line."),
        ("cron_host", "a b", "it takes the name of a host."),
        ("urls", ["club.example.edu"], "'club.example.edu' is not a URL. Write them as https://club.example.edu/{name}/."),
        ("urls", ["https://club.example.edu:0/"], "'https://club.example.edu:0/' is not a URL."),
        ("whole_web_space", "perhaps", "it takes true or false."),
        ("smoke_test", "/login", "it takes a dictionary with the keys path, mode, statuses, timeout."),
        ("smoke_test", [1], "it takes a dictionary with the keys"),
        ("timeouts", 60, "it takes a dictionary with the keys lock, build, command, live."),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_to_write(key: str, value: Any, rule: str) -> None:
    message = refusal(**{key: value})
    assert message.startswith(f"ocf_flask_{key} is {settings.shown(value)}: ")
    assert rule in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": "login"}, "ocf_flask_smoke_test.path is 'login': it takes a path that begins with /, as in a URL."),
        ({"path": "/a b"}, "ocf_flask_smoke_test.path is '/a b'"),
        ({"path": "/a\r\nX-Header: 1"}, "ocf_flask_smoke_test.path is"),
        ({"mode": "off"}, "ocf_flask_smoke_test.mode is 'off': it is one of request, import, none."),
        ({"mode": False}, "ocf_flask_smoke_test.mode is False: it is one of request, import, none."),
        ({"statuses": [200, "ok"]}, "'ok' is not an HTTP status. It takes a list such as [200, 404]."),
        ({"statuses": 99}, "99 is not an HTTP status."),
        pytest.param({"statuses": [10**5000]}, "a number is not an HTTP status.", id="huge"),
        ({"statuses": {"a": 1}}, "ocf_flask_smoke_test.statuses is {'a': 1}: it takes a list."),
        ({"timeout": 0}, "ocf_flask_smoke_test.timeout is 0: it takes a whole number from 1 to 3600."),
        ({"timeout": "1 minute"}, "it takes a whole number from 1 to 3600."),
        ({"status": [200]}, "There is no key of ocf_flask_smoke_test, status. Did you mean statuses?"),
        ({"xyzzy": 1}, "There is no key of ocf_flask_smoke_test, xyzzy. These are known: mode, path, statuses, timeout."),
        ({3: 1}, "There is no key of ocf_flask_smoke_test, 3."),
    ],
)
def test_a_wrong_smoke_test_is_refused(values: dict[Any, Any], message: str) -> None:
    assert message in refusal(smoke_test=values)


def test_a_smoke_test_takes_what_is_said_of_it() -> None:
    given = {"path": "/login", "mode": "import", "statuses": [200, "404"], "timeout": "5"}
    assert read(smoke_test=given).smoke_test == settings.SmokeTest("/login", "import", (200, 404), 5)


@pytest.mark.parametrize("step", ["lock", "build", "live"])
def test_each_time_limit_is_a_number_of_seconds(step: str) -> None:
    assert getattr(read(timeouts={step: "5"}).timeouts, step) == 5
    assert refusal(timeouts={step: -1}) == f"ocf_flask_timeouts.{step} is -1: it takes a whole number from 1 to 86400."


@pytest.mark.parametrize(
    "name",
    [
        ".htaccess", ".htpasswd", ".env", ".git/", ".git", "run.fcgi", "run.*", "venv/", "venv", "v*/", ".*", ".ht*",
        ".e*v", "sub/.env", "sub/.git/", ".ocf-flask*", "*.fcgi", "*/pyvenv.cfg", "*", "*/",
    ],
)  # fmt: skip
def test_a_secret_or_our_own_file_cannot_be_made_public_however_it_is_spelled(name: str) -> None:
    message = refusal(public=[name])
    assert f"{name!r} has something in it that visitors must not read. Name only what they should get." in message


@pytest.mark.parametrize("name", ["robots.txt", ".well-known/", "*.css", "downloads/", "docs/*.pdf", "docs/*", "google*.html"])
def test_ordinary_files_can_be_public(name: str) -> None:
    assert read(public=[name]).public == (name,)


def test_public_can_be_emptied() -> None:
    assert read(public=[]).public == ()


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(refusal(server="x", keep=0, smoke_test={"mode": "x"}).splitlines()) == 3


@pytest.mark.parametrize("value", [["-" + "x" * 100_000], "-" + "x," * 50_000])
def test_a_long_value_is_cut_in_the_message_and_takes_no_time(value: object) -> None:
    start = time.monotonic()
    assert len(refusal(packages=value)) < 1000
    # Looking from each of its characters to its end would take half a minute.
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("written", "packages"),
    [
        ("flask-login", ("flask-login",)),
        ("a,b , c", ("a", "b", "c")),
        ("flask[async,dotenv],b", ("flask[async,dotenv]", "b")),
        (f"flask[{'async,' * 100}dotenv],b", (f"flask[{'async,' * 100}dotenv]", "b")),
        ("sqlalchemy>=2,<3,jinja2", ("sqlalchemy>=2,<3", "jinja2")),
        ("a>1, !=1.5 ,~=1.2,==1.*,~/wheels/b.whl", ("a>1, !=1.5 ,~=1.2,==1.*", "~/wheels/b.whl")),
        ("", ()),
        (",", ()),
        (["a>=1,<2"], ("a>=1,<2",)),
        (("a",), ("a",)),
        (None, ()),
    ],
)
def test_packages_can_come_from_a_command_line(written: Any, packages: tuple[str, ...]) -> None:
    assert read(packages=written).packages == packages


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("~/site/", "~/site"),
        ("/srv/x//", "/srv/x"),
        ("//srv//x", "/srv/x"),
        ("~//etc", "~/etc"),
        ("~/", "~/"),
        ("~//", "~/"),
        ("~/.", "~/"),
        ("/", "/"),
        ("~/a/./b", "~/a/b"),
    ],
)
def test_two_spellings_of_a_path_are_one(written: str, path: str) -> None:
    assert read(directory=written).directory == path


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        ("python", 3.11, "3.11"),
        ("python", 3, "3"),
        ("python", "python3.11", "python3.11"),
        ("python", "/opt/py/bin/python3", "/opt/py/bin/python3"),
        ("keep", "5", 5),
        ("keep", "", 3),
        ("app", "shop", "shop:app"),
        ("app", "shop.web:create_app('test', debug=1)", "shop.web:create_app('test', debug=1)"),
        ("url", "https://example.edu", "https://example.edu/"),
        ("url", "http://localhost:8080/~{owner}/{name}", "http://localhost:8080/~{owner}/{name}/"),
        ("url", "https://{owner}.example.edu/", "https://{owner}.example.edu/"),
        ("url", "http://[::1]:80/", "http://[::1]:80/"),
        ("web_root", "", ""),
        ("web_root", None, "/services/http/users"),
        ("uv", "none", "none"),
        ("requirements", "none", "none"),
        ("server", "", "builtin"),
        ("source", "git@github.com:alice/flasky.git", "git@github.com:alice/flasky.git"),
        ("source", "~/My Projects/flasky", "~/My Projects/flasky"),
        ("version", 2, "2"),
        ("shared", "app.db,uploads/", ("app.db", "uploads/")),
        ("env", {"A": 1, "B": True, "C": None, "D": "x\n'$\"é", "E": 1.5}, {"A": "1", "B": "true", "C": "", "D": "x\n'$\"é", "E": "1.5"}),
        ("env", "", {}),
        (
            "cron",
            [{"name": "a", "schedule": "*/5 0-6 1,15 JAN mon", "command": "flask a"}],
            (Cron("a", "*/5 0-6 1,15 JAN mon", "flask a"),),
        ),
        ("env", {"A": "\udcff", "B": "x" * (131072 - len("B=") - 1)}, {"A": "\udcff", "B": "x" * (131072 - len("B=") - 1)}),
        ("url", "https://club.example.edu:1/", "https://club.example.edu:1/"),
        ("urls", "https://club.example.edu", ("https://club.example.edu/",)),
        ("urls", "https://club.example.edu/", ("https://club.example.edu/",)),
        ("whole_web_space", "yes", True),
        ("whole_web_space", "false", False),
        ("whole_web_space", True, True),
    ],
)
def test_what_a_user_means_is_understood(key: str, written: Any, value: object) -> None:
    assert getattr(read(**{key: written}), key) == value


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("SECRET_KEY=hunter22", "ocf_flask_env is not a dictionary: it takes variables with their values, such as {SECRET_KEY: '...'}."),
        ({"SECRET-KEY": "hunter22"}, "ocf_flask_env has the name 'SECRET-KEY': a variable has letters, digits and _, no digit first."),
        ({"SECRET_KEY": ["hunter22"]}, "ocf_flask_env.SECRET_KEY is not text. Write it in quotes, as in SECRET_KEY: '...'"),
        ({"SECRET_KEY": "hunter22\0"}, "ocf_flask_env.SECRET_KEY is not text."),
        ({"OCF_FLASK_KEY": "hunter22"}, "ocf_flask_env has the name OCF_FLASK_KEY: those that begin with OCF_FLASK_ are the deploy's own."),
        ({"SECRET_KEY": "hunter22\ud800"}, "ocf_flask_env.SECRET_KEY is not text."),
        # The kernel's limit, with the name and the byte that ends it (execve(2), MAX_ARG_STRLEN).
        ({"LONG": "x" * (131072 - len("LONG="))}, "ocf_flask_env.LONG is longer than 131072 bytes. Put it into a file, and name that."),
    ],
)
def test_what_is_wrong_with_the_environment_is_said_without_its_values(env: Any, message: str) -> None:
    found = refusal(env=env)
    assert found.startswith(message) and "hunter22" not in found


def test_the_environment_is_neither_recorded_nor_shown() -> None:
    found = read(env={"SECRET_KEY": "hunter22"})
    assert "hunter22" not in repr(found) + str(found.recorded())


@pytest.mark.parametrize(
    ("source", "is_managed", "is_repository"),
    [
        ("", False, False),
        ("/srv/flasky", True, False),
        ("~/flasky", True, False),
        ("https://github.com/alice/flasky", True, True),
        ("ssh://git@example.edu/flasky", True, True),
        ("file:///srv/flasky.git", True, True),
        ("git@github.com:alice/flasky.git", True, True),
    ],
)
def test_a_source_is_a_directory_or_a_repository(source: str, is_managed: bool, is_repository: bool) -> None:
    found = read(source=source)
    assert (found.is_managed, found.is_repository) == (is_managed, is_repository)


def test_a_password_in_what_was_meant_for_a_url_is_not_shown() -> None:
    message = refusal(source="https:/alice:hunter22@example.edu/flasky x")
    assert message.startswith("ocf_flask_source is 'https:/example.edu/flasky x': it takes a directory") and "hunter22" not in message
    assert refusal(source=5).startswith("ocf_flask_source is 5: it takes a directory")


@pytest.mark.parametrize(
    ("source", "recorded"),
    [
        ("https://alice:hunter22@example.edu/flasky", "https://example.edu/flasky"),
        ("https://hunter22@example.edu/flasky", "https://example.edu/flasky"),
        ("ssh://git:hunter22@example.edu/flasky", "ssh://git@example.edu/flasky"),
        ("git@example.edu:flasky", "git@example.edu:flasky"),
    ],
)
def test_what_is_recorded_of_a_source_has_no_password(source: str, recorded: str) -> None:
    assert read(source=source).recorded()["source"] == recorded


def test_an_entry_goes_before_the_variables() -> None:
    found = settings.read({"name": "a", "keep": 9}, {"keep": 2, "server": "flup"})
    assert (found.keep, found.server) == (9, "flup")


def test_a_name_among_the_variables_does_not_rename_a_site() -> None:
    assert settings.read({"name": "a"}, {"name": "b"}).name == "a"


def test_a_misspelled_key_of_an_entry_is_refused_with_the_right_one() -> None:
    with pytest.raises(SettingError, match=r"There is no key of the site flasky, pakages\. Did you mean packages\?"):
        settings.read({"name": "flasky", "pakages": []}, {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ocf_flask_pakages", "There is no setting ocf_flask_pakages. Did you mean ocf_flask_packages?"),
        ("ocf_flask_name", "There is no setting ocf_flask_name."),
        ("ocf_flask_", "There is no setting ocf_flask_."),
    ],
)
def test_an_unknown_variable_is_refused(name: str, message: str) -> None:
    (found,) = settings.unknown([name, "ocf_flask_app", "ocf_flask_sites", "site", "ansible_user"])
    assert found.startswith(message)


def test_a_variable_like_no_setting_is_answered_with_all_there_are() -> None:
    (found,) = settings.unknown(["ocf_flask_qqqqqqqqqqqqqqqqqqqqqq"])
    assert all(f"ocf_flask_{key}" in found for key in settings.KEYS)


# A user's YAML can hold anything anywhere.
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.dates(), st.binary(max_size=5),
    st.sampled_from(["~/", "~/..", "/", "a:b", "https://[", "http://{owner}", "{", "none", "3.10", "*", "../", "-e"]),
)  # fmt: skip
_YAML = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(max_size=8), st.integers(), st.none()), inner, max_size=3)
    ),
    max_leaves=6,
)
_NESTED = st.one_of(
    st.dictionaries(st.sampled_from(["path", "mode", "statuses", "timeout", "lock", "build", "live"]), _YAML, max_size=4), _YAML
)


@limits(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.one_of(st.sampled_from([*settings.KEYS, "name"]), st.text(max_size=5), st.integers()), _NESTED, max_size=6),
    st.dictionaries(st.sampled_from(settings.KEYS), _NESTED, max_size=6),
)
@example({"name": "x", "keep": 10**5000}, {})
@example({"name": "x", "url": "https://["}, {"python": float("nan")})
def test_whatever_yaml_holds_is_taken_or_refused_in_words(entry: dict[Any, Any], defaults: dict[str, Any]) -> None:
    try:
        found = settings.read(entry, defaults)
    except SettingError as error:
        assert error.message.strip()
        return
    assert found.name == entry["name"]
    assert all(isinstance(one, str) for one in (*found.packages, *found.public, *found.code, found.app, found.python, found.url))
