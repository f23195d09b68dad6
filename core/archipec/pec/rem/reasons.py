"""The reasons of events of REM and what they mean (ETSI EN 319 522-2 §8.3; those from 21 on are of AgID's REM-Policy-IT)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from archipec.language import N_

__all__ = ["REASONS", "Reason", "reason_of"]

_MAX_NAME = 80
_CODE = re.compile(r"R[A-F]\.?(\d\d)")
_UNPRINTABLE = re.compile(r"[^!-~]+")


class Reason(NamedTuple):
    """Why an event happened.

    Attributes:
        code: as people quote it, `RB21`; that of a reason which this version does not know is its name.
        name: the last part of its URI, `MessageNotAcceptedForUnregisteredRecipient`.
        meaning: in plain words; empty for one that this version does not know.
    """

    code: str
    name: str
    meaning: str


_REASONS: Final = {
    name: Reason(code, name, meaning)
    for code, name, meaning in (
        ("RA01", "MessageAccepted", N_("the message was accepted")),
        ("RA02", "InvalidMessageFormat", N_("the message's format is not valid")),
        ("RA03", "MalwareFound", N_("malware was found in the message")),
        ("RA04", "InvalidUserSignature", N_("the sender's signature is not valid")),
        (
            "RA05",
            "S_ERDS_PolicyViolation",
            N_("the message breaks a rule of the sender's provider, such as its size limit"),
        ),
        ("RA51", "S_ERDS_Malfunction", N_("the sender's provider had a malfunction")),
        ("RB01", "S_ERDS_MessageSuccessfullyRelayed", N_("the recipient's provider took the message")),
        (
            "RB02",
            "R_ERDS_MessageRejected",
            N_("the recipient's provider refused the message: its format is not valid"),
        ),
        (
            "RB03",
            "R_ERDS_MessageRejectedForMalware",
            N_("the recipient's provider refused the message: it found malware"),
        ),
        (
            "RB04",
            "R_ERDS_MessageRejectedForInvalidSignature",
            N_(
                "the recipient's provider refused the message: the signature of the sender's provider is "
                "not valid"
            ),
        ),
        (
            "RB05",
            "R_ERDS_MessageRejectedForInvalidCertificate",
            N_(
                "the recipient's provider refused the message: the certificate of the sender's provider "
                "has expired or was revoked"
            ),
        ),
        (
            "RB06",
            "R_ERDS_PolicyViolation",
            N_(
                "the recipient's provider refused the message: it breaks one of its rules, such as its "
                "size limit"
            ),
        ),
        ("RB07", "R_ERDS_Malfunction", N_("the recipient's provider had a malfunction")),
        ("RB08", "R_ERDS_NotIdentified", N_("the recipient's provider could not be found")),
        ("RB09", "R_ERDS_Unreachable", N_("the recipient's provider could not be reached")),
        ("RB10", "UnknownRecipient", N_("the recipient is not known")),
        (
            "RB21",
            "MessageNotAcceptedForUnregisteredRecipient",
            N_("the recipient's provider refused the message: the recipient has no mailbox there"),
        ),
        (
            "RB22",
            "S_ERDSP_ReceivedNoRelayAcceptanceInfoFromR_ERDSP",
            N_("the recipient's provider did not say in time whether it took the message"),
        ),
        ("RD01", "MessageConsignedToRecipient", N_("the message was delivered to the recipient")),
        (
            "RD03",
            "S_ERDSP_ReceivedNoDeliveryInfoFromR_ERDSP",
            N_("the recipient's provider did not say in time whether it delivered the message"),
        ),
        ("RD04", "MessageNotConsignedForQuota", N_("not delivered: the recipient's mailbox is full")),
        ("RD05", "MessageNotConsignedForMalfunction", N_("not delivered: a malfunction")),
        (
            "RD06",
            "MessageNotConsignedForUnallowedType",
            N_("not delivered: the recipient does not take this type of message"),
        ),
        (
            "RD21",
            "MessageNotConsignedForUnregisteredRecipient",
            N_("not delivered: the recipient has no mailbox with the provider"),
        ),
        ("RF01", "MessageRelayedToNonERDS", N_("sent on to ordinary mail, which certifies no delivery")),
        ("RF02", "ExternalSystemUnreachable", N_("not sent on to ordinary mail: it could not be reached")),
        (
            "RF03",
            "MessageRejectedByExternalSystem",
            N_("not sent on to ordinary mail: it refused the message"),
        ),
        ("RF04", "MessageReceivedFromNonERDS", N_("received from ordinary mail, which certifies nothing")),
        (
            "RF51",
            "RelayToNonERDSNotAllowed",
            N_("not sent on to ordinary mail: the provider does not do that"),
        ),
    )
}


REASONS: Final = {one.code: one for one in _REASONS.values()}
"""The reasons that this version knows, by their codes."""


def reason_of(uri: str, details: tuple[str, ...] = ()) -> Reason:
    """The reason that a URI names, which may be any text; of one that this version does not know the URI's last part.

    Args:
        details: what the evidence says beside it: the code, for a reason that this version does not know.
    """
    name = _UNPRINTABLE.sub("", uri.rpartition("/")[2])[:_MAX_NAME]
    known = _REASONS.get(name)
    if known is not None:
        return known
    codes = [one for one in (text.strip() for text in details) if _CODE.fullmatch(one)]
    return Reason(codes[0].replace(".", "") if codes else name, name, "")
