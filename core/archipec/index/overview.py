"""Everything that is known of one stored message: what it says, its seal, what it belongs to, where it is held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from archipec.custody.ledger import Ledger
from archipec.custody.ledger.holdings import HeldCopy
from archipec.custody.receipts.archive_reader import MessageReader
from archipec.custody.receipts.query import find
from archipec.index.attachments import ReadingOptions
from archipec.index.database import IndexFile
from archipec.index.document import index_message
from archipec.index.record import IndexedMessage
from archipec.message import ContentKey
from archipec.pec.anchors import Anchors
from archipec.pec.inspection import judge_dissected, record
from archipec.pec.structure import parse_structure
from archipec.pec.transactions import Transaction

__all__ = ["MessageOverview", "overview", "recognised"]

_NOT_INDEXED = "not read: the message is not in the index"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOverview:
    """What is known of a message.

    Attributes:
        facts: as `archipec.pec.inspection.record` has them: certification data, seal and reason. Those recorded when it was
            judged, where it was.
        judged: whether they are recorded ones; else they rest on the roots of PEC alone.
        content: its people, texts and attachments.
        complete: whether the files attached to it were read too, for signers, invoices and files in files.
        transaction: the sending or the received message that it belongs to, without its short receipts compared
            (`archipec.custody.receipts.query.check_short_receipts`); None when it belongs to none.
        copies: where it is held; seen: (source, folder) of each place where it was seen.
    """

    key: ContentKey
    facts: Mapping[str, Any]
    judged: bool
    content: IndexedMessage
    complete: bool
    transaction: Transaction | None
    copies: Sequence[HeldCopy]
    seen: Sequence[tuple[str, str]]


def overview(
    key: ContentKey,
    ledger: Ledger,
    sinks: Sequence[int],
    reader: MessageReader,
    index: IndexFile | None,
    now: datetime,
) -> MessageOverview:
    """Put together what is known of a message, by the ledger, by the index where it has it, and by the message itself.

    Args:
        sinks: the ledger's numbers of the archives that count.
        now: aware.

    Raises:
        ArchipecError: no archive gives the message back, or the ledger or the index can't be read.
    """
    recorded = ledger.holdings.record(key)
    indexed = None if index is None else index.get(key)
    facts = recorded
    content = indexed
    if facts is None or content is None:
        raw = reader.read(key)
        structure = parse_structure(raw)
        inspection = judge_dissected(raw, structure, Anchors())
        facts = facts or dict(record(raw, inspection))
        content = content or index_message(raw, structure, inspection, ReadingOptions(_NOT_INDEXED))
    return MessageOverview(
        key=key,
        facts=facts,
        judged=recorded is not None,
        content=content,
        complete=indexed is not None,
        transaction=_transaction(facts, ledger, sinks, now),
        copies=ledger.holdings.copies(key),
        seen=ledger.holdings.where(key),
    )


def recognised(content: IndexedMessage, number: int) -> Iterator[str]:
    """Yield what an attached file is found to be, by its position: an invoice, a notice of SdI, a filing."""
    for invoice in content.invoices:
        if invoice.attachment == number:
            yield (
                f"invoice {invoice.number} of {invoice.date}, {invoice.supplier} to {invoice.customer}:"
                f" {invoice.amount} {invoice.currency}"
            )
    for notice in content.sdi_messages:
        if notice.attachment == number:
            yield f"SdI {notice.code} on {notice.file_name} {notice.description}".rstrip()
    for filing in content.filings:
        if filing.attachment == number:
            yield f"{filing.type} {filing.number} {filing.date} {filing.office}".rstrip()


def _transaction(
    facts: Mapping[str, Any], ledger: Ledger, sinks: Sequence[int], now: datetime
) -> Transaction | None:
    names = [str(facts[name]).strip("<> ") for name in ("identificativo", "message_id") if facts.get(name)]
    for name in names:
        for one in find(ledger, sinks, name, now, by_words=False):
            return one
    return None
