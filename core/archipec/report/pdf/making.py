"""Makes PDF files of what an archive holds: of a message, of a transaction, of a selection. What commands and the viewer call.

The same messages, as the same archive knows them, give the same bytes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from archipec.custody.ledger import Ledger
from archipec.custody.receipts.archive_reader import MessageReader
from archipec.custody.receipts.export import Export, export_transaction
from archipec.index.overview import MessageOverview
from archipec.language import speaking
from archipec.message import ContentKey
from archipec.pec.inspection import inspect_message, record
from archipec.pec.recall import recall
from archipec.pec.transactions import MessageRecord, Transaction
from archipec.report.pdf.fascicolo import FiledMessage, fascicolo_document
from archipec.report.pdf.message import message_document
from archipec.report.pdf.transaction import transaction_document
from archipec.report.pdf.typesetting import typeset

__all__ = ["LANGUAGE", "export_pdf", "fascicolo_pdf", "message_pdf", "transaction_pdf"]

LANGUAGE: Final = "it"
"""Of a document that is not asked for in another: it is for an Italian court."""


def message_pdf(one: MessageOverview, reader: MessageReader, language: str = LANGUAGE) -> bytes:
    """Return the PDF of a message.

    Args:
        language: one of `archipec.language.LANGUAGES`.

    Raises:
        ArchipecError: no archive gives the message back, or as of `typeset`.
    """
    raw = reader.read(one.key)
    with speaking(language):
        document = message_document(one, raw)
    return typeset(document)


def transaction_pdf(one: Transaction, reader: MessageReader, language: str = LANGUAGE) -> bytes:
    """Return the PDF of a transaction, with the files that an export of it has.

    Raises:
        ArchipecError: as of `export_transaction` and `typeset`.
    """
    with tempfile.TemporaryDirectory(prefix="archipec-export-") as folder:
        with speaking(language):
            export = export_transaction(one, reader, Path(folder))
        return export_pdf(export, language)


def export_pdf(export: Export, language: str = LANGUAGE) -> bytes:
    """Return the PDF of a transaction that was exported; its files are read again.

    Raises:
        ArchipecError: as of `typeset`.
    """
    with speaking(language):
        document = transaction_document(export)
    return typeset(document)


def fascicolo_pdf(
    keys: Sequence[ContentKey], ledger: Ledger, reader: MessageReader, language: str = LANGUAGE
) -> bytes:
    """Return the PDF of a selection of messages.

    Raises:
        ArchipecError: no archive gives one of them back, there are too many, or as of `typeset`.
    """
    messages = [FiledMessage(_known(key, ledger, reader), reader.read) for key in keys]
    with speaking(language):
        document = fascicolo_document(messages)
    return typeset(document)


def _known(key: ContentKey, ledger: Ledger, reader: MessageReader) -> MessageRecord:
    """What the ledger knows of a message; of one that was not judged, what it says itself, by the roots of PEC alone."""
    facts = ledger.holdings.record(key)
    if facts is None:
        raw = reader.read(key)
        facts = json.loads(json.dumps(record(raw, inspect_message(raw))))
    content = ledger.holdings.content(key)
    date = None if content is None or not content.date else datetime.fromtimestamp(content.date, UTC)
    return recall(0, key, date, facts)
