"""Code from a directory and from a repository: really deployed on this machine, with git's own repositories."""

from __future__ import annotations

import json
import os
import subprocess
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import ocf_flask_source
from local_site import APP, Site
from ocf_flask import delivery, publish, release, sites, tree


class Project:
    """A git work tree, and the repository that it is pushed to."""

    def __init__(self, base: Path) -> None:
        self.tree, self.bare = base / "project", base / "project.git"
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare), at=base)
        self.git("init", "-q", "-b", "main", str(self.tree), at=base)
        self.write("flaskyapplication.py", APP.format("one"))

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def git(self, *arguments: str, at: Path | None = None) -> str:
        identity = {f"GIT_{who}_{what}": "x@example.edu" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            ["git", *arguments], cwd=at or self.tree, env={**os.environ, **identity}, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def write(self, name: str, content: str) -> None:
        (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / name).write_text(content)

    def push(self, subject: str = "A change", **files: str) -> str:
        for name, content in files.items():
            self.write(name, content)
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        self.git("push", "-q", "--force", "--all", str(self.bare))
        self.git("push", "-q", "--force", "--tags", str(self.bare))
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def live(site: Site) -> Path:
    return (site.private / "current").resolve()


def manifest(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((live(site) / "manifest.json").read_text())
    return found


def code(site: Site) -> dict[str, str]:
    """The text of each file of the live release's code; of a link, where it leads."""
    app = live(site) / "app"
    found = {}
    for path in sorted(app.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(app))] = f"-> {os.readlink(path)}"
        elif path.is_file() and "__pycache__" not in path.parts:
            found[str(path.relative_to(app))] = path.read_text()
    return found


def files(found: Mapping[str, str]) -> list[str]:
    return [name for name in found if name != "instance"]


# A repository.


def test_a_branch_is_deployed_and_a_second_deploy_touches_nothing(site: Site, project: Project) -> None:
    commit = project.push("Begin here")
    first = site.deployed(source=project.url)
    assert first.changes["code"] == [f"main {commit[:7]} (Begin here)", "1 file"]
    assert code(site) == {"flaskyapplication.py": APP.format("one"), "instance": "-> ../../../shared/instance"}
    assert manifest(site)["inputs"]["source"] == {
        "repository": project.url, "version": "main", "commit": commit, "subject": "Begin here",
    }  # fmt: skip
    assert not (site.web / "flaskyapplication.py").exists() and f'sys.path[:0] = ["{live(site)}/app"' in (site.web / "run.fcgi").read_text()
    before = site.state()
    second = site.deploy(source=project.url)
    assert (second.state, second.diff) == ("unchanged", [])
    assert site.state() == before
    assert second.next_time == f"push to {project.url}"


def test_a_new_commit_is_told_by_its_subject_and_its_files(site: Site, project: Project) -> None:
    old = project.push()
    site.deployed(source=project.url)
    new = project.push("Say two", **{"flaskyapplication.py": APP.format("two"), "shop/__init__.py": ""})
    outcome = site.deployed(source=project.url)
    assert outcome.changes["code"] == [
        f"main {old[:7]} -> {new[:7]} (Say two)", "flaskyapplication.py changed", "shop/__init__.py added",
    ]  # fmt: skip
    assert "virtualenv" not in outcome.changes and outcome.changes["packages"] == []


def test_any_version_is_found_and_an_older_one_comes_back(site: Site, project: Project) -> None:
    first = project.push("One")
    project.git("tag", "-a", "-m", "v1", "v1.0")
    project.git("tag", "light")
    second = project.push("Two", **{"flaskyapplication.py": APP.format("two")})
    site.deployed(source=project.url)
    assert manifest(site)["inputs"]["source"]["commit"] == second
    for version in ("v1.0", "light", first, first[:9]):
        site.deployed(source=project.url, version=version)
        assert manifest(site)["inputs"]["source"]["commit"] == first, version
        site.deployed(source=project.url, version="main")
    project.git("checkout", "-q", "-b", "feature/x", first)
    third = project.push("Three")
    outcome = site.deployed(source=project.url, version="feature/x")
    assert outcome.changes["code"][0] == f"main {second[:7]} -> feature/x {third[:7]} (Three)"


def test_a_commit_that_is_live_needs_no_network(site: Site, project: Project) -> None:
    commit = project.push()
    site.deployed(source=project.url, version=commit)
    project.bare.rename(project.bare.with_suffix(".away"))
    assert site.deploy(source=project.url, version=commit).state == "unchanged"
    assert site.deploy(source=project.url, version=commit[:8]).state == "unchanged"
    assert "is not there" in site.deploy(source=project.url).error


@pytest.mark.parametrize("first", [True, False])
def test_check_mode_says_what_a_commit_would_change_and_changes_nothing(site: Site, project: Project, first: bool) -> None:
    project.push()
    if not first:
        site.deployed(source=project.url)
    before = site.state() if not first else {}
    project.push("Next", **{"flaskyapplication.py": APP.format("two"), "static/a.css": "a"})
    outcome = site.deploy(check=True, source=project.url)
    assert outcome.state == "would change" and "(Next)" in outcome.changes["code"][0]
    assert outcome.changes["static"] == ["static/a.css added"]
    assert (site.state() if not first else {}) == before and (not first) == site.private.exists()


def test_only_new_objects_are_fetched(site: Site, project: Project) -> None:
    project.push(**{"big.txt": os.urandom(300_000).hex()})
    site.deployed(source=project.url)
    store = site.private / "repository.git"

    def size() -> int:
        return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())

    before = size()
    project.push(**{"flaskyapplication.py": APP.format("two")})
    site.deployed(source=project.url)
    assert before > 250_000 and size() - before < 20_000


