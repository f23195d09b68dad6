"""Checks a time-stamp token (RFC 3161) that is kept with what it stamps, as of the time that it states."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from archipec.errors import IntegrityError
from archipec.pec.certification_path import InvalidPath, Strength, check_path, find_paths, validity
from archipec.pec.cms import (
    DIGESTS,
    DerReader,
    Element,
    SignerInfo,
    read_signed_data,
    read_time,
    split_certificates,
)
from archipec.pec.signature import verifies
from archipec.pec.trust import is_named
from archipec.pec.xades import Altered

__all__ = ["TimeStamp", "check_stamp"]

_TST_INFO: Final = bytes.fromhex("2a864886f70d0109100104")  # id-ct-TSTInfo, encoded
_SIGNING_CERTIFICATE: Final = bytes.fromhex("2a864886f70d010910020c")
_SIGNING_CERTIFICATE_V2: Final = bytes.fromhex("2a864886f70d010910022f")
_LARGEST = 128 * 1024
_MAX_CERTIFICATES = 16
_STRENGTH = Strength(digests=frozenset({"sha224", "sha256", "sha384", "sha512"}), rsa_bits=2048)
_SEQUENCE, _SET, _OCTETS, _OID, _INTEGER = 0x30, 0x31, 0x04, 0x06, 0x02


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """What a token states that is whole and on what it should be on.

    Attributes:
        at: the time, aware.
        authority: whose certificate signed it, for a person to read.
        root: the root that its certificate leads to; None when that is not one of those to trust.
        fault: why its authority does not count at that time, the end of a sentence that begins with its name; empty
            when nothing speaks against it.
    """

    at: datetime
    authority: str
    root: str | None
    fault: str


def check_stamp(token: bytes, octets: bytes, anchors: tuple[bytes, ...]) -> TimeStamp:
    """Check a token.

    Args:
        octets: what it is to be on.
        anchors: DER of certificates to trust.

    Raises:
        Altered: it is on something else, or is not what its authority signed.
        IntegrityError: it can't be read.
    """
    if len(token) > _LARGEST:
        raise IntegrityError("the time stamp is larger than any")
    try:
        return _check(token, octets, anchors)
    except Altered:
        raise
    except (IntegrityError, IndexError, ValueError, OverflowError) as error:
        # What is shared with seals says "the seal" where it means a time stamp's signature.
        raise IntegrityError(
            "the time stamp can't be read, or is made in a way that archipec does not know"
        ) from error


def _check(token: bytes, octets: bytes, anchors: tuple[bytes, ...]) -> TimeStamp:
    signed = read_signed_data(token)
    if signed.content_type != _TST_INFO or signed.content is None or len(signed.signers) != 1:
        raise IntegrityError("no time stamp")
    digest, imprint, at = _info(signed.content)
    signer = signed.signers[0]
    named = _named_certificate(signer)
    if hashlib.new(digest, octets).digest() != imprint:
        raise Altered("the time stamp is on something else than the signature that it stands at")
    if signer.content_type != _TST_INFO or signer.digest in ("", "sha1") or not signer.scheme:
        raise IntegrityError("another method")
    if hashlib.new(signer.digest, signed.content).digest() != signer.message_digest:
        raise Altered("the time stamp was changed")
    authority = _authority(signed.certificates, signer.identifier, named, anchors)
    assert signer.attributes is not None  # it states a content type
    if not verifies(signer, authority.key, signer.attributes, prehashed=False):
        raise Altered("the time stamp was changed: its signature is not the one that was made")
    return authority.stamp(at)


@dataclass(frozen=True, slots=True)
class _Authority:
    """Who signs tokens: a certificate and the paths above it, checked once whatever the date.

    Attributes:
        windows: (root, since, until) of each path that is right; the root is None when it is not one to trust.
        fault: why there is no such path though there is a path; empty when there is one or none at all.
    """

    name: str
    key: Any
    windows: tuple[tuple[str | None, datetime, datetime], ...]
    own: tuple[datetime, datetime]
    fault: str

    def stamp(self, at: datetime) -> TimeStamp:
        fitting = [root for root, since, until in self.windows if since <= at <= until]
        fault = self.fault
        if not fault and ((not fitting and self.windows) or not self.own[0] <= at <= self.own[1]):
            fault = "had no certificate that was valid then"
        return TimeStamp(at, self.name, next((root for root in fitting if root), None), fault)


def _info(content: bytes) -> tuple[str, bytes, datetime]:
    """The imprint's hash function and value, and the time (RFC 3161 §2.4.2); ValueError when they are not there."""
    reader = DerReader(content)
    _, _, imprint, _, time = reader.inside(reader.element(0, len(content)), _SEQUENCE)[:5]
    algorithm, value = reader.inside(imprint, _SEQUENCE)
    digest = DIGESTS.get(_identifier(reader, algorithm), "")
    at = read_time(time.tag, reader.content(time))
    if digest in ("", "sha1") or value.tag != _OCTETS or at is None:
        raise ValueError("no imprint or no time")
    return digest, reader.content(value), at


