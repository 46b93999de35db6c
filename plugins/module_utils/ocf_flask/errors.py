"""What can go wrong with a site, said so that its owner knows what to do next."""

from __future__ import annotations


class SiteError(Exception):
    """The deploy of one site cannot go on.

    ``message`` says what is wrong, the value, and mostly what to type next. ``detail`` is what another program
    said (a traceback, pip's reason), and ``advice`` what this means for the site, and how to go on.
    """

    def __init__(self, message: str, detail: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail.strip("\n")
        self.advice = advice


class SettingError(SiteError):
    """A setting has a value that cannot be used. Raised before anything is changed."""


class StepTimeout(SiteError):
    """A step took longer than its time limit; its processes were ended."""


class AccountDisabled(SiteError):
    """The site's owner may not have sites at present: staff have closed the account. Its sites are skipped."""
