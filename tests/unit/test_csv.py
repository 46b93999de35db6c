"""Sites from a spreadsheet."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ocf_flask_csv import FilterModule, sites

from ocf_flask import settings


@pytest.mark.parametrize(
    "text",
    [
        "name,owner,packages\nflasky,alice,\nshop,bob,\"flask-login,flup6\"\n",
        "\ufeffname;owner;packages\r\nflasky;alice;\r\n;;\r\nshop;bob;flask-login,flup6\r\n",
        " name , owner , packages\n flasky , alice ,\n shop , bob , \"flask-login,flup6\"\n\n",
    ],
)  # fmt: skip
def test_a_line_is_a_site_and_an_empty_cell_sets_nothing(text: str) -> None:
    found = FilterModule().filters()["ocf_flask_csv"](text)
    assert found == [{"name": "flasky", "owner": "alice"}, {"name": "shop", "owner": "bob", "packages": "flask-login,flup6"}]
    assert settings.read(found[1], {}).packages == ("flask-login", "flup6")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs one with the heading: name"),
        ("site,owner\nx,y\n", "columns site, owner"),
        ("name,owner\nx,y\na,b,c\n", "Line 3 of the CSV"),
    ],
)
def test_what_is_no_list_of_sites_is_said(text: str, said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        sites(text)
