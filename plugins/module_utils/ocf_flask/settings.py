"""Settings: from what a user wrote to values that the engine can rely on.

A setting is written as the variable ``ocf_flask_X`` (for every site) or as the key ``X`` of an
entry of ``ocf_flask_sites`` (for that site). Ansible's argument spec checks neither the values of
an entry nor converts what came from a command line, so that is done here, for both alike.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from .errors import SettingError
from .reader import Reader, shown, unknown_name, without_credentials

PREFIX = "ocf_flask_"
SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# Each with the packages that it needs beside what a user asks for. `builtin` is the runtime in the release.
SERVERS = {"builtin": ("flask",), "flup6": ("flask", "flup6"), "flup": ("flask", "flup")}
SMOKE_TEST_MODES = ("request", "import", "none")

_APP = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\([^\"\\\n]*\))?)?")
_PYTHON = re.compile(r"(python)?3(\.\d{1,2}){0,2}")
PYTHON_RANGE = re.compile(r"\s*(>=|<=|>|<|!=)\s*(3(?:\.\d{1,2}){0,2}|4)\s*")
# What can stand unquoted in a shebang and inside quotes in Apache's configuration.
_PLAIN_PATH = re.compile(r"[\w.,+@~:=/-]+")
_PUBLIC_NAME = re.compile(r"[A-Za-z0-9_.,+@~*-]+(/[A-Za-z0-9_.,+@~*-]+)*/?")
_URL = re.compile(r"https?://([A-Za-z0-9.\[\]:-]|\{(owner|name)\})+(/([A-Za-z0-9_.~%/@+-]|\{(owner|name)\})*)?")
# What git clones: a URL with a scheme, or the form of scp.
_REPOSITORY = re.compile(r"(https?|ssh|git|file)://\S+|[\w.-]+@[\w.-]+:\S+")
_VERSION = re.compile(r"(?!.*(\.\.|//))[A-Za-z0-9][\w./+@-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Of a variable that a process is started with, NAME=VALUE and a zero byte (execve(2): MAX_ARG_STRLEN).
_LONGEST_VARIABLE = 131072
_SCHEDULE = re.compile(r"@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[\d*,/A-Za-z-]+( +[\d*,/A-Za-z-]+){4}")
# Names that lead to something of ours or to secrets, however a pattern spells them: anywhere, and at the top.
_SECRET = (".htaccess", ".htpasswd", ".git", ".env", ".ocf-flask-new-run.fcgi")
_OURS = ("run.fcgi", "venv")


@dataclass(frozen=True)
class SmokeTest:
    """The request that a new release must answer before it is switched to.

    ``timeout`` is in seconds, for the start of the application and the answer together.
    ``statuses`` empty means: 2xx, 3xx, 401 and 403 pass, 404 passes with a warning.
    """

    path: str = "/"
    mode: str = "request"
    statuses: tuple[int, ...] = ()
    timeout: int = 30


@dataclass(frozen=True)
class Timeouts:
    """Time limits of the other steps, in seconds."""

    lock: int = 60
    build: int = 600
    command: int = 600
    live: int = 60


@dataclass(frozen=True)
class Cron:
    """A command that the owner's crontab runs; ``schedule`` is five fields or ``@daily`` and the like (crontab(5))."""

    name: str
    schedule: str
    command: str


@dataclass(frozen=True)
class Settings:
    """One site as it is wanted. Names and meanings as in the role's argument spec.

    Paths are as written: ``~`` is the owner's home, which only the machine knows, and ``{owner}`` and
    ``{name}`` in ``url`` stand for the site's. ``env`` has secrets: no record, message or difference shows its values.
    """

    name: str
    owner: str = ""
    directory: str = ""
    private_directory: str = ""
    source: str = ""
    version: str = ""
    deploy_key: str = ""
    code_directory: str = ""
    shared: tuple[str, ...] = ("instance/",)
    app: str = "flaskyapplication:app"
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    release_command: str = ""
    cron: tuple[Cron, ...] = ()
    cron_host: str = ""
    python: str = ""
    packages: tuple[str, ...] = ()
    requirements: str = ""
    server: str = "builtin"
    public: tuple[str, ...] = ("favicon.ico", "robots.txt", ".well-known/")
    code: tuple[str, ...] = ()
    smoke_test: SmokeTest = field(default_factory=SmokeTest)
    timeouts: Timeouts = field(default_factory=Timeouts)
    keep: int = 3
    url: str = ""
    urls: tuple[str, ...] = ()
    virtual_hosts: str = ""
    whole_web_space: bool = False
    web_root: str = "/services/http/users"
    wheels: str = ""
    index: str = ""
    uv: str = ""
    store: str = ""
    # No setting: which of them the site's own entry has, with whatever value.
    own: tuple[str, ...] = field(default=(), compare=False)

    @property
    def module(self) -> str:
        """The importable module of the app: ``pkg.mod`` of ``pkg.mod:app``."""
        return self.app.partition(":")[0]

    @property
    def is_managed(self) -> bool:
        """Whether the deploy brings the code, which the owner then does not edit on the server."""
        return bool(self.source)

    @property
    def is_repository(self) -> bool:
        """Whether the code comes from a git repository, and not from a directory on the controller."""
        return bool(_REPOSITORY.fullmatch(self.source))

    @property
    def all_packages(self) -> tuple[str, ...]:
        """The requirements that are asked for, and before them what every site with its server needs."""
        return (*SERVERS[self.server], *self.packages)

    def recorded(self) -> dict[str, Any]:
        """As a release records them: without the environment, which lies in a file of its own, and without credentials."""
        found = asdict(self)
        del found["env"], found["own"]
        found["source"] = without_credentials(self.source)
        return found


