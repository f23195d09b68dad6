"""The PDF of one message: what it says, its certification data, its seal, what is attached to it, and where it is held."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from archipec.errors import IntegrityError
from archipec.index.overview import MessageOverview
from archipec.index.record import IndexedMessage, Place, Role
from archipec.language import _, current
from archipec.message import ContentKey
from archipec.pec.extract import attached_parts
from archipec.pec.kind import known_kind
from archipec.pec.mime import Part, entity
from archipec.pec.recall import recall
from archipec.pec.structure import parse_structure
from archipec.report.pdf import words
from archipec.report.pdf.cards import attached_files, card, checking, seal_rows, some
from archipec.report.pdf.document import (
    Block,
    Box,
    Embedded,
    FactList,
    Heading,
    PdfDocument,
    Table,
    Value,
    WrittenText,
    fixed,
    hash_of,
    quiet,
    tinted,
)
from archipec.report.pdf.text import byte_count, lines_of, moment, one_line

__all__ = ["message_document"]

_MOST_TEXT: Final = 200_000  # characters
_MOST_PEOPLE: Final = 200
_MOST_FILES: Final = 1000


def message_document(one: MessageOverview, raw: bytes) -> PdfDocument:
    """Return the document of a message, in the language that is spoken.

    Args:
        raw: the message's bytes.
    """
    content = one.content
    date = content.certified or content.dated
    record = recall(0, one.key, None if date is None else datetime.fromtimestamp(date, UTC), one.facts)
    name = f"{known_kind(content.kind).word.lower().replace(' ', '-')}.eml"
    title = words.kind_name(content.kind)
    file = Embedded(name=name, size=one.key.size, read=lambda: raw, description=title)
    blocks: list[Block] = [
        Box(
            [
                tinted(
                    _("Seal of the provider: {verdict}").format(verdict=words.seal_name(record.seal)),
                    words.seal_tint(record.seal),
                ),
                words.seal_meaning(record.seal),
            ],
            words.seal_tint(record.seal),
        ),
        _heading(content, date),
        *_text(content),
        *_files(content, raw),
        Heading(_("Certification data") if record.identificativo else _("Facts of the message")),
        card(record, with_seal=False, most=_MOST_PEOPLE),
        Heading(_("Seal")),
        FactList(seal_rows(one.facts["seal"])),
        *(
            []
            if one.judged
            else [Box([_("Not judged yet when it was archived: by the roots of PEC alone.")])]
        ),
        *_held(one),
        *attached_files([(file, one.key)]),
        *checking(),
    ]
    return PdfDocument(
        title=f"{title[:1].upper()}{title[1:]}",
        subtitle=one_line(content.subject, 300) or _("(no subject)"),
        date=datetime.fromtimestamp(date or 0, UTC),
        language=current(),
        blocks=blocks,
        embedded=[file],
    )


def _heading(content: IndexedMessage, date: int | None) -> Block:
    rows: list[tuple[str, Value]] = [
        (_("Subject"), one_line(content.subject) or _("(no subject)")),
        (_("Date and time"), moment(date) or _("date unknown")),
    ]
    for label, role in (
        (_("From"), Role.FROM),
        (_("To"), Role.TO),
        (_("Copy to"), Role.CC),
        (_("Blind copy to"), Role.BCC),
    ):
        people = [
            f"{who.name} <{who.address}>" if who.name else who.address
            for who in content.parties
            if who.role is role
        ]
        if people:
            rows.append((label, some(people, _MOST_PEOPLE)))
    return FactList(rows)


def _text(content: IndexedMessage) -> Iterator[Block]:
    place = Place.INNER
    texts = [one.text for one in content.texts if one.place is place]
    if not texts:
        place = Place.ENVELOPE
        texts = [one.text for one in content.texts if one.place is place]
    text = "\n\n".join(texts)
    if not text:
        return
    yield Heading(_("Text of the message") if place is Place.INNER else _("Text of the provider"))
    lines, whole = lines_of(text, _MOST_TEXT)
    yield WrittenText(lines)
    notes = [one_line(problem) for problem in content.problems]
    if not whole:
        notes.append(_("The text is longer: the attached message has all of it."))
    if notes:
        yield Box(notes)


def _files(content: IndexedMessage, raw: bytes) -> Iterator[Block]:
    inside = parse_structure(raw).postacert
    try:
        message: Part = entity(raw) if inside is None else entity(inside.content())
    except IntegrityError as error:
        yield Box([one_line(error.message)], "bad")
        return
    signers = {one.path: one.signers for one in content.attachments}
    rows: list[list[Value]] = []
    for number, part in enumerate(attached_parts(message), 1):
        if number > _MOST_FILES:
            rows.append(["", _("There are more: the attached message has them all."), "", ""])
            break
        called = one_line(part.name, 200) or _("(unnamed)")
        by = [
            _("signed by {name}, not checked").format(name=one_line(who))
            for who in signers.get(part.name, ())
        ]
        try:
            data = part.content()
        except IntegrityError as error:
            rows.append([str(number), called, one_line(part.media_type), "–", one_line(error.message)])
            continue
        kind, size = one_line(part.media_type), byte_count(len(data))
        rows.append([str(number), [called, *map(quiet, by)], kind, size, hash_of(ContentKey.of(data))])
    if rows:
        yield Heading(_("Attachments of the message"))
        yield Table(
            columns=(0, 6, 5, 0),
            header=[_("No."), _("Name"), _("Content type"), _("Size")],
            rows=rows,
            right=(0, 3),
        )


def _held(one: MessageOverview) -> Iterator[Block]:
    if not one.copies:
        return
    yield Heading(_("Archives that hold it"))
    yield Table(
        columns=(6, 3, 4),
        header=[_("Archive"), _("Stored"), _("Read back and compared")],
        rows=[
            [fixed(one_line(copy.where)), moment(copy.stored) or "–", moment(copy.verified) or _("not yet")]
            for copy in one.copies
        ],
    )