def test_a_server_that_gives_no_commit_by_its_name_is_asked_for_all(site: Site, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    old = project.push()
    project.push(**{"flaskyapplication.py": APP.format("two")})
    # The older protocol refuses what is not the tip of a branch.
    config = project.bare.parent / "gitconfig"
    config.write_text("[protocol]\n version = 0\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    site.deployed(source=project.url, version=old)
    assert "one" in code(site)["flaskyapplication.py"]


def test_a_fetch_that_was_killed_does_not_stop_the_next(site: Site, project: Project) -> None:
    project.push()
    site.deployed(source=project.url)
    (site.private / "repository.git/shallow.lock").touch()
    (site.private / "tmp/app").mkdir(parents=True)
    (site.private / "tmp/app/half.py").touch()
    project.push(**{"flaskyapplication.py": APP.format("two")})
    site.deployed(source=project.url)
    assert list(files(code(site))) == ["flaskyapplication.py"] and not (site.private / "tmp").exists()


@pytest.mark.parametrize(
    ("source", "version", "message"),
    [
        ("{url}", "mian", "ocf_flask_version is 'mian', which {url} has not. Did you mean main? It has main, v1.0."),
        ("{url}", "zzz", "Type for example: -e ocf_flask_version=main"),
        ("{url}", "a" * 40, f"ocf_flask_version is {'a' * 40!r}, and {{url}} has no such commit, branch or tag. Has it been pushed?"),
        ("{url}", "abcdef1", "has no such commit, branch or tag."),
        ("{url}x", "", "The repository {url}x is not there, or not for this account. Check the URL."),
        ("http://localhost:9/x.git", "", "The repository http://localhost:9/x.git cannot be reached from this machine. Check the URL"),
        ("{empty}", "", "The repository {empty} is empty. Push something to it first"),
    ],
)
def test_what_cannot_be_had_is_said_with_what_to_type(site: Site, project: Project, source: str, version: str, message: str) -> None:
    project.push()
    project.git("tag", "v1.0")
    project.push()
    empty = project.bare.parent / "empty.git"
    project.git("init", "-q", "--bare", str(empty))
    names = {"url": project.url, "empty": f"file://{empty}"}
    outcome = site.deploy(source=source.format(**names), version=version)
    assert outcome.state == "failed" and message.format(**names) in outcome.error, outcome.error
    assert not site.web.exists()


def test_a_machine_without_git_says_so(site: Site, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        "This machine has no git, and the code is to come from https://example.edu/x. Ask its staff"
        in site.deploy(source="https://example.edu/x").error
    )


def test_credentials_are_used_and_never_shown(site: Site, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.push()
    # Stands in for git: it repeats what it was given, as some versions do, and asks the helper.
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    log = tmp_path / "log"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\nwhile [ "$1" = -c ]; do case $2 in credential.helper=?*) helper=${{2#*=}};; esac; shift 2; done\n'
        f'eval "${{helper#!}} get" >> {log}.answer\necho "fatal: Authentication failed for https://alice:s3cr%40t@example.edu/x s3cr%40t"\nexit 128\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    outcome = site.deploy(source="https://alice:s3cr%40t@example.edu/x")
    assert outcome.error.startswith("The repository https://example.edu/x does not let this account in. Check the URL. A private one")
    assert "s3cr" not in str(outcome) and "***" in outcome.detail and "s3cr" not in log.read_text()
    assert "username=alice\npassword=s3cr@t\n" in (tmp_path / "log.answer").read_text()
    assert "s3cr" not in json.dumps(site.settings(source="https://alice:s3cr%40t@example.edu/x").recorded())


@pytest.mark.parametrize(
    ("said", "message", "advice"),
    [
        ("git@localhost: Permission denied (publickey).", "does not let this account in", "Add your key to an agent (ssh-add)"),
        ("Host key verification failed.", "has another host key than the one that is known", "ssh-keygen -R example.edu"),
        (
            "ssh: connect to host x port 22: Connection refused",
            "cannot be reached from this machine",
            "git ls-remote git@example.edu:x.git",
        ),
        ("ERROR: Repository not found.", "is not there, or not for this account", "Check the URL."),
    ],
)
def test_what_ssh_says_is_explained(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, message: str, advice: str
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho "{said}" >&2\nexit 255\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    key = tmp_path / "key"
    key.touch(0o600)
    outcome = site.deploy(source="git@example.edu:x.git")
    assert outcome.error.startswith(f"The repository git@example.edu:x.git {message}.") and advice in outcome.error
    assert said in outcome.detail
    asked = (tmp_path / "arguments").read_text()
    assert "BatchMode=yes" in asked and "StrictHostKeyChecking=accept-new" in asked and "-i" not in asked
    site.deploy(source="git@example.edu:x.git", deploy_key=str(key))
    assert f"-i {key} -o IdentitiesOnly=yes" in (tmp_path / "arguments").read_text()


def test_a_deploy_key_is_looked_at_first(site: Site, tmp_path: Path) -> None:
    key = tmp_path / "key"
    missing = site.deploy(source="git@example.edu:x.git", deploy_key=str(key))
    assert f"{key} cannot be read (No such file or directory). Make one: ssh-keygen -t ed25519" in missing.error
    key.touch(0o644)
    assert f"Type: chmod 600 {key}" in site.deploy(source="git@example.edu:x.git", deploy_key=str(key)).error


def test_hooks_filters_links_and_names_of_a_repository_do_no_harm(site: Site, project: Project, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    project.write(".gitattributes", "* filter=evil diff=evil\n*.txt export-subst ident eol=crlf\n")
    project.write("plain.txt", "one\n$Id$\n")
    for name, to in (
        ("out", str(victim)),
        ("up", "../../../../etc/passwd"),
        ("dir", "sub"),
        ("ok", "plain.txt"),
        ("chain", "dir/../../.."),
    ):
        (project.tree / name).symlink_to(to)
    (project.tree / "sub").mkdir()
    project.write("sub/tool.sh", "#!/bin/sh\n")
    (project.tree / "sub/tool.sh").chmod(0o755)
    project.write("new\nline.py", "")
    project.git("config", "filter.evil.smudge", f"touch {tmp_path}/ran")
    project.push()
    outcome = site.deployed(source=project.url)
    found = code(site)
    assert found["plain.txt"] == "one\n$Id$\n" and found["ok"] == "-> plain.txt" and found["dir"] == "-> sub"
    assert not {"out", "up", "chain", "new\nline.py"} & set(found)
    assert any(note.startswith("Left out, because they lead out of the source") for note in outcome.notes)
    assert os.access(live(site) / "app/sub/tool.sh", os.X_OK) and not (live(site) / "app/plain.txt").stat().st_mode & 0o177
    assert not (tmp_path / "ran").exists() and victim.read_text() == "mine"


@pytest.mark.parametrize("name", ["..", ".git", "a"])
def test_a_tree_that_git_itself_would_not_make_is_refused(site: Site, project: Project, tmp_path: Path, name: str) -> None:
    blob = project.git("hash-object", "-w", "flaskyapplication.py")
    link_target = tmp_path / "to"
    link_target.write_text(str(tmp_path))
    link = project.git("hash-object", "-w", str(link_target))
    inner = _tree(project, [("100644", "evil.py", blob)])
    entries = [("120000", "a", link), ("40000", "a", inner)] if name == "a" else [("40000", name, inner)]
    commit = project.git("commit-tree", "-m", "x", _tree(project, [*entries, ("100644", "flaskyapplication.py", blob)]))
    project.git("update-ref", "refs/heads/main", commit)
    project.git("-c", "core.protectHFS=false", "push", "-q", str(project.bare), "main")
    outcome = site.deploy(source=project.url)
    if name == "a":
        assert "The source has two files with the name 'a'" in outcome.error
    else:
        assert outcome.state == "deployed" and files(code(site)) == ["flaskyapplication.py"]
    assert not list(tmp_path.rglob("evil.py")) and not list(site.private.rglob("evil.py"))


def _tree(project: Project, entries: list[tuple[str, str, str]]) -> str:
    content = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(blob) for mode, name, blob in entries)
    path = project.bare.parent / "tree"
    path.write_bytes(content)
    return project.git("hash-object", "-t", "tree", "-w", "--literally", str(path))


def test_submodules_and_large_files_are_told(site: Site, project: Project) -> None:
    project.write("film.mp4", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    commit = project.push()
    project.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/lib")
    project.git("commit", "-q", "-m", "With a submodule")
    project.git("push", "-q", str(project.bare), "main")
    notes = site.deployed(source=project.url).notes
    assert any("submodules, whose files are not fetched: vendor/lib" in note for note in notes)
    assert any("Git LFS only the pointers are there (film.mp4)" in note for note in notes)


def test_what_was_changed_by_hand_in_a_release_is_put_back(site: Site, project: Project) -> None:
    project.push(**{"shop.py": "x = 1\n"})
    site.deployed(source=project.url)
    (live(site) / "app/shop.py").unlink()
    outcome = site.deployed(source=project.url)
    assert outcome.changes["code"] == ["put back: the live release's had been changed by hand"]
    assert code(site)["shop.py"] == "x = 1\n"


def test_a_broken_commit_leaves_the_site_as_it_was(site: Site, project: Project) -> None:
    project.push(**{"static/a.css": "one"})
    site.deployed(source=project.url)
    before, releases = site.serving(), site.releases()
    project.push(**{"flaskyapplication.py": "def broken(:\n", "static/a.css": "two", "static/b.css": "b"})
    outcome = site.deploy(source=project.url)
    assert "SyntaxError" in outcome.error and outcome.advice == "The site was left as it was. Mend that, then deploy again."
    assert (site.serving(), site.releases()) == (before, releases)
    assert (site.web / "static/a.css").read_text() == "one" and not (site.web / "static/b.css").exists()


def test_a_requirement_that_comes_with_the_code_is_installed(site: Site, project: Project) -> None:
    project.push()
    site.deployed(source=project.url)
    project.push(**{"deps/prod.txt": "flask\nflask-login\n"})
    outcome = site.deployed(source=project.url, requirements="deps/prod.txt")
    assert outcome.changes["packages"] == ["flask-login 0.6.3 installed"]
    assert manifest(site)["inputs"]["requirements"].keys() == {"deps/prod.txt"}
    assert site.deploy(source=project.url, requirements="deps/prod.txt").state == "unchanged"
    project.push(**{"flaskyapplication.py": APP.format("two")})
    assert "virtualenv" not in site.deployed(source=project.url, requirements="deps/prod.txt").changes
    failed = site.deploy(source=project.url, requirements="deps/none.txt")
    assert "there is no file" in failed.error


# In place and back.


def test_from_in_place_to_a_repository_and_back_nothing_of_the_users_is_touched(site: Site, project: Project) -> None:
    site.deployed()
    site.write("instance/app.sqlite", "data")
    site.write("notes.txt", "mine")
    project.push()
    outcome = site.deployed(source=project.url)
    assert outcome.changes["code"][0] == f"from the repository {project.url}, no longer edited in place"
    assert f"What is in {site.web} stays there, and is no longer what runs" in outcome.notes
    assert (site.private / "shared/instance/app.sqlite").read_text() == "data"
    assert (site.web / "instance/app.sqlite").read_text() == "data" and (site.web / "notes.txt").read_text() == "mine"
    back = site.deployed()
    assert back.changes["code"][0] == f"edited in place, no longer from the repository {project.url}"
    assert any(f"What the app wrote before stays in {site.private}/shared" in note for note in back.notes)
    assert (site.private / "shared/instance/app.sqlite").exists() and f'"{site.web}"' in (site.web / "run.fcgi").read_text()
    assert site.deploy().state == "unchanged"


# A directory.


def test_a_directory_is_deployed_and_only_what_differs_travels(site: Site, project: Project) -> None:
    project.write("shop/__init__.py", "")
    project.write(".gitignore", "*.log\ninstance/\n")
    for name in (
        "debug.log",
        "instance/app.sqlite",
        "venv/pyvenv.cfg",
        "venv/lib/x.py",
        ".env",
        "__pycache__/x.pyc",
        "node_modules/x/x.js",
    ):
        project.write(name, "no")
    project.write("tool", "#!/bin/sh\n")
    (project.tree / "tool").chmod(0o755)
    (project.tree / "alias").symlink_to("tool")
    (project.tree / "out").symlink_to("/etc/passwd")
    outcome = site.deployed(source=str(project.tree))
    assert files(code(site)) == [".gitignore", "alias", "flaskyapplication.py", "shop/__init__.py", "tool"] and site.travelled == 4
    assert os.access(live(site) / "app/tool", os.X_OK)
    assert any("they lead out of the directory: out" in note for note in outcome.notes)
    assert any("for one machine: .env. Give the site its variables with ocf_flask_env" in note for note in outcome.notes)
    before = site.state()
    again = site.deploy(source=str(project.tree))
    assert again.state == "unchanged" and site.state() == before and site.travelled == 0
    project.write("flaskyapplication.py", APP.format("two"))
    (project.tree / "tool").chmod(0o644)
    changed = site.deployed(source=str(project.tree))
    assert changed.changes["code"] == ["flaskyapplication.py changed", "tool changed"] and site.travelled == 1
    assert changed.next_time == f"edit the files in {project.tree}"


def test_a_large_file_travels_once(site: Site, project: Project) -> None:
    (project.tree / "large.bin").write_bytes(os.urandom(500_000))
    site.deployed(source=str(project.tree))
    assert site.bytes > 500_000
    project.write("flaskyapplication.py", APP.format("two"))
    (project.tree / "large.bin").rename(project.tree / "renamed.bin")
    site.deployed(source=str(project.tree))
    assert site.bytes < 1000 and (live(site) / "app/renamed.bin").stat().st_size == 500_000


def test_what_was_edited_in_a_release_travels_again(site: Site, project: Project) -> None:
    project.write("shop.py", "x = 1\n")
    site.deployed(source=str(project.tree))
    (live(site) / "app/shop.py").write_text("x = 2\n")
    project.write("flaskyapplication.py", APP.format("two"))
    site.deployed(source=str(project.tree))
    assert code(site)["shop.py"] == "x = 1\n" and site.travelled == 2


def test_a_directory_that_is_not_there_fails_that_site(site: Site, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert site.deploy(source=str(gone)).error == (
        f"ocf_flask_source is {str(gone)!r}, and there is no such directory on the machine that runs Ansible. Correct the path."
    )


# What the application writes.


def test_what_the_app_writes_outlives_its_releases(site: Site, project: Project) -> None:
    project.push(**{"instance/config.py": "A = 1\n"})
    first = site.deployed(source=project.url, shared=["instance/", "data/uploads/", "app.db"])
    shared = site.private / "shared"
    assert any("instance is kept in" in note and "1 file (config.py) copied there" in note for note in first.notes)
    (live(site) / "app/app.db").write_text("rows")
    (live(site) / "app/data/uploads/a.jpg").write_text("image")
    (shared / "instance/config.py").write_text("A = 2\n")
    project.push(**{"flaskyapplication.py": APP.format("two"), "instance/config.py": "A = 3\n", "instance/more.py": "B = 1\n"})
    second = site.deployed(source=project.url, shared=["instance/", "data/uploads/", "app.db"])
    assert any("1 file (config.py) in" in note and "stayed as the application has it" in note for note in second.notes)
    app = live(site) / "app"
    assert [(app / name).read_text() for name in ("app.db", "data/uploads/a.jpg", "instance/config.py", "instance/more.py")] == [
        "rows", "image", "A = 2\n", "B = 1\n",
    ]  # fmt: skip
    assert [path.stat().st_mode & 0o777 for path in (shared, shared / "instance", shared / "data", shared / "data/uploads")] == [0o700] * 4


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [("data", "data/x", "names the file data, and {path} is a directory. Write it as data/,"),
     ("data/", "data", "names the directory data, and {path} is a file. Write it as data,")],
)  # fmt: skip
def test_a_shared_name_of_the_wrong_kind_is_told(site: Site, project: Project, name: str, other: str, told: str) -> None:
    project.push()
    path = site.private / "shared/data"
    (site.private / "shared" / other).parent.mkdir(parents=True)
    (site.private / "shared" / other).write_text("rows")
    outcome = site.deploy(source=project.url, shared=[name])
    assert outcome.state == "failed" and told.format(path=path) in outcome.error and f"mv {path} {path}.old" in outcome.error
    assert (site.private / "shared" / other).read_text() == "rows"


def test_a_failed_deploy_takes_its_copies_in_the_shared_directory_back(site: Site, project: Project) -> None:
    project.push(**{"instance/config.py": "A = 1\n", "flaskyapplication.py": "def broken(:\n"})
    assert site.deploy(source=project.url).state == "failed"
    assert not (site.private / "shared").exists()


def test_what_the_test_request_leaves_beside_the_code_is_said_at_once(site: Site, project: Project) -> None:
    project.push(**{"flaskyapplication.py": APP.format("x") + "open('app.db', 'w').close()\n"})
    notes = site.deployed(source=project.url).notes
    assert any(note.startswith("The app wrote 1 file (app.db) beside its code") for note in notes)


def test_a_database_beside_the_code_stops_the_deploy_until_it_is_shared(site: Site, project: Project) -> None:
    project.push()
    site.deployed(source=project.url)
    for name in ("app.db", "uploads/a.jpg", "__pycache__/x.pyc", ".cache/x"):
        (live(site) / "app" / name).parent.mkdir(exist_ok=True)
        (live(site) / "app" / name).write_text("rows")
    project.push(**{"flaskyapplication.py": APP.format("two")})
    outcome = site.deploy(source=project.url)
    assert outcome.error.startswith("The application wrote app.db, uploads/a.jpg beside its code, and a new release would not have it.")
    assert "ocf_flask_shared: [instance/, app.db, uploads/]. It is then copied to" in outcome.error
    kept = site.deployed(source=project.url, shared=["instance/", "app.db", "uploads/"])
    assert any(note.startswith("app.db, uploads copied from") for note in kept.notes)
    assert (live(site) / "app/app.db").read_text() == "rows" and (site.private / "shared/uploads/a.jpg").read_text() == "rows"


def test_the_app_is_told_where_and_runs_in_its_project(site: Site, project: Project) -> None:
    project.push(
        **{
            "flaskyapplication.py": "import os\nfrom flask import Flask\napp = Flask(__name__)\n"
            "@app.route('/')\ndef index():\n"
            "    open(os.path.join(app.instance_path, 'seen'), 'w').write(os.getcwd() + ' ' + os.environ['OCF_FLASK_SHARED'])\n    return ''\n"
        }
    )
    site.deployed(source=project.url)
    assert (site.private / "shared/instance/seen").read_text() == f"{live(site)}/app {site.private}/shared"


def test_a_src_layout_keeps_its_instance_directory_and_its_static_files_too(site: Site, project: Project) -> None:
    project.push(**{"src/shop/__init__.py": APP.format("x"), "src/shop/static/a.css": "a"})
    site.deployed(source=project.url, app="shop:app")
    assert code(site)["src/instance"] == "-> ../../../../shared/instance"
    assert (site.web / "static/a.css").read_text() == "a"
    for name in ("src/shop/app.db", "src/uploads/2026/a.jpg"):
        (live(site) / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (live(site) / "app" / name).write_text("rows")
    project.push(**{"src/shop/__init__.py": APP.format("two")})
    error = site.deploy(source=project.url, app="shop:app").error
    assert "ocf_flask_shared: [instance/, src/shop/app.db, src/uploads/]." in error, "never a directory that has code"


# Static files.


def test_static_files_are_copied_for_the_web_server(site: Site, project: Project) -> None:
    project.push(
        **{
            "static/a.css": "a", "static/deep/b.js": "b", "static/.hidden": "no", "static/run.php": "no", "robots.txt": "robots",
            "flaskyapplication/__init__.py": APP.format("x"), "flaskyapplication/static/own.css": "own", "flaskyapplication/static/a.css": "other",
            ".well-known/x": "x", "README.md": "no",
        }
    )  # fmt: skip
    (project.tree / "flaskyapplication.py").unlink()
    (project.tree / "static/link.css").symlink_to("a.css")
    project.push()
    outcome = site.deployed(source=project.url)
    found = {
        str(path.relative_to(site.web)): path.read_text() for path in site.web.rglob("*") if path.is_file() and "venv" not in path.parts
    }
    for ours in (".htaccess", "run.fcgi"):
        found.pop(ours)
    assert found == {
        "static/a.css": "a", "static/deep/b.js": "b", "static/link.css": "a", "static/own.css": "own", "robots.txt": "robots", ".well-known/x": "x",
    }  # fmt: skip
    assert not (site.web / "static/link.css").is_symlink()
    modes = {name: (site.web / name).stat().st_mode & 0o777 for name in ("static", "static/deep", "static/a.css", "robots.txt")}
    assert modes == {"static": 0o711, "static/deep": 0o711, "static/a.css": 0o644, "robots.txt": 0o644}
    assert "static/a.css added" in outcome.changes["static"]
    assert site.deploy(source=project.url).state == "unchanged"


def test_a_published_file_that_is_missing_or_changed_is_put_back(site: Site, project: Project) -> None:
    project.push(**{"static/a.css": "a", "static/b.css": "b"})
    site.deployed(source=project.url)
    (site.web / "static/a.css").unlink()
    (site.web / "static/b.css").write_text("by hand")
    outcome = site.deployed(source=project.url)
    assert outcome.changes["static"] == ["static/a.css put back", "static/b.css put back"]
    assert [(site.web / f"static/{name}.css").read_text() for name in "ab"] == ["a", "b"]
    (note,) = [note for note in outcome.notes if "had been changed by hand" in note]
    assert Path(note.rpartition(" ")[2]).read_text() == "by hand"
    assert len(site.releases()) == 1 and site.deploy(source=project.url).state == "unchanged"


def test_a_static_file_may_have_as_long_a_name_as_there_can_be(site: Site, project: Project) -> None:
    name = f"static/{'一' * 83}.css"
    for content in ("one", "two"):
        project.push(content, **{name: content})
        outcome = site.deployed(source=project.url)
        assert (site.web / name).read_text() == content and not any("not all is done" in note for note in outcome.notes)
    assert not list(site.web.rglob(".ocf-flask-new*"))


def test_a_users_own_static_file_is_never_replaced(site: Site, project: Project, tmp_path: Path) -> None:
    site.write("static/mine.css", "mine")
    (tmp_path / "elsewhere").mkdir()
    (site.web / "downloads").symlink_to(tmp_path / "elsewhere")
    project.push(**{"static/mine.css": "the code's", "static/other.css": "o", "downloads/a.txt": "a"})
    outcome = site.deployed(source=project.url, public=["downloads/"])
    assert (site.web / "static/mine.css").read_text() == "mine" and not list((tmp_path / "elsewhere").iterdir())
    assert any(note.startswith("2 files of yours in") and "(downloads/a.txt, static/mine.css)" in note for note in outcome.notes)
    project.push(**{"static/mine.css": "newer", "static/other.css": "newer"})
    site.deployed(source=project.url, public=["downloads/"])
    assert [(site.web / f"static/{name}.css").read_text() for name in ("mine", "other")] == ["mine", "newer"]
    assert site.deploy(source=project.url, public=["downloads/"]).state == "unchanged"


def test_a_link_that_somebody_put_for_a_published_file_stays(site: Site, project: Project, tmp_path: Path) -> None:
    project.push(**{"static/a.css": "a"})
    site.deployed(source=project.url)
    (site.web / "static/a.css").unlink()
    (site.web / "static/a.css").symlink_to(tmp_path / "mine.css")
    project.push(**{"static/a.css": "b"})
    outcome = site.deployed(source=project.url)
    assert any("1 file of yours" in note and "(static/a.css)" in note for note in outcome.notes)
    assert (site.web / "static/a.css").is_symlink() and not (tmp_path / "mine.css").exists()


def test_a_link_is_no_published_file_however_alike(tmp_path: Path) -> None:
    target = tmp_path / "four"
    target.write_text("text")
    (tmp_path / "link").symlink_to("four")
    status = (tmp_path / "link").lstat()
    record: publish.Record = [tree.digest(target), status.st_size, int(status.st_mtime)]
    assert not publish._is_as_recorded(tmp_path / "link", record)
    os.utime(target, (int(status.st_mtime),) * 2)
    assert publish._is_as_recorded(target, record)


def test_a_directory_and_a_repository_with_the_same_files_are_not_the_same_code(site: Site, project: Project) -> None:
    project.push()
    site.deployed(source=project.url)
    outcome = site.deployed(source=str(project.tree))
    assert "code" in outcome.changes and manifest(site)["inputs"]["source"] == {"directory": str(project.tree)}
    assert site.deploy(source=str(project.tree)).state == "unchanged"


def test_an_older_releases_files_stay_an_hour(site: Site, project: Project) -> None:
    project.push(**{"static/old.css": "old", "static/both.css": "1"})
    site.deployed(source=project.url)
    first = live(site)
    (project.tree / "static/old.css").unlink()
    project.push(**{"static/both.css": "2"})
    site.deployed(source=project.url)
    assert (site.web / "static/old.css").exists() and (site.web / "static/both.css").read_text() == "2"
    os.utime(first / "live", (time.time() - 2 * release.PROCESS_LIFETIME,) * 2)
    project.push("Three")
    site.deployed(source=project.url)
    assert not (site.web / "static/old.css").exists() and (site.web / "static/both.css").read_text() == "2"


def test_a_deploy_that_is_killed_after_publishing_leaves_nothing_for_good(
    site: Site, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocf_flask import switch

    project.push(**{"static/a.css": "one"})
    site.deployed(source=project.url)
    project.push(**{"static/a.css": "two", "static/b.css": "b"})
    with monkeypatch.context() as patch:
        # Neither the switch nor any way back.
        patch.setattr(switch, "switch", lambda *_: os.kill(os.getpid(), 9))
        pid = os.fork()
        if pid == 0:
            site.deploy(source=project.url)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 9
    assert (site.web / "static/b.css").exists()
    project.push(**{"static/a.css": "three"})
    (project.tree / "static/b.css").unlink()
    project.push()
    outcome = site.deployed(source=project.url)
    assert not [note for note in outcome.notes if "by hand" in note or "yours" in note]
    assert (site.web / "static/a.css").read_text() == "three" and not (site.web / "static/b.css").exists()
    assert not list(site.web.rglob(".ocf-flask-new*"))


def test_code_elsewhere_on_the_host_is_edited_there_and_its_static_files_published(site: Site, tmp_path: Path) -> None:
    elsewhere = tmp_path / "app"
    (elsewhere / "static").mkdir(parents=True)
    (elsewhere / "flaskyapplication.py").write_text(APP.format("one"))
    (elsewhere / "static/a.css").write_text("a")
    outcome = site.deployed(code_directory=str(elsewhere))
    assert (site.web / "static/a.css").read_text() == "a" and f'"{elsewhere}"' in (site.web / "run.fcgi").read_text()
    assert outcome.next_time == f"edit the files in {elsewhere}"
    assert site.deploy(code_directory=str(elsewhere)).state == "unchanged"
    (elsewhere / "static/a.css").write_text("b")
    changed = site.deployed(code_directory=str(elsewhere))
    assert changed.changes["static"] == ["static/a.css changed"] and len(site.releases()) == 1
    assert (site.web / "static/a.css").read_text() == "b"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("gone", "there is no such directory"),
        ("private", "which is in the site's own private directory"),
        ("private/x", "which is in the site's own private directory"),
        ("web", "the site's directory is in it, or its private one"),
        ("web/flasky", "which is the site's directory. Code is there by itself"),
        ("web/flasky/app", "where visitors may reach it"),
    ],
)
def test_code_cannot_lie_everywhere(site: Site, where: str, message: str) -> None:
    if where != "gone":
        (site.web.parent.parent / where).mkdir(parents=True, exist_ok=True)
    outcome = site.deploy(code_directory=str(site.web.parent.parent / where))
    assert outcome.state == "failed" and message in outcome.error, outcome.error


def test_words_for_a_source() -> None:
    from ocf_flask import revision

    one = {"repository": "https://x/y", "version": "main", "commit": "1" * 40, "subject": ""}
    assert revision.changes(one, one) == []
    assert revision.changes({"directory": "/a"}, {"directory": "/b"}) == []
    assert revision.changes({"directory": "/a"}, one) == ["from the repository https://x/y, no longer from the directory /a"]


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"other", "flaskyapplication.py was changed on the way"), (None, "The content of flaskyapplication.py was not brought")],
)
def test_a_delivery_that_is_not_what_was_listed_is_refused(site: Site, tmp_path: Path, content: bytes | None, told: str) -> None:
    source = tmp_path / "project"
    source.mkdir()
    (source / "flaskyapplication.py").write_text(APP.format("one"))
    found = ocf_flask_source.listings([str(source)])
    with zipfile.ZipFile(tmp_path / "delivery.zip", "w") as archive:
        if content is not None:
            archive.writestr(found[str(source)]["files"]["flaskyapplication.py"], content)
    asked = sites.Asked(brought=sites.brought(found, str(tmp_path / "delivery.zip")))
    outcome = sites.deploy(site.settings(source=str(source)), site.kit, asked)
    assert outcome.state == "failed" and told in outcome.error and "Deploy again" in outcome.error
    assert not (site.web / "run.fcgi").exists()


def test_each_reader_of_a_delivery_has_its_own_place_in_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    one, other = (delivery._Shared(delivery.Delivery(str(tmp_path / "file"))._descriptor) for _ in range(2))
    assert (one.read(4), one.read(0), other.read(2), one.tell(), other.tell()) == (b"0123", b"", b"01", 4, 2)
    assert (one.seek(-3, os.SEEK_END), one.read(), one.read()) == (7, b"789", b"")
    assert (one.seek(2), one.seek(1, os.SEEK_CUR), one.read(100)) == (2, 3, b"3456789") and one.seekable()
    with pytest.raises(OSError, match="Invalid argument"):
        one.seek(-11, os.SEEK_END)
    assert one.tell() == 10


@pytest.mark.parametrize(("digests", "sound"), [(["a"], True), ([], True), ([1], False), (3, False), ([None], False)])
def test_what_a_sites_account_says_that_it_lacks_is_text(digests: Any, sound: bool) -> None:
    assert sites.Needed("flasky", state="unchanged", digests=digests).is_sound() is sound
