"""The report of a run in files: a page, JSON, and what to deploy once more."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ocf_flask_report as files
from ocf_flask.outcome import Outcome
from ocf_flask.status import Status

DEPLOYED = Outcome(
    "flasky", owner="alice", state="deployed", url="https://www.example.edu/~alice/flasky/", python="3.11.2", seconds=1.234,
    changes={"code": ["a.py changed"], "packages": []}, notes=["Mind this"],
)  # fmt: skip
BROKEN = replace(DEPLOYED, name="shop", owner="bob", state="failed", error="It does not start:\nmore", detail="Traceback")
GOOD, BAD = DEPLOYED.result(), BROKEN.result()
HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'; DROP", "{{ lookup('pipe', 'id') }}", "\x1b[2J", "=1+1", "\udce9",
    "javascript:alert(1)", "https://x/\" onmouseover=\"alert(1)",
)  # fmt: skip


class Tags(HTMLParser):
    """What a browser would make of a page: its tags, their attributes, its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def written(directory: Path, *sites: dict[str, Any], host: str = "web1", check: bool = False) -> str:
    return files.write(str(directory), host, "deploy", sites, check=check)


def test_a_run_gives_a_page_json_and_a_file_to_try_again(tmp_path: Path) -> None:
    said = written(tmp_path / "r", GOOD, BAD)
    assert f"All of it: {tmp_path}/r/report.html" in said and f"-e @{tmp_path}/r/failed.json" in said
    found = Tags((tmp_path / "r" / "report.html").read_text())
    for text in ("1 failed, 1 deployed", "deploy on web1", "flasky", "code: a.py changed", "It does not start: Traceback", "1.2"):
        assert text in found.texts
    assert ("a", {"href": GOOD["url"]}) in found.tags
    assert json.loads((tmp_path / "r" / "host-web1.json").read_text())["sites"] == [GOOD, BAD]
    assert json.loads((tmp_path / "r" / "failed.json").read_text()) == {"only": ["bob/shop"]}
    assert (tmp_path / "r" / "report.html").stat().st_mode & 0o777 == 0o600


def test_what_several_sites_failed_for_is_counted(tmp_path: Path) -> None:
    lacking = "Traceback (most recent call last):\n  File ...\nModuleNotFoundError: No module named 'markdown'\n"
    alike = [replace(BROKEN, name=f"site{number}", detail=lacking).result() for number in range(3)]
    dead = Status("other", owner="bob", state="deployed", problem="It answers 500").result()
    written(tmp_path, GOOD, *alike, BAD, dead)
    texts = [text for text in Tags((tmp_path / "report.html").read_text()).texts if text]
    place = texts.index("What several have in common")
    assert texts[place + 1 : place + 4] == ["3", "It does not start: ModuleNotFoundError: No module named 'markdown'", "deploy on web1"]


def test_the_hosts_of_a_play_share_a_page(tmp_path: Path) -> None:
    written(tmp_path, GOOD, host="web1")
    written(tmp_path, BAD, host="web/2 ../x")
    texts = Tags((tmp_path / "report.html").read_text()).texts
    assert "deploy on web1" in texts and "deploy on web/2 ../x" in texts and "1 failed, 1 deployed" in texts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failed.json", "host-web1.json", "host-web_2_.._x.json", "report.html"]
    said = written(tmp_path, {**BAD, "state": "deployed"}, host="web/2 ../x")
    assert "failed.json" not in said and json.loads((tmp_path / "failed.json").read_text()) == {"only": []}


def test_what_a_site_says_is_only_text(tmp_path: Path) -> None:
    keys = ("name", "owner", "state", "url", "python", "cause", "error", "detail", "advice")
    sites = [{**BAD, key: hostile} for hostile in HOSTILE for key in keys]
    sites += [{**GOOD, "changes": {"code": [hostile]}, "notes": [hostile], "problem": hostile} for hostile in HOSTILE]
    written(tmp_path, *sites)
    plain = Tags(files.page([files._part("web1", "deploy", [{**BAD, "problem": "x"}, GOOD], check=False)]))
    found = Tags((tmp_path / "report.html").read_text(errors="replace"))
    assert {tag for tag, _ in found.tags} == {tag for tag, _ in plain.tags}
    assert {name for _, attributes in found.tags for name in attributes} == {name for _, attributes in plain.tags for name in attributes}
    assert all(str(attributes["href"]).startswith("https://") for tag, attributes in found.tags if tag == "a")


def test_the_page_needs_nothing_else() -> None:
    page = files.page([files._part("web1", "deploy", [GOOD, BAD], check=True)])
    assert not {tag for tag, _ in Tags(page).tags} & {"script", "link", "img", "iframe"} and "url(" not in page and "@import" not in page
    assert "check mode: nothing was changed" in page


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "The report could not be written" in written(tmp_path / "file", GOOD)


def test_what_others_have_put_into_the_directory_is_no_part_of_the_report(tmp_path: Path) -> None:
    for name, text in (("host-names.json", "[]"), ("host-x.json", "{"), ("host-y.json", '{"host": "y"}')):
        (tmp_path / name).write_text(text)
    assert "All of it" in files.write(str(tmp_path), "localhost", "deploy", [GOOD], check=False)
    assert "flasky" in (tmp_path / "report.html").read_text()


def test_no_link_is_followed_out_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html.new").symlink_to(tmp_path / "mine")
    assert "could not be written" in files.write(str(tmp_path / "report"), "localhost", "deploy", [GOOD], check=False)
    assert (tmp_path / "mine").read_text() == "mine"
