"""The words of messages and docstrings: plain English that an administrator understands at first reading."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("archipec", "archipec_plugins", "archipec_thunderbird")

# What is not to be written, and what to write instead.
INSTEAD: dict[str, str] = {
    r"nobody|no one": "say who doesn't, or use the passive",
    r"(?<!there )(?:is|are|was|were) (?-i:none)": "is not a ...",
    r"told": "reported, said, given",
    r"(?:he|his|him|himself)": "the user, it, they",
    r"on record": "recorded, in the ledger",
    r"in words": "as text",
    r"strangers?": "third parties, others",
    r"let go of|lets go of": "close, release",
    r"trap": "refused as ...",
    r"house|floors?|homeless": "architecture, layer, package",
    r"somebody else's": "another ...'s",
}
_SQL = re.compile(r"\b(?:SELECT|WHERE|INSERT INTO|UPDATE \w+ SET|CREATE TABLE|ALTER TABLE)\b")
_FORBIDDEN = re.compile(rf"(?<!\.)\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)


def sources() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every module of the three packages."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations
        root = Path(spec.submodule_search_locations[0])
        for file in sorted(root.rglob("*.py")):
            yield str(file.relative_to(root.parent)), file.read_text("utf-8")


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield the sentences of a source text with their lines: docstrings, and what is printed or raised."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not _SQL.search(node.value):
            yield node.lineno, node.value


def test_messages_and_docstrings_are_in_plain_words() -> None:
    found = [
        f"{name}:{line}: {match[0]!r} in {text[max(match.start() - 30, 0) : match.end() + 30]!r}"
        for name, source in sources()
        for line, text in texts(source)
        for match in _FORBIDDEN.finditer(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    ["this receipt is none of an mbox", "so Nobody can tell", "what he is given", "told by the server"],
)
def test_what_is_not_plain_is_found(text: str) -> None:
    assert _FORBIDDEN.search(next(iter(texts(f'raise Error(f"x {text} y")')))[1])


@pytest.mark.parametrize("text", ["the header", "a warehouse", "reported", "none of them"])
def test_plain_words_are_let_be(text: str) -> None:
    assert not _FORBIDDEN.search(text)
