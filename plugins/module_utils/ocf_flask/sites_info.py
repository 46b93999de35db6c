"""The verbs ``status`` and ``logs``: what the module ``ocf_flask_sites_info`` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import settings, status, status_report
from .errors import SettingError
from .progress import writer
from .run import Run, Verb, execute, failures
from .secrets import put_back

__all__ = ["Run", "SettingError", "execute", "looking", "put_back", "result", "writer"]

# Beyond the test request: fork, look, measure the disk use.
_SLACK = 60


def looking(*, test: bool, log_lines: int) -> Verb[status.Status]:
    """See what each site is; with ``test``, make a test request now."""

    def work(one: settings.Settings) -> status.Status:
        return status.look_up(one, test=test, log_lines=log_lines)

    return Verb("status", work, lambda one: one.smoke_test.timeout + _SLACK, status.Status)


def result(found: Sequence[status.Status], again: str, *, logs: bool) -> dict[str, Any]:
    """What the module returns; ``logs``: the report is about the sites' logs. ``again`` as for `report.lines`."""
    text = status_report.logs(found, again) if logs else status_report.status(found, again)
    return {"changed": False, "sites": [one.result() for one in found], "report": text, **failures(found)}
