#!/usr/bin/python
"""Look at Flask sites on an Apache + mod_fcgid + suexec server."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ocf_flask_sites_info
short_description: Look at Flask sites under Apache, mod_fcgid and suexec
version_added: 1.0.0
description:
  - Says of each site of one machine what it is, as its owner would find it. Changes nothing.
  - Used by the role P(ocf.flask.ocf_flask#role), for its verbs status and logs.
author:
  - The ocf_flask authors (@ocf)
options:
  variables:
    description: All variables whose names begin with C(ocf_flask_), by full name. They are the settings of each site.
    type: dict
    required: true
  secrets:
    description: What no output may show of O(variables), with the settings that it is part of, encoded. The action plugin makes it.
    type: str
    default: ""
  site:
    description: The name of the one site to look at; empty for all that C(ocf_flask_sites) lists.
    type: str
    default: ""
  owner:
    description: The account whose sites to look at.
    type: str
    default: ""
  elsewhere:
    description: The sites that other hosts of the play have, each as C(owner/name). Asking for one of them is no error on this host.
    type: list
    elements: str
    default: []
  only:
    description: Of the sites that are listed these alone, each as C(owner/name); empty for all.
    type: list
    elements: str
    default: []
  progress:
    description: The path of a file to which a line is added for each site that is done. The action plugin makes it, and shows them.
    type: path
    default: ""
  test:
    description: Whether to start each site once more and make a test request, as a deploy does.
    type: bool
    default: false
  log_lines:
    description: How many of the last lines of each site's own log to return.
    type: int
    default: 1
  show:
    description: What the report is about.
    type: str
    choices: [status, logs]
    default: status
  again:
    description: The command for a verb and a site, for the report; C({verb}) and C({name}) in it stand for these.
    type: str
    default: ansible-playbook playbooks/{verb}.yml -e site={name}
attributes:
  check_mode:
    support: full
    description: It changes no file of the site in any mode. With O(test), the application itself may, when it is started.
  diff_mode:
    support: none
    description: Nothing is changed, so there is no difference.
  idempotent:
    support: full
    description: It changes nothing.
  platform:
    platforms: posix
    support: full
    description: Linux.
"""

EXAMPLES = r"""
- name: Look at the site flasky of the account that runs the play
  ocf.flask.ocf_flask_sites_info:
    site: flasky
    variables: {}
    test: true
  register: found
"""

RETURN = r"""
sites:
  description: What each site is, in the order of the list.
  returned: unless sites failed, or the run as a whole was refused
  type: list
  elements: dict
  sample:
    - name: flasky
      owner: alice
      state: deployed
      url: https://www.example.edu/~alice/flasky/
      directory: /services/http/users/a/alice/flasky
      app: flaskyapplication:app
      server: builtin
      release: 20261124-034512
      deployed: 2026-11-24 03:45:13 UTC
      source: ""
      earlier: [20261121-101500 (deployed on 2026-11-21 10:15:02 UTC)]
      archives: []
      python: 3.11.2
      python_runs: true
      packages: {flask: 3.1.3, werkzeug: 3.1.9}
      disk: 6432768
      tested: {path: /, status: 200, seconds: 0.31, at: 2026-11-24 09:12:01 UTC}
      problem: ""
      log_file: /home/a/al/alice/.ocf-flask/flasky/log/error.log
      log: "2026-11-24 03:51:00 +0000 [71] 20261124-034512 GET /: hello"
      errors: "2026-11-24 03:50:11 +0000 ZeroDivisionError: division by zero"
      notes: []
      cause: ""
      error: ""
      detail: ""
      advice: ""
      seconds: 0.4
failed_sites:
  description: Of the sites that failed the owner and the name. What is wrong with each, the report says.
  returned: when sites failed
  type: list
  elements: str
  sample: [alice/flasky]
report:
  description: The same for people.
  returned: unless the run as a whole was refused
  type: str
  sample: "flasky is deployed."
"""

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.ocf.flask.plugins.module_utils.ocf_flask import sites_info as engine
except ImportError:
    # A plain checkout: ansible.cfg names plugins/module_utils. Ansible packs what it finds of the two.
    from ansible.module_utils.ocf_flask import sites_info as engine


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "variables": {"type": "dict", "required": True},
            "secrets": {"type": "str", "default": "", "no_log": True},
            "site": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": ""},
            "elsewhere": {"type": "list", "elements": "str", "default": []},
            "only": {"type": "list", "elements": "str", "default": []},
            "progress": {"type": "path", "default": ""},
            "test": {"type": "bool", "default": False},
            "log_lines": {"type": "int", "default": 1},
            "show": {"type": "str", "choices": ["status", "logs"], "default": "status"},
            "again": {"type": "str", "default": "ansible-playbook playbooks/{verb}.yml -e site={name}"},
        },
        supports_check_mode=True,
    )
    given = module.params
    run = engine.Run(
        engine.put_back(given["variables"], given["secrets"]), given["site"], given["owner"], given["elsewhere"], given["only"]
    )
    try:
        found = engine.execute(
            run, engine.looking(test=given["test"], log_lines=max(1, given["log_lines"])), engine.writer(given["progress"])
        )
    except engine.SettingError as error:
        module.fail_json(msg=error.message)
    module.exit_json(**engine.result(found, given["again"], logs=given["show"] == "logs"))


if __name__ == "__main__":
    main()
