"""Every command of the README and of docs/ is run, here or by a test that has what it needs; every other block of code is what it seems."""

from __future__ import annotations

import ast
import os
import platform
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from ocf_flask import settings
from typed import ROOT, Person

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a line begins with that is typed.
PROGRAMS = {
    *(
        "ansible",
        "ansible-galaxy",
        "ansible-playbook",
        "ansible-runner",
        "ansible-vault",
        "cat",
        "cd",
        "chmod",
        "cp",
        "curl",
        "git",
        "install",
        "make",
        "mv",
    ),
    *("pip", "rm", "ssh-keygen", "uv", ".", ".venv/bin/ansible-vault", "~/.ocf-flask/flasky/run"),
}
# Blocks that are neither commands nor settings nor Python, by how they begin.
OTHERS = (
    "flasky is deployed.",  # a report
    "~/public_html/flasky/ ",  # directories
    "The packages could not be installed: ",  # an error
    "/home/a/al/alice/shop/pyproject.toml asks for ",
    "src/shop/__init__.py ",
    "# requirements.txt",
    "setInterval(",  # JavaScript
    "if (input.files",
)


@dataclass(frozen=True)
class Here:
    """A command that is run here: what its output says, and what is typed in place of a name in it.

    ``before``: what has to be so. ``keys``: what is typed when it asks.
    """

    says: str = ""
    for_names: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[Person], None] = lambda person: None
    keys: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Elsewhere:
    """A command that a test runs which has what this one lacks."""

    lacks: str
    file: str
    test: str


def changed(person: Person) -> None:
    """An edit, deployed: there is a release to go back to."""
    app = person.home / "public_html/flasky/flaskyapplication.py"
    app.write_text(f"{app.read_text()}\n# Another line.\n")
    assert person.types("make deploy site=flasky").code == 0


def removed(person: Person) -> None:
    assert person.types("make remove site=flasky").code == 0


def with_secret(person: Person) -> None:
    (person.checkout / "inventory/sites/flasky.yml").write_text("ocf_flask_env:\n  SECRET_KEY: a long random text\n")


def with_project(person: Person) -> None:
    project = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["flask"]\n'
    person.writes("shop/pyproject.toml", f'{project}[tool.uv]\nno-index = true\nfind-links = ["{person.settings["ocf_flask_wheels"]}"]\n')
    person.writes("shop/requirements.txt", "flask\n")


def with_ssh(person: Person) -> None:
    (person.home / ".ssh").mkdir(mode=0o700)


def with_what_a_take_over_keeps(person: Person) -> None:
    site = person.home / "public_html/flasky"
    (site / "venv.DATE").mkdir()
    for name in (".htaccess.DATE", "run.fcgi.DATE"):
        (site / name).touch()


UP_TO_DATE = "flasky is up to date: nothing was changed."
PYTHON = ".".join(platform.python_version_tuple()[:2])
NO_NETWORK = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "WHEELS", "UV_PYTHON_DOWNLOADS": "never"}
STAFF = "ansible-playbook -i inventory/staff deploy.yml"
PREPARE = "ansible-playbook -i inventory/staff playbooks/prepare.yml"
LONG = Elsewhere("it takes minutes, Docker, or runs this", "unit/test_documents.py", "test_what_takes_long_is_at_least_there")

