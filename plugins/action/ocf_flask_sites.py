"""The controller's side of the modules: hands over the settings, shows the report.

``ocf_flask_sites_info`` and ``ocf_flask_store`` are links to this file: Ansible finds an action by its module's name.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.release import __version__
from ansible.utils.display import Display

PREFIX = "ocf_flask_"
# Of more sites than these, a run shows its progress, and a table at its end.
IN_FULL = 4


class ActionModule(ActionBase):
    """Thin: what is decided, the module decides."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module with every variable whose name begins with ``ocf_flask_``, and print its report."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        unfit = self._unfit(variables)
        if unfit:
            return {**result, "failed": True, "msg": unfit}
        arguments = {
            "variables": {name: self._filled_in(name, variables[name]) for name in variables if name.startswith(PREFIX)},
            "elsewhere": self._elsewhere(variables),
            **self._from_here(variables),
            **self._task.args,
        }
        directory = arguments.pop("report", "")
        with _without_garbage_collection():
            result.update(self._carry_out(arguments, variables))
        report = result.pop("report", None)
        if directory and report:
            verb = str(arguments.get("verb") or ("status" if self._task.action.endswith("_info") else "deploy"))
            report += _beside("ocf_flask_report").write(
                directory, variables["inventory_hostname"], verb, result["sites"], check=self._task.check_mode
            )
        if report:
            several = len(variables.get("ansible_play_hosts_all", [])) > 1
            host = f"{variables['inventory_hostname']}: " if several else ""
            Display().display(f"\n{host}{report}\n")
        if report and result.get("failed"):
            # Ansible prints a failed result whole, and its message twice: what the report has said is not said again.
            sites = result.pop("sites")
            failed = [site for site in sites if site["state"] == "failed"]
            names = ", ".join(site["name"] for site in failed)
            what = f"Failed: {names}" if len(failed) <= IN_FULL else f"{len(failed)} of {len(sites)} sites failed"
            result["msg"] = f"{what if failed else 'Nothing was done'}. The report above says why, and what to do."
            result["failed_sites"] = [f"{site['owner']}/{site['name']}" for site in failed]
            # Made from the module's own message, which it would have Ansible print.
            result.pop("exception", None)
        return result

    @property
    def _is_about_store(self) -> bool:
        """Whether it is about what the sites share, and not about each of them."""
        return bool(self._task.action.endswith("_store"))

    def _unfit(self, variables: Mapping[str, Any]) -> str:
        """Why the run cannot be what was meant; empty when it can."""
        look = _beside("ocf_flask_unfit")
        named = [one for one in context.CLIARGS.get("inventory") or () if one not in constants.DEFAULT_HOST_LIST]
        file = os.path.join(_settings_of_sites(variables), f"{self._task.args.get('site')}.yml")
        unfit: str = (
            look.old_ansible(__version__)
            or look.lost_inventory(named, variables["groups"]["all"])
            or look.lost_words(variables.get("_raw_params", ""))
            or look.lost_file(file)
        )
        if unfit or not os.path.exists(file):
            return unfit
        given = self._loader.load_from_file(file)
        warning = look.open_secrets(file, given)
        if warning:
            Display().warning(warning)
        settings = [name for name in variables if name.startswith(PREFIX)]
        return str(look.lost_settings(file, given if isinstance(given, Mapping) else (), settings))

    def _filled_in(self, name: str, value: Any) -> Any:
        """A setting, decrypted, and with what Ansible puts between its braces."""
        try:
            return self._templar.template(value)
        except AnsibleError as error:
            raise AnsibleError(_beside("ocf_flask_unfit").unread(name)) from error

    def _carry_out(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Run the module; once more with what it lacks of the directories on this machine that sites are deployed from."""
        source = _beside("ocf_flask_source")
        arguments["variables"], arguments["secrets"] = _beside("ocf_flask_secrets").conceal(arguments["variables"])
        if arguments.get("verb", "deploy") in ("deploy", "upgrade") and "kit" in arguments:
            names = source.directories(arguments["variables"], arguments.get("site", ""), arguments.get("owner", ""))
            if names:
                arguments["sources"] = source.listings(names)
        result = self._execute(arguments, variables)
        missing = result.pop("missing", None)
        if not missing:
            return result
        with tempfile.TemporaryDirectory() as directory:
            delivery = os.path.join(directory, "code.zip")
            try:
                source.pack(arguments["sources"], set(missing), delivery)
            except (source.SourceError, OSError) as error:
                return {"failed": True, "msg": str(error)}
            arguments["delivery"] = self._send(delivery)
        return self._execute(arguments, variables)

    def _execute(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """The module's result. Of a run over many sites, what becomes of each is shown as it comes."""
        listed = arguments["variables"].get(f"{PREFIX}sites")
        try:
            if isinstance(listed, list) and len(listed) > IN_FULL and not self._is_about_store:
                arguments["progress"] = self._progress_file()
                progress = _beside("ocf_flask_progress")
                with progress.shown(lambda start: self._read(arguments["progress"], start, progress.LIMIT), Display().display):
                    return self._module(arguments, variables)
            return self._module(arguments, variables)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _module(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(module_name=self._task.action, module_args=arguments, task_vars=variables)
        return result

    def _progress_file(self) -> str:
        """Where it lies on the host; empty, for the module to write to."""
        path: str = self._connection._shell.join_path(self._connection._shell.tmpdir or self._make_tmp_path(), "progress")
        self._low_level_execute_command(f": > {path}", sudoable=False)
        return path

    def _read(self, path: str, start: int, limit: int) -> bytes:
        """A file on the host from a byte on; beside the module, and so not as the account that it runs as."""
        _, text, _ = self._connection.exec_command(f"tail -c +{start + 1} {path} | head -c {limit}", in_data=None, sudoable=False)
        return bytes(text)

    def _send(self, path: str) -> str:
        """Copy a file to the host; where it lies there, for the account that the module runs as."""
        directory = self._connection._shell.tmpdir or self._make_tmp_path()
        remote: str = self._connection._shell.join_path(directory, os.path.basename(path))
        self._transfer_file(path, remote)
        self._fixup_perms2((directory, remote))
        return remote

    def _elsewhere(self, variables: Mapping[str, Any]) -> list[str]:
        """The sites of the play's other hosts, each as ``owner/name``: what is asked for of them is no error where there is none."""
        hosts = [host for host in variables.get("ansible_play_hosts_all", []) if host != variables.get("inventory_hostname")]
        theirs = [(variables["hostvars"][host], site) for host in hosts for site in variables["hostvars"][host].get(f"{PREFIX}sites") or []]
        return [
            f"{site.get('owner') or given.get(f'{PREFIX}owner') or ''}/{site['name']}"
            for given, site in theirs
            if isinstance(site, Mapping) and "name" in site
        ]

    def _from_here(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """What a verb takes from this environment: how to type it again, where settings last, and for those that build, uv if it runs here."""
        found: dict[str, Any] = {}
        if self._is_about_store:
            return found
        is_info = self._task.action.endswith("_info")
        if self._connection.transport == "local" and not is_info:
            found["uv"] = [os.path.join(os.path.dirname(sys.executable), "uv")]
        if not is_info and not os.path.isdir(_settings_of_sites(variables)):
            found["lasting"] = "a file that you give with -e @{name}.yml"
        # Of an installed collection there is no playbook to be named by its path.
        if __name__.startswith("ansible_collections."):
            found["again"] = "ansible-playbook ocf.flask.{verb} -e site={name}"
        # In an environment that the checkout's Makefile made, no ansible-playbook need be in PATH.
        elif os.path.exists(os.path.join(os.path.dirname(sys.prefix), "tools", "play")):
            found["again"] = "make {verb} site={name}"
        return found


def _settings_of_sites(variables: Mapping[str, Any]) -> str:
    """The checkout's directory with a file for each site; no collection or playbook of one's own has it."""
    return os.path.join(variables.get("playbook_dir", ""), os.pardir, "inventory", "sites")


def _beside(name: str) -> Any:
    """A file of what is to be known on this machine: it lies beside this one, where a plain checkout cannot import it."""
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "plugin_utils", f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Ansible packs a module by parsing all that it imports; collections in between, of all of Ansible's objects, take as long again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # All that there is counts as old from here on: else the first new object would set off the collection that was put off.
            gc.freeze()
            gc.unfreeze()
            gc.enable()
