"""From a message to what is searched of it. A function of the bytes alone; worker processes run it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from archipec.errors import IntegrityError
from archipec.index.attachments import AttachmentReader, ReadingOptions
from archipec.index.extraction.limits import MAX_ENCODED, Extracted, too_large
from archipec.index.filings import filing_by_subject
from archipec.index.header import HeaderFields, clean_text, read_fields
from archipec.index.record import MAX_TEXT, Filing, IndexedMessage, IndexedText, Party, Place, Role
from archipec.pec.buffer import Octets
from archipec.pec.date import origin_date, received_date
from archipec.pec.headers import first_field, header_block, identifier
from archipec.pec.inspection import Inspection
from archipec.pec.kind import REM
from archipec.pec.mime import Part, entity
from archipec.pec.structure import Structure

__all__ = ["index_message"]


@dataclass(slots=True)
class _Found:
    """What was found so far."""

    texts: list[IndexedText] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left: int = MAX_TEXT

    def add(self, place: Place, text: str, attachment: int | None = None) -> None:
        """Keep a text, as far as there is room."""
        text = text.strip()
        if len(text) > self.left:
            text = text[: self.left]
            self.problems.append(f"only the first {MAX_TEXT:,} characters of the message are indexed")
        if text:
            self.left -= len(text)
            self.texts.append(IndexedText(place, text, attachment))

    def add_all(self, place: Place, bodies: Iterable[Extracted]) -> None:
        """Keep texts, and what is said of them."""
        for text, problem in bodies:
            self.add(place, text)
            if problem:
                self.problems.append(problem)


def index_message(
    raw: Octets,
    structure: Structure,
    inspection: Inspection,
    options: ReadingOptions = ReadingOptions(),  # noqa: B008
) -> IndexedMessage:
    """Return what is searched of a message, which may be any bytes. Raises nothing.

    Args:
        raw: the whole message.
        structure: of the message, from `parse_structure`.
        inspection: of the message, from `judge_dissected`.
        options: how attachments are read.
    """
    found = _Found()
    block = header_block(raw)
    fields = read_fields(block)
    certified = inspection.claims_certification
    inner = _original(structure, found) if certified else entity(raw)
    inner_fields = read_fields(header_block(inner.head)) if certified and inner is not None else fields
    reader = AttachmentReader(inner_fields.subject, options)
    if certified:
        for part in _written_by_provider(structure, inspection.system):
            found.add_all(Place.ENVELOPE, reader.read_bodies(part, repeats=False))
    if inner is not None:
        found.add_all(Place.INNER, reader.read_bodies(inner))
    for number, text in reader.texts:
        found.add(Place.ATTACHMENT, text, number)
    facts, evidence = inspection.certification, inspection.evidence
    date = inspection.date
    dated = (received_date(block) or origin_date(block)) if date is None else None
    subject = inner_fields.subject if inner is not None else ""
    subject = subject or (facts.oggetto if facts else "") or (evidence.subject if evidence else "")
    msgid = (facts.msgid if facts else None) or (evidence.ua_message_id if evidence else "")
    return IndexedMessage(
        kind=inspection.kind,
        system=inspection.system,
        seal=str(inspection.seal.status),
        certified=None if date is None else int(date.timestamp()),
        dated=None if dated is None else int(dated.timestamp()),
        subject=clean_text(subject) or fields.subject,
        envelope_subject=fields.subject,
        identificativo=clean_text(
            (facts.identificativo if facts else "") or (evidence.message_id if evidence else "")
        ),
        message_id=fields.message_id,
        inner_message_id=inner_fields.message_id if certified and inner is not None else "",
        msgid=identifier(msgid) or fields.riferimento,
        references=inner_fields.references,
        parties=tuple(
            dict.fromkeys(_parties(inspection, fields, inner_fields if inner is not None else None))
        ),
        attachments=tuple(reader.files),
        texts=tuple(found.texts),
        invoices=tuple(reader.invoices),
        sdi_messages=tuple(reader.sdi_messages),
        filings=_filings(reader, inner_fields.subject or fields.subject),
        problems=tuple(dict.fromkeys(found.problems)),
    )


def _original(structure: Structure, found: _Found) -> Part | None:
    """The original inside; None where there is none or its transfer encoding can't be undone."""
    part = structure.postacert
    if part is None:
        return None
    if not part.encoding.lower().startswith((b"base64", b"quoted-printable")):
        return entity(part.raw, part.body, part.end)
    if refusal := too_large(part.end - part.body, MAX_ENCODED):
        found.problems.append(f"the original message: {refusal}")
        return None
    try:
        return entity(part.content())
    except IntegrityError as error:
        found.problems.append(f"the original message: {error.message}")
        return None


def _filings(reader: AttachmentReader, subject: str) -> tuple[Filing, ...]:
    """What files say of filings; where no file does, what the subject says."""
    if reader.filings:
        return tuple(reader.filings)
    said = filing_by_subject(subject)
    return (said,) if said is not None else ()


def _written_by_provider(structure: Structure, system: str) -> Iterator[Part]:
    """The parts of a certified message that people read, without data for programs."""
    for part in structure.parts:
        if part is structure.daticert or part is structure.postacert:
            continue
        if system != REM or first_field(part.head, "REM-Section-Type") is None:
            yield part


def _parties(inspection: Inspection, outer: HeaderFields, inner: HeaderFields | None) -> Iterator[Party]:
    """Whom the certification data or evidence names, then whom the sender named."""
    facts, evidence = inspection.certification, inspection.evidence
    names = {one.address.lower(): one.name for one in (inner or outer).parties if one.name}

    def party(role: Role, address: str) -> Party:
        address = clean_text(address)
        return Party(role, address, names.get(address.lower(), ""))

    if inspection.claims_certification:
        provider = (facts.gestore if facts else "") or (evidence.issuer if evidence else "")
        for one in outer.parties:
            if one.role is Role.FROM:
                yield Party(Role.PROVIDER, one.address, clean_text(provider))
            elif facts is None and evidence is None and inner is None:
                yield one
    if evidence is not None:
        yield party(Role.FROM, evidence.sender)
        yield from (party(Role.TO, one.address) for one in evidence.recipients)
        yield from (party(Role.CONCERNED, one.address) for one in evidence.concerned)
    elif facts is not None:
        yield party(Role.FROM, facts.mittente)
        named = {one.address.lower() for one in (inner.parties if inner else ()) if one.role is not Role.FROM}
        yield from (
            party(Role.TO, one.address) for one in facts.destinatari if one.address.lower() not in named
        )
        if facts.consegna:
            yield party(Role.CONCERNED, facts.consegna)
    if inner is not None:
        yield from inner.parties
