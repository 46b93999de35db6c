"""For a process that a test starts: accounts with homes of the test's, and whatever else it wants to seem so.

Python imports a module of this name by itself, before all others.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
from collections.abc import Callable
from typing import Any

_ACCOUNTS = [
    pwd.struct_passwd((one["name"], "x", one["uid"], os.getgid(), "", one["home"], "/bin/sh"))
    for one in json.loads(os.environ.get("PRETENDED_ACCOUNTS", "[]"))
]


def _first(key: str, found: Callable[[Any], pwd.struct_passwd]) -> Callable[[Any], pwd.struct_passwd]:
    """The accounts that are pretended, before those that there are."""
    return lambda value: next((one for one in _ACCOUNTS if getattr(one, key) == value), None) or found(value)


def _full(mkdir: Callable[..., None], directory: str) -> Callable[..., None]:
    """No directory can be made there: the disk is full."""

    def refuse(path: Any, *arguments: Any, **options: Any) -> None:
        if os.fspath(path).startswith(directory):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), os.fspath(path))
        mkdir(path, *arguments, **options)

    return refuse


pwd.getpwnam = _first("pw_name", pwd.getpwnam)
pwd.getpwuid = _first("pw_uid", pwd.getpwuid)
if _ACCOUNTS:
    pwd.getpwall = lambda: _ACCOUNTS
if "PRETENDED_FULL" in os.environ:
    os.mkdir = _full(os.mkdir, os.environ["PRETENDED_FULL"])
if "PRETENDED_UID" in os.environ:
    os.getuid = lambda: int(os.environ["PRETENDED_UID"])
if "PRETENDED_ANSIBLE" in os.environ:
    try:
        import ansible.release
    except ImportError:
        pass
    else:
        ansible.release.__version__ = os.environ["PRETENDED_ANSIBLE"]
