"""The provider's seal: a detached CMS SignedData over one MIME entity (RFC 6109 §2.1).

The structure is built once for a certificate and then filled in, because building ASN.1 for every message would take
longer than signing it. That is safe: the three values that change have a fixed length, and DER sorts the signed
attributes by what comes before them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from asn1crypto import algos, cms, core, x509

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

Digest = Literal["sha1", "sha256"]

_TIME = b"500101000000Z"  # stands for the signing time; two digits of the year, so 1950
# RFC 8551 §2.5.2, in the order in which Outlook-era software offers them.
_CAPABILITIES = ("aes256_cbc", "aes128_cbc", "tripledes_3key")


class Sealer:
    """Seals MIME entities with one certificate.

    Args:
        key: the private key of `certificate`.
        certificate: DER of the signer's certificate.
        issuers: DER of the other certificates to carry, without the root.
        digest: `sha1` or `sha256`, of the entity and of the signature.
        attributes: the signed attribute after the three that CMS and S/MIME require, if any.
    """

    def __init__(
        self,
        key: RSAPrivateKey,
        certificate: bytes,
        issuers: tuple[bytes, ...],
        digest: Digest,
        attributes: Literal["capabilities", "algorithm-protection", "none"] = "none",
    ) -> None:
        self._key = key
        self._digest = digest
        blank = _Blank(
            digest=bytes(range(1, hashlib.new(digest, usedforsecurity=False).digest_size + 1)),
            signature=b"\xa5" * (key.key_size // 8),
        )
        signed_attributes = _signed_attributes(blank, digest, attributes)
        self._attributes = Template(signed_attributes.dump(), (_TIME, blank.digest))
        self._message = Template(
            _signed_data(certificate, issuers, digest, signed_attributes, blank.signature).dump(),
            (_TIME, blank.digest, blank.signature),
        )

    def seal(self, entity: bytes, when: datetime) -> bytes:
        """The DER of the signature over an entity.

        Args:
            entity: the exact bytes between the boundaries, CRLF line ends, without the CRLF before the boundary.
            when: the signing time, aware, between 1950 and 2049.
        """
        time = when.astimezone(UTC).strftime("%y%m%d%H%M%SZ").encode("ascii")
        digest = hashlib.new(self._digest, entity, usedforsecurity=False).digest()
        signature = sign(self._key, self._attributes.fill((time, digest)), self._digest)
        return self._message.fill((time, digest, signature))


def sign(key: RSAPrivateKey, data: bytes, digest: str) -> bytes:
    """The RSA PKCS#1 v1.5 signature of some data, which is the same each time."""
    padding, hash_algorithm = _primitives(digest)
    return key.sign(data, padding, hash_algorithm)


@lru_cache(maxsize=4)
def _primitives(digest: str) -> tuple[Any, HashAlgorithm]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    # SHA-1 because nearly all PEC ever sent is sealed with it.
    return PKCS1v15(), hashes.SHA256() if digest == "sha256" else hashes.SHA1()  # noqa: S303


@dataclass(frozen=True, slots=True)
class _Blank:
    """What stands in the template where the values go."""

    digest: bytes
    signature: bytes


class Template:
    """Bytes with places to be filled by values of the same length."""

    __slots__ = ("_gaps", "_order")

    def __init__(self, data: bytes, places: tuple[bytes, ...]) -> None:
        found = sorted((data.index(place), number) for number, place in enumerate(places))
        self._order = [number for _, number in found]
        starts = [start for start, _ in found]
        ends = [0, *(start + len(places[number]) for start, number in found)]
        self._gaps = [data[end:start] for end, start in zip(ends, [*starts, len(data)], strict=True)]

    def fill(self, values: tuple[bytes, ...]) -> bytes:
        parts = [self._gaps[0]]
        for number, gap in zip(self._order, self._gaps[1:], strict=True):
            parts += (values[number], gap)
        return b"".join(parts)


def _signed_attributes(blank: _Blank, digest: Digest, last: str) -> cms.CMSAttributes:
    time = cms.Time("utc_time", core.UTCTime(contents=_TIME))
    attributes: list[dict[str, Any]] = [
        {"type": "content_type", "values": ["data"]},
        {"type": "signing_time", "values": [time]},
        {"type": "message_digest", "values": [blank.digest]},
    ]
    if last == "capabilities":
        capabilities = [{"capability_id": algos.EncryptionAlgorithmId(name).dotted} for name in _CAPABILITIES]
        attributes.append({"type": "smime_capabilities", "values": [capabilities]})
    elif last == "algorithm-protection":
        protection = {"digest_algorithm": _digest(digest), "signature_algorithm": _SIGNATURE}
        attributes.append({"type": "cms_algorithm_protection", "values": [protection]})
    return cms.CMSAttributes(attributes)


def _signed_data(
    certificate: bytes,
    issuers: tuple[bytes, ...],
    digest: Digest,
    attributes: cms.CMSAttributes,
    signature: bytes,
) -> cms.ContentInfo:
    signer = x509.Certificate.load(certificate)
    info = {
        "version": "v1",
        "sid": cms.SignerIdentifier(
            "issuer_and_serial_number",
            {"issuer": signer.issuer, "serial_number": signer.serial_number},
        ),
        "digest_algorithm": _digest(digest),
        "signed_attrs": attributes,
        "signature_algorithm": _SIGNATURE,
        "signature": signature,
    }
    signed = {
        "version": "v1",
        "digest_algorithms": [_digest(digest)],
        "encap_content_info": {"content_type": "data"},
        "certificates": [signer, *(x509.Certificate.load(issuer) for issuer in issuers)],
        "signer_infos": [info],
    }
    return cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(signed)})


def _digest(digest: Digest) -> dict[str, Any]:
    return {"algorithm": digest, "parameters": core.Null()}


_SIGNATURE: dict[str, Any] = {"algorithm": "rsassa_pkcs1v15", "parameters": core.Null()}