# In this order.
HERE = {
    "git clone https://github.com/ocf/ansible-flask": Here(
        "Cloning into 'ansible-flask'", {"https://github.com/ocf/ansible-flask": f"{ROOT} ansible-flask"}
    ),
    "cd ansible-flask": Here(),
    "make deploy site=flasky": Here("flasky is deployed."),
    "ansible-playbook deploy.yml -e site=flasky": Here(UP_TO_DATE),
    "make deploy site=flasky ARGS='-e ocf_flask_python=3.11'": Here("flasky is ", {"3.11": PYTHON}),
    "make deploy site=flasky ARGS='--check --diff'": Here("flasky is "),
    "make status site=flasky": Here("Test now    GET / -> 200"),
    "make logs site=flasky": Here("/.ocf-flask/flasky/log/error.log"),
    "make logs site=NAME": Here("/.ocf-flask/flasky/log/error.log", {"NAME": "flasky"}),
    "make run site=flasky cmd='flask routes'": Here("/static/<path:filename>"),
    "make run site=flasky cmd='flask ...'": Here("/static/<path:filename>", {"...": "routes"}),
    """ansible-playbook playbooks/run.yml -e site=flasky -e '{"command": "flask routes"}'""": Here("/static/<path:filename>"),
    "~/.ocf-flask/flasky/run flask shell": Here("App: flaskyapplication"),
    """ansible localhost -m ocf_flask_sites_info -a '{"site": "flasky", "variables": {}, "test": true}'""": Here("state: deployed"),
    "make upgrade site=flasky": Here("flasky is "),
    "make upgrade site=flasky packages=werkzeug": Here("flasky is "),
    "ansible-runner run /tmp/flasky --project-dir . -p deploy.yml --inventory inventory/local.yml --cmdline '-e site=flasky'": Here(
        "flasky is ", {"/tmp/flasky": "HOME/runner"}
    ),
    "ansible-playbook -i inventory/staff playbooks/find.yml -e to=inventory/staff/host_vars/localhost/sites.yml": Here(
        '- {"name": "flasky", "owner": "alice"}', environment={"PRETENDED_UID": "4242"}
    ),
    STAFF: Here(UP_TO_DATE),
    f"{STAFF} -e owner=alice": Here(UP_TO_DATE),
    f"{STAFF} -e site=flasky": Here(UP_TO_DATE),
    f"{STAFF} --check": Here(UP_TO_DATE),
    "make rollback site=flasky ARGS='--check --diff'": Here("flasky would be changed (check mode: nothing was).", before=changed),
    "make rollback site=flasky": Here("flasky is rolled back."),
    "make rollback site=flasky release=20261124-034512": Here("flasky is rolled back.", {"20261124-034512": "RELEASE"}),
    "make remove site=flasky ARGS=--check": Here("flasky would be removed (check mode: nothing was)."),
    "make remove site=flasky": Here("flasky is removed: it answers nobody any more."),
    "make restore site=flasky": Here("flasky is restored."),
    "make restore site=flasky archive=flasky-2026-11-24-034512": Here(
        "flasky is restored.", {"flasky-2026-11-24-034512": "ARCHIVE"}, before=removed
    ),
    "chmod 600 inventory/sites/flasky.yml": Here(before=with_secret),
    ".venv/bin/ansible-vault encrypt inventory/sites/flasky.yml": Here("Confirm New Vault password", keys="pw\npw\n"),
    "make deploy site=flasky ARGS='--ask-vault-pass'": Here("SECRET_KEY added", keys="pw\n"),
    "uv add flask-login": Here("flask-login==0.6.3", before=with_project, environment=NO_NETWORK),
    "uv lock": Here("Resolved ", environment=NO_NETWORK),
    "uv lock --upgrade": Here("Resolved ", environment=NO_NETWORK),
    "uv export --no-dev --no-emit-workspace --output-file requirements.txt": Here("flask-login==0.6.3", environment=NO_NETWORK),
    "pip download --dest wheels -r requirements.txt": Here("Successfully downloaded", before=with_project, environment=NO_NETWORK),
    "ssh-keygen -t ed25519 -N '' -f ~/.ssh/flasky": Here("Your public key has been saved", before=with_ssh),
    "cat ~/.ssh/flasky.pub": Here("ssh-ed25519 "),
    "cd ~/public_html/flasky": Here(before=with_what_a_take_over_keeps),
    "cp -p .htaccess.DATE .htaccess": Here(),
    "rm venv && mv venv.DATE venv": Here(),
    "install -m 755 run.fcgi.DATE new && mv new run.fcgi": Here(),
}
ELSEWHERE = {
    "make demo": Elsewhere("Docker", "site/sources/test_sources.py", "test_the_demo_of_this_checkout_serves"),
    **dict.fromkeys(
        [
            "make test",
            "make benchmark",
            "make benchmark ARGS=--index",
            "make benchmark-bulk",
            "make benchmark-reload",
            "make benchmark-serve",
            "make faults points=10",
        ],
        LONG,
    ),
    **dict.fromkeys(
        [
            "ansible-playbook -i ssh.example.edu, -u alice deploy.yml -e site=flasky",
            "make deploy site=flasky ARGS='-i ssh.example.edu, -u alice'",
        ],
        Elsewhere("SSH", "site/sources/test_sources.py", "test_from_a_laptop_over_ssh"),
    ),
    "make deploy site=flasky ARGS='-e ocf_flask_version=1a2b3c4'": Elsewhere(
        "a repository", "site/sources/test_sources.py", "test_a_branch_a_commit_and_the_way_back"
    ),
    **dict.fromkeys(
        [PREPARE, f"{PREPARE} deploy.yml"],
        Elsewhere("an account of its own", "site/staff/test_store.py", "test_what_sites_share_is_made_once_and_copied"),
    ),
    **dict.fromkeys(
        ["ansible-galaxy collection install ocf-flask-*.tar.gz", "ansible-playbook ocf.flask.deploy -e site=flasky"],
        Elsewhere("a collection", "site/default/test_student.py", "test_installed_as_a_collection_it_works_by_its_full_name"),
    ),
    f"{STAFF} -e @DIRECTORY/failed.json": Elsewhere(
        "a report", "site/staff/test_staff.py", "test_a_run_over_many_ends_with_a_table_a_page_and_a_file_to_try_again"
    ),
    "curl -u admin -H 'Content-Type: application/json' -d @docs/awx-survey.json https://AWX/api/v2/job_templates/ID/survey_spec/": Elsewhere(
        "AWX", "unit/test_runner.py", "test_a_run_deploys_the_site_and_its_result_is_data"
    ),
    ". venv/bin/activate && pip install X": Elsewhere(
        "Apache", "site/default/test_deploy.py", "test_pip_install_by_hand_works_and_is_carried_over"
    ),
    "chmod 700 instance": Elsewhere("Apache", "site/default/test_leaks.py", "test_a_directory_that_its_owner_has_closed_stays_closed"),
}


