"""Reads single header fields out of the raw bytes of a message.

Certified mail is never re-serialised, so nothing here parses a whole message: a field is found in the raw header
block by a compiled pattern. Every function accepts any bytes and raises nothing.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archipec.pec.buffer import Octets

MAX_HEADER = 256 * 1024
"""Bytes of a header block that are looked at; what follows counts as absent."""

_LINE_ENDS = (b"\r\n", b"\n", b"\r\r\n")
_BLANK_LINES = tuple(b"\n" + line_end for line_end in _LINE_ENDS)
_SURROGATE = re.compile("[\ud800-\udfff]")
_FOLDS = re.compile(rb"\r*\n|\r")
_ENCODED_WORD = re.compile(rb"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,40})?\?([bBqQ])\?([^?\r\n]*)\?=")
# Charsets of mail: Python knows many other codecs under a name, some of which are no charsets at all.
_CHARSET = re.compile(
    r"(?:utf|us-ascii|ascii|latin|iso-?8859|iso-2022|windows|cp|koi8|gb|big5|euc|shift)[\w-]{0,16}"
)


def header_block(raw: Octets) -> bytes:
    """The header block of a message, without the blank line that ends it.

    Lines may end with CRLF, with a bare LF, or with the CR CR LF that programs for Windows make of CRLF. Lines that
    are no field (an mbox `From ` line, garbage) stay where they are: they match no field name. The block ends at the
    first empty line and nowhere else.

    Args:
        raw: a whole message, its beginning, or only its header.

    Returns:
        At most `MAX_HEADER` bytes.
    """
    if raw.startswith(_LINE_ENDS):
        return b""
    end = min(len(raw), MAX_HEADER)
    for blank in _BLANK_LINES:
        found = raw.find(blank, 0, end + 1)
        if found >= 0:
            end = found
    return raw[:end]


def first_field(head: Octets, name: str) -> bytes | None:
    """The unfolded value of the first field called `name`, or None when there is none.

    Args:
        head: a message or its header block.
        name: the field's name, in any case, without the colon.
    """
    block = b"\n" + header_block(head)
    match = _pattern(name).search(block)
    return None if match is None else field_value(block, match.end())


def all_fields(head: Octets, name: str) -> list[bytes]:
    """The unfolded values of every field called `name`, in the order of the header (the last added comes first)."""
    block = b"\n" + header_block(head)
    return [field_value(block, match.end()) for match in _pattern(name).finditer(block)]


def raw_text(value: bytes) -> str:
    """A field's value as text; bytes that are no UTF-8 become surrogate escapes, so nothing is lost."""
    return value.decode("utf-8", "surrogateescape")


def decoded_text(value: bytes) -> str:
    """A field's value with its RFC 2047 encoded words decoded, for people to read.

    A character split over two encoded words of one charset is put together again, as several providers split it.
    An encoded word with broken base64 stays as it is; an unknown charset is read as UTF-8. The result may hold
    control characters and surrogate escapes.
    """
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
    return _SURROGATE.sub("\ufffd", text).strip("<> \t\r\n") or None


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
def _pattern(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"\n" + re.escape(name.encode("ascii", "replace")) + rb"[ \t]*:", re.IGNORECASE)


def field_value(block: bytes, start: int) -> bytes:
    """The value that begins at `start` in a header block, its continuation lines joined and outer blanks removed."""
    end = block.find(b"\n", start)
    while end >= 0 and block[end + 1 : end + 2] in (b" ", b"\t"):
        end = block.find(b"\n", end + 1)
    value = block[start:] if end < 0 else block[start:end]
    if b"\n" in value or b"\r" in value:
        value = _FOLDS.sub(b"", value)
    return value.strip(b" \t\r\0")
