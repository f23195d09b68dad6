"""What was sent and what became of it: every sending with its acceptance and, for each recipient, its outcome.

Everybody can write a message that looks like a receipt, so only what a valid seal certifies counts; the rest is
shown as not proven. Nothing here reads mail: the records are what was learnt of it when it was judged.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from archipec.language import N_, pgettext
from archipec.message import ContentKey
from archipec.pec import kind as kinds
from archipec.pec.breve import Check
from archipec.pec.daticert import Destinatario

__all__ = [
    "ATTENTION",
    "BY_WEIGHT",
    "HandledMark",
    "MessageRecord",
    "Outcome",
    "Recipient",
    "Sent",
    "SentFrom",
    "Transaction",
    "TransactionProblem",
    "with_checks",
]


class Outcome(enum.StrEnum):
    """What became of a sending, or of it for one recipient."""

    REFUSED = "refused"
    FAILED = "failed"
    VIRUS = "virus"
    TIMED_OUT = "timed-out"
    """Not delivered within 24 hours, says the provider."""
    UNPROVEN = "unproven"
    """Only messages without a valid seal say what became of it."""
    MISSING = "missing"
    """A receipt that should be there by now is not."""
    WAITING = "waiting"
    DELIVERED = "delivered"
    ORDINARY = "ordinary"
    """Accepted for a mailbox that is not certified: no legal delivery, and no receipt will come."""
    RECEIVED = "received"


_WORDS: Final = {
    Outcome.REFUSED: N_("refused", "message"),
    Outcome.FAILED: N_("failed", "message"),
    Outcome.VIRUS: N_("virus", "message"),
    Outcome.TIMED_OUT: N_("timed-out", "message"),
    Outcome.UNPROVEN: N_("unproven", "message"),
    Outcome.MISSING: N_("missing", "message"),
    Outcome.WAITING: N_("waiting", "message"),
    Outcome.DELIVERED: N_("delivered", "message"),
    Outcome.ORDINARY: N_("ordinary", "message"),
    Outcome.RECEIVED: N_("received", "message"),
}

BY_WEIGHT: Final = tuple(Outcome)
"""Outcomes, those first that most need a look."""

ATTENTION: Final = frozenset(BY_WEIGHT[: BY_WEIGHT.index(Outcome.WAITING)])
"""The outcomes that somebody has to look at."""


def outcome_word(outcome: Outcome) -> str:
    """Return an outcome as a person reads it, in one word."""
    return pgettext("message", _WORDS[outcome])


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """What is known of one stored message.

    Attributes:
        number: names it for the caller.
        key: of its bytes.
        kind: as `Inspection.kind`.
        seal: status of its seal; reason: that verdict as text.
        date: aware; certified where the seal is valid.
        identificativo, msgid, message_id, riferimento: identifiers without angle brackets, empty when absent.
        mittente, oggetto, destinatari: of the original.
        gestore, errore, errore_esteso, ricevuta, consegna: of the certification data, empty when absent.
        system: `pec` or `rem`, empty for what is of neither.
        event, reasons: of REM: the event's name, and the codes of why it happened.
        concerned: of REM, the recipients that the event is about.
        digest: of REM, the SHA-256 of the original that the evidence states, in hexadecimal digits.
        original: whether the original, or in a short receipt what is left of it, is inside.
        in_reply_to: the identifier that a message, or the original inside an envelope, answers, empty for none.
        mended: what had to be put right in the certification data to read it, one sentence each.
        outside: names of what lies in the message beside what its seal covers.
    """

    number: int
    key: ContentKey
    kind: str
    seal: str
    reason: str = ""
    date: datetime | None = None
    identificativo: str = ""
    msgid: str = ""
    message_id: str = ""
    riferimento: str = ""
    mittente: str = ""
    oggetto: str = ""
    destinatari: tuple[Destinatario, ...] = ()
    gestore: str = ""
    errore: str = ""
    errore_esteso: str = ""
    ricevuta: str = ""
    consegna: str = ""
    system: str = ""
    event: str = ""
    reasons: tuple[str, ...] = ()
    concerned: tuple[str, ...] = ()
    digest: str = ""
    original: bool = False
    in_reply_to: str = ""
    mended: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What tells it from other messages, whichever archive or mailbox it is from."""
        return self.message_id or self.key.sha256

    @property
    def proven(self) -> bool:
        """Whether a provider vouches for it, by a valid seal over certification data that can be read."""
        return self.seal == "valid" and bool(self.identificativo)

    @property
    def is_about_sending(self) -> bool:
        """Whether it tells a sender something about what was sent."""
        if self.kind in kinds.PROGRESS:
            return self.system == kinds.REM
        return self.kind in kinds.ACCEPTANCES | kinds.OUTCOMES

    @property
    def about(self) -> tuple[str, ...]:
        """The recipients that it is about; none where it does not say so.

        A delivery is about one of them (ETSI EN 319 522-3 §5.2.5): one that names several says nothing of any.
        """
        if not self.concerned:
            return (self.consegna,) if self.consegna else ()
        return self.concerned if self.kind != kinds.AVVENUTA_CONSEGNA or len(self.concerned) == 1 else ()

    @property
    def is_complete(self) -> bool:
        """Whether it is a delivery receipt that repeats the whole original (RFC 6109 §3.3.2)."""
        return self.kind == kinds.AVVENUTA_CONSEGNA and self.ricevuta == "completa" and self.original

    @property
    def is_sendable(self) -> bool:
        """Whether it may be the copy of a sent message: what a provider made never is."""
        return self.kind in kinds.UNSEALED


