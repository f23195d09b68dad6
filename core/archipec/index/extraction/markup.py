"""Text out of XML and HTML while it is parsed: no tree is built, so neither its depth nor its size costs memory.

A broken document gives what stands before the break.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from archipec.errors import IntegrityError
from archipec.index.extraction.charset import decode_text
from archipec.index.extraction.limits import (
    MAX_FILE,
    MAX_FILE_TEXT,
    TOO_LONG,
    TOO_MUCH_TEXT,
    Extracted,
    ReadingBudget,
)

__all__ = [
    "ELEMENTS",
    "Full",
    "MarkupRules",
    "MarkupSink",
    "TextSink",
    "decode_html",
    "html_text",
    "parse_html",
    "xml_text",
]

_BLOCK: Final = 64 * 1024
_ENTITY: Final = re.compile(rb"<\0?!\0?E\0?N\0?T\0?I\0?T\0?Y", re.IGNORECASE)
_META_CHARSET: Final = re.compile(
    rb"<meta[^>]{1,200}charset\s{0,9}=\s{0,9}[\"']?([\w.:-]{1,40})", re.IGNORECASE
)
_DSIG: Final = "{http://www.w3.org/2000/09/xmldsig#}Signature"


@dataclass(frozen=True, slots=True)
class MarkupRules:
    """Which elements are what to a reader; names are local ones, without namespace.

    Attributes:
        hidden: their text is not shown.
        shown: if not empty, text is shown in these alone.
        breaks: a line ends before and after them; those of all elements where this is None.
        spaces: stand for a blank.
        attributes: whose value is shown, as (element, attribute).
        hidden_where: text of an element is not shown where an attribute has a value, as (element, attribute, value).
    """

    hidden: frozenset[str] = frozenset()
    shown: frozenset[str] = frozenset()
    breaks: frozenset[str] | None = frozenset()
    spaces: frozenset[str] = frozenset()
    attributes: frozenset[tuple[str, str]] = frozenset()
    hidden_where: tuple[str, str, str] | None = None


ELEMENTS: Final = MarkupRules(hidden=frozenset({"attachment"}), breaks=None)
"""Of XML that nothing is known about: each element is a line. Files inside invoices are read by themselves."""

_HTML_BLOCKS: Final = (
    "address article aside blockquote body br caption center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6"
    " head header hr html legend li main nav ol option p pre section table td th title tr ul"
)
_HTML: Final = MarkupRules(
    hidden=frozenset({"script", "style", "template"}),
    breaks=frozenset(_HTML_BLOCKS.split(" ")),
    attributes=frozenset({("img", "alt"), ("area", "alt"), ("input", "alt"), ("input", "value")}),
)


class Full(Exception):
    """There is as much text as is taken."""


class MarkupSink(Protocol):
    """What a parser calls while it reads. Any of these may raise `Full`, to hear no more."""

    @property
    def text(self) -> str:
        """What was collected."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, tag: str) -> None:
        """An element ends."""

    def data(self, text: str) -> None:
        """A piece of text."""

    def close(self) -> None:
        """The document ends."""


