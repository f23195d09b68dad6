"""Tells a file that is no single message from one that may be, by its first bytes, before anything is said of its seal."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["why_no_message"]

_LOOKED_AT: Final = 4096
_FIELD = re.compile(rb"[!-9;-~]{1,76}[ \t]*:")
_ARMOUR = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_SEPARATOR = re.compile(rb">?From [^\r\n]{0,990}(?:\r?\n|\Z)")
_NEXT = re.compile(rb"\n\r?\nFrom [^\r\n]{1,990}\r?\n[!-9;-~]{1,76}[ \t]*:")
_DATED = re.compile(rb"From [^\r\n]{0,990}?[0-9]{1,2}:[0-9]{2}")
_MAGIC: Final = (
    (b"PK\x03\x04", "it is a zip"),
    (b"PK\x05\x06", "it is a zip"),
    (b"%PDF-", "it is a PDF"),
    (b"\x1f\x8b", "it is compressed (gzip)"),
    (b"SQLite format 3\0", "it is a database"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is a file of Outlook or another Office program (.msg, .doc)"),
    (b"!BDN", "it is a folder of Outlook (.pst)"),
    (b"\x89PNG", "it is a picture"),
    (b"\xff\xd8\xff", "it is a picture"),
    (b"\x7fELF", "it is a program"),
)


def why_no_message(raw: bytes) -> str | None:
    """Return why a file is no single message; None when it may be one.

    A message begins with its header. What has none, but may be a message that lost it, is given the benefit of the doubt.

    Args:
        raw: the file, or as much of its beginning as two messages take.
    """
    text = raw[:_LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if not text.strip():
        return "it is empty"
    for magic, what in _MAGIC:
        if text.startswith(magic):
            return what
    if (armour := _ARMOUR.match(text)) is not None:
        return f"it holds a {armour[1].decode('ascii').lower()} (PEM)"
    if text.startswith((b"\x30\x82", b"\x30\x80", b"\x30\x83")):
        return "it holds a certificate, a signature or other data in DER"
    if text.lstrip().startswith((b"<?xml", b"<postacert")):
        return "it is XML"
    separator = _SEPARATOR.match(text)
    if separator is not None and _is_mbox(raw):
        return "it is an mbox, which holds many messages"
    if separator is None and _FIELD.match(text) is None and b"\0" in text:
        return "it has no header, and bytes that are no text"
    return None


def _is_mbox(raw: bytes) -> bool:
    """Whether a file that begins with a separator has another one, with a header behind it."""
    return any(_DATED.match(match[0].lstrip(b"\r\n")) for match in _NEXT.finditer(raw))
