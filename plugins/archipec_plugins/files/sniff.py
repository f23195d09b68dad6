"""Tells from its first bytes whether a file is a message."""

from __future__ import annotations

import re
from typing import Final

from archipec.language import N_, _

SNIFFED: Final = 4096
"""Bytes that are looked at."""

_OTHERS: Final = (
    (re.compile(rb"From "), N_("it is an mbox file")),
    (re.compile(rb"\s*<(?:!doctype html|html|head|body)\b", re.IGNORECASE), N_("it is a web page")),
    (re.compile(rb"\s*<\?xml\b"), N_("it is an XML file")),
    (re.compile(rb"%PDF-"), N_("it is a PDF document")),
    (re.compile(rb"PK\x03\x04|PK\x05\x06"), N_("it is a zip archive")),
    (re.compile(rb"\xd0\xcf\x11\xe0"), N_("it is an Outlook message (.msg), not the message as it was sent")),
)

_MARK: Final = b"\xef\xbb\xbf"

# RFC 5322 §3.6.8: a name of printable characters without colon. Real names are short.
_FIELD = re.compile(rb"([!-9;-~]{1,76})[ \t]*:")
_KNOWN: Final = frozenset(
    b"from to cc subject date message-id received return-path delivered-to mime-version content-type reply-to sender"
    b" dkim-signature arc-seal authentication-results x-trasporto x-ricevuta x-riferimento-message-id".split()
)


def rejection_reason(head: bytes, name: str) -> str | None:
    """Return why a file is no message, None when it is one.

    A file called ``.eml`` is taken at its word unless it is evidently something else. Any other must begin
    with a header: nothing but fields, two of which mail is known for.

    Args:
        head: the first `SNIFFED` bytes, fewer when the file is shorter.
        name: the file's.
    """
    if not head:
        return _("it is empty")
    for pattern, reason in _OTHERS:
        if pattern.match(head.removeprefix(_MARK)):
            return reason
    if name.casefold().endswith(".eml") or _begins_with_header(head.removeprefix(_MARK)):
        return None
    return _("it doesn't begin like a message")


def _begins_with_header(head: bytes) -> bool:
    known = set()
    lines = head.replace(b"\r\n", b"\n").split(b"\n")
    if len(head) >= SNIFFED:
        del lines[-1:]
    for number, line in enumerate(lines):
        if not line:
            break
        if number and line[:1] in b" \t":
            continue
        field = _FIELD.match(line)
        if field is None:
            return False
        known.add(field[1].lower())
    return len(known & _KNOWN) >= 2
