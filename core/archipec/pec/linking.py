"""Links the messages of one sending: acceptance, receipts of each recipient, and what was sent.

For PEC by RFC 6109 §3, for REM by ETSI EN 319 522-2 §8 and REM-Policy-IT; a sending may have receipts of both.

What is looked for and missing depends on the time: a receipt may come for a day.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from archipec.language import _
from archipec.pec import kind as kinds
from archipec.pec.transactions import (
    BY_WEIGHT,
    MessageRecord,
    Outcome,
    Recipient,
    Sent,
    SentFrom,
    Transaction,
    TransactionProblem,
)

__all__ = ["build_transactions", "join_systems"]

_DAY = timedelta(hours=24)
_FINAL_NOTICE = timedelta(hours=22)  # RFC 6109 §3.1.6: the second notice comes "not before 22 hours"
# A copy is written before its message is accepted, by a clock that may be wrong.
_COPY_BEFORE, _COPY_AFTER = timedelta(minutes=60), timedelta(minutes=10)
_MALWARE = frozenset({"RA03", "RB03"})  # reasons of REM
_SEVERITY = re.compile(r"\s*([45])\.\d+\.\d+")


def build_transactions(
    records: Sequence[MessageRecord], copies: Sequence[MessageRecord], now: datetime
) -> list[Transaction]:
    """Make the transactions of one sending: one out, one in, or both when it was sent to oneself.

    Args:
        records: messages that have the `identificativo`, or by their header belong to it.
        copies: messages that may be the copy of what was sent: their Message-ID says so, or they have none.
        now: aware; it decides what is missing and what may still come.
    """
    found = []
    receipts = [one for one in records if one.is_about_sending]
    envelopes = [one for one in records if one.kind == kinds.POSTA_CERTIFICATA]
    if receipts or any(one.is_sendable and one.message_id for one in copies):
        found.append(_sending(receipts, envelopes, copies, now))
    if envelopes:
        found.append(_incoming(envelopes))
    return found


def join_systems(groups: Mapping[str, Sequence[MessageRecord]]) -> dict[str, str]:
    """Tell which groups of receipts belong to a sending that another system accepted: PEC for REM, or the other way.

    A provider that takes a message over from another system certifies the Message-ID that it had there, and gives it an
    identifier of its own.

    Args:
        groups: receipts by their `identificativo`.

    Returns:
        by the `identificativo` of such a group that of the sending.
    """
    hosts: dict[str, list[str]] = defaultdict(list)
    for value, group in groups.items():
        accepted = [one for one in group if one.proven and one.kind in kinds.ACCEPTANCES]
        for name in {name for one in accepted for name in (value, one.msgid) if name}:
            hosts[name].append(value)
    found = {}
    for value, group in groups.items():
        parts = [one for one in group if one.proven and one.is_about_sending]
        if not parts or any(one.kind in kinds.ACCEPTANCES for one in parts):
            continue
        candidates = {
            host
            for one in parts
            for host in hosts.get(one.msgid, ())
            if host != value and all(theirs.system != one.system for theirs in groups[host])
        }
        if len(candidates) == 1:
            found[value] = candidates.pop()
    return found


# -- incoming ------------------------------------------------------------------------------------------


def _incoming(envelopes: Sequence[MessageRecord]) -> Transaction:
    proven, unproven = _parted(envelopes)
    first = min(proven or unproven, key=lambda one: bool(one.outside))
    return Transaction(
        direction="in",
        status=Outcome.RECEIVED if proven else Outcome.UNPROVEN,
        identificativo=first.identificativo,
        msgid=first.msgid or first.riferimento,
        date=first.date,
        mittente=first.mittente,
        oggetto=first.oggetto,
        system=first.system,
        envelopes=proven,
        unproven=unproven,
        problems=tuple(_doubts(first))
        if proven
        else (_unproven("envelope-unproven", _("the envelope is not proven: {reason}"), first),),
        notes=tuple(_remarks(first)) if proven else (),
        recipients=tuple(
            Recipient(address=one.address, tipo=one.tipo, outcome=Outcome.RECEIVED)
            for one in (first.destinatari if proven else ())
        ),
    )


# -- outgoing ------------------------------------------------------------------------------------------


def _sending(
    receipts: Sequence[MessageRecord],
    envelopes: Sequence[MessageRecord],
    copies: Sequence[MessageRecord],
    now: datetime,
) -> Transaction:
    proven, unproven = _parted(receipts)
    acceptance = _first(proven, kinds.ACCETTAZIONE)
    refusal = _first(proven, kinds.NON_ACCETTAZIONE)
    nameless = [one for one in proven if one.kind == kinds.AVVENUTA_CONSEGNA and not one.about]
    heading = acceptance or refusal or next(iter(proven), None)
    sent = _sent(heading or next(iter(unproven), None), copies, [*proven, *_parted(envelopes)[0]])
    told = heading or (sent.record if sent else None) or next(iter(unproven))
    judge = _Judge(proven, unproven, acceptance, refusal, told.date, now)
    problems, notes = list(judge.problems), []
    for one in (acceptance or refusal,):
        if one is not None:
            problems += _doubts(one)
            notes += _remarks(one)
    if nameless:
        text = _("a delivery receipt does not say for which recipient it is, and counts for none")
        problems.append(TransactionProblem("delivery-without-recipient", text, (nameless[0].label,)))
    if sent is None:
        notes.append(_("what was sent is not in the archive: neither its copy nor a complete receipt"))
    elif sent.heuristic:
        notes.append(
            _("the copy of what was sent was found by sender, subject and time, not by an identifier")
        )
    recipients = tuple(judge.recipients(told))
    outcomes = {one.outcome for one in recipients} | judge.acceptance_outcomes
    if not recipients:
        outcomes.add(judge.silence)
    return Transaction(
        direction="out",
        status=min(outcomes, key=BY_WEIGHT.index),
        identificativo=told.identificativo,
        msgid=told.msgid or told.riferimento or (sent.record.message_id if sent else ""),
        date=told.date,
        mittente=told.mittente,
        oggetto=told.oggetto,
        system=told.system,
        sent=sent,
        acceptance=acceptance or refusal,
        recipients=recipients,
        unproven=unproven,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _sent(
    heading: MessageRecord | None, copies: Sequence[MessageRecord], proven: Sequence[MessageRecord]
) -> Sent | None:
    """What was sent, from the best place: a copy named by its identifier, a sealed one, a copy that fits."""
    able = [one for one in copies if one.is_sendable]
    if heading is None:
        return Sent(able[0], SentFrom.COPY)
    names = {heading.msgid or heading.riferimento, heading.identificativo} - {""}
    for fold in (str, str.casefold):  # some systems change the case of a Message-ID
        wanted = {fold(name) for name in names}
        named = [one for one in able if one.message_id and fold(one.message_id) in wanted]
        if named:
            # Others can use an identifier that they have seen: what the sender wrote comes first.
            return Sent(min(named, key=lambda one: not _same_author(one, heading)), SentFrom.COPY)
    for one in proven:
        if one.is_complete:
            return Sent(one, SentFrom.RECEIPT)
    for one in proven:
        if one.kind == kinds.POSTA_CERTIFICATA and one.original:
            return Sent(one, SentFrom.ENVELOPE)
    if not heading.msgid:
        for one in able:
            if not one.message_id and _fits(one, heading):
                return Sent(one, SentFrom.COPY, heuristic=True)
    return None


def _same_author(copy: MessageRecord, heading: MessageRecord) -> bool:
    return _folded(copy.mittente) == _folded(heading.mittente)


def _fits(copy: MessageRecord, heading: MessageRecord) -> bool:
    """Whether a copy without Message-ID may be what was sent: by sender, subject, recipients and time."""
    if copy.date is None or heading.date is None or not _same_author(copy, heading):
        return False
    if not -_COPY_AFTER <= heading.date - copy.date <= _COPY_BEFORE:
        return False
    if " ".join(copy.oggetto.split()) != " ".join(heading.oggetto.split()):
        return False
    known = {_folded(one.address) for one in heading.destinatari}
    return any(_folded(one.address) in known for one in copy.destinatari)


class _Judge:
    """Says what became of a sending for each recipient."""

    def __init__(
        self,
        proven: Sequence[MessageRecord],
        unproven: Sequence[MessageRecord],
        acceptance: MessageRecord | None,
        refusal: MessageRecord | None,
        since: datetime | None,
        now: datetime,
    ) -> None:
        self._since = since
        self._certified = bool(proven)
        self._accepted = acceptance is not None
        self._refused = refusal is not None and acceptance is None
        self._proven = _by_recipient(proven)
        self._unproven = _by_recipient(unproven)
        overdue = since is None or now - since > _DAY
        self.silence = Outcome.MISSING if overdue else Outcome.WAITING
        """What it means when nothing is recorded."""
        self.acceptance_outcomes, self.problems = self._about_acceptance(refusal, unproven)

    def _about_acceptance(
        self, refusal: MessageRecord | None, unproven: Sequence[MessageRecord]
    ) -> tuple[set[Outcome], tuple[TransactionProblem, ...]]:
        """What the acceptance adds to the outcomes, and what is wrong about it."""
        if self._accepted:
            if refusal is None:
                return set(), ()
            text = _("a refusal of the same message is recorded too")
            return set(), (TransactionProblem("refused-too", text, (refusal.label,)),)
        if refusal is not None:
            return {Outcome.REFUSED}, (_stated("refused", _("the message was refused"), refusal),)
        doubtful = _first(unproven, kinds.ACCETTAZIONE) or _first(unproven, kinds.NON_ACCETTAZIONE)
        if doubtful is not None:
            text = _("the acceptance is not proven: {reason}")
            return {Outcome.UNPROVEN}, (_unproven("acceptance-unproven", text, doubtful),)
        if self.silence is Outcome.MISSING:
            return {Outcome.MISSING}, (
                TransactionProblem("no-acceptance", _("there is no acceptance in the archive")),
            )
        return {Outcome.WAITING}, ()

    def recipients(self, told: MessageRecord) -> Iterator[Recipient]:
        """Every recipient of the original, then whoever only a receipt names."""
        seen = set()
        for one in told.destinatari:
            name = _folded(one.address)
            if name and name not in seen:
                seen.add(name)
                yield self._recipient(one.address, one.tipo)
        for known in (self._proven, self._unproven):
            for name, receipts in known.items():
                if name and name not in seen:
                    seen.add(name)
                    address = next(one for one in receipts[0].about if _folded(one) == name)
                    found = self._recipient(address, "")
                    note = _("not among the recipients that were certified")
                    yield replace(found, notes=(*found.notes, note)) if told.destinatari else found

    def _recipient(self, address: str, tipo: str) -> Recipient:
        # A notice that names nobody is about everybody who waits for a receipt; a delivery is about one of them,
        # and which one nobody can tell.
        general = [] if tipo == "esterno" else self._proven.get("", [])
        general = [one for one in general if one.kind not in (kinds.AVVENUTA_CONSEGNA, *kinds.PROGRESS)]
        receipts = sorted([*self._proven.get(_folded(address), []), *general], key=_moment)
        deliveries = [one for one in receipts if one.kind == kinds.AVVENUTA_CONSEGNA]
        failures = [one for one in receipts if one.kind in kinds.FAILURES]
        left = [one for one in receipts if one.kind == kinds.RELAY_TO_NON_REM]
        final = [one for one in receipts if self._is_final(one)]
        base = Recipient(address=address, tipo=tipo, outcome=self.silence, receipts=tuple(receipts))
        if deliveries:
            return _delivered(base, deliveries, failures, final)
        if failures:
            return _failed(base, failures[0])
        if final:
            late = _stated("timed-out", _("not delivered within 24 hours"), final[0])
            return replace(
                base,
                outcome=Outcome.TIMED_OUT,
                decisive=final[0],
                problems=(late, *_doubts(final[0])),
                notes=tuple(_remarks(final[0])),
            )
        if left or (tipo == "esterno" and self._certified and not self._refused):
            note = _("accepted, ordinary mail, no legal delivery")
            return replace(base, outcome=Outcome.ORDINARY, notes=(note,))
        if self._refused:
            return replace(base, outcome=Outcome.REFUSED)
        return self._silent(base)

    def _silent(self, base: Recipient) -> Recipient:
        doubtful = [*self._unproven.get(_folded(base.address), []), *self._unproven.get("", [])]
        if doubtful:
            problem = _unproven("receipt-unproven", _("the receipt is not proven: {reason}"), doubtful[0])
            return replace(base, outcome=Outcome.UNPROVEN, problems=(problem,))
        early = [one for one in base.receipts if one.kind == kinds.PREAVVISO_ERRORE_CONSEGNA]
        refused = [one for one in base.receipts if one.kind == kinds.RELAY_REJECTION]
        notes = (
            *(_("not delivered in the first 12 hours") + _words(one) for one in early[:1]),
            *(_("the recipient's provider refused it") + _words(one) for one in refused[:1]),
        )
        if self.silence is Outcome.WAITING:
            return replace(base, notes=notes)
        reason = (
            _("no delivery receipt 24 hours after the message was accepted")
            if self._accepted
            else _("no delivery receipt")
        )
        return replace(base, problems=(TransactionProblem("no-delivery-receipt", reason),), notes=notes)

    def _is_final(self, one: MessageRecord) -> bool:
        """Whether it is the notice of 24 hours: it differs from that of 12 in the reason alone."""
        if one.kind != kinds.PREAVVISO_ERRORE_CONSEGNA:
            return False
        severity = _SEVERITY.match(one.errore_esteso)
        if severity is not None:
            return severity[1] == "5"
        return self._since is not None and one.date is not None and one.date - self._since >= _FINAL_NOTICE


def _delivered(
    base: Recipient,
    deliveries: Sequence[MessageRecord],
    failures: Sequence[MessageRecord],
    final: Sequence[MessageRecord],
) -> Recipient:
    # A receipt by itself comes before one that lies in another message.
    ordered = sorted(deliveries, key=lambda one: (bool(one.outside), not one.is_complete))
    best = ordered[0]
    problems, notes = _doubts(best), _remarks(best)
    if failures:
        text = _("a notice of failure contradicts the delivery receipt")
        problems.append(_stated("failure-contradicts", text, failures[0]))
    if final:
        notes.append(_("delivered although a notice had said that 24 hours went by without delivery"))
    if not best.is_complete and best.system != kinds.REM:  # whose receipts state the original's hash
        if best.ricevuta == "completa":
            notes.append(
                _("the delivery receipt does not hold the original: not enough for judicial deposit")
            )
        else:
            short = _('the delivery receipt is "{kind}": not enough for judicial deposit')
            notes.append(short.format(kind=best.ricevuta))
    if len(deliveries) > 1:
        notes.append(_("{number} delivery receipts are recorded").format(number=len(deliveries)))
    return replace(
        base, outcome=Outcome.DELIVERED, decisive=best, problems=tuple(problems), notes=tuple(notes)
    )


def _unproven(code: str, text: str, one: MessageRecord) -> TransactionProblem:
    return TransactionProblem(code, text.format(reason=one.reason), (one.label,))


def _stated(code: str, text: str, one: MessageRecord) -> TransactionProblem:
    """A problem that a provider's message states, with its reason."""
    return TransactionProblem(code, text + _words(one), (one.label,))


