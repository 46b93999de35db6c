"""What pip and uv say of packages that cannot be had: their reason, and where what it is about was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# What pip says of its work, and its advice, which is for those who call it themselves.
_NOISE = re.compile(
    r"\s*(Looking in|Collecting|Processing|Obtaining|Downloading|Using cached|Requirement already|Ignoring|Discarding|Preparing|Getting req|Checking"
    r"|Installing|Building|Created|Stored|Successfully|Attempting|Found existing|Uninstalling|Running command|INFO:|WARNING: The candidate"
    r"|Reason for being yanked|To fix this you could|\d\. (loosen|remove) |ERROR: ResolutionImpossible|note: |\[notice\]).*"
)
# Of hundreds of versions, the last.
_VERSIONS = re.compile(r"(\(from versions: )[^()]*, ((?:[^(), ]+, ){9}[^(), ]+\))")
_OTHER_PYTHON = re.compile(r"(different python version: ).*; ((?:[^;\n]+; ){3}[^;\n]+)$", re.M)
_SHOWN = 3
# What uv and pip say when no connection comes about.
_UNREACHABLE = re.compile(r"error sending request|connection broken by")


def reason(output: str, listed: Mapping[str, Sequence[str]]) -> str:
    """The lines of a tool's output that say why.

    :param listed: files of ours that it was given, by path, each with its lines: a place in one is replaced by the line.
    """
    for path, lines in listed.items():
        for number, line in enumerate(lines, 1):
            output = output.replace(f"-r {path} (line {number})", line.partition(" --hash")[0])
    kept = "\n".join(line for line in output.splitlines() if not _NOISE.fullmatch(line))
    short = _OTHER_PYTHON.sub(r"\1..., \2", _VERSIONS.sub(r"\1..., \2", kept))
    return re.sub(r"\n{2,}", "\n", short).strip("\n") or output


def about(why: str, asked: Sequence[tuple[str, str, str]], python: str) -> str:
    """What to correct, as the end of a sentence, and what else there is to know.

    :param asked: of each package that is asked for its name, the line and the file or setting that has it.
    """
    text = re.sub(r"(?<=\w)[_.](?=[a-z])", "-", why.lower())
    blamed: dict[str, list[str]] = {}
    for name, line, where in dict.fromkeys(asked):
        if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
            blamed.setdefault(where, []).append(line)
    if _UNREACHABLE.search(why) and not any("://" in line for lines in blamed.values() for line in lines):
        return (
            ": the package index cannot be reached from this machine. Try again later, "
            "or name another with ocf_flask_index, or a directory of wheels with ocf_flask_wheels."
        )
    correct = ", or ".join(f"{' or '.join(lines[:_SHOWN])} in {where}" for where, lines in blamed.items())
    found = f": correct {correct}." if correct else "."
    if re.search(r"different [Pp]ython|(depends? on|requires?|satisfy) Python", why):
        found += f" Some versions need another Python than {python}, which ocf_flask_python chooses."
    if re.search(r"subprocess-exited-with-error|Failed to build", why):
        found += f" Building it failed; a version, or another package, that has a wheel for Python {python} needs no building."
    return found
