"""The PDF of a transaction: what was sent, what became of it for each recipient, and every receipt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from archipec.custody.receipts.export import Export, ExportedFile
from archipec.errors import counted
from archipec.language import _, current
from archipec.message import ContentKey
from archipec.pec.kind import PEC
from archipec.pec.sentences import translated
from archipec.pec.transactions import ATTENTION, MessageRecord, Outcome, Recipient, SentFrom, Transaction
from archipec.report.pdf import cards, words
from archipec.report.pdf.cards import attached_files, card, check_number, checking, newest, some
from archipec.report.pdf.document import (
    Block,
    Box,
    Embedded,
    FactList,
    Heading,
    PdfDocument,
    Table,
    Tint,
    Value,
    fixed,
    page_of,
    quiet,
    tinted,
)
from archipec.report.pdf.text import moment, one_line

__all__ = ["transaction_document"]

_DISTANT = datetime.max.replace(tzinfo=UTC)


def transaction_document(export: Export) -> PdfDocument:
    """Return the document of an exported transaction, in the language that is spoken.

    Args:
        export: whose files are there.

    Raises:
        PermanentError: it has more messages, or more recipients, than one document holds.
    """
    one = export.transaction
    title = (
        _("{system} message sent and its receipts")
        if one.direction == "out"
        else _("{system} message received")
    ).format(system=(one.system or PEC).upper())
    events = _events(one)
    titles = {record.number: _title(record, one) for record in events}
    detailed = len(events) <= cards.DETAILED
    check_number(len(events), counted(len(events), "message"))
    check_number(len(one.recipients), counted(len(one.recipients), "recipient"))
    files = [(_embedded(file), ContentKey(file.sha256, file.size)) for file in export.files]
    return PdfDocument(
        title=title,
        subtitle=one_line(one.oggetto, 300) or _("(no subject)"),
        date=newest(record.date for record in events),
        language=current(),
        blocks=[
            _standing(export),
            _summary(one),
            *_recipients(one),
            *_list(events, titles, detailed=detailed),
            *(_cards(events, titles, export) if detailed else ()),
            *attached_files(files),
            *_remarks(export),
            *checking(),
        ],
        embedded=[embedded for embedded, _key in files],
    )


def _events(one: Transaction) -> list[MessageRecord]:
    """The messages of a transaction, each once, in the order of their dates; what was sent first."""
    sent = [] if one.sent is None else [one.sent.record]
    others = [] if one.acceptance is None else [one.acceptance]
    others += [receipt for who in one.recipients for receipt in who.receipts]
    others += [*one.envelopes, *one.unproven]
    others.sort(key=lambda record: record.date or _DISTANT)
    return list({record.number: record for record in (*sent, *others)}.values())


def _title(record: MessageRecord, one: Transaction) -> str:
    return _("message sent") if _is_copy(record, one) else words.kind_name(record.kind)


def _is_copy(record: MessageRecord, one: Transaction) -> bool:
    """Whether it is the copy that the sender kept."""
    return (
        one.sent is not None and one.sent.where is SentFrom.COPY and record.number == one.sent.record.number
    )


def _embedded(file: ExportedFile) -> Embedded:
    return Embedded(
        name=_name(file), size=file.size, read=file.path.read_bytes, description=_description(file)
    )


def _name(file: ExportedFile) -> str:
    """The name of a file; its number makes it one of its own."""
    return file.path.name.encode("ascii", "replace").decode("ascii").replace("?", "_")


def _description(file: ExportedFile) -> str:
    what = _("message sent") if file.what == "inviato" else file.what.replace("-", " ")
    return f"{what}: {file.recipient}" if file.recipient else what


def _standing(export: Export) -> Block:
    """How it stands, in the fewest words."""
    one = export.transaction
    delivered = sum(who.outcome is Outcome.DELIVERED for who in one.recipients)
    lines: list[Value] = [words.outcome(one.status)]
    if one.direction == "out" and one.recipients:
        if 0 < delivered < len(one.recipients):
            lines[0] = tinted(
                _("not delivered to every recipient"), "bad" if one.status in ATTENTION else "wait"
            )
        lines.append(
            _("delivery receipts: {delivered} of {recipients} recipients").format(
                delivered=delivered, recipients=len(one.recipients)
            )
        )
    lines.append(
        _("The attached messages are complete.")
        if export.complete
        else _("The attached messages are not complete: see the end of this document.")
    )
    tint: Tint = "bad" if one.status in ATTENTION else "good" if export.complete else "wait"
    return Box(lines, tint)


def _summary(one: Transaction) -> Block:
    heading = one.acceptance or next(iter(one.envelopes), None)
    rows: list[tuple[str, Value]] = [
        (_("Subject"), one_line(one.oggetto) or _("(no subject)")),
        (_("Date and time"), moment(one.date) or _("date unknown")),
        (_("System"), words.system_name(one.system)),
        (_("Sender"), one_line(one.mittente)),
        (_("Provider"), one_line(heading.gestore) if heading is not None else ""),
        (_("Identifier"), fixed(one_line(one.identificativo)) if one.identificativo else ""),
        (_("Message-ID (msgid)"), fixed(one_line(one.msgid)) if one.msgid else ""),
        (_("In answer to"), fixed(one_line(one.answers)) if one.answers else ""),
    ]
    return FactList([(name, value) for name, value in rows if value])


def _recipients(one: Transaction) -> Iterator[Block]:
    if not one.recipients:
        return
    yield Heading(_("Recipients"))
    rows: list[list[Value]] = []
    for who in one.recipients:
        cells: list[Value] = [
            one_line(who.address),
            words.recipient_type(who.tipo) or "–",
            words.outcome(who.outcome),
            moment(who.decisive.date) if who.decisive is not None else "–",
            _receipt_type(who),
        ]
        # That of an uncertified mailbox is the outcome itself.
        notes = () if who.outcome is Outcome.ORDINARY else who.notes
        remarks = (*(problem.text for problem in who.problems), *notes)
        said = [quiet(one_line(translated(one))) for one in remarks]
        rows.append([*cells, said] if said else cells)
    yield Table(
        columns=(5, 3, 4, 3, 2),
        header=[_("Recipient"), _("Mailbox"), _("Outcome"), _("Date and time"), _("Receipt")],
        rows=rows,
    )


def _receipt_type(who: Recipient) -> str:
    return one_line(who.decisive.ricevuta) or "–" if who.decisive is not None else "–"


def _list(events: list[MessageRecord], titles: Mapping[int, str], *, detailed: bool) -> Iterator[Block]:
    yield Heading(_("Messages in the order of time"))
    yield Table(
        columns=(0, 4, 5, 5, 4, 2, 0),
        header=[
            _("No."),
            _("Date and time"),
            _("Type"),
            _("About whom"),
            _("Provider"),
            _("Sealed"),
            _("Page") if detailed else "",
        ],
        rows=[
            [
                str(number),
                moment(record.date) or _("date unknown"),
                titles[record.number],
                some(record.about) or "–",
                one_line(record.gestore) or "–",
                words.seal(record.seal),
                page_of(f"message-{number}") if detailed else "",
            ]
            for number, record in enumerate(events, 1)
        ],
        right=(0, 6),
    )


def _cards(events: list[MessageRecord], titles: Mapping[int, str], export: Export) -> Iterator[Block]:
    names = {file.sha256: _name(file) for file in export.files}
    given = next((_name(file) for file in export.files if file.what == "inviato"), "")
    yield Heading(_("Messages one by one"))
    for number, record in enumerate(events, 1):
        title = titles[record.number]
        name = names.get(record.key.sha256) or (given if _is_copy(record, export.transaction) else "")
        yield Heading(f"{number}. {title[:1].upper()}{title[1:]}", 3, f"message-{number}")
        yield card(record, name)


def _remarks(export: Export) -> Iterator[Block]:
    """What is missing and what is good to know."""
    one = export.transaction
    if export.missing:
        yield Heading(_("Missing for a complete filing"))
        yield Box([one_line(translated(what)) for what in export.missing], "bad")
    known = {f"{who.address}: {note}" for who in one.recipients for note in who.notes}
    notes = [note for note in export.notes if note not in known]
    if notes:
        yield Heading(_("Remarks"))
        yield Box([one_line(translated(note)) for note in notes])
