"""What a signed or time-stamped file holds (.p7m: RFC 5652; .tsd: RFC 5544), and who signed it.

No signature is checked: what is searched is what a file says, not what it proves.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import Final, NamedTuple

from archipec.errors import IntegrityError
from archipec.pec.cms import DerReader, read_signed_data, split_certificates
from archipec.pec.trust import is_named

__all__ = ["Unwrapped", "as_cms", "unwrap"]

_SEQUENCE, _OCTETS, _CHUNKED_OCTETS, _CONTEXT_0 = 0x30, 0x04, 0x24, 0xA0
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")
_ENVELOPED_DATA: Final = bytes.fromhex("06092a864886f70d010703")
_TIME_STAMPED_DATA: Final = bytes.fromhex("060b2a864886f70d010910011f")
_KINDS: Final = (_SIGNED_DATA, _ENVELOPED_DATA, _TIME_STAMPED_DATA)
_LOOKED_AT: Final = 32  # bytes: a sequence of the longest length there is, and the identifier
_ARMOUR: Final = re.compile(rb"\A\s*-----BEGIN [A-Z0-9 #-]{1,40}-----\s*")
_BASE64: Final = re.compile(rb"\A[A-Za-z0-9+/=\s]+")
_MAX_CERTIFICATES: Final = 32
_MAX_ENCODED: Final = 256 * 1024  # bytes of certificates
_MAX_NAME: Final = 200


class Unwrapped(NamedTuple):
    """What was in a signed or time-stamped file.

    Attributes:
        content: None when it is not in the file.
        signers: names, as their certificates say.
        problem: why the content is not there; empty when it is.
    """

    content: bytes | None
    signers: tuple[str, ...] = ()
    problem: str = ""


def as_cms(data: bytes) -> bytes | None:
    """Return the CMS structure that a file is, base64 and PEM undone; None when it is something else.

    Its name and type don't count: gateways and senders change both.
    """
    if _is_cms(data):
        return data
    start = data[:64].lstrip()
    if not start.startswith((b"MI", b"-----BEGIN")):  # a sequence longer than 127 bytes, in base64
        return None
    body = _ARMOUR.sub(b"", data[:256]) + data[256:]
    if not _is_cms(_unbase64(body[:64])):
        return None
    found = _BASE64.match(body)
    decoded = _unbase64(found[0]) if found else b""
    return decoded if _is_cms(decoded) else None


def unwrap(cms: bytes) -> Unwrapped:
    """Take what is in a CMS structure out of it. Raises nothing."""
    head = cms[:_LOOKED_AT]
    if _ENVELOPED_DATA in head:
        return Unwrapped(None, problem="not read: encrypted for its recipient")
    try:
        if _TIME_STAMPED_DATA in head:
            content = _time_stamped(cms)
            return Unwrapped(content, problem="" if content is not None else "not read: the time stamp alone")
        signed = read_signed_data(cms)
    except (IntegrityError, IndexError, ValueError, OverflowError):
        return Unwrapped(None, problem="not read: a damaged signature")
    signers = _signers(signed.certificates, tuple(one.identifier for one in signed.signers))
    if signed.content is None:
        return Unwrapped(None, signers, "not read: the signature alone, of another file")
    return Unwrapped(signed.content, signers)


def _is_cms(data: bytes) -> bool:
    """Whether the first bytes are those of a ContentInfo of a known kind."""
    return data[:1] == b"\x30" and any(kind in data[:_LOOKED_AT] for kind in _KINDS)


def _unbase64(body: bytes) -> bytes:
    body = b"".join(body.split())
    try:
        return binascii.a2b_base64(body[: len(body) // 4 * 4])
    except binascii.Error:
        return b""


def _time_stamped(cms: bytes) -> bytes | None:
    """The content of TimeStampedData (RFC 5544 §2); None when it is elsewhere."""
    reader = DerReader(cms)
    explicit = reader.inside(reader.element(0, len(cms)), _SEQUENCE)[1]
    (sequence,) = reader.inside(explicit, _CONTEXT_0)
    for element in reader.inside(sequence, _SEQUENCE):
        if element.tag == _OCTETS:
            return reader.content(element)
        if element.tag == _CHUNKED_OCTETS:
            return b"".join(reader.content(one) for one in reader.inside(element, _CHUNKED_OCTETS))
    return None


def _signers(certificates: bytes, identifiers: tuple[bytes, ...]) -> tuple[str, ...]:
    """Names of the signers whose certificates are there and can be read."""
    return _names(certificates, identifiers) if len(certificates) <= _MAX_ENCODED else ()


@lru_cache(maxsize=32)  # few people sign much
def _names(certificates: bytes, identifiers: tuple[bytes, ...]) -> tuple[str, ...]:
    from asn1crypto import x509

    names: list[str] = []
    try:
        for der in split_certificates(certificates, _MAX_CERTIFICATES):
            certificate = x509.Certificate.load(der)
            if any(is_named(certificate, one) for one in identifiers):
                names.append(_name(certificate.subject.native))
    # A certificate is read when its fields are: a hostile one can raise almost anything then.
    except Exception:  # noqa: BLE001
        return tuple(names)
    return tuple(dict.fromkeys(name for name in names if name))


def _name(subject: dict[str, object]) -> str:
    """The person's name; certificates of a person have it in two parts too."""
    parts = (subject.get("given_name"), subject.get("surname"))
    whole = " ".join(one for one in parts if isinstance(one, str))
    name = subject.get("common_name")
    return (whole or (name if isinstance(name, str) else ""))[:_MAX_NAME]