KEYS = tuple(one.name for one in fields(Settings) if one.name not in ("name", "own"))
# Variables of the role that are not a setting of a site.
RUN_VARIABLES = ("sites",)


def unknown(names: Sequence[str]) -> list[str]:
    """A sentence for each of the variable names that begins with ``ocf_flask_`` but is no setting."""
    known = [PREFIX + key for key in (*KEYS, *RUN_VARIABLES)]
    return [unknown_name(name, known, "setting") for name in sorted(names) if name.startswith(PREFIX) and name not in known]


def read(entry: Mapping[str, Any], defaults: Mapping[str, Any]) -> Settings:
    """One site's settings: an entry's own values over the variables' (both by key, without prefix).

    :raises SettingError: with a line for each value that cannot be used.
    """
    name = check_name(entry.get("name"))
    unknown_keys = [unknown_name(str(key), KEYS, f"key of the site {name},") for key in entry if key not in (*KEYS, "name")]
    own = {key: value for key, value in entry.items() if key in KEYS}
    merged = {**{key: defaults[key] for key in defaults if key in KEYS}, **own}
    reader = Reader(merged, PREFIX)
    settings = replace(_read(name, reader), own=tuple(own))
    problems = unknown_keys + reader.problems
    if problems:
        raise SettingError("\n".join(problems))
    return settings


def check_name(name: Any) -> str:
    """The site's name.

    :raises SettingError: when it cannot be one.
    """
    if name is None or name == "":
        raise SettingError("A site has no name. Give each entry of ocf_flask_sites one, as in: {name: flasky, owner: alice}.")
    if isinstance(name, (int, float)) and not isinstance(name, bool):
        raise SettingError(f"The site name {shown(name)} is a number to YAML. Write it in quotes, as in: name: '{shown(name)}'")
    if not isinstance(name, str) or not SITE_NAME.fullmatch(name):
        raise SettingError(
            f"The site name {shown(name)} cannot be used: it begins with a letter or a digit, goes on with letters, digits, "
            f"_ and -, and has at most 64 characters. It is a name, not a path. Type for example: -e site={_suggest_name(name)}"
        )
    return name


def _suggest_name(name: object) -> str:
    last = unicodedata.normalize("NFKD", str(name).rstrip("/").rpartition("/")[2])
    last = "".join(char for char in last if not unicodedata.combining(char))
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("_-")[:64] or "flasky"


def _read(name: str, reader: Reader) -> Settings:
    default = Settings(name)
    path_rule = "it takes an absolute path or one that begins with ~/, without blanks, quotes or .. in it."
    return Settings(
        name=name,
        owner=reader.text("owner", "", re.compile(r"[^\s/:]+"), "it takes the name of an account."),
        directory=_path(reader, "directory", path_rule),
        private_directory=_path(reader, "private_directory", path_rule),
        source=_source(reader),
        version=reader.text("version", "", _VERSION, "it takes the name of a branch or tag, or a commit."),
        deploy_key=_path(reader, "deploy_key", path_rule),
        code_directory=_path(reader, "code_directory", path_rule),
        shared=_shared(reader, default.shared),
        app=_app(reader, default.app),
        env=_env(reader),
        release_command=reader.text("release_command", "", None, "it takes one command in one line."),
        cron=_cron(reader),
        cron_host=reader.text("cron_host", "", re.compile(r"[A-Za-z0-9.-]+"), "it takes the name of a host."),
        python=_python(reader),
        packages=_packages(reader),
        requirements=reader.text(
            "requirements", "", re.compile(r"(?!-)[^\0]+"), "it takes the path of a requirements file or a pyproject.toml, or none."
        ),
        server=reader.choice("server", default.server, tuple(SERVERS)),
        public=_names(reader, "public", default.public),
        code=_names(reader, "code", default.code),
        smoke_test=_smoke_test(reader.mapping("smoke_test", [one.name for one in fields(SmokeTest)])),
        timeouts=_timeouts(reader.mapping("timeouts", [one.name for one in fields(Timeouts)])),
        keep=reader.number("keep", default.keep, 1, 100),
        url=_url(reader),
        urls=_urls(reader),
        virtual_hosts=_path(reader, "virtual_hosts", path_rule),
        whole_web_space=reader.truth("whole_web_space", default.whole_web_space),
        web_root=_path(reader, "web_root", path_rule) if reader.get("web_root") != "" else "",
        wheels=_path(reader, "wheels", path_rule),
        index=reader.text("index", "", re.compile(r"https?://\S+"), "it takes the URL of a package index."),
        uv="none" if reader.get("uv") == "none" else _path(reader, "uv", path_rule),
        store=_store(reader),
    )


