"""Tells whether the copy of a sent message is the original that receipts of REM certify.

What a provider hashes and seals is what the sender's program wrote with the Message-ID replaced by its own and the
first one moved into `REM-UAMessageIdentifier` (ETSI EN 319 532-3 §6.2, as in AgID's example kit), all lines ended by
CRLF. The copy that the program keeps is the one before that.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from archipec.pec.headers import first_field, header_block, identifier, raw_text

__all__ = ["as_certified", "compare_original"]

_MESSAGE_ID = re.compile(rb"^Message-ID[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_BARE_LF = re.compile(rb"(?<!\r)\n")


def compare_original(copy: bytes, digest: str, message_id: str) -> Literal["same", "renamed", "differs"]:
    """Whether a copy has the hash that a receipt states: as it is, or once it has the provider's Message-ID.

    Args:
        digest: SHA-256, lower-case hexadecimal digits.
        message_id: that the provider gave the message, without angle brackets.
    """
    lines = _BARE_LF.sub(b"\r\n", copy)
    if digest in (_sha256(copy), _sha256(lines)):
        return "same"
    return "renamed" if _sha256(as_certified(lines, message_id)) == digest else "differs"


def as_certified(message: bytes, message_id: str) -> bytes:
    """A client's message, its lines ended by CRLF, as a provider attaches it to a dispatch; see above."""
    first = identifier(raw_text(first_field(message, "Message-ID") or b"")) or ""
    own = f"Message-ID: <{message_id}>\r\n".encode("utf-8", "replace")
    own += f"REM-UAMessageIdentifier: <{first}>\r\n".encode("utf-8", "replace") if first else b""
    end = len(header_block(message)) + 2
    head, replaced = _MESSAGE_ID.subn(lambda _: own, message[:end], count=1)
    return (head if replaced else own + head) + message[end:]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
