"""One site on this machine: everything about it that is fixed before it is looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from . import needs, places, release, virtualenv
from .errors import SettingError
from .settings import Settings

# For owners other than the one who runs the deploy: nothing of root's environment.
_PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"
# Of one's own environment, what would make another Python or another virtualenv of it.
_UNWANTED = re.compile(
    r"PYTHON.*|VIRTUAL_ENV.*|CONDA.*|PIP_(USER|TARGET|PREFIX|ROOT|REQUIRE_VIRTUALENV|PYTHON)"
    r"|UV_(PYTHON|PROJECT|TARGET|SYSTEM|CACHE).*|PYENV_VERSION|__PYVENV.*"
)


@dataclass(frozen=True)
class Kit:
    """What the controller brings: the rendered templates (with marks, see `templates`), the files that go into
    releases, candidates for uv, the command for another verb (with ``{verb}`` and ``{name}``), and whether the deploy
    runs as the person whose environment it has."""

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
    own_environment: bool = True


@dataclass(frozen=True)
class Site:
    """``env`` is the environment of tools such as pip, not of the application. ``code`` is the directory with the
    code that is to be deployed, and ``needs`` what that code and the settings ask for."""

    settings: Settings
    kit: Kit
    owner: places.Account
    places: places.Places
    url: str
    env: Mapping[str, str]
    code: Path
    needs: needs.Needs

    def code_directory(self, identity: str) -> Path:
        """Where a release of that ID finds its code: in itself when the deploy brings the code, else where it is edited."""
        return self.places.release(identity) / "app" if self.settings.is_managed else self.code

    def again(self, verb: str) -> str:
        """What to type for another verb."""
        return self.kit.again.format(verb=verb, name=self.settings.name)

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
    env = _environment(owner, own=kit.own_environment)
    code = places.code_directory(settings, owner, where)
    url = places.public_url(settings, owner)
    return Site(settings, kit, owner, where, url, env, code, needs.read(settings, owner, code, env, _known_interpreter(where)))


def with_code(site: Site, code: Path) -> Site:
    """The site with its code in another directory.

    :raises SiteError: for what that code asks for and cannot have.
    """
    return replace(site, code=code, needs=needs.read(site.settings, site.owner, code, site.env, _known_interpreter(site.places)))


def _known_interpreter(where: places.Places) -> virtualenv.Interpreter | None:
    live = release.last_live(where)
    try:
        return virtualenv.Interpreter(**live.interpreter) if live else None
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


def _environment(owner: places.Account, *, own: bool) -> dict[str, str]:
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
    return {**inherited, **fixed}
