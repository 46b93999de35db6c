"""What a long run shows while it goes on: each failure as it comes, and now and then how far it is.

Loaded by its path, because an action plugin in a plain checkout can import nothing that lies beside it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Seconds from one look at the file to the next, and from one count shown to the next.
LOOKS, COUNTS = 2.0, 10.0
# Of a file at a look, at most this much: the rest comes with the next.
LIMIT = 256 * 1024


class Progress:
    """Makes lines to show of the lines in the file, as they come."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counted = now()
        self.seen = self._done = self._failed = 0

    def feed(self, text: bytes) -> list[str]:
        """What to show of what was added; a line of which a part is missing waits for the rest.

        :param text: the file from its byte `seen` on.
        """
        whole = text[: text.rfind(b"\n") + 1]
        self.seen += len(whole)
        shown, total = [], 0
        for line in whole.splitlines():
            try:
                site = json.loads(line)
                total = int(site["total"])
                self._done += 1
                if "failed" in site:
                    self._failed += 1
                    shown.append(f"{self._done} of {total}: {site['site']} of {site['owner']} failed: {site['failed']}")
            except (ValueError, KeyError, TypeError):
                continue
        if total and self._now() - self._counted >= COUNTS:
            self._counted = self._now()
            shown.append(f"{self._done} of {total} sites are done, {self._failed} failed")
        return [_printable(line) for line in shown]


def _printable(line: str) -> str:
    """Without what a terminal would act on: a cause has text of an owner's."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


@contextmanager
def shown(read: Callable[[int], bytes], show: Callable[[str], None], between: float = LOOKS) -> Iterator[None]:
    """While the block runs, show what comes into the file.

    :param read: the file's content from a byte on; it may fail.
    """
    progress, ended = Progress(), threading.Event()

    def look() -> None:
        while not ended.wait(between):
            try:
                lines = progress.feed(read(progress.seen))
            except Exception:  # Whatever a connection raises: a run does not fail for it.
                continue
            for line in lines:
                show(line)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(between)
