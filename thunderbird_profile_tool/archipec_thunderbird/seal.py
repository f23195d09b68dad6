"""Reads the CMS signature of a seal (RFC 5652 §5) and says what it proves by itself, without trusting anybody."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from archipec.errors import IntegrityError
from archipec_thunderbird.certificates import Certificate
from archipec_thunderbird.message import SealedMessage

if TYPE_CHECKING:
    from asn1crypto.cms import SignerInfo

__all__ = ["Seal", "SignerUnknown", "carried_certificates", "read_seal"]

_MOST_CERTIFICATES: Final = 32  # real seals carry two or three


class SignerUnknown(IntegrityError):
    """The seal names a signer whose certificate is nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A seal as it is written, and whether it holds.

    Attributes:
        signer: whose key made it.
        addresses: the mail addresses that the signer's certificate is for, in lower case.
        for_mail: whether that certificate may sign mail (RFC 8550 §4.4).
        carried: every certificate that the seal carries, the signer's included.
        digest: "sha1", "sha256"…, or an object identifier.
        signed_at: the signing time that it states; aware, None when it states none.
        content_intact: whether what it covers is what was sealed.
        signature_intact: whether the signer's key made the signature.
    """

    signer: Certificate
    addresses: tuple[str, ...]
    for_mail: bool
    carried: tuple[Certificate, ...]
    digest: str
    signed_at: datetime | None
    content_intact: bool
    signature_intact: bool


def read_seal(message: SealedMessage, known: tuple[Certificate, ...] = ()) -> Seal:
    """Read and check the seal of a message that has one.

    Thunderbird judges the first of several signatures, and so does this.

    Args:
        known: certificates among which the signer's may be when the seal does not carry it.

    Raises:
        SignerUnknown: its signer's certificate is nowhere.
        IntegrityError: it can't be read.
    """
    assert message.signed is not None
    try:
        data = _signed_data(message.signature)
        carried = tuple(_certificates(data))
        info = data["signer_infos"][0]
        signer = _signer(info, (*carried, *known))
        return _described(info, signer, carried, message.signed)
    except IntegrityError:
        raise
    # asn1crypto reads fields when they are used, and hostile ones can raise almost anything then.
    except Exception as error:
        raise IntegrityError("the seal is damaged: it can't be read as a CMS signature") from error


def carried_certificates(message: SealedMessage) -> list[Certificate]:
    """Return the certificates that a message's seal carries; none when it has no seal, or one that can't be read."""
    try:
        return list(_certificates(_signed_data(message.signature)))
    except Exception:  # noqa: BLE001 - as above
        return []


def _signed_data(der: bytes) -> Any:
    from asn1crypto import cms

    content = cms.ContentInfo.load(der)
    if content["content_type"].native != "signed_data":
        raise IntegrityError("the seal is damaged: it is no CMS signature")
    return content["content"]


def _certificates(data: Any) -> list[Certificate]:
    found = []
    for choice in list(data["certificates"])[:_MOST_CERTIFICATES]:
        if choice.name == "certificate":
            try:
                found.append(Certificate(choice.chosen.dump()))
            except ValueError:
                continue  # an odd one that nobody signed with harms nobody
    return found


def _signer(info: SignerInfo, certificates: tuple[Certificate, ...]) -> Certificate:
    sid = info["sid"]
    for one in certificates:
        if sid.name == "issuer_and_serial_number":
            named = sid.chosen
            if (one.issuer, one.serial) == (named["issuer"].dump(), named["serial_number"].dump()):
                return one
        elif _parsed(one).key_identifier == sid.chosen.native:
            return one
    raise SignerUnknown("the seal does not carry the certificate of who signed")


def _parsed(certificate: Certificate) -> Any:
    from asn1crypto import x509

    return x509.Certificate.load(certificate.der)


def _described(
    info: SignerInfo, signer: Certificate, carried: tuple[Certificate, ...], signed: bytes
) -> Seal:
    parsed = _parsed(signer)
    digest = info["digest_algorithm"]["algorithm"].native
    attributes = {one["type"].native: one["values"] for one in info["signed_attrs"] or ()}
    time = attributes["signing_time"][0].native if "signing_time" in attributes else None
    content, signature = _check(info, parsed, signed, digest, attributes)
    return Seal(
        signer=signer,
        addresses=tuple(dict.fromkeys(address.lower() for address in _addresses(parsed))),
        for_mail=_is_for_mail(parsed),
        carried=carried,
        digest=str(digest),
        signed_at=time if time is None or time.tzinfo else time.replace(tzinfo=UTC),
        content_intact=content,
        signature_intact=signature,
    )


def _addresses(parsed: Any) -> list[str]:
    names = [str(name.native) for name in parsed.subject_alt_name_value or () if name.name == "rfc822_name"]
    value = parsed.subject.native.get("email_address")
    return names + ([value] if isinstance(value, str) else list(value or ()))


def _is_for_mail(parsed: Any) -> bool:
    usage, extended = parsed.key_usage_value, parsed.extended_key_usage_value
    if usage is not None and not usage.native & {"digital_signature", "non_repudiation"}:
        return False
    return extended is None or bool({"email_protection", "any_extended_key_usage"} & set(extended.native))


def _check(
    info: SignerInfo, parsed: Any, signed: bytes, digest: str, attributes: dict[str, Any]
) -> tuple[bool, bool]:
    """Return whether the content, and whether the signature, are as they were made (RFC 5652 §5.6)."""
    contents = [signed]
    if (canonical := signed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")) != signed:
        contents.append(canonical)  # the form that is signed; a copy may have lost its line ends
    if "message_digest" not in attributes:
        good = any(_verifies(info, parsed, content, digest) for content in contents)
        return good, True
    wanted = attributes["message_digest"][0].native
    intact = any(
        hashlib.new(digest, content, usedforsecurity=False).digest() == wanted for content in contents
    )
    return intact, _verifies(info, parsed, info["signed_attrs"].untag().dump(), digest)


def _verifies(info: SignerInfo, parsed: Any, data: bytes, digest: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key = load_der_public_key(parsed.public_key.dump())
    algorithm = info["signature_algorithm"]
    hashing = getattr(hashes, digest.upper())()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(info["signature"].native, data, ec.ECDSA(hashing))
        elif isinstance(key, rsa.RSAPublicKey):
            scheme: Any = padding.PKCS1v15()
            if algorithm["algorithm"].native == "rsassa_pss":
                scheme = padding.PSS(padding.MGF1(hashing), padding.PSS.AUTO)
            key.verify(info["signature"].native, data, scheme, hashing)
        else:
            return False
    except InvalidSignature:
        return False
    return True
