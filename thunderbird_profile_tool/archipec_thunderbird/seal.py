"""Says what the CMS signature of a seal (RFC 5652 §5) proves by itself, without trusting anybody.

It is read and its signature checked by `archipec.pec`. As Thunderbird does, the first of several signatures is judged,
also by a signer whose certificate the profile has and the seal does not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from archipec.errors import IntegrityError
from archipec.language import _
from archipec.pec.cms import read_signed_data, split_certificates
from archipec.pec.signature import verifies
from archipec_thunderbird.certificates import Certificate
from archipec_thunderbird.message import SealedMessage

if TYPE_CHECKING:
    from archipec.pec.cms import SignerInfo

__all__ = ["CheckedSeal", "SignerUnknown", "carried_certificates", "read_seal"]

_MOST_CERTIFICATES: Final = 32  # real seals carry two or three


class SignerUnknown(IntegrityError):
    """The seal names a signer whose certificate is nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSeal:
    """A seal as it is written, and whether it holds.

    Attributes:
        signer: whose key made it.
        carried: every certificate that the seal carries, the signer's included.
        digest: "sha1", "sha256"…
        signed_at: the signing time that it states; aware, None when it states none.
        content_intact: whether what it covers is what was sealed.
        signature_intact: whether the signer's key made the signature.
    """

    signer: Certificate
    carried: tuple[Certificate, ...]
    digest: str
    signed_at: datetime | None
    content_intact: bool
    signature_intact: bool

    @property
    def addresses(self) -> tuple[str, ...]:
        """The mail addresses that the signer's certificate is for, in lower case."""
        return self.signer.addresses

    @property
    def for_mail(self) -> bool:
        """Whether that certificate may sign mail (RFC 8550 §4.4)."""
        return self.signer.is_for_mail


def read_seal(message: SealedMessage, known: tuple[Certificate, ...] = ()) -> CheckedSeal:
    """Read and check the seal of a message that has one.

    Args:
        known: certificates among which the signer's may be when the seal does not carry it.

    Raises:
        SignerUnknown: its signer's certificate is nowhere.
        IntegrityError: it can't be read.
    """
    assert message.signed is not None
    try:
        data = read_signed_data(message.signature)
        carried = tuple(_certificates(data.certificates))
        info = data.signers[0]
        signer = next((one for one in (*carried, *known) if one.is_named_by(info.identifier)), None)
        if signer is None:
            raise SignerUnknown(_("the seal does not carry the certificate of who signed"))
        if not info.digest or not info.scheme:
            raise IntegrityError(_("the seal was made with a method that archipec does not know"))
        content, signature = _check(info, signer, message.signed)
        seal = CheckedSeal(
            signer=signer,
            carried=carried,
            digest=info.digest,
            signed_at=info.signed_at,
            content_intact=content,
            signature_intact=signature,
        )
        _ignored = seal.addresses, seal.for_mail  # read now
    except IntegrityError:
        raise
    # Certificates are read when their fields are, and hostile ones can raise almost anything then.
    except Exception as error:
        raise IntegrityError(_("the seal is damaged: it can't be read as a CMS signature")) from error
    return seal


def carried_certificates(message: SealedMessage) -> list[Certificate]:
    """Return the certificates that a message's seal carries; none when it has no seal, or one that can't be read."""
    try:
        return _certificates(read_signed_data(message.signature).certificates)
    except Exception:  # noqa: BLE001 - as above
        return []


def _certificates(encoded: bytes) -> list[Certificate]:
    found = []
    for der in split_certificates(encoded, _MOST_CERTIFICATES):
        try:
            found.append(Certificate(der))
        except ValueError:
            continue  # an odd one that nobody signed with harms nobody
    return found


def _check(info: SignerInfo, signer: Certificate, signed: bytes) -> tuple[bool, bool]:
    """Return whether the content, and whether the signature, are as they were made (RFC 5652 §5.6)."""
    contents = [signed]
    if (canonical := signed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")) != signed:
        contents.append(canonical)  # the form that is signed; a copy may have lost its line ends
    if info.attributes is None:
        return any(_verifies(info, signer, content) for content in contents), True
    intact = any(
        hashlib.new(info.digest, content, usedforsecurity=False).digest() == info.message_digest
        for content in contents
    )
    return intact, _verifies(info, signer, info.attributes)


def _verifies(info: SignerInfo, signer: Certificate, data: bytes) -> bool:
    try:
        return verifies(info, signer.public_key, data, prehashed=False)
    except IntegrityError:
        return False  # made by another kind of key than the certificate's
