"""A list of sites from a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: ocf_flask_csv
short_description: A list of sites from CSV
version_added: 1.0.0
author:
  - The ocf_flask authors (@ocf)
description:
  - Makes entries for C(ocf_flask_sites) of CSV text, for example of what a spreadsheet has exported.
  - The first line names the columns; C(name) and C(owner) mostly, and any other setting of a site. An empty cell sets nothing.
    What takes a list takes it with commas.
options:
  _input:
    description: The text.
    type: str
    required: true
"""

EXAMPLES = r"""
ocf_flask_sites: "{{ lookup('ansible.builtin.file', inventory_dir ~ '/sites.csv') | ocf.flask.ocf_flask_csv }}"
"""

RETURN = r"""
_value:
  description: The entries.
  type: list
  elements: dict
"""


def sites(text: str) -> list[dict[str, str]]:
    """The entries of CSV text: name by name, what is in the columns.

    :raises AnsibleFilterError: for text without a column ``name``, and for a line with more cells than there are columns.
    """
    # A spreadsheet of Microsoft's begins with a mark, and separates by semicolons where the comma is for decimals.
    text = text.lstrip("\ufeff")
    first = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in first and "," not in first else ",", skipinitialspace=True)
    columns = [(name or "").strip() for name in rows.fieldnames or []]
    rows.fieldnames = columns
    if "name" not in columns:
        raise AnsibleFilterError(f"The first line of the CSV has the columns {', '.join(columns)}, and needs one with the heading: name")
    found = []
    for row in rows:
        if None in row:
            raise AnsibleFilterError(
                f"Line {rows.line_num} of the CSV has more cells than the first has columns. Put text with commas in quotes."
            )
        entry = {key: value.strip() for key, value in row.items() if key and value and value.strip()}
        if entry:
            found.append(entry)
    return found


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """The filters by name."""
        return {"ocf_flask_csv": sites}
