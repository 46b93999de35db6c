#!/usr/bin/python
"""Bring Flask sites on an Apache + mod_fcgid + suexec server to their wanted state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ocf_flask_sites
short_description: Deploy Flask sites under Apache, mod_fcgid and suexec
version_added: 1.0.0
description:
  - Takes the sites of one machine and brings each to its wanted state in one transaction, as its owner.
  - A new release is built and tested beside the one that serves, and switched to by one rename.
    A site whose deploy fails is left as it was.
  - Used by the role P(ocf.flask.ocf_flask#role), which renders its templates and has the settings' documentation.
author:
  - The ocf_flask authors (@ocf)
options:
  variables:
    description: All variables whose names begin with C(ocf_flask_), by full name. They are the settings of each site.
    type: dict
    required: true
  site:
    description: The name of the one site to deploy; empty for all that C(ocf_flask_sites) lists.
    type: str
    default: ""
  owner:
    description: The account whose sites to deploy.
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
  verb:
    description: What to do with the sites.
    type: str
    choices: [deploy, upgrade, run, rollback, remove, restore]
    default: deploy
  packages:
    description: The names of the packages that O(verb=upgrade) upgrades; empty for all.
    type: list
    elements: str
    default: []
  command:
    description: The command line that O(verb=run) runs in the live release.
    type: str
    default: ""
  release:
    description: The ID of the release that O(verb=rollback) goes back to; empty for the one before the live one.
    type: str
    default: ""
  archive:
    description: The name of the archive that O(verb=restore) brings back; empty for the latest of the site.
    type: str
    default: ""
  all:
    description: Whether O(verb=remove) is meant for several sites at once.
    type: bool
    default: false
  kit:
    description: What the role brings for the sites. Texts are rendered; what differs from site to site stands in them as marks.
    type: dict
    required: true
    suboptions:
      htaccess:
        description: The directives for C(.htaccess), with marks such as C(@SITE_DIRECTORY@) that are filled in for each site.
        type: str
        required: true
      run_fcgi:
        description: The text of C(run.fcgi), with marks.
        type: str
        required: true
      runtime:
        description: The text of the FastCGI runtime that goes into each release.
        type: str
        required: true
      starter:
        description: The text of the application that a site without one gets.
        type: str
        required: true
      pip:
        description: The text of the stand-in for pip that goes into each virtualenv.
        type: str
        required: true
      command:
        description: The text of what runs commands, which goes into each release.
        type: str
        required: true
      release_run:
        description: The text of a release's program C(run), with marks.
        type: str
        required: true
      run:
        description: The text of the program C(run) that executes the live release's, with marks.
        type: str
        required: true
  sources:
    description: Of each directory on the controller that sites are deployed from, its files with their marks. The action plugin makes it.
    type: dict
    default: {}
  delivery:
    description: The path of a ZIP archive with the contents of those files that this machine lacks. The action plugin sends it.
    type: path
    default: ""
  secrets:
    description: What no output may show of O(variables), with the settings that it is part of, encoded. The action plugin makes it.
    type: str
    default: ""
  uv:
    description: Paths at which uv may be, tried in turn before C(PATH).
    type: list
    elements: str
    default: []
  again:
    description: The command for a verb and a site, for the report; C({verb}) and C({name}) in it stand for these.
    type: str
    default: ansible-playbook playbooks/{verb}.yml -e site={name}
  lasting:
    description: Where a site's settings are written that are to last, for the report; C({name}) in it stands for the site's.
    type: str
    default: inventory/sites/{name}.yml
attributes:
  check_mode:
    support: full
    description: Says what would change, and changes nothing.
  diff_mode:
    support: full
    description: Shows the difference of C(.htaccess), C(run.fcgi), the packages, the settings and the list of code files.
  idempotent:
    support: full
    description: With nothing to do, no file is touched.
  platform:
    platforms: posix
    support: full
    description: Linux.
"""