def blocks(page: Path) -> Iterator[str]:
    """The code blocks of a page, fenced ones too, but for pictures."""
    text = page.read_text()
    for language, inner in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        if language != "mermaid":
            yield inner
    for found in re.findall(r"(?<=\n\n)(?: {4,}\S.*\n|\n(?= {4}))+", without_fences(text)):
        lines = found.strip("\n").split("\n")
        margin = min(len(line) - len(line.lstrip()) for line in lines if line)
        yield "\n".join(line[margin:] for line in lines)


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def is_typed(line: str) -> bool:
    return line.split(" ")[0] in PROGRAMS


def commands(page: Path) -> Iterator[str]:
    """The lines to be typed, without comments: those of blocks, and those in a sentence, but for mentions such as `make logs`."""
    for block in blocks(page):
        if is_typed(block):
            yield from (re.sub(r" +#.*", "", line) for line in block.splitlines())
    prose = re.sub(r"^ {4}.*$", "", without_fences(page.read_text()), flags=re.M)
    for span in re.findall(r"`([^`]+)`", prose):
        line = " ".join(span.split())
        if is_typed(line) and " " in line and not re.fullmatch(r"make [a-z-]+", line):
            yield line


ALL = sorted({(command, page.name) for page in PAGES for command in commands(page)})


@pytest.mark.parametrize(("command", "page"), ALL)
def test_every_command_is_run_by_a_test(command: str, page: str) -> None:
    assert (command in HERE) != (command in ELSEWHERE), f"{page}: a command that no test runs"


def test_no_command_is_run_that_no_page_has() -> None:
    assert {*HERE, *ELSEWHERE} == {command for command, _ in ALL}


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_is_run_elsewhere_is_run_there(command: str) -> None:
    found = ELSEWHERE[command]
    assert f"def {found.test}(" in (ROOT / "tests" / found.file).read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_commands_settings_python_or_known(page: Path) -> None:
    for block in blocks(page):
        if not is_typed(block) and not block.startswith(OTHERS):
            assert is_settings(block) or is_python(block), block


def is_settings(block: str) -> bool:
    try:
        found = yaml.safe_load(block)
    except yaml.YAMLError:
        return False
    if not isinstance(found, dict) or not all(str(name).startswith("ocf_flask_") for name in found):
        return False
    # What a template makes of it, only Ansible knows.
    values = {name.removeprefix("ocf_flask_"): value for name, value in found.items() if "{{" not in str(value)}
    settings.read({"name": "flasky"}, values)
    return True


def is_python(block: str) -> bool:
    try:
        statements = ast.parse(block).body
    except SyntaxError:
        return False
    return all(not isinstance(one, ast.Expr) or isinstance(one.value, ast.Call) for one in statements)


def test_what_takes_long_is_at_least_there(person: Person) -> None:
    for target in ("test", "lint", "benchmark", "benchmark-serve", "benchmark-reload", "demo", "readme"):
        said = person.types(f"make -n {target}")
        assert said.code == 0, said.output
        for program in re.findall(r"(?:benchmarks|tools)/\w+", said.output):
            assert (ROOT / program).exists(), program


def test_every_target_that_a_page_mentions_is_there(person: Person) -> None:
    targets = re.findall(r"^make ([a-z-]+)", person.types("make help").output, re.M)
    for page in PAGES:
        assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= set(targets), page.name


@pytest.fixture(scope="module", name="person")
def _person(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Person:
    return Person(tmp_path_factory.mktemp("m"), wheels)


@pytest.mark.parametrize("command", HERE)
def test_a_command_does_what_the_page_says(person: Person, wheels: Path, command: str) -> None:
    here = HERE[command]
    if "ssh" in command and not shutil.which("ssh-keygen"):
        pytest.skip("this machine has no ssh-keygen")
    here.before(person)
    typed = command
    for name, value in here.for_names.items():
        typed = typed.replace(name, value)
    for name, below in (("RELEASE", ".ocf-flask/flasky/releases"), ("ARCHIVE", "ocf-flask-removed")):
        if name in typed:
            typed = typed.replace(name, sorted(os.listdir(person.home / below))[-1])
    typed = typed.replace("HOME", str(person.home))
    site, shop = person.home / "public_html/flasky", person.home / "shop"
    places = {"git": person.home, "cd": person.home, "uv": shop, "pip": shop, "cp": site, "rm": site, "install": site}
    environment = {name: value.replace("WHEELS", str(wheels)) for name, value in here.environment.items()}
    said = person.types(f"sh -c {shlex.quote(typed)}", places.get(typed.split(" ")[0]), keys=here.keys, **environment)
    assert said.code == 0 and here.says in said.output, said.output
