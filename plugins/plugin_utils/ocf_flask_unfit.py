"""What is wrong with a run as it was typed, where Ansible would go on: each function says it, or nothing with an empty string."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence

# Of ansible-core, as in meta/runtime.yml, which a plain checkout does not heed.
OLDEST = (2, 19)
_VAULT = b"$ANSIBLE_VAULT"


def old_ansible(version: str) -> str:
    """An ansible-core that the role was never tried with."""
    if tuple(map(int, version.split(".")[:2])) >= OLDEST:
        return ""
    oldest = ".".join(map(str, OLDEST))
    return (
        f"This is ansible-core {version}, and the role takes {oldest} or newer. Type: make deploy site=NAME, which brings its own, "
        f"or install a newer one, as in: pipx install 'ansible-core>={oldest}'"
    )


def lost_inventory(named: Sequence[str], hosts: Sequence[str]) -> str:
    """An inventory that was named and has no host, for which Ansible takes this machine.

    :param named: what stands behind ``-i``, as absolute paths or lists of hosts.
    """
    for one in named:
        if "," not in one and not os.path.exists(one):
            name = os.path.relpath(one)
            host = "" if os.sep in name else f" If {name} is a host, a comma belongs behind it: -i {name},"
            return f"There is no inventory {name}. Correct what stands behind -i.{host}"
    if named and not hosts:
        names = ", ".join(map(os.path.relpath, named))
        return f"The inventory {names} has no host. Ansible's warnings above say where it cannot be read; without any, add a host to it."
    return ""


def lost_words(words: str) -> str:
    """What was typed behind ``-e`` without a name: Ansible takes ``site=my site`` as ``my``, and keeps the rest aside."""
    if not words:
        return ""
    return (
        f"Behind -e there is {words!r}, which belongs to no variable. Write -e site=NAME, "
        'and a value with blanks in it as JSON: -e \'{"command": "flask routes"}\''
    )


def lost_file(path: str) -> str:
    """A file of settings whose name has the other usual ending."""
    other = f"{os.path.splitext(path)[0]}.yaml"
    if os.path.exists(path) or not os.path.exists(other):
        return ""
    return f"{os.path.relpath(other)} is read by nothing. Rename it: mv {os.path.relpath(other)} {os.path.relpath(path)}"


def lost_settings(path: str, given: Iterable[str], known: Sequence[str]) -> str:
    """What in a file of settings only looks like one, mostly without ``ocf_flask_``. Other variables of the user's are none."""
    names = list(given)
    for one in names:
        # owner and site select sites, as on the command line.
        if one in (*known, "owner", "site"):
            continue
        meant = difflib.get_close_matches(one if one.startswith("ocf") else f"ocf_flask_{one}", known, n=1, cutoff=0.9)
        if meant and meant[0] not in names:
            return f"{os.path.relpath(path)} has {one}, which is no setting. Write it there as {meant[0]}."
    return ""


def open_secrets(path: str, given: object) -> str:
    """A file with an app's variables, not encrypted, that other accounts can read: a warning, for they may be nobody here."""
    env = given.get("ocf_flask_env") if isinstance(given, Mapping) else None
    with open(path, "rb") as file:
        encrypted = file.read(len(_VAULT)) == _VAULT
    # What is encrypted by itself is no text yet.
    plain = isinstance(env, Mapping) and any(isinstance(value, str) for value in env.values())
    if encrypted or not plain or not os.stat(path).st_mode & 0o044:
        return ""
    name = os.path.relpath(path)
    return f"{name} has ocf_flask_env, and other accounts of this machine can read it. Type: chmod 600 {name}"


def unread(name: str) -> str:
    """A setting that Ansible cannot fill in; behind the sentence, Ansible puts a colon and its reason."""
    return (
        f"{name} cannot be read. If it is encrypted, add --ask-vault-pass; "
        f"if it has braces of its own, write it as !unsafe '{{{{ as it is }}}}'. Ansible says"
    )
