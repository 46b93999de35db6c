"""A user's ``.htaccess``: our block between two marker lines, everything else as it was, byte for byte."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from .errors import SiteError

BEGIN = b"# BEGIN ocf_flask: the lines down to END are the deploy's; write yours above or below them"
END = b"# END ocf_flask"

_BEGIN = re.compile(rb"^[ \t]*# BEGIN ocf_flask\b")
_END = re.compile(rb"^[ \t]*# END ocf_flask\b")

# The lines of the recipe by hand, and of its variations. Left in place they would still rewrite every request.
_RECIPE_RULE = re.compile(
    rb"RewriteRule\s+\"?(\^?/?\(?\.[*+]\)?/?\$?|\^\$?)\"?\s+\"?\S*run\.fcgi(/(\$[01]|%\{REQUEST_URI\})?)?\"?(\s+\[[^\]]*\])?", re.I
)
_RECIPE_ABOVE = (
    re.compile(rb"RewriteEngine\s+on", re.I),
    re.compile(rb"RewriteBase\s+/\S*", re.I),
    # Files stay files, static/ is static, and what is rewritten is not rewritten again: so it is with ours.
    re.compile(rb"RewriteCond\s+%\{(REQUEST_FILENAME|SCRIPT_FILENAME)\}\s+!-[fdls]", re.I),
    re.compile(rb"RewriteCond\s+%\{(REQUEST_URI|REQUEST_FILENAME)\}\s+!\S*(run\\?\.fcgi|static)\S*", re.I),
    re.compile(rb"RewriteCond\s+%\{ENV:REDIRECT_STATUS\}\s+\S+", re.I),
)
_CONDITION = re.compile(rb"RewriteCond\s", re.I)
# What makes run.fcgi a program and the site's page, wherever it stands beside such a rule.
_RECIPE_BESIDE = re.compile(
    rb"(AddHandler|SetHandler)\s+(fcgid|fastcgi)-script(\s+\"?\.?fcgi\"?)?|DirectoryIndex\s+(\S*/)?run\.fcgi|Options\s+\+?ExecCGI", re.I
)
_SECTION = re.compile(rb"<(/?)(\w+)", re.I)
_IF_MODULE = re.compile(rb"<IfModule\s", re.I)

# Directives that can take a request away from the application (mod_rewrite, mod_alias, core, mod_dir, mod_mime).
_TAKING = re.compile(
    rb"\s*(RewriteRule|RewriteEngine\s+off|RewriteOptions|Redirect|RedirectMatch|RedirectPermanent|RedirectTemp|SetHandler|AddHandler|ForceType|"
    rb"Action|Script|FallbackResource|DirectoryIndex|DirectorySlash|FcgidWrapper|RemoveHandler)\b",
    re.I,
)

# Directives and functions that have the web server itself read a file (mod_authn_*, mod_authz_*, mod_lua, ap_expr).
_READING = re.compile(rb"\s*(Auth\w*File|Lua\w+)\s|.*\bfile\s*[(:]", re.I)
_PATH = re.compile(rb"(?<=\")/[^\"\n]+|(?<=')/[^'\n]+|/[^\s\"'<>()]+")
_CONTINUED = re.compile(rb"\\\r?\n")
_COMMENT = re.compile(rb"\s*#")


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
    before, inside, after = _split(present)
    before, replaced_before, position = _without_recipe(before)
    after, replaced_after, _ = _without_recipe(after)
    if inside is None and position is not None:
        before, after = before[:position], before[position:]
    if before and not before[-1].endswith(b"\n"):
        before[-1] += b"\n"
    if before and before[-1].rstrip(b"\r\n").endswith(b"\\"):
        # Apache would read our first line as the rest of that one.
        before.append(b"\n")
    content = b"".join([*before, ours, *after])
    return Merged(content, tuple(replaced_before + replaced_after), tuple(_taking(content)))


def block_of(content: bytes) -> bytes | None:
    """Our directives in a file's content, without marker lines; None when there are none."""
    try:
        _, inside, _ = _split(content)
    except SiteError:
        return None
    return None if inside is None else b"".join(inside)


def files_read(content: bytes) -> list[str]:
    """The absolute paths of files, such as AuthUserFile's, that an ``.htaccess`` has the web server read."""
    lines = [line for line in _lines(_CONTINUED.sub(b"", content)) if not _COMMENT.match(line)]
    return [os.fsdecode(path) for line in lines if _READING.match(line) for path in _PATH.findall(line)]


def remove(present: bytes) -> bytes:
    """The user's part alone.

    :raises SiteError: when the marker lines are not one pair: what is the user's is not known then.
    """
    before, _, after = _split(present)
    return b"".join([*before, *after])


