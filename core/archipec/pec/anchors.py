"""The roots that a seal may chain to: those of PEC, found on this machine by fingerprint, and those a person adds.

No root is shipped: where a copy comes from does not matter when its fingerprint is the one below.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archipec.durability import read_named
from archipec.errors import ConfigError, from_os_error

if TYPE_CHECKING:
    from archipec.pec.trusted_list import TrustedList

_LARGEST = 16 << 20  # bytes of a file with certificates
_PEM = re.compile(
    rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END (?:TRUSTED |X509 )?CERTIFICATE-----"
)
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A root below which PEC providers are, or were, certified.

    A public root certifies many others, some of whom give a mail certificate to anybody: only what one of the
    authorities named here has issued is a provider's.

    Attributes:
        name: its common name.
        sha256: fingerprint of the certificate.
        authority_keys: SHA-256 of the public keys (SubjectPublicKeyInfo) of the authorities for PEC below it. The key
            and not a certificate, because the same key was certified anew many times.
        authority_names: where the keys are not known, a word in the authorities' names, lower case.
        historical: certifies no longer; old messages chain to it.
    """

    name: str
    sha256: str
    authority_keys: frozenset[str] = frozenset()
    authority_names: tuple[str, ...] = ()
    historical: bool = False


ROOTS: Final[tuple[Root, ...]] = (
    Root(
        name="Actalis Authentication Root CA",
        sha256="55926084ec963a64b96e2abe01ce0ba86a64fbfebcc7aab5afc155b37fd76066",
        authority_keys=frozenset(
            {"39e3c6c6f13c9620775172694d20f81edad55a8613934cdaa7c3793a6d26b86b"}
        ),  # AgID CA1
    ),
    Root(
        name="Baltimore CyberTrust Root",
        sha256="16af57a9f676b0ab126095aa5ebadef22ab31119d644ac95cd4b93dbf3f26aeb",
        authority_names=("digitpa", "cnipa"),
        historical=True,
    ),
)
"""Newest first."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Whom to trust beyond `ROOTS`; picklable.

    Attributes:
        extra: DER of certificates, roots or not, that a person vouches for: whatever they certify is trusted.
        lists: trusted lists, which name the providers of REM.
        crls: DER of lists of revoked certificates.
        rem: whether they are those for a message of REM, for which the roots of PEC don't count, and lists do.
    """

    extra: tuple[bytes, ...] = ()
    lists: tuple[TrustedList, ...] = ()
    crls: tuple[bytes, ...] = ()
    rem: bool = False

    @property
    def authorities(self) -> tuple[bytes, ...]:
        """DER of the certificates to trust for time stamps."""
        return (*self.extra, *(der for one in self.lists for der in one.time_stamping))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFiles:
    """The files in which a user says whom to trust.

    Attributes:
        certificates: PEM or DER, of authorities or others, besides the roots of PEC.
        lists: national trusted lists (ETSI TS 119 612), which name the providers of REM.
        crls: lists of revoked certificates, PEM or DER.
    """

    certificates: tuple[Path, ...] = ()
    lists: tuple[Path, ...] = ()
    crls: tuple[Path, ...] = ()

    def __add__(self, other: TrustFiles) -> TrustFiles:
        return TrustFiles(
            certificates=(*self.certificates, *other.certificates),
            lists=(*self.lists, *other.lists),
            crls=(*self.crls, *other.crls),
        )

    def load(self) -> Anchors:
        """Read them.

        Raises:
            ConfigError: one is not what it should be, or a trusted list's signature does not fit.
            ArchipecError: one can't be read.
        """
        # What it takes to read a kind of file is imported where there is one: a run that stores and judges has none, mostly.
        anchors = load_anchors(self.certificates) if self.certificates else Anchors()
        if self.lists:
            from archipec.pec.trusted_list import load_trusted_list

            anchors = replace(anchors, lists=tuple(dict.fromkeys(map(load_trusted_list, self.lists))))
        if self.crls:
            from archipec.pec.revocation import load_crls

            anchors = replace(anchors, crls=load_crls(self.crls))
        return anchors


@lru_cache(maxsize=16)
def for_rem(anchors: Anchors) -> Anchors:
    """The same anchors, for a message of REM."""
    return replace(anchors, rem=True)


def load_anchors(files: Iterable[Path]) -> Anchors:
    """Read certificates to trust, PEM (any number in a file) or DER.

    Raises:
        ConfigError: a file holds no certificate.
        ArchipecError: a file can't be read.
    """
    from asn1crypto import x509

    found: dict[bytes, None] = {}
    for path in files:
        try:
            data = read_named(path, _LARGEST)
            if len(data) > _LARGEST:
                raise ConfigError(
                    f"{path}: has more than the {_LARGEST} bytes that are read",
                    hint="a file with certificates in PEM or DER is wanted",
                )
        except OSError as error:
            raise from_os_error(error, path) from error
        certificates = list(_certificates(data)) or [data]
        try:
            for der in certificates:
                _ = x509.Certificate.load(der, strict=True).native
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{path}: holds no certificate", hint="a file with certificates in PEM or DER is wanted"
            ) from error
        found.update(dict.fromkeys(certificates))
    return Anchors(tuple(found))


@lru_cache(maxsize=1)
def known_roots() -> dict[str, bytes]:
    """DER of each of `ROOTS` that this machine has, by fingerprint; looked for once."""
    wanted = {root.sha256 for root in ROOTS}
    found: dict[str, bytes] = {}
    for der in _installed():
        fingerprint = hashlib.sha256(der).hexdigest()
        if fingerprint in wanted:
            found[fingerprint] = der
            if len(found) == len(wanted):
                break
    return found


def _installed() -> Iterator[bytes]:
    """The certificates of certifi, then those of the system."""
    import ssl

    import certifi

    system = ssl.get_default_verify_paths()
    for name in dict.fromkeys((certifi.where(), system.cafile, system.openssl_cafile, *_BUNDLES)):
        try:
            yield from _certificates(Path(name).read_bytes() if name else b"")
        except OSError:
            continue  # each system has some of these
    if sys.platform == "win32":
        for der, encoding, _ in ssl.enum_certificates("ROOT"):
            if encoding == "x509_asn":
                yield der


def _certificates(pem: bytes) -> Iterator[bytes]:
    for match in _PEM.finditer(pem):
        try:
            yield binascii.a2b_base64(match[1])
        except binascii.Error:
            continue  # a damaged one has no fingerprint that anybody looks for
