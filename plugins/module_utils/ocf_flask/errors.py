"""What can go wrong with a site, said so that its owner knows what to do next."""

from __future__ import annotations


class SiteError(Exception):
    """The deploy of one site cannot go on.

    The text is the whole message: what is wrong, the value, and what to type next.
    ``detail`` is output of somebody else's program (a traceback, pip's reason), shown below it.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail.strip("\n")


class SettingError(SiteError):
    """A setting has a value that cannot be used. Raised before anything is changed."""


class StepTimeout(SiteError):
    """A step took longer than its time limit; its processes were ended."""
