"""Certificates: the root below which PEC providers are certified, those a person gives, and who issued whom."""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from asn1crypto import x509

from archipec.errors import ConfigError, PermanentError, from_os_error
from archipec.language import _
from archipec.pec.trust import is_named

__all__ = ["ACTALIS", "AGID_KEY", "Certificate", "actalis_root", "chained", "is_public", "read_authorities"]

ACTALIS: Final = "55926084ec963a64b96e2abe01ce0ba86a64fbfebcc7aab5afc155b37fd76066"
"""SHA-256 of the Actalis Authentication Root CA, which every Thunderbird brings along."""

AGID_KEY: Final = "39e3c6c6f13c9620775172694d20f81edad55a8613934cdaa7c3793a6d26b86b"
"""SHA-256 of the public key (SubjectPublicKeyInfo) of AgID CA1, the authority for PEC below Actalis.

The key and not a certificate, because the same key was certified anew many times.
"""

_PEM = re.compile(
    rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END (?:TRUSTED |X509 )?CERTIFICATE-----"
)


class Certificate:
    """One certificate, by its exact bytes.

    Args:
        der: the certificate.

    Raises:
        ValueError: it can't be read.
    """

    def __init__(self, der: bytes) -> None:
        self.der = der
        try:
            self._x509: Any = x509.Certificate.load(der, strict=True)
            _ = self._x509.native  # reads all of it, now
        except (TypeError, KeyError) as error:
            raise ValueError("not a certificate") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"Certificate({self.name!r}, {self.sha256})"

    @cached_property
    def sha256(self) -> str:
        """Fingerprint, in hex."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def key_sha256(self) -> str:
        """Fingerprint of the public key (SubjectPublicKeyInfo), in hex."""
        return hashlib.sha256(self._x509.public_key.dump()).hexdigest()

    @property
    def issuer(self) -> bytes:
        """DER of the issuer's name."""
        der: bytes = self._x509.issuer.dump()
        return der

    @property
    def subject(self) -> bytes:
        """DER of the subject's name."""
        der: bytes = self._x509.subject.dump()
        return der

    @property
    def serial(self) -> bytes:
        """DER of the serial number, tag included."""
        der: bytes = self._x509["tbs_certificate"]["serial_number"].dump()
        return der

    @property
    def key_id(self) -> bytes:
        """What NSS calls the key by (PK11_MakeIDFromPubKey): SHA-1 of the modulus, or of another kind of key itself."""
        key = self._x509.public_key
        if key.algorithm == "rsa":
            data = key["public_key"].parsed["modulus"].contents.lstrip(b"\0")
        else:
            data = bytes(key["public_key"])
        return hashlib.sha1(data, usedforsecurity=False).digest()

    @property
    def name(self) -> str:
        """What a person calls it: its common name, or the most specific part of its name."""
        parts = self._x509.subject.native
        return str(parts.get("common_name") or next(reversed(parts.values()), self.sha256[:16]))

    @property
    def issuer_name(self) -> str:
        """The same of who issued it."""
        parts = self._x509.issuer.native
        return str(parts.get("common_name") or next(reversed(parts.values()), _("(no name)")))

    @property
    def hash_algorithm(self) -> str:
        """What its own signature is made with: "sha1", "sha256"…"""
        return str(self._x509.hash_algo)

    @property
    def organization(self) -> str:
        """The organization in its name; may be empty."""
        return str(self._x509.subject.native.get("organization_name") or "")

    @property
    def is_authority(self) -> bool:
        """Whether it may certify others."""
        return bool(self._x509.ca)

    @property
    def expires(self) -> datetime:
        """When it stops being valid."""
        end: datetime = self._x509.not_valid_after
        return end

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        """The mail addresses that it is for, in lower case."""
        names = [
            str(name.native) for name in self._x509.subject_alt_name_value or () if name.name == "rfc822_name"
        ]
        value = self._x509.subject.native.get("email_address")
        names += [value] if isinstance(value, str) else list(value or ())
        return tuple(dict.fromkeys(address.lower() for address in names))

    @property
    def is_for_mail(self) -> bool:
        """Whether it may sign mail (RFC 8550 §4.4)."""
        usage, extended = self._x509.key_usage_value, self._x509.extended_key_usage_value
        if usage is not None and not usage.native & {"digital_signature", "non_repudiation"}:
            return False
        return extended is None or bool({"email_protection", "any_extended_key_usage"} & set(extended.native))

    @property
    def public_key(self) -> Any:
        """The public key, of `cryptography`."""
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        return load_der_public_key(self._x509.public_key.dump())

    def is_named_by(self, identifier: bytes) -> bool:
        """Tell whether a SignerIdentifier (RFC 5652 §5.3) names it."""
        return is_named(self._x509, identifier)

    @property
    def begins(self) -> datetime:
        """When it starts being valid."""
        start: datetime = self._x509.not_valid_before
        return start

    def is_valid_at(self, when: datetime) -> bool:
        """Tell whether a moment is within its validity."""
        return bool(self._x509.not_valid_before <= when <= self._x509.not_valid_after)

    def is_issued_by(self, authority: Certificate) -> bool:
        """Tell whether an authority's key signed it and their names fit."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.x509 import load_der_x509_certificate

        if self.issuer != authority.subject:
            return False
        try:
            child, parent = (load_der_x509_certificate(one.der) for one in (self, authority))
            child.verify_directly_issued_by(parent)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True


def actalis_root() -> Certificate:
    """Return the Actalis Authentication Root CA, from certifi.

    Raises:
        PermanentError: certifi no longer has it.
    """
    root = _public_roots().get(ACTALIS)
    if root is None:
        raise PermanentError(
            _("the Actalis Authentication Root CA is not among the roots of the package certifi"),
            hint=_("give its certificate with --ca"),
        )
    return Certificate(root)


def is_public(certificate: Certificate) -> bool:
    """Tell whether it is a root that Mozilla's programs bring along and trust for the web (those are certifi's)."""
    return certificate.sha256 in _public_roots()


def read_authorities(files: Iterable[Path]) -> list[Certificate]:
    """Read the certificates of authorities, PEM (any number in a file) or DER, each once.

    Raises:
        ConfigError: a file holds no certificate, or one that is no authority's.
        ArchipecError: a file can't be read.
    """
    found: dict[bytes, Certificate] = {}
    for path in files:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise from_os_error(error, path) from error
        for der in list(_pem_certificates(data)) or [data]:
            try:
                certificate = Certificate(der)
            except ValueError as error:
                raise ConfigError(
                    _("{path}: holds no certificate").format(path=path),
                    hint=_("a file with certificates in PEM or DER is wanted"),
                ) from error
            if not certificate.is_authority:
                raise ConfigError(
                    _("{path}: {name} may not certify others").format(path=path, name=certificate.name),
                    hint=_("give the certificate of the authority that issued it"),
                )
            found[der] = certificate
    return list(found.values())


def chained(
    candidates: Sequence[Certificate], authorities: Sequence[Certificate], now: datetime | None = None
) -> list[Certificate]:
    """Return the intermediates that chain to one of the authorities and are valid now, nearest to it first.

    Below the Actalis root, which certifies many others, only AgID CA1 and what it issued counts.
    """
    when = now or datetime.now(UTC)
    pool = [one for one in dict.fromkeys(candidates) if one.is_authority and one.is_valid_at(when)]
    chain: list[Certificate] = []
    parents = list(authorities)
    while parents:
        parent = parents.pop(0)
        for one in pool:
            if one in chain or one in authorities or not one.is_issued_by(parent):
                continue
            if parent.sha256 == ACTALIS and one.key_sha256 != AGID_KEY:
                continue
            chain.append(one)
            parents.append(one)
    return chain


def _public_roots() -> dict[str, bytes]:
    import certifi

    pem = Path(certifi.where()).read_bytes()
    return {hashlib.sha256(der).hexdigest(): der for der in _pem_certificates(pem)}


def _pem_certificates(pem: bytes) -> Iterator[bytes]:
    for match in _PEM.finditer(pem):
        try:
            yield binascii.a2b_base64(match[1])
        except binascii.Error:
            continue  # a damaged one is nobody's certificate
