"""Text that may repeat a secret: what an application, pip or a command printed, with each variable's value replaced by its name."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, quote_plus, unquote, urlsplit

# Shorter ones are no secrets, and would be found everywhere.
SHORTEST = 5
# Values that are words of every traceback.
_WORDS = frozenset(("false", "flask", "debug", "python"))


def mask(text: str, environments: Sequence[Mapping[str, str]], plain: Sequence[str]) -> str:
    """The text with ``[NAME]`` wherever the value of that variable stands, as it is, quoted or encoded.

    :param plain: the site's own names and paths. A value that is part of one is no secret.
    """
    names: dict[str, str] = {}
    for variables in environments:
        for name, value in variables.items():
            for form in _forms(value):
                if len(form) >= SHORTEST and form.lower() not in _WORDS and not any(form in one for one in plain):
                    names.setdefault(form, name)
    if not names:
        return text
    # Where two begin at one place, the first alternative is taken: the longest.
    found = "|".join(re.escape(form) for form in sorted(names, key=len, reverse=True))
    return re.sub(found, lambda match: f"[{names[match[0]]}]", text)


def _forms(value: str) -> Iterator[str]:
    """The value, its lines, and the password in it when it is a URL; each as programs write it."""
    for part in (value, value.strip(), *(line.strip() for line in value.splitlines()), *_passwords(value)):
        encoded = part.encode("utf-8", "surrogateescape")
        yield part
        yield from (repr(part)[1:-1], repr(encoded)[2:-1], ascii(part)[1:-1])
        yield from (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1])
        yield from (quote(encoded), quote(encoded, safe=""), quote_plus(encoded), html.escape(part))
        # As repr writes it where the whole is in the other quotes.
        yield from (part.replace("\\", "\\\\").replace("'", "\\'"), part.encode("ascii", "backslashreplace").decode())


def _passwords(value: str) -> tuple[str, ...]:
    try:
        password = urlsplit(value).password or ""
    except ValueError:
        return ()
    return password, unquote(password)
