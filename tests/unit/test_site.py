"""What is fixed about a site before it is looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from local_site import Site
from ocf_flask import site as engine
from ocf_flask.site import open_site


@pytest.mark.parametrize("own", [True, False])
def test_tools_trust_whom_the_system_trusts_where_it_says_whom(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: object, own: bool
) -> None:
    monkeypatch.delenv("UV_SYSTEM_CERTS", raising=False)
    kit = replace(site.kit, own_environment=own)
    monkeypatch.setattr(engine, "_CERTIFICATES", (str(tmp_path),))
    assert open_site(site.settings(), kit).env["UV_SYSTEM_CERTS"] == "true"
    monkeypatch.setattr(engine, "_CERTIFICATES", (f"{tmp_path}/nothing",))
    assert "UV_SYSTEM_CERTS" not in open_site(site.settings(), kit).env


def test_of_ones_own_environment_what_leads_to_another_python_is_left_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_SYSTEM_PYTHON", "UV_PYTHON", "PYTHONPATH", "VIRTUAL_ENV", "PIP_USER", "UV_CACHE_DIR"):
        monkeypatch.setenv(name, "x")
    for name in ("UV_SYSTEM_CERTS", "SSL_CERT_FILE", "PIP_INDEX_URL", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "mine")
    env = open_site(site.settings(), site.kit).env
    assert [env[name] for name in ("UV_SYSTEM_CERTS", "SSL_CERT_FILE", "PIP_INDEX_URL", "HTTPS_PROXY")] == ["mine"] * 4
    assert not {"UV_SYSTEM_PYTHON", "UV_PYTHON", "PYTHONPATH", "VIRTUAL_ENV", "PIP_USER", "UV_CACHE_DIR"} & env.keys()
    others = open_site(site.settings(), replace(site.kit, own_environment=False)).env
    assert "HTTPS_PROXY" not in others and others["PATH"] == "/usr/local/bin:/usr/bin:/bin"
