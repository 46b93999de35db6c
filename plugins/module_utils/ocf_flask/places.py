"""Whose site it is, and where its files lie on this machine."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .errors import AccountDisabled, SettingError, SiteError
from .settings import Settings

SERVICE_URL = "https://www.ocf.berkeley.edu/~{owner}/{name}/"
LOCAL_URL = "http://localhost/~{owner}/{name}/"
# The directory of all of an account's sites, which may be one site itself.
WEB_SPACE, PRIVATE = "~/public_html", "~/.ocf-flask"

# Kernels before 5.1 cut a shebang after 127 characters (fs/binfmt_script.c).
SHEBANG_LIMIT = 127
# What the service gives an account that staff have closed.
_DISABLED_SHELL = "sorried"
_ID_LENGTH = len("20261124-034512-2")


@dataclass(frozen=True)
class Account:
    """The owner of a site, as the machine's account database has it."""

    name: str
    uid: int
    gid: int
    home: Path
    shell: str = ""


def account(owner: str) -> Account:
    """The account of that name; of the running process when the name is empty.

    :raises SettingError: when the machine knows no such account.
    """
    try:
        return _named(owner) if owner else _of(pwd.getpwuid(os.getuid()))
    except KeyError:
        who = f"account {owner!r}" if owner else f"account with the user ID {os.getuid()}"
        raise SettingError(
            f"ocf_flask_owner: this machine has no {who}. Check the spelling with: getent passwd {owner or os.getuid()}"
        ) from None


@cache
def _named(owner: str) -> Account:
    """Kept, because a run asks again for each site, and a server with thousands of accounts asks another machine."""
    return _of(pwd.getpwnam(owner))


def account_of(uid: int) -> Account:
    """The account with that user ID.

    :raises SettingError: when there is none.
    """
    try:
        return _of(pwd.getpwuid(uid))
    except KeyError:
        raise SettingError(f"This machine has no account with the user ID {uid}.") from None


def _of(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir), entry.pw_shell)


@dataclass(frozen=True)
class Places:
    """The absolute paths of one site. ``site`` is what visitors reach, ``private`` what none can. ``crontab_lock``: one for all sites of
    an owner, who share the crontab."""

    site: Path
    private: Path
    crontab_lock: Path

    @property
    def htaccess(self) -> Path:
        return self.site / ".htaccess"

    @property
    def run_fcgi(self) -> Path:
        return self.site / "run.fcgi"

    @property
    def new_run_fcgi(self) -> Path:
        """The next ``run.fcgi`` while it is tested. Ends in .fcgi, as what the web server starts does."""
        return self.site / ".ocf-flask-new-run.fcgi"

    @property
    def new_htaccess(self) -> Path:
        return self.site / ".ocf-flask-new-htaccess"

    @property
    def old_htaccess(self) -> Path:
        """The replaced ``.htaccess`` until the web server has taken the new one."""
        return self.site / ".ocf-flask-old-htaccess"

    @property
    def venv(self) -> Path:
        return self.site / "venv"

    @property
    def releases(self) -> Path:
        return self.private / "releases"

    @property
    def current(self) -> Path:
        return self.private / "current"

    @property
    def lock(self) -> Path:
        return self.private / "lock"

    @property
    def log(self) -> Path:
        return self.private / "log"

    @property
    def run(self) -> Path:
        """The program that runs a command in the live release: a path that stays, for crontabs and people."""
        return self.private / "run"

    @property
    def token(self) -> Path:
        return self.private / "token"

    @property
    def shared(self) -> Path:
        """What the application of managed code writes: no deploy, and no end of a release, loses it."""
        return self.private / "shared"

    @property
    def kept(self) -> Path:
        """What was newer than a release that was gone back to."""
        return self.private / "kept"

    @property
    def repository(self) -> Path:
        """What was fetched of the git repository that the code comes from."""
        return self.private / "repository.git"

    @property
    def temporary(self) -> Path:
        """There as long as a run is at work, and when one was interrupted."""
        return self.private / "tmp"

    def release(self, identity: str) -> Path:
        return self.releases / identity


