"""Who sealed a message, and whether that certificate leads to a trusted root (RFC 5280 §6, RFC 8550).

Reading certificates and validating their path takes longer than checking a hundred seals, and a mailbox knows few
signers: both are done once for a signer and the certificates that the seal carries, whatever the date. What depends
on the date is kept as a window for each path, and the caller compares.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from archipec.errors import IntegrityError
from archipec.pec.anchors import ROOTS, Anchors, Root, known_roots
from archipec.pec.certification_path import (
    InvalidPath,
    NameNotPermitted,
    Strength,
    check_path,
    find_paths,
    validity,
)
from archipec.pec.cms import split_certificates
from archipec.pec.revocation import Basis, Revocation, revocation, revocation_basis
from archipec.pec.trusted_list import LATEST

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate, Name

    from archipec.pec.trusted_list import Service, TrustedList

_MAX_CERTIFICATES = 32  # of one seal; real ones carry two or three
_MAX_ENCODED = 64 * 1024  # bytes of them; the name constraints of AgID CA1 alone have three thousand
_SKI = 0x80  # tag of a SignerIdentifier that is a key identifier

# SHA-1 and short keys are what most PEC was certified with, until DigitPA's last certificates ended.
_STRENGTH = Strength(digests=frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"}), rsa_bits=1024)
_SIGNING = {"digital_signature", "non_repudiation"}


@dataclass(frozen=True, slots=True)
class Path:
    """A way from the signer to a root that is right at some dates.

    Attributes:
        root: the root's name.
        since, until: when every certificate of the path is valid, aware; never, when `since` is later.
        historical: the root certifies no longer.
        listed: what says so when it is a trusted list: the service and the list, for a person; else empty.
        replaced: whether it ends because a newer list was due then.
        revoked: when a certificate of the path was revoked, None when no list of revoked certificates says so.
        basis: what this rests on besides certificates, to be kept: see `Seal.basis`.
    """

    root: str
    since: datetime
    until: datetime
    historical: bool
    listed: str = ""
    replaced: bool = False
    revoked: Revocation | None = None
    basis: tuple[Basis, ...] = ()


@dataclass(frozen=True, slots=True)
class Signer:
    """The holder of the key that signed.

    Attributes:
        name, issuer: for a person to read.
        addresses: the mail addresses that the certificate is for.
        certificate: DER of it.
        since, until: validity of the certificate itself, aware.
        key: the public key, of `cryptography`.
        paths: to trusted roots; none when it is not trusted.
        fault: why there is none, the end of a sentence that begins with the signer's name.
    """

    name: str
    issuer: str
    addresses: tuple[str, ...]
    certificate: bytes
    since: datetime
    until: datetime
    key: Any
    paths: tuple[Path, ...]
    fault: str


@lru_cache(maxsize=256)
def find_signer(certificates: bytes, identifier: bytes, anchors: Anchors) -> Signer:
    """The signer that a seal names, and the paths that lead from its certificate to a root.

    Args:
        certificates: what the seal carries; see `SignedData`.
        identifier: whom it names; see `SignerInfo`.
        anchors: whom to trust beyond the roots of PEC.

    Raises:
        IntegrityError: the certificate is not there or can't be read.
    """
    if len(certificates) > _MAX_ENCODED:
        raise IntegrityError("the seal carries more certificates than any provider's does")
    from asn1crypto import x509

    encoded = split_certificates(certificates, _MAX_CERTIFICATES)
    pool = [one for der in encoded if _is_readable(one := x509.Certificate.load(der))]
    try:
        leaf = next((one for one in pool if is_named(one, identifier)), None)
        if leaf is not None:
            return _described(leaf, pool, anchors)
    # Certificates are read when their fields are: a hostile one can raise almost anything then.
    except Exception as error:
        raise IntegrityError("the signer's certificate is damaged or of an unknown kind") from error
    if len(pool) < len(encoded):
        raise IntegrityError("a certificate in the seal is damaged")
    raise IntegrityError("the seal does not carry the certificate of who signed")


def _is_readable(certificate: Certificate) -> bool:
    """Whether the fields are there that paths are built by."""
    try:
        return bool(
            certificate.subject.hashable
            and certificate.issuer.hashable
            and certificate.not_valid_before
            and certificate.not_valid_after
        )
    except Exception:  # noqa: BLE001 - as above
        return False


def is_named(certificate: Certificate, identifier: bytes) -> bool:
    """Whether a certificate is the one that a SignerIdentifier names; see `SignerInfo`."""
    """Whether a SignerIdentifier, as it is encoded (see `cms.SignerInfo`), names the holder of a certificate."""
    if identifier[0] == _SKI:
        return bool(certificate.key_identifier == identifier[2:])
    from asn1crypto import cms

    named = cms.IssuerAndSerialNumber.load(identifier)
    return bool(
        named["serial_number"].native == certificate.serial_number and named["issuer"] == certificate.issuer
    )


def _described(leaf: Certificate, pool: list[Certificate], anchors: Anchors) -> Signer:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    names = leaf.subject_alt_name_value
    paths, fault = _paths(leaf, pool, anchors)
    return Signer(
        name=_words(leaf.subject),
        issuer=_words(leaf.issuer),
        addresses=tuple(str(name.native) for name in names or () if name.name == "rfc822_name"),
        certificate=leaf.dump(),
        since=leaf.not_valid_before,
        until=leaf.not_valid_after,
        key=load_der_public_key(leaf.public_key.dump()),
        paths=tuple(paths),
        fault=fault,
    )


def _paths(leaf: Certificate, pool: list[Certificate], anchors: Anchors) -> tuple[list[Path], str]:
    """The valid paths and, when there is none, why."""
    from asn1crypto import x509

    rules = {} if anchors.rem else {root.sha256: root for root in ROOTS}
    # A root of PEC that is not on this machine keeps its rule when a person adds it.
    encoded = dict.fromkeys((*(known_roots().values() if not anchors.rem else ()), *anchors.extra))
    trusted = [x509.Certificate.load(der) for der in encoded]
    candidates = find_paths(leaf, pool, trusted)
    found, fault = _listed(leaf, pool, anchors) if anchors.rem else ([], "")
    if not candidates and not found:
        fault = fault or _dead_end(leaf, pool, rem=anchors.rem)
    for path in candidates:
        root = rules.get(hashlib.sha256(path[-1].dump()).hexdigest())
        refused = _fault(path, root)
        if refused:
            fault = fault or refused
        else:
            found.append(_window(path, root, anchors.crls))
    return found, "" if found else fault


def _listed(leaf: Certificate, pool: list[Certificate], anchors: Anchors) -> tuple[list[Path], str]:
    """The paths that trusted lists open: of a certificate that is listed itself, or that a listed one has issued.

    And, when a service is listed that never was granted, the end of a sentence that says so.
    """
    from asn1crypto import x509

    found: list[Path] = []
    fault = ""
    for one in anchors.lists:
        for service in one.services:
            paths = _to_listed(leaf, pool, x509.Certificate.load(service.certificate))
            if paths and not service.granted:
                fault = f"is on the {one.label}, but its service never was granted"
            found += [
                _listed_path(path, pool, one, service, number, anchors.crls)
                for path in paths
                for number in range(len(service.granted))
            ]
    return found, fault


def _listed_path(
    path: list[Certificate],
    pool: list[Certificate],
    trusted: TrustedList,
    service: Service,
    number: int,
    crls: tuple[bytes, ...],
) -> Path:
    """A path in one of the periods in which its service was granted.

    The last of them ends when a newer list is due: of what was sealed after that, this one can't know.
    """
    since, until = validity(path)
    granted_since, granted_until = service.granted[number]
    due = trusted.next_update
    replaced = granted_until == LATEST and due is not None and due < until
    if due is not None and replaced:
        granted_until = due
    return Path(
        root=_words(path[-1].subject),
        since=max(since, granted_since),
        until=min(until, granted_until),
        historical=False,
        listed=f'"{service.name}" on the {trusted.label}',
        replaced=replaced,
        revoked=revocation(path, pool, crls),
        basis=(trusted.basis, *revocation_basis(path, pool, crls)),
    )


def _to_listed(leaf: Certificate, pool: list[Certificate], listed: Certificate) -> list[list[Certificate]]:
    if leaf.public_key.dump() == listed.public_key.dump() and leaf.subject == listed.subject:
        return [[leaf]]  # the key is what a list identifies a service by (ETSI TS 119 612 §5.5.3)
    if not listed.ca:
        return []
    return [path for path in find_paths(leaf, pool, [listed]) if not _fault(path, None)]


def _dead_end(leaf: Certificate, pool: list[Certificate], *, rem: bool) -> str:
    """Where the chain of names ends, for a person."""
    last, rest = leaf, [one for one in pool if one is not leaf]
    while (issuer := next((one for one in rest if one.subject == last.issuer), None)) is not None:
        last = issuer
        rest.remove(issuer)
    if rem:
        return f'and its issuer "{_words(last.issuer)}" are on no list that you gave'
    missing = str(last.issuer.native.get("common_name", ""))
    for root in ROOTS:
        if root.name == missing:
            return f'was certified below "{root.name}", a root that this machine does not have'
    if last is leaf and last.issuer != last.subject:
        return f'was certified by "{_words(last.issuer)}", whose own certificate is neither in the message nor trusted'
    return f'was certified below "{_words(last.issuer)}", which is not trusted for certified mail'


def _fault(path: list[Certificate], root: Root | None) -> str:
    """Why a path is not to be trusted whatever the date; empty when it is."""
    chain = path[:-1]
    try:
        return _usage_fault(chain, root) or _authority_fault(chain, root) or _path_fault(path)
    except Exception:  # noqa: BLE001 - as above
        return "has a certificate whose chain to the root can't be read"


def _usage_fault(chain: list[Certificate], root: Root | None) -> str:
    """Whether the certificates are for signing mail (RFC 8550 §4.4)."""
    leaf = chain[0]
    usage = leaf.key_usage_value
    if usage is not None and not usage.native & _SIGNING:
        return "has a certificate that is not for signing"
    for certificate in chain:
        extended = certificate.extended_key_usage_value
        if extended is None:
            # RFC 6109 §5.5 did not ask for it, today's profile does.
            if certificate is leaf and not (root is not None and root.historical):
                return "has a certificate that is not for mail"
        elif not {"email_protection", "any_extended_key_usage"} & set(extended.native):
            return "has a certificate that is not for mail"
    return ""


def _authority_fault(chain: list[Certificate], root: Root | None) -> str:
    """Whether the signer was certified by an authority for PEC, and not by another one below the same root."""
    if root is None:
        return ""
    if len(chain) > 1:
        authority = chain[1]
        if hashlib.sha256(authority.public_key.dump()).hexdigest() in root.authority_keys:
            return ""
        name = _words(authority.subject).lower()
        if any(word in name for word in root.authority_names):
            return ""
    return f'was certified by "{_words(chain[0].issuer)}", which is no authority for certified mail'


def _path_fault(path: list[Certificate]) -> str:
    """Whether a path is right from the anchor to the leaf (RFC 5280 §6.1)."""
    try:
        check_path(path, _STRENGTH)
    except NameNotPermitted:
        return f'has a certificate for names that "{_words(path[0].issuer)}" may not certify'
    except InvalidPath:
        return "has a certificate whose chain to the root is not in order"
    return ""


def _window(path: list[Certificate], root: Root | None, crls: tuple[bytes, ...]) -> Path:
    since, until = validity(path)
    return Path(
        root=_words(path[-1].subject),
        since=since,
        until=until,
        historical=root is not None and root.historical,
        revoked=revocation(path, (), crls),
        basis=revocation_basis(path, (), crls),
    )


def _words(name: Name) -> str:
    """The name of a certificate's holder: common name and organization, without repetition."""
    native = name.native
    found: list[str] = []
    for part in ("common_name", "organization_name"):
        value = native.get(part)
        text = " ".join(value) if isinstance(value, list) else str(value or "")
        if text and text not in found:
            found.append(text)
    return ", ".join(found) or str(name.human_friendly)
