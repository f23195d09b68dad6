"""A whole mailbox of a PEC user: what arrives, what is sent, and every receipt that follows."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Final, TypedDict, Unpack

from archipec.pec import kind as kinds
from archipec.pec.headers import first_field, raw_text
from archipec.simulator.authority import Authority
from archipec.simulator.clock import rfc_date
from archipec.simulator.mime import header
from archipec.simulator.originals import Attachment, compose, pseudo_pdf
from archipec.simulator.provider import Provider
from archipec.simulator.rem import RemSending
from archipec.simulator.rem_mailbox import REM_EVENTS, REM_WEIGHTS, RemCorrespondence
from archipec.simulator.sending import Sending
from archipec.simulator.stream import Stream
from archipec.simulator.styles import ARUBA_2026, STYLES, Style

OFFICE: Final[Mapping[str, int]] = MappingProxyType(
    {
        "received": 40,
        "forwarded": 1,
        "sent": 30,
        "to-self": 1,
        "external": 2,
        "failed": 2,
        "virus": 1,
        "late": 1,
        "refused": 1,
        "anomaly": 4,
        "ordinary": 3,
        "stray": 1,
    }
)
"""How often what happens in an office's mailbox, as weights: the default of `mailbox`.

`received` an envelope · `forwarded` one that holds a whole PEC message · `sent` copy, acceptance, one to three
deliveries · `to-self` the same with its envelope · `external` copy, acceptance, no delivery · `failed`, `virus` copy,
acceptance, failure · `late` copy, acceptance, the notices of 12 and 24 hours · `refused` copy, non-acceptance ·
`anomaly` ordinary mail let in · `ordinary` the provider's own mail · `stray` a message that belongs between providers.
"""

_START, _END = datetime(2023, 10, 1, 7, tzinfo=UTC), datetime(2026, 9, 30, 17, tzinfo=UTC)
MIXED: Final[Mapping[str, int]] = MappingProxyType({**OFFICE, **REM_WEIGHTS})
"""The same beside what happens by REM, in one mailbox: see `rem_mailbox.REM_WEIGHTS`."""

_SEALED = 9000  # about what a sealed message weighs without its original
_SUBJECTS = (
    "Fattura n. {n}/2026",
    "Trasmissione documentazione pratica {n}",
    "Richiesta di accesso agli atti - prot. {n}",
    "Sollecito di pagamento fattura {n}",
    "Perché la pratica {n} è ancora in attesa",
    "Convocazione assemblea ordinaria dei soci",
    "Diffida ad adempiere - rif. {n}",
    "Re: contratto di fornitura n. {n}, osservazioni sulla bozza e richiesta di proroga dei termini di consegna",
    "Comunicazione variazione IBAN",
    "Notifica ai sensi della L. 53/1994 - R.G. {n}",
)
_OFFICES = ("protocollo", "amministrazione", "segreteria", "ufficio.legale", "fatture", "direzione", "gare")
_TEXT = (
    "Buongiorno,\nin allegato quanto in oggetto, pratica n. {n}.\nÈ gradita conferma.\n\nCordiali saluti\n"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One message of a simulated mailbox.

    Attributes:
        kind: as `kind_of` tells it; a copy of a sent message is `ordinaria`.
        raw: the message, CRLF line ends.
        folder: the IMAP folder where it lies.
        received: when it arrived there, aware, whole seconds.
        message_id: its own Message-ID with brackets, or None.
        identificativo: the PEC identifier of its sending, or what identifies that by REM, or None.
        msgid: the client's Message-ID of that sending with brackets, or None.
    """

    kind: str
    raw: bytes
    folder: str
    received: datetime
    message_id: str | None
    identificativo: str | None = None
    msgid: str | None = None