def locate(settings: Settings, owner: Account) -> Places:
    """The site's directories, checked: nothing is created.

    :raises AccountDisabled: when the owner's account is.
    :raises SiteError: when one of them cannot hold a site that works and keeps its secrets.
    """
    check_enabled(owner)
    site = absolute(settings.directory or f"{WEB_SPACE}/{settings.name}", owner)
    private = absolute(settings.private_directory or f"{PRIVATE}/{settings.name}", owner)
    web_space = absolute(WEB_SPACE, owner)
    real_space, web_root = _real(web_space), _real(settings.web_root or site)
    if settings.whole_web_space:
        site = _whole_web_space(settings, site, real_space)
    if web_space in site.parents or settings.whole_web_space:
        _check_web_space(settings, owner, web_space, real_space, web_root)
    homes, spaces = [owner.home, _real(owner.home)], [web_space, real_space]
    several = homes if settings.whole_web_space else [*homes, *spaces]
    better = f"ocf_flask_directory={web_space}/{settings.name}"
    _check_own(site, several, f"ocf_flask_directory is {str(site)!r}", better)
    # Apache sees the web space by its real name. Only the last component must not be a link (suexec).
    site = _real(site.parent) / site.name
    _check_own(site, several, f"ocf_flask_directory is {str(site)!r}", better)
    if site.is_symlink():
        raise SiteError(
            f"{site} is a symbolic link (to {os.readlink(site)}). The web server runs a site only from a real directory. "
            f"Rename the link, or name the site otherwise: -e site=NAME"
        )
    if site.exists() and not site.is_dir():
        raise SiteError(f"{site} is a file, and the site's directory should be there. Rename it: mv {site} {site}.old")
    private = _real(private)
    better = f"ocf_flask_private_directory={PRIVATE}/{settings.name}"
    _check_own(private, [*homes, *spaces], f"ocf_flask_private_directory is {str(private)!r}", better)
    _check_private(private, site, [site, real_space, web_root], settings)
    _check_plain(site, "ocf_flask_directory")
    _check_plain(private, "ocf_flask_private_directory")
    return Places(site, private, absolute(f"{PRIVATE}/crontab.lock", owner))


def _real(path: Path | str) -> Path:
    """Without links: it takes a look at each directory on the way."""
    return Path(os.path.realpath(path))


def check_enabled(owner: Account) -> None:
    """See that the account is not closed, as staff do it: by its shell, and a web space that nobody can enter.

    :raises AccountDisabled: when it is.
    """
    space = absolute(WEB_SPACE, owner)
    if os.path.basename(owner.shell) == _DISABLED_SHELL:
        raise AccountDisabled(f"The account {owner.name} is disabled: its shell is {owner.shell}.")
    with suppress(OSError):
        if not stat.S_IMODE(space.stat().st_mode) & stat.S_IRWXU:
            raise AccountDisabled(f"The account {owner.name} is disabled: its web space {_real(space)} is closed to itself.")


def code_directory(settings: Settings, owner: Account, places: Places) -> Path:
    """Where the code of a site lies that is edited in place.

    :raises SettingError: for a directory that is not there, or where code cannot lie.
    """
    if not settings.code_directory:
        return places.site
    code = _real(absolute(settings.code_directory, owner))
    what = f"ocf_flask_code_directory is {settings.code_directory!r}"
    if not code.is_dir():
        raise SettingError(f"{what}, and there is no such directory. Make it, and put the application there: mkdir -p {code}")
    if code == places.site:
        raise SettingError(f"{what}, which is the site's directory. Code is there by itself: leave the setting away.")
    if code in places.site.parents or code in places.private.parents:
        raise SettingError(f"{what}, and the site's directory is in it, or its private one. Name one with the code alone.")
    if code == places.private or places.private in code.parents:
        raise SettingError(f"{what}, which is in the site's own private directory. Name another, for example ~/app")
    for public in (places.site, _real(absolute(WEB_SPACE, owner))):
        if public in code.parents or code == public:
            raise SettingError(f"{what}, which is in {public}, where visitors may reach it. Name one outside, for example ~/app")
    if code.stat().st_uid != owner.uid:
        raise SettingError(f"{what}, and it belongs to {_name(code.stat().st_uid)}. Name one of {owner.name}'s own.")
    return code


def public_url(settings: Settings, owner: Account) -> str:
    """The URL at which visitors find the site."""
    pattern = settings.url or (SERVICE_URL if is_service(settings) else LOCAL_URL)
    if settings.whole_web_space and not settings.url:
        pattern = pattern.replace("{name}/", "")
    return pattern.format(owner=owner.name, name=settings.name)


def is_service(settings: Settings) -> bool:
    """Whether this machine has the web spaces of a service."""
    return bool(settings.web_root) and os.path.isdir(settings.web_root)


def absolute(path: str, owner: Account) -> Path:
    """A path of the settings, ``~`` being the owner's home."""
    return Path(owner.home, path[2:].lstrip("/")) if path.startswith("~/") else Path(path)


