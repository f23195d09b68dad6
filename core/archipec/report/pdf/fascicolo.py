"""The PDF of a selection of messages, with an index: what in Italian is called a *fascicolo*."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from archipec.errors import counted
from archipec.language import _, current, written
from archipec.message import ContentKey
from archipec.pec.kind import known_kind
from archipec.pec.transactions import MessageRecord
from archipec.report.pdf import cards, words
from archipec.report.pdf.cards import attached_files, card, check_number, checking, newest, short_recipients
from archipec.report.pdf.document import (
    Block,
    Embedded,
    FactList,
    Heading,
    PdfDocument,
    Table,
    Value,
    hash_of,
    page_of,
)
from archipec.report.pdf.text import byte_count, moment, one_line

__all__ = ["FiledMessage", "fascicolo_document"]


class FiledMessage(NamedTuple):
    """A message of a selection: what is known of it, and its bytes when they are asked for."""

    record: MessageRecord
    read: Callable[[ContentKey], bytes]


def fascicolo_document(messages: Sequence[FiledMessage]) -> PdfDocument:
    """Return the document of a selection of messages, the oldest first, in the language that is spoken.

    Raises:
        PermanentError: there are more than `archipec.report.pdf.cards.MAX_MESSAGES`.
    """
    check_number(len(messages), counted(len(messages), "message"))
    ordered = sorted(messages, key=lambda one: (newest([one.record.date]), one.record.key))
    files = [(_embedded(number, one), one.record.key) for number, one in enumerate(ordered, 1)]
    records = [one.record for one in ordered]
    detailed = len(records) <= cards.DETAILED
    names = [embedded.name for embedded, _key in files]
    blocks: list[Block] = [_summary(records), *_index(records, names, detailed=detailed)]
    if detailed:
        blocks += [*_cards(records, names), *attached_files(files)]
    return PdfDocument(
        title=_("File of certified mail"),
        subtitle=counted(len(records), "message"),
        date=newest(one.date for one in records),
        language=current(),
        blocks=[*blocks, *checking()],
        embedded=[embedded for embedded, _key in files],
    )


def _embedded(number: int, one: FiledMessage) -> Embedded:
    record, read = one
    word = known_kind(record.kind).word.lower().replace(" ", "-")
    return Embedded(
        name=f"{number:04}-{word}.eml",
        size=record.key.size,
        read=lambda: read(record.key),
        description=words.kind_name(record.kind),
    )


def _summary(records: Sequence[MessageRecord]) -> Block:
    dates = sorted(one.date for one in records if one.date is not None)
    seals: dict[str, int] = {}
    for one in records:
        seals[one.seal] = seals.get(one.seal, 0) + 1
    rows: list[tuple[str, Value]] = [
        (_("Messages"), written(len(records))),
        (_("Size of all"), byte_count(sum(one.key.size for one in records))),
        (_("Oldest"), moment(dates[0]) if dates else ""),
        (_("Newest"), moment(dates[-1]) if dates else ""),
        (
            _("Seals"),
            [f"{words.seal_name(status)}: {written(number)}" for status, number in sorted(seals.items())],
        ),
    ]
    return FactList([(name, value) for name, value in rows if value])


def _index(records: Sequence[MessageRecord], names: Sequence[str], *, detailed: bool) -> Iterator[Block]:
    rows: list[list[Value]] = []
    for number, (one, name) in enumerate(zip(records, names, strict=True), 1):
        parties = f"{one_line(one.mittente, 120) or '–'} → {short_recipients(one) or '–'}"
        rows.append(
            [
                str(number),
                moment(one.date) or _("date unknown"),
                words.kind_name(one.kind),
                one_line(one.oggetto, 160) or _("(no subject)"),
                words.seal(one.seal),
                page_of(f"message-{number}") if detailed else "",
                parties if detailed else [parties, hash_of(one.key), f"{name}, {byte_count(one.key.size)}"],
            ]
        )
    yield Heading(_("Index"))
    yield Table(
        columns=(0, 4, 4, 8, 2, 0),
        header=[
            *(_("No."), _("Date and time"), _("Type"), _("Subject"), _("Sealed")),
            _("Page") if detailed else "",
        ],
        rows=rows,
        right=(0, 5),
    )


def _cards(records: Sequence[MessageRecord], names: Sequence[str]) -> Iterator[Block]:
    yield Heading(_("Messages one by one"))
    for number, (one, name) in enumerate(zip(records, names, strict=True), 1):
        title = words.kind_name(one.kind)
        yield Heading(f"{number}. {title[:1].upper()}{title[1:]}", 3, f"message-{number}")
        yield card(one, name)
