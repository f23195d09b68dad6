"""The electronic invoices in what is indexed, each once, with what the exchange system (SdI) said of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from archipec.index.database import IndexFile
from archipec.index.finding import Filters, find
from archipec.index.query import Query
from archipec.index.record import IndexedMessage, Invoice, Role, SdiMessage
from archipec.message import ContentKey
from archipec.pec.kind import POSTA_CERTIFICATA

__all__ = ["ATTENTION", "InvoiceEntry", "SdiNotice", "invoices"]

_SDI_DOMAIN: Final = "@pec.fatturapa.it"
# SdI checks a file within five days of getting it (technical rules of FatturaPA, §4).
_CHECKED_WITHIN: Final = 5 * 86_400

_STATUSES: Final = {
    "RC": "delivered",
    "MC": "not delivered",
    "AT": "not delivered",
    "NS": "rejected",
    "DT": "no outcome",
}
_OUTCOMES: Final = {"EC01": "accepted", "EC02": "refused"}
ATTENTION: Final = frozenset({"not delivered", "rejected", "refused", "missing"})
"""The statuses of an invoice that need a person: `missing` when SdI has said nothing of one that was sent, for five days."""


@dataclass(frozen=True, slots=True)
class SdiNotice:
    """Something that SdI said of an invoice, in which message, and when that came (Unix seconds, 0 when unknown)."""

    key: ContentKey
    date: int
    notice: SdiMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceEntry:
    """An invoice.

    Attributes:
        key: the newest message that it is attached to; date: of that message, in Unix seconds, 0 when unknown.
        direction: "in" for one that was received, "out" for one that was sent to SdI.
        status: "received", of one that came in; of one that was sent "delivered", "not delivered", "rejected" (by SdI),
            "accepted" and "refused" (by the customer), "no outcome" (in time, which counts as accepted), "waiting", "missing".
        notices: the oldest first.
    """

    key: ContentKey
    date: int
    invoice: Invoice
    direction: str
    status: str
    notices: tuple[SdiNotice, ...]


def invoices(index: IndexFile, filters: Filters, now: float) -> Iterator[InvoiceEntry]:
    """Yield invoices, those of the newest message first.

    Args:
        filters: of the messages that they are attached to.
        now: Unix seconds.

    Raises:
        ArchipecError: the index can't be read.
    """
    seen = set()
    for hit in find(index, Query(), filters):
        record = index.get(hit.key)
        if record is None:
            continue
        for invoice in record.invoices:
            name = (invoice.file_name.casefold(), invoice.supplier_id, invoice.number, invoice.date)
            if name in seen:
                continue
            seen.add(name)
            direction = _direction(record)
            notices = tuple(_notices(index, invoice)) if direction == "out" else ()
            status = "received" if direction == "in" else _status(notices, hit.date, now)
            yield InvoiceEntry(
                key=hit.key,
                date=hit.date,
                invoice=invoice,
                direction=direction,
                status=status,
                notices=notices,
            )


def _direction(record: IndexedMessage) -> str:
    """SdI sends an invoice with its metadata; what is sent goes to SdI. Sent by hand, it goes the way of its message."""
    if any(one.code == "MT" for one in record.sdi_messages):
        return "in"
    for party in record.parties:
        if party.address.lower().endswith(_SDI_DOMAIN):
            return "in" if party.role is Role.FROM else "out"
    return "in" if record.kind == POSTA_CERTIFICATA else "out"


def _notices(index: IndexFile, invoice: Invoice) -> Iterable[SdiNotice]:
    found = []
    for key in index.resolve(invoice.file_name) if invoice.file_name else ():
        record = index.get(key)
        if record is None:
            continue
        date = record.certified or record.dated or 0
        for notice in record.sdi_messages:
            same_file = notice.file_name.casefold() == invoice.file_name.casefold()
            if same_file and notice.invoice_number in ("", invoice.number) and notice.code != "MT":
                found.append(SdiNotice(key, date, notice))
    return sorted(found, key=lambda one: one.date)


def _status(notices: Iterable[SdiNotice], date: int, now: float) -> str:
    status = ""
    for one in notices:
        status = _OUTCOMES.get(one.notice.outcome, _STATUSES.get(one.notice.code, status))
    if status:
        return status
    return "missing" if date and now - date > _CHECKED_WITHIN else "waiting"
