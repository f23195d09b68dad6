"""PDF files that commands write: in which language, and where to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
from click.core import ParameterSource

from archipec.cli import Settings
from archipec.cli.archives import OpenArchives
from archipec.custody.receipts.query import check_short_receipts
from archipec.index.database import IndexFile, index_path
from archipec.index.overview import overview
from archipec.language import current, speaking
from archipec.message import ContentKey, Json
from archipec.new_files import make_folder, write_new_file
from archipec.terminal import json_line, printable

__all__ = ["document_language", "messages_pdf", "write_pdf"]


def document_language() -> str:
    """Return the language of documents: Italian, for they are for an Italian court, unless ``--lang`` was given."""
    source = click.get_current_context().find_root().get_parameter_source("lang")
    return current() if source is ParameterSource.COMMANDLINE else "it"


def messages_pdf(
    settings: Settings, opened: OpenArchives, keys: Sequence[ContentKey], *, together: bool
) -> bytes:
    """Return the PDF of messages: of one, of the transaction that they are, or of a selection with an index.

    Args:
        together: one name names them all.

    Raises:
        ArchipecError: no archive gives one of them back, or the PDF can't be made.
    """
    # Slow to import, and not asked for by most.
    from archipec.report.pdf.making import fascicolo_pdf, message_pdf, transaction_pdf

    language = document_language()
    if len(keys) > 1 and not together:
        return fascicolo_pdf(keys, opened.ledger, opened.reader, language)
    # What is said of a transaction is said where it is put together.
    with ExitStack() as held:
        path = index_path(settings.state)
        index = held.enter_context(IndexFile(path)) if opened.known and path.exists() else None
        with speaking(language):
            one = overview(keys[0], opened.ledger, opened.sinks, opened.reader, index, datetime.now(UTC))
            transaction = (
                None
                if len(keys) == 1 or one.transaction is None
                else check_short_receipts(one.transaction, opened.ledger, opened.reader)
            )
        if len(keys) == 1:
            return message_pdf(one, opened.reader, language)
        if transaction is not None:
            return transaction_pdf(transaction, opened.reader, language)
        return fascicolo_pdf(keys, opened.ledger, opened.reader, language)


def write_pdf(pdf: bytes, path: Path, *, as_json: bool) -> None:
    """Write a PDF and say where it is. What is there is not replaced: a number is added to the name.

    Raises:
        ArchipecError: it can't be written.
    """
    make_folder(path.parent)
    written = write_new_file(path.parent, path.name, pdf, keep_equal=True)
    key = ContentKey.of(pdf)
    shape: dict[str, Json] = {"file": str(written), "sha256": key.sha256, "size": key.size}
    click.echo(json_line(shape) if as_json else f"{key.sha256}  {printable(str(written))}")
