"""Code from a git repository: which commit a version is, and its files.

Nothing is checked out: the files are read out of the object store, and written by `tree`. So no hook, filter,
attribute or submodule of a repository that anybody may have written to is ever acted on. Git asks nothing: what it would
prompt for is an error.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from . import process, tree
from .errors import SettingError, SiteError, StepTimeout
from .site import Site
from .words import some

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,64}")
_REFERENCE = re.compile(r"([0-9a-f]{40,64})\t(HEAD|refs/\S+)")
_DEFAULT_BRANCH = re.compile(r"ref: refs/heads/(\S+)\tHEAD")
_WITH_CREDENTIALS = re.compile(r"(\w+://)([^/]*)@")
# Of git's own environment, what is about the connection.
_KEPT = re.compile(r"GIT_(SSH.*|SSL_.*|HTTP_.*|PROXY.*|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM))")
_ASKING_SECONDS = 60
_LISTED = 12
_POINTER = b"version https://git-lfs.github.com/spec/"
_PIECE = 1 << 20
# Answers to whoever asks git for a password, from the environment: a command line can be read by every account.
_HELPER = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$OCF_FLASK_USER" "$OCF_FLASK_PASSWORD"; }; f'


@dataclass(frozen=True)
class Remote:
    """A repository somewhere. ``url`` is without credentials, which are ``user`` and ``password``."""

    url: str
    env: Mapping[str, str]
    user: str = ""
    password: str = field(default="", repr=False)
    key: str = ""

    def mask(self, text: str) -> str:
        """What git says, without the credentials."""
        for secret in sorted({self.password, self.user if self.url.startswith("http") else ""} - {""}, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


@dataclass(frozen=True)
class Version:
    """What a version stands for: its name, or the default branch's, and the commit (perhaps abbreviated)."""

    name: str
    commit: str


def split(url: str) -> tuple[str, str]:
    """A URL without its credentials, and these, as ``user:password``; a user of ssh's is no secret.

    >>> split("https://alice:s3cret@git.example.org/shop.git")
    ('https://git.example.org/shop.git', 'alice:s3cret')
    """
    match = _WITH_CREDENTIALS.match(url)
    if not match:
        return url, ""
    scheme, credentials = match.groups()
    rest = url[match.end() :]
    if scheme.startswith("http"):
        return scheme + rest, credentials
    user, colon, _ = credentials.partition(":")
    return (f"{scheme}{user}@{rest}", credentials) if colon else (url, "")


def remote(site: Site) -> Remote:
    """The site's repository, and how it is reached.

    :raises SettingError: for a deploy key that cannot be used.
    """
    url, credentials = split(site.settings.source)
    env = {name: value for name, value in site.env.items() if not name.startswith("GIT_") or _KEPT.fullmatch(name)}
    if not shutil.which("git", path=env.get("PATH")):
        raise SiteError(
            f"This machine has no git, and the code is to come from {url}. Ask its staff for the package git, "
            "or deploy from a checkout of your own: -e ocf_flask_source=DIRECTORY (of the machine that runs Ansible)"
        )
    key = _key(site)
    ssh = [env.get("GIT_SSH_COMMAND", "ssh"), "-o BatchMode=yes", "-o StrictHostKeyChecking=accept-new", "-o ConnectTimeout=20"]
    if key:
        ssh.append(f"-i {shlex.quote(key)} -o IdentitiesOnly=yes -o IdentityAgent=none")
    user, _, password = credentials.partition(":")
    env.update(
        GIT_SSH_COMMAND=" ".join(ssh),
        GIT_TERMINAL_PROMPT="0",
        GIT_ASKPASS="",
        GIT_ALLOW_PROTOCOL="https:http:ssh:git:file",
        GIT_NO_REPLACE_OBJECTS="1",
        LC_ALL="C.UTF-8",
        LANGUAGE="",
        **({"OCF_FLASK_USER": _unquoted(user), "OCF_FLASK_PASSWORD": _unquoted(password)} if credentials else {}),
    )
    return Remote(url, env, user, password, key)