class MailboxFields(TypedDict, total=False):
    """What a mailbox may be besides.

    Attributes:
        style: of the mailbox's own provider.
        mix: see `OFFICE` and `MIXED`; a mix of one is as good.
        address: of the mailbox.
        start, end: the time over which the messages spread, aware; October 2023 to September 2026.
        authority: who certifies the providers; by default `shared_authority()`, whose root is the one to trust.
    """

    style: Style
    mix: Mapping[str, int]
    address: str | None
    start: datetime
    end: datetime
    authority: Authority | None


def mailbox(
    count: int,
    seed: int = 0,
    size: int = 20_000,
    **fields: Unpack[MailboxFields],
) -> Iterator[Sample]:
    """The messages of one mailbox in the order in which they arrived, made while they are asked for.

    The correspondents are with providers of every style. Near the end some receipts are missing, as they are in any
    mailbox.

    Args:
        count: how many.
        seed: another seed is another mailbox.
        size: mean size in bytes, reached by attachments. A sealed message without any weighs 7 to 11 KB, so that a
            smaller mean is not reached.

    Raises:
        KeyError: `mix` names something that does not happen.
        IndexError: `mix` has no weight at all.
    """
    style = fields.get("style", ARUBA_2026)
    address = fields.get("address") or f"studio@{style.mailboxes}"
    return _Mailbox(seed, size, style, address, fields.get("authority")).samples(
        count, fields.get("mix", OFFICE), fields.get("start", _START), fields.get("end", _END)
    )


