"""Reads single header fields out of the raw bytes of a message.

Certified mail is never re-serialised, so nothing here parses a whole message: a field is found in the raw header
block by a compiled pattern. Every function accepts any bytes and raises nothing.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from archipec.pec.buffer import Octets

MAX_HEADER = 256 * 1024
"""Bytes of a header block that are looked at; what follows counts as absent."""

_LINE_ENDS = (b"\r\n", b"\n", b"\r\r\n")
_LINE_BEGINS = (b"\r", b"\n")
_BLANK_LINE = re.compile(rb"\n\r{0,2}\n")
_COLON = re.compile(rb"[ \t]*:")
_UNREADABLE = re.compile("[\0\ud800-\udfff]")
_VALUE = re.compile(rb"[^\n]*+(?:\n[ \t][^\n]*+)*+")
_OUTER = b" \t\r\0"
_ENCODED_WORD = re.compile(rb"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,40})?\?([bBqQ])\?([^?\r\n]*)\?=")
# Charsets of mail: Python knows many other codecs under a name, some of which are no charsets at all.
_CHARSET = re.compile(
    r"(?:utf|us-ascii|ascii|latin|iso-?8859|iso-2022|windows|cp|koi8|gb|big5|euc|shift)[\w-]{0,16}"
)


def header_span(raw: Octets, start: int, end: int) -> tuple[int, int]:
    """Where the header block of an entity between two offsets ends, and where its body begins.

    Lines may end with CRLF, with a bare LF, or with the CR CR LF that programs for Windows make of CRLF. Lines that
    are no field (an mbox `From ` line, garbage) stay where they are: they match no field name. The block ends at the
    first empty line and nowhere else, and is at most `MAX_HEADER` bytes.
    """
    if raw.startswith(_LINE_BEGINS, start, end):
        for line_end in _LINE_ENDS:
            if raw.startswith(line_end, start, end):
                return start, start + len(line_end)
    at = start + MAX_HEADER
    at = min(at, end)
    if isinstance(raw, bytes):
        match = _BLANK_LINE.search(raw, start, at + 1)
        return (at, end) if match is None else match.span()
    # Of a message in its file no more is read than a header can be.
    match = _BLANK_LINE.search(raw[start : at + 1])
    return (at, end) if match is None else (start + match.start(), start + match.end())


def header_block(raw: Octets) -> bytes:
    """The header block of a message, without the blank line that ends it; see `header_span`.

    Args:
        raw: a whole message, its beginning, or only its header.

    Returns:
        At most `MAX_HEADER` bytes.
    """
    return raw[: header_span(raw, 0, len(raw))[0]]


class Header:
    """A header block, for who asks it for several fields.

    Args:
        head: the block, as `header_block` cuts it out.
    """

    __slots__ = ("block", "folded")

    def __init__(self, head: bytes) -> None:
        self.block = b"\n" + head
        """The block after a line end, so that every field begins with one."""
        self.folded = self.block.lower()
        """The same in lower case."""

    @classmethod
    def of(cls, raw: Octets) -> Self:
        """The header of a message, of its beginning, or of a header block; any bytes."""
        return cls(header_block(raw))

    def first(self, name: str) -> bytes | None:
        """The unfolded value of the first field called `name` (in any case, without the colon), None without one."""
        mark = _mark(name)
        start = self.folded.find(mark)
        if start < 0:
            return None
        after = start + len(mark)
        if not self.folded.startswith(b":", after):
            start = self.find(name, start)
            return None if start < 0 else field_value(self.block, start)
        return field_value(self.block, after + 1)

    def all(self, name: str) -> list[bytes]:
        """The unfolded values of every field called `name`, in the order of the header (the last added comes first)."""
        found = []
        start = self.find(name)
        while start >= 0:
            found.append(field_value(self.block, start))
            start = self.find(name, start)
        return found

    def find(self, name: str, start: int = 0) -> int:
        """Where in `block` the value of the next field of a name begins; negative when there is none."""
        folded, mark = self.folded, _mark(name)
        while (start := folded.find(mark, start)) >= 0:
            start += len(mark)
            if folded.startswith(b":", start):
                return start + 1
            if (match := _COLON.match(folded, start)) is not None:
                return match.end()
        return -1


def first_field(head: Octets, name: str) -> bytes | None:
    """The unfolded value of the first field called `name`, or None when there is none.

    Args:
        head: a message or its header block.
        name: the field's name, in any case, without the colon.
    """
    return Header.of(head).first(name)


def all_fields(head: Octets, name: str) -> list[bytes]:
    """The unfolded values of every field called `name`, in the order of the header (the last added comes first)."""
    return Header.of(head).all(name)


def raw_text(value: bytes) -> str:
    """A field's value as text; bytes that are no UTF-8 become surrogate escapes, so nothing is lost."""
    return value.decode("utf-8", "surrogateescape")


def decoded_text(value: bytes) -> str:
    """A field's value with its RFC 2047 encoded words decoded, for people to read.

    A character split over two encoded words of one charset is put together again, as several providers split it.
    An encoded word with broken base64 stays as it is; an unknown charset is read as UTF-8. The result may hold
    control characters and surrogate escapes.
    """
    if b"=?" not in value:
        return raw_text(value)
    parts: list[tuple[str, bytes]] = []  # (charset, bytes), neighbours of one charset joined
    position = 0
    for match in _ENCODED_WORD.finditer(value):
        word = _word(match)
        if word is None:
            continue
        between = value[position : match.start()]
        if between and (between.strip(b" \t") or not parts or parts[-1][0] == ""):
            parts.append(("", between))
        if parts and parts[-1][0] == word[0]:
            parts[-1] = (word[0], parts[-1][1] + word[1])
        else:
            parts.append(word)
        position = match.end()
    parts.append(("", value[position:]))
    return "".join(_text(charset, data) for charset, data in parts)


def identifier(text: str | None) -> str | None:
    """An identifier as it is compared: without angle brackets, and as text that any program can read; None if empty."""
    if text is None:
        return None
    return _UNREADABLE.sub("\ufffd", text).strip("<> \t\r\n") or None


def _word(match: re.Match[bytes]) -> tuple[str, bytes] | None:
    """(charset, bytes) of one encoded word; None when it is base64 that is no base64."""
    charset = match[1].decode("ascii", "replace").lower()
    if match[2] in b"qQ":
        return charset, binascii.a2b_qp(match[3], header=True)
    try:
        return charset, binascii.a2b_base64(match[3] + b"===")
    except ValueError:
        return None


def _text(charset: str, data: bytes) -> str:
    if _CHARSET.fullmatch(charset):
        try:
            return data.decode(charset, "replace")
        except (LookupError, ValueError):  # a name that only looks like a charset
            return raw_text(data)
    return raw_text(data)


@lru_cache(maxsize=64)
def _mark(name: str) -> bytes:
    """What the first line of a field of a name begins with, after `Header.folded`."""
    return b"\n" + name.lower().encode("ascii", "replace")


def field_value(block: bytes, start: int) -> bytes:
    """The value that begins at `start` in a header block, its continuation lines joined and outer blanks removed."""
    match = _VALUE.match(block, start)
    value = match[0].strip(_OUTER) if match is not None else b""
    if b"\n" in value or b"\r" in value:
        return value.translate(None, b"\r\n").strip(_OUTER)
    return value
