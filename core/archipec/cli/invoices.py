"""``archipec invoices``: the electronic invoices in what is archived, and what SdI said of each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from archipec.cli import Settings
from archipec.cli.terminal import count
from archipec.config.selection import read_selection
from archipec.durability import write_file
from archipec.errors import ATTENTION as NEEDS_A_PERSON
from archipec.errors import DONE, from_os_error
from archipec.index.database import IndexFile
from archipec.index.finding import Filters
from archipec.index.invoicing import ATTENTION, InvoiceEntry
from archipec.index.invoicing import invoices as all_invoices
from archipec.language import N_, _, pgettext
from archipec.message import Json
from archipec.report.spreadsheet import as_csv
from archipec.terminal import json_line, printable

_ROME = ZoneInfo("Europe/Rome")
_STATUS = {
    "received": N_("received", "invoice"),
    "delivered": N_("delivered", "invoice"),
    "not delivered": N_("not delivered", "invoice"),
    "rejected": N_("rejected", "invoice"),
    "accepted": N_("accepted", "invoice"),
    "refused": N_("refused", "invoice"),
    "no outcome": N_("no outcome", "invoice"),
    "waiting": N_("waiting", "invoice"),
    "missing": N_("missing", "invoice"),
}
_COLUMNS = (
    "date", "direction", "status", "number", "invoice_date", "type", "supplier", "supplier_id", "customer", "customer_id",
    "amount", "currency", "file", "identificativo_sdi", "notices", "sha256",
)  # fmt: skip


@click.command()
@click.option("--to", "urls", multiple=True, metavar="URL", help="Of this archive alone, without a ledger.")
@click.option(
    "--since",
    metavar="DATE",
    help="First day of the message: 2024-03-31, 2024-03, 2024 or an age: 30d, 6m, 1y.",
)
@click.option("--until", metavar="DATE", help="Last day.")
@click.option("--direction", type=click.Choice(("in", "out")), help="Received, or sent.")
@click.option(
    "--missing", is_flag=True, help="Only what needs a person: rejected, not delivered, refused, no notice."
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a table for a spreadsheet.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an invoice.")
@click.pass_obj
def invoices(
    settings: Settings,
    urls: tuple[str, ...],
    since: str | None,
    until: str | None,
    direction: str | None,
    csv_file: Path | None,
    *,
    missing: bool,
    as_json: bool,
) -> int:
    """List electronic invoices (FatturaPA), and what became of those that were sent, by the notices of SdI.

    \b
      archipec invoices --since 2026-01
      archipec invoices --missing
      archipec invoices --csv fatture.csv

    An invoice that is attached to several messages is listed once. Exit code 3: one that was sent needs a person.
    """
    asked = {name: day for name, day in (("since", since), ("until", until)) if day}
    first, after = read_selection(asked, _("command line")).period
    filters = Filters(invoices=True, since=first, until=after)
    attention = shown = 0
    rows: list[dict[str, Json]] = []
    with ExitStack() as held:
        for index in _indexes(settings, urls, held):
            for one in all_invoices(index, filters, time.time()):
                needed = one.status in ATTENTION
                if (direction and one.direction != direction) or (missing and not needed):
                    continue
                attention += needed
                shown += 1
                if csv_file is not None:
                    rows.append(_row(one))
                elif as_json:
                    click.echo(json_line(_as_json(one)))
                else:
                    click.echo(_as_text(one))
    if csv_file is not None:
        _write(csv_file, rows)
    if not as_json:
        click.echo(
            _("{shown} invoices, {attention} need a person").format(
                shown=count(shown), attention=count(attention)
            ),
            err=True,
        )
    return NEEDS_A_PERSON if attention else DONE


def _indexes(settings: Settings, urls: Iterable[str], held: ExitStack) -> Iterator[IndexFile]:
    if not urls:
        from archipec.index.search import open_index_and_ledger

        yield held.enter_context(open_index_and_ledger(settings.state))[0]
        return
    # Slow to import, and seldom needed.
    from archipec.cli.index import up_to_date_index
    from archipec.cli.pipelines import sinks_at

    for sink in sinks_at(urls):
        yield held.enter_context(up_to_date_index(settings, sink))


def _as_text(one: InvoiceEntry) -> str:
    invoice = one.invoice
    status = pgettext("invoice", _STATUS[one.status])
    status = status.upper() if one.status in ATTENTION else status
    said = _("{number} of {date}").format(number=invoice.number or _("(no number)"), date=invoice.date)
    first = f"{_day(one.date)}  {status:<13}  {said}"
    lines = [
        click.style(printable(first), fg="red", bold=True) if one.status in ATTENTION else printable(first),
        "  "
        + printable(f"{invoice.supplier or invoice.supplier_id} > {invoice.customer or invoice.customer_id}"),
        "  " + printable(f"{invoice.amount or _('amount unknown')} {invoice.currency}  {invoice.file_name}"),
    ]
    for notice in one.notices:
        said = f"{notice.notice.code} {notice.notice.outcome} {notice.notice.description}"
        lines.append("  " + printable(" ".join(f"{_day(notice.date)} SdI {said}".split())))
    return "\n".join(lines)


def _row(one: InvoiceEntry) -> dict[str, Json]:
    """The columns of the table."""
    invoice = one.invoice
    numbers = dict.fromkeys(notice.notice.identificativo_sdi for notice in one.notices)
    return {
        "date": _day(one.date) if one.date else "",
        "direction": one.direction,
        "status": one.status,
        "number": invoice.number,
        "invoice_date": invoice.date,
        "type": invoice.document_type,
        "supplier": invoice.supplier,
        "supplier_id": invoice.supplier_id,
        "customer": invoice.customer,
        "customer_id": invoice.customer_id,
        "amount": invoice.amount,
        "currency": invoice.currency,
        "file": invoice.file_name,
        "identificativo_sdi": next((number for number in numbers if number), ""),
        "notices": " ".join(notice.notice.code for notice in one.notices),
        "sha256": one.key.sha256,
    }


def _as_json(one: InvoiceEntry) -> dict[str, Json]:
    return _row(one) | {
        "date": datetime.fromtimestamp(one.date, _ROME).isoformat() if one.date else None,
        "notices": [
            {
                "code": notice.notice.code,
                "date": datetime.fromtimestamp(notice.date, _ROME).isoformat() if notice.date else None,
                "outcome": notice.notice.outcome,
                "description": notice.notice.description,
                "sha256": notice.key.sha256,
            }
            for notice in one.notices
        ],
    }


def _write(path: Path, rows: Iterable[dict[str, Json]]) -> None:
    table = as_csv(_COLUMNS, ([row[name] for name in _COLUMNS] for row in rows))
    try:
        write_file(path, table)
    except OSError as error:
        raise from_os_error(error, path) from error


def _day(date: int) -> str:
    return f"{datetime.fromtimestamp(date, _ROME):%Y-%m-%d}" if date else _("date unknown")
