#!/usr/bin/python
"""Make what the Flask sites of all owners of a machine share."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ocf_flask_store
short_description: Make what the Flask sites of all owners of a machine share
version_added: 1.0.0
description:
  - Fills the directory C(ocf_flask_store) with uv, and with one virtualenv and its wheels for each combination of a Python and
    packages that the sites of the inventory name. Deploys copy from it.
  - It works as the account that the directory belongs to, takes wheels alone, and runs nothing of a package.
  - Used by the role P(ocf.flask.ocf_flask#role), for its verb prepare.
author:
  - The ocf_flask authors (@ocf)
options:
  variables:
    description: All variables whose names begin with C(ocf_flask_), by full name. The action plugin adds them.
    type: dict
    required: true
  secrets:
    description: What no output may show of O(variables), with the settings that it is part of, encoded. The action plugin makes it.
    type: str
    default: ""
  site:
    description: The name of the one site to prepare for; empty for all that C(ocf_flask_sites) lists.
    type: str
    default: ""
  owner:
    description: The account for whose sites to prepare; empty for all.
    type: str
    default: ""
  elsewhere:
    description: The sites that other hosts of the play have, each as C(owner/name). Asking for one of them is no error on this host.
    type: list
    elements: str
    default: []
  pip:
    description: The text of the stand-in for pip that goes into each virtualenv.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Says what would be made, and makes nothing.
  diff_mode:
    support: none
    description: What is in the store is not shown as a difference.
  idempotent:
    support: full
    description: What is there, in the newest versions that the inventory allows, stays.
  platform:
    platforms: posix
    support: full
    description: Linux.
"""

EXAMPLES = r"""
- name: Make what the sites share
  ocf.flask.ocf_flask_store:
    pip: "{{ lookup('ansible.builtin.file', 'pip.py', rstrip=False) }}"
"""

RETURN = r"""
prepared:
  description: What became of each thing that sites share.
  returned: unless the run as a whole was refused
  type: list
  elements: dict
  sample:
    - name: flask, flask-login
      state: made
      python: 3.11.2
      packages: {flask: 3.1.3, flask-login: 0.6.3}
      sites: 12
      owner: ""
      cause: ""
      error: ""
      detail: ""
      advice: ""
      seconds: 3.2
report:
  description: The same for people.
  returned: when nothing failed
  type: str
  sample: "The sites' shared store is ready."
"""

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.ocf.flask.plugins.module_utils.ocf_flask import prepare as engine
except ImportError:
    # A plain checkout: ansible.cfg names plugins/module_utils. Ansible packs what it finds of the two.
    from ansible.module_utils.ocf_flask import prepare as engine


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "variables": {"type": "dict", "required": True},
            "secrets": {"type": "str", "default": "", "no_log": True},
            "site": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": ""},
            "elsewhere": {"type": "list", "elements": "str", "default": []},
            "pip": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    run = engine.Run(engine.put_back(given["variables"], given["secrets"]), given["site"], given["owner"], given["elsewhere"])
    try:
        found = engine.prepare(run, given["pip"], check=module.check_mode)
    except engine.SettingError as error:
        module.fail_json(msg=error.message)
    module.exit_json(**engine.result(found, check=module.check_mode))


if __name__ == "__main__":
    main()
