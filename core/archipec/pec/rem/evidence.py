"""Reads the evidence of a REM event: the XML that a provider signs (ETSI EN 319 522-3, 532-4 Annex C).

What is read comes out of the very document whose signature `pec.xades` checks, and its structure is that of the schema,
as far as anything here relies on it: `Evidence` in order, every element that occurs once there once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from archipec.errors import IntegrityError
from archipec.pec.rem.headers import event_name
from archipec.pec.rem.reasons import Reason, reason_of
from archipec.pec.xades import DIGESTS, DS, parse_document, xml_base64, xml_time

__all__ = ["MAX_SIZE", "Evidence", "PartDigest", "RemRecipient", "parse_evidence", "read_evidence"]

MAX_SIZE = 4 * 1024 * 1024
"""Bytes of an evidence that is read; one recipient takes some hundred."""

_T: Final = "{http://uri.etsi.org/19522/v1#}"
_X: Final = "{http://uri.etsi.org/19532/v1#}"
_SAML: Final = "{urn:oasis:names:tc:SAML:2.0:assertion}"
_HASHED = re.compile(r"[A-Z]{2}/[A-Z]{2}/([0-9A-F]{64})")
_MANY: Final = 1 << 30

_TEXT: Final = "text"
_ANY: Final = "any"
_DETAILS: Final = (
    (_T + "Identity", 1, 1, _ANY),
    ("CertificateDetails", 0, 1, _ANY),
    (_T + "Any", 0, 1, _ANY),
)
_USER: Final = (
    (_T + "Identity", 0, 1, _ANY),
    ("Identifier", 0, 1, _TEXT),
    ("AssuranceLevelsDetails", 0, 1, _ANY),
)
_PART: Final = (
    ("Identifier", 1, 1, _TEXT),
    ("ContentType", 1, 1, _TEXT),
    (DS + "DigestMethod", 0, 1, _TEXT),
    (DS + "DigestValue", 0, 1, _TEXT),
)
_REASON: Final = (("Code", 1, 1, _TEXT), ("Details", 0, _MANY, _TEXT))
_CONTENT: Final = (
    ("AppLayerIdentifier", 0, 1, _TEXT),
    ("ComposingParts", 0, 1, _TEXT),
    (_T + "PartsInfo", 1, 1, ((_T + "PartInfo", 1, _MANY, _PART),)),
)
# (element, fewest, most, what is in it), in the order of the schema's sequences.
_EVIDENCE: Final = (
    (_T + "EvidenceIdentifier", 1, 1, _TEXT),
    (_T + "ERDSEventId", 1, 1, _TEXT),
    (_T + "EventReasons", 0, 1, ((_T + "EventReason", 1, _MANY, _REASON),)),
    ("EventTime", 1, 1, _TEXT),
    (_T + "EvidenceIssuerPolicyID", 0, 1, (("PolicyID", 1, _MANY, _TEXT),)),
    (_T + "EvidenceIssuerDetails", 1, 1, _DETAILS),
    (_T + "SenderDetails", 1, 1, _USER),
    (_T + "SenderDelegateDetails", 0, 1, _USER),
    (_T + "RecipientDetails", 1, _MANY, _USER),
    (_T + "RecipientsDelegateDetails", 0, _MANY, _ANY),
    (_T + "SubmissionTime", 0, 1, _TEXT),
    ("EvidenceRefersToRecipient", 0, 1, _TEXT),
    (_T + "MessageIdentifier", 0, 1, _TEXT),
    (_T + "UserContentInfo", 0, 1, _CONTENT),
    (_T + "ExternalERDSDetails", 0, 1, _DETAILS),
    ("ForwardedToExternalSystem", 0, 1, _TEXT),
    (_T + "TransactionLogInformation", 0, 1, _ANY),
    (_T + "Extensions", 0, 1, ((_T + "Extension", 1, _MANY, _ANY),)),
    (DS + "Signature", 0, 1, _ANY),
)


@dataclass(frozen=True, slots=True)
class RemRecipient:
    """One recipient of a message.

    Attributes:
        address: as written, without `mailto:`; empty when the evidence has none.
        identity: the identifier of the person, empty when it has none.
        untrusted: whether the sender's provider could not find out that it is an address of REM.
    """

    address: str
    identity: str = ""
    untrusted: bool = False


@dataclass(frozen=True, slots=True)
class PartDigest:
    """The hash of a part of the original message.

    Attributes:
        media_type: `message/rfc822` for the original itself.
        algorithm: of `hashlib`; empty when it is another.
    """

    media_type: str
    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an evidence states; what it does not state is empty.

    Attributes:
        identifier: of this evidence.
        event: the name of the event, `ContentConsignment`.
        reasons: why it happened.
        event_time: when it happened, aware.
        submission_time: when the sender handed the message in, aware.
        policies: URIs of the policies that it was issued under.
        issuer: the provider's name.
        sender: address of the sender.
        sender_identity: identifier of the person, empty when it has none.
        recipients: all of the message, in order.
        refers_to: positions in `recipients`, from 0, of those that the event concerns; empty for all of them.
        message_id: what identifies the message in all its evidences: the dispatch's Message-ID, without brackets.
        ua_message_id: Message-ID of what the sender's program wrote, likewise.
        parts: hashes of the original.
        subject: of the original.
        external_provider: name of the other provider of the event.
        forwarded_to: the system of ordinary mail that the message went to.
    """

    identifier: str
    event: str
    reasons: tuple[Reason, ...]
    event_time: datetime
    submission_time: datetime | None
    policies: tuple[str, ...]
    issuer: str
    sender: str
    sender_identity: str
    recipients: tuple[RemRecipient, ...]
    refers_to: tuple[int, ...]
    message_id: str
    ua_message_id: str
    parts: tuple[PartDigest, ...]
    subject: str
    external_provider: str
    forwarded_to: str
    faults: tuple[str, ...] = field(default=(), compare=False)

    @property
    def concerned(self) -> tuple[RemRecipient, ...]:
        """The recipients that the event concerns."""
        if not self.refers_to:
            return self.recipients
        return tuple(self.recipients[number] for number in self.refers_to)