class SentFrom(enum.StrEnum):
    """Where what was sent is found."""

    COPY = "copy"
    RECEIPT = "receipt"
    ENVELOPE = "envelope"


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent.

    Attributes:
        record: the copy of the sent message, or the receipt or envelope that has it inside.
        where: which of these.
        heuristic: matched by sender, subject and time alone, for want of an identifier.
    """

    record: MessageRecord
    where: SentFrom
    heuristic: bool = False


class TransactionProblem(NamedTuple):
    """Something that somebody has to look at.

    Attributes:
        code: names it, the same in every language and version.
        text: one sentence, in the language that is spoken.
        about: what makes it this one among those of its code: the message that shows it, and what there is in that.
    """

    code: str
    text: str
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """What became of a sending for one recipient.

    Attributes:
        address: as certified.
        tipo: `certificato`, `esterno`, or empty for one that only a receipt names.
        outcome: what the proven receipts say.
        decisive: the receipt that says so, None when it is their absence.
        receipts: all that are proven, oldest first.
        problems: what somebody has to look at; notes: what is good to know, one sentence each.
        check: the comparison of a short delivery receipt with the original, None when none was made.
    """

    address: str
    tipo: str
    outcome: Outcome
    decisive: MessageRecord | None = None
    receipts: tuple[MessageRecord, ...] = ()
    problems: tuple[TransactionProblem, ...] = ()
    notes: tuple[str, ...] = ()
    check: Check | None = None


class HandledMark(NamedTuple):
    """A person's word that what is wrong with a transaction was dealt with.

    Attributes:
        at: aware.
        concerns: what was wrong then (`Transaction.concerns`): what goes wrong later needs a person again.
    """

    at: datetime
    note: str
    concerns: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A sending ("out") or a certified message that came in ("in").

    Attributes:
        status: of all recipients' outcomes, and the acceptance's, the one that most needs a look.
        date: aware: of the acceptance, of the envelope, else of the oldest message; None when none has one.
        sent: None when what was sent is not in the archive.
        acceptance: proven; of a refused message the refusal.
        envelopes: of one that came in.
        unproven: what says it belongs here but has no valid seal.
        problems, notes: of the whole; the recipients have theirs.
        answers: the `identificativo` of the transaction that it answers, empty when it answers none that is archived.
        system: `pec` or `rem`, of the acceptance or of the envelope; empty when there is neither.
        handled: the mark of who dealt with it; None without one.
    """

    direction: str
    status: Outcome
    identificativo: str
    msgid: str
    date: datetime | None
    mittente: str
    oggetto: str
    sent: Sent | None = None
    acceptance: MessageRecord | None = None
    recipients: tuple[Recipient, ...] = ()
    envelopes: tuple[MessageRecord, ...] = ()
    unproven: tuple[MessageRecord, ...] = ()
    problems: tuple[TransactionProblem, ...] = ()
    notes: tuple[str, ...] = ()
    system: str = ""
    answers: str = ""
    handled: HandledMark | None = None

    @property
    def name(self) -> str:
        """What it is called where one transaction is meant; the same for one sending and one arrival of it."""
        records = (*self.envelopes, *self.unproven, *(() if self.sent is None else (self.sent.record,)))
        return self.identificativo or self.msgid or next((one.key.sha256 for one in records), "")

    @property
    def in_reply_to(self) -> str:
        """The identifier that it answers, by what was sent or, proven, by the envelope; empty for none."""
        if self.direction == "in":
            return self.envelopes[0].in_reply_to if self.envelopes else ""
        return self.sent.record.in_reply_to if self.sent is not None else ""

    @property
    def needs_attention(self) -> bool:
        """Whether somebody has to look at it: something is wrong that was not marked as handled."""
        concerns = self.concerns
        return bool(concerns) and (self.handled is None or not concerns <= self.handled.concerns)

    @property
    def concerns(self) -> frozenset[str]:
        """What is wrong with it, the same text in every language: to be compared, not to be shown."""
        found = {f"{who.address} {who.outcome}" for who in self.recipients if who.outcome in ATTENTION}
        if self.status in ATTENTION and not found:
            found.add(str(self.status))
        for whose, problems in (
            ("", self.problems),
            *((who.address, who.problems) for who in self.recipients),
        ):
            found |= {" ".join((whose, one.code, *one.about)).strip() for one in problems}
        return frozenset(found)

    @property
    def short_receipts(self) -> Iterator[MessageRecord]:
        """The delivery receipts that give hashes instead of attachments."""
        for one in self.recipients:
            if one.decisive is not None and one.decisive.ricevuta == "breve" and one.decisive.original:
                yield one.decisive


def with_checks(transaction: Transaction, checks: Mapping[int, Check]) -> Transaction:
    """Return a transaction with what comparing its short receipts with the original showed, by record number."""
    recipients = []
    for one in transaction.recipients:
        check = checks.get(one.decisive.number) if one.decisive is not None else None
        if one.decisive is None or check is None:
            recipients.append(one)
            continue
        problems, notes = one.problems, one.notes
        if check.status == "differs":
            problems += (TransactionProblem("short-receipt-differs", check.sentence, (one.decisive.label,)),)
        elif check.sentence:
            notes += (check.sentence,)
        recipients.append(replace(one, check=check, problems=problems, notes=notes))
    return replace(transaction, recipients=tuple(recipients))