def _lines(content: bytes) -> list[bytes]:
    """Lines as Apache has them: a carriage return alone ends none."""
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def _split(content: bytes) -> tuple[list[bytes], list[bytes] | None, list[bytes]]:
    """The lines above our block, in it (None: there is none), and below it."""
    lines = _lines(content)
    begins = [number for number, line in enumerate(lines) if _BEGIN.match(line)]
    ends = [number for number, line in enumerate(lines) if _END.match(line)]
    if len(begins) != len(ends) or len(begins) > 1 or begins > ends:
        raise SiteError(
            f".htaccess has {_count(begins, 'BEGIN')} and {_count(ends, 'END')}, and should have one pair or none. "
            f"Delete the marker lines and our lines between them, keep your own, then deploy again"
        )
    if not begins:
        return lines, None, []
    return lines[: begins[0]], lines[begins[0] + 1 : ends[0]], lines[ends[0] + 1 :]


def _count(numbers: list[int], word: str) -> str:
    which = f" (line {', '.join(str(number + 1) for number in numbers)})" if numbers else ""
    return f"{len(numbers) or 'no'} line{'' if len(numbers) == 1 else 's'} '# {word} ocf_flask'{which}"


def serves_files(present: bytes) -> bool:
    """Whether a site made by hand has Apache deliver the files that exist, and the application answer the rest.

    So does one without the recipe's rule, whose pages are below ``run.fcgi/``.
    """
    _, words, _ = _without_recipe(_lines(present))
    return not any(word.startswith("RewriteRule") for word in words) or any(word.endswith("!-f") for word in words)


def _without_recipe(lines: list[bytes]) -> tuple[list[bytes], list[str], int | None]:
    """The lines without the recipe's, these, and where the first stood.

    Only with its RewriteRule is a line the recipe's: ``RewriteEngine On`` above somebody's own rules is theirs.
    """
    gone: set[int] = set()
    for number, line in enumerate(lines):
        if _RECIPE_RULE.fullmatch(line.strip()):
            gone |= _recipe_at(lines, number)
    if gone:
        gone |= {number for number, line in enumerate(lines) if _RECIPE_BESIDE.fullmatch(line.strip())}
        gone |= _empty_sections(lines, gone)
    kept = [line for number, line in enumerate(lines) if number not in gone]
    words = [lines[number].decode("utf-8", "replace").strip() for number in sorted(gone)]
    return kept, words, _outside(lines, min(gone, default=None), gone)


def _empty_sections(lines: list[bytes], gone: set[int]) -> set[int]:
    """The numbers of the lines that begin and end an ``<IfModule>`` around nothing that stays."""
    found: set[int] = set()
    for begin, line in enumerate(lines):
        if _IF_MODULE.match(line.strip()):
            end = begin + 1
            while end < len(lines) and (end in gone or not lines[end].strip()):
                end += 1
            if (
                any(number in gone for number in range(begin + 1, end))
                and end < len(lines)
                and lines[end].strip().lower() == b"</ifmodule>"
            ):
                found |= {begin, end}
    return found


def _outside(lines: list[bytes], position: int | None, gone: set[int]) -> int | None:
    """The position, or where the section ends that it lies in: our lines hold for the whole directory."""
    depth = 0
    for number, line in enumerate(lines if position is not None else []):
        if position is not None and number >= position and depth <= 0:
            # What was taken out above it does not count any more.
            return number - sum(1 for one in gone if one < number)
        section = _SECTION.match(line.strip())
        if section and number not in gone:
            depth += -1 if section[1] else 1
    return None


def _recipe_at(lines: list[bytes], rule: int) -> set[int]:
    """The numbers of the recipe's lines that end with that rule; none when the rule has a condition of the user's own."""
    found = {rule}
    seen: set[re.Pattern[bytes]] = set()
    for number in range(rule - 1, -1, -1):
        line = lines[number].strip()
        match = next((pattern for pattern in _RECIPE_ABOVE if pattern.fullmatch(line)), None)
        if match and (match not in seen or _CONDITION.match(line)):
            found.add(number)
            seen.add(match)
        elif _CONDITION.match(line):
            return set()
        elif line and not line.startswith(b"#") and not _RECIPE_RULE.fullmatch(line) and not _RECIPE_BESIDE.fullmatch(line):
            break
    return found


def _taking(content: bytes) -> list[str]:
    found = []
    inside = False
    for number, line in enumerate(_lines(content), start=1):
        inside = (inside or bool(_BEGIN.match(line))) and not _END.match(line)
        if not inside and _TAKING.match(line):
            found.append(f"line {number}: {line.decode('utf-8', 'replace').strip()}")
    return found
