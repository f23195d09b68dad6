"""Seals that the simulator does not make, and the openssl program as a second opinion on any seal."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asn1crypto import cms, core, x509

from archipec.simulator import Authority, Provider, Sending, shared_authority
from archipec.simulator.keys import rsa_key
from archipec.simulator.mime import base64_lines
from archipec.simulator.seal import sign
from testbed.requirements import find

WHEN = datetime(2026, 9, 15, 8, 30, tzinfo=UTC)
_SIGNATURE_PART = re.compile(
    rb"(pkcs7-signature; name=[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)(?:[A-Za-z0-9+/=]+\r\n)+"
)
_REASON = re.compile(r"routines:[^:]*:([^:]*):")


def signed_entity(message: bytes) -> bytes:
    """The exact bytes that a simulated message's seal covers, cut out without archipec's own slicing."""
    match = re.search(rb'micalg=[^;]+; boundary="([^"]+)"', message)
    assert match is not None
    return message.split(b"--" + match[1])[1][2:-2]


def with_signature(message: bytes, der: bytes) -> bytes:
    """A simulated message with another signature in the place of its own."""
    changed, count = _SIGNATURE_PART.subn(lambda match: match[1] + base64_lines(der), message)
    assert count == 1
    return changed


def certificate(provider: Provider, *, without: str = "", **changes: Any) -> bytes:
    """A provider's certificate with an extension left out or fields changed, signed again by its authority.

    Args:
        without: name of the extension.
        changes: values by name of the extension; `valid` a pair of dates; `issuer` and `subject` names.
    """
    loaded = x509.Certificate.load(provider.certificate)
    tbs = loaded["tbs_certificate"].copy()
    extensions = []
    for extension in tbs["extensions"].native:
        name = extension["extn_id"]
        original = next(one for one in tbs["extensions"] if one["extn_id"].native == name)
        if name == without:
            continue
        if name in changes:
            extensions.append({"extn_id": name, "critical": False, "extn_value": changes[name]})
        else:
            extensions.append(original.copy())
    tbs["extensions"] = x509.Extensions(extensions)
    key = rsa_key(2048, "ca", provider.authority.seed)
    tbs["signature"] = {"algorithm": "sha256_rsa", "parameters": None}
    der: bytes = x509.Certificate(
        {
            "tbs_certificate": tbs,
            "signature_algorithm": {"algorithm": "sha256_rsa", "parameters": None},
            "signature_value": sign(key, tbs.dump(), "sha256"),
        }
    ).dump()
    return der


def signature(
    entity: bytes,
    signers: Sequence[bytes],
    *,
    carried: Sequence[bytes] | None = None,
    authority: Authority | None = None,
    digest: str = "sha256",
    attributes: bool = True,
    leave_out: str = "",
    when: datetime | None = WHEN,
    opaque: bool = False,
    bits: int = 2048,
) -> bytes:
    """DER of a CMS signature by each of these certificates, all of them for the authority's one leaf key.

    Args:
        carried: certificates in the seal; by default the signers' and the intermediate.
        attributes: whether there are signed attributes.
        leave_out: the name of a signed attribute that is not to be there.
        when: the signing time, None for none.
        opaque: whether the seal holds what it signs.
    """
    import hashlib

    authority = authority or shared_authority()
    key = authority.leaf_key(bits)
    infos = []
    for der in signers:
        holder = x509.Certificate.load(der)
        info: dict[str, Any] = {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                "issuer_and_serial_number", {"issuer": holder.issuer, "serial_number": holder.serial_number}
            ),
            "digest_algorithm": {"algorithm": digest, "parameters": core.Null()},
            "signature_algorithm": {"algorithm": "rsassa_pkcs1v15", "parameters": core.Null()},
        }
        if attributes:
            values: list[dict[str, Any]] = [
                {"type": "content_type", "values": ["data"]},
                {"type": "message_digest", "values": [hashlib.new(digest, entity).digest()]},
            ]
            if when is not None:
                values.append({"type": "signing_time", "values": [cms.Time("utc_time", when)]})
            chosen = cms.CMSAttributes([one for one in values if one["type"] != leave_out])
            info["signed_attrs"] = chosen
            info["signature"] = sign(key, chosen.dump(), digest)
        else:
            info["signature"] = sign(key, entity, digest)
        infos.append(info)
    content: dict[str, Any] = {"content_type": "data"}
    if opaque:
        content["content"] = entity
    pool = [*signers, authority.ca] if carried is None else carried
    signed = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [{"algorithm": digest, "parameters": core.Null()}],
            "encap_content_info": content,
            "certificates": [x509.Certificate.load(der) for der in pool],
            "signer_infos": infos,
        }
    )
    der_bytes: bytes = cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump()
    return der_bytes


def indefinite(der: bytes, depth: int = 0) -> bytes:
    """The same CMS in BER with indefinite lengths and octets in chunks, as BouncyCastle and NSS write it.

    Certificates and signers stay in DER, as they do there.
    """
    out, start = b"", 0
    while start < len(der):
        tag, length, at = der[start], der[start + 1], start + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        inside = der[at : at + length]
        # At depth 3 are the fields of SignedData; the only sequence among them holds the content.
        if depth > 3 and tag == 0x04:
            chunks = (inside[position : position + 1000] for position in range(0, len(inside), 1000))
            out += b"\x24\x80" + b"".join(b"\x04" + _length(chunk) + chunk for chunk in chunks) + b"\0\0"
        elif tag in (0x30, 0x31, 0xA0):
            deeper = depth < 3 or depth > 3 or tag == 0x30
            out += bytes((tag, 0x80)) + (indefinite(inside, depth + 1) if deeper else inside) + b"\0\0"
        else:
            out += der[start : at + length]
        start = at + length
    return out


def _length(data: bytes) -> bytes:
    size = len(data)
    return bytes((size,)) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What openssl says: whether it accepts, and if not, its reasons."""

    good: bool
    reasons: str

    @property
    def is_about_the_signature(self) -> bool:
        """Whether it refuses because of the signature, and not because it can't read the message."""
        return not self.good and any(
            word in self.reasons for word in ("verification failure", "content verify error", "bad signature")
        )