class TextSink:
    """Collects text, at most so many characters, while a parser calls it."""

    def __init__(self, rules: MarkupRules, most: int = MAX_FILE_TEXT) -> None:
        self._rules = rules
        self._pieces: list[str] = []
        self._left = most
        self._hidden = 0
        self._shown = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2].lower()
        rules = self._rules
        if self._hidden or name in rules.hidden or tag == _DSIG or self._is_hidden(name, attributes):
            self._hidden += 1
            return
        if name in rules.shown:
            self._shown += 1
        self._separate(name)
        if rules.attributes and attributes:
            for element, attribute in rules.attributes:
                if element == name and (value := attributes.get(attribute)):
                    self._add(f" {value} ")

    def end(self, tag: str) -> None:
        if self._hidden:
            self._hidden -= 1
            return
        name = tag.rpartition("}")[2].lower()
        if name in self._rules.shown:
            self._shown -= 1
        self._separate(name)

    def data(self, text: str) -> None:
        if not self._hidden and (self._shown or not self._rules.shown):
            self._add(text)

    def close(self) -> None:
        """Called by the parser at the end."""

    @property
    def text(self) -> str:
        """What was collected."""
        return "".join(self._pieces)

    def _is_hidden(self, name: str, attributes: dict[str, str]) -> bool:
        where = self._rules.hidden_where
        return where is not None and name == where[0] and attributes.get(where[1]) == where[2]

    def _separate(self, name: str) -> None:
        """End a line or a word once, however many elements do."""
        rules = self._rules
        if rules.breaks is None or name in rules.breaks:
            if self._pieces and self._pieces[-1] != "\n":
                self._pieces.append("\n")
        elif name in rules.spaces and self._pieces and self._pieces[-1] not in (" ", "\n"):
            self._pieces.append(" ")

    def _add(self, text: str) -> None:
        self._pieces.append(text[: self._left])
        self._left -= len(text)
        if self._left <= 0:
            raise Full


def html_text(data: bytes, charset: str, budget: ReadingBudget) -> Extracted:
    """The text of HTML as a person sees it, with what stands for images; without scripts and styles.

    Args:
        charset: as the message says; what the document itself says, where it says nothing.
    """
    text, oddity = decode_html(data, charset)
    if not text.strip():
        return Extracted("", oddity)
    sink = TextSink(_HTML)
    problem = parse_html(text, sink, budget)
    return Extracted(sink.text, problem or oddity)


def decode_html(data: bytes, charset: str) -> tuple[str, str]:
    """Return an HTML document as text, and what is odd about its charset.

    Args:
        charset: as the message says; what the document itself says, where it says nothing.
    """
    if not charset and (named := _META_CHARSET.search(data[:_BLOCK])):
        charset = named[1].decode("ascii", "replace")
    return decode_text(data[:MAX_FILE], charset)


def parse_html(text: str, sink: MarkupSink, budget: ReadingBudget) -> str:
    """Let a sink hear of the elements and texts of an HTML document; return why that was not all of it."""
    from lxml import etree  # type: ignore[import-untyped]

    blocks = (text[at : at + _BLOCK] for at in range(0, len(text), _BLOCK))
    return _parsed(etree.HTMLParser(target=sink), blocks, sink, budget)


def xml_text(
    blocks: Iterable[bytes], rules: MarkupRules, budget: ReadingBudget, most: int = MAX_FILE_TEXT
) -> Extracted:
    """The text of XML, by rules; of a document that declares entities none, and of signatures in it none.

    Args:
        most: characters.
    """
    from lxml import etree

    sink = TextSink(rules, most)
    parser = etree.XMLParser(
        target=sink,
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        recover=True,
        remove_comments=True,
        remove_pis=True,
    )
    problem = _parsed(parser, _without_entities(blocks), sink, budget)
    return Extracted(sink.text, problem)


def _parsed(parser: Any, blocks: Iterable[bytes | str], sink: MarkupSink, budget: ReadingBudget) -> str:
    """Parse; return why the text is not whole."""
    from lxml import etree

    try:
        for block in blocks:
            if budget.is_over:
                return TOO_LONG
            parser.feed(block)
        parser.close()
    except Full:
        return TOO_MUCH_TEXT
    except IntegrityError as error:
        return error.message
    except (etree.LxmlError, ValueError, AssertionError):
        return "" if sink.text.strip() else "not read: its markup is broken"
    return ""


def _without_entities(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks, unless the first says that the document declares entities: with them a line becomes a gigabyte.

    Raises:
        IntegrityError: it does.
    """
    for number, block in enumerate(blocks):
        if number == 0 and _ENTITY.search(block):
            raise IntegrityError("not read: it declares entities of its own")
        yield block
