"""What a long run says while it goes on: a line of JSON for each site that is done, for the controller to show."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress

from .outcome import FAILED, Record


def writer(path: str) -> Callable[[Record, int], None]:
    """What `run.execute` tells of each site.

    :param path: of a file that is there, which the controller has made. Without one, or one that can be written to, nothing is said.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return lambda record, total: None

    def tell(record: Record, total: int) -> None:
        line = {"site": record.name, "owner": record.owner, "total": total}
        if record.state == FAILED:
            line["failed"] = record.cause()[:500]
        # Without space for it, the run goes on unseen.
        with suppress(OSError):
            os.write(descriptor, json.dumps(line).encode() + b"\n")

    return tell
