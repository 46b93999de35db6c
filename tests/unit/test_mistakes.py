"""What users do wrong, each typed as they type it, and every word of what they are told.

In an expected text, ``…`` stands for what differs from machine to machine, or is an app's traceback. HOME and CHECKOUT are directories.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from typed import Person

APP = "from flask import Flask\n\napp = Flask(__name__)\n"
FACTORY = "from flask import Flask\n\n\ndef create_app():\n    return Flask(__name__)\n"
MEND = "Nothing was changed. Mend that, then deploy again."
STUDENTS_PYTHON = (
    "it takes a version such as 3.11 (in quotes: '3.10' is not 3.1), a range such as '>=3.10,<3.13', or an interpreter's absolute path."
)


@dataclass(frozen=True)
class Mistake:
    """A site's settings and the files in its directory, and what a deploy says of it."""

    says: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


# By the site's name.
SITES = {
    "misspelt": Mistake("There is no key of the site misspelt, package. Did you mean packages?", {"package": ["requests"]}),
    "kind": Mistake("ocf_flask_packages is {'flask': 3}: it takes a list.", {"packages": {"flask": 3}}),
    "number": Mistake("ocf_flask_keep is 'three': it takes a whole number from 1 to 100.", {"keep": "three"}),
    "choice": Mistake("ocf_flask_server is 'gunicorn': it is one of builtin, flup6, flup.", {"server": "gunicorn"}),
    "unquoted": Mistake(f"ocf_flask_python is 3.1: {STUDENTS_PYTHON}", {"python": 3.1}),
    "file": Mistake(
        "ocf_flask_app is 'shop.py': it takes MODULE:NAME or MODULE:FACTORY(), without .py, for example flaskyapplication:app "
        "or shop:create_app().",
        {"app": "shop.py"},
    ),
    "secret": Mistake(
        "ocf_flask_public is ['.env']: '.env' has something in it that visitors must not read. Name only what they should get.",
        {"public": [".env"]},
    ),
    "variable": Mistake(
        "ocf_flask_env has the name 'SECRET-KEY': a variable has letters, digits and _, no digit first.", {"env": {"SECRET-KEY": "x"}}
    ),
    "schedule": Mistake(
        "ocf_flask_cron is [{'name': 'tidy', 'schedule': 'daily', 'command': 'flask tidy'}]: 'daily' is not a schedule of five fields, "
        "nor @hourly, @daily, @weekly or @monthly. Each has a name, a schedule and a command, as in {name: tidy, schedule: '0 4 * * *', "
        "command: 'flask tidy'}.",
        {"cron": [{"name": "tidy", "schedule": "daily", "command": "flask tidy"}]},
    ),
    "page": Mistake(
        "ocf_flask_smoke_test.path is 'login': it takes a path that begins with /, as in a URL.", {"smoke_test": {"path": "login"}}
    ),
    "relative": Mistake(
        "ocf_flask_directory is 'public_html/x': it takes an absolute path or one that begins with ~/, without blanks, quotes or .. in it.",
        {"directory": "public_html/x"},
    ),
    "everything": Mistake(
        "ocf_flask_directory is 'HOME/public_html', which is more than one site's directory. Name one of its own: "
        "-e ocf_flask_directory=HOME/public_html/everything",
        {"directory": "~/public_html"},
    ),
    "exposed": Mistake(
        "ocf_flask_private_directory is 'HOME/public_html/releases', which visitors may reach (it is in HOME/public_html). "
        "Name one outside: -e ocf_flask_private_directory=~/.ocf-flask/exposed",
        {"private_directory": "~/public_html/releases"},
    ),
    "inside": Mistake(
        "ocf_flask_directory is 'HOME/public_html/working/inside', and that is in the directory of another site, HOME/public_html/working: "
        "who removes the one would remove both. Name one outside of it: -e ocf_flask_directory=~/public_html/inside",
        {"directory": "~/public_html/working/inside"},
    ),
    "laptop": Mistake(
        "ocf_flask_source is '~/projects/x', and there is no such directory (HOME/projects/x) on the machine that runs Ansible. "
        "Correct the path.",
        {"source": "~/projects/x"},
    ),
    "repository": Mistake(
        "The repository file:///nowhere/x.git is not there, or not for this account. Check the URL. Add your key to an agent (ssh-add), "
        "or give it a deploy key, as docs/code.md shows step by step.\n\n  fatal: …",
        {"source": "file:///nowhere/x.git"},
    ),
    "python": Mistake(
        "ocf_flask_python is '3.6', and no such Python runs on this machine. This machine has …. Type for example: -e ocf_flask_python=/…",
        {"python": "3.6"},
    ),
    "requirements": Mistake(
        "ocf_flask_requirements is 'req.txt', and there is no file HOME/public_html/requirements/req.txt. Name one, relative to "
        "HOME/public_html/requirements, or none.",
        {"requirements": "req.txt"},
        {"requirements.txt": "flask\n"},
    ),
    "otherwise": Mistake(
        "There is no flaskyapplication.py in HOME/public_html/otherwise, which ocf_flask_app names by default. It seems to be shop:app. "
        "Name the app, as in: -e 'ocf_flask_app=shop:app', and for good in inventory/sites/otherwise.yml",
        files={"shop.py": APP},
    ),
    "near": Mistake(
        "The app does not start: the app is 'shopp:app', but there is no module 'shopp' in HOME/public_html/near; is it 'shop'?\n\n" + MEND,
        {"app": "shopp"},
        {"shop.py": APP},
    ),
    "nearer": Mistake(
        "The app does not start: the app is 'shop:ap', but 'shop' (HOME/public_html/nearer/shop.py) has no 'ap'; is it 'app'?\n\n" + MEND,
        {"app": "shop:ap"},
        {"shop.py": APP},
    ),
    "text": Mistake(
        "The app does not start: 'shop:name' is not a WSGI application: it is 'str'; 'shop' has 'app'\n\n" + MEND,
        {"app": "shop:name"},
        {"shop.py": APP + 'name = "x"\n'},
    ),
    "factory": Mistake(
        "The app does not start: 'shop:create_app' is a function that does not take a WSGI application's two arguments; "
        "if it makes the application, write 'shop:create_app()'\n\n" + MEND,
        {"app": "shop:create_app"},
        {"shop.py": FACTORY},
    ),
    "package": Mistake(
        "The app does not start: 'flaskyapplication' imports 'requests', which is not installed. Write the package into requirements.txt\n\n"
        "  Traceback (most recent call last):\n"
        '    File "HOME/public_html/package/flaskyapplication.py", line 1, in <module>\n'
        "      import requests\n"
        "  ModuleNotFoundError: No module named 'requests'\n\n" + MEND,
        files={"flaskyapplication.py": "import requests\n" + APP},
    ),
    "syntax": Mistake(
        "The app does not start: SyntaxError: …\n\n"
        '    File "HOME/public_html/syntax/flaskyapplication.py", line 1\n…  SyntaxError: …\n\n' + MEND,
        files={"flaskyapplication.py": "def index(:\n"},
    ),
    "hanging": Mistake(
        "The app did not answer GET / within 1 s (ocf_flask_smoke_test.timeout).\n\n…"
        '    File "HOME/public_html/hanging/flaskyapplication.py", line 3 in <module>\n…' + MEND,
        {"smoke_test": {"timeout": 1}},
        {"flaskyapplication.py": "import time\n\ntime.sleep(60)\n"},
    ),
    "failing": Mistake(
        "The app answered GET / with 500: ZeroDivisionError: division by zero\n\n…"
        '    File "HOME/public_html/failing/flaskyapplication.py", line 4, in <lambda>\n…  ZeroDivisionError: division by zero\n\n' + MEND,
        files={"flaskyapplication.py": APP + 'app.add_url_rule("/", "index", lambda: 1 / 0)\n'},
    ),
    "typo": Mistake(
        "The packages could not be installed: correct flaskk in HOME/public_html/typo/requirements.txt. uv says:\n\n"
        "  error: No solution found when resolving dependencies\n"
        "    cause: Because flaskk was not found in the provided package locations and you require flaskk, we can conclude that "
        "your requirements are unsatisfiable.\n\n" + MEND,
        files={"requirements.txt": "flaskk\n"},
    ),
    "version": Mistake(
        "The packages could not be installed: correct flask=3 in HOME/public_html/version/requirements.txt. uv says:\n\n"
        "  error: Couldn't parse requirement in `requirements.txt` at position 0\n"
        '    cause: no such comparison operator "=", must be one of …\n\n' + MEND,
        files={"requirements.txt": "flask=3\n"},
    ),
    "network": Mistake(
        "The packages could not be installed: the package index cannot be reached from this machine. Try again later, or name another with "
        "ocf_flask_index, or a directory of wheels with ocf_flask_wheels. uv says:\n\n  error: …\n\n" + MEND,
        {"wheels": "", "index": "http://127.0.0.1:9/simple", "packages": ["requests"]},
    ),
    "full": Mistake(
        "Disk quota exceeded: HOME/.ocf-flask/full….\n\n"
        "There is no space left: see what uses it with du -sh ~/* ~/.[a-z]*, delete something, and deploy again.",
    ),
}
AT_ONCE = 4


