"""From a message to what is searched of it. A function of the bytes alone; worker processes run it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from archipec.errors import IntegrityError
from archipec.index.extraction.mail import leaves, part_text
from archipec.index.header import HeaderFields, clean_text, read_fields
from archipec.index.record import MAX_TEXT, AttachedFile, IndexedMessage, IndexedText, Party, Place, Role
from archipec.pec.buffer import Octets
from archipec.pec.date import origin_date, received_date
from archipec.pec.headers import first_field, header_block, identifier, raw_text
from archipec.pec.inspection import Inspection
from archipec.pec.mime import Part, entity
from archipec.pec.structure import Structure

__all__ = ["index_message"]


@dataclass(slots=True)
class _Found:
    """What was found so far."""

    texts: list[IndexedText] = field(default_factory=list)
    attachments: list[AttachedFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    room: int = MAX_TEXT
    left_out: int = 0

    def add_text(self, place: Place, text: str, attachment: int | None = None) -> None:
        text = text.strip()
        if len(text) > self.room:
            self.left_out += len(text) - self.room
            text = text[: self.room]
        if text:
            self.room -= len(text)
            self.texts.append(IndexedText(place, text, attachment))


def index_message(raw: Octets, structure: Structure, inspection: Inspection) -> IndexedMessage:
    """Return what is searched of a message, which may be any bytes. Raises nothing.

    Args:
        raw: the whole message.
        structure: of the message, from `parse_structure`.
        inspection: of the message, from `judge_dissected`.
    """
    found = _Found()
    block = header_block(raw)
    fields = read_fields(block)
    certified = inspection.claims_certification
    inner = _original(structure, found) if certified else entity(raw)
    if certified:
        for part in structure.parts:
            if part is not structure.daticert and part is not structure.postacert:
                _read(part, Place.ENVELOPE, found)
    inner_fields = fields
    if inner is not None:
        _read(inner, Place.INNER, found)
        if certified:
            inner_fields = read_fields(header_block(inner.head))
    facts, evidence = inspection.certification, inspection.evidence
    dated = received_date(block) or origin_date(block)
    subject = inner_fields.subject if inner is not None else ""
    subject = subject or (facts.oggetto if facts else "") or (evidence.subject if evidence else "")
    reference = first_field(block, "X-Riferimento-Message-ID") or b""
    msgid = (facts.msgid if facts else None) or (evidence.ua_message_id if evidence else "")
    return IndexedMessage(
        kind=inspection.kind,
        system=inspection.system,
        seal=str(inspection.seal.status),
        certified=None if inspection.date is None else int(inspection.date.timestamp()),
        dated=None if dated is None else int(dated.timestamp()),
        subject=clean_text(subject) or fields.subject,
        envelope_subject=fields.subject,
        identificativo=clean_text(
            (facts.identificativo if facts else "") or (evidence.message_id if evidence else "")
        ),
        message_id=fields.message_id,
        inner_message_id=inner_fields.message_id if certified and inner is not None else "",
        msgid=identifier(msgid) or identifier(raw_text(reference)) or "",
        references=inner_fields.references,
        parties=tuple(
            dict.fromkeys(_parties(inspection, fields, inner_fields if inner is not None else None))
        ),
        attachments=tuple(found.attachments),
        texts=tuple(found.texts),
        left_out=found.left_out,
        problems=tuple(dict.fromkeys(found.problems)),
    )


def _original(structure: Structure, found: _Found) -> Part | None:
    """The original inside; None where there is none or its transfer encoding can't be undone."""
    part = structure.postacert
    if part is None:
        return None
    if not part.encoding.lower().startswith((b"base64", b"quoted-printable")):
        return entity(part.raw, part.body, part.end)
    try:
        return entity(part.content())
    except IntegrityError as error:
        found.problems.append(f"the original message: {error.message}")
        return None


def _read(part: Part, place: Place, found: _Found) -> None:
    for leaf, is_file in leaves(part):
        if is_file:
            found.attachments.append(
                AttachedFile(
                    path=clean_text(leaf.name).replace("/", "_"),
                    media_type=leaf.media_type,
                    size=leaf.end - leaf.body,
                )
            )
        elif leaf.media_type == "text/plain":
            try:
                text, oddity = part_text(leaf)
            except IntegrityError as error:
                found.problems.append(error.message)
                continue
            found.add_text(place, text)
            if oddity:
                found.problems.append(oddity)


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
