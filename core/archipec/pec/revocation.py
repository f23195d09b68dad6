"""Lists of revoked certificates (RFC 5280 §5) that a user gives: whether they name a certificate of a path.

Nothing is fetched. A list counts for the certificates of the authority that signed it, and for no others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from archipec.durability import read_named
from archipec.errors import ConfigError, from_os_error

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate

__all__ = ["Basis", "Revocation", "load_crls", "revocation", "revocation_basis"]

_LARGEST = 64 << 20  # bytes of a file; the largest lists of Italian authorities have some

Basis = Mapping[str, Any]
"""What a verdict rests on besides the message, as JSON: a trusted list, or a list of revoked certificates."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate of a path was revoked.

    Attributes:
        holder: whose it is, for a person.
        at: since when, aware.
        reason: as the list says it (RFC 5280 §5.3.1), empty when it doesn't.
    """

    holder: str
    at: datetime
    reason: str


class _Found(NamedTuple):
    basis: Basis
    revoked: Revocation | None


def load_crls(files: Iterable[Path]) -> tuple[bytes, ...]:
    """Read lists of revoked certificates, PEM or DER, and return them in DER.

    Raises:
        ConfigError: a file holds none.
        ArchipecError: it can't be read.
    """
    return tuple(dict.fromkeys(_load(path) for path in files))


def _load(path: Path) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        data = read_named(path, _LARGEST)
    except OSError as error:
        raise from_os_error(error, path) from error
    wanted = "a list of revoked certificates (CRL) in PEM or DER is wanted"
    if len(data) > _LARGEST:
        raise ConfigError(f"{path}: has more than the {_LARGEST} bytes that are read", hint=wanted)
    try:
        read = x509.load_pem_x509_crl if b"-----BEGIN X509 CRL-----" in data else x509.load_der_x509_crl
        return read(data).public_bytes(Encoding.DER)
    except ValueError as error:
        raise ConfigError(f"{path}: holds no list of revoked certificates", hint=wanted) from error


def revocation(
    path: Sequence[Certificate], pool: Iterable[Certificate], crls: tuple[bytes, ...]
) -> Revocation | None:
    """The first revocation of a certificate of a path, None when no list names one.

    Args:
        path: from the leaf to the anchor, whose own revocation is not asked for unless it is the leaf.
        pool: other certificates, among which authorities are looked for.
        crls: DER of lists.
    """
    revoked = [one.revoked for one in _findings(path, pool, crls) if one.revoked is not None]
    return min(revoked, key=lambda one: one.at, default=None)


def revocation_basis(
    path: Sequence[Certificate], pool: Iterable[Certificate], crls: tuple[bytes, ...]
) -> tuple[Basis, ...]:
    """What to keep of the lists that count for a path; arguments as of `revocation`."""
    return tuple(one.basis for one in _findings(path, pool, crls))


def _findings(
    path: Sequence[Certificate], pool: Iterable[Certificate], crls: tuple[bytes, ...]
) -> Iterable[_Found]:
    if not crls:
        return []
    authorities = [*path[1:], *pool]
    return [
        found
        for certificate in (path[:-1] or path)
        for der in crls
        if (found := _finding(certificate, authorities, der)) is not None
    ]


def _finding(certificate: Certificate, authorities: Iterable[Certificate], der: bytes) -> _Found | None:
    """What a list says of a certificate; None when it is not of its authority."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    crl = _parsed(der)
    issuer: bytes = certificate.issuer.dump()
    if crl.issuer.public_bytes() != issuer:
        return None
    for authority in authorities:
        if authority.subject.dump() != issuer:
            continue
        key: Any = load_der_public_key(authority.public_key.dump())
        if crl.is_signature_valid(key):
            break
    else:
        return None
    basis = {
        "crl": hashlib.sha256(der).hexdigest(),
        "issuer": str(certificate.issuer.human_friendly),
        "issued": crl.last_update_utc.isoformat(),
    }
    entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    return _Found(basis, None if entry is None else _revocation(certificate, entry))


def _revocation(certificate: Certificate, entry: Any) -> Revocation:
    from cryptography import x509

    try:
        reason = str(entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value)
    except (x509.ExtensionNotFound, ValueError):
        reason = ""
    native = certificate.subject.native
    return Revocation(
        str(native.get("common_name") or certificate.subject.human_friendly),
        entry.revocation_date_utc.astimezone(UTC),
        reason,
    )


@lru_cache(maxsize=8)
def _parsed(der: bytes) -> Any:
    from cryptography import x509

    return x509.load_der_x509_crl(der)
