"""A PEC provider: takes messages in, seals envelopes and receipts (RFC 6109 §3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from archipec.pec.headers import first_field
from archipec.simulator.authority import LEAF_VALID, Authority, shared_authority
from archipec.simulator.breve import shortened
from archipec.simulator.certification import CertificationFacts
from archipec.simulator.mime import encoded_subject
from archipec.simulator.notices import (
    ACCEPTANCE,
    ANOMALY,
    DELIVERY,
    ENVELOPE,
    FAILURE,
    NON_ACCEPTANCE,
    TAKEN_IN_CHARGE,
    TIMEOUT,
    VIRUS_DETECTED,
    VIRUS_FAILURE,
    VIRUS_NON_ACCEPTANCE,
    Notice,
)
from archipec.simulator.seal import Sealer
from archipec.simulator.sending import Sending, read_original, receipt_identifier
from archipec.simulator.stream import Stream
from archipec.simulator.styles import ARUBA_2026, Style
from archipec.simulator.wrapping import Parcel, wrapped

_NO_MAILBOX = "5.1.1 - {organization} - indirizzo non valido"
_VIRUS = "5.5.1, {organization}, presenza di un virus nel messaggio"
_FORMAL = "5.6.0 - {organization} - violazione dei vincoli formali: indirizzo del mittente non corrispondente"
_LATE = {
    12: "4.4.1 - {organization} - il messaggio non è stato consegnato nelle prime dodici ore dal suo invio",
    24: "5.4.1 - {organization} - il messaggio non è stato consegnato nelle ventiquattro ore successive al suo invio",
}


class Provider:
    """Makes every system message of one PEC provider, sealed.

    Every method is a function of the provider's arguments and its own: called twice it gives the same bytes. Each
    takes the original as bytes or, so that the messages of one sending belong together, the `Sending` that `accept`
    made of it; the receipts of a recipient's provider are made by calling another Provider with that `Sending`.
    Times are aware; without one, a method adds to the time of acceptance what is usual for its message.

    Args:
        seed: fixes identifiers and boundaries.
        style: the engine whose way of writing to imitate.
        authority: who certifies this provider; by default one that all providers share.
        address: From of what it seals; `posta-certificata@` its domain by default.
        certified_address: the address in its certificate, if another than From: such a seal must be refused.
        valid: not before and not after of its certificate.
    """

    def __init__(
        self,
        seed: int = 0,
        style: Style = ARUBA_2026,
        *,
        authority: Authority | None = None,
        address: str | None = None,
        certified_address: str | None = None,
        valid: tuple[datetime, datetime] = LEAF_VALID,
    ) -> None:
        self.seed = seed
        self.style = style
        self.authority = shared_authority() if authority is None else authority
        self.address = f"posta-certificata@{style.domain}" if address is None else address
        self.certificate = self.authority.issue(
            organization=style.organization,
            address=certified_address or self.address,
            bits=style.key_bits,
            digest=style.certificate_digest,
            valid=valid,
        )
        """DER of the certificate that it seals with."""
        self._sealer = Sealer(
            self.authority.leaf_key(style.key_bits),
            self.certificate,
            (self.authority.ca,),
            style.digest,
            style.signed_attribute,
        )

    @property
    def root_pem(self) -> str:
        """The root to trust, in PEM."""
        return self.authority.root_pem

    def accept(
        self, original: bytes, when: datetime | None = None, *, external: Collection[str] = ()
    ) -> Sending:
        """Take a client's message in: give it its PEC identifier and note what will be certified.

        Args:
            original: any message.
            when: the time; the message's `Date:` by default.
            external: recipients' addresses that are not certified.
        """
        return read_original(original, self.style, self.seed, when, external)

    def envelope(
        self, sending: Sending | bytes, when: datetime | None = None, *, recipient: str | None = None
    ) -> bytes:
        """The transport envelope that a recipient finds, the first one by default (§3.1.5)."""
        sending, when = self._at(sending, when, seconds=1)
        facts = CertificationFacts(tipo=ENVELOPE.tipo, when=when, ricevuta=sending.receipt)
        headers = ["X-Attachment: yes"] if self.style.attachment_flag else []
        if self.style.tipo_ricevuta is not None:
            headers.append(f"{self.style.tipo_ricevuta}: {sending.receipt}")
        if first_field(sending.original, "Reply-To") is None:
            headers.append(f"Reply-To: {sending.sender}")
        author = f'"Per conto di: {sending.sender}" <{self.address}>'
        if self.style.sender:
            headers.append(f"Sender: {author}")
        parcel = Parcel(
            ENVELOPE,
            facts,
            author=author,
            recipient=recipient or sending.recipients[0],
            return_path=sending.sender,
            message_id=f"<{sending.identificativo}>",
            headers=headers,
            postacert=sending.postacert,
        )
        return self._seal(sending, parcel)

    def anomaly(
        self, message: Sending | bytes, when: datetime | None = None, *, recipient: str | None = None
    ) -> bytes:
        """The envelope around a message that is no valid PEC, without certification data (§3.2.2).

        A `Sending` gives the message that was handed in; to nest a whole PEC message, pass its bytes.
        """
        sending, when = self._at(message, when, seconds=2)
        facts = CertificationFacts(tipo="", when=when, errore_esteso="messaggio di posta ordinaria")
        parcel = Parcel(
            ANOMALY,
            facts,
            author=f'"Per conto di: {sending.sender}" <{self.address}>',
            recipient=recipient or sending.recipients[0],
            return_path=sending.sender,
            message_id=sending.msgid or f"<{sending.identificativo}>",
            headers=[f"Reply-To: {sending.sender}"],
            postacert=sending.original,
        )
        return self._seal(sending, parcel)

    def acceptance(self, sending: Sending | bytes, when: datetime | None = None) -> bytes:
        """The acceptance receipt (§3.1.4)."""
        sending, when = self._at(sending, when, seconds=1)
        facts = CertificationFacts(tipo=ACCEPTANCE.tipo, when=when, reply=not self.style.empty_reply)
        return self._to_sender(sending, ACCEPTANCE, facts, rem="SubmissionAcceptance")

    def non_acceptance(
        self, sending: Sending | bytes, when: datetime | None = None, *, reason: str = _FORMAL
    ) -> bytes:
        """The refusal for formal reasons (§3.1.2)."""
        sending, when = self._at(sending, when, seconds=1)
        facts = self._error(NON_ACCEPTANCE, when, "altro", reason)
        return self._to_sender(sending, NON_ACCEPTANCE, facts)

    def virus_non_acceptance(self, sending: Sending | bytes, when: datetime | None = None) -> bytes:
        """The refusal because of a virus (§3.1.3)."""
        sending, when = self._at(sending, when, seconds=1)
        facts = self._error(VIRUS_NON_ACCEPTANCE, when, "virus", _VIRUS)
        return self._to_sender(sending, VIRUS_NON_ACCEPTANCE, facts)

    def taken_in_charge(
        self,
        sending: Sending | bytes,
        when: datetime | None = None,
        *,
        recipients: Sequence[str] | None = None,
    ) -> bytes:
        """The receipt between providers for some recipients, all by default (§3.2.1)."""
        sending, when = self._at(sending, when, seconds=4)
        covered = sending.recipients if recipients is None else tuple(recipients)
        facts = CertificationFacts(tipo=TAKEN_IN_CHARGE.tipo, when=when, ricezione=covered)
        return self._to_provider(sending, TAKEN_IN_CHARGE, facts)

    def virus_detected(self, sending: Sending | bytes, when: datetime | None = None) -> bytes:
        """The notice between providers that a message in transit has a virus (§3.2.3)."""
        sending, when = self._at(sending, when, seconds=4)
        facts = self._error(VIRUS_DETECTED, when, "virus", _VIRUS)
        headers = [f"X-Mittente: {sending.sender}"]
        return self._to_provider(sending, VIRUS_DETECTED, facts, headers)

    def delivery(
        self,
        sending: Sending | bytes,
        recipient: str | None = None,
        when: datetime | None = None,
        *,
        receipt: str | None = None,
    ) -> bytes:
        """The delivery receipt for one recipient (§3.3.2).

        Args:
            sending: what was delivered.
            recipient: to whom; the first by default.
            when: the time of delivery.
            receipt: `completa`, `breve` or `sintetica`; by default what the client asked for. A complete receipt for
                a recipient in Cc leaves the original out, as the standard wants.
        """
        sending, when = self._at(sending, when, seconds=20)
        recipient = recipient or sending.recipients[0]
        receipt = receipt or sending.receipt
        original: bytes | None = None
        if receipt == "breve":
            original = shortened(sending.postacert)
        elif receipt == "completa" and (recipient in sending.to or recipient not in sending.cc):
            original = sending.postacert
        facts = CertificationFacts(tipo=DELIVERY.tipo, when=when, ricevuta=receipt, consegna=recipient)
        return self._to_sender(sending, DELIVERY, facts, original, rem="ContentConsignment")

    def failure(
        self,
        sending: Sending | bytes,
        recipient: str | None = None,
        when: datetime | None = None,
        *,
        errore: str = "altro",
        reason: str = _NO_MAILBOX,
    ) -> bytes:
        """The notice that delivery to one recipient failed (§3.3.3).

        Real engines report a missing mailbox as `altro` and say so in the reason alone, hence the defaults.
        """
        sending, when = self._at(sending, when, seconds=20)
        facts = self._error(FAILURE, when, errore, reason, recipient or sending.recipients[0])
        return self._to_sender(sending, FAILURE, facts)

    def virus_failure(
        self, sending: Sending | bytes, recipient: str | None = None, when: datetime | None = None
    ) -> bytes:
        """The notice that delivery to one recipient failed because of a virus (§3.2.4)."""
        sending, when = self._at(sending, when, seconds=20)
        facts = self._error(VIRUS_FAILURE, when, "virus", _VIRUS, recipient or sending.recipients[0])
        return self._to_sender(sending, VIRUS_FAILURE, facts)

    def timeout_notice(
        self,
        sending: Sending | bytes,
        recipient: str | None = None,
        when: datetime | None = None,
        *,
        hours: int = 12,
    ) -> bytes:
        """The notice after 12 or 24 hours without an outcome (§3.1.6); they differ in the reason alone.

        Raises:
            KeyError: `hours` is neither 12 nor 24.
        """
        sending, when = self._at(sending, when, seconds=hours * 3600)
        facts = self._error(TIMEOUT, when, "altro", _LATE[hours], recipient or sending.recipients[0])
        return self._to_sender(sending, TIMEOUT, facts)

    def _at(
        self, sending: Sending | bytes, when: datetime | None, *, seconds: int
    ) -> tuple[Sending, datetime]:
        if isinstance(sending, bytes):
            sending = self.accept(sending)
        return sending, sending.when + timedelta(seconds=seconds) if when is None else when

    def _error(
        self, notice: Notice, when: datetime, errore: str, reason: str, recipient: str | None = None
    ) -> CertificationFacts:
        words = reason.replace("{organization}", self.style.organization)
        return CertificationFacts(
            tipo=notice.tipo, when=when, errore=errore, consegna=recipient, errore_esteso=words
        )

    def _to_sender(
        self,
        sending: Sending,
        notice: Notice,
        facts: CertificationFacts,
        original: bytes | None = None,
        *,
        rem: str = "",
    ) -> bytes:
        headers = []
        if rem and self.style.rem_subject:
            headers.append(f"X-REM-Subject: {encoded_subject(f'REM {rem}: {sending.subject}')}")
        return self._seal(sending, self._receipt(sending, notice, facts, sending.sender, headers, original))

    def _to_provider(
        self, sending: Sending, notice: Notice, facts: CertificationFacts, headers: Sequence[str] = ()
    ) -> bytes:
        service = f"ricevute@{sending.identificativo.rpartition('@')[2]}"
        return self._seal(sending, self._receipt(sending, notice, facts, service, headers, None))

    def _receipt(
        self,
        sending: Sending,
        notice: Notice,
        facts: CertificationFacts,
        recipient: str,
        headers: Sequence[str],
        original: bytes | None,
    ) -> Parcel:
        stream = Stream("receipt", self.seed, self.style.name, sending.identificativo, notice.prefix, facts)
        acceptance = notice is ACCEPTANCE
        own_id = receipt_identifier(self.style, sending, facts.when, stream, acceptance=acceptance)
        return Parcel(
            notice,
            facts,
            author=self.address,
            recipient=recipient,
            return_path=self.address,
            message_id=f"<{own_id}>",
            headers=headers,
            postacert=original,
        )

    def _seal(self, sending: Sending, parcel: Parcel) -> bytes:
        stream = Stream("boundaries", self.seed, self.style.name, sending.identificativo, parcel.message_id)
        return wrapped(self.style, self._sealer, sending, parcel, stream)
