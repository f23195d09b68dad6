"""A certification authority like the one that certifies PEC providers: a root, a name-constrained intermediate, leaves.

The profile is that of RFC 6109 §5.5 and of the certificates found in real seals. Names say that nothing here is real.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from asn1crypto import crl, keys, x509

from archipec.simulator.keys import rsa_key
from archipec.simulator.stream import Stream
from archipec.simulator.styles import STYLES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_ORGANIZATION = "Archipec Simulator - Not a Real Authority"
_ROOT_VALID = (datetime(2005, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC))
_CA_VALID = (datetime(2006, 1, 1, tzinfo=UTC), datetime(2049, 12, 30, tzinfo=UTC))
LEAF_VALID = (datetime(2010, 1, 1, tzinfo=UTC), datetime(2049, 12, 29, tzinfo=UTC))
"""Not before and not after of a provider's certificate: wide, so that every sample verifies today."""


@lru_cache(maxsize=4)
def shared_authority(seed: int = 0) -> Authority:
    """The authority of a seed, kept for the life of the process."""
    return Authority(seed)


class Authority:
    """A root and, below it, the intermediate that certifies the providers.

    Args:
        seed: fixes every key and serial number; another seed is another authority, which those who trust this one do not
            trusts.
        domains: signing domains that the intermediate's name constraints permit; those of `STYLES` by default.
        organizations: provider names that they permit, likewise.
    """

    def __init__(
        self, seed: int = 0, domains: Sequence[str] | None = None, organizations: Sequence[str] | None = None
    ) -> None:
        self.seed = seed
        self._root_key = rsa_key(2048, "root", seed)
        self._ca_key = rsa_key(2048, "ca", seed)
        self._root_name = name(f"Test Root CA {seed}", _ORGANIZATION)
        self._ca_name = name(f"Test PEC CA1 {seed}", _ORGANIZATION)
        permitted = (
            domains if domains is not None else sorted({style.domain for style in STYLES}),
            organizations if organizations is not None else sorted({style.organization for style in STYLES}),
        )
        self.root = self._make_root()
        """DER of the self-signed root, to be trusted by whoever verifies."""
        self.ca = self._make_ca(*permitted)
        """DER of the intermediate, which every seal carries."""

    @property
    def root_pem(self) -> str:
        """The root in PEM, for `openssl cms -verify -CAfile`."""
        return to_pem(self.root)

    def leaf_key(self, bits: int) -> RSAPrivateKey:
        """The key that all providers below this authority sign with: one, because making keys takes time."""
        return rsa_key(bits, "leaf", self.seed)

    def issue(
        self,
        *,
        organization: str,
        address: str,
        bits: int = 2048,
        digest: str = "sha256",
        valid: tuple[datetime, datetime] = LEAF_VALID,
    ) -> bytes:
        """A provider's certificate for `leaf_key(bits)`, in DER.

        Args:
            organization: O and CN of the subject.
            address: the `rfc822Name`, to which the seal's From must be equal.
            bits: size of the leaf key.
            digest: `sha1` or `sha256`, of the authority's signature on it.
            valid: not before and not after, aware.
        """
        key = self.leaf_key(bits)
        extensions = [
            extension("key_usage", {"digital_signature"}, critical=True),
            extension("extended_key_usage", ["email_protection"]),
            extension("subject_alt_name", [x509.GeneralName("rfc822_name", x509.EmailAddress(address))]),
            extension(
                "authority_information_access",
                [{"access_method": "ocsp", "access_location": _uri("http://ca1.example/OCSP")}],
            ),
            extension(
                "crl_distribution_points",
                [
                    {
                        "distribution_point": x509.DistributionPointName(
                            "full_name", [_uri("http://ca1.example/CRL")]
                        )
                    }
                ],
            ),
            extension("authority_key_identifier", {"key_identifier": key_id(self._ca_key)}),
            extension("key_identifier", key_id(key)),
        ]
        return certificate(
            CertificateDraft(
                subject=name(organization, organization),
                issuer=self._ca_name,
                key=key,
                serial=serial("leaf", self.seed, organization, address, bits, digest, *valid),
                valid=valid,
                extensions=extensions,
            ),
            self._ca_key,
            digest,
        )

    def revoke(self, revoked: Mapping[bytes, datetime], issued: datetime) -> bytes:
        """A list of revoked certificates (CRL) by the intermediate, in DER.

        Args:
            revoked: DER of the certificates that it names, and since when each is revoked, aware.
            issued: aware.
        """
        entries = [
            {"user_certificate": x509.Certificate.load(der).serial_number, "revocation_date": _time(when)}
            for der, when in revoked.items()
        ]
        algorithm = {"algorithm": "sha256_rsa", "parameters": None}
        tbs = crl.TbsCertList(
            {
                "version": "v2",
                "signature": algorithm,
                "issuer": self._ca_name,
                "this_update": _time(issued),
                "next_update": _time(issued + timedelta(days=7)),
                **({"revoked_certificates": entries} if entries else {}),
            }
        )
        signed = crl.CertificateList(
            {
                "tbs_cert_list": tbs,
                "signature_algorithm": algorithm,
                "signature": _sign(self._ca_key, tbs.dump()),
            }
        )
        der: bytes = signed.dump()
        return der

    def _make_root(self) -> bytes:
        return certificate(
            CertificateDraft(
                subject=self._root_name,
                issuer=self._root_name,
                key=self._root_key,
                serial=serial("root", self.seed),
                valid=_ROOT_VALID,
                extensions=[
                    extension("basic_constraints", {"ca": True}, critical=True),
                    extension("key_usage", {"key_cert_sign", "crl_sign"}, critical=True),
                    extension("key_identifier", key_id(self._root_key)),
                ],
            ),
            self._root_key,
        )

    def _make_ca(self, domains: Sequence[str], organizations: Sequence[str]) -> bytes:
        permitted = [
            {"base": x509.GeneralName("rfc822_name", x509.EmailAddress(domain))} for domain in domains
        ]
        permitted += [
            {"base": x509.GeneralName("directory_name", name(None, organization))}
            for organization in organizations
        ]
        return certificate(
            CertificateDraft(
                subject=self._ca_name,
                issuer=self._root_name,
                key=self._ca_key,
                serial=serial("ca", self.seed),
                valid=_CA_VALID,
                extensions=[
                    extension("basic_constraints", {"ca": True, "path_len_constraint": 0}, critical=True),
                    extension("key_usage", {"key_cert_sign", "crl_sign"}, critical=True),
                    extension("name_constraints", {"permitted_subtrees": permitted}, critical=True),
                    extension("authority_key_identifier", {"key_identifier": key_id(self._root_key)}),
                    extension("key_identifier", key_id(self._ca_key)),
                ],
            ),
            self._root_key,
        )


