"""Counts the sendings of archives by what became of them, and finds those that somebody has to look at.

Of most sendings all is well, and what the ledger states without being asked for whole messages shows it. Only the others
are put together as `archipec.custody.receipts.query` does, which says what became of any sending.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from archipec.custody.ledger import Ledger
from archipec.custody.ledger.figures import Archive, SendingPart
from archipec.custody.ledger.transactions import TransactionRef
from archipec.custody.receipts.query import check_short_receipts, linked
from archipec.pec.kind import ACCETTAZIONE, AVVENUTA_CONSEGNA, PEC, REM
from archipec.pec.transactions import Outcome, Transaction

__all__ = ["SendingSummary", "concerning", "summarize"]

_ROME = ZoneInfo("Europe/Rome")


@dataclass(slots=True)
class SendingSummary:
    """What became of sendings.

    Attributes:
        by_month: sendings by month ("2026-03", "" when unknown) and outcome.
        attention: how many somebody has to look at; shown: the newest of them.
    """

    by_month: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    attention: int = 0
    shown: list[Transaction] = field(default_factory=list)

    @property
    def outcomes(self) -> Counter[Outcome]:
        """Sendings by outcome."""
        found: Counter[Outcome] = Counter()
        for (_, outcome), number in self.by_month.items():
            found[outcome] += number
        return found


def summarize(ledger: Ledger, archive: Archive, now: datetime, limit: int) -> SendingSummary:
    """Count what was sent, by what became of it.

    No message is read: a short delivery receipt counts as compared with what was sent where that was done before.

    Args:
        archive: its period is of the acceptance, or of the oldest message where there is none.
        now: aware.
        limit: how many of those that need a look are returned.
    """
    summary = SendingSummary()
    for one in _linked(ledger, archive, _unclear(ledger, archive, summary.by_month), now):
        if one.direction != "out":
            continue
        summary.by_month["" if one.date is None else f"{one.date.astimezone(_ROME):%Y-%m}", one.status] += 1
        if one.needs_attention:
            summary.attention += 1
            if len(summary.shown) < limit:
                summary.shown.append(one)
    return summary


def concerning(ledger: Ledger, archive: Archive, now: datetime) -> Iterator[Transaction]:
    """Yield what was sent or came in with something wrong, also where it was marked as handled; the newest first.

    Those that `archipec.custody.receipts.query.transactions` finds so, without putting together all of which all is well.

    Args:
        archive: as of `summarize`.
        now: aware.
    """
    refs = [*_unclear(ledger, archive, Counter()), *ledger.figures.doubtful_envelopes(archive)]
    seen = set()
    for one in _linked(ledger, archive, dict.fromkeys(refs), now):
        if one.concerns and (one.direction, one.name) not in seen:
            seen.add((one.direction, one.name))
            yield one


def _unclear(ledger: Ledger, archive: Archive, plain: Counter[tuple[str, Outcome]]) -> list[TransactionRef]:
    """Return what names the sendings that have to be put together; the others are counted, by month and outcome."""
    unclear: list[TransactionRef] = []
    external: list[tuple[TransactionRef, Outcome]] = []
    has_rem = False
    for _, group in groupby(ledger.figures.sending_parts(archive), lambda one: one.identificativo):
        parts = list(group)
        ref = _ref(parts)
        if not _is_within(archive, ref.date):
            continue
        has_rem = has_rem or any(one.system == REM for one in parts)
        outcome = _plain_outcome(parts)
        if outcome is None:
            unclear.append(ref)
        elif any(tipo == "esterno" for one in parts for _, tipo in one.recipients):
            external.append((ref, outcome))
        else:
            plain[_month(ref.date), outcome] += 1
    for ref, outcome in external:
        # A receipt of REM may say more of a recipient whom PEC counts as external.
        if has_rem:
            unclear.append(ref)
        else:
            plain[_month(ref.date), outcome] += 1
    return [*unclear, *_without_receipts(ledger, archive)]


def _linked(
    ledger: Ledger, archive: Archive, refs: Iterable[TransactionRef], now: datetime
) -> Iterator[Transaction]:
    """Put together what these name, the newest first."""
    newest_first = sorted(refs, key=lambda one: -one.date)
    for found in linked(ledger, archive.sinks, newest_first, now):
        yield check_short_receipts(found, ledger, None)


def _without_receipts(ledger: Ledger, archive: Archive) -> Iterator[TransactionRef]:
    """Yield what names sendings that no receipt tells of, or only some whose certification data can't be read."""
    folders = ledger.transactions.sent_folders(archive.source)
    mailbox = archive.source if archive.alone else None
    yield from ledger.transactions.uncertified(archive.sinks, folders, archive.span, mailbox)
    for one in ledger.transactions.sent_to_oneself(archive.sinks, mailbox):
        if _is_within(archive, one.date):
            yield one


def _ref(parts: Sequence[SendingPart]) -> TransactionRef:
    valid = [one.date for one in parts if one.seal == "valid"]
    return TransactionRef(True, parts[0].identificativo, min(valid or [one.date for one in parts]))


def _is_within(archive: Archive, date: int) -> bool:
    first, end = archive.span
    return (first is None or date >= first) and (end is None or date < end)


def _plain_outcome(parts: Sequence[SendingPart]) -> Outcome | None:
    """Return what became of a sending of PEC of which all is well; None where that is not plain to see.

    All is well when it was accepted, each certified recipient has a delivery receipt, every seal is valid and covers the
    whole message, and nothing else was said.
    """
    if any(one.seal != "valid" or one.system != PEC or one.doubtful for one in parts):
        return None
    accepted = [one for one in parts if one.kind == ACCETTAZIONE]
    delivered = [one for one in parts if one.kind == AVVENUTA_CONSEGNA]
    if len(accepted) != 1 or 1 + len(delivered) < len(parts):
        return None
    recipients = {_folded(address): tipo for address, tipo in accepted[0].recipients}
    certified = {address for address, tipo in recipients.items() if tipo == "certificato"}
    others = set(recipients.values()) - {"certificato", "esterno"}
    if others or "" in recipients or {_folded(one.consegna) for one in delivered} != certified:
        return None
    if certified:
        return Outcome.DELIVERED
    return Outcome.ORDINARY if recipients else None


def _folded(address: str) -> str:
    return address.strip().casefold()


def _month(date: int) -> str:
    return f"{datetime.fromtimestamp(date, _ROME):%Y-%m}" if date else ""