@dataclass(frozen=True)
class Line:
    """A line that is typed, and what is said.

    ``said``: whether the role says it in its report, or it stands in Ansible's error. ``file``: of the site flasky's settings.
    ``pretended``: what seems to be so, as `sitecustomize` takes it.
    """

    typed: str
    says: str
    said: str = "error"
    file: str = ""
    pretended: Mapping[str, str] = field(default_factory=dict)


DEPLOY = "ansible-playbook deploy.yml -e site=flasky"
TWO = '-e \'{"ocf_flask_sites": [{"name": "blog"}, {"name": "shop"}]}\''
ENCRYPTED = (
    "$ANSIBLE_VAULT;1.1;AES256\n"
    "33363762316633643933363837336463346366343165633133396630633864613736303263643237\n"
    "3339306230346534303264323933663862306339643832640a316332623839336435623735393765\n"
)
UNREAD = (
    "ocf_flask_env cannot be read. If it is encrypted, add --ask-vault-pass; if it has braces of its own, write it as "
    "!unsafe '{{ as it is }}'. Ansible says: "
)
LINES = {
    "no site": Line(
        "ansible-playbook deploy.yml",
        "Which site? Add -e site=NAME, for example: -e site=flasky\n"
        "(For many sites, list them in the inventory as ocf_flask_sites. inventory/staff is an example, whose list is empty.)",
    ),
    "no site for make": Line(
        "make deploy", "Which site? Type: make deploy site=NAME, for example: make deploy site=flasky\nmake: *** [… Error 2\n", "output"
    ),
    "make with an option of the playbook's": Line(
        "make remove site=flasky --check",
        "Makefile:…: *** This goes to make and not to the playbook. Put it into ARGS, as in: make deploy site=flasky "
        "ARGS='--check -e ocf_flask_python=3.12'.  Stop.\n",
        "output",
    ),
    "make with a setting": Line(
        "make deploy site=flasky -e ocf_flask_app=shop:app",
        "Makefile:…: *** This goes to make and not to the playbook.…",
        "output",
    ),
    "make with what is another verb's": Line(
        "make deploy site=flasky packages=rich", "Makefile:…: *** packages= is for: make upgrade.  Stop.\n", "output"
    ),
    "make with the name alone": Line(
        "make deploy flasky",
        "Which site? Type: make deploy site=NAME, for example: make deploy site=flasky\nmake: *** [… Error 2\n",
        "output",
    ),
    "a path as the site": Line(
        "make deploy site=public_html/flasky",
        "The site name 'public_html/flasky' cannot be used: it begins with a letter or a digit, goes on with letters, digits, _ and -, "
        "and has at most 64 characters. It is a name, not a path. Type for example: -e site=flasky",
    ),
    "a blank in the site": Line(
        "ansible-playbook deploy.yml -e 'site=my site'",
        "Behind -e there is 'site', which belongs to no variable. Write -e site=NAME, and a value with blanks in it as JSON: "
        '-e \'{"command": "flask routes"}\'',
    ),
    "a blank in the site of make": Line(
        "make deploy 'site=my site'",
        "The site name 'my site' cannot be used: it begins with a letter or a digit, goes on with letters, digits, _ and -, "
        "and has at most 64 characters. It is a name, not a path. Type for example: -e site=my-site",
    ),
    "a misspelt setting": Line(
        f"{DEPLOY} -e ocf_flask_package=requests", "There is no setting ocf_flask_package. Did you mean ocf_flask_packages?"
    ),
    "a setting without its prefix": Line(
        DEPLOY,
        "inventory/sites/flasky.yml has packages, which is no setting. Write it there as ocf_flask_packages.",
        file="packages: [requests]\n",
    ),
    "a setting with another prefix": Line(
        DEPLOY,
        "inventory/sites/flasky.yml has ocf_flaks_app, which is no setting. Write it there as ocf_flask_app.",
        file="ocf_flaks_app: shop\n",
    ),
    "a file with the other ending": Line(
        "ansible-playbook deploy.yml -e site=other",
        "inventory/sites/other.yaml is read by nothing. Rename it: mv inventory/sites/other.yaml inventory/sites/other.yml",
    ),
    "YAML that is none": Line(
        DEPLOY,
        "YAML parsing failed: Mapping values are not allowed in this context.",
        file="ocf_flask_app: shop\n  ocf_flask_python: '3.11'\n",
    ),
    "a secret with braces": Line(DEPLOY, f"{UNREAD}'x' is undefined", file='ocf_flask_env: {SECRET_KEY: "{{ x }}"}\n'),
    "a vault that is closed": Line(
        DEPLOY,
        "Invalid vars_files file 'CHECKOUT/playbooks/../inventory/sites/flasky.yml': Attempting to decrypt but no vault secrets found.…",
        file=ENCRYPTED,
    ),
    "a vault that is closed, for make": Line(
        "make deploy site=flasky",
        "inventory/sites/flasky.yml is encrypted. Have its password asked for: make deploy site=flasky ARGS='--ask-vault-pass'\n"
        "make: *** [… Error 2\n",
        "output",
        file=ENCRYPTED,
    ),
    "an encrypted variable": Line(
        DEPLOY,
        f"{UNREAD}…Attempting to decrypt but no vault secrets found.",
        file="ocf_flask_env:\n  SECRET_KEY: !vault |\n" + textwrap.indent(ENCRYPTED, "    "),
    ),
    "an account that is not there": Line(
        f"{DEPLOY} -e owner=alcie",
        "flasky was not deployed.\n\n  ocf_flask_owner: this machine has no account 'alcie'. Check the spelling with: getent passwd alcie",
        "report",
    ),
    "another's site": Line(
        f"{DEPLOY} -e owner=bob",
        "flasky was not deployed.\n\n  The site flasky is bob's, and you are alice. Do it as bob, or as root.",
        "report",
        pretended={"PRETENDED_UID": "4242"},
    ),
    "no public_html": Line(
        f"{DEPLOY} -e ocf_flask_web_root=/usr",
        "flasky was not deployed.\n\n  alice has no web space: this server serves sites from /usr, and HOME/public_html is not a link to it. "
        "Rename it (mv HOME/public_html HOME/public_html.old), then type: makehttp",
        "report",
        pretended={"PRETENDED_UID": "4242"},
    ),
    "two sites in one directory": Line(
        'ansible-playbook deploy.yml -e \'{"ocf_flask_sites": [{"name": "blog"}, {"name": "shop", "directory": "~/public_html/blog"}]}\'',
        "The sites blog and shop of alice have the same directory, HOME/public_html/blog. Leave directory away, and each has its own, "
        "~/public_html/NAME.",
    ),
    "a name that the list has not": Line(
        f"ansible-playbook deploy.yml -e site=shopp {TWO}",
        "No site matches site=shopp. Did you mean shop? The sites of this inventory: blog, shop",
    ),
    "a list that is none": Line(
        "ansible-playbook deploy.yml -e ocf_flask_sites=flasky",
        "ocf_flask_sites is 'flasky': it takes a list such as [{name: flasky, owner: alice}]",
    ),
    "remove all": Line(
        f"ansible-playbook playbooks/remove.yml {TWO}",
        "This would remove 2 sites: blog, shop. Name one with -e site=NAME, or say that you mean all of them: -e all=true",
    ),
    "an inventory that is not there": Line(
        f"{DEPLOY} -i inventory/stuff", "There is no inventory inventory/stuff. Correct what stands behind -i."
    ),
    "a host without a comma": Line(
        f"{DEPLOY} -i ssh.example.edu",
        "There is no inventory ssh.example.edu. Correct what stands behind -i. If ssh.example.edu is a host, a comma belongs behind it: "
        "-i ssh.example.edu,",
    ),
    "an inventory that cannot be read": Line(
        f"{DEPLOY} -i README.md",
        "The inventory README.md has no host. Ansible's warnings above say where it cannot be read; without any, add a host to it.",
    ),
    "no host matched": Line(
        f"{DEPLOY} --limit nothing", "Specified inventory, host pattern and/or --limit leaves us with no hosts to target."
    ),
    "one file of many hosts": Line(
        "ansible-playbook playbooks/find.yml -i localhost,127.0.0.1 -c local -e to=sites.yml",
        "All hosts would write what they find to sites.yml. Have the host's name in it, as in: "
        "-e 'to=inventory/staff/host_vars/{{ inventory_hostname }}/sites.yml'",
        "error",
    ),
    "an old Ansible": Line(
        DEPLOY,
        "This is ansible-core 2.14.18, and the role takes 2.19 or newer. Type: make deploy site=NAME, which brings its own, "
        "or install a newer one, as in: pipx install 'ansible-core>=2.19'",
        pretended={"PRETENDED_ANSIBLE": "2.14.18"},
    ),
    "run without a command": Line(
        "make run site=working",
        "working was not run.\n\n  Which command? Type for example: make run site=working cmd='flask routes'",
        "report",
    ),
    "a command that is not there": Line(
        "make run site=working cmd=flaskk",
        "A command of working failed.\n\n  The command 'flaskk' ended with status 127.\n\n    /bin/sh: …flaskk: …not found",
        "report",
    ),
    "upgrade what is not installed": Line(
        "make upgrade site=working packages=flaskk",
        "working was not upgraded.\n\n  The site has no package flaskk to upgrade. Installed are: blinker, click, flask, itsdangerous, "
        "jinja2, markupsafe, werkzeug. Name some of these, or none for all.",
        "report",
    ),
    "roll back with nothing before": Line(
        "make rollback site=working",
        "working was not rolled back.\n\n  working has no release before …, which is live. There is no other: a deploy keeps as many "
        "as ocf_flask_keep says",
        "report",
    ),
    "roll back a misspelt site": Line(
        "make rollback site=wroking",
        "wroking was not rolled back.\n\n  wroking is not deployed, so there is no release to go back to. Type: make deploy site=wroking",
        "report",
    ),
    "remove a misspelt site": Line(
        "make remove site=wroking",
        "wroking was not removed.\n\n  wroking is not deployed, so there is nothing to remove.\n\n  Check the spelling of its name.",
        "report",
    ),
    "restore what is there": Line(
        "make restore site=working",
        "working was not restored.\n\n  working was not removed from HOME/public_html/working, so there is nothing to bring back.\n\n"
        "  What was removed is in HOME/ocf-flask-removed.",
        "report",
    ),
}


