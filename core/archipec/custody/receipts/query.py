"""Finds the transactions in what a set of archives holds, by what the ledger knows of each message."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from archipec.config.selection import MessageFacts, Selection
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.transactions import TransactionRef
from archipec.custody.receipts.archive_reader import MessageReader
from archipec.errors import ArchipecError
from archipec.pec.breve import UNCHECKED, Check, check_breve
from archipec.pec.kind import ACCEPTANCES, REM
from archipec.pec.linking import build_transactions, join_systems
from archipec.pec.mime import Part
from archipec.pec.structure import parse_structure
from archipec.pec.transactions import MessageRecord, Sent, SentFrom, Transaction, with_checks

__all__ = ["TransactionFilter", "check_short_receipts", "find", "linked", "original_of", "transactions"]

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFilter:
    """Which transactions.

    Attributes:
        period: its days are those of the acceptance, or of the envelope.
        direction: "in", "out" or "all".
        party: in the address of the sender or of a recipient, without regard to case.
        subject: its words must all be in the subject, without regard to case.
    """

    period: Selection = field(default_factory=Selection)
    direction: str = "all"
    party: str = ""
    subject: str = ""

    def wants(self, one: Transaction) -> bool:
        """Return whether a transaction is wanted, its period aside."""
        if self.direction not in ("all", one.direction):
            return False
        party = self.party.strip().casefold()
        addresses = [one.mittente, *(recipient.address for recipient in one.recipients)]
        if party and not any(party in address.casefold() for address in addresses):
            return False
        subject = one.oggetto.casefold()
        return all(word in subject for word in self.subject.casefold().split())


def transactions(
    ledger: Ledger, sinks: Sequence[int], wanted: TransactionFilter, now: datetime
) -> Iterator[Transaction]:
    """Yield the transactions in these archives, the newest first; a page of them is held at a time.

    Args:
        sinks: the ledger's numbers of the archives.
        now: aware.
    """
    clues = ledger.transactions.clues(sinks, ledger.transactions.sent_folders(), wanted.period.span)
    chosen = (
        clue for clue in clues if wanted.period.answer(MessageFacts(folder="", date=clue.date)) is not False
    )
    yield from filter(wanted.wants, linked(ledger, sinks, chosen, now))


def find(
    ledger: Ledger,
    sinks: Sequence[int],
    name: str,
    now: datetime,
    direction: str = "all",
    *,
    by_words: bool = True,
) -> list[Transaction]:
    """Return the transactions that a text names: by an identifier with or without brackets, else by words of the subject,
    the sender and the recipients. The newest first.

    Args:
        direction: "in", "out", or "all": what was sent, and what was received where nothing that was sent is named so.
        by_words: False to look for an identifier alone.
    """
    if direction == "all":
        sent = find(ledger, sinks, name, now, "out", by_words=by_words)
        return sent or find(ledger, sinks, name, now, "in", by_words=by_words)
    identifier = name.strip("<> \t")
    references = ledger.transactions.named(sinks, identifier)
    parts = _joined(ledger, sinks, _of_identifiers(ledger, sinks, [one.value for one in references])).parts
    whole = {one._replace(value=parts.get(one.value, one.value)): None for one in references}
    named = [one for one in linked(ledger, sinks, list(whole), now) if one.direction == direction]
    if named or not by_words:
        return named
    words = name.casefold().split()
    found = []
    for one in transactions(ledger, sinks, TransactionFilter(direction=direction), now):
        if identifier.casefold() in (
            one.identificativo.casefold(),
            one.msgid.casefold(),
            one.name.casefold(),
        ):
            return [one]
        text = " ".join((one.oggetto, one.mittente, *(who.address for who in one.recipients))).casefold()
        if words and all(word in text for word in words):
            found.append(one)
    return found


def check_short_receipts(
    transaction: Transaction, ledger: Ledger, reader: MessageReader | None
) -> Transaction:
    """Return a transaction with its short receipts compared with the original.

    A comparison is made once: its outcome is recorded.

    Args:
        reader: None to go by what is recorded, and read no archive.
    """
    checks = {}
    for pec_receipt in transaction.short_receipts:
        if transaction.sent is None:
            checks[pec_receipt.number] = Check(
                UNCHECKED, sentence="its hashes can't be checked without the original"
            )
            continue
        original = transaction.sent.record.number
        check = ledger.transactions.recorded_check(pec_receipt.number, original)
        if check is None and reader is not None:
            try:
                check = _compared(pec_receipt, transaction.sent, reader)
                ledger.transactions.record_check(pec_receipt.number, original, check)
            except ArchipecError as error:
                check = Check(UNCHECKED, sentence=f"its hashes were not checked: {error.message}")
        if check is not None:
            checks[pec_receipt.number] = check
    return with_checks(transaction, checks) if checks else transaction


def original_of(sent: Sent, reader: MessageReader) -> bytes:
    """Return the bytes of what was sent: those of its copy, or those that a provider's message has inside.

    Raises:
        ArchipecError: no archive gives them back.
    """
    raw = reader.read(sent.record.key)
    return raw if sent.where is SentFrom.COPY else inside(raw)


def inside(raw: bytes) -> bytes:
    """Return the original that a provider's message has inside, empty when it has none.

    Raises:
        IntegrityError: its encoding is broken.
    """
    part: Part | None = parse_structure(raw).postacert
    return b"" if part is None else part.content()


def _compared(pec_receipt: MessageRecord, sent: Sent, reader: MessageReader) -> Check:
    return check_breve(inside(reader.read(pec_receipt.key)), original_of(sent, reader))


def linked(
    ledger: Ledger, sinks: Sequence[int], clues: Iterable[TransactionRef], now: datetime
) -> Iterator[Transaction]:
    """Yield the transactions that clues name, in their order; a page of them is held at a time.

    Args:
        sinks: the ledger's numbers of the archives.
        now: aware.
    """
    nameless: list[MessageRecord] | None = None
    marks = ledger.handled.all()
    waiting = iter(clues)
    while page := list(islice(waiting, _PAGE)):
        groups = _of_identifiers(ledger, sinks, [clue.value for clue in page if clue.certified])
        joined = _joined(ledger, sinks, groups)
        loose = [clue.value for clue in page if not clue.certified]
        msgids = {one.msgid for group in groups.values() for one in group if one.msgid}
        about = _grouped(ledger.transactions.about(sinks, [*msgids, *loose]), lambda one: one.riferimento)
        names = {*msgids, *loose, *groups}
        copies = _grouped(
            ledger.transactions.copies_named(sinks, names), lambda one: one.message_id.casefold()
        )
        linked: list[Transaction] = []
        for clue in page:
            group = groups.get(clue.value, []) if clue.certified else []
            if clue.value in joined.parts:
                continue
            group = [*group, *joined.whole.get(clue.value, ())]
            own = {one.msgid for one in group if one.msgid} or ({clue.value} if not clue.certified else set())
            records = group + [one for msgid in own for one in about.get(msgid, [])]
            candidates = [one for name in {*own, clue.value} for one in copies.get(name.casefold(), [])]
            if not own and not candidates:
                if nameless is None:
                    nameless = ledger.transactions.copies_without_name(sinks)
                candidates = nameless
            linked += build_transactions(records, candidates, now)
        for one in _with_answers(ledger, sinks, linked):
            mark = marks.get((one.direction, one.name))
            yield one if mark is None else replace(one, handled=mark)


def _with_answers(
    ledger: Ledger, sinks: Sequence[int], found: Sequence[Transaction]
) -> Iterator[Transaction]:
    """Say which transactions answer which others, whatever the system of either."""
    named = {one.in_reply_to for one in found} - {""}
    known = ledger.transactions.identified_by(sinks, named) if named else {}
    for one in found:
        answered = known.get(one.in_reply_to, "")
        yield replace(one, answers=answered) if answered not in ("", one.identificativo) else one


class _Joined(NamedTuple):
    """What belongs to sendings whose acceptance another system issued.

    Attributes:
        parts: by the identifier of what is shown with another sending, that sending's; whole: by a sending's identifier, what joins it.
    """

    parts: Mapping[str, str]
    whole: Mapping[str, list[MessageRecord]]


def _joined(ledger: Ledger, sinks: Sequence[int], groups: Mapping[str, list[MessageRecord]]) -> _Joined:
    """Find receipts of PEC for sendings of REM, and the other way round, by the Message-ID that they certify."""
    names = {
        name
        for value, group in groups.items()
        for name in (value, *(one.msgid for one in group))
        if name and any(one.is_about_sending for one in group)
    }
    if not any(one.system == REM for group in groups.values() for one in group):
        # The one system alone, unless receipts without an acceptance are for a sending of the other.
        names = {
            one.msgid
            for group in groups.values()
            if not any(one.kind in ACCEPTANCES for one in group)
            for one in group
            if one.msgid and one.is_about_sending
        }
    if not names:
        return _Joined({}, {})
    named = ledger.transactions.of_msgids(sinks, names)
    around = _of_identifiers(ledger, sinks, {*names, *(one.identificativo for one in named)} - groups.keys())
    found = join_systems({**around, **groups})
    return _Joined(
        found,
        _grouped(
            (one for value in found for one in (groups.get(value) or around[value])),
            lambda one: found[one.identificativo],
        ),
    )


def _of_identifiers(
    ledger: Ledger, sinks: Sequence[int], identificativi: Iterable[str]
) -> dict[str, list[MessageRecord]]:
    return _grouped(ledger.transactions.of_identifiers(sinks, identificativi), lambda one: one.identificativo)


def _grouped(
    records: Iterable[MessageRecord], name: Callable[[MessageRecord], str]
) -> dict[str, list[MessageRecord]]:
    found: defaultdict[str, list[MessageRecord]] = defaultdict(list)
    for one in records:
        found[name(one)].append(one)
    return found