def _whole_web_space(settings: Settings, site: Path, web_space: Path) -> Path:
    """The real directory: ``~/public_html`` is a link to it on the service.

    :raises SettingError: when both settings do not say that it shall be.
    """
    if not settings.directory or _real(site) != web_space:
        raise SettingError(
            f"ocf_flask_whole_web_space is true, and ocf_flask_directory is {settings.directory!r}, not the web space. "
            f"For a site that is the whole web space, set: -e ocf_flask_directory={WEB_SPACE}"
        )
    return web_space


def _check_own(path: Path, several: Sequence[Path], what: str, better: str) -> None:
    """``several``: directories that have more in them than one site."""
    if any(path == one or path in one.parents for one in several):
        raise SettingError(f"{what}, which is more than one site's directory. Name one of its own: -e {better}")


def _check_web_space(settings: Settings, owner: Account, web_space: Path, real_space: Path, root: Path) -> None:
    if not is_service(settings):
        return
    if web_space.is_symlink() and root in real_space.parents and web_space.is_dir():
        return
    state = "is not a link to it" if os.path.lexists(web_space) else "does not exist"
    if web_space.is_symlink() and not web_space.exists():
        state = f"is a link to {os.readlink(web_space)}, which does not exist"
    advice = f"Log in as {owner.name} and type: makehttp"
    if os.path.lexists(web_space) and not web_space.is_symlink():
        advice = f"Rename it (mv {web_space} {web_space}.old), then type: makehttp"
    if owner.uid == 0:
        advice = "root has no web space; name the site's owner: -e owner=ALICE"
    raise SiteError(f"{owner.name} has no web space: this server serves sites from {root}, and {web_space} {state}. {advice}")


def _check_private(private: Path, site: Path, public: Sequence[Path], settings: Settings) -> None:
    for one in public:
        if private == one or one in private.parents:
            raise SettingError(
                f"ocf_flask_private_directory is {str(private)!r}, which visitors may reach (it is in {one}). "
                f"Name one outside: -e ocf_flask_private_directory={PRIVATE}/{settings.name}"
            )
    if private in site.parents:
        raise SettingError(
            f"ocf_flask_private_directory is {str(private)!r}, and the site's directory {site} is inside it. "
            f"Name another: -e ocf_flask_private_directory={PRIVATE}/{settings.name}"
        )
    shebang = f"#!{private}/releases/{'0' * _ID_LENGTH}/venv/bin/python"
    length = len(os.fsencode(shebang))
    if length > SHEBANG_LIMIT:
        raise SettingError(
            f"The private directory {private} is too long: the first line of run.fcgi would have {length} bytes, "
            f"and the system takes {SHEBANG_LIMIT}. Choose a shorter site name, or a shorter directory with "
            f"-e ocf_flask_private_directory=~/.flask/NAME"
        )


def _check_plain(path: Path, setting: str) -> None:
    bad = sorted({char for char in str(path) if not (char.isalnum() or char in "_.,+@~:=/-")})
    if bad:
        raise SettingError(
            f"The path {str(path)!r} has {' '.join(map(repr, bad))} in it, with which neither a shebang nor Apache's "
            f"FcgidWrapper works. Name another: -e {setting}=PATH"
        )


def check_apart(places: Places, owner: Account, name: str) -> None:
    """A new site is not in the directory of another one, but for the web space as a whole.

    :raises SettingError: when it is.
    """
    web_space = _real(absolute(WEB_SPACE, owner))
    for parent in places.site.parents:
        if parent in (owner.home, web_space):
            break
        if os.path.lexists(parent / "run.fcgi"):
            raise SettingError(
                f"ocf_flask_directory is {str(places.site)!r}, and that is in the directory of another site, {parent}: "
                f"who removes the one would remove both. Name one outside of it: -e ocf_flask_directory={WEB_SPACE}/{name}"
            )


def check_ownership(places: Places, owner: Account) -> None:
    """Everything that suexec looks at belongs to the owner, or is not there yet.

    :raises SiteError: suexec runs nothing whose file or directory is another's (apache2/support/suexec.c).
    """
    for path in (places.site, places.run_fcgi, places.private):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if found.st_uid != owner.uid:
            raise SiteError(
                f"{path} belongs to {_name(found.st_uid)}, not to {owner.name}: the web server would not run it. "
                f"Name the right owner with -e owner=NAME, or have it changed: chown -R {owner.name} {path}"
            )
    if os.path.lexists(places.run_fcgi) and not stat.S_ISREG(places.run_fcgi.lstat().st_mode):
        raise SiteError(f"{places.run_fcgi} is not a plain file. Rename it: mv {places.run_fcgi} {places.run_fcgi}.old")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user ID {uid}"
