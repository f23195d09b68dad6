"""``archipec receipts``: lists what was sent and what became of it, and what was received; exports the files of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from archipec.cli import Settings
from archipec.cli.archives import OpenArchives, ledger_knows, open_archives
from archipec.cli.documents import document_language
from archipec.cli.filters import chosen_messages, message_filters
from archipec.cli.marking import Marking, mark_transactions
from archipec.cli.naming import only_transaction
from archipec.cli.pipelines import chosen, sinks_at
from archipec.cli.terminal import count, on_signals
from archipec.cli.transactions import as_json, as_text, headline, messages_of
from archipec.cli.trusting import trust_options
from archipec.config.endpoint import Endpoint
from archipec.config.selection import Selection, read_selection
from archipec.config.url import is_url
from archipec.contract import SinkType
from archipec.custody.ledger import Ledger
from archipec.custody.receipts.archive_reader import ArchiveReader, MessageReader
from archipec.custody.receipts.export import Export, export_transaction
from archipec.custody.receipts.query import TransactionFilter, check_short_receipts, find, transactions
from archipec.custody.run import Cancellation, Run
from archipec.errors import ATTENTION, DONE, ArchipecError, Interrupted, exit_code
from archipec.index.search import SearchRequest, message_request
from archipec.language import _, speaking
from archipec.new_files import write_new_file
from archipec.pec.anchors import TrustFiles
from archipec.pec.transactions import Transaction
from archipec.terminal import printable, say_error

DOCUMENT = "riepilogo.pdf"
"""Name of the PDF in an export."""


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]... [ID]")
@click.option(
    "--from",
    "senders",
    multiple=True,
    metavar="ADDRESS|URL",
    help="Sent by: an address, a name, or a part. A URL is the source of an ad hoc run, with --to.",
)
@click.option(
    "--to",
    "recipients",
    multiple=True,
    metavar="ADDRESS|URL",
    help="Sent to. A URL is an archive of an ad hoc run or, without --from URL, any archive, also one without its ledger.",
)
@click.option("--missing", is_flag=True, help="Show only what needs a person.")
@click.option("--since", metavar="DATE", help="First day: 2024-03-31, 2024-03, 2024 or an age: 30d, 6m, 1y.")
@click.option("--until", metavar="DATE", help="Last day.")
@click.option(
    "--direction", type=click.Choice(("in", "out", "all")), default="all", help="Received, sent or both."
)
@click.option("--party", default="", metavar="ADDRESS", help="Sender or recipient, or a part of the address.")
@message_filters
@click.option("--subject", default="", metavar="WORDS", help="Words that are all in the subject.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the newest N.")
@click.option(
    "--export",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write to DIR the sent message that ID names, its acceptance and every delivery receipt; or the received one.",
)
@click.option(
    "--handled",
    multiple=True,
    metavar="ID",
    help="Mark this one as dealt with: it needs a person no more, until something else goes wrong; may be repeated, - reads"
    " ids from stdin, one a line.",
)
@click.option("--note", default="", metavar="TEXT", help="With --handled: what was done about it.")
@click.option("--reopen", multiple=True, metavar="ID", help="Take back what --handled marked.")
@trust_options
@click.option(
    "--json", "as_json_", is_flag=True, help="Print one JSON object a transaction, or for the export."
)
@click.pass_obj
def receipts(
    settings: Settings,
    /,
    names: tuple[str, ...],
    senders: tuple[str, ...],
    recipients: tuple[str, ...],
    since: str | None,
    until: str | None,
    direction: str,
    party: str,
    subject: str,
    limit: int | None,
    directory: Path | None,
    handled: tuple[str, ...],
    note: str,
    reopen: tuple[str, ...],
    trust: TrustFiles,
    *,
    missing: bool,
    as_json_: bool,
    **filters: Any,
) -> int:
    """Say what became of every message sent: accepted, delivered to whom, failed, or still without a receipt.

    \b
      archipec receipts
      archipec receipts studio --missing
      archipec receipts --direction in --since 2026-09 --party comune --subject "accesso atti"
      archipec receipts --to comune.example.it --attachment '*.p7m' --missing
    What a lawyer files for one notice (L. 53/1994); ID is a Message-ID, a PEC identifier or words:
      archipec receipts --export notifica '<20260915.1234@studio.example>'
    A notice that was received, by words of its subject:
      archipec receipts --export ricevuta --direction in "accesso atti"
    What someone has dealt with needs a person no more:
      archipec receipts --handled '<20260915.1234@studio.example>' --note "sent again by registered post"
      archipec receipts --missing --until 90d --json | jq -r .id | archipec receipts --handled - --note "before my time"

    Only receipts with a valid seal count. What is archived but was not judged yet is left out, and said. Exit code 3:
    something needs a person; with --export: something is missing for a complete filing.
    """
    marking = Marking.of(handled, reopen, note)
    wanted = TransactionFilter(
        period=_period(since, until), direction=direction, party=party, subject=subject
    )
    from_url = next((one for one in senders if is_url(one)), None)
    to_urls = [one for one in recipients if is_url(one)]
    senders, recipients = (tuple(one for one in given if not is_url(one)) for given in (senders, recipients))
    request = None
    if any((senders, recipients, *filters.values())):
        request = replace(message_request(filters), senders=senders, recipients=recipients)
    sinks, words = _archives(settings, names, from_url, to_urls, exporting=directory is not None)
    stop = Cancellation()
    alone = bool(to_urls) and from_url is None
    # Before the archives are opened: they have one lock.
    only = None if request is None else _chosen(settings, request, sinks, alone=alone)
    with on_signals(stop), _opened(settings, sinks, stop, trust, alone=alone) as opened:
        ledger, numbers, reader = opened.ledger, opened.sinks, opened.reader
        codes = [_say_unjudged(ledger.transactions.left_unjudged(numbers))]
        if marking:
            codes.append(mark_transactions(opened, marking, direction, as_json=as_json_))
        elif directory is not None:
            meant = partial(_meant, opened, only, words, direction)
            codes.append(_export(meant, reader, directory, as_json_=as_json_))
        else:
            found = _with_any(only, transactions(ledger, numbers, wanted, datetime.now(UTC)))
            checked = (check_short_receipts(one, ledger, reader) for one in _until(stop, found))
            codes.append(_list(checked, limit, missing=missing, as_json_=as_json_))
    return exit_code([*codes, Interrupted.exit_code if stop.is_set() else DONE])


def _chosen(
    settings: Settings, request: SearchRequest, sinks: Sequence[Endpoint[SinkType[Any]]], *, alone: bool
) -> frozenset[str]:
    unknown = alone and not ledger_knows(settings, sinks)
    return chosen_messages(settings, request, sinks if unknown else ())


def _period(since: str | None, until: str | None) -> Selection:
    days = {name: day for name, day in (("since", since), ("until", until)) if day}
    return read_selection(days, _("command line"))


@contextmanager
def _opened(
    settings: Settings,
    sinks: Sequence[Endpoint[SinkType[Any]]],
    stop: Cancellation,
    trust: TrustFiles,
    *,
    alone: bool,
) -> Iterator[OpenArchives]:
    """Open archives: by the ledger, or, where they may stand alone and it does not know them, by their own record."""
    if alone:
        with open_archives(settings, sinks, stop, trust) as opened:
            yield opened
        return
    with (
        Ledger(settings.state / "ledger.sqlite3") as ledger,
        ArchiveReader(sinks, Run(ledger, settings.state, stop)) as reader,
    ):
        numbers = [ledger.copies.sink_number(sink.where) for sink in sinks]
        if not any(map(ledger.copies.knows_copies, numbers)):
            click.echo(
                _("warning: the ledger knows nothing of {archives}").format(
                    archives=", ".join(sink.where for sink in sinks)
                ),
                err=True,
            )
            click.echo(_("hint: `archipec archive` records what an archive holds"), err=True)
        yield OpenArchives(ledger, numbers, reader, known=True)


def _archives(
    settings: Settings, names: Sequence[str], from_url: str | None, to_urls: Sequence[str], *, exporting: bool
) -> tuple[list[Endpoint[SinkType[Any]]], str]:
    """The archives a command line means, and the words in it that are no pipelines."""
    words: Sequence[str] = ()
    if to_urls and (exporting or not names):
        words = names
        if from_url is None:
            sinks = sinks_at(to_urls)
        else:
            sinks = [sink for one in chosen(settings, (), from_url, to_urls) for sink in one.archives]
    else:
        pipelines = chosen(settings, () if exporting else names, from_url, to_urls)
        if exporting:
            known = {one.name for one in pipelines}
            first = next((at for at, name in enumerate(names) if name not in known), len(names))
            words = names[first:]
            pipelines = tuple(one for one in pipelines if not first or one.name in names[:first])
        sinks = [sink for one in pipelines for sink in one.archives]
    if exporting and not "".join(words).strip():
        raise click.UsageError(
            _("say what to export: a Message-ID, a PEC identifier, or words of its subject")
        )
    return list({sink.where: sink for sink in sinks}.values()), " ".join(words)


def _with_any(only: frozenset[str] | None, found: Iterable[Transaction]) -> Iterator[Transaction]:
    """Leave out what has none of these messages, by their SHA-256; None leaves out nothing."""
    for one in found:
        if only is None or any(record.key.sha256 in only for record in messages_of(one)):
            yield one


def _until(stop: Cancellation, found: Iterable[Transaction]) -> Iterator[Transaction]:
    for one in found:
        if stop.is_set():
            return
        yield one


def _say_unjudged(number: int) -> int:
    if not number:
        return DONE
    click.echo(
        _("warning: {number} archived messages were not judged yet and are left out").format(
            number=count(number)
        ),
        err=True,
    )
    click.echo(_("hint: `archipec archive` judges them, unless --no-seals is given"), err=True)
    return ATTENTION


# -- the list ------------------------------------------------------------------------------------------


def _list(found: Iterable[Transaction], limit: int | None, *, missing: bool, as_json_: bool) -> int:
    shown = total = attention = 0
    for one in found:
        total += 1
        attention += one.needs_attention
        if (missing and not one.needs_attention) or (limit is not None and shown >= limit):
            continue
        shown += 1
        click.echo(json.dumps(as_json(one)) if as_json_ else as_text(one))
    if not as_json_:
        click.echo(
            _("{total} transactions, {attention} need a person").format(
                total=count(total), attention=count(attention)
            ),
            err=True,
        )
    return ATTENTION if attention else DONE


# -- the export ----------------------------------------------------------------------------------------


def _export(
    meant: Callable[[], Transaction], reader: MessageReader, directory: Path, *, as_json_: bool
) -> int:
    """Export a transaction.

    Args:
        meant: puts it together, with sentences in the language that is spoken.
    """
    transaction = _in_language_of_document(meant)
    with speaking(document_language()):
        exported = export_transaction(transaction, reader, directory)
    codes = [error.exit_code for error in exported.errors]
    document: Path | None = None
    try:
        document = _write_document(transaction, reader, directory)
    except ArchipecError as error:
        # The messages are there, and they are what counts.
        say_error(error)
        codes.append(ATTENTION)
    if as_json_:
        name = None if document is None else document.name
        click.echo(json.dumps({**exported.as_json(), "document": name}))
    else:
        _show(exported, document)
    return exit_code([*codes, DONE if exported.complete else ATTENTION])


def _meant(opened: OpenArchives, only: frozenset[str] | None, words: str, direction: str) -> Transaction:
    """Put together the transaction that an export is asked of."""
    found = find(opened.ledger, opened.sinks, words, datetime.now(UTC), direction)
    one = only_transaction(words, list(_with_any(only, found)), direction)
    return check_short_receipts(one, opened.ledger, opened.reader)


def _in_language_of_document(meant: Callable[[], Transaction]) -> Transaction:
    try:
        with speaking(document_language()):
            return meant()
    except ArchipecError:
        # Said to who asks, in the language of theirs.
        meant()
        raise


def _write_document(one: Transaction, reader: MessageReader, directory: Path) -> Path | None:
    """Write the PDF of a transaction beside its messages, where the extra for it is installed."""
    # Slow to import, and seldom needed.
    from archipec.report.pdf.making import transaction_pdf
    from archipec.report.pdf.typesetting import is_available

    if not is_available():
        return None
    pdf = transaction_pdf(one, reader, document_language())
    return write_new_file(directory, DOCUMENT, pdf, keep_equal=True)


def _show(exported: Export, document: Path | None) -> None:
    click.echo(headline(exported.transaction))
    for one in exported.files:
        click.echo(f"  {one.sha256}  {printable(str(one.path))}")
    if document is not None:
        click.echo("  " + _("PDF of all: {path}").format(path=printable(str(document))))
    for note in exported.notes:
        click.echo("  " + _("note: {note}").format(note=printable(note)))
    if exported.complete:
        click.echo(click.style(_("COMPLETE"), bold=True))
        return
    click.echo(click.style(_("NOT COMPLETE"), fg="red", bold=True) + _(", missing:"))
    for what in exported.missing:
        click.echo(f"  {printable(what)}")