def read_evidence(data: bytes) -> Evidence:
    """Read an evidence, whoever signed it.

    Raises:
        IntegrityError: it is not evidence, or not as the schema wants it.
    """
    return parse_evidence(parse_document(data, MAX_SIZE, "the evidence"))


def parse_evidence(root: Any) -> Evidence:
    """The record of a document; see `read_evidence`."""
    if root.tag != _T + "Evidence":
        raise IntegrityError("the evidence is another kind of document: its root element is another one")
    if not root.get("version"):
        raise IntegrityError("the evidence does not say which version of the standard it follows")
    try:
        _check(root, _EVIDENCE)
        return _record(root)
    except IntegrityError as error:
        raise IntegrityError(f"the evidence is not built as the standard says: {error.message}") from error


def _check(element: Any, model: tuple[Any, ...]) -> None:
    """Check the children of an element against a sequence of the schema."""
    children = list(element)
    at = 0
    for name, fewest, most, inside in model:
        count = 0
        while at < len(children) and children[at].tag == name and count < most:
            if inside == _TEXT:
                if len(children[at]):
                    raise IntegrityError(f'"{_local(name)}" holds elements')
            elif inside != _ANY:
                _check(children[at], inside)
            at += 1
            count += 1
        if count < fewest:
            there = f', where "{_local(children[at].tag)}" stands' if at < len(children) else ""
            raise IntegrityError(f'"{_local(name)}" is missing in "{_local(element.tag)}"{there}')
    if at < len(children):
        raise IntegrityError(
            f'"{_local(children[at].tag)}" stands where it may not in "{_local(element.tag)}"'
        )


def _local(name: str) -> str:
    return name.rpartition("}")[2][:60]