def _sign(key: RSAPrivateKey, data: bytes) -> bytes:
    from archipec.simulator.seal import sign

    return sign(key, data, "sha256")


def to_pem(der: bytes) -> str:
    """A certificate in PEM."""
    body = base64.encodebytes(der).decode("ascii").replace("\n", "")
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateDraft:
    """What a certificate is to say (RFC 5280, TBSCertificate).

    Attributes:
        key: of the subject.
        valid: not before and not after, aware.
    """

    subject: x509.Name
    issuer: x509.Name
    key: RSAPrivateKey
    serial: int
    valid: tuple[datetime, datetime]
    extensions: list[dict[str, Any]]


def certificate(draft: CertificateDraft, signer: RSAPrivateKey, digest: str = "sha256") -> bytes:
    """Sign a certificate; return it in DER."""
    from archipec.simulator.seal import sign

    algorithm = {"algorithm": f"{digest}_rsa", "parameters": None}
    tbs = x509.TbsCertificate(
        {
            "version": "v3",
            "serial_number": draft.serial,
            "signature": algorithm,
            "issuer": draft.issuer,
            "validity": {"not_before": _time(draft.valid[0]), "not_after": _time(draft.valid[1])},
            "subject": draft.subject,
            "subject_public_key_info": _public_info(draft.key),
            "extensions": draft.extensions,
        }
    )
    certificate = x509.Certificate(
        {
            "tbs_certificate": tbs,
            "signature_algorithm": algorithm,
            "signature_value": sign(signer, tbs.dump(), digest),
        }
    )
    der: bytes = certificate.dump()
    return der


def name(common_name: str | None, organization: str) -> x509.Name:
    parts = {"country_name": "IT", "organization_name": organization}
    if common_name is not None:
        parts["common_name"] = common_name
    return x509.Name.build(parts)


def _uri(address: str) -> x509.GeneralName:
    return x509.GeneralName("uniform_resource_identifier", address)


def extension(name: str, value: object, *, critical: bool = False) -> dict[str, Any]:
    return {"extn_id": name, "critical": critical, "extn_value": value}


def _time(time: datetime) -> x509.Time:
    """RFC 5280 §4.1.2.5: UTCTime until 2049, GeneralizedTime after."""
    return x509.Time("utc_time" if time.year < 2050 else "general_time", time)


def serial(*labels: object) -> int:
    """A positive serial number of 127 bits at most, as RFC 5280 §4.1.2.2 allows."""
    return int.from_bytes(Stream("serial", *labels).take(16), "big") >> 1 | 1


def _public_info(key: RSAPrivateKey) -> keys.PublicKeyInfo:
    numbers = key.public_key().public_numbers()
    public = keys.RSAPublicKey({"modulus": numbers.n, "public_exponent": numbers.e})
    return keys.PublicKeyInfo.wrap(public, "rsa")


def key_id(key: RSAPrivateKey) -> bytes:
    digest: bytes = _public_info(key).sha1
    return digest
