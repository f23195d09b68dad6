"""Reads what the header of a REM message says (ETSI EN 319 532-3 §6.2, REM-Policy-IT).

The header is outside the signature: what it says counts once the signed evidence says the same (`verify`). Every
function takes any bytes and raises nothing; nothing slow is imported.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from archipec.pec.headers import decoded_text, field_value, header_block, identifier
from archipec.pec.kind import REM, kind_and_system
from archipec.pec.rem.reasons import Reason, reason_of

if TYPE_CHECKING:
    from archipec.pec.buffer import Octets

__all__ = ["RemHeader", "event_name", "read_header"]

_MAX_FIELDS = 32  # of one name that are read
_MAX_VALUE = 998
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"@]{1,200}@[^\s<>()\[\],;:\"@]{1,255}")
_NOT_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_SINGLE = (
    "REM-MessageType",
    "REM-EventIdentifier",
    "REM-Evidence-ID",
    "REM-DigestAlgorithm",
    "REM-DigestValue",
    "REM-UAMessageIdentifier",
    "Message-ID",
)
_MANY = ("REM-ReasonIdentifier", "REM-ApplicablePolicy", "REM-MD08", "REM-RelayDate")
# Of TS 102 640.
_OLDER = {
    "X-REM-Msg-Type": "REM-MessageType",
    "X-REM-Event": "REM-EventIdentifier",
    "X-REM-Evidence-Type": "REM-EventIdentifier",
}
_NAMES = {name.lower().encode("ascii"): name for name in (*_SINGLE, *_MANY, *_OLDER)}
_FIELD = re.compile(rb"\n(" + b"|".join(map(re.escape, _NAMES)) + rb")[ \t]*:", re.IGNORECASE)


class RemHeader(NamedTuple):
    """What the header of a REM message says; what it does not say is empty.

    Attributes:
        kind: as `kind.kind_of`.
        message_type: `dispatch`, `receipt`, or another.
        event: the name of the event, `SubmissionAcceptance`.
        reasons: why it happened, as written.
        evidence_id: of the evidence inside, without angle brackets.
        message_id: of this message, likewise; a dispatch's is what the evidence of its receipts names.
        ua_message_id: Message-ID of what the sender's program wrote, likewise.
        digest_algorithm: URI of the hash of the original.
        digest: that hash; empty when it is no base64.
        policies: URIs of the policies that the provider follows.
        sender: address of who sent the original.
        relay_date: when it was sent on, as written.
        repeated: names of fields that occur more than once and may not.
    """

    kind: str
    message_type: str
    event: str
    reasons: tuple[Reason, ...]
    evidence_id: str
    message_id: str
    ua_message_id: str
    digest_algorithm: str
    digest: bytes
    policies: tuple[str, ...]
    sender: str
    relay_date: str
    repeated: tuple[str, ...]


def read_header(head: Octets) -> RemHeader | None:
    """What the header of a REM message says; None when it says that the message is something else.

    Of a field that occurs more than once the first counts.

    Args:
        head: a message, its beginning, or its header block; any bytes.
    """
    block = header_block(head)
    kind, system = kind_and_system(block)
    if system != REM:
        return None
    found = _fields(block)
    single = {name: found[name] for name in _SINGLE}
    first = {name: values[0] if values else "" for name, values in single.items()}
    senders = _ADDRESS.findall(next(iter(found["REM-MD08"]), ""))
    return RemHeader(
        kind=kind,
        message_type=event_name(first["REM-MessageType"]),
        event=event_name(first["REM-EventIdentifier"]),
        reasons=tuple(reason_of(uri) for uri in found["REM-ReasonIdentifier"]),
        evidence_id=identifier(first["REM-Evidence-ID"]) or "",
        message_id=identifier(first["Message-ID"]) or "",
        ua_message_id=identifier(first["REM-UAMessageIdentifier"]) or "",
        digest_algorithm=first["REM-DigestAlgorithm"],
        digest=_base64(first["REM-DigestValue"]),
        policies=tuple(found["REM-ApplicablePolicy"]),
        sender=senders[-1] if senders else "",
        relay_date=next(iter(found["REM-RelayDate"]), ""),
        repeated=tuple(name for name, values in single.items() if len(values) > 1),
    )


def event_name(uri: str) -> str:
    """The name at the end of the URI of an event or of a type of message; letters, digits, `_`, `.`, `-` alone."""
    return _NOT_NAME.sub("", uri.rpartition("/")[2])[:80]


def _fields(block: bytes) -> dict[str, list[str]]:
    """The values of each field that is read, in the order of the header; an older name serves where the new is missing."""
    block = b"\n" + block
    found: dict[str, list[str]] = {name: [] for name in (*_SINGLE, *_MANY, *_OLDER)}
    for match in _FIELD.finditer(block):
        values = found[_NAMES[match[1].lower()]]
        if len(values) < _MAX_FIELDS:
            values.append(decoded_text(field_value(block, match.end())[:_MAX_VALUE]))
    for older, name in _OLDER.items():
        found[name] = found[name] or found[older]
    return found


def _base64(value: str) -> bytes:
    try:
        return binascii.a2b_base64(value.encode("ascii", "replace"), strict_mode=True)
    except binascii.Error:
        return b""