def openssl_opinion(message: bytes, *options: str) -> Opinion:
    """`openssl cms -verify` on a whole message."""
    program = find("openssl")
    assert program is not None
    done = subprocess.run(
        [program, "cms", "-verify", *options], input=message, capture_output=True, check=False
    )
    words = done.stderr.decode("latin-1")
    return Opinion(done.returncode == 0, ";".join(_REASON.findall(words)) or words[:200])


def openssl_opinion_on_slices(der: bytes, content: bytes, folder: Path) -> Opinion:
    """The same on a signature and what it covers, already apart, byte for byte and whoever signed it."""
    (folder / "p7s").write_bytes(der)
    (folder / "content").write_bytes(content)
    options = (
        "-binary",
        "-noverify",
        "-inform",
        "DER",
        "-in",
        str(folder / "p7s"),
        "-content",
        str(folder / "content"),
    )
    return openssl_opinion(b"", *options)


EVERY_KIND: dict[str, Callable[[Provider, Sending], bytes]] = {
    "envelope": lambda p, s: p.envelope(s),
    "anomaly": lambda p, s: p.anomaly(s),
    "acceptance": lambda p, s: p.acceptance(s),
    "non-acceptance": lambda p, s: p.non_acceptance(s),
    "non-acceptance-virus": lambda p, s: p.virus_non_acceptance(s),
    "taken-in-charge": lambda p, s: p.taken_in_charge(s),
    "virus-detected": lambda p, s: p.virus_detected(s),
    "delivery": lambda p, s: p.delivery(s),
    "delivery-breve": lambda p, s: p.delivery(s, receipt="breve"),
    "delivery-sintetica": lambda p, s: p.delivery(s, receipt="sintetica"),
    "failure": lambda p, s: p.failure(s),
    "failure-virus": lambda p, s: p.virus_failure(s),
    "timeout-12": lambda p, s: p.timeout_notice(s),
    "timeout-24": lambda p, s: p.timeout_notice(s, hours=24),
}
"""Every system message of a provider, by a name for test reports."""
