"""A user's ``.htaccess``: our block between two marker lines, everything else as it was, byte for byte."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import SiteError

BEGIN = b"# BEGIN ocf_flask: the lines down to END are the deploy's; write yours above or below them"
END = b"# END ocf_flask"

_BEGIN = re.compile(rb"^[ \t]*# BEGIN ocf_flask\b")
_END = re.compile(rb"^[ \t]*# END ocf_flask\b")

# The four lines of the recipe by hand. Left in place they would still rewrite every request.
_RECIPE = (
    re.compile(rb"RewriteEngine\s+on", re.I),
    re.compile(rb"RewriteBase\s+/\S*", re.I),
    re.compile(rb"RewriteCond\s+%\{REQUEST_FILENAME\}\s+!-f", re.I),
    re.compile(rb"RewriteRule\s+\S+\s+\S*run\.fcgi/\$1(\s+\[[^\]]*\])?", re.I),
)

# Directives that can take a request away from the application (mod_rewrite, mod_alias, core, mod_dir, mod_mime).
_TAKING = re.compile(
    rb"\s*(RewriteRule|RewriteOptions|Redirect|RedirectMatch|RedirectPermanent|RedirectTemp|SetHandler|AddHandler|ForceType|"
    rb"Action|Script|FallbackResource|DirectoryIndex|DirectorySlash|FcgidWrapper|RemoveHandler)\b",
    re.I,
)


@dataclass(frozen=True)
class Merged:
    """``content``: the whole file. ``replaced``: the recipe's lines that are gone. ``taking``: the user's
    lines that answer requests before the application can, each as "line 3: RewriteRule ..."."""

    content: bytes
    replaced: tuple[str, ...]
    taking: tuple[str, ...]


def merge(present: bytes, block: bytes) -> Merged:
    """Put the block into a file's content: where it was, else in place of the recipe's lines, else at the end.

    :param block: our directives, without marker lines.
    :raises SiteError: when the marker lines are not one pair.
    """
    ours = BEGIN + b"\n" + block.rstrip(b"\n") + b"\n" + END + b"\n"
    lines = present.splitlines(keepends=True)
    begins = [number for number, line in enumerate(lines) if _BEGIN.match(line)]
    ends = [number for number, line in enumerate(lines) if _END.match(line)]
    if len(begins) != len(ends) or len(begins) > 1 or begins > ends:
        raise SiteError(
            f".htaccess has {len(begins)} lines '# BEGIN ocf_flask' and {len(ends)} lines '# END ocf_flask', and should have one pair "
            f"or none. Delete the marker lines and all lines between them, then deploy again"
        )
    before, after = (lines[: begins[0]], lines[ends[0] + 1 :]) if begins else (lines, [])
    before, replaced_before, position = _without_recipe(before)
    after, replaced_after, _ = _without_recipe(after)
    if not begins and position is not None:
        before, after = before[:position], before[position:]
    if before and not before[-1].endswith((b"\n", b"\r")):
        before[-1] += b"\n"
    content = b"".join([*before, ours, *after])
    return Merged(content, tuple(replaced_before + replaced_after), tuple(_taking(content)))


def block_of(content: bytes) -> bytes | None:
    """Our directives in a file's content, without marker lines; None when there are none."""
    lines = content.splitlines(keepends=True)
    begins = [number for number, line in enumerate(lines) if _BEGIN.match(line)]
    ends = [number for number, line in enumerate(lines) if _END.match(line)]
    if len(begins) != 1 or len(ends) != 1 or begins > ends:
        return None
    return b"".join(lines[begins[0] + 1 : ends[0]])


def remove(present: bytes) -> bytes:
    """The user's part alone."""
    lines = present.splitlines(keepends=True)
    inside = False
    kept = []
    for line in lines:
        if _BEGIN.match(line):
            inside = True
        elif inside and _END.match(line):
            inside = False
        elif not inside:
            kept.append(line)
    return b"".join(kept)


def _without_recipe(lines: list[bytes]) -> tuple[list[bytes], list[str], int | None]:
    """The lines without the recipe's, these, and where they stood.

    Only with its RewriteRule is a line the recipe's: ``RewriteEngine On`` above somebody's own rules is theirs.
    """
    for last, line in enumerate(lines):
        if not _RECIPE[3].fullmatch(line.strip()):
            continue
        first = last
        for pattern in reversed(_RECIPE[:3]):
            if first and pattern.fullmatch(lines[first - 1].strip()):
                first -= 1
        gone = [one.decode("utf-8", "replace").strip() for one in lines[first : last + 1]]
        return lines[:first] + lines[last + 1 :], gone, first
    return lines, [], None


def _taking(content: bytes) -> list[str]:
    found = []
    inside = False
    for number, line in enumerate(content.splitlines(), start=1):
        inside = (inside or bool(_BEGIN.match(line))) and not _END.match(line)
        if not inside and _TAKING.match(line):
            found.append(f"line {number}: {line.decode('utf-8', 'replace').strip()}")
    return found
