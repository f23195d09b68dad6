"""Reads the CMS SignedData of a seal (RFC 5652 §5), and nothing but that.

A general ASN.1 library takes longer to reach the signature than the signature takes to check, so the few fields that
change from seal to seal are picked out of the bytes here. Certificates are handed on as they stand: `trust` reads them
once. Definite and indefinite lengths are both read, because several engines write the latter.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from archipec.errors import IntegrityError

MAX_SIGNERS = 8
"""Signatures of one seal that are checked; a seal with more is refused."""

_MAX_DEPTH = 32
_MAX_ELEMENTS = 100_000  # walked over to find the ends of indefinite lengths

_SEQUENCE, _SET, _INTEGER, _OCTETS, _OID = 0x30, 0x31, 0x02, 0x04, 0x06
_CHUNKED_OCTETS = 0x24
_CONTEXT_0 = 0xA0

DATA = bytes.fromhex("2a864886f70d010701")
"""The content type of anything that S/MIME signs (RFC 8551 §2.4.2), encoded."""
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_ATTRIBUTE_CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
_ATTRIBUTE_DIGEST = bytes.fromhex("2a864886f70d010904")
_ATTRIBUTE_TIME = bytes.fromhex("2a864886f70d010905")

DIGESTS = {
    bytes.fromhex("2b0e03021a"): "sha1",
    bytes.fromhex("608648016503040204"): "sha224",
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
_RSA = bytes.fromhex("2a864886f70d0101")
_ECDSA = bytes.fromhex("2a8648ce3d04")
# (scheme, digest where the identifier fixes one); RFC 8017 §A.2, RFC 5754 §3
_SIGNATURES = {
    _RSA + b"\x01": ("rsa", ""),
    _RSA + b"\x05": ("rsa", "sha1"),
    _RSA + b"\x0e": ("rsa", "sha224"),
    _RSA + b"\x0b": ("rsa", "sha256"),
    _RSA + b"\x0c": ("rsa", "sha384"),
    _RSA + b"\x0d": ("rsa", "sha512"),
    bytes.fromhex("2b0e03021d"): ("rsa", "sha1"),
    _RSA + b"\x0a": ("rsa-pss", ""),
    _ECDSA + b"\x01": ("ecdsa", "sha1"),
    _ECDSA + b"\x03\x02": ("ecdsa", "sha256"),
    _ECDSA + b"\x03\x03": ("ecdsa", "sha384"),
    _ECDSA + b"\x03\x04": ("ecdsa", "sha512"),
}
# UTCTime and GeneralizedTime (X.680 §46, §47)
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_TIMES = {
    _UTC_TIME: re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:Z|([+-])(\d\d)(\d\d))"),
    _GENERALIZED_TIME: re.compile(
        rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:\.\d+)?(?:Z|([+-])(\d\d)(\d\d))"
    ),
}


class SignerInfo(NamedTuple):
    """One signature (RFC 5652 §5.3).

    Attributes:
        identifier: the SignerIdentifier as it is encoded: issuer and serial number, or `80` and a key identifier.
        digest: `sha1`, `sha256`…, empty when it is another.
        scheme: `rsa` (PKCS#1 v1.5), `rsa-pss` or `ecdsa`, empty when it is another.
        signed_digest: that the signature itself is made with.
        signature: its octets.
        attributes: DER of the signed attributes, which the signature is over; None when it is over the content.
        content_type: the attribute of that name; empty without attributes.
        message_digest: likewise.
        signed_at: the signing time, which the signer claims; aware, None when it doesn't.
    """

    identifier: bytes
    digest: str
    scheme: str
    signed_digest: str
    signature: bytes
    attributes: bytes | None
    content_type: bytes
    message_digest: bytes
    signed_at: datetime | None


class SignedData(NamedTuple):
    """A seal as it is written.

    Attributes:
        content_type: object identifier of what is signed, encoded.
        content: what is signed when the seal holds it, else None.
        certificates: the certificates that it carries, one encoding after the other.
        signers: at least one.
    """

    content_type: bytes
    content: bytes | None
    certificates: bytes
    signers: tuple[SignerInfo, ...]


def read_signed_data(data: bytes) -> SignedData:
    """Read a ContentInfo that holds SignedData, in DER or BER. Bytes after it count for nothing.

    Raises:
        IntegrityError: it is something else, or damaged.
    """
    return read_placed(data)[0]


def read_placed(data: bytes) -> tuple[SignedData, list[SignerPlaces | None]]:
    """As `read_signed_data`, with where each signer's values stand: None for one without signed attributes or digest."""
    reader = DerReader(data)
    try:
        return reader.signed_data(), reader.places
    except (IndexError, ValueError, OverflowError) as error:
        raise IntegrityError("the seal is damaged: it can't be read as a CMS signature") from error


def split_certificates(encoded: bytes, most: int) -> list[bytes]:
    """The X.509 certificates among `SignedData.certificates`, at most so many; other formats are left out.

    Raises:
        IntegrityError: they are damaged.
    """
    try:
        elements = DerReader(encoded).elements(0, len(encoded))
    except (IndexError, ValueError, OverflowError) as error:
        raise IntegrityError("the seal is damaged: its certificates can't be read") from error
    return [encoded[one.start : one.after] for one in elements if one.tag == _SEQUENCE][:most]


class Element(NamedTuple):
    """One encoded value: where it starts, where its content begins and ends, where the next one starts."""

    tag: int
    start: int
    begin: int
    end: int
    after: int


class SignerPlaces(NamedTuple):
    """Where in a seal the values stand that differ from one to the next.

    Attributes:
        attributes: all signed attributes.
        digest, time: the values of those attributes; ``time`` is None when there is none.
        signature: its octets.
    """

    attributes: Element
    digest: Element
    signature: Element
    time: Element | None

    @property
    def values(self) -> tuple[Element, ...]:
        """Those of the values themselves."""
        single = (self.digest, self.signature)
        return single if self.time is None else (*single, self.time)


class DerReader:
    """A walk over BER (X.690 §8); IndexError and ValueError mean that it is damaged."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.places: list[SignerPlaces | None] = []
        """Of each signer that was read."""
        self._left = _MAX_ELEMENTS

    def signed_data(self) -> SignedData:
        kind, explicit = self.inside(self.element(0, len(self._data)), _SEQUENCE)[:2]
        if self.content(kind) != _SIGNED_DATA:
            raise ValueError("not SignedData")
        version, digests, encapsulated, *others = self.inside(self.inside(explicit, _CONTEXT_0)[0], _SEQUENCE)
        if version.tag != _INTEGER or digests.tag != _SET:  # each signer repeats its digest
            raise ValueError("unexpected tag")
        content_type, content = self._encapsulated(encapsulated)
        certificates = b""
        signers: tuple[SignerInfo, ...] = ()
        for element in others:
            if element.tag == _CONTEXT_0:
                certificates = self.content(element)
            elif element.tag == _SET:
                infos = self.elements(element.begin, element.end)
                if len(infos) > MAX_SIGNERS:
                    raise ValueError("too many signers")
                signers = tuple(self._signer(info) for info in infos)
        if not signers:
            raise ValueError("no signer")
        return SignedData(content_type, content, certificates, signers)

    def elements(self, start: int, end: int) -> list[Element]:
        """The elements between two offsets."""
        found = []
        while start < end:
            element = self.element(start, end)
            found.append(element)
            start = element.after
        return found

    def element(self, start: int, end: int, depth: int = 0) -> Element:
        data = self._data
        self._left -= 1
        tag, length, begin = data[start], data[start + 1], start + 2
        if tag & 0x1F == 0x1F or depth > _MAX_DEPTH or self._left < 0:
            raise ValueError("no tag of CMS, or out of bounds")
        if length == 0x80:
            position = begin
            while data[position : position + 2] != b"\0\0":
                if position >= end or not tag & 0x20:
                    raise ValueError("indefinite length without an end")
                position = self.element(position, end, depth + 1).after
            return Element(tag, start, begin, position, position + 2)
        if length > 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[begin : begin + size], "big")
            begin += size
        if begin + length > end:
            raise ValueError("cut short")
        return Element(tag, start, begin, begin + length, begin + length)

    def inside(self, element: Element, tag: int) -> list[Element]:
        if element.tag != tag:
            raise ValueError("unexpected tag")
        return self.elements(element.begin, element.end)

    def content(self, element: Element) -> bytes:
        return self._data[element.begin : element.end]

    def _encapsulated(self, element: Element) -> tuple[bytes, bytes | None]:
        """The type of what is signed, and what is signed if it is here (RFC 5652 §5.2)."""
        kind, *rest = self.inside(element, _SEQUENCE)
        if not rest:
            return self.content(kind), None
        (octets,) = self.inside(rest[0], _CONTEXT_0)
        if octets.tag == _OCTETS:
            return self.content(kind), self.content(octets)
        chunks = self.inside(octets, _CHUNKED_OCTETS)
        return self.content(kind), b"".join([self.content(chunk) for chunk in chunks])

    def _signer(self, element: Element) -> SignerInfo:
        version, identifier, digest, *rest = self.inside(element, _SEQUENCE)
        attributes = rest.pop(0) if rest[0].tag == _CONTEXT_0 else None
        found = {} if attributes is None else self._attributes(attributes)
        algorithm, signature = rest[:2]
        if (version.tag, signature.tag) != (_INTEGER, _OCTETS):
            raise ValueError("unexpected tag")
        digest_name = DIGESTS.get(self._algorithm(digest), "")
        scheme, fixed = _SIGNATURES.get(self._algorithm(algorithm), ("", ""))
        time, stated = found.get(_ATTRIBUTE_TIME), found.get(_ATTRIBUTE_DIGEST)
        self.places.append(
            None
            if attributes is None or stated is None or stated.tag != _OCTETS
            else SignerPlaces(attributes, stated, signature, time)
        )
        return SignerInfo(
            identifier=self._data[identifier.start : identifier.after],
            digest=digest_name,
            scheme=scheme,
            signed_digest=fixed or digest_name,
            signature=self.content(signature),
            attributes=None if attributes is None else as_set(self._data, attributes),
            content_type=self._attribute(found, _ATTRIBUTE_CONTENT_TYPE, _OID),
            message_digest=self._attribute(found, _ATTRIBUTE_DIGEST, _OCTETS),
            signed_at=None if time is None else read_time(time.tag, self.content(time)),
        )

    def _algorithm(self, element: Element) -> bytes:
        identifier = self.inside(element, _SEQUENCE)[0]
        if identifier.tag != _OID:
            raise ValueError("unexpected tag")
        return self.content(identifier)

    def _attributes(self, element: Element) -> dict[bytes, Element]:
        """The one value of each signed attribute that has one, by its type."""
        found: dict[bytes, Element] = {}
        for attribute in self.elements(element.begin, element.end):
            kind, values = self.inside(attribute, _SEQUENCE)
            name = self.content(kind)
            if name in found:
                raise ValueError("an attribute twice (RFC 5652 §11)")
            inside = self.inside(values, _SET)
            if len(inside) == 1:
                found[name] = inside[0]
        return found

    def _attribute(self, found: dict[bytes, Element], name: bytes, tag: int) -> bytes:
        element = found.get(name)
        return self.content(element) if element is not None and element.tag == tag else b""


def as_set(data: bytes, attributes: Element) -> bytes:
    """The encoding that the signature is over: with the tag of a SET, in definite length (RFC 5652 §5.4)."""
    if data[attributes.start + 1] != 0x80:
        return b"\x31" + data[attributes.start + 1 : attributes.after]
    content = data[attributes.begin : attributes.end]
    size = len(content)
    if size < 0x80:
        return bytes((_SET, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((_SET, 0x80 | len(length))) + length + content


def read_time(tag: int, value: bytes) -> datetime | None:
    """A UTCTime or GeneralizedTime, aware; None when it is neither."""
    pattern = _TIMES.get(tag)
    match = pattern.fullmatch(value) if pattern is not None else None
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups(b"0")[:6])
    if tag == _UTC_TIME:  # RFC 5652 §11.3
        year += 1900 if year >= 50 else 2000
    zone = UTC
    if match[7]:
        offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
        if offset >= timedelta(hours=24):
            return None
        zone = timezone(-offset if match[7] == b"-" else offset)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        return moment if zone is UTC else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