def _identifier(reader: DerReader, algorithm: Element) -> bytes:
    first = reader.inside(algorithm, _SEQUENCE)[0]
    if first.tag != _OID:
        raise ValueError("no algorithm")
    return reader.content(first)


def _named_certificate(signer: SignerInfo) -> tuple[str, bytes]:
    """The hash function and hash by which the signature names its certificate (RFC 5816)."""
    if signer.attributes is None:
        raise ValueError("nothing is signed that names it")
    reader = DerReader(signer.attributes)
    for attribute in reader.inside(reader.element(0, len(signer.attributes)), _SET):
        kind, values = reader.inside(attribute, _SEQUENCE)
        name = reader.content(kind)
        if name not in (_SIGNING_CERTIFICATE, _SIGNING_CERTIFICATE_V2):
            continue
        certificates = reader.inside(reader.inside(values, _SET)[0], _SEQUENCE)[0]
        first, *rest = reader.inside(reader.inside(certificates, _SEQUENCE)[0], _SEQUENCE)
        digest = "sha1" if name == _SIGNING_CERTIFICATE else "sha256"
        if first.tag == _SEQUENCE:
            digest = DIGESTS.get(_identifier(reader, first), "")
            first = rest[0]
        if not digest or first.tag != _OCTETS:
            break
        return digest, reader.content(first)
    raise ValueError("no certificate is named")


@lru_cache(maxsize=64)
def _authority(
    certificates: bytes, identifier: bytes, named: tuple[str, bytes], anchors: tuple[bytes, ...]
) -> _Authority:
    """Who signs, by the certificates that a token carries.

    Raises:
        IntegrityError: its certificate is not there or can't be read.
    """
    from asn1crypto import x509
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    encoded = split_certificates(certificates, _MAX_CERTIFICATES)
    found = [der for der in encoded if hashlib.new(named[0], der, usedforsecurity=False).digest() == named[1]]
    if not found:
        raise Altered("the time stamp doesn't carry the certificate that it names")
    try:
        leaf = x509.Certificate.load(found[0], strict=True)
        if not is_named(leaf, identifier):
            raise Altered("the time stamp was changed: it names two certificates of who signed it")
        pool = [x509.Certificate.load(der) for der in encoded]
        trusted = [x509.Certificate.load(der) for der in anchors]
        name = str(leaf.subject.native.get("common_name") or leaf.subject.human_friendly)
        windows, fault = _windows(leaf, pool, trusted)
        own = (leaf.not_valid_before, leaf.not_valid_after)
        return _Authority(name, load_der_public_key(leaf.public_key.dump()), windows, own, fault)
    except Altered:
        raise
    # Certificates are read when their fields are: a hostile one can raise almost anything then.
    except Exception as error:
        raise IntegrityError("a certificate in the time stamp can't be read") from error


def _windows(
    leaf: Any, pool: list[Any], trusted: list[Any]
) -> tuple[tuple[tuple[str | None, datetime, datetime], ...], str]:
    usage = leaf.extended_key_usage_value
    if (
        usage is None
        or usage.native != ["time_stamping"]
        or "extended_key_usage" not in leaf.critical_extensions
    ):
        return (), "has a certificate that is not one for time stamps"
    paths = [(path, True) for path in find_paths(leaf, pool, trusted)]
    if any(one.dump() == leaf.dump() for one in trusted):
        paths.insert(0, ([leaf], True))
    # A root that the token itself carries proves nothing, but what leads to it must be in order.
    known = {one.dump() for one in trusted}
    roots = [one for one in pool if one.subject == one.issuer and one.dump() not in known]
    for one in roots:
        if not _holds([one, one]):
            raise Altered("the time stamp was changed: a certificate that it carries does not hold")
    between = [one for one in pool if one.subject != one.issuer]
    paths += [([*path, path[-1]], False) for path in find_paths(leaf, between, roots)]
    found = []
    for path, counts in paths:
        if len(path) == 1 or _holds(path):
            found.append((_common_name(path[-1]) if counts else None, *validity(path)))
    return tuple(
        found
    ), "" if found or not paths else "has a certificate whose chain to its root is not in order"


def _holds(path: list[Any]) -> bool:
    try:
        check_path(path, _STRENGTH)
    except InvalidPath:
        return False
    return True


def _common_name(certificate: Any) -> str:
    return str(certificate.subject.native.get("common_name") or certificate.subject.human_friendly)
