"""Who sealed a message, and whether that certificate leads to a trusted root (RFC 5280 §6, RFC 8550).

Reading certificates and validating their path takes longer than checking a hundred seals, and a mailbox knows few
signers: both are done once for a signer and the certificates that the seal carries, whatever the date. What depends
on the date is kept as a window for each path, and the caller compares.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from archipec.errors import IntegrityError
from archipec.pec.anchors import ROOTS, Anchors, Root, known_roots
from archipec.pec.cms import split_certificates

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate, Name

_MAX_CERTIFICATES = 32  # of one seal; real ones carry two or three
_MAX_ENCODED = 64 * 1024  # bytes of them; the name constraints of AgID CA1 alone have three thousand
_MAX_LENGTH = 5  # of a path, without the root
_MAX_PATHS = 8
_MAX_STEPS = 100  # certificates tried while looking for them
_SKI = 0x80  # tag of a SignerIdentifier that is a key identifier

# Paths are validated apart from their dates: with a tolerance that no date exceeds.
_MOMENT = datetime(2020, 1, 1, tzinfo=UTC)
_ANY_DATE = timedelta(days=365_000)
_SMALLEST_RSA = 1024  # DigitPA's era
_WEAK = frozenset({"md2", "md5"})  # SHA-1 is what most PEC was certified with
_SIGNING = {"digital_signature", "non_repudiation"}


@dataclass(frozen=True, slots=True)
class Path:
    """A way from the signer to a root that is right at some dates.

    Attributes:
        root: the root's name.
        since, until: when every certificate of the path is valid, aware; never, when `since` is later.
        historical: the root certifies nobody any more.
    """

    root: str
    since: datetime
    until: datetime
    historical: bool


@dataclass(frozen=True, slots=True)
class Signer:
    """The holder of the key that signed.

    Attributes:
        name, issuer: for a person to read.
        addresses: the mail addresses that the certificate is for.
        since, until: validity of the certificate itself, aware.
        key: the public key, of `cryptography`.
        paths: to trusted roots; none when it is not trusted.
        fault: why there is none, the end of a sentence that begins with the signer's name.
    """

    name: str
    issuer: str
    addresses: tuple[str, ...]
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
        leaf = next((one for one in pool if _is_named(one, identifier)), None)
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


def _is_named(certificate: Certificate, identifier: bytes) -> bool:
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
    paths, fault = _Search(pool, anchors).paths(leaf)
    return Signer(
        name=_words(leaf.subject),
        issuer=_words(leaf.issuer),
        addresses=tuple(str(name.native) for name in names or () if name.name == "rfc822_name"),
        since=leaf.not_valid_before,
        until=leaf.not_valid_after,
        key=load_der_public_key(leaf.public_key.dump()),
        paths=tuple(paths),
        fault=fault,
    )


class _Search:
    """Builds paths from the certificates of one seal and validates them."""

    def __init__(self, pool: list[Certificate], anchors: Anchors) -> None:
        from asn1crypto import x509

        self._pool = pool
        self._left = _MAX_STEPS
        rules = {root.sha256: root for root in ROOTS}
        # A root of PEC that is not on this machine keeps its rule when a person adds it.
        self._anchors: list[tuple[Certificate, Root | None]] = [
            (x509.Certificate.load(der), rules.get(hashlib.sha256(der).hexdigest()))
            for der in dict.fromkeys((*known_roots().values(), *anchors.extra))
        ]

    def paths(self, leaf: Certificate) -> tuple[list[Path], str]:
        """The valid paths and, when there is none, why."""
        found: list[Path] = []
        fault = ""
        candidates = self._candidates([leaf])
        for chain, anchor, root in candidates:
            refused = _fault(chain, anchor, root)
            if refused:
                fault = fault or refused
            else:
                found.append(_window(chain, anchor, root))
        if not candidates:
            fault = self._dead_end(leaf)
        return found, "" if found else fault

    def _candidates(
        self, chain: list[Certificate]
    ) -> list[tuple[list[Certificate], Certificate, Root | None]]:
        """Chains whose names lead to an anchor, from the leaf to what the anchor has issued."""
        self._left -= 1
        last = chain[-1]
        found = [(chain, anchor, root) for anchor, root in self._anchors if anchor.subject == last.issuer]
        if len(chain) < _MAX_LENGTH:
            for issuer in self._pool:
                if len(found) >= _MAX_PATHS or self._left <= 0:
                    break
                if issuer.subject == last.issuer and issuer not in chain:
                    found += self._candidates([*chain, issuer])
        return found[:_MAX_PATHS]

    def _dead_end(self, leaf: Certificate) -> str:
        """Where the chain of names ends, for a person."""
        last, rest = leaf, [one for one in self._pool if one is not leaf]
        while (issuer := next((one for one in rest if one.subject == last.issuer), None)) is not None:
            last = issuer
            rest.remove(issuer)
        missing = str(last.issuer.native.get("common_name", ""))
        for root in ROOTS:
            if root.name == missing:
                return f'was certified below "{root.name}", a root that this machine does not have'
        if last is leaf and last.issuer != last.subject:
            return f'was certified by "{_words(last.issuer)}", whose own certificate is neither in the message nor trusted'
        return f'was certified below "{_words(last.issuer)}", which is not trusted for certified mail'


def _fault(chain: list[Certificate], anchor: Certificate, root: Root | None) -> str:
    """Why a chain is not to be trusted whatever the date; empty when it is."""
    try:
        return _usage_fault(chain, root) or _authority_fault(chain, root) or _path_fault(chain, anchor)
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


def _path_fault(chain: list[Certificate], anchor: Certificate) -> str:
    """Whether signatures, name constraints and basic constraints hold from the anchor to the leaf (RFC 5280 §6.1)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from pyhanko_certvalidator.authority import CertTrustAnchor
    from pyhanko_certvalidator.context import ValidationContext
    from pyhanko_certvalidator.errors import ValidationError
    from pyhanko_certvalidator.path import ValidationPath
    from pyhanko_certvalidator.policy_decl import DisallowWeakAlgorithmsPolicy
    from pyhanko_certvalidator.validate import validate_path

    context = ValidationContext(
        trust_roots=[anchor],
        moment=_MOMENT,
        time_tolerance=_ANY_DATE,
        allow_fetching=False,
        algorithm_usage_policy=DisallowWeakAlgorithmsPolicy(  # type: ignore[no-untyped-call]
            _WEAK, rsa_key_size_threshold=_SMALLEST_RSA
        ),
    )
    path = ValidationPath(CertTrustAnchor(anchor), interm=chain[:0:-1], leaf=chain[0])
    try:
        validate_path(context, path)
    except (ValidationError, UnsupportedAlgorithm, NotImplementedError, AssertionError) as error:
        if "namespace" in str(error):
            return f'has a certificate for names that "{_words(chain[0].issuer)}" may not certify'
        return "has a certificate whose chain to the root is not in order"
    return ""


def _window(chain: list[Certificate], anchor: Certificate, root: Root | None) -> Path:
    certificates = [*chain, anchor]
    return Path(
        root=_words(anchor.subject),
        since=max(one.not_valid_before for one in certificates),
        until=min(one.not_valid_after for one in certificates),
        historical=root is not None and root.historical,
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
