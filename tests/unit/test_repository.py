"""What is written in more than one place says the same in each."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
from dataclasses import asdict
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import ocf_flask_unfit
from ocf_flask import settings

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles" / "ocf_flask"


def load_tool(name: str) -> ModuleType:
    loader = SourceFileLoader(name, str(ROOT / "tools" / name))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module", name="options")
def _options() -> dict[str, Any]:
    spec = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())
    options: dict[str, Any] = spec["argument_specs"]["main"]["options"]
    return options


def plain(value: Any) -> Any:
    """Tuples as lists, as YAML has them."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, tuple) else value


def test_the_spec_and_the_defaults_agree_by_value(options: dict[str, Any]) -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    assert defaults == {name: option["default"] for name, option in options.items()}


def test_the_spec_and_the_engine_agree_by_value(options: dict[str, Any]) -> None:
    engine = {f"ocf_flask_{key}": plain(value) for key, value in asdict(settings.Settings("x")).items() if key in settings.KEYS}
    assert engine == {name: option["default"] for name, option in options.items() if name != "ocf_flask_sites"}


@pytest.mark.parametrize("verb", ["status", "logs", "upgrade", "remove"])
def test_a_verbs_defaults_are_those_of_its_spec(verb: str) -> None:
    spec = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"][verb]["options"]
    used = re.findall(r"\{\{ (\w+) \| default\((\d+|true|false|\[\])\) \}\}", (ROLE / f"tasks/{verb}.yml").read_text())
    # What selects sites is the same for all, and described once.
    used.remove(("only", "[]"))
    assert {name: yaml.safe_load(default) for name, default in used} == {name: option["default"] for name, option in spec.items()}


def test_the_specs_choices_are_the_engines(options: dict[str, Any]) -> None:
    assert options["ocf_flask_server"]["choices"] == list(settings.SERVERS)
    assert options["ocf_flask_smoke_test"]["options"]["mode"]["choices"] == list(settings.SMOKE_TEST_MODES)


def test_each_option_of_the_spec_is_described_in_sentences(options: dict[str, Any]) -> None:
    inner = [one for option in options.values() for one in option.get("options", {}).values()]
    for option in [*options.values(), *inner]:
        assert option["type"] and option["description"].endswith("."), option


def test_an_options_default_is_its_suboptions_defaults(options: dict[str, Any]) -> None:
    for option in options.values():
        if "options" in option:
            assert option["default"] == {key: inner["default"] for key, inner in option["options"].items()}


def test_the_readmes_table_is_the_specs() -> None:
    readme = (ROOT / "README.md").read_text()
    tool = load_tool("readme")
    assert readme == tool.with_table(readme, tool.table()), "type: make readme"


def test_every_setting_of_the_documents_exists() -> None:
    known = {f"ocf_flask_{key}" for key in settings.KEYS} | {"ocf_flask_sites", "ocf_flask_runtime"}
    known |= {path.stem for path in ROOT.glob("plugins/*/ocf_flask_*.py")}
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("inventory/**/*.yml")]:
        named = set(re.findall(r"\bocf_flask_[a-z_]+\b", path.read_text()))
        assert named <= known, path


def test_the_examples_are_valid_settings() -> None:
    text = (ROOT / "inventory/sites/example.yml").read_text()
    values = yaml.safe_load("\n".join(line[2:] for line in text.splitlines() if re.match(r"# (ocf_flask_|  )", line)))
    assert len(values) >= 4
    settings.read({"name": "x"}, {name.removeprefix("ocf_flask_"): value for name, value in values.items()})


def test_no_file_names_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        path = ROOT / name
        if path.suffix not in (".png",) and path.is_file() and name != "tests/unit/test_repository.py":
            assert str(ROOT) + "/" not in path.read_text(), name


def test_there_are_as_many_attacks_as_the_document_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests/site/staff"))
    names = [attack.name for attack in importlib.import_module("attacks").ATTACKS]
    assert len(set(names)) == len(names)
    assert f"{len(names)} hostile accounts, each with an attack of its own" in (ROOT / "docs/security.md").read_text()


@pytest.mark.parametrize("module", ["ocf_flask_sites", "ocf_flask_sites_info"])
def test_the_modules_documentation_names_its_parameters(module: str) -> None:
    text = (ROOT / f"plugins/modules/{module}.py").read_text()
    documented = yaml.safe_load(text.partition('DOCUMENTATION = r"""')[2].partition('"""')[0])["options"]
    spec = text.partition("argument_spec={")[2].partition("supports_check_mode")[0]
    assert set(re.findall(r'"(\w+)": \{"type"', spec)) == set(documented)


def test_the_oldest_ansible_is_the_same_for_a_checkout_a_role_and_a_collection() -> None:
    oldest = ".".join(map(str, ocf_flask_unfit.OLDEST))
    assert yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"] == f">={oldest}.0"
    assert yaml.safe_load((ROLE / "meta/main.yml").read_text())["galaxy_info"]["min_ansible_version"] == oldest
    assert f"(ansible-core {oldest} or newer)" in (ROOT / "README.md").read_text()


def test_the_kit_is_the_same_in_the_role_the_module_and_its_documentation() -> None:
    text = (ROOT / "plugins/modules/ocf_flask_sites.py").read_text()
    documented = yaml.safe_load(text.partition('DOCUMENTATION = r"""')[2].partition('"""')[0])["options"]["kit"]["suboptions"]
    named = re.findall(r'"(\w+)"', text.partition("KIT = (")[2].partition(")")[0])
    brought = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__ocf_flask_kit"]
    assert list(documented) == named == list(brought)


def test_what_the_compatibility_page_names_is_there() -> None:
    page = (ROOT / "docs/compatibility.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 10
    assert [(file, test) for file, test in named if f"def {test}(" not in (ROOT / file).read_text()] == []
    (scenarios,) = re.findall(r"all scenarios: ([^|]+)", page)
    assert set(re.findall(r"`(\w+)`", scenarios)) == {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")}


def test_the_oldest_ansible_core_is_one_and_is_tested() -> None:
    required = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    pinned = re.findall(r"^ansible-core==(\d+\.\d+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    page = (ROOT / "docs/compatibility.md").read_text()
    assert required == f">={min(pinned)}.0" and f"| {min(pinned)}, the oldest |" in page and f"| {max(pinned)}, the newest |" in page
    assert yaml.safe_load((ROLE / "meta/main.yml").read_text())["galaxy_info"]["min_ansible_version"] == min(pinned)
    allowed = {path.name for path in ROOT.glob("tests/sanity/ignore-*.txt")}
    assert allowed == {f"ignore-{version}.txt" for version in pinned}
