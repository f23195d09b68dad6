"""Finds the signed part, the signature and the few header fields of a message that decide on its seal in Thunderbird.

The slicing is `archipec.pec`'s. Which of several seals counts, and which address and digest, is Thunderbird's choice,
so it is made here: `archipec.pec.structure` is stricter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from archipec.errors import IntegrityError, PermanentError, from_os_error
from archipec.language import _
from archipec.pec.date import origin_date
from archipec.pec.headers import Header
from archipec.pec.mime import Part, children, entity
from archipec.pec.seal import sender_addresses

__all__ = ["SealedMessage", "find_seal", "read_file"]

_MOST: Final = 256 << 20  # bytes of a message; providers take 100 MB
_MOST_SIGNATURE: Final = 1 << 20  # encoded
_DEPTH, _CHILDREN = 5, 100

# As Thunderbird 153 reads micalg; MD5, which no PEC was ever sealed with, left out.
_MICALG: Final = {
    **dict.fromkeys(("sha1", "sha-1", "rsa-sha1", "rsa-sha-1"), "sha1"),
    **dict.fromkeys(("sha256", "sha-256", "2.16.840.1.101.3.4.2.1"), "sha256"),
    **dict.fromkeys(("sha384", "sha-384", "2.16.840.1.101.3.4.2.2"), "sha384"),
    **dict.fromkeys(("sha512", "sha-512", "2.16.840.1.101.3.4.2.3"), "sha512"),
}
_SIGNATURE_TYPES: Final = ("application/pkcs7-signature", "application/x-pkcs7-signature")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class SealedMessage:
    """A message and its outermost seal.

    Attributes:
        senders: the addresses of From, as written.
        date: of the header, in UTC; None when there is none that can be read.
        signed: the bytes that the seal covers, as they stand; None when there is no seal.
        signature: the CMS signature, DER or BER.
        announced: the digest that the header announces (micalg), "sha1", "sha256"…; empty when it announces none that
            Thunderbird knows.
    """

    senders: tuple[str, ...]
    date: datetime | None
    signed: bytes | None = None
    signature: bytes = b""
    announced: str = ""


def read_file(path: Path) -> bytes:
    """Return the bytes of a message.

    Raises:
        ArchipecError: it can't be read, or is longer than any mail.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST + 1)
    except OSError as error:
        raise from_os_error(error, path) from error
    if len(raw) > _MOST:
        raise PermanentError(
            _("{path}: longer than any mail").format(path=path), hint=_("give one message, saved as .eml")
        )
    return raw


def find_seal(raw: bytes) -> SealedMessage:
    """Return what matters of a message, which may be any bytes. Raises nothing."""
    senders = tuple(_SURROGATE.sub("\ufffd", one) for one in sender_addresses(Header.of(raw)) if one)
    date = origin_date(raw)
    date = None if date is None else date.astimezone(UTC)
    level = [entity(raw)]
    for _level in range(_DEPTH):
        inside: list[Part] = []
        for part in level:
            parts = children(part)[:_CHILDREN]
            if part.media_type == "multipart/signed" and len(parts) > 1 and _is_signature(parts[1]):
                announced = _MICALG.get(part.parameter("micalg").lower(), "")
                return SealedMessage(senders, date, parts[0].octets, _signature(parts[1]), announced)
            inside += parts
        level = inside[:_CHILDREN]
    return SealedMessage(senders, date)


def _is_signature(part: Part) -> bool:
    return part.media_type in _SIGNATURE_TYPES or part.name.lower() == "smime.p7s"


def _signature(part: Part) -> bytes:
    """The octets of a signature, none when they can't be read or are more than any seal has."""
    if part.end - part.body > _MOST_SIGNATURE:
        return b""
    try:
        return part.content()
    except IntegrityError:
        return b""