def _record(root: Any) -> Evidence:
    untrusted = _numbers(
        root, f"{_T}Extensions/{_T}Extension/{_X}GeneralEvidenceInfo/{_X}UntrustedPathToRecipient"
    )
    recipients = tuple(
        RemRecipient(_address(one), _identity(one), number in untrusted)
        for number, one in enumerate(root.iterfind(_T + "RecipientDetails"))
    )
    refers_to = _numbers(root, "EvidenceRefersToRecipient") or _numbers(
        root, f"{_T}Extensions/{_T}Extension/{_X}RelayEvidenceInfo/{_X}RelayEvidenceRefersTo"
    )
    if any(not 0 <= one < len(recipients) for one in (*refers_to, *untrusted)):
        raise IntegrityError(f"it refers to a recipient that is not there: it has {len(recipients)}")
    sender = root.find(_T + "SenderDetails")
    submitted = root.find(_T + "SubmissionTime")
    return Evidence(
        identifier=_text(root, _T + "EvidenceIdentifier"),
        event=event_name(_text(root, _T + "ERDSEventId")),
        reasons=tuple(
            reason_of(_text(one, "Code"), tuple(detail.text or "" for detail in one.iterfind("Details")))
            for one in root.iterfind(f"{_T}EventReasons/{_T}EventReason")
        ),
        event_time=xml_time(_text(root, "EventTime")),
        submission_time=None if submitted is None else xml_time(submitted.text or ""),
        policies=tuple(
            (one.text or "").strip() for one in root.iterfind(f"{_T}EvidenceIssuerPolicyID/PolicyID")
        ),
        issuer=_attribute(root.find(_T + "EvidenceIssuerDetails"), "LegalName"),
        sender=_address(sender),
        sender_identity=_identity(sender),
        recipients=recipients,
        refers_to=refers_to,
        message_id=_text(root, _T + "MessageIdentifier").strip("<>"),
        ua_message_id=_text(root, f"{_T}UserContentInfo/AppLayerIdentifier").strip("<>"),
        parts=tuple(_digest(one) for one in root.iterfind(f"{_T}UserContentInfo/{_T}PartsInfo/{_T}PartInfo")),
        subject=_text(root, f"{_T}Extensions/{_T}Extension/{_X}GeneralEvidenceInfo/{_X}Subject"),
        external_provider=_attribute(root.find(_T + "ExternalERDSDetails"), "LegalName"),
        forwarded_to=_text(root, "ForwardedToExternalSystem"),
        faults=_identity_faults((RemRecipient(_address(sender), _identity(sender)), *recipients)),
    )


def _text(element: Any, place: str) -> str:
    found = element.find(place)
    return "" if found is None else (found.text or "").strip()


def _address(user: Any) -> str:
    return _text(user, "Identifier").removeprefix("mailto:")


def _identity(user: Any) -> str:
    return _attribute(user, "PersonIdentifier")


def _attribute(details: Any, name: str) -> str:
    """An attribute of an identity (eIDAS SAML attribute profile), by the end of its name; else the first there is."""
    first = ""
    for one in details.iterfind(f"{_T}Identity/{_SAML}Attribute") if details is not None else ():
        value = _text(one, f"{_SAML}AttributeValue")
        if one.get("Name", "").rpartition("/")[2] == name:
            return value
        first = first or value
    return first


def _numbers(root: Any, place: str) -> tuple[int, ...]:
    """Positions from 0, of numbers from 1."""
    found = []
    for one in root.iterfind(place):
        text = (one.text or "").strip()
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise IntegrityError(f'"{text[:20]}" is no number of a recipient')
        found.append(int(text) - 1)
    return tuple(dict.fromkeys(found))


def _digest(part: Any) -> PartDigest:
    method, value = part.find(DS + "DigestMethod"), part.find(DS + "DigestValue")
    if method is None or value is None:
        return PartDigest(_text(part, "ContentType").lower(), "", b"")
    return PartDigest(
        _text(part, "ContentType").lower(), DIGESTS.get(method.get("Algorithm", ""), ""), xml_base64(value)
    )


def _identity_faults(people: tuple[RemRecipient, ...]) -> tuple[str, ...]:
    """What is wrong with identifiers made of addresses (EN 319 532-4 §C.3.4 h).

    Providers hash the address in lower case for the sender and as written for recipients: both are taken. Another
    kind of identifier says nothing of the address.
    """
    found = []
    for one in people:
        match = _HASHED.fullmatch(one.identity)
        if match is None or not one.address:
            continue
        forms = {one.address, one.address.lower()}
        if match[1] not in {hashlib.sha256(form.encode()).hexdigest().upper() for form in forms}:
            found.append(f'the identity of "{one.address}" is that of another address')
    return tuple(found)
