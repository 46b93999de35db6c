"""Taking over a site that was made by hand: what it is, told without running anything of it, as settings.

What cannot be understood is left alone, unless its owner has said which app to serve.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import code as code_files
from . import files, handmade, handmade_files, handmade_packages, htaccess, moments, places, release, requirements, settings
from .adopted import Adopted, below
from .errors import SettingError, SiteError
from .site import Site, with_code

# Where users put a virtualenv, beside what the file itself says.
_VIRTUALENVS = ("venv", "env", ".venv", "virtualenv", ".virtualenv")
_OURS = b"ocf_flask_runtime"
# Of URLs that change, a report lists this many.
_SHOWN = 10


def recognised(site: Site) -> Site:
    """The site with what its owner has made by hand as its settings; the same site when there is nothing of the kind.

    :raises SiteError: for one that cannot be understood.
    """
    found = look(site.settings, site.owner, site.places)
    if found is None:
        return site
    taken = replace(site, settings=below(site.settings, found), adopted=found)
    if taken.settings.is_managed:
        return taken
    return with_code(taken, places.code_directory(taken.settings, site.owner, site.places))


def look(wanted: settings.Settings, owner: places.Account, where: places.Places) -> Adopted | None:
    """What a site made by hand has that the settings leave at their defaults; None when it was not made by hand.

    :raises SiteError: when it is unusual, and no setting says which app to serve.
    """
    content = files.read(where.run_fcgi)
    if content is None or _OURS in content or release.last_live(where):
        return None
    made = handmade.recognise(content, where.site, owner.home)
    default = settings.Settings(wanted.name)
    is_declared = wanted.is_managed or wanted.app != default.app
    if made.oddities and not is_declared:
        raise _refusal(made, where)
    values: dict[str, Any] = {} if is_declared else {"app": made.app}
    notes = [f"What run.fcgi did besides is no longer done: {_listed(one.sentence() for one in made.oddities)}"] if made.oddities else []
    if not wanted.is_managed and os.path.realpath(made.code) != str(where.site):
        values["code_directory"] = _shown(made.code, owner)
    taken = below(wanted, _checked(values, made, where))
    code = places.code_directory(taken, owner, where)
    virtualenv = _virtualenv(made, where.site, code)
    packages = handmade_packages.read(virtualenv) if virtualenv else handmade_packages.Packages()
    if not wanted.is_managed:
        values["packages"], said = _packages(packages, code, taken)
        notes += said
    values["public"], said = _public(taken, where)
    notes += [*said, *_virtualenv_notes(virtualenv, where)]
    new = {key: value for key, value in values.items() if getattr(wanted, key) == getattr(default, key) != value}
    return Adopted(
        settings=_checked(new, made, where).settings,
        virtualenv=str(virtualenv or ""),
        on=moments.now(),
        installed=packages.versions,
        what=_what(taken, code, virtualenv, packages),
        notes=tuple(notes),
    )


def _refusal(made: handmade.Handmade, where: places.Places) -> SiteError:
    told = "\n".join(f"  {one.sentence()}" for one in made.oddities)
    advice = [
        "It was left as it is. To have it taken over, put what it does beside starting the server into a module of its own, for example",
        f"{made.code}/wsgi.py, that ends with the finished app under the name app. Then deploy with: -e ocf_flask_app=wsgi:app",
        "With an app named, run.fcgi is replaced whatever it does, and a dated copy of it kept.",
    ]
    if any("Django" in one.what for one in made.oddities):
        advice = [
            "It was left as it is. A deploy is made for Flask. It serves any WSGI application that you name, as in:",
            "-e ocf_flask_app=mysite.wsgi:application -e ocf_flask_packages=django",
        ]
    return SiteError(f"{where.run_fcgi} was made by hand, and not as a deploy could take it over:\n{told}", advice="\n".join(advice))


def _checked(values: dict[str, Any], made: handmade.Handmade, where: places.Places) -> Adopted:
    """The values as settings have them.

    :raises SiteError: for a directory of code that no setting can name.
    """
    try:
        read = settings.read({"name": "x", **values}, {})
    except SettingError as error:
        raise SiteError(
            f"{where.run_fcgi} was made by hand, and what it says cannot be a setting: {error.message}",
            advice=f"It imports its app from {made.code}.",
        ) from None
    return Adopted({key: getattr(read, key) for key in values})


def _what(wanted: settings.Settings, code: Path, virtualenv: Path | None, packages: handmade_packages.Packages) -> tuple[str, ...]:
    count = len(packages.installed)
    app = f"the app {wanted.app}"
    if not wanted.is_managed:
        app += f" in {code}"
    python = f" (Python {packages.python})" if packages.python else ""
    had = f"{count} package{'s' if count != 1 else ''} in {virtualenv}{python}" if virtualenv else "no virtualenv"
    return app, had


def _shown(path: str, owner: places.Account) -> str:
    for home in (str(owner.home), os.path.realpath(owner.home)):
        if path.startswith(f"{home}/"):
            return "~/" + path[len(home) + 1 :]
    return path


def _virtualenv(made: handmade.Handmade, site: Path, code: Path) -> Path | None:
    usual = [directory / name for directory in dict.fromkeys((site, code)) for name in _VIRTUALENVS]
    return handmade_packages.find([*map(Path, made.virtualenvs), *usual])


def _virtualenv_notes(virtualenv: Path | None, where: places.Places) -> list[str]:
    if virtualenv is None:
        return ["No virtualenv was found. What the app needs comes from requirements.txt or ocf_flask_packages"]
    if virtualenv == where.venv:
        return []
    return [f"{virtualenv} is needed no more. Once you are content, delete it: rm -r {shlex.quote(str(virtualenv))}"]


def _packages(found: handmade_packages.Packages, code: Path, wanted: settings.Settings) -> tuple[tuple[str, ...], list[str]]:
    """What to ask for: what the owner asked for, and no requirements file names. And what to know of it."""
    named = {"flask", *requirements.named(code / (wanted.requirements or "requirements.txt"))}
    asked, notes = [], []
    for name in found.asked_for():
        one = found.installed[name]
        if name in named:
            continue
        if not one.origin:
            asked.append(name)
        elif not one.origin.startswith("/"):
            asked.append(one.requirement)
            notes.append(f"{name} was installed from {one.origin}, and is again")
        elif _is_part(Path(one.origin), code):
            notes.append(f"{name} was installed from {one.origin}, where the app's code is: it is imported from there")
        elif os.path.isdir(one.origin):
            asked.append(one.origin)
            notes.append(
                f"{name} was installed from {one.origin}, and is again: a change there takes effect with `pip install` or another version of it"
            )
        else:
            notes.append(f"{name} was installed from {one.origin}, which is gone: if the app needs it, name it in ocf_flask_packages")
    return tuple(asked), notes


def _is_part(origin: Path, code: Path) -> bool:
    return origin == code or code in origin.parents or origin in code.parents


def _public(wanted: settings.Settings, where: places.Places) -> tuple[tuple[str, ...], list[str]]:
    """The public names, with those of files that were served and should go on being; and what changes for visitors."""
    notes = ["Links with run.fcgi in them, such as run.fcgi/page, still lead to their page"]
    if not htaccess.serves_files(files.read(where.htaccess) or b""):
        return wanted.public, notes
    package_static = code_files.package_static(where.site, wanted.module)
    public = ("static/", *wanted.public, *([f"{package_static}/"] if package_static else []))
    # Otherwise its owner has said what is public.
    is_open = wanted.public == settings.Settings.public
    found = handmade_files.look(where.site, public, keep=is_open)
    return (*wanted.public, *found.public), [*notes, *_bounded(found.changed)]


def _bounded(sentences: Sequence[str]) -> list[str]:
    more = len(sentences) - _SHOWN
    return [*sentences[:_SHOWN], *([f"And {more} more URLs of files are the app's now"] if more > 0 else [])]


def _listed(sentences: Iterable[str]) -> str:
    return "; ".join(sentences)
