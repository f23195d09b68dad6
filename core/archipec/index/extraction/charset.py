"""Bytes of text to text, whatever charset they claim: nothing that a message says is lost for a wrong name."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

__all__ = ["decode_text"]

# Charsets of mail: Python knows other codecs by such names, some of which are no charsets at all.
_CHARSET: Final = re.compile(
    r"(?:utf|us-ascii|ascii|latin|iso-?8859|iso-2022|windows|cp|koi8|gb|big5|euc|shift|mac)[\w.-]{0,16}"
)
# What is called so is the other in practice, as for browsers (WHATWG Encoding §4.2).
_WINDOWS: Final = frozenset({"ascii", "iso8859-1", "cp1252"})
_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def decode_text(data: bytes, charset: str) -> tuple[str, str]:
    """Return the text, lines ended by ``\\n``, without other control characters, and what is odd about its charset.

    Bytes that don't fit the charset named are read as UTF-8 if they are that, else as Windows-1252. Raises nothing.

    Args:
        charset: as a message names it; empty for none.
    """
    text, oddity = _decoded(data, charset.strip().strip("\"'").lower())
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub(" ", text), oddity


def _decoded(data: bytes, charset: str) -> tuple[str, str]:
    if data.startswith(_MARKS):
        charset = "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "utf-16"
    codec, oddity = _codec(charset), ""
    if not codec and charset:
        oddity = f'unknown charset "{charset[:40]}"'
    if codec and codec not in _WINDOWS:
        try:
            return _SURROGATE.sub("\ufffd", data.decode(codec)), ""
        except (UnicodeError, ValueError):
            oddity = f"text that is not {charset[:40]}, as it says"
    try:
        return data.decode("utf-8"), oddity
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), oddity


@lru_cache(maxsize=64)
def _codec(charset: str) -> str:
    """The name that Python has for a charset; empty for one that it has not."""
    if not _CHARSET.fullmatch(charset):
        return ""
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return ""
