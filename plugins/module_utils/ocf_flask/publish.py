"""Static files of code that lies where the web server cannot read it: copies in the web space.

What the web server delivers itself (``static/``, the package's own, ``ocf_flask_public``) is copied to where it would lie
in the site's directory. A release records what it has published; nothing else there is ever replaced or removed, but
for a copy of ours that somebody changed, which is kept aside. What only an older release has stays as long as its
pages may be open.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from . import code, files, moments, release, templates, tree
from .places import Places
from .site import Site

_STATIC = "static/"
_NEW = ".ocf-flask-new-static"
# Of a file as it was published: its digest, its size in bytes, and its modification time in whole seconds.
Record = list[object]


@dataclass(frozen=True)
class Found:
    """``wanted``: by name in the site's directory, the file of the code, relative to that. ``todo``: names to be written, each with the
    reason. ``foreign``: names at which something of the user's stands. ``stale``: names that the record has too many."""

    wanted: Mapping[str, str] = field(default_factory=dict)
    todo: Mapping[str, str] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        return bool(self.todo or self.stale)


def is_needed(site: Site) -> bool:
    """Whether the code lies elsewhere than in the site's directory."""
    return site.settings.is_managed or site.code != site.places.site


def look(site: Site, live: release.Manifest | None, back_to: release.Manifest | None = None) -> Found:
    """What has to be copied. Changes nothing.

    :param back_to: the earlier release that the site's code is of, if it is.
    """
    if not is_needed(site):
        return Found()
    recorded = live.published if live else {}
    # What the application makes in a release is its own to deliver.
    whose = back_to or live
    known = whose.inputs["code"] if whose and site.settings.is_managed and site.code == site.places.release(whose.id) / "app" else None
    wanted = _wanted(site, known)
    others = _records(site.places)
    todo, foreign = {}, []
    for name, source in wanted.items():
        path = site.places.site / name
        if _is_foreign(site.places.site, name):
            foreign.append(name)
        elif not os.path.lexists(path):
            todo[name] = "added" if name not in recorded else "put back"
        elif name in recorded and _is_as_recorded(path, recorded[name]) and _digest(site.code, source, known) == recorded[name][0]:
            continue
        elif path.is_file() and tree.digest(path) == tree.digest(site.code / source):
            # Somebody's own with the same content is as good, and stays his.
            if name in others and name not in recorded:
                todo[name] = "added"
        elif name not in others:
            foreign.append(name)
        else:
            todo[name] = "changed" if _is_as_recorded(path, recorded.get(name, [])) else "put back"
    stale = tuple(sorted(set(recorded) - set(wanted)))
    return Found(wanted, todo, tuple(foreign), stale)


def claim(code_directory: Path, found: Found, live: release.Manifest | None) -> dict[str, Record]:
    """What the release with that code will have published: its record, made before anything is written.

    A name that a user's own file has is not ours.
    """
    now = int(time.time())
    recorded = live.published if live else {}
    claimed: dict[str, Record] = {}
    for name, source in found.wanted.items():
        if name in found.todo:
            path = code_directory / source
            claimed[name] = [tree.digest(path), path.stat().st_size, now]
        elif name in recorded and name not in found.foreign:
            claimed[name] = recorded[name]
    return claimed


def put(
    site: Site, code_directory: Path, found: Found, claimed: Mapping[str, Record], notes: Callable[[str], None], on_error: ExitStack
) -> None:
    """Copy what is to be copied out of that code, each file by a rename; taken back on an error."""
    known = _records(site.places)
    for name in found.todo:
        path, record = site.places.site / name, claimed[name]
        _make_parents(site.places.site, name, on_error)
        new = path.parent / _NEW
        new.unlink(missing_ok=True)
        on_error.callback(new.unlink, missing_ok=True)
        tree.copy_file(code_directory / found.wanted[name], new, 0o644)
        os.utime(new, (int(str(record[2])),) * 2)
        if os.path.lexists(path):
            if not any(_is_as_recorded(path, one, closely=True) for one in known.get(name, [])):
                kept = _keep(site.places, name)
                notes(f"{name} is a copy that a deploy makes, and had been changed by hand: it was replaced, and yours is kept as {kept}")
            old = _old(path)
            old.unlink(missing_ok=True)
            os.link(path, old, follow_symlinks=False)
            on_error.callback(os.rename, old, path)
        else:
            on_error.callback(path.unlink, missing_ok=True)
        os.rename(new, path)


def forget_replaced(site: Site, names: Iterable[str]) -> None:
    """Remove the links by which replaced files could have been put back."""
    for name in names:
        _old(site.places.site / name).unlink(missing_ok=True)


def retract(places: Places, record: Mapping[str, Record], keep: Iterable[Mapping[str, Record]]) -> None:
    """Remove what a release has published and none of the others has, unless somebody has changed it since."""
    kept = {name for one in keep for name in one}
    for name in sorted(set(record) - kept, reverse=True):
        path = places.site / name
        if not _is_foreign(places.site, name) and _is_as_recorded(path, record[name], closely=True):
            path.unlink()
            _remove_empty(places.site, name)