def find(source: Remote, version: str, known: str) -> Version:
    """Which commit a version is now.

    :param known: the live release's commit: asked for by its own name, it needs no network.
    :raises SiteError: when the repository cannot be read or has no such version.
    """
    if COMMIT.fullmatch(version) or (known and _ABBREVIATED.fullmatch(version) and known.startswith(version)):
        return Version("", version)
    wanted = [f"refs/heads/{version}", f"refs/tags/{version}", f"refs/tags/{version}^{{}}", version] if version else []
    said = _ask(source, ["--symref", "--", source.url, "HEAD", *wanted])
    found = {name: commit for commit, name in _REFERENCE.findall(said)}
    default = _DEFAULT_BRANCH.search(said)
    if not version:
        if "HEAD" not in found:
            raise _unknown(source, "")
        return Version(default[1] if default else "HEAD", found["HEAD"])
    for name in (f"refs/heads/{version}", f"refs/tags/{version}^{{}}", f"refs/tags/{version}", version):
        if name in found:
            return Version(version, found[name])
    if _ABBREVIATED.fullmatch(version):
        return Version("", version)
    raise _unknown(source, version)


class Store:
    """The bare repository that keeps what was fetched, so that the next time only what is new travels."""

    def __init__(self, path: Path, source: Remote, seconds: float) -> None:
        self.path = path
        self.source = source
        self._deadline = time.monotonic() + seconds

    def fetch(self, commit: str) -> str:
        """Have a commit here, and return its full name.

        :raises SiteError: when it cannot be had.
        """
        self._make()
        found = self._resolve(commit)
        if found:
            return found
        # Some servers give out no commit by its name, and some no part of a history.
        alone = COMMIT.fullmatch(commit) and self._git(
            "fetch", *_FETCH, "--depth=1", "--", self.source.url, f"+{commit}:refs/ocf-flask/wanted"
        )
        if not alone or alone.returncode:
            whole = ["--unshallow"] if (self.path / "shallow").exists() else []
            done = self._git("fetch", *_FETCH, "--prune", *whole, "--", self.source.url, *_EVERYTHING)
            if done.returncode:
                raise _failure(self.source, done.output)
        found = self._resolve(commit)
        if not found:
            raise SettingError(
                f"ocf_flask_version is {commit!r}, and {self.source.url} has no such commit, branch or tag. "
                "Has it been pushed? See what there is: git ls-remote " + shlex.quote(self.source.url)
            )
        return found

    def subject(self, commit: str) -> str:
        """The first line of a commit's message."""
        said = self._git("-c", "log.showSignature=false", "log", "-1", "--no-decorate", "--format=%s", commit).output
        return "".join(char for char in said.partition("\n")[0] if char.isprintable())[:72].strip()

    def export(self, commit: str, writer: tree.Writer, scratch: Path) -> list[str]:
        """Write the files of a commit; what is to be said of them.

        :raises SiteError: when the store is damaged.
        """
        entries = list(self._entries(commit, scratch))
        blobs = [(mode, blob, name) for mode, kind, blob, name in entries if kind == "blob"]
        pointers = []
        with tempfile.TemporaryFile(dir=scratch) as names, tempfile.TemporaryFile(dir=scratch) as contents:
            names.write("".join(f"{blob}\n" for _, blob, _ in blobs).encode())
            names.seek(0)
            self._stream(["cat-file", "--batch"], contents, names.fileno())
            contents.seek(0)
            for mode, blob, name in blobs:
                content = _Blob(contents, blob)
                if stat.S_ISLNK(mode):
                    writer.link(name, os.fsdecode(b"".join(content)))
                else:
                    writer.file(name, content, executable=bool(mode & stat.S_IXUSR))
                    pointers += [name] if content.begins_with_pointer else []
        writer.finish()
        modules = [name for _, kind, _, name in entries if kind == "commit"]
        return _notes(modules, pointers, writer.left_out)

    def _make(self) -> None:
        if (self.path / "HEAD").is_file() and (self.path / "objects").is_dir():
            # Whoever left these is gone: the site's lock is ours.
            for path in [*self.path.glob("*.lock"), *self.path.glob("refs/**/*.lock"), *self.path.glob("objects/pack/tmp_*")]:
                path.unlink()
            return
        shutil.rmtree(self.path, ignore_errors=True)
        made = process.run(
            ["git", "init", "--quiet", "--bare", "--template=", self.path],
            env=self.source.env,
            cwd=self.path.parent,
            seconds=60,
            step="git",
        )
        if made.returncode:
            raise SiteError(f"git could not make {self.path}.", made.output)

    def _resolve(self, commit: str) -> str:
        found = self._git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").output.strip()
        return found if COMMIT.fullmatch(found) else ""

    def _entries(self, commit: str, scratch: Path) -> Iterator[tuple[int, str, str, str]]:
        with tempfile.TemporaryFile(dir=scratch) as listing:
            self._stream(["ls-tree", "-r", "-z", "--full-tree", commit], listing)
            listing.seek(0)
            for line in listing.read().split(b"\0")[:-1]:
                about, _, name = line.partition(b"\t")
                mode, kind, blob = about.decode().split()
                # A name that is no text is one that cannot be used.
                yield int(mode, 8), kind, blob, name.decode("utf-8", "surrogateescape")

    def _stream(self, arguments: Sequence[str], into: IO[bytes], stdin: int = subprocess.DEVNULL) -> None:
        with process.contained(self._command(*arguments), env=self.source.env, cwd=self.path, stdin=stdin, stdout=into) as running:
            try:
                returncode = running.wait(timeout=max(1.0, self._deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise StepTimeout(f"Reading the files of {self.source.url} took too long and was ended.") from None
            if returncode:
                raise SiteError(
                    f"What was fetched from {self.source.url} cannot be read. Delete it, and deploy again: rm -rf {self.path}",
                    self.source.mask(process.tail(into.fileno())),
                )

    def _git(self, *arguments: str) -> process.Completed:
        step = f"Fetching {self.source.url}" if "fetch" in arguments else "Asking git"
        seconds = max(1.0, self._deadline - time.monotonic())
        return process.run(self._command(*arguments), env=self.source.env, cwd=self.path, seconds=seconds, step=step)

    def _command(self, *arguments: str) -> list[str]:
        return ["git", *_options(self.source), "--git-dir", str(self.path), *arguments]


_FETCH = ("--quiet", "--force", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
_EVERYTHING = ("+refs/heads/*:refs/ocf-flask/heads/*", "+refs/tags/*:refs/ocf-flask/tags/*")


class _Blob:
    """One of the contents that ``git cat-file --batch`` wrote, a part at a time; read to its end before the next."""

    def __init__(self, file: IO[bytes], blob: str) -> None:
        self.begins_with_pointer = False
        header = file.readline().split()
        if len(header) != 3 or header[:2] != [blob.encode(), b"blob"]:
            raise SiteError(f"The repository has no content for {blob}: it is damaged.")
        self._file, self._rest = file, int(header[2])

    def __iter__(self) -> Iterator[bytes]:
        first = True
        while self._rest:
            piece = self._file.read(min(self._rest, _PIECE))
            if not piece:
                raise SiteError("The repository's content ends too soon: it is damaged.")
            self.begins_with_pointer |= first and len(piece) < 1024 and piece.startswith(_POINTER)
            self._rest -= len(piece)
            first = False
            yield piece
        self._file.read(1)


def _notes(modules: Sequence[str], pointers: Sequence[str], left_out: Sequence[str]) -> list[str]:
    notes = []
    if modules:
        notes.append(
            f"The repository has submodules, whose files are not fetched: {_some(modules)}. "
            "Add them to it, install them as packages, or deploy from a directory that has them"
        )
    if pointers:
        notes.append(f"Of files in Git LFS only the pointers are there ({_some(pointers)}). Deploy from a directory that has them")
    return notes + left_out_notes(left_out)


def left_out_notes(left_out: Sequence[str]) -> list[str]:
    """What is said of names and links that were not taken."""
    return [f"Left out, because they lead out of the source or cannot be a file's name: {_some(left_out)}"] if left_out else []


def _some(names: Sequence[str]) -> str:
    return some(["".join(char if char.isprintable() else "?" for char in name) for name in names])


def _key(site: Site) -> str:
    path = site.expand(site.settings.deploy_key)
    if not path:
        return ""
    make = f"Make one: ssh-keygen -t ed25519 -N '' -f {path} (then give {path}.pub to the repository as a deploy key)"
    try:
        status = os.stat(path)
    except OSError as error:
        raise SettingError(
            f"ocf_flask_deploy_key is {site.settings.deploy_key!r}, and {path} cannot be read ({error.strerror}). {make}"
        ) from None
    if status.st_mode & 0o077:
        raise SettingError(f"ocf_flask_deploy_key: {path} can be read by others, and ssh takes no such key. Type: chmod 600 {path}")
    return path


def _unquoted(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text)


def _options(source: Remote) -> list[str]:
    # What git does by itself in the background would go on after the deploy.
    options = ["-c", "core.hooksPath=/dev/null", "-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false"]
    if source.user:
        options += ["-c", "credential.helper=", "-c", f"credential.helper={_HELPER}"]
    return options


def _ask(source: Remote, arguments: Sequence[str]) -> str:
    command = ["git", *_options(source), "ls-remote", *arguments]
    done = process.run(command, env=source.env, cwd=Path("/"), seconds=_ASKING_SECONDS, step=f"Asking {source.url} for its versions")
    if done.returncode:
        raise _failure(source, done.output)
    return done.output


def _unknown(source: Remote, version: str) -> SiteError:
    said = _ask(source, ["--heads", "--tags", "--", source.url])
    names = [name.split("/", 2)[2] for _, name in _REFERENCE.findall(said) if name.startswith("refs/") and not name.endswith("^{}")]
    if not names:
        return SiteError(f"The repository {source.url} is empty. Push something to it first: git push {source.url} main")
    near = difflib.get_close_matches(version, names, n=3, cutoff=0.5)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    what = f"ocf_flask_version is {version!r}, which {source.url} has not" if version else f"{source.url} has no default branch"
    return SettingError(f"{what}.{guess} It has {some(names, _LISTED)}. Type for example: -e ocf_flask_version={(near or names)[0]}")


_REASONS: tuple[tuple[str, str], ...] = (
    (
        r"Permission denied \(|could not read (Username|Password)|Authentication failed|terminal prompts disabled|Access denied|error: 40[13]",
        "does not let this account in",
    ),
    (r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED", "has another host key than the one that is known"),
    (
        r"Could not resolve host|Connection refused|timed out|No route to host|Network is unreachable|Failed to connect|Couldn't connect",
        "cannot be reached from this machine",
    ),
    (r"not appear to be a git repository|[Rr]epository .*not found|does not exist|error: 404", "is not there, or not for this account"),
    (r"dubious ownership", "belongs to another account, and git reads no such repository"),
)


def _failure(source: Remote, output: str) -> SiteError:
    said = source.mask(output)
    for pattern, what in _REASONS:
        if re.search(pattern, said):
            return SiteError(f"The repository {source.url} {what}. {_advice(source, what)}", said)
    return SiteError(f"The repository {source.url} could not be read: git says why below.", said)


def _advice(source: Remote, what: str) -> str:
    if "host key" in what:
        host = re.sub(r"^\w+://", "", source.url).rpartition("@")[2].partition("/")[0].partition(":")[0]
        return f"If it was changed for good: ssh-keygen -R {host}"
    if "cannot be reached" in what:
        return "Check the URL and the network, for example with: git ls-remote " + shlex.quote(source.url)
    if "belongs to another" in what:
        return "Name it by a URL of ssh, or let git trust it: git config --global --add safe.directory PATH"
    if source.key:
        return f"Is {source.key}.pub among its deploy keys? A key with a passphrase cannot be used."
    if source.url.startswith("http"):
        return "Check the URL. A private one needs a deploy key and the URL for ssh (git@...), as docs/code.md shows step by step."
    return "Check the URL. Add your key to an agent (ssh-add), or give it a deploy key, as docs/code.md shows step by step."
