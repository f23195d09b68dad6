"""The header fields that are searched, read in one pass: subject, people, identifiers; and a name for the message's file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from archipec.index.record import Party, Role
from archipec.pec.buffer import Octets
from archipec.pec.date import origin_date, received_date
from archipec.pec.headers import decoded_text, field_value, header_block, identifier, raw_text

__all__ = ["HeaderFields", "clean_text", "message_stem", "read_fields"]

_ROME: Final = ZoneInfo("Europe/Rome")
_LONGEST_SUBJECT: Final = 60  # characters of it in the name of a file
_MAX_VALUE: Final = 64 * 1024  # bytes of a field that are read
_MAX_PARTIES: Final = 2000  # of one header
_MAX_REFERENCES: Final = 50
_REMEMBERED: Final = 300  # bytes of a field
_ROLES: Final = {
    b"from": Role.FROM,
    b"to": Role.TO,
    b"cc": Role.CC,
    b"bcc": Role.BCC,
    b"reply-to": Role.REPLY_TO,
}
_FIELD: Final = re.compile(
    rb"\n(from|to|cc|bcc|reply-to|subject|message-id|in-reply-to|references|x-riferimento-message-id)[ \t]*:",
    re.IGNORECASE,
)
_MAILBOX: Final = re.compile(
    rb'(?:"((?:[^"\\]|\\.){0,300})"|([^<>",;@\s][^<>",;@]{0,300})|)[ \t]{0,20}'
    rb"<([^\x00-\x20\x7f<>@]{1,200}@[^\x00-\x20\x7f<>@]{1,255})>"
    rb"|([^\x00-\x20\x7f<>()\[\],;:\"@]{1,200}@[^\x00-\x20\x7f<>()\[\],;:\"@]{1,255})"
)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_MESSAGE_ID: Final = re.compile(rb"<([^<>\s]{1,998})>")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class HeaderFields(NamedTuple):
    """What a header says. Texts are decoded, identifiers without angle brackets; empty for what is not there.

    Attributes:
        riferimento: the Message-ID of what was sent, as the provider repeats it (`X-Riferimento-Message-ID`).
    """

    subject: str
    message_id: str
    riferimento: str
    references: tuple[str, ...]
    parties: tuple[Party, ...]


def read_fields(block: bytes) -> HeaderFields:
    """Read a header block, any bytes. Of a repeated field the first counts, except of addresses. Raises nothing."""
    block = b"\n" + block
    first: dict[bytes, bytes] = {}
    parties: list[Party] = []
    for match in _FIELD.finditer(block):
        name = match[1].lower()
        value = field_value(block, match.end())[:_MAX_VALUE]
        role = _ROLES.get(name)
        if role is None:
            first.setdefault(name, value)
        elif len(parties) < _MAX_PARTIES:
            parties += _mailboxes(role, value) if len(value) > _REMEMBERED else _remembered(role, value)
    answered = [*_identifiers(first.get(b"in-reply-to", b"")), *_identifiers(first.get(b"references", b""))]
    return HeaderFields(
        subject=clean_text(decoded_text(first.get(b"subject", b""))),
        message_id=identifier(raw_text(first.get(b"message-id", b""))) or "",
        riferimento=identifier(raw_text(first.get(b"x-riferimento-message-id", b""))) or "",
        references=tuple(dict.fromkeys(answered))[:_MAX_REFERENCES],
        parties=tuple(dict.fromkeys(parties))[:_MAX_PARTIES],
    )


def clean_text(text: str) -> str:
    """A text on one line that any program can read: no control characters, no surrogate escapes."""
    return text if text.isprintable() else _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text)).strip()


def _mailboxes(role: Role, value: bytes) -> tuple[Party, ...]:
    return tuple(_each_mailbox(role, value))


# A mailbox has the same correspondents again and again.
_remembered = lru_cache(maxsize=512)(_mailboxes)


def _each_mailbox(role: Role, value: bytes) -> Iterator[Party]:
    for quoted, name, address, bare in _MAILBOX.findall(value):
        shown = _ESCAPED.sub(rb"\1", quoted) if quoted else name
        yield Party(role, clean_text(raw_text(address or bare)), clean_text(decoded_text(shown)).strip())


def _identifiers(value: bytes) -> list[str]:
    found = _MESSAGE_ID.findall(value)
    return [clean_text(raw_text(one)) for one in found[-_MAX_REFERENCES:]]


def message_stem(raw: Octets, name: str) -> str:
    """Return what a message's file is called, without extension: its day, its subject and a name of its own.

    The subject comes from outside: `archipec.paths.safe_name` makes a name of it that a file can have.
    """
    block = header_block(raw)
    date = received_date(block) or origin_date(block)
    day = f"{date.astimezone(_ROME):%Y-%m-%d}" if isinstance(date, datetime) else "senza data"
    subject = read_fields(block).subject[:_LONGEST_SUBJECT].strip()
    return " ".join(word for word in (day, subject, name) if word)
