"""A site's lines in its owner's crontab."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_flask import cron
from ocf_flask.errors import SiteError
from ocf_flask.places import Places
from ocf_flask.settings import Cron

TIDY = Cron("tidy", "0 4 * * *", "flask tidy --days '30' %")

# What Debian's crontab does, as far as it matters here.
FAKE = """#!/bin/sh
case $1 in
    -l) [ -f "{0}" ] && exec cat "{0}"; echo "no crontab for $LOGNAME" >&2; exit 1 ;;
    -) cat > "{0}"; echo written >> "{0}.log" ;;
    -r) rm "{0}" ;;
esac
"""


def fake_crontab(directory: Path, script: str = FAKE) -> dict[str, str]:
    """The environment in which `crontab` keeps its content in the file ``crontab`` of a directory."""
    (directory / "bin").mkdir(exist_ok=True)
    program = directory / "bin" / "crontab"
    program.write_text(script.format(directory / "crontab"))
    program.chmod(0o755)
    return {"PATH": f"{directory / 'bin'}:/usr/bin:/bin", "LOGNAME": "alice"}


@pytest.fixture(name="where")
def _where(tmp_path: Path) -> Places:
    (tmp_path / "sites").mkdir()
    return Places(tmp_path / "web", tmp_path / "sites" / "flasky", tmp_path / "sites" / "crontab.lock")


def test_the_lines_of_others_stay_as_they_are_and_ours_go_again(tmp_path: Path, where: Places) -> None:
    env = fake_crontab(tmp_path)
    mine = b"# mine\r\nMAILTO=me\n\n0 1 * * * echo '%' \xe9\n"
    (tmp_path / "crontab").write_bytes(mine)
    cron.install(where, "flasky", [TIDY], env)
    line = f"0 4 * * * {where.private}/run --cron tidy\n"
    assert (tmp_path / "crontab").read_bytes() == mine + f"# BEGIN ocf_flask flasky\n{line}# END ocf_flask flasky\n".encode()
    cron.remove(where, "flasky", env)
    assert (tmp_path / "crontab").read_bytes() == mine


def test_a_crontab_that_is_right_is_not_written(tmp_path: Path, where: Places) -> None:
    env = fake_crontab(tmp_path)
    for _ in range(2):
        cron.install(where, "flasky", [TIDY], env)
    cron.remove(where, "other", env)
    assert (tmp_path / "crontab.log").read_text() == "written\n"


def test_an_account_that_had_no_crontab_has_none_again(tmp_path: Path, where: Places) -> None:
    env = fake_crontab(tmp_path)
    cron.install(where, "flasky", [TIDY], env)
    cron.remove(where, "flasky", env)
    assert not (tmp_path / "crontab").exists()
    cron.remove(where, "flasky", env)


def test_sites_with_names_that_begin_alike_have_lines_of_their_own() -> None:
    content = cron.merge(cron.merge(b"", "shop", ["1"]), "shop-2", ["2"])
    assert (cron.ours(content, "shop"), cron.ours(content, "shop-2")) == (("1",), ("2",))
    assert cron.merge(content, "shop", []) == cron.merge(b"", "shop-2", ["2"])


def test_changed_lines_stay_where_they_were() -> None:
    content = cron.merge(b"first\n", "shop", ["1"]) + b"last\n"
    assert cron.merge(content, "shop", ["2", "3"]) == content.replace(b"1\n", b"2\n3\n")


@given(st.binary().filter(lambda content: b"ocf_flask" not in content))
def test_whatever_is_in_a_crontab_stays(content: bytes) -> None:
    merged = cron.merge(content, "shop", ["1"])
    assert merged.startswith(content)
    assert cron.merge(merged, "shop", []) in (content, content + b"\n")


@pytest.mark.parametrize(
    "content", ["# BEGIN ocf_flask shop\n", "# END ocf_flask shop\n# BEGIN ocf_flask shop\n", "# END ocf_flask shop\n"]
)
def test_marker_lines_that_are_no_pair_are_left_alone_and_shown(content: str) -> None:
    with pytest.raises(SiteError, match=r"The crontab has '# (BEGIN|END) ocf_flask shop' \(line 2\).*Type crontab -e"):
        cron.merge(b"mine\n" + content.encode(), "shop", ["1"])


def test_a_machine_without_crontab_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"This machine has no program crontab.*-e ocf_flask_cron_host=HOST"):
        cron.present({"PATH": str(tmp_path)})


def test_an_account_that_may_not_have_a_crontab_is_told_what_to_do(tmp_path: Path) -> None:
    env = fake_crontab(tmp_path, "#!/bin/sh\necho 'You (alice) are not allowed to use this program (crontab)' >&2; exit 1\n")
    with pytest.raises(SiteError, match="cannot have a crontab on this machine") as caught:
        cron.present(env)
    assert caught.value.detail == "You (alice) are not allowed to use this program (crontab)"


def test_a_crontab_that_cannot_be_written_is_an_error_with_its_reason(tmp_path: Path, where: Places) -> None:
    script = '#!/bin/sh\n[ $1 = - ] && echo "\\"-\\":1: bad minute" >&2 && exit 1\ntrue\n'
    with pytest.raises(SiteError, match="The crontab could not be written") as caught:
        cron.install(where, "flasky", [TIDY], fake_crontab(tmp_path, script))
    assert caught.value.detail == '"-":1: bad minute'


def test_a_crontab_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cron, "_SECONDS", 0.2)
    with pytest.raises(SiteError, match=r"did not end within 0.2 s"):
        cron.present(fake_crontab(tmp_path, "#!/bin/sh\nexec sleep 30\n"))


def test_a_host_is_known_by_its_short_and_its_full_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "tsunami")
    monkeypatch.setattr(socket, "getfqdn", lambda: "tsunami.ocf.example.edu")
    names = {"": True, "tsunami": True, "Tsunami.ocf.example.edu.": True, "tsunami.example.com": False, "death": False}
    assert {name: cron.is_here(name) for name in names} == names


def test_the_jobs_of_a_record_that_was_edited_are_none() -> None:
    job = {"name": "tidy", "schedule": "@daily", "command": "flask tidy"}
    assert cron.recorded({"cron": [job]}) == (Cron(**job),)
    assert cron.recorded({"cron": [{"name": "x"}]}) == cron.recorded({"cron": 3}) == cron.recorded({}) == ()
