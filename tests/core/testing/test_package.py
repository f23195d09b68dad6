"""The kit as a package: what it needs, what it offers, and how its failures look."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from pathlib import Path

import pytest

import archipec.testing
from archipec.testing import messages

FOLDER = Path(archipec.testing.__file__).parent


def test_every_module_that_asserts_is_rewritten() -> None:
    """Else a plugin author sees a bare AssertionError without the values."""
    registered = {
        argument.value
        for node in ast.walk(ast.parse((FOLDER / "__init__.py").read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.register_assert_rewrite"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    asserting = {
        f"archipec.testing.{file.stem}"
        for file in FOLDER.glob("*.py")
        if any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(file.read_text("utf-8"))))
    }
    assert registered == asserting


def test_every_assertion_names_its_rule() -> None:
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            assert not isinstance(node, ast.Assert) or node.msg is not None, f"{file.name}:{node.lineno}"


def test_every_case_says_its_rule() -> None:
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                rule = ast.get_docstring(node) or ""
                assert rule.startswith("Rule: ") and rule.endswith("."), f"{file.name}: {node.name}: {rule}"


def test_the_kit_is_no_plugin_of_pytest() -> None:
    """Loaded before coverage starts, it would falsify the author's figures."""
    groups = {point.group for point in importlib.metadata.distribution("archipec").entry_points}
    assert "pytest11" not in groups


def test_the_kit_needs_pytest_and_nothing_else() -> None:
    outside = {"archipec", "pytest", "_typeshed", *sys.stdlib_module_names}
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] not in outside], file.name


def test_nasty_messages_are_what_they_say() -> None:
    nasty = archipec.testing.nasty_messages()
    assert len(set(nasty.values())) == len(nasty)
    assert nasty == archipec.testing.nasty_messages()
    assert nasty["0-bytes"] == b""
    assert b"\r" not in nasty["bare-lf"] and nasty["bare-lf"].endswith(b"\n")
    assert not nasty["no-final-newline"].endswith((b"\r", b"\n"))
    assert b"\0" in nasty["nul"] and set(nasty["every-byte"]) == set(range(256))
    assert nasty["from-line-first"].startswith(b"From ")
    assert b"\n.\r\n" in nasty["lone-dots"] and b"\n>From " in nasty["quoted-from-lines"]
    assert max(map(len, nasty["long-line"].split(b"\r\n"))) >= 2 * 2**20
    assert not nasty["8-bit-headers"].isascii()


@pytest.mark.parametrize("size", [100, 1000, 300_000])
def test_a_big_message_has_the_size_it_was_asked_for(size: int) -> None:
    chunks = list(messages.big_message(size))
    assert sum(map(len, chunks)) == size
    assert messages.reader_of(chunks).read() == b"".join(chunks)
    assert max(map(len, chunks)) < 100_000


def test_hostile_folders_lead_out_in_every_way(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    reached = {
        (tmp_path / "a" / name).resolve() for name in messages.hostile_folders(outside) if "\0" not in name
    }
    assert outside in reached
    assert tmp_path.parent / "outside" in reached
    assert Path(tmp_path.anchor) / "outside" in reached