def _store(reader: Reader) -> str:
    rule = "it takes an absolute path, without blanks, quotes or .. in it: the directory is all owners'."
    value = _path(reader, "store", rule)
    if value.startswith("~"):
        reader.wrong("store", rule)
    return value


def _path(reader: Reader, key: str, rule: str) -> str:
    value = reader.text(key, getattr(Settings("x"), key), _PLAIN_PATH, rule)
    if value and (not value.startswith(("/", "~/")) or ".." in value.split("/")):
        reader.wrong(key, rule)
        return ""
    if not value:
        return value
    path = posixpath.normpath(re.sub("//+", "/", value))
    return "~/" if path == "~" else path


def _source(reader: Reader) -> str:
    rule = "it takes a directory of the machine that runs Ansible, such as ~/projects/flasky, or the URL of a git repository."
    value = reader.get("source")
    if value is None or value == "":
        return ""
    if isinstance(value, str) and value.isprintable() and _REPOSITORY.fullmatch(value):
        return value
    if isinstance(value, str) and value.isprintable() and value.startswith(("/", "~/")):
        return posixpath.normpath(value)
    # What was meant for a URL may have a password in it.
    told = re.sub(r"[^/]*@", "", value) if isinstance(value, str) else value
    reader.problems.append(f"{reader.label}source is {shown(told)}: {rule}")
    return ""


def _shared(reader: Reader, default: tuple[str, ...]) -> tuple[str, ...]:
    names = _names(reader, "shared", default)
    for one in names:
        if "*" in one:
            reader.wrong("shared", f"{one!r} has a * in it. Each is one file, such as app.db, or one directory, such as uploads/.")
    return names


def _env(reader: Reader) -> dict[str, str]:
    """The variables as text. What is wrong is said without the values."""
    value = reader.get("env")
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        reader.problems.append(
            f"{reader.label}env is not a dictionary: it takes variables with their values, such as {{SECRET_KEY: '...'}}."
        )
        return {}
    found = {}
    for name, content in value.items():
        text = _as_text(content)
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            reader.problems.append(f"{reader.label}env has the name {shown(name)}: a variable has letters, digits and _, no digit first.")
        elif name.startswith("OCF_FLASK_"):
            reader.problems.append(f"{reader.label}env has the name {name}: those that begin with OCF_FLASK_ are the deploy's own.")
        elif text is None or not _is_variable(text):
            reader.problems.append(f"{reader.label}env.{name} is not text. Write it in quotes, as in {name}: '...'")
        elif len(f"{name}={text}".encode("utf-8", "surrogateescape")) >= _LONGEST_VARIABLE:
            reader.problems.append(f"{reader.label}env.{name} is longer than {_LONGEST_VARIABLE} bytes. Put it into a file, and name that.")
        else:
            found[name] = text
    return found