def _doubts(one: MessageRecord) -> list[TransactionProblem]:
    """What has to be looked at of a proven receipt: what a person sees of the message is not all sealed."""
    if not one.outside:
        return []
    named = ", ".join(one.outside[:5])
    text = _(
        'the message with the sealed "{kind}" holds more than its seal covers, which proves nothing: {named}'
    )
    return [
        TransactionProblem("outside-seal", text.format(kind=one.kind, named=named), (one.label, *one.outside))
    ]


def _remarks(one: MessageRecord) -> list[str]:
    if not one.mended:
        return []
    return [
        _('the certification data of the "{kind}" had to be mended to be read: {mended}').format(
            kind=one.kind, mended=", ".join(one.mended)
        )
    ]


def _failed(base: Recipient, failure: MessageRecord) -> Recipient:
    virus = failure.errore == "virus" or not _MALWARE.isdisjoint(failure.reasons)
    what = _("not delivered because of a virus") if virus else _("not delivered")
    return replace(
        base,
        outcome=Outcome.VIRUS if virus else Outcome.FAILED,
        decisive=failure,
        problems=(_stated("failed", what, failure), *_doubts(failure)),
        notes=tuple(_remarks(failure)),
    )


def _words(one: MessageRecord) -> str:
    """The provider's reason, to be appended to a sentence."""
    words = one.errore_esteso or ("" if one.errore in ("", "nessuno", "altro") else one.errore)
    # Of REM it is a code and what that means, in plain words.
    code, colon, meaning = words.partition(": ")
    return f": {code}{colon}{_(meaning)}" if words else ""


def _by_recipient(records: Iterable[MessageRecord]) -> dict[str, list[MessageRecord]]:
    found: defaultdict[str, list[MessageRecord]] = defaultdict(list)
    for one in records:
        if one.kind in kinds.OUTCOMES | kinds.PROGRESS:
            for address in dict.fromkeys(map(_folded, one.about)) or ("",):
                found[address].append(one)
    return dict(found)


def _parted(records: Iterable[MessageRecord]) -> tuple[tuple[MessageRecord, ...], tuple[MessageRecord, ...]]:
    """Proven and unproven, each oldest first."""
    ordered = sorted(records, key=_moment)
    return tuple(one for one in ordered if one.proven), tuple(one for one in ordered if not one.proven)


def _first(records: Iterable[MessageRecord], kind: str) -> MessageRecord | None:
    """The first of a kind, if there is one not in another message that one."""
    found = [one for one in records if one.kind == kind]
    return min(found, key=lambda one: bool(one.outside), default=None)


def _moment(one: MessageRecord) -> float:
    return one.date.timestamp() if one.date is not None else 0.0


def _folded(address: str) -> str:
    return address.strip().casefold()
