#!/usr/bin/python
"""Find the Flask sites that the accounts of a machine have."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ocf_flask_accounts_info
short_description: Find the Flask sites that the accounts of a machine have
version_added: 1.0.0
description:
  - Looks into the web space of each person's account, as that account, and says which sites deploys have made there. Changes nothing.
  - Used by the role P(ocf.flask.ocf_flask#role), for its verb find.
author:
  - The ocf_flask authors (@ocf)
options:
  owner:
    description: The one account to look at; empty for all. Only root can look at others' than its own.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: It changes nothing.
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
- name: Find all sites
  ocf.flask.ocf_flask_accounts_info:
  register: found
"""

RETURN = r"""
accounts:
  description: The accounts that have sites, or that could not be looked at.
  returned: success
  type: list
  elements: dict
  sample:
    - name: alice
      owner: alice
      state: found
      entries: [{name: flasky, owner: alice}]
      by_hand: [old]
      error: ""
      detail: ""
      advice: ""
      seconds: 0.01
inventory:
  description: The same as YAML for a host's variables.
  returned: success
  type: str
  sample: "ocf_flask_sites:\n  - {\"name\": \"flasky\", \"owner\": \"alice\"}\n"
"""

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.ocf.flask.plugins.module_utils.ocf_flask import accounts as engine
except ImportError:
    # A plain checkout: ansible.cfg names plugins/module_utils. Ansible packs what it finds of the two.
    from ansible.module_utils.ocf_flask import accounts as engine


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"owner": {"type": "str", "default": ""}}, supports_check_mode=True)
    try:
        found = engine.find(module.params["owner"])
    except engine.SettingError as error:
        module.fail_json(msg=error.message)
    some = [engine.asdict(one) for one in found if one.entries or one.by_hand or one.state == engine.FAILED]
    module.exit_json(changed=False, accounts=some, inventory=engine.inventory(found))


if __name__ == "__main__":
    main()
