"""The shared directory of managed code: what the application writes, kept apart from its releases.

Each name of ``ocf_flask_shared`` is a link in a release's code that leads there, so that the application finds it
where it looks for it. No deploy, and no end of a release, loses what is in it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from . import files, tree
from .errors import SiteError
from .site import Site
from .words import some

# In a release of managed code, a link to the shared directory. By it the runtime knows such a release.
LINK = "shared"
# Flask keeps its instance directory beside the package of a src layout.
_INSTANCE = "instance"
_SOURCES = "src"


def names(site: Site, app: Path) -> list[tuple[str, str]]:
    """What is linked in the code directory ``app``, and the name in the shared directory that it leads to."""
    wanted = _outermost(site.settings.shared)
    found = [(name, name) for name in wanted]
    module = site.settings.module.partition(".")[0]
    if _INSTANCE in wanted and any((app / _SOURCES / name).exists() for name in (module, f"{module}.py")):
        found.append((f"{_SOURCES}/{_INSTANCE}", _INSTANCE))
    return found


def link(site: Site, release: Path, notes: Callable[[str], None], on_error: ExitStack) -> None:
    """Put links into a release's code in place of what is shared. What the source has there is copied, once."""
    app, where = release / "app", site.places.shared
    _make(where, where, on_error)
    directories = {name.rstrip("/") for name in site.settings.shared if name.endswith("/")}
    for inside, name in names(site, app):
        _make(where, (where / name).parent, on_error)
        _check_kind(where / name, name in directories, name)
        if os.path.lexists(app / inside):
            seeded, other = _seed(app / inside, where / name, where, on_error)
            if seeded:
                notes(f"{inside} is kept in {where / name}; the source's own {_files(seeded)} copied there")
            if other:
                notes(f"{_files(other)} in {where / name} stayed as the application has it; the source has another")
            _discard(app / inside)
        if name in directories:
            _make(where, where / name, on_error)
        parent = (app / inside).parent
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (app / inside).symlink_to(os.path.relpath(where / name, parent))
    (release / LINK).symlink_to(os.path.relpath(where, release))


def written(app: Path, known: Iterable[str], kept: Sequence[str]) -> list[str]:
    """What the application, or somebody, has put beside a release's code, and a new release would not have.

    Bytecode and caches can be had again, and so can what begins with a dot.
    """
    return sorted(set(_loose(str(app), "", tuple(kept))) - set(known))


def refuse_loss(site: Site, app: Path, known: Iterable[str]) -> None:
    """Stop before the application would start without something that it has written.

    :raises SiteError: naming it, and the setting that keeps it.
    """
    wanted = [name for name, _ in names(site, app)]
    found = written(app, known, wanted)
    if found:
        top = sorted({_apart(name, set(known)) for name in found})
        setting = ", ".join([*site.settings.shared, *(name for name in top if name.rstrip("/") not in wanted)])
        raise SiteError(
            f"The application wrote {some(found)} beside its code, and a new release would not have it.\n"
            f"To keep it for every release: ocf_flask_shared: [{setting}]. It is then copied to {site.places.shared}.\n"
            f"What nobody needs, delete: it is in {app}"
        )


def _apart(name: str, known: set[str]) -> str:
    """The outermost directory of a file's that has no code in it, as the setting takes it; the file itself where there is none."""
    parts = name.split("/")
    above = (f"{'/'.join(parts[:count])}/" for count in range(1, len(parts)))
    return next((one for one in above if not any(path.startswith(one) for path in known)), name)


def loose_notes(site: Site, app: Path, known: Iterable[str]) -> list[str]:
    """What is said at once of what the application has written in its test, before it has data in there."""
    found = written(app, known, [name for name, _ in names(site, app)])
    what = (
        f"The app wrote {_files(found)} beside its code, where the next release does not find it. To keep such, name it in ocf_flask_shared"
    )
    return [what] if found else []


def take_over(site: Site, app: Path, on_error: ExitStack) -> list[str]:
    """Copy what an earlier release has under names that are shared only now."""
    taken = []
    for inside, name in names(site, app):
        source = app / inside
        if os.path.lexists(source) and not source.is_symlink():
            _make(site.places.shared, site.places.shared, on_error)
            _make(site.places.shared, (site.places.shared / name).parent, on_error)
            seeded, _ = _seed(source, site.places.shared / name, site.places.shared, on_error)
            taken += [name] if seeded else []
    return taken


def _outermost(shared: Sequence[str]) -> list[str]:
    plain = sorted({name.rstrip("/") for name in shared})
    return [name for name in plain if not any(name.startswith(f"{other}/") for other in plain)]


def _make(shared: Path, directory: Path, on_error: ExitStack) -> None:
    """A directory in the shared one, and those above it; taken away again while they are empty."""
    for one in [*reversed([path for path in directory.parents if shared in path.parents or path == shared]), directory]:
        if not os.path.lexists(one):
            one.mkdir(mode=0o700)
            on_error.callback(files.remove_if_empty, one)


def _check_kind(path: Path, is_directory: bool, name: str) -> None:
    if os.path.lexists(path) and path.is_dir() != is_directory:
        kind, other = ("directory", "a file") if is_directory else ("file", "a directory")
        written = f"{name}/" if not is_directory else name
        raise SiteError(
            f"ocf_flask_shared names the {kind} {name}, and {path} is {other}. Write it as {written}, or rename that: mv {path} {path}.old"
        )


def _seed(source: Path, target: Path, shared: Path, on_error: ExitStack) -> tuple[list[str], list[str]]:
    """Copy the files that are not there yet, and take the source's away: those copied, and those that differ."""
    seeded, other = [], []
    for relative in _below(source):
        old, new = source / relative if relative else source, target / relative if relative else target
        _make(shared, new.parent, on_error)
        if not os.path.lexists(new):
            digest = _copy(old, new)
            on_error.callback(_unseed, new, digest)
            seeded.append(new.name)
        elif not new.is_file() or tree.digest(new) != tree.digest(old):
            other.append(new.name)
    return seeded, other


def _copy(old: Path, new: Path) -> str:
    temporary = new.parent / ".ocf-flask-new-shared"
    temporary.unlink(missing_ok=True)
    tree.copy_file(old, temporary, 0o600)
    os.rename(temporary, new)
    return tree.digest(new)


def _unseed(path: Path, digest: str) -> None:
    """What the application has changed since is its own."""
    with suppress(OSError):
        if tree.digest(path) == digest:
            path.unlink()


def _discard(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)


def _below(path: Path) -> Iterator[str]:
    """The regular files of a tree, relative to it; the empty name for a file itself. Links stay behind."""
    if path.is_symlink():
        return
    if path.is_file():
        yield ""
    elif path.is_dir():
        yield from (name for name, mark in tree.marks(path).items() if not mark.startswith(tree.LINK))


def _files(found: Sequence[str]) -> str:
    return f"{len(found)} file{'s' if len(found) != 1 else ''} ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})"


_CACHES = frozenset(("__pycache__", "flask_session", "node_modules"))


def _loose(app: str, below: str, kept: Sequence[str]) -> Iterator[str]:
    try:
        entries = list(os.scandir(f"{app}/{below}"))
    except OSError:
        return
    for entry in entries:
        name = below + entry.name
        if entry.name.startswith(".") or entry.name in _CACHES or tree.is_below(name, kept) or entry.name.endswith((".pyc", ".egg-info")):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _loose(app, name + "/", kept)
        elif entry.is_file(follow_symlinks=False):
            yield name
