"""What tests read of the pages in ``docs/``: their examples and tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["DOCS", "ROOT", "Block", "blocks", "first_cells", "page", "section"]

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"


class Block(NamedTuple):
    """A fenced block: its language, the name that follows the language, and what it holds."""

    language: str
    name: str
    text: str


def page(name: str) -> str:
    """Return the text of a page in ``docs/``."""
    return (DOCS / name).read_text("utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, deeper headings included, up to the next one as high."""
    level = heading.split(" ")[0]
    found = re.search(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.DOTALL | re.MULTILINE
    )
    assert found, f"there is no heading {heading!r}"
    return found[1]


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = re.findall(r"^```(\S*)(?: (\S[^\n]*))?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(language, name.strip(), content) for language, name, content in found]


def first_cells(text: str) -> list[str]:
    """Return the first cell of every row of the tables in a text, headings and rules left out."""
    rows = re.findall(r"^\|(.*?)\|.*\|$", text, re.MULTILINE)
    rules = [number for number, cell in enumerate(rows) if not cell.strip("- :")]
    return [
        cell.strip()
        for number, cell in enumerate(rows)
        if number not in {*rules, *(rule - 1 for rule in rules)}
    ]