def _is_variable(text: str) -> bool:
    """Whether a process can be given it."""
    try:
        return b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def _as_text(value: object) -> str | None:
    """What was meant in YAML; None for a list or a dictionary."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else None


def _cron(reader: Reader) -> tuple[Cron, ...]:
    rule = "Each has a name, a schedule and a command, as in {name: tidy, schedule: '0 4 * * *', command: 'flask tidy'}."
    good: list[Cron] = []
    for one in reader.items("cron"):
        if not isinstance(one, Mapping) or set(one) != {"name", "schedule", "command"} or not all(isinstance(v, str) for v in one.values()):
            reader.wrong("cron", f"{shown(one)} is not a scheduled command. {rule}")
        elif not SITE_NAME.fullmatch(one["name"]) or one["name"] in [other.name for other in good]:
            reader.wrong("cron", f"{shown(one['name'])} is no name of its own of letters, digits, _ and -. {rule}")
        elif not _SCHEDULE.fullmatch(one["schedule"]):
            reader.wrong(
                "cron", f"{shown(one['schedule'])} is not a schedule of five fields, nor @hourly, @daily, @weekly or @monthly. {rule}"
            )
        elif not one["command"].isprintable() or not one["command"].strip():
            reader.wrong("cron", f"{shown(one['command'])} is not one command in one line. {rule}")
        else:
            good.append(Cron(one["name"], one["schedule"], one["command"]))
    return tuple(good)


def _app(reader: Reader, default: str) -> str:
    rule = "it takes MODULE:NAME or MODULE:FACTORY(), without .py, for example flaskyapplication:app or shop:create_app()."
    value = reader.text("app", default, _APP, rule)
    if value.partition(":")[0].endswith(".py"):
        reader.wrong("app", rule)
        return default
    return value if ":" in value else f"{value}:app"


def _python(reader: Reader) -> str:
    value = reader.text("python", "")
    is_path = value.startswith("/") and _PLAIN_PATH.fullmatch(value)
    # 3.1 is what YAML makes of an unquoted 3.10.
    is_range = all(PYTHON_RANGE.fullmatch(part) for part in value.split(","))
    if value and not is_path and not is_range and (value == "3.1" or not _PYTHON.fullmatch(value)):
        rule = "it takes a version such as 3.11 (in quotes: '3.10' is not 3.1), a range such as '>=3.10,<3.13', or an interpreter's absolute path."
        reader.wrong("python", rule)
        return ""
    return value


def _packages(reader: Reader) -> tuple[str, ...]:
    good = []
    for one in reader.items("packages"):
        # A leading - would be an option of pip's, and so could be anything.
        if not isinstance(one, str) or not one.isprintable() or not re.match(r"[A-Za-z0-9./~]", one):
            reader.wrong(
                "packages", f"{shown(one)} is not a package. Each is as pip takes it, for example flask-login or 'flask-login>=0.6'."
            )
        else:
            good.append(one)
    return tuple(good)


def _names(reader: Reader, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    good = []
    for one in reader.items(key, default):
        if not isinstance(one, str) or not _PUBLIC_NAME.fullmatch(one) or any(part in ("..", ".") for part in one.split("/")):
            reader.wrong(key, f"{shown(one)} is not a path inside the site's directory. Write them as robots.txt, downloads/ or *.css.")
        elif key == "public" and _is_private(one):
            reader.wrong(key, f"{one!r} has something in it that visitors must not read. Name only what they should get.")
        elif one.strip("*/") == "":
            reader.wrong(key, f"{one!r} is everything, with what the app itself writes. Name what is code, for example data/*.json.")
        else:
            good.append(one)
    return tuple(good)


def _is_private(pattern: str) -> bool:
    first, *_ = parts = pattern.rstrip("/").split("/")
    return any(_names_one_of(_SECRET, part) for part in parts) or _names_one_of(_OURS, first)


def _names_one_of(names: Sequence[str], pattern: str) -> bool:
    """Whether a pattern matches one of the names; as in a shell, ``*`` at its start matches no leading dot."""
    return any(fnmatch.fnmatchcase(name, pattern) for name in names if not (name.startswith(".") and pattern.startswith("*")))


def _smoke_test(reader: Reader) -> SmokeTest:
    default = SmokeTest()
    statuses = []
    for one in reader.items("statuses"):
        if not re.fullmatch(r"[1-5][0-9][0-9]", shown(one) if isinstance(one, int) else str(one)):
            reader.wrong("statuses", f"{shown(one)} is not an HTTP status. It takes a list such as [200, 404].")
        else:
            statuses.append(int(one))
    return SmokeTest(
        path=reader.text("path", default.path, re.compile(r"/[!-~]*"), "it takes a path that begins with /, as in a URL."),
        mode=reader.choice("mode", default.mode, SMOKE_TEST_MODES),
        statuses=tuple(statuses),
        timeout=reader.number("timeout", default.timeout, 1, 3600),
    )


def _timeouts(reader: Reader) -> Timeouts:
    default = Timeouts()
    return Timeouts(**{one.name: reader.number(one.name, getattr(default, one.name), 1, 86400) for one in fields(Timeouts)})


def _url(reader: Reader) -> str:
    rule = "it takes the site's URL, for example https://www.example.edu/~{owner}/{name}/"
    value = reader.text("url", "", _URL, rule)
    if value and not _is_url(value.format(owner="alice", name="flasky")):
        reader.wrong("url", rule)
        return ""
    return value if not value or value.endswith("/") else value + "/"


def _urls(reader: Reader) -> tuple[str, ...]:
    good = []
    for one in reader.items("urls"):
        if not isinstance(one, str) or not _URL.fullmatch(one) or not _is_url(one.format(owner="alice", name="flasky")):
            reader.wrong("urls", f"{shown(one)} is not a URL. Write them as https://club.example.edu/{{name}}/.")
        else:
            good.append(one if one.endswith("/") else one + "/")
    return tuple(good)


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        return bool(host) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
