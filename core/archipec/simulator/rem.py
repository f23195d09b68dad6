"""A provider of REM: dispatches and receipts with signed, time-stamped evidences (ETSI EN 319 532-3, REM-Policy-IT).

Messages have the shape of those in AgID's example kit. As everything here they are fixed by seeds, keys included.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from archipec.pec.date import origin_date
from archipec.pec.headers import decoded_text, first_field, identifier, raw_text
from archipec.pec.rem.reasons import REASONS
from archipec.simulator.authority import LEAF_VALID, Authority
from archipec.simulator.clock import rfc_date
from archipec.simulator.mime import CRLF, base64_lines, encoded_subject, header, multipart, quoted_printable
from archipec.simulator.rem_evidence import EVENTS, POLICIES, SHA256, EventFacts, EvidenceSigner, evidence_xml
from archipec.simulator.rem_evidence import REASONS as REASON_URIS
from archipec.simulator.rem_stamp import StampAuthority, shared_stamps
from archipec.simulator.seal import Sealer
from archipec.simulator.sending import DEFAULT_WHEN
from archipec.simulator.stream import Stream

__all__ = ["REM_PROVIDERS", "RemProvider", "RemSending", "rem_authority"]

REM_PROVIDERS = (
    ("Esempio REM S.p.A.", "rem.example", "studio.example"),
    ("Prova Recapiti S.r.l.", "recapiti.example", "ufficio.example"),
)
"""(name, domain of the service, domain of its mailboxes) of each provider."""

_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"@]+@[^\s<>()\[\],;:\"@]+")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_MESSAGE_ID = re.compile(rb"^Message-ID[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_DEFAULT_REASONS = {
    "SubmissionAcceptance": "RA01",
    "SubmissionRejection": "RA03",
    "RelayAcceptance": "RB01",
    "RelayRejection": "RB21",
    "RelayFailure": "RB21",
    "ContentConsignment": "RD01",
    "ContentConsignmentFailure": "RD04",
    "RelayToNonERDS": "RF01",
    "RelayToNonERDSFailure": "RF02",
    "ReceivedFromNonERDS": "RF04",
}
_TYPE = "http://uri.etsi.org/19522/v1#/ERDMessageType/"


@lru_cache(maxsize=4)
def rem_authority(seed: int = 0) -> Authority:
    """The authority that certifies the providers of REM: below the root of `shared_authority`, with names of its own."""
    return Authority(seed, [domain for _, domain, _ in REM_PROVIDERS], [name for name, _, _ in REM_PROVIDERS])


@dataclass(frozen=True, slots=True)
class RemSending:
    """A message that a provider of REM took in.

    Attributes:
        original: as it is attached to the dispatch, CRLF line ends.
        when: the time of acceptance, aware.
        message_id: that the provider gave it, without angle brackets; each evidence states it.
        ua_message_id: the client's Message-ID, likewise; empty when it set none.
        sender, recipients: addresses.
        external: those recipients whose mailboxes are ordinary.
        subject: decoded.
        evidence_id: of the evidence in the dispatch.
    """

    original: bytes
    when: datetime
    message_id: str
    ua_message_id: str
    sender: str
    recipients: tuple[str, ...]
    external: frozenset[str]
    subject: str
    evidence_id: str

    @property
    def digest(self) -> bytes:
        """SHA-256 of the original."""
        return hashlib.sha256(self.original).digest()


class RemProvider:
    """Makes every message of one provider of REM, sealed.

    Args:
        seed: fixes identifiers and boundaries.
        number: which of `REM_PROVIDERS` it is.
        authority: who certifies it.
        stamps: who stamps its evidences; None for evidences without a time stamp.
        valid: not before and not after of its certificate.
    """

    def __init__(
        self,
        seed: int = 0,
        number: int = 0,
        *,
        authority: Authority | None = None,
        stamps: StampAuthority | str | None = "shared",
        valid: tuple[datetime, datetime] = LEAF_VALID,
    ) -> None:
        self.seed = seed
        self.name, self.domain, self.mailboxes = REM_PROVIDERS[number]
        self.authority = rem_authority() if authority is None else authority
        self.address = f"rem-service@{self.domain}"
        self.certificate = self.authority.issue(organization=self.name, address=self.address, valid=valid)
        """DER of the certificate that it seals with."""
        key, issuers = self.authority.leaf_key(2048), (self.authority.ca,)
        self.stamps = shared_stamps() if isinstance(stamps, str) else stamps
        self.evidences = EvidenceSigner(key, self.certificate, issuers, self.stamps)
        self._sealer = Sealer(key, self.certificate, issuers, "sha256")

    def accept(
        self, original: bytes, when: datetime | None = None, *, external: Sequence[str] = ()
    ) -> RemSending:
        """Take a client's message in.

        Args:
            original: any message.
            when: the time; the message's `Date:` by default.
            external: recipients' addresses that are not certified.
        """
        if original.count(b"\n") != original.count(b"\r\n"):
            original = _BARE_LF.sub(b"\r\n", original)
        when = when or origin_date(original) or DEFAULT_WHEN
        stream = Stream("rem sending", self.seed, self.domain, when.isoformat(), original)
        message_id = self._identifier(stream)
        ua = identifier(raw_text(first_field(original, "Message-ID") or b"")) or ""
        senders = _addresses(original, "From")
        recipients = dict.fromkeys((*_addresses(original, "To"), *_addresses(original, "Cc")))
        return RemSending(
            original=_attached(original, message_id, ua),
            when=when,
            message_id=message_id,
            ua_message_id=ua,
            sender=senders[0] if senders else f"mittente@{self.mailboxes}",
            recipients=tuple(recipients) or (f"destinatario@{self.mailboxes}",),
            external=frozenset(external),
            subject=decoded_text(first_field(original, "Subject") or b""),
            evidence_id=self._identifier(stream),
        )

    def dispatch(
        self,
        sending: RemSending | bytes,
        when: datetime | None = None,
        *,
        event: str = "SubmissionAcceptance",
    ) -> bytes:
        """The message that a recipient finds: the original with the evidence that it was accepted.

        Args:
            event: `ReceivedFromNonERDS` for ordinary mail that the provider took in.
        """
        sending = self._taken(sending)
        facts = replace(self.facts(sending, event, when=when or sending.when), identifier=sending.evidence_id)
        return self.sealed(sending, facts, self.signed(facts), original=sending.original)

    def receipt(
        self,
        sending: RemSending | bytes,
        event: str,
        *,
        reason: str = "",
        refers_to: Sequence[int] = (),
        when: datetime | None = None,
        other: str = "",
    ) -> bytes:
        """A receipt of an event, to the sender.

        Args:
            event: its name, `ContentConsignment`.
            reason: its code; the usual one by default.
            refers_to: numbers of the recipients that it concerns, from 1; for a consignment the first by default.
            other: name of the other provider.
        """
        sending = self._taken(sending)
        if not refers_to and event.startswith("ContentConsignment"):
            refers_to = (1,)
        facts = self.facts(
            sending,
            event,
            reason=reason,
            refers_to=refers_to,
            when=when or sending.when + timedelta(seconds=1 if event.startswith("Submission") else 20),
            other=other,
        )
        return self.sealed(sending, facts, self.signed(facts))

    def facts(
        self,
        sending: RemSending,
        event: str,
        *,
        when: datetime,
        reason: str = "",
        refers_to: Sequence[int] = (),
        other: str = "",
    ) -> EventFacts:
        """What the evidence of an event states; arguments as of `receipt`."""
        code = reason or _DEFAULT_REASONS[event]
        stream = Stream(
            "rem evidence", self.seed, self.domain, sending.message_id, event, code, refers_to, when
        )
        concerned = [sending.recipients[number - 1] for number in refers_to]
        return EventFacts(
            identifier=self._identifier(stream),
            event=event,
            reasons=((code, REASONS[code].name),),
            when=when,
            submitted=sending.when,
            issuer=self.name,
            sender=sending.sender,
            recipients=sending.recipients,
            refers_to=tuple(refers_to),
            identities=frozenset(concerned if event.startswith("Content") else ()),
            untrusted=tuple(
                number for number, one in enumerate(sending.recipients, 1) if one in sending.external
            ),
            external_provider=other,
            forwarded_to="mx.ordinaria.example" if event.startswith("RelayToNon") else "",
            message_id=sending.message_id,
            ua_message_id=sending.ua_message_id,
            digest=sending.digest,
            subject=sending.subject,
        )

    def signed(self, facts: EventFacts) -> bytes:
        """The evidence with signature and time stamp."""
        late = Stream("rem stamp", self.seed, facts.identifier).between(2, 90)
        return self.evidences.sign(evidence_xml(facts), facts.when, facts.when + timedelta(seconds=late))

    def sealed(
        self, sending: RemSending, facts: EventFacts, evidence: bytes, *, original: bytes | None = None
    ) -> bytes:
        """The whole message: header, parts, seal."""
        stream = Stream("rem message", self.seed, facts.identifier, facts.event, facts.when)
        entity = self.entity(facts, evidence, original, stream)
        return self.seal(entity, self.head(sending, facts, dispatch=original is not None), facts.when)

    def seal(self, entity: bytes, head: bytes, when: datetime) -> bytes:
        """A message of a header and an entity, with the seal over that.

        Args:
            entity: what is sealed, CRLF line ends, without the one before the boundary.
            head: header lines; those of MIME are added.
        """
        mark = f"----=_Part_{hashlib.sha256(entity).hexdigest()[:24]}"
        p7s = header(
            (
                "Content-Type: application/pkcs7-signature; name=smime.p7s; smime-type=signed-data",
                "Content-Transfer-Encoding: base64",
                'Content-Disposition: attachment; filename="smime.p7s"',
            )
        )
        body = multipart(
            mark,
            (entity, p7s + CRLF + base64_lines(self._sealer.seal(entity, when))),
            "This is a multi-part message in MIME format.",
        )
        lines = (
            "MIME-Version: 1.0",
            'Content-Type: multipart/signed; protocol="application/pkcs7-signature";',
            f'\tmicalg=sha-256; boundary="{mark}"',
        )
        return head + header(lines) + CRLF + body

    def head(self, sending: RemSending, facts: EventFacts, *, dispatch: bool) -> bytes:
        """The header of a message, without that of MIME."""
        recipient = sending.recipients[0] if dispatch else sending.sender
        stream = Stream("rem head", self.seed, facts.identifier, facts.event)
        own = sending.message_id if dispatch else self._identifier(stream)
        prefix = "REM Dispatch" if dispatch else f"REM {facts.event}"
        lines = [
            f"Return-Path: <{sending.sender if dispatch else self.address}>",
            f"Received: from node.{self.domain} by mx.{recipient.rpartition('@')[2]} id {stream.hex(16).upper()}",
            f"\tfor <{recipient}>; {rfc_date(facts.when)}",
        ]
        lines += (
            [f"Reply-To: <{sending.sender}>", f'From: "On behalf of: {sending.sender}" <{self.address}>']
            if dispatch
            else [f"From: <{self.address}>"]
        )
        lines += [
            f"To: {', '.join(f'<{one}>' for one in sending.recipients)}"
            if dispatch
            else f"To: <{sending.sender}>",
            f"Subject: {encoded_subject(f'{prefix}: {sending.subject}')}",
            f"Date: {rfc_date(facts.when)}",
            f"Message-ID: <{own}>",
            "REM-MetadataVersion: EN31953203V010201",
            *(f"REM-ApplicablePolicy: {one}" for one in POLICIES),
            f"REM-MessageType: {_TYPE}{'dispatch' if dispatch else 'receipt'}",
            f"REM-DigestAlgorithm: {SHA256}",
            f"REM-DigestValue: {base64_lines(facts.digest).decode('ascii').strip()}",
            f"REM-UAMessageIdentifier: <{facts.ua_message_id}>",
            f"REM-EventIdentifier: {EVENTS}{facts.event}",
            f"REM-Evidence-ID: <{facts.identifier}>",
            *(f"REM-ReasonIdentifier: {REASON_URIS}{name}" for _, name in facts.reasons),
            f"REM-MD08: <{sending.sender}>",
        ]
        if not facts.ua_message_id:
            lines.remove("REM-UAMessageIdentifier: <>")
        return header(lines)

    def entity(self, facts: EventFacts, evidence: bytes, original: bytes | None, stream: Stream) -> bytes:
        """What is sealed: introduction, original, evidence."""
        codes = ", ".join(code for code, _ in facts.reasons)
        words = (
            f'REM {facts.event} ({codes})\r\n\r\nIl messaggio con oggetto "{facts.subject}" inviato da'
            f' "{facts.sender}" ed indirizzato a:\r\n' + "\r\n".join(facts.recipients) + "\r\n\r\n"
            f"Identificativo messaggio: {facts.message_id}\r\nGestore: {facts.issuer}\r\n"
        )
        inner = f"----=_Part_{stream.hex(24)}"
        introduction = (
            header(
                (
                    "REM-Section-Type: rem_message/introduction",
                    f'Content-Type: multipart/alternative; boundary="{inner}"',
                )
            )
            + CRLF
        )
        text = header(
            ('Content-Type: text/plain; charset="UTF-8"', "Content-Transfer-Encoding: quoted-printable")
        )
        parts = [
            introduction
            + multipart(inner, (text + CRLF + quoted_printable(words.encode("utf-8", "replace")),))
        ]
        if original is not None:
            lines = (
                "Content-Type: message/rfc822; name=AttachedMimeMessage",
                "Content-Transfer-Encoding: binary",
                "Content-Disposition: attachment; filename=AttachedMimeMessage",
                "REM-Section-Type: rem_message/original",
            )
            parts.append(header(lines) + CRLF + original)
        lines = (
            f'Content-Type: application/xml; charset=UTF-8; name="{facts.event}.xml"',
            "Content-Transfer-Encoding: base64",
            f'Content-Disposition: attachment; filename="{facts.event}.xml"',
            "REM-Section-Type: rem_message/xml_evidence",
        )
        parts.append(header(lines) + CRLF + base64_lines(evidence))
        outer = f"----=_Part_{stream.hex(24)}"
        head = header((f'Content-Type: multipart/mixed; boundary="{outer}"',))
        return head + CRLF + multipart(outer, parts)

    def _taken(self, sending: RemSending | bytes) -> RemSending:
        return self.accept(sending) if isinstance(sending, bytes) else sending

    def _identifier(self, stream: Stream) -> str:
        return ".".join(stream.hex(8).upper() for _ in range(4)) + f".rem-service@{self.domain}"


def _addresses(original: bytes, name: str) -> tuple[str, ...]:
    return tuple(_ADDRESS.findall(raw_text(first_field(original, name) or b"")))


def _attached(original: bytes, message_id: str, ua: str) -> bytes:
    """The original with the provider's Message-ID, the client's kept beside it."""
    head, blank, body = original.partition(b"\r\n\r\n")
    ids = [f"Message-ID: <{message_id}>"]
    if ua:
        ids.append(f"REM-UAMessageIdentifier: <{ua}>")
    new, replaced = _MESSAGE_ID.subn(header(ids).replace(b"\\", rb"\\"), head + b"\r\n", count=1)
    if not replaced:
        new += header(ids)
    return new + (blank[2:] or b"\r\n") + body
