"""The plugins in ``docs/plugins.md`` pass the conformance kit as printed, and what is rendered of the code is fresh."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from archipec import contract, errors, testing
from rendered_docs import rendered
from testbed.pages import ROOT, blocks, first_cells, page, section

PAGE = page("plugins.md")
PRINTED = {block.name: block.text for block in blocks(PAGE) if block.language == "python" and block.name}


@pytest.mark.parametrize("path", rendered(), ids=lambda path: path.name)
def test_rendered_pages_are_what_the_code_says(path: Path) -> None:
    assert path.read_text("utf-8") == rendered()[path], (
        f"{path.name} is stale: run .venv/bin/python tests/support/rendered_docs.py"
    )


def test_plugins_pass_as_printed(tmp_path: Path) -> None:
    kinds = {name.split("_", 1)[1] for name in PRINTED}
    assert kinds == {"shelf.py", "crate.py", "register.py", "courier.py"} and len(PRINTED) == 8
    for name, text in PRINTED.items():
        (tmp_path / name).write_text(text, "utf-8")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST_"))}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-W",
            "error",
            "-rs",
        ],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_every_ability_and_every_error_is_explained() -> None:
    abilities = {name for name in contract.__all__ if name.startswith("Supports")}
    assert set(re.findall(r"`(\w+)`", " ".join(first_cells(section(PAGE, "## Abilities"))))) == abilities
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type)
        and issubclass(kind, errors.ArchipecError)
        and kind is not errors.ArchipecError
    }
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\w+) \|", section(PAGE, "## Errors"), re.MULTILINE)
    assert sorted(rows) == sorted(
        (name, str(kind.exit_code), kind.usual_scope.name) for name, kind in kinds.items()
    )


def test_names_in_it_are_there() -> None:
    for name in re.findall(r"`(\w+Conformance|make_\w+|nasty_messages|configure|ScriptedService)`", PAGE):
        assert hasattr(testing, name), name
    (entry,) = [block.text for block in blocks(PAGE) if block.language == "toml"]
    assert 'shelf = "archipec_shelf"' in entry and "archipec_shelf.py" in PRINTED


def test_what_plugins_may_import_is_what_the_rules_say() -> None:
    rules = (ROOT / "tests" / "test_architecture.py").read_text("utf-8")
    allowed = re.search(r"FOR_PLUGINS = frozenset\((.*?)\n\)", rules, re.DOTALL)
    assert allowed is not None
    sentence = re.search(r"- You may import (.*?), nothing else", PAGE, re.DOTALL)
    assert sentence is not None
    named = set(re.findall(r"`(?:archipec\.)?(\w+)`", sentence[1]))
    assert named - {"options"} == set(re.findall(r'"(\w+)"', allowed[1])) - {"options"}
