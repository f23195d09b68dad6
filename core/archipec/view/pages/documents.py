"""PDF files to save: of a message, and of the transaction that it belongs to."""

from __future__ import annotations

from typing import Final

from archipec.custody.receipts.query import check_short_receipts
from archipec.errors import PermanentError
from archipec.index.overview import overview
from archipec.language import _, speaking, written
from archipec.pec.transactions import Transaction
from archipec.view.naming import named
from archipec.view.page import Download, NoSuchPage, Page, PageRequest

__all__ = ["PAGES"]

_LARGEST: Final = 32 << 20
"""Bytes of messages in a PDF of the viewer, which is to stay small; a command makes larger ones."""
_ID: Final = 16  # digits of a SHA-256 in the name of a file


def _message(asked: PageRequest) -> Download:
    # typst and what calls it take time to import, and few ask for it.
    from archipec.report.pdf.making import LANGUAGE, message_pdf

    view = asked.view
    key = named(view, asked.path["key"])
    _check_size(key.size)
    with speaking(LANGUAGE):
        one = overview(key, view.ledger, view.sinks, view, view.index, view.now)
    return Download(f"{key.sha256[:_ID]}.pdf", message_pdf(one, view), "application/pdf")


def _transaction(asked: PageRequest) -> Download:
    from archipec.report.pdf.making import LANGUAGE, transaction_pdf

    view = asked.view
    key = named(view, asked.path["key"])
    # What is said of a transaction is said where it is put together.
    with speaking(LANGUAGE):
        found = overview(key, view.ledger, view.sinks, view, view.index, view.now).transaction
        if found is None:
            raise NoSuchPage(_("the message belongs to nothing that was sent or received"))
        transaction = check_short_receipts(found, view.ledger, None)
    _check_size(_size(transaction))
    return Download(
        f"{key.sha256[:_ID]}-riepilogo.pdf", transaction_pdf(transaction, view), "application/pdf"
    )


def _size(one: Transaction) -> int:
    """Return how many bytes the messages of a transaction have."""
    records = [] if one.sent is None else [one.sent.record]
    records += [] if one.acceptance is None else [one.acceptance]
    records += [receipt for who in one.recipients for receipt in who.receipts]
    return sum(key.size for key in {record.key for record in (*records, *one.envelopes)})


def _check_size(size: int) -> None:
    if size > _LARGEST:
        raise PermanentError(
            _("this is too large for a PDF of the viewer: {size} MB, and it makes them of {most} MB").format(
                size=written(size / (1 << 20), 1), most=_LARGEST >> 20
            ),
            hint=_("use `archipec get ID --pdf FILE`"),
        )


PAGES: Final = (
    Page("/messages/{key}/message.pdf", _message, tab="/messages"),
    Page("/messages/{key}/transaction.pdf", _transaction, tab="/messages"),
)