class _Mailbox:
    def __init__(self, seed: int, size: int, style: Style, address: str, authority: Authority | None) -> None:
        self._stream = Stream("mailbox", seed, size, style.name, address)
        self._size = size
        self._address = address
        self._own = Provider(seed, style, authority=authority)
        self._others = [Provider(seed, other, authority=authority) for other in STYLES]
        self._bytes = 0
        self._made = 0
        # What can happen, how many messages it makes and how many of them hold the original.
        self._events: dict[str, tuple[Callable[[datetime], Iterator[Sample]], int, int]] = {
            "received": (self._received, 1, 1),
            "forwarded": (self._forwarded, 1, 1),
            "sent": (self._sent, 4, 3),
            "to-self": (self._to_self, 4, 3),
            "external": (self._external, 2, 1),
            "failed": (self._failed, 3, 1),
            "virus": (self._virus, 3, 1),
            "late": (self._late, 4, 1),
            "refused": (self._refused, 2, 1),
            "anomaly": (self._anomaly, 1, 1),
            "ordinary": (self._ordinary, 1, 1),
            "stray": (self._stray, 1, 0),
        }
        self._events |= {name: (partial(self._by_rem, name), *counts) for name, counts in REM_EVENTS.items()}
        self._rem: RemCorrespondence | None = None
        self._seed = seed
        self._event = ""

    def samples(self, count: int, mix: Mapping[str, int], start: datetime, end: datetime) -> Iterator[Sample]:
        """The first `count` messages, in the order of arrival."""
        wheel = [name for name, weight in mix.items() for _ in range(weight)]
        step = max(int((end - start).total_seconds()) // max(count, 1), 1)
        waiting: list[tuple[datetime, int, Sample]] = []
        done = 0
        while done < count:
            offset = self._made * step - self._stream.below(step)
            time = start.replace(microsecond=0) + timedelta(seconds=max(offset, 0))
            while done < count and waiting and waiting[0][0] <= time:
                yield heapq.heappop(waiting)[2]
                done += 1
            self._event = self._stream.pick(wheel)
            for sample in self._events[self._event][0](time):
                self._bytes += len(sample.raw)
                self._made += 1
                heapq.heappush(waiting, (sample.received, self._made, sample))

    def _received(self, time: datetime) -> Iterator[Sample]:
        sender = self._other()
        sending = sender.accept(self._compose(time, self._correspondent(sender), self._address), time)
        when = time + timedelta(seconds=1)
        yield self._sample(sender.envelope(sending, when, recipient=self._address), when, sending)

    def _forwarded(self, time: datetime) -> Iterator[Sample]:
        sender, first = self._other(), self._other()
        inner = first.envelope(self._compose(time, self._correspondent(first), self._correspondent(sender)))
        attachment = Attachment("inoltrata.eml", inner, "message/rfc822")
        original = self._compose(time, self._correspondent(sender), self._address, attachment=attachment)
        sending = sender.accept(original, time)
        when = time + timedelta(seconds=1)
        yield self._sample(sender.envelope(sending, when, recipient=self._address), when, sending)

    def _sent(self, time: datetime) -> Iterator[Sample]:
        others = [self._other() for _ in range(self._stream.pick((1, 1, 1, 2, 3)))]
        recipients = tuple(dict.fromkeys(self._correspondent(other) for other in others))
        receipt = self._stream.pick((None, None, None, None, "breve", "sintetica"))
        sending, copies = self._send(time, *recipients, receipt=receipt)
        yield from copies
        for other, recipient in zip(others, recipients, strict=False):
            when = time + timedelta(seconds=self._stream.between(5, 240))
            yield self._sample(other.delivery(sending, recipient, when), when, sending)

    def _to_self(self, time: datetime) -> Iterator[Sample]:
        sending, copies = self._send(time, self._address)
        yield from copies
        when = time + timedelta(seconds=3)
        yield self._sample(self._own.envelope(sending, when), when, sending)
        yield self._sample(self._own.delivery(sending, when=when), when, sending)

    def _external(self, time: datetime) -> Iterator[Sample]:
        yield from self._send(time, self._outsider(), external=True)[1]

    def _failed(self, time: datetime) -> Iterator[Sample]:
        other = self._other()
        sending, copies = self._send(time, self._correspondent(other))
        yield from copies
        when = time + timedelta(seconds=30)
        yield self._sample(other.failure(sending, when=when), when, sending)

    def _virus(self, time: datetime) -> Iterator[Sample]:
        other = self._other()
        sending, copies = self._send(time, self._correspondent(other))
        yield from copies
        when = time + timedelta(seconds=40)
        yield self._sample(other.virus_failure(sending, when=when), when, sending)

    def _late(self, time: datetime) -> Iterator[Sample]:
        sending, copies = self._send(time, self._correspondent(self._other()))
        yield from copies
        for hours in (12, 24):
            when = time + timedelta(hours=hours, seconds=7)
            yield self._sample(self._own.timeout_notice(sending, when=when, hours=hours), when, sending)

    def _refused(self, time: datetime) -> Iterator[Sample]:
        original = self._compose(time, self._address, self._correspondent(self._other()))
        sending = self._own.accept(original, time)
        yield self._copy(original, time)
        refuse = self._stream.pick((self._own.non_acceptance, self._own.virus_non_acceptance))
        yield self._sample(refuse(sending), time + timedelta(seconds=1), sending)

    def _anomaly(self, time: datetime) -> Iterator[Sample]:
        if self._stream.below(5):
            message = self._compose(time, self._outsider(), self._address)
        else:  # the envelope of one's own message, come back
            original = self._compose(time, self._address, self._outsider())
            message = self._own.envelope(self._own.accept(original, time))
        when = time + timedelta(seconds=2)
        yield self._sample(self._own.anomaly(message, when, recipient=self._address), when)

    def _ordinary(self, time: datetime) -> Iterator[Sample]:
        domain = self._own.style.domain
        received = (
            f"Return-Path: <assistenza@{domain}>",
            f"Received: from web.{domain} (web.{domain} [192.0.2.9])",
            f"\tby mx.{domain} with ESMTP id {self._stream.hex(11)}; {rfc_date(time)}",
        )
        raw = header(received) + self._compose(time, f"assistenza@{domain}", self._address)
        yield self._sample(raw, time)

    def _stray(self, time: datetime) -> Iterator[Sample]:
        other = self._other()
        original = compose(self._address, [self._correspondent(other)], self._subject(), when=time)
        sending = self._own.accept(original, time)
        make = self._stream.pick((other.taken_in_charge, other.virus_detected))
        yield self._sample(make(sending), time + timedelta(seconds=4), sending)

    def _by_rem(self, event: str, moment: datetime) -> Iterator[Sample]:
        if self._rem is None:
            self._rem = RemCorrespondence(self._seed, self._address, self._stream, self._compose)
        for made in self._rem.happen(event, moment, self._other()):
            if made.sending is None:
                yield self._copy(made.raw, made.when)
            else:
                yield self._sample(made.raw, made.when, made.sending)

    def _send(
        self, time: datetime, *recipients: str, receipt: str | None = None, external: bool = False
    ) -> tuple[Sending, tuple[Sample, Sample]]:
        """A message from this mailbox, and what every sending leaves there: the copy and the acceptance."""
        original = self._compose(time, self._address, *recipients, receipt=receipt)
        sending = self._own.accept(original, time, external=recipients if external else ())
        when = time + timedelta(seconds=1)
        acceptance = self._sample(self._own.acceptance(sending, when), when, sending)
        return sending, (self._copy(original, time), acceptance)

    def _compose(
        self,
        time: datetime,
        sender: str,
        *recipients: str,
        receipt: str | None = None,
        attachment: Attachment | None = None,
    ) -> bytes:
        n = str(self._stream.between(1, 9999))
        if attachment is None:
            payload = self._payload()
            attachments = [pseudo_pdf(self._stream, payload)] if payload else []
        else:
            attachments = [attachment]
        return compose(
            sender,
            recipients[:2],
            self._subject(),
            _TEXT.replace("{n}", n),
            cc=recipients[2:],
            attachments=attachments,
            when=time,
            # Some clients write raw 8-bit bytes into headers, and some set no Message-ID.
            headers=("Organization: Societ\udce0 Esempio",) if self._stream.below(20) == 0 else (),
            message_id=None if self._stream.below(40) == 0 else f"<{self._stream.hex(20)}@client.example>",
            receipt=receipt,
        )

    def _payload(self) -> int:
        """Bytes of the next attachment, 0 for none, so that the mean size comes near the one asked for."""
        _, messages, holders = self._events[self._event]
        budget = self._size * (self._made + messages) - self._bytes - _SEALED * messages
        wanted = budget // max(holders, 1) * self._stream.pick((25, 50, 75, 100, 100, 150, 200)) // 100
        return wanted * 73 // 100 if wanted > 500 else 0  # base64 makes 137 bytes of 100

    def _sample(self, raw: bytes, received: datetime, sending: Sending | RemSending | None = None) -> Sample:
        message_id = first_field(raw, "Message-ID")
        identificativo = msgid = None
        if isinstance(sending, RemSending):
            identificativo = sending.message_id
            msgid = f"<{sending.ua_message_id}>" if sending.ua_message_id else None
        elif sending is not None:
            identificativo, msgid = sending.identificativo, sending.msgid
        own = raw_text(message_id) if message_id else None
        return Sample(kinds.kind_of(raw), raw, "INBOX", received, own, identificativo, msgid)

    def _copy(self, original: bytes, time: datetime) -> Sample:
        message_id = first_field(original, "Message-ID")
        text = raw_text(message_id) if message_id else None
        return Sample(kinds.ORDINARIA, original, self._own.style.sent_folder, time, text, None, text)

    def _other(self) -> Provider:
        return self._stream.pick(self._others)

    def _correspondent(self, provider: Provider) -> str:
        return f"{self._stream.pick(_OFFICES)}{self._stream.between(1, 60)}@{provider.style.mailboxes}"

    def _outsider(self) -> str:
        return f"{self._stream.pick(_OFFICES)}{self._stream.between(1, 60)}@posta-ordinaria.example"

    def _subject(self) -> str:
        return self._stream.pick(_SUBJECTS).replace("{n}", str(self._stream.between(1, 9999)))
