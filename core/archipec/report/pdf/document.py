"""What a PDF shows, block by block: text alone, whatever is in it. The template decides how it looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from archipec.message import ContentKey, Json

__all__ = [
    "Block",
    "Box",
    "Embedded",
    "FactList",
    "Heading",
    "PageBreak",
    "PdfDocument",
    "Picture",
    "Table",
    "Tint",
    "Value",
    "WrittenText",
    "fixed",
    "hash_of",
    "page_of",
    "quiet",
    "tinted",
]

Tint = Literal["good", "wait", "bad", "plain"]
Value = str | dict[str, str] | Sequence["Value"]
"""Text, text in a style (`fixed`, `hash_of`, `tinted`, `quiet`, `page_of`), or several of them, a line each."""


def fixed(text: str) -> Value:
    """Text whose every character counts, such as an identifier."""
    return {"text": text, "style": "fixed"}


def hash_of(key: ContentKey) -> Value:
    """The SHA-256 of a message or a file, in one line."""
    return {"text": key.sha256, "style": "hash"}


def quiet(text: str) -> Value:
    """Text that explains."""
    return {"text": text, "style": "quiet"}


def tinted(text: str, tint: Tint) -> Value:
    """Text that says how something stands; its colour is never the only thing that says so."""
    return {"text": text, "style": tint}


def page_of(name: str) -> Value:
    """The page of the heading of that name, and a link to it."""
    return {"to": name, "style": "page"}


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading.

    Attributes:
        level: 2 or 3; 1 is the title.
        name: by which `page_of` finds it; empty for none.
    """

    text: str
    level: int = 2
    name: str = ""


@dataclass(frozen=True, slots=True)
class FactList:
    """What each of some things is, one below the other.

    Attributes:
        together: all on one page, which it must not be longer than.
    """

    rows: Sequence[tuple[str, Value]]
    together: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its header is repeated on each page.

    Attributes:
        columns: the share of the width of each; 0 for what its content needs.
        right: columns whose content stands at the right.
        rows: of cells, and of what stands below all but the first, if there is one more.
    """

    columns: Sequence[int]
    header: Sequence[str]
    rows: Sequence[Sequence[Value]]
    right: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """A few lines to be seen first."""

    lines: Sequence[Value]
    tint: Tint = "plain"


@dataclass(frozen=True, slots=True)
class WrittenText:
    """Text as somebody wrote it, line by line."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, and text that says what it shows."""

    svg: str
    description: str


@dataclass(frozen=True, slots=True)
class PageBreak:
    """What follows begins on a new page."""


Block = Heading | FactList | Table | Box | WrittenText | Picture | PageBreak


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A file inside the PDF.

    Attributes:
        name: ASCII, safe for any system, and that of no other file in the document.
        size: bytes; read: gives them.
        relationship: of PDF/A-3: `source` for what the document is about, `data` for figures that it shows.
    """

    name: str
    size: int
    read: Callable[[], bytes]
    description: str
    media_type: str = "message/rfc822"
    relationship: Literal["source", "data"] = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfDocument:
    """A document.

    Attributes:
        title: what it is; subtitle: what it is about.
        date: aware: of the newest thing in it, never of today, so that the same content gives the same bytes.
        language: code of the language that it is written in.
    """

    title: str
    subtitle: str
    date: datetime
    language: str
    blocks: Sequence[Block]
    embedded: Sequence[Embedded] = field(default=())

    def blocks_as_json(self) -> list[dict[str, Json]]:
        """Return the blocks for the template."""
        return [_as_json(one) for one in self.blocks]


def _as_json(one: Block) -> dict[str, Json]:
    shape: dict[str, Json] = {"block": type(one).__name__.lower()}
    for name in one.__dataclass_fields__:
        shape[name] = getattr(one, name)
    return shape
