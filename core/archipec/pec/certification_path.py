"""Certification paths: those that lead from a certificate to a trust anchor, and whether one is right (RFC 5280 §6.1).

A path is checked apart from its dates, so that one check serves for every date: `validity` says when it was valid.
Revocation is not asked for, because an archive is read without a network and long after lists were taken down.

`cryptography.x509.verification` does not serve, because it is for web servers. Measured with cryptography 50, it
refuses signatures with SHA-1 and by keys below 2048 bits, which certified mail had until 2017; it does not know name
constraints on organizations, which every AgID CA1 has; and none of that can be configured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from archipec.pec.name_constraints import NameConstraints

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asn1crypto.x509 import Certificate

__all__ = ["InvalidPath", "NameNotPermitted", "Strength", "check_path", "find_paths", "validity"]

_MOST_PATHS = 8
_MOST_TRIED = 100  # certificates, while looking for paths
_LONGEST = 5  # certificates of a path, without its anchor
_ANY_POLICY = "any_policy"

# What is checked here or by who uses the certificate, or says where to ask about revocation.
_KNOWN_EXTENSIONS = frozenset(
    {
        "authority_information_access",
        "authority_key_identifier",
        "basic_constraints",
        "certificate_policies",
        "crl_distribution_points",
        "extended_key_usage",
        "freshest_crl",
        "inhibit_any_policy",
        "key_identifier",
        "key_usage",
        "name_constraints",
        "ocsp_no_check",
        "policy_constraints",
        "policy_mappings",
        "subject_alt_name",
        # ETSI EN 319 412-5 forbids to mark qcStatements critical; some authorities do.
        "qc_statements",
        "1.3.6.1.5.5.7.1.3",
    }
)


class InvalidPath(Exception):
    """A path is not right, whatever the date; its message says why, naming the certificate."""


class NameNotPermitted(InvalidPath):
    """An authority certified a name that it may not certify."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """What signatures on certificates must be made with.

    Attributes:
        digests: hash functions that count.
        rsa_bits: the smallest RSA key that may certify.
    """

    digests: frozenset[str]
    rsa_bits: int


def find_paths(
    leaf: Certificate, pool: Iterable[Certificate], anchors: Sequence[Certificate]
) -> list[list[Certificate]]:
    """The paths whose names lead to a trust anchor, from the leaf to the anchor.

    Names alone are compared: a pool can hold certificates of one authority that was certified anew or by several, and
    forged ones. Length and number of paths and the work of looking for them are bounded.
    """
    issuers = {one.dump(): one for one in pool}
    found: list[list[Certificate]] = []
    waiting = [[leaf]]
    for _ in range(_MOST_TRIED):
        if not waiting or len(found) >= _MOST_PATHS:
            break
        path = waiting.pop()
        name, used = path[-1].issuer, {one.dump() for one in path}
        found += [[*path, anchor] for anchor in anchors if anchor.subject == name]
        if len(path) < _LONGEST:
            longer = [[*path, one] for der, one in issuers.items() if der not in used and one.subject == name]
            waiting += reversed(longer)
    return found[:_MOST_PATHS]


def check_path(path: Sequence[Certificate], strength: Strength) -> None:
    """Check a path, from the leaf to the anchor, whatever the date.

    Of the anchor its name and key are trusted; what its certificate says of whom it may certify holds too (RFC 5937),
    as it does for openssl.

    Raises:
        InvalidPath: it is not right.
        ValueError, TypeError, KeyError…: a certificate can't be read. asn1crypto reads a field when it is asked for.
    """
    *certified, anchor = path
    state = _State(issuer=anchor, policies_left=len(certified) + 1, any_policy_left=len(certified) + 1)
    state.enter(anchor, is_anchor=True)
    for certificate in reversed(certified):
        is_leaf = certificate is certified[0]
        _check_extensions(certificate)
        _check_signature(certificate, state.issuer, strength)
        if certificate.issuer != state.issuer.subject:
            raise InvalidPath(f'"{_name(certificate)}" was certified by another authority')
        if (is_leaf or not certificate.self_issued) and not state.names.permit(certificate):
            raise NameNotPermitted(
                f'"{_name(state.issuer)}" may not certify the names of "{_name(certificate)}"'
            )
        state.apply_policies(certificate, is_leaf=is_leaf)
        if not is_leaf:
            state.enter(certificate)


def validity(path: Iterable[Certificate]) -> tuple[datetime, datetime]:
    """Since and until when all certificates of a path are valid, aware; since is later when they never are."""
    certificates = list(path)
    return (
        max(one.not_valid_before for one in certificates),
        min(one.not_valid_after for one in certificates),
    )


@dataclass(slots=True)
class _State:
    """What RFC 5280 §6.1.2 has a path's check remember from one certificate to the next.

    Attributes:
        issuer: who must have certified the next one.
        names: constraints of the authorities so far.
        length_left: authorities that may follow, None for any number; self-issued ones don't count.
        policies: those that all certificates have in common, None for any.
        policies_left: certificates after which there must be such a policy.
        any_policy_left: certificates after which anyPolicy counts for nothing.
        are_mapped: an authority has declared policies equal.
    """

    issuer: Certificate
    policies_left: int
    any_policy_left: int
    names: NameConstraints = field(default_factory=NameConstraints)
    length_left: int | None = None
    policies: set[str] | None = None
    are_mapped: bool = False

    def enter(self, authority: Certificate, *, is_anchor: bool = False) -> None:
        """Go on below an authority (RFC 5280 §6.1.4)."""
        _check_authority(authority, is_anchor=is_anchor)
        if not is_anchor and not authority.self_issued:
            if self.length_left == 0:
                raise InvalidPath(f'"{_name(authority)}" is one authority more than those above it allow')
            if self.length_left is not None:
                self.length_left -= 1
        if is_anchor:
            _check_extensions(authority)
        else:
            self._restrict_policies(authority)
        longest = authority.max_path_length
        if longest is not None and (self.length_left is None or longest < self.length_left):
            self.length_left = longest
        self.names.add(authority)
        self.issuer = authority

    def apply_policies(self, certificate: Certificate, *, is_leaf: bool) -> None:
        """Check that there is a policy in common where an authority requires one (RFC 5280 §6.1.3 d-f, §6.1.5).

        Of mapped policies this is unknown: where one is required, they are refused.
        """
        stated = {one["policy_identifier"].native for one in certificate.certificate_policies_value or ()}
        self.are_mapped = self.are_mapped or certificate.policy_mappings_value is not None
        counts = self.any_policy_left > 0 or (certificate.self_issued and not is_leaf)
        if not counts:
            stated.discard(_ANY_POLICY)
        if _ANY_POLICY not in stated:
            self.policies = stated if self.policies is None else self.policies & stated
        left = self.policies_left
        if is_leaf:
            constraints = certificate.policy_constraints_value
            required = None if constraints is None else constraints["require_explicit_policy"].native
            left = 0 if required == 0 else max(left - 1, 0)
        if left == 0 and (self.are_mapped or (self.policies is not None and not self.policies)):
            raise InvalidPath(f'"{_name(certificate)}" was not certified under a policy that is required')

    def _restrict_policies(self, authority: Certificate) -> None:
        if not authority.self_issued:
            self.policies_left = max(self.policies_left - 1, 0)
            self.any_policy_left = max(self.any_policy_left - 1, 0)
        constraints = authority.policy_constraints_value
        if constraints is not None and (left := constraints["require_explicit_policy"].native) is not None:
            self.policies_left = min(self.policies_left, left)
        if authority.inhibit_any_policy_value is not None:
            self.any_policy_left = min(self.any_policy_left, authority.inhibit_any_policy_value.native)


def _check_authority(certificate: Certificate, *, is_anchor: bool) -> None:
    """Check that a certificate is one to certify with (RFC 5280 §6.1.4 k, n)."""
    usage = certificate.key_usage_value
    if usage is not None and "key_cert_sign" not in usage.native:
        raise InvalidPath(f'the key of "{_name(certificate)}" is not for certifying')
    if certificate.ca:
        return
    # Roots older than the extension, which say so by their version, or by the use of their key.
    is_v1 = certificate["tbs_certificate"]["version"].native == "v1" and certificate.self_issued
    if is_anchor and certificate.basic_constraints_value is None and (is_v1 or usage is not None):
        return
    raise InvalidPath(f'"{_name(certificate)}" is no certification authority')


def _check_extensions(certificate: Certificate) -> None:
    """Check that each extension is there once, and known when it is critical (RFC 5280 §4.2)."""
    names = [one["extn_id"].dotted for one in certificate["tbs_certificate"]["extensions"]]
    if len(set(names)) < len(names):
        raise InvalidPath(f'the certificate of "{_name(certificate)}" has an extension twice')
    unknown = certificate.critical_extensions - _KNOWN_EXTENSIONS
    if unknown:
        raise InvalidPath(
            f'the certificate of "{_name(certificate)}" has a critical extension that archipec does not know:'
            f" {min(unknown)}"
        )


def _check_signature(certificate: Certificate, issuer: Certificate, strength: Strength) -> None:
    """Check that the key of an issuer signed a certificate (RFC 5280 §6.1.3 a 1)."""
    from asn1crypto import parser
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    algorithm = certificate["signature_algorithm"]
    # What is signed says by which method it is signed (RFC 5280 §4.1.1.2).
    if algorithm.dump() != certificate["tbs_certificate"]["signature"].dump():
        raise InvalidPath(f'the certificate of "{_name(certificate)}" names two methods of signature')
    try:
        key, arguments = _key_and_arguments(algorithm, issuer, strength)
        # As it stands: `dump` encodes anew what has a header that ends in 0x80.
        signed = parser.emit(0, 1, 16, certificate["tbs_certificate"].contents)
        key.verify(certificate["signature_value"].native, signed, *arguments)
    except InvalidSignature:
        raise InvalidPath(
            f'"{_name(issuer)}" did not sign the certificate of "{_name(certificate)}"'
        ) from None
    except (UnsupportedAlgorithm, ValueError) as error:
        raise InvalidPath(
            f'the certificate of "{_name(certificate)}" is signed by a method that is not known'
        ) from error


def _key_and_arguments(
    algorithm: Any, issuer: Certificate, strength: Strength
) -> tuple[Any, tuple[Any, ...]]:
    """The public key of an issuer, and the arguments of its `verify` after the data.

    Raises:
        InvalidPath: the method is too weak, or not one for this key.
        UnsupportedAlgorithm, ValueError: it is not known.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    scheme = algorithm.signature_algo
    key: Any = load_der_public_key(issuer.public_key.dump())
    if scheme in ("ed25519", "ed448"):
        arguments: tuple[Any, ...] = ()
        kind: type[Any] = {"ed25519": ed25519.Ed25519PublicKey, "ed448": ed448.Ed448PublicKey}[scheme]
    elif algorithm.hash_algo not in strength.digests:
        raise InvalidPath(f'"{_name(issuer)}" certified with {algorithm.hash_algo}, which is too weak')
    else:
        digest: hashes.HashAlgorithm = getattr(hashes, algorithm.hash_algo.upper())()
        if scheme == "ecdsa":
            arguments, kind = (ec.ECDSA(digest),), ec.EllipticCurvePublicKey
        elif scheme == "rsassa_pss":
            arguments, kind = (_pss(algorithm["parameters"]), digest), rsa.RSAPublicKey
        elif scheme == "rsassa_pkcs1v15":
            arguments, kind = (padding.PKCS1v15(), digest), rsa.RSAPublicKey
        else:
            raise ValueError(scheme)
    if not isinstance(key, kind) or not _allows(issuer.public_key["algorithm"], algorithm):
        raise InvalidPath(f'the key of "{_name(issuer)}" is not one for {scheme}')
    if kind is rsa.RSAPublicKey and key.key_size < strength.rsa_bits:
        raise InvalidPath(
            f'"{_name(issuer)}" certified with a key of {key.key_size} bits, which is too short'
        )
    return key, arguments


def _pss(parameters: Any) -> Any:
    """The padding that RSASSA-PSS parameters describe (RFC 4055 §3.1)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    generator = parameters["mask_gen_algorithm"]
    if generator["algorithm"].native != "mgf1" or parameters["trailer_field"].native != "trailer_field_bc":
        raise ValueError("a padding that is not supported")
    masked: hashes.HashAlgorithm = getattr(hashes, generator["parameters"]["algorithm"].native.upper())()
    return padding.PSS(padding.MGF1(masked), parameters["salt_length"].native)


def _allows(key: Any, signature: Any) -> bool:
    """Whether a public key's algorithm allows a signature's: an RSASSA-PSS key is for that alone (RFC 4055 §1.2)."""
    if key["algorithm"].native != "rsassa_pss":
        return True
    if signature["algorithm"].native != "rsassa_pss":
        return False
    return key["parameters"].native is None or bool(
        key["parameters"].dump() == signature["parameters"].dump()
    )


def _name(certificate: Certificate) -> str:
    """The holder's name for a person: on one line, and not longer than it needs to be."""
    native = certificate.subject.native
    name = native.get("common_name") or native.get("organization_name") or certificate.subject.human_friendly
    return " ".join(str(name).split())[:100]
