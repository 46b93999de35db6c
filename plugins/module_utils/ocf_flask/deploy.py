"""The transaction: one site from what it is to what is wanted, or left as it was.

Look, build beside the live release, test, switch by one rename, ask the real URL, keep. Runs as the
site's owner. Until the switch nothing that serves is touched; what was made is taken back on any error.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import code, htaccess, live, places, plan, release, smoke, virtualenv
from .errors import SettingError, SiteError
from .lock import locked
from .settings import Settings

# Processes that mod_fcgid started from a replaced run.fcgi are told apart by inode: it must not be reused.
_KEPT_PREFIX = ".ocf-flask-run.fcgi."
_KEPT_SECONDS = 3600
# For owners other than the one who runs the deploy: nothing of root's environment.
_PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"
# Of one's own environment, what would make another Python or another virtualenv of it.
_UNWANTED_ENVIRONMENT = re.compile(
    r"PYTHON.*|VIRTUAL_ENV.*|CONDA.*|PIP_(USER|TARGET|PREFIX|REQUIRE_VIRTUALENV|NO_INDEX|PYTHON)|UV_(PYTHON|PROJECT|TARGET|SYSTEM|CACHE).*|PYENV_VERSION|__PYVENV.*"
)
_STARTER_MODULE = "flaskyapplication"
# Added to what a user asks for. `builtin` is the runtime in the release.
_BASE_PACKAGES = {"builtin": ("flask",), "flup6": ("flask", "flup6"), "flup": ("flask", "flup")}


@dataclass(frozen=True)
class Kit:
    """What the controller brings: the rendered templates (with marks such as ``@RELEASE@``), the files that
    go into releases, candidates for uv, and whether the deploy runs as the person whose environment it has."""

    htaccess: str
    run_fcgi: str
    runtime: str
    starter: str
    pip: str
    uv: tuple[str, ...] = ()
    own_environment: bool = True


@dataclass
class Outcome:
    """What a deploy did, or in check mode would do, to one site. Texts are data, in no language but English."""

    name: str
    owner: str = ""
    state: str = "unchanged"
    url: str = ""
    directory: str = ""
    release: str = ""
    python: str = ""
    flask: str = ""
    tested: dict[str, Any] = field(default_factory=dict)
    reached: str = ""
    changes: dict[str, list[str]] = field(default_factory=dict)
    diff: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    detail: str = ""
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        return self.state in ("deployed", "would change")


@dataclass(frozen=True)
class _Site:
    """The fixed facts of one run for one site."""

    settings: Settings
    kit: Kit
    owner: places.Account
    places: places.Places
    url: str
    env: Mapping[str, str]
    interpreter: virtualenv.Interpreter
    requirements: tuple[Path, ...]


def deploy(settings: Settings, kit: Kit, *, check: bool) -> Outcome:
    """Bring one site to its wanted state; with ``check``, only say how. Never raises for what is wrong with the site."""
    outcome = Outcome(settings.name, owner=settings.owner)
    start = time.monotonic()
    try:
        site = _prepare(settings, kit, outcome)
        wanted, observed, todo = _look(site)
        _describe(site, outcome, wanted, observed, todo)
        if not todo.empty and check:
            outcome.state = "would change"
        elif not todo.empty:
            _carry_out(site, outcome)
    except SiteError as error:
        outcome.state, outcome.error, outcome.detail = "failed", error.message, error.detail
        outcome.changes, outcome.diff = {}, []
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        outcome.state, outcome.error = "failed", f"{error.strerror or error}{place}. {_advice(error)}".strip()
        outcome.changes, outcome.diff = {}, []
    outcome.seconds = round(time.monotonic() - start, 3)
    return outcome


def _advice(error: OSError) -> str:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "There is no space left: see what uses it with du -sh ~/* ~/.[a-z]*, delete something, and deploy again."
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Look at whose it is with ls -ld, and deploy as its owner."
    return ""


def _prepare(settings: Settings, kit: Kit, outcome: Outcome) -> _Site:
    owner = places.account(settings.owner)
    outcome.owner = owner.name
    if owner.uid != os.getuid():
        me = places.account("").name
        raise SettingError(f"The site {settings.name} is {owner.name}'s, and you are {me}. Deploy as {owner.name}, or as root.")
    where = places.locate(settings, owner)
    outcome.directory = str(where.site)
    outcome.url = places.public_url(settings, owner)
    places.check_ownership(where, owner)
    env = _environment(owner, own=kit.own_environment)
    interpreter = virtualenv.find_interpreter(settings.python, env=env)
    outcome.python = interpreter.version
    return _Site(settings, kit, owner, where, outcome.url, env, interpreter, _requirements(settings, owner, where))


def _environment(owner: places.Account, *, own: bool) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not _UNWANTED_ENVIRONMENT.fullmatch(key)} if own else {"PATH": _PLAIN_PATH}
    fixed = {
        "HOME": str(owner.home),
        "USER": owner.name,
        "LOGNAME": owner.name,
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
    }
    return {**inherited, **fixed}


def _requirements(settings: Settings, owner: places.Account, where: places.Places) -> tuple[Path, ...]:
    wanted = settings.requirements
    if not wanted:
        path = where.site / "requirements.txt"
        return (path,) if path.is_file() else ()
    if wanted == "none":
        return ()
    path = Path(owner.home, wanted[2:]) if wanted.startswith("~/") else where.site / wanted
    if not path.is_file():
        raise SettingError(f"ocf_flask_requirements is {wanted!r}, and there is no file {path}. Name one, relative to {where.site}.")
    return (path,)


# Looking ----------------------------------------------------------------------------------------------------------


def _look(site: _Site) -> tuple[plan.Wanted, plan.Observed, plan.Plan]:
    observed_run_fcgi = _read(site.places.run_fcgi)
    identity = release.named_by(observed_run_fcgi, site.places)
    manifest = release.read(site.places.release(identity)) if identity else None
    starter = manifest is None and _needs_starter(site)
    present = _read_htaccess(site.places.htaccess)
    wanted = _wanted(site, present, starter)
    observed = _observe(site, manifest, observed_run_fcgi, present, starter)
    return wanted, observed, plan.make(wanted, observed)


def _needs_starter(site: _Site) -> bool:
    candidates = (site.places.site / f"{_STARTER_MODULE}.py", site.places.site / _STARTER_MODULE)
    return site.settings.module == _STARTER_MODULE and not any(os.path.lexists(path) for path in candidates)


def _wanted(site: _Site, present: bytes | None, starter: bool) -> plan.Wanted:
    packages = (*_BASE_PACKAGES[site.settings.server], *site.settings.packages)
    found = code.find(site.places.site, site.settings.code) if site.places.site.is_dir() else {}
    if starter:
        found = {**found, f"{_STARTER_MODULE}.py": _sha(site.kit.starter.encode())}
    return plan.Wanted(
        interpreter=site.interpreter,
        inputs={
            "python": {"path": site.interpreter.path, "version": _minor(site.interpreter.version)},
            "packages": list(packages),
            "requirements": {str(path): _sha(path.read_bytes()) for path in site.requirements},
            "server": site.settings.server,
            "app": site.settings.app,
            "code": found,
            "runtime": _sha(site.kit.runtime.encode()),
            "template": _sha(site.kit.run_fcgi.encode()),
            "pip": _sha(site.kit.pip.encode()),
        },
        packages=packages,
        declared=frozenset(_declared(packages, site.requirements)),
        htaccess=htaccess.merge(present or b"", _block(site).encode()).content,
    )


def _observe(site: _Site, manifest: release.Manifest | None, run_fcgi: bytes | None, present: bytes | None, starter: bool) -> plan.Observed:
    where = site.places
    venv = where.release(manifest.id) / "venv" if manifest else None
    return plan.Observed(
        directory_mode=_mode(where.site),
        starter=starter,
        live=manifest,
        live_python=virtualenv.runs_with(venv) if venv else None,
        installed=virtualenv.installed(venv) if venv else {},
        htaccess=present,
        htaccess_mode=_mode(where.htaccess) or 0,
        run_fcgi=run_fcgi,
        run_fcgi_mode=_mode(where.run_fcgi) or 0,
        run_fcgi_edited=run_fcgi is not None and (manifest is None or _sha(run_fcgi) != manifest.run_fcgi),
        expected_run_fcgi=_render_run_fcgi(site, manifest.id).encode() if manifest else None,
        links_right=manifest is not None and _links_right(site, manifest.id),
    )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _declared(packages: tuple[str, ...], files: tuple[Path, ...]) -> Iterator[str]:
    lines = [*packages, *(line for path in files for line in path.read_text("utf-8", "replace").splitlines())]
    for line in lines:
        match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
        if match:
            yield virtualenv.normalize(match[1])


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _read_htaccess(path: Path) -> bytes | None:
    if path.is_symlink():
        raise SiteError(f"{path} is a symbolic link (to {os.readlink(path)}). Put a copy in its place: cp --remove-destination $(readlink -f {path}) {path}")
    return _read(path)


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Templates --------------------------------------------------------------------------------------------------------


def _fill(template: str, marks: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z_]+)@", lambda match: marks.get(match[1], match[0]), template)


def _block(site: _Site) -> str:
    return _fill(
        site.kit.htaccess,
        {
            "SITE_DIRECTORY": str(site.places.site),
            "SITE_PATTERN": re.escape(str(site.places.site)),
            "PUBLIC": public_expression(site.settings.public),
        },
    )


def public_expression(names: tuple[str, ...]) -> str:
    """A regular expression for the paths, relative to the site's directory, that Apache serves itself.

    ``static/`` always; a name that ends in ``/`` is a directory with all below it, but for names that begin
    with a dot; ``*`` stays within one component and matches no leading dot.
    """
    patterns = []
    for name in ("static/", *names):
        pattern = "/".join(_component(part) for part in name.rstrip("/").split("/"))
        patterns.append(f"{pattern}/(?:[^./][^/]*/)*[^./][^/]*" if name.endswith("/") else pattern)
    return "|".join(patterns)


def _component(part: str) -> str:
    guard = r"(?!\.)" if part.startswith("*") else ""
    return guard + "[^/]*".join(re.escape(piece) for piece in part.split("*"))


def _render_run_fcgi(site: _Site, identity: str) -> str:
    marks = {
        "RELEASE": str(site.places.release(identity)),
        "CODE_DIRECTORY": str(site.places.site),
        "APP": site.settings.app,
        "SERVER": site.settings.server,
    }
    return _fill(site.kit.run_fcgi, marks)


# Saying -----------------------------------------------------------------------------------------------------------


def _describe(site: _Site, outcome: Outcome, wanted: plan.Wanted, observed: plan.Observed, todo: plan.Plan) -> None:
    """Everything about the outcome that is known before anything is done."""
    manifest = observed.live
    for change in todo.changes:
        words = f"{change.before} -> {change.after}" if change.before else change.after
        outcome.changes.setdefault(change.part, []).append(words)
    if manifest:
        outcome.release, outcome.tested = manifest.id, dict(manifest.tested)
        outcome.flask = observed.installed.get("flask", "")
        outcome.notes += [
            f"{one} is no longer asked for, and dropped. To keep it, write it into inventory/sites/{site.settings.name}.yml"
            for one in plan.dropped(manifest.inputs, wanted.inputs)
        ]
    merged = htaccess.merge(observed.htaccess or b"", _block(site).encode())
    if merged.replaced:
        outcome.notes.append("In .htaccess, the recipe's lines were replaced by ours: " + " / ".join(merged.replaced))
    outcome.notes += [f".htaccess, {line}: this rule of yours answers requests before the app does" for line in merged.taking]
    if todo.by_hand:
        names = _named_by_hand(site, manifest, todo.by_hand)
        outcome.notes.append(f"Installed by hand and kept: {names}. To make it last, write it into requirements.txt")
    if os.path.lexists(site.places.venv) and not site.places.venv.is_symlink():
        outcome.notes.append(f"{site.places.venv} is a directory of yours and stays as it is; the site runs with {site.places.current}/venv")
    if site.owner.uid == 0:
        outcome.notes.append("This is root's own site, and suexec runs no site of root's. To deploy for another account: -e owner=NAME")
    outcome.diff = _diff(site, wanted, observed, todo)


def _named_by_hand(site: _Site, manifest: release.Manifest | None, by_hand: Mapping[str, str]) -> str:
    asked = virtualenv.requested(site.places.release(manifest.id) / "venv") if manifest else set()
    named = {name: version for name, version in by_hand.items() if name in asked} or by_hand
    return ", ".join(f"{name}=={version}" for name, version in named.items())


def _diff(site: _Site, wanted: plan.Wanted, observed: plan.Observed, todo: plan.Plan) -> list[dict[str, str]]:
    found = []
    if todo.htaccess:
        found.append(_difference(site.places.htaccess, _text(observed.htaccess), _text(wanted.htaccess)))
    if todo.run_fcgi:
        identity = "NEW-RELEASE" if todo.release or not observed.live else observed.live.id
        found.append(_difference(site.places.run_fcgi, _text(observed.run_fcgi), _render_run_fcgi(site, identity)))
    if todo.starter:
        found.append(_difference(site.places.site / f"{_STARTER_MODULE}.py", "", site.kit.starter))
    others = [f"{part}: {line}" for part, lines in sorted(_others(todo).items()) for line in lines]
    if others:
        found.append(_difference(site.places.release("NEW-RELEASE"), "", "".join(f"{line}\n" for line in others)))
    return found


def _others(todo: plan.Plan) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    for change in todo.changes:
        if change.part not in ("htaccess", "run_fcgi"):
            lines.setdefault(change.part, []).append(f"{change.before} -> {change.after}" if change.before else change.after)
    return lines


def _difference(path: Path, before: str, after: str) -> dict[str, str]:
    return {"before_header": str(path), "after_header": str(path), "before": before, "after": after}


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")


# Doing ------------------------------------------------------------------------------------------------------------


def _carry_out(site: _Site, outcome: Outcome) -> None:
    where = site.places
    os.umask(0o022)
    for directory in (where.private.parent, where.private):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(where.private.stat().st_mode) & 0o077:
        where.private.chmod(0o700)
    with locked(where.lock, site.settings.timeouts.lock):
        # Another deploy may have ended while this one waited.
        wanted, observed, todo = _look(site)
        if todo.empty:
            return
        _sweep(site, observed)
        where.releases.mkdir(mode=0o700, exist_ok=True)
        where.log.mkdir(mode=0o700, exist_ok=True)
        where.temporary.mkdir(mode=0o700, exist_ok=True)
        token = _token(site)
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, where.temporary, ignore_errors=True)
            with ExitStack() as on_error:
                _make_directory(site, observed, todo, on_error)
                manifest = observed.live
                if todo.release:
                    manifest = _new_release(site, wanted, observed, todo, token, outcome, on_error)
                assert manifest is not None, "a plan without a live release makes one"
                _switch(site, wanted, observed, todo, manifest, token, outcome)
                on_error.pop_all()
        release.mark_live(where, manifest.id, observed.live.id if observed.live else "")
        outcome.release = manifest.id
        outcome.state = "deployed"
        _repair_links(site, manifest.id)
        _tidy(site, manifest.id)


def _sweep(site: _Site, observed: plan.Observed) -> None:
    """Take away what an interrupted deploy left: half releases, temporary files."""
    where = site.places
    shutil.rmtree(where.temporary, ignore_errors=True)
    for path in (where.new_run_fcgi, where.new_htaccess):
        path.unlink(missing_ok=True)
    named = release.named_by(observed.run_fcgi, where)
    for identity, age in release.ages(where).items():
        if age is None and identity != named:
            release.remove(where.release(identity))


def _token(site: _Site) -> str:
    """The secret by which the runtime knows our question; made once for a site."""
    try:
        return site.places.token.read_text().strip()
    except FileNotFoundError:
        token = secrets.token_hex(32)
        _write_new(site.places.token, token.encode(), 0o600)
        return token


def _make_directory(site: _Site, observed: plan.Observed, todo: plan.Plan, on_error: ExitStack) -> None:
    where = site.places
    if observed.directory_mode is None:
        # Missing parents too (an ordinary machine has no ~/public_html): the web server must be able to pass.
        where.site.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        where.site.mkdir(mode=0o711)
        on_error.callback(_rmdir, where.site)
    elif todo.directory:
        where.site.chmod(observed.directory_mode & ~0o022)
    if todo.starter:
        starter = where.site / f"{_STARTER_MODULE}.py"
        _write_new(starter, site.kit.starter.encode(), 0o600)
        on_error.callback(starter.unlink, missing_ok=True)
        if observed.directory_mode is None:
            on_error.callback(shutil.rmtree, where.site / "__pycache__", ignore_errors=True)


def _rmdir(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        pass  # Somebody has put a file there meanwhile: it stays.


def _new_release(
    site: _Site, wanted: plan.Wanted, observed: plan.Observed, todo: plan.Plan, token: str, outcome: Outcome, on_error: ExitStack
) -> release.Manifest:
    identity = release.new_id(site.places)
    path = site.places.release(identity)
    path.mkdir(mode=0o700)
    on_error.callback(release.remove, path)
    _make_virtualenv(site, wanted, observed, todo, path / "venv")
    (path / "runtime").mkdir(mode=0o700)
    _write_new(path / "runtime" / "ocf_flask_runtime.py", site.kit.runtime.encode(), 0o600)
    code.copy(site.places.site, wanted.inputs["code"], path / "app")
    run_fcgi = _render_run_fcgi(site, identity).encode()
    _write_new(site.places.new_run_fcgi, run_fcgi, 0o700)
    on_error.callback(site.places.new_run_fcgi.unlink, missing_ok=True)
    packages = virtualenv.installed(path / "venv")
    tested = _test(site, observed, token, outcome)
    manifest = release.Manifest(
        id=identity,
        created=release.timestamp(),
        inputs=wanted.inputs,
        packages=packages,
        by_hand={name: version for name, version in todo.by_hand.items() if name in packages},
        run_fcgi=_sha(run_fcgi),
        tested=tested,
        settings=asdict(site.settings),
    )
    release.write(path, manifest)
    outcome.flask, outcome.tested = packages.get("flask", ""), tested
    before = observed.live.packages if observed.live else {}
    changed = plan.differences(before, packages)
    if changed:
        outcome.changes["packages"] = [
            f"{name} {before[name]} -> {packages[name]}" if name in before and name in packages else
            f"{name} {packages[name]} installed" if name in packages else f"{name} {before[name]} removed"
            for name in sorted({*before, *packages}) if before.get(name) != packages.get(name)
        ]
    return manifest


def _make_virtualenv(site: _Site, wanted: plan.Wanted, observed: plan.Observed, todo: plan.Plan, target: Path) -> None:
    if todo.virtualenv == plan.CLONE and observed.live:
        virtualenv.clone(site.places.release(observed.live.id) / "venv", target)
        return
    order = virtualenv.Order(
        interpreter=wanted.interpreter,
        packages=(*wanted.packages, *(f"{name}=={version}" for name, version in todo.by_hand.items())),
        files=site.requirements,
        pins={name: version for name, version in (observed.installed or (observed.live.packages if observed.live else {})).items()},
        source=virtualenv.Source(_home(site, site.settings.wheels), site.settings.index),
    )
    tools = virtualenv.Tools(
        uv="" if site.settings.uv == "none" else virtualenv.find_uv((_home(site, site.settings.uv), *site.kit.uv), env=site.env),
        pip=site.kit.pip,
        scratch=site.places.temporary,
        cwd=site.places.site,
        env={**site.env, "TMPDIR": str(site.places.temporary)},
        deadline=time.monotonic() + site.settings.timeouts.build,
    )
    virtualenv.build(target, order, tools)


def _home(site: _Site, path: str) -> str:
    return f"{site.owner.home}/{path[2:]}" if path.startswith("~/") else path


def _test(site: _Site, observed: plan.Observed, token: str, outcome: Outcome) -> dict[str, Any]:
    if site.settings.smoke_test.mode == "none":
        outcome.notes.append("Not tested: ocf_flask_smoke_test.mode is none")
        return {}
    try:
        tested = smoke.smoke_test(site.places.new_run_fcgi, site.settings.smoke_test, site.url, token)
    except SiteError as error:
        raise SiteError(f"{error.message}\n{_consequence(site, observed)}", error.detail) from None
    if tested.warning:
        outcome.notes.append(tested.warning)
    return {"path": site.settings.smoke_test.path, "status": tested.status, "seconds": round(tested.seconds, 3), "at": release.timestamp()}


def _consequence(site: _Site, observed: plan.Observed) -> str:
    again = "Mend it and deploy again."
    if observed.live is None:
        return f"Nothing was switched on. {again}"
    kept = site.places.release(observed.live.id) / "app"
    return (
        "The site was left as it was: processes that are running go on with the old code.\n"
        f"But the files in {site.places.site} are the new ones: the next process started would fail.\n"
        f"Mend them and deploy again, or go back to the last that worked: cp -a {kept}/. {site.places.site}/"
    )


def _switch(
    site: _Site, wanted: plan.Wanted, observed: plan.Observed, todo: plan.Plan, manifest: release.Manifest, token: str, outcome: Outcome
) -> None:
    where = site.places
    before = live.ask(site.url, token)
    if todo.run_fcgi:
        if observed.run_fcgi is not None:
            _keep_replaced(site, observed, outcome)
        if not todo.release:
            _write_new(where.new_run_fcgi, _render_run_fcgi(site, manifest.id).encode(), 0o700)
        _put_run_fcgi(site)
    if todo.htaccess:
        _put_htaccess(site, wanted.htaccess, observed.htaccess_mode)
    reply = live.wait_for(site.url, token, manifest.id, before=before, seconds=site.settings.timeouts.live)
    if reply.broken and not before.broken:
        _switch_back(site, observed, todo)
        raise SiteError(
            f"The web server answers {site.url} with {reply.status} since the switch, so it was undone. The app itself passed its "
            f"test: the server does not take a line of .htaccess, or lacks the Python {wanted.interpreter.path}. Its error log says which"
        )
    outcome.reached = "" if reply.release == manifest.id else reply.sentence()
    if reply.release and reply.release != manifest.id:
        outcome.reached = f"still answers with the release {reply.release} after {site.settings.timeouts.live} s"


def _keep_replaced(site: _Site, observed: plan.Observed, outcome: Outcome) -> None:
    where = site.places
    stamp = time.strftime("%Y-%m-%d-%H%M%S", time.gmtime())
    kept = where.site / f"{_KEPT_PREFIX}{stamp}.{secrets.token_hex(4)}"
    os.link(where.run_fcgi, kept)
    if observed.run_fcgi_edited:
        copy = where.site / f"run.fcgi.{stamp}"
        _write_new(copy, observed.run_fcgi or b"", 0o600)
        outcome.notes.append(f"run.fcgi had been written or edited by hand. It was replaced; yours is kept as {copy}")


def _put_run_fcgi(site: _Site) -> None:
    where = site.places
    # The restarter compares modification times, and NFS may keep whole seconds of them.
    old = where.run_fcgi.stat().st_mtime if where.run_fcgi.exists() else 0.0
    newer = max(time.time(), float(int(old) + 1))
    os.utime(where.new_run_fcgi, (newer, newer))
    os.rename(where.new_run_fcgi, where.run_fcgi)


def _put_htaccess(site: _Site, content: bytes, mode: int) -> None:
    _write_new(site.places.new_htaccess, content, (mode or 0o644) | 0o444)
    os.rename(site.places.new_htaccess, site.places.htaccess)


def _switch_back(site: _Site, observed: plan.Observed, todo: plan.Plan) -> None:
    where = site.places
    if todo.htaccess:
        if observed.htaccess is None:
            where.htaccess.unlink()
        else:
            _put_htaccess(site, observed.htaccess, observed.htaccess_mode)
    if todo.run_fcgi:
        if observed.run_fcgi is None:
            where.run_fcgi.unlink()
        else:
            _write_new(where.new_run_fcgi, observed.run_fcgi, observed.run_fcgi_mode)
            _put_run_fcgi(site)


def _links_right(site: _Site, identity: str) -> bool:
    return all(_is_foreign(path) or (path.is_symlink() and os.readlink(path) == target) for path, target in _links(site, identity))


def _links(site: _Site, identity: str) -> list[tuple[Path, str]]:
    return [(site.places.current, f"releases/{identity}"), (site.places.venv, str(site.places.release(identity) / "venv"))]


def _is_foreign(path: Path) -> bool:
    """Something of the user's that stands where a link of ours would."""
    if path.is_symlink():
        return not re.search(r"releases/[0-9-]+(/venv)?$", os.readlink(path))
    return path.exists()


def _repair_links(site: _Site, identity: str) -> None:
    for path, target in _links(site, identity):
        if not _is_foreign(path) and not (path.is_symlink() and os.readlink(path) == target):
            temporary = path.parent / f".ocf-flask-{path.name}"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            os.rename(temporary, path)


def _tidy(site: _Site, identity: str) -> None:
    where = site.places
    for old in release.removable(release.ages(where), identity, site.settings.keep):
        release.remove(where.release(old))
    for path in where.site.glob(f"{_KEPT_PREFIX}*"):
        # The change time is that of the replacement: a link's modification time is the file's own.
        if time.time() - path.lstat().st_ctime > _KEPT_SECONDS:
            path.unlink()


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """A new file with this content on the disk, or none; never in place of another.

    :raises FileExistsError: when there is one.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