def sweep(places: Places, half: release.Manifest, live: release.Manifest | None) -> None:
    """Take back what a deploy that was killed had published, and put back what it had replaced."""
    for name in half.published:
        path = places.site / name
        (path.parent / _NEW).unlink(missing_ok=True)
        old = _old(path)
        if os.path.lexists(old):
            os.rename(old, path)
    retract(places, half.published, [live.published] if live else [])


def tidy(places: Places, identity: str, ages: Mapping[str, float | None]) -> None:
    """Remove what only releases have published that no open page comes from any more."""
    found = {one: release.read(places.release(one)) for one in ages}
    young = [one.published for name, one in found.items() if one and (name == identity or (ages[name] or 0) <= release.PROCESS_LIFETIME)]
    for one in found.values():
        if one and one.published not in young:
            retract(places, one.published, young)


def _wanted(site: Site, known: Mapping[str, str] | None) -> dict[str, str]:
    """The files of the code that the web server is to deliver, by their name in the site's directory.

    What is shared is the application's to deliver: it comes and goes without a deploy.

    :param known: the files that there are to choose from, if not all.
    """
    settings, root = site.settings, os.path.realpath(site.code)
    expression = re.compile(templates.public_expression((_STATIC, *settings.public)))
    own = code.package_static(Path(root), settings.module)
    shared = [name.rstrip("/") for name in settings.shared] if settings.is_managed else []
    found: dict[str, str] = {}
    for inside, outside in [("", ""), *([(f"{own}/", _STATIC)] if own else [])]:
        for name in _walk(root, inside, settings.public if not inside else None):
            target, real = outside + name[len(inside) :], os.path.relpath(os.path.realpath(f"{root}/{name}"), root)
            if (
                expression.fullmatch(target)
                and not templates.PROGRAM.search(target)
                and (known is None or real in known)
                and not tree.is_below(name, shared)
                and not tree.is_below(real, shared)
            ):
                found.setdefault(target, real)
    return dict(sorted(found.items()))


def _walk(root: str, below: str, public: tuple[str, ...] | None) -> Iterator[str]:
    """The files of a tree, by path relative to it. A link is followed to what is in the tree itself."""
    tops = None if public is None else {pattern.split("/")[0] for pattern in (_STATIC, *public)}
    yield from _below(root, below, tops, frozenset())


def _below(root: str, below: str, tops: set[str] | None, seen: frozenset[str]) -> Iterator[str]:
    try:
        entries = list(os.scandir(f"{root}/{below}"))
    except OSError:
        return
    for entry in entries:
        if tops is not None and entry.name not in tops and not any("*" in top for top in tops):
            continue
        name, real = below + entry.name, os.path.realpath(entry.path)
        if not real.startswith(root + "/") or entry.name in ("__pycache__", ".git"):
            continue
        if entry.is_dir():
            if real not in seen:
                yield from _below(root, name + "/", None, seen | {real})
        elif entry.is_file() and os.access(entry.path, os.R_OK):
            yield name


def _records(places: Places) -> dict[str, list[Record]]:
    """All that the releases there are say they have published."""
    found: dict[str, list[Record]] = {}
    for identity in release.ages(places):
        manifest = release.read(places.release(identity))
        for name, record in (manifest.published if manifest else {}).items():
            found.setdefault(name, []).append(record)
    return found


def _is_as_recorded(path: Path, record: Record, *, closely: bool = False) -> bool:
    """Whether a file is the one that was published: by size and time, or, closely, by its content."""
    try:
        status = path.lstat()
    except OSError:
        return False
    if len(record) != 3 or not stat.S_ISREG(status.st_mode) or status.st_size != record[1]:
        return False
    return (not closely and int(status.st_mtime) == record[2]) or tree.digest(path) == record[0]


def _digest(directory: Path, source: str, known: Mapping[str, str] | None) -> str:
    """The digest of a file of the code; a release's are recorded."""
    return tree.content_of(known[source]) if known else tree.digest(directory / source)


def _is_foreign(site: Path, name: str) -> bool:
    """Whether on the way there is something that is no directory, or at its end no file: a link of the user's may lead anywhere."""
    parts = name.split("/")
    for end in range(1, len(parts)):
        path = site / "/".join(parts[:end])
        if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
            return True
    path = site / name
    return path.is_symlink() or path.is_dir()


def _make_parents(site: Path, name: str, on_error: ExitStack) -> None:
    """The directories on the way, which the web server passes through."""
    parts = name.split("/")
    for end in range(1, len(parts)):
        path = site / "/".join(parts[:end])
        if not path.is_dir():
            path.mkdir(mode=0o711)
            path.chmod(0o711)
            on_error.callback(files.remove_if_empty, path)


def _keep(places: Places, name: str) -> Path:
    """A copy of somebody's file where no visitor finds it."""
    kept = places.private / "replaced" / moments.stamp() / name
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    tree.copy_file(places.site / name, kept, 0o600)
    return kept


def _old(path: Path) -> Path:
    """The further name of a replaced file, until the web server has taken the new release; its own may be as long as a name can be."""
    return path.parent / f"{_NEW}.{files.digest(os.fsencode(path.name))[:16]}"


def _remove_empty(site: Path, name: str) -> None:
    for parent in (site / name).parents:
        if parent == site:
            return
        files.remove_if_empty(parent)
