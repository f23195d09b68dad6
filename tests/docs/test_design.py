"""``docs/design.md`` tells of the code as it is: its layers, its files, and what is touched to add something."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import tarfile
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from archipec.contract import Claim
from archipec.message import DumpSample
from archipec.pec.kind import GROUPS, KINDS, Kind, known_kind
from archipec.testing import configure
from testbed.pages import ROOT, blocks, first_cells, page, section

PAGE = page("design.md")
CORE, PLUGINS = ROOT / "core" / "archipec", ROOT / "plugins" / "archipec_plugins"


def architecture() -> ModuleType:
    """Return the rules that `tests/test_architecture.py` has as data."""
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "tests" / "test_architecture.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry_points() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, str] = project["entry-points"]["archipec"]
    return found


def touched(heading: str) -> list[str]:
    """Return the files that are touched to add something, NAME in them."""
    return [re.sub("`", "", cell) for cell in first_cells(section(PAGE, heading))]


def test_the_layers_are_those_that_the_tests_hold() -> None:
    rows = [frozenset(re.findall(r"`(\w+)`", cell)) for cell in first_cells(section(PAGE, "## Layers"))]
    rules = architecture()
    assert tuple(rows) == (*rules.LAYERS, *rules.PLUGIN_LAYERS)
    (sentence,) = re.findall(r"of archipec it imports (.*?)\. The three", PAGE, re.DOTALL)
    assert set(re.findall(r"`([\w.]+)`", sentence)) == set(rules.FOR_THE_TOOL)


def test_every_file_that_it_names_is_there() -> None:
    named = re.findall(r"`((?:[\w.]+/)*[\w.]+\.(?:py|md|toml))`", PAGE)
    assert len(named) > 40
    bases = (ROOT, CORE, PLUGINS, ROOT / "docs")
    missing = {
        name
        for name in named
        if "NAME" not in name and "/" in name and not any((base / name).exists() for base in bases)
    }
    assert not missing


def test_every_function_that_it_names_is_there() -> None:
    named = re.findall(r"`([\w./]+\.py)`\s+\(((?:`\w+`(?:, )?)+)\)", section(PAGE, "## Where to look"))
    assert len(named) > 20
    for file, names in named:
        code = (ROOT / file).read_text("utf-8")
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^ *(?:def|class) {name}\b|^{name}\b.* = ", code, re.MULTILINE), (file, name)


@pytest.mark.parametrize("name", ["eml", "maildir", "mbox", "zip"])
def test_a_format_is_what_the_page_says(name: str) -> None:
    files = touched("### A format")
    assert len(files) <= 6
    for file in files:
        assert (ROOT / file.replace("NAME", name)).exists(), file
    assert [key for key, module in entry_points().items() if module.split(".")[1] == name] == [name]
    assert f"`{name}:" in page("usage.md") and f"`{name}:" in page("options.md")


@pytest.mark.parametrize("name", ["imap", "pop3"])
def test_a_mailbox_source_is_what_the_page_says(name: str) -> None:
    files = touched("### A mailbox source")
    assert len(files) <= 6
    for file in files:
        assert (ROOT / file.replace("NAME", name)).exists(), file
    assert [key for key, module in entry_points().items() if module.split(".")[1] == name] == [name]
    assert f"`{name}s://" in page("usage.md")


def test_a_command_is_what_the_page_says() -> None:
    from archipec import cli

    files = touched("### A command")
    assert len(files) <= 6
    for name in cli._COMMANDS:
        assert (CORE / "cli" / f"{name}.py").exists()
        assert f"archipec {name}" in page("usage.md") + (ROOT / "README.md").read_text("utf-8")
        if name != "demo":
            assert f"`{name}" in page("json.md"), name


def test_a_kind_is_one_row() -> None:
    assert touched("### A kind of certified message")[0] == "core/archipec/pec/kind.py"
    for file in touched("### A kind of certified message"):
        assert (ROOT / file).exists(), file
    names = {name for name in KINDS if name != "unknown"}
    elsewhere = {
        str(module.relative_to(ROOT))
        for module in (*CORE.rglob("*.py"), *PLUGINS.rglob("*.py"))
        if not {"simulator", "testing"} & set(module.parts)
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert elsewhere == {"core/archipec/pec/kind.py"}


# -- the worked examples -----------------------------------------------------------------------------

EXAMPLES = {block.name: block.text for block in blocks(PAGE) if block.language == "python"}


def run(name: str, **known: object) -> dict[str, Any]:
    """Run an example, and return what it defines."""
    namespace: dict[str, Any] = {"__name__": "example", **known}
    exec(compile(EXAMPLES[name], name, "exec"), namespace)
    return namespace


def test_the_example_of_a_format(tmp_path: Path) -> None:
    made = run("plugins/archipec_plugins/tar/__init__.py")
    (record,) = made["archipec_sources"]()
    assert record.where(configure(record, {"path": str(tmp_path / "a.tar")})).startswith("tar:/")
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        file.add(__file__, "a.eml")
    sample = DumpSample(path="a.tar", name="a.tar", beginning=(tmp_path / "a.tar").read_bytes()[:4096])
    assert record.detects(sample) is Claim.WHOLE
    assert record.detects(DumpSample(path="a.eml", name="a.eml", beginning=b"Subject: x")) is Claim.NONE


def test_the_example_of_a_mailbox_source() -> None:
    (record,) = run("plugins/archipec_plugins/jmap/__init__.py")["archipec_sources"]()
    config = configure(record, {"host": "jmap.example.it", "user": "studio@example.it", "password": "x"})
    assert record.where(config) == "jmaps://studio@example.it@jmap.example.it"


def test_the_example_of_a_command() -> None:
    command = run("core/archipec/cli/kinds.py")["kinds"]
    result = CliRunner().invoke(command, ["--json"])
    assert result.exit_code == 0, result.output
    assert {json.loads(line)["group"] for line in result.output.splitlines()} == set(GROUPS)


def test_the_example_of_a_kind() -> None:
    row = eval(EXAMPLES["core/archipec/pec/kind.py"], {"Kind": Kind})
    assert row.name not in KINDS and row.code not in {known_kind(kind).code for kind in KINDS}
    assert set(row.groups) <= set(GROUPS) and row.folder in {known_kind(kind).folder for kind in KINDS}
