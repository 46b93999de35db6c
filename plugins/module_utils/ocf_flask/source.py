"""Where managed code comes from, and how it gets into a release: from a git repository, or a directory on the controller.

First it is found out which *revision* is wanted. When the live release has it, the live release's own tree is the code,
and nothing is fetched or written. Else the tree is staged beside the releases, and becomes the next one's by a rename.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from . import git, places, release, tree
from .delivery import Delivery
from .errors import SettingError, SiteError
from .revision import Brought, Revision, recorded
from .settings import Settings
from .site import Site, live_code, owner_of, with_code


def settle(site: Site, brought: Brought) -> Site:
    """The site with the revision that its settings ask for; with its code when that is there already.

    :raises SiteError: when it cannot be found out.
    """
    return settled(replace(site, revision=_wanted(site, brought))) if site.settings.is_managed else site


def settled(site: Site) -> Site:
    """The same at this moment: another deploy may have brought the revision, or another one."""
    if site.revision is None:
        return site
    live = release.last_live(site.places)
    code = live_code(site.places, live)
    return replace(site, code=code, revision=replace(site.revision, is_live=_is_live(site.revision, live, code)))


def stage(site: Site, target: Path, store: Path) -> Site:
    """Write the revision's tree into a new directory: the site with that as its code.

    :param store: the bare repository to fetch into.
    :raises SiteError: when it cannot be had.
    """
    revision, writer = site.revision, tree.Writer(target)
    assert revision is not None, "only managed code is staged"
    if revision.code is not None:
        _write(site, revision.code, revision.delivery, writer)
        notes = [*revision.notes, *git.left_out_notes(writer.left_out)]
        return with_code(replace(site, revision=replace(revision, notes=tuple(notes))), target)
    repository = git.Store(store, git.remote(site), site.settings.timeouts.build)
    commit = repository.fetch(revision.record["commit"])
    notes = repository.export(commit, writer, target.parent)
    record = {**revision.record, "commit": commit, "subject": repository.subject(commit)}
    return with_code(replace(site, revision=replace(revision, record=record, notes=tuple(notes))), target)


def _wanted(site: Site, brought: Brought) -> Revision:
    if site.keeps_code:
        return _unchanged(site)
    if not site.settings.is_repository:
        return _of_directory(site.settings, brought)
    live = recorded(release.last_live(site.places))
    version = git.find(git.remote(site), site.settings.version, live.get("commit", ""))
    return Revision({"repository": git.split(site.settings.source)[0], "version": version.name, "commit": version.commit})


def _unchanged(site: Site) -> Revision:
    """That of the live release."""
    live = release.last_live(site.places)
    return Revision(recorded(live), dict(live.inputs["code"]) if live and not site.settings.is_repository else None)


def _is_live(revision: Revision, live: release.Manifest | None, app: Path) -> bool:
    """Whether the live release has that revision, and all of it."""
    if live is None or not all(os.path.lexists(app / name) for name in live.inputs["code"]):
        return False
    record = recorded(live)
    if revision.code is not None:
        return "directory" in record and bool(live.inputs["code"] == dict(revision.code))
    return "repository" in record and record.get("commit", "").startswith(revision.record["commit"])


def missing(settings: Settings, brought: Brought) -> list[str]:
    """The digests of the contents that this machine has not yet for a site."""
    if not settings.is_managed or settings.is_repository:
        return []
    revision = _of_directory(settings, brought)
    where = places.locate(settings, owner_of(settings))
    live = release.last_live(where)
    if live and _is_live(revision, live, where.release(live.id) / "app"):
        return []
    needed = _digests(revision.code or {})
    return sorted(needed - _present(where, live, needed).keys())


def _of_directory(settings: Settings, brought: Brought) -> Revision:
    found = brought.sources.get(settings.source)
    if found is None:
        raise SettingError(
            f"ocf_flask_source is {settings.source!r}, and nothing of it was brought along. Deploy with playbooks/deploy.yml, "
            "on the machine that has this directory."
        )
    if found.get("error"):
        raise SettingError(str(found["error"]))
    return Revision({"directory": settings.source}, dict(found["files"]), brought.delivery, tuple(found.get("notes", ())))


def _digests(marks: Mapping[str, str]) -> set[str]:
    return {tree.content_of(mark) for mark in marks.values() if _is_file(mark)}


def _is_file(mark: str) -> bool:
    return not mark.startswith(tree.LINK)


def _present(where: places.Places, live: release.Manifest | None, needed: set[str]) -> dict[str, Path]:
    """Where the live release has contents that are needed; what was changed in it by hand has other ones."""
    if live is None:
        return {}
    found = {}
    for name, mark in live.inputs["code"].items():
        digest = tree.content_of(str(mark))
        path = where.release(live.id) / "app" / str(name)
        if digest in needed and digest not in found:
            with suppress(OSError):
                if path.is_file() and tree.digest(path) == digest:
                    found[digest] = path
    return found


def _write(site: Site, code: Mapping[str, str], delivery: Delivery | None, writer: tree.Writer) -> None:
    live = release.last_live(site.places)
    present = _present(site.places, live, _digests(code))
    contents = delivery.contents() if delivery else None
    for name, mark in code.items():
        if not _is_file(mark):
            writer.link(name, mark[len(tree.LINK) :])
            continue
        digest = tree.content_of(mark)
        pieces = tree.pieces(present[digest]) if digest in present else _from(contents, digest, name)
        if writer.file(name, pieces, executable=mark.endswith(tree.EXECUTABLE)) not in ("", digest):
            raise SiteError(f"{name} was changed on the way. Deploy again.")
    writer.finish()


_PIECE = 1 << 20


def _from(contents: zipfile.ZipFile | None, digest: str, name: str) -> Iterator[bytes]:
    if contents is None or digest not in contents.NameToInfo:
        raise SiteError(f"The content of {name} was not brought along: the site was changed by another deploy meanwhile. Deploy again.")
    with contents.open(digest) as file:
        while piece := file.read(_PIECE):
            yield piece
