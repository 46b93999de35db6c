"""One site on this machine: everything about it that is fixed before it is looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from . import adopted, environment, needs, places, pythons, recorded, release, vhosts
from .errors import SettingError
from .revision import Revision
from .settings import Settings

# For owners other than the one who runs the deploy: nothing of root's environment.
_PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"
# Of one's own environment, what would make another Python or another virtualenv of it.
_UNWANTED = re.compile(
    r"PYTHON.*|VIRTUAL_ENV.*|CONDA.*|PIP_(USER|TARGET|PREFIX|ROOT|REQUIRE_VIRTUALENV|PYTHON)"
    r"|UV_(PYTHON|PROJECT|TARGET|SYSTEM_PYTHON|CACHE).*|PYENV_VERSION|__PYVENV.*"
)
# Where Debian and its kin, and Fedora and its, keep the authorities that the system trusts.
_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


@dataclass(frozen=True)
class Kit:
    """What the controller brings: the rendered templates (with marks, see `templates`), the files that go into
    releases, candidates for uv, the command for another verb (with ``{verb}`` and ``{name}``), where settings last (with
    ``{name}``), and whether the deploy runs as the person whose environment it has."""

    htaccess: str
    run_fcgi: str
    runtime: str
    starter: str
    pip: str
    command: str
    release_run: str
    run: str
    uv: tuple[str, ...] = ()
    again: str = "ansible-playbook playbooks/{verb}.yml -e site={name}"
    lasting: str = "inventory/sites/{name}.yml"
    own_environment: bool = True


@dataclass(frozen=True)
class Site:
    """``env`` is the environment of tools such as pip, not of the application. ``code`` is the directory with the
    code that is to be deployed: of managed code the live release's, or, of the ``revision``, a staged one. ``adopted``:
    what it had when it was made by hand, and ``settings`` include. ``is_new``: no release of it is there. ``keeps_code``:
    where its code comes from, only its own record says, and the live release's stays. ``urls``: those on virtual hosts,
    and ``url_notes`` what to know of them."""

    settings: Settings
    kit: Kit
    owner: places.Account
    places: places.Places
    url: str
    env: Mapping[str, str]
    code: Path
    revision: Revision | None = None
    adopted: adopted.Adopted | None = None
    is_new: bool = False
    keeps_code: bool = False
    urls: tuple[str, ...] = ()
    url_notes: tuple[str, ...] = ()

    @cached_property
    def needs(self) -> needs.Needs:
        """What that code and the settings ask for: looked at when it is asked for, because managed code may not be there yet.

        :raises SiteError: for what the code asks for and cannot have.
        """
        return needs.read(self.settings, self.owner, self.code, self.env, _known_interpreter(release.last_live(self.places)))

    @property
    def awaits_code(self) -> bool:
        """Whether its code has to be brought before anything else can be said."""
        return self.revision is not None and not self.revision.is_live

    def code_directory(self, identity: str) -> Path:
        """Where a release of that ID finds its code: in itself when the deploy brings the code, else where it is edited."""
        return self.places.release(identity) / "app" if self.settings.is_managed else self.code

    def again(self, verb: str, **more: str) -> str:
        """What to type for another verb, with further variables of it."""
        typed = self.kit.again.format(verb=verb, name=self.settings.name)
        option = " " if typed.startswith("make ") else " -e "
        return typed + "".join(f"{option}{name}={value}" for name, value in more.items())

    @property
    def lasting(self) -> str:
        """Where to write a setting that is to last."""
        return self.kit.lasting.format(name=self.settings.name)

    def expand(self, path: str) -> str:
        """A path of the settings, ``~`` being the owner's home."""
        return f"{self.owner.home}/{path[2:]}" if path.startswith("~/") else path


def open_site(settings: Settings, kit: Kit) -> Site:
    """Check everything that can be checked without looking at the site's state.

    :raises SiteError: for what has to be put right first. Nothing has been changed.
    """
    owner = owner_of(settings)
    where = places.locate(settings, owner)
    places.check_ownership(where, owner)
    env = tool_environment(owner, own=kit.own_environment)
    live = release.last_live(where)
    found = adopted.recorded(live)
    settings = adopted.below(settings, found)
    keeps_code = False
    if live and not kit.own_environment:
        said, settings = settings, _with_record(settings, where, live)
        keeps_code = settings.is_managed and not said.is_managed
    code = live_code(where, live) if settings.is_managed else places.code_directory(settings, owner, where)
    url = places.public_url(settings, owner)
    others, notes = vhosts.urls(settings, owner, where, url)
    return Site(
        settings,
        kit,
        owner,
        where,
        url,
        env,
        code,
        adopted=found,
        is_new=live is None,
        keeps_code=keeps_code,
        urls=tuple(others),
        url_notes=tuple(notes),
    )


def _with_record(settings: Settings, where: places.Places, live: release.Manifest) -> Settings:
    """For staff, who do not declare what each owner has: the settings with what the site itself records, its environment too."""
    settings = recorded.below(settings, live)
    if settings.env or "env" in settings.own:
        return settings
    return replace(settings, env=environment.read(where.release(live.id)))


def as_deployed(site: Site, manifest: release.Manifest) -> Site:
    """The site with a release's settings, environment and code.

    :raises SettingError: when the record cannot be used, or the directory of its code is not there any more.
    """
    settings = replace(recorded.as_deployed(site.settings, manifest), env=environment.read(site.places.release(manifest.id)))
    code = site.places.release(manifest.id) / "app" if settings.is_managed else places.code_directory(settings, site.owner, site.places)
    return replace(site, settings=settings, adopted=adopted.recorded(manifest), code=code)


def with_code(site: Site, code: Path) -> Site:
    """The site with its code in another directory."""
    return replace(site, code=code)


def live_code(where: places.Places, live: release.Manifest | None) -> Path:
    """Where managed code is: in the live release; before there is one, where it will be staged."""
    return where.release(live.id) / "app" if live else where.temporary / "app"


def _known_interpreter(live: release.Manifest | None) -> pythons.Interpreter | None:
    try:
        return pythons.Interpreter(**live.interpreter) if live else None
    except TypeError:
        return None


def owner_of(settings: Settings) -> places.Account:
    """The site's owner, who is the account that this process runs as.

    :raises SettingError: when that is another.
    """
    owner = places.account(settings.owner)
    if owner.uid != os.getuid():
        me = places.account("").name
        raise SettingError(f"The site {settings.name} is {owner.name}'s, and you are {me}. Do it as {owner.name}, or as root.")
    return owner


def tool_environment(owner: places.Account, *, own: bool) -> dict[str, str]:
    """What tools such as pip are run with: ``own``, as the person has it who runs this; else nothing but what they need."""
    inherited = {key: value for key, value in os.environ.items() if not _UNWANTED.fullmatch(key)} if own else {"PATH": _PLAIN_PATH}
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
    # An institution's own certificates, which pip heeds by itself.
    certificates = {"UV_SYSTEM_CERTS": "true"} if any(map(os.path.exists, _CERTIFICATES)) else {}
    return {**certificates, **inherited, **fixed}