def is_told(expected: str, said: str) -> None:
    """Whether somebody reads just this."""
    pattern = ".*?".join(map(re.escape, expected.split("…")))
    assert re.fullmatch(pattern, said, re.S), f"\nexpected: {expected}\n\nsaid: {said}"


@pytest.fixture(scope="module", name="person")
def _person(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Person:
    person = Person(tmp_path_factory.mktemp("m"), wheels)
    done = person.types("ansible-playbook deploy.yml -e site=working")
    assert done.code == 0, done.output
    return person


@pytest.fixture(scope="module", name="told")
def _told(person: Person) -> dict[str, str]:
    """What is said of each site. A run over more of them shows a table."""
    told: dict[str, str] = {}
    for name, mistake in SITES.items():
        for path, text in mistake.files.items():
            person.writes(f"public_html/{name}/{path}", text)
    names = list(SITES)
    for start in range(0, len(names), AT_ONCE):
        entries = [{"name": name, **SITES[name].settings} for name in names[start : start + AT_ONCE]]
        said = person.types(
            f"ansible-playbook deploy.yml -e {shlex.quote(json.dumps({'ocf_flask_sites': entries}))}",
            PRETENDED_FULL=str(person.home / ".ocf-flask/full"),
        )
        assert said.code == 2, said.output
        parts = re.split(r"^(\w+) was not deployed\.\n\n", said.report, flags=re.M)
        told.update({name: textwrap.dedent(text).strip() for name, text in zip(parts[1::2], parts[2::2])})
    return told


@pytest.mark.parametrize("name", SITES)
def test_what_is_wrong_with_a_site_is_said_with_what_to_type(told: dict[str, str], name: str) -> None:
    is_told(SITES[name].says, told[name])


@pytest.mark.parametrize("what", LINES)
def test_what_is_wrong_with_a_run_is_said_with_what_to_type(person: Person, what: str) -> None:
    line = LINES[what]
    (person.checkout / "README.md").write_text("# A file\n")
    (person.checkout / "inventory/sites/other.yaml").touch()
    file = person.checkout / "inventory/sites/flasky.yml"
    if line.file:
        file.write_text(line.file)
    try:
        said = person.types(line.typed, **line.pretended)
    finally:
        file.unlink(missing_ok=True)
    assert said.code != 0
    is_told(line.says, getattr(said, line.said))
    assert not (person.home / "public_html/flasky").exists(), "nothing was begun"


def test_below_a_table_of_failures_ansible_repeats_no_more_than_which(person: Person) -> None:
    entries = [{"name": f"many{number}", "keep": 0} for number in range(6)]
    said = person.types(f"ansible-playbook deploy.yml -e {shlex.quote(json.dumps({'ocf_flask_sites': entries}))}")
    assert said.code == 2 and said.report.startswith("6 sites: 6 failed."), said.output
    table, _, below = said.output.partition("[ERROR]")
    assert table.count("ocf_flask_keep is 0") == 6 and "ocf_flask_keep" not in below
    assert "6 of 6 sites failed. The report above says why, and what to do." in below
    assert re.findall(r"\balice/(many\d)$", below, re.M) == [one["name"] for one in entries]


@pytest.fixture(name="mine")
def _mine(person: Person, tmp_path: Path) -> Path:
    """A directory of hers with a playbook that knows where the roles are, and nothing else of the checkout."""
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\nroles_path = {person.checkout}/roles\n")
    settings = {**person.settings, "ocf_flask_sites": [{"name": "working"}]}
    play = {"hosts": "localhost", "gather_facts": False, "vars": settings, "roles": ["ocf_flask"]}
    (tmp_path / "site.yml").write_text(json.dumps([play]))
    return tmp_path


def test_a_playbook_of_ones_own_needs_the_role_alone(person: Person, mine: Path) -> None:
    said = person.types("ansible-playbook site.yml", mine)
    assert said.code == 0 and said.report.startswith("working is up to date: nothing was changed."), said.output


def test_where_there_is_no_file_for_each_site_none_is_named(person: Person, mine: Path) -> None:
    person.writes("public_html/elsewhere/shop.py", APP)
    said = person.types("""ansible-playbook site.yml -e '{"ocf_flask_sites": [{"name": "elsewhere"}]}'""", mine)
    assert said.code == 2
    assert "Name the app, as in: -e 'ocf_flask_app=shop:app', and for good in a file that you give with -e @elsewhere.yml" in said.report


def test_from_another_directory_the_playbook_works(person: Person, mine: Path) -> None:
    (mine / "ansible.cfg").unlink()
    settings = shlex.quote(json.dumps(person.settings))
    said = person.types(f"ansible-playbook {person.checkout}/deploy.yml -e site=working -e {settings}", mine)
    assert said.code == 0 and said.report.startswith("working is up to date: nothing was changed."), said.output


def test_in_a_checkout_whose_ansible_cfg_is_not_taken_the_playbook_works(person: Person) -> None:
    person.checkout.chmod(0o777)
    try:
        said = person.types("ansible-playbook playbooks/status.yml -e site=working -e test=false")
    finally:
        person.checkout.chmod(0o755)
    assert "Ansible is being run in a world writable directory" in said.output.replace("\n", " ")
    assert said.code == 0 and said.report.startswith("working is deployed."), said.output
