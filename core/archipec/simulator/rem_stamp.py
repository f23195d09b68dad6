"""A time-stamping authority like those that stamp evidences of REM: a root, one certificate, RFC 3161 tokens."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from asn1crypto import cms, core, tsp, x509

from archipec.simulator.authority import (
    LEAF_VALID,
    CertificateDraft,
    certificate,
    extension,
    key_id,
    name,
    serial,
)
from archipec.simulator.keys import rsa_key
from archipec.simulator.seal import Template, sign
from archipec.simulator.stream import Stream

_TIME = b"19700101000000Z"
_ORGANIZATION = "Archipec Simulator - Not a Real Authority"
_POLICY = "1.3.6.1.4.1.99999.2"


@lru_cache(maxsize=4)
def shared_stamps(seed: int = 0) -> StampAuthority:
    """The authority of a seed, kept for the life of the process."""
    return StampAuthority(seed)


class StampAuthority:
    """Stamps hashes with any time it is asked for, the same way each time.

    Args:
        seed: fixes keys and serial numbers.
        valid: not before and not after of its certificate, aware.
    """

    def __init__(self, seed: int = 0, *, valid: tuple[datetime, datetime] = LEAF_VALID) -> None:
        self._seed = seed
        root_key, self._key = rsa_key(2048, "tsa-root", seed), rsa_key(2048, "tsa", seed)
        root_name = name(f"Test TSA Root {seed}", _ORGANIZATION)
        self.root = certificate(
            CertificateDraft(
                subject=root_name,
                issuer=root_name,
                key=root_key,
                serial=serial("tsa-root", seed),
                valid=(datetime(2005, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)),
                extensions=[
                    extension("basic_constraints", {"ca": True}, critical=True),
                    extension("key_usage", {"key_cert_sign", "crl_sign"}, critical=True),
                    extension("key_identifier", key_id(root_key)),
                ],
            ),
            root_key,
        )
        """DER of the self-signed root, which each token carries."""
        self.certificate = certificate(
            CertificateDraft(
                subject=name(f"Test TSA {seed}", _ORGANIZATION),
                issuer=root_name,
                key=self._key,
                serial=serial("tsa", seed, *valid),
                valid=valid,
                extensions=[
                    extension("key_usage", {"digital_signature"}, critical=True),
                    extension("extended_key_usage", ["time_stamping"], critical=True),
                    extension("authority_key_identifier", {"key_identifier": key_id(root_key)}),
                    extension("key_identifier", key_id(self._key)),
                ],
            ),
            root_key,
        )
        """DER of the certificate that it signs with."""
        blank, number = bytes(range(1, 33)), bytes(range(65, 81))
        info = _info(blank, int.from_bytes(number, "big"))
        attributes = _attributes(blank, self.certificate)
        signature = b"\xa5" * (self._key.key_size // 8)
        self._info = Template(info, (blank, number, _TIME))
        self._attributes = Template(attributes.dump(), (blank,))
        token = _token(info, attributes, signature, self.certificate, self.root)
        # The imprint and the attribute's hash are the same octets here; the info comes first.
        at = token.index(info)
        self._before, rest = token[:at], token[at + len(info) :]
        self._rest = Template(rest, (blank, signature))

    def stamp(self, octets: bytes, when: datetime) -> bytes:
        """The token on some octets, in DER, that states a time: aware, to the second."""
        digest = hashlib.sha256(octets).digest()
        number = bytes((0x40 | self._seed & 0x3F,)) + Stream("stamp", self._seed, digest, when).take(15)
        time = when.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode("ascii")
        info = self._info.fill((digest, number, time))
        signed = hashlib.sha256(info).digest()
        signature = sign(self._key, self._attributes.fill((signed,)), "sha256")
        return self._before + info + self._rest.fill((signed, signature))


def _info(imprint: bytes, number: int) -> bytes:
    info = tsp.TSTInfo(
        {
            "version": "v1",
            "policy": _POLICY,
            "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": imprint},
            "serial_number": number,
            "gen_time": core.GeneralizedTime(contents=_TIME),
        }
    )
    der: bytes = info.dump()
    return der


def _attributes(digest: bytes, signer: bytes) -> cms.CMSAttributes:
    named = {
        "certs": [{"hash_algorithm": {"algorithm": "sha256"}, "cert_hash": hashlib.sha256(signer).digest()}]
    }
    attributes: list[dict[str, Any]] = [
        {"type": "content_type", "values": ["tst_info"]},
        {"type": "message_digest", "values": [digest]},
        {"type": "signing_certificate_v2", "values": [named]},
    ]
    return cms.CMSAttributes(attributes)


def _token(info: bytes, attributes: cms.CMSAttributes, signature: bytes, signer: bytes, root: bytes) -> bytes:
    holder = x509.Certificate.load(signer)
    algorithm = {"algorithm": "sha256", "parameters": core.Null()}
    signed = {
        "version": "v3",
        "digest_algorithms": [algorithm],
        "encap_content_info": {
            "content_type": "tst_info",
            "content": core.ParsableOctetString(info),
        },
        "certificates": [holder, x509.Certificate.load(root)],
        "signer_infos": [
            {
                "version": "v1",
                "sid": cms.SignerIdentifier(
                    "issuer_and_serial_number",
                    {"issuer": holder.issuer, "serial_number": holder.serial_number},
                ),
                "digest_algorithm": algorithm,
                "signed_attrs": attributes,
                "signature_algorithm": {"algorithm": "rsassa_pkcs1v15", "parameters": core.Null()},
                "signature": signature,
            }
        ],
    }
    content = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(signed)})
    der: bytes = content.dump()
    return der
