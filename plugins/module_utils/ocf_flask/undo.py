"""The way back: what a verb has done is undone when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from .errors import SiteError
from .outcome import said


@contextmanager
def undoing() -> Iterator[ExitStack]:
    """Takes steps back, registered as callbacks, when the block fails: all of them, the last one first.

    :raises SiteError: why the block failed, in place of it when a step back could not be taken either, which its ``advice`` says.
    """
    steps = ExitStack()
    try:
        yield steps
    except BaseException as error:
        try:
            steps.close()
        except (OSError, SiteError) as left:
            if isinstance(error, (OSError, SiteError)):
                why, undone = (said(one) if isinstance(one, OSError) else one for one in (error, left))
                raise SiteError(why.message, why.detail, f"{why.advice}\nNot all could be taken back: {undone.message}".strip()) from error
        raise