EXAMPLES = r"""
- name: Deploy the site flasky of the account that runs the play
  ocf.flask.ocf_flask_sites:
    site: flasky
    variables: {}
    kit:
      htaccess: "{{ lookup('ansible.builtin.template', 'htaccess.j2') }}"
      run_fcgi: "{{ lookup('ansible.builtin.template', 'run.fcgi.j2') }}"
      runtime: "{{ lookup('ansible.builtin.file', 'ocf_flask_runtime.py') }}"
      starter: "{{ lookup('ansible.builtin.file', 'flaskyapplication.py') }}"
      pip: "{{ lookup('ansible.builtin.file', 'pip.py') }}"
      command: "{{ lookup('ansible.builtin.file', 'ocf_flask_command.py') }}"
      release_run: "{{ lookup('ansible.builtin.file', 'release_run') }}"
      run: "{{ lookup('ansible.builtin.file', 'run') }}"
"""

RETURN = r"""
sites:
  description: What became of each site, in the order of the list.
  returned: unless sites failed, or the run as a whole was refused
  type: list
  elements: dict
  sample:
    - name: flasky
      owner: alice
      state: deployed
      changed: true
      url: https://www.example.edu/~alice/flasky/
      directory: /services/http/users/a/alice/flasky
      release: 20261124-034512
      python: 3.11.2
      flask: 3.1.3
      tested: {path: /, status: 200, seconds: 0.31, at: 2026-11-24 03:45:13 UTC}
      reached: ""
      changes: {directory: [made], htaccess: [our lines written]}
      notes: []
      cause: ""
      error: ""
      detail: ""
      advice: ""
      seconds: 1.4
missing:
  description: The digests of what this machine lacks of O(sources), before anything is done.
  returned: when something is missing
  type: list
  elements: str
  sample: [2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae]
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
    from ansible_collections.ocf.flask.plugins.module_utils.ocf_flask import sites as engine
except ImportError:
    # A plain checkout: ansible.cfg names plugins/module_utils. Ansible packs what it finds of the two.
    from ansible.module_utils.ocf_flask import sites as engine

KIT = ("htaccess", "run_fcgi", "runtime", "starter", "pip", "command", "release_run", "run")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "variables": {"type": "dict", "required": True},
            "site": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": ""},
            "elsewhere": {"type": "list", "elements": "str", "default": []},
            "only": {"type": "list", "elements": "str", "default": []},
            "progress": {"type": "path", "default": ""},
            "verb": {"type": "str", "choices": list(engine.VERBS), "default": "deploy"},
            "packages": {"type": "list", "elements": "str", "default": []},
            "command": {"type": "str", "default": ""},
            "release": {"type": "str", "default": ""},
            "archive": {"type": "str", "default": ""},
            "all": {"type": "bool", "default": False},
            "kit": {"type": "dict", "required": True, "options": {name: {"type": "str", "required": True} for name in KIT}},
            "sources": {"type": "dict", "default": {}},
            "delivery": {"type": "path", "default": ""},
            "secrets": {"type": "str", "default": "", "no_log": True},
            "uv": {"type": "list", "elements": "str", "default": []},
            "again": {"type": "str", "default": "ansible-playbook playbooks/{verb}.yml -e site={name}"},
            "lasting": {"type": "str", "default": "inventory/sites/{name}.yml"},
        },
        supports_check_mode=True,
    )
    given = module.params
    kit = engine.Kit(**given["kit"], uv=tuple(given["uv"]), again=given["again"], lasting=given["lasting"])
    variables = engine.put_back(given["variables"], given["secrets"])
    run = engine.Run(variables, given["site"], given["owner"], given["elsewhere"], given["only"])
    try:
        brought = engine.brought(given["sources"], given["delivery"])
        missing = engine.missing(run, brought) if given["sources"] and not given["delivery"] else []
        if missing:
            module.exit_json(changed=False, missing=missing)
        engine.refuse_many(given["verb"], run, sure=given["all"])
        asked = engine.Asked(brought, tuple(given["packages"]), given["command"], given["release"], given["archive"])
        outcomes = engine.execute(run, engine.verb(given["verb"], kit, asked, check=module.check_mode), engine.writer(given["progress"]))
    except engine.SettingError as error:
        module.fail_json(msg=error.message)
    module.exit_json(**engine.result(outcomes, given["again"]))


if __name__ == "__main__":
    main()
