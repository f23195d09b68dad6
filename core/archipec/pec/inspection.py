"""Everything that a whole message says about itself, in one record: kind, certification data or evidence, seal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from archipec.errors import IntegrityError
from archipec.message import Json
from archipec.pec.anchors import Anchors
from archipec.pec.buffer import Octets
from archipec.pec.date import origin_date, received_date
from archipec.pec.daticert import MAX_SIZE, CertificationData, parse_daticert
from archipec.pec.headers import Header, decoded_text, first_field, header_block, raw_text
from archipec.pec.kind import ANOMALIA, PEC, POSTA_CERTIFICATA, REM, UNSEALED, kind_of_tipo, marked_kind
from archipec.pec.mime import Part
from archipec.pec.rem.detect import NOT_VERIFIED, Rem, detect_rem
from archipec.pec.rem.evidence import Evidence
from archipec.pec.rem.facts import evidence_facts, failure_of, rem_facts
from archipec.pec.rem.headers import RemHeader, read_header
from archipec.pec.rem.reasons import Reason
from archipec.pec.rem.verify import RemVerdict, verify_rem
from archipec.pec.seal import Seal, Status, judge_seal
from archipec.pec.structure import Outside, Structure, parse_structure

_ADDRESS = re.compile(rb"[^\s<>()\[\],;:\"@]{1,200}@[^\s<>()\[\],;:\"@]{1,255}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_DATICERT = 3 * MAX_SIZE  # quoted-printable takes three bytes for one
_NAMED = 5
_MAX_ENCODED = 256 * 1024  # bytes of an original that is decoded for its header alone
_MAX_ADDRESSES = 64 * 1024  # bytes of a field


class Inspection(NamedTuple):
    """What one message is: small, without the message, picklable.

    Attributes:
        kind: as `kind.kind_of`; what a valid seal certifies comes before what the header says, which anyone can write.
        certification: the certification data; None when there is none or it can't be read. It is evidence only when
            the seal is valid.
        seal: the verdict.
        system: `pec` or `rem`; empty for one of neither.
        rem: what shows that it is a message of REM, else None.
        header: what the header of a message of REM says, else None.
        verdict: what became of a message of REM, else None.
        notes: what a person should know besides, one sentence each; also at the end of the seal's reason.
        original: whether the original message, or what a short receipt leaves of it, is inside.
        outside: what the message holds beside what its seal covers: anyone may have put it there.
        message_id: the Message-ID as written, None without one.
        riferimento: the client's Message-ID that a message of PEC refers to, likewise.
        in_reply_to: the Message-ID that the original inside answers, or what was sent; as written, empty for none.
    """

    kind: str
    certification: CertificationData | None
    seal: Seal
    rem: Rem | None
    notes: tuple[str, ...]
    original: bool = False
    outside: tuple[Outside, ...] = ()
    system: str = ""
    header: RemHeader | None = None
    verdict: RemVerdict | None = None
    message_id: str | None = None
    riferimento: str | None = None
    in_reply_to: str = ""

    @property
    def evidence(self) -> Evidence | None:
        """What the evidence of a message of REM states; it proves something only when the seal is valid."""
        return self.verdict.evidence if self.verdict is not None else None

    @property
    def event(self) -> str:
        """The name of the event of REM, by the evidence, else by the header; empty for none."""
        if self.evidence is not None:
            return self.evidence.event
        return self.header.event if self.header is not None else ""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the event of REM happened, likewise."""
        if self.evidence is not None:
            return self.evidence.reasons
        return self.header.reasons if self.header is not None else ()

    @property
    def tipo(self) -> str | None:
        """The kind as the certification data writes it."""
        return self.certification.tipo if self.certification is not None else None

    @property
    def date(self) -> datetime | None:
        """The certified date, aware: that of certification data or evidence when the seal is valid, else None."""
        if self.seal.status is not Status.VALID:
            return None
        if self.evidence is not None:
            return self.evidence.event_time
        return self.certification.data if self.certification is not None else None

    @property
    def claims_certification(self) -> bool:
        """Whether the message passes for one that a provider sealed."""
        return self.kind not in UNSEALED or self.rem is not None


def inspect_message(raw: Octets, anchors: Anchors = Anchors(), *, now: datetime | None = None) -> Inspection:  # noqa: B008
    """Judge a message, which may be any bytes. Raises nothing.

    A function of its arguments alone, so that worker processes can run it; what is slow about a signer is remembered
    within the process.

    Args:
        raw: the whole message, as it is kept; one in its file is never read into memory whole.
        anchors: whom to trust beyond the roots of PEC.
        now: aware; the clock by default. It decides what the reason says of certificates that have expired since.
    """
    return judge_dissected(raw, parse_structure(raw), anchors, now=now)


def judge_dissected(
    raw: Octets, structure: Structure, anchors: Anchors, *, now: datetime | None = None
) -> Inspection:
    """As `judge`, for who needs the structure too."""
    notes: list[str] = []
    certification: CertificationData | None = None
    if structure.daticert is not None:
        try:
            certification = parse_daticert(_daticert(structure.daticert))
        except IntegrityError as error:
            notes.append(error.message)
        else:
            if certification.mended:
                notes.append(
                    f"the certification data had to be mended to be read: {', '.join(certification.mended)}"
                )
    if structure.outside:
        notes.insert(0, _not_covered(structure.outside))
    header_kind, system = marked_kind(structure.header)
    rem = detect_rem(structure)
    header = read_header(raw) if system == REM else None
    verdict: RemVerdict | None = None
    if header is not None or (rem is not None and rem.evidence and structure.daticert is None):
        verdict = verify_rem(structure, header, anchors, now=now)
        seal, kind, system = verdict.seal, header_kind, REM
        if seal.status is Status.VALID:
            kind = verdict.kind
        notes += verdict.notes
    else:
        seal = judge_seal(
            structure,
            anchors,
            claimed=header_kind not in UNSEALED or rem is not None,
            certified=certification.data if certification is not None else None,
            now=now,
        )
        kind = _kind(header_kind, certification, seal, notes)
        if not system and kind not in UNSEALED:
            system = PEC
        if rem is not None:
            notes.append(f"the seal is checked as that of any signed mail: {NOT_VERIFIED}")
    if notes:
        seal = seal._replace(reason="; ".join((seal.reason, *notes)))
    return Inspection(
        kind=kind,
        certification=certification,
        seal=seal,
        rem=rem,
        notes=tuple(notes),
        original=structure.postacert is not None,
        outside=structure.outside,
        system=system,
        header=header,
        verdict=verdict,
        message_id=_text(structure.header.first("Message-ID")),
        riferimento=_text(structure.header.first("X-Riferimento-Message-ID")),
        in_reply_to=_in_reply_to(structure, kind),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else raw_text(value)


def _in_reply_to(structure: Structure, kind: str) -> str:
    """What the sender's program wrote: of an envelope that is under the seal, in the original."""
    if kind in UNSEALED:
        return raw_text(structure.header.first("In-Reply-To") or b"")
    part = structure.postacert
    if kind != POSTA_CERTIFICATA or part is None:
        return ""
    encoded = part.encoding.lower().startswith((b"base64", b"quoted-printable"))
    if encoded and part.end - part.body > _MAX_ENCODED:
        return ""
    try:
        inner = Header.of(part.content()) if encoded else part.inner_header()
    except IntegrityError:
        return ""
    return raw_text(inner.first("In-Reply-To") or b"")


def _not_covered(outside: Sequence[Outside]) -> str:
    named = ", ".join(one.label for one in outside[:_NAMED])
    more = f" and {len(outside) - _NAMED} more" if len(outside) > _NAMED else ""
    return f"not covered by the seal, so anyone may have written it: {named}{more}"


def _daticert(part: Part) -> bytes:
    """The certification data.

    Raises:
        IntegrityError: it can't be read, or is larger than any in whatever encoding.
    """
    if part.end - part.body > _MAX_DATICERT:
        raise IntegrityError(f"daticert.xml has {part.end - part.body} bytes, more than are read")
    return part.content()


def _kind(header_kind: str, certification: CertificationData | None, seal: Seal, notes: list[str]) -> str:
    """The kind, and a note when header and certification data differ."""
    if certification is None:
        if seal.status is Status.VALID and header_kind not in UNSEALED | {ANOMALIA}:
            notes.append(f'nothing under the seal says that it is "{header_kind}": its header does')
        return header_kind
    if not certification.tipo and seal.status is not Status.VALID:
        return header_kind
    told = kind_of_tipo(certification.tipo)
    certified = seal.status is Status.VALID
    if told != header_kind and (certified or header_kind not in UNSEALED):
        notes.append(f'the header says "{header_kind}" and the certification data "{certification.tipo}"')
    return told if certified else header_kind


_NOTHING: Final = (None,) * len(CertificationData._fields)


def describe(judgement: Inspection) -> dict[str, Json]:
    """Return what a message says about itself as a JSON object: that of ``inspect``, without the file.

    One of REM has ``rem`` besides, and what PEC has in its certification data by the same names from its evidence.
    """
    evidence, reasons = judgement.evidence, judgement.reasons
    (
        tipo, errore, mittente, destinatari, risposte, oggetto, gestore, data, identificativo, msgid, ricevuta, consegna,
        *_, mended,
    ) = judgement.certification or _NOTHING  # fmt: skip
    shape: dict[str, Json] = {
        "system": judgement.system or None,
        "kind": judgement.kind,
        "event": judgement.event or None,
        "reason": ", ".join([one.code for one in reasons]) or None,
        "tipo": tipo,
        "errore": errore,
        "identificativo": identificativo,
        "msgid": msgid,
        "riferimento": judgement.riferimento,
        "gestore": gestore,
        "mittente": mittente,
        "destinatari": [{"address": address, "tipo": kind} for address, kind in destinatari or ()],
        "risposte": risposte,
        "oggetto": oggetto,
        "data": data.isoformat() if data else None,
        "ricevuta": ricevuta,
        "consegna": consegna,
        "mended": list(mended or ()),
        "outside_seal": [one.as_json() for one in judgement.outside],
        "seal": _seal(judgement.seal),
    }
    if judgement.rem is not None or judgement.verdict is not None:
        shape["rem"] = rem_facts(judgement.rem, judgement.verdict, reasons)
    if judgement.header is not None and judgement.header.ua_message_id:
        shape["riferimento"] = f"<{judgement.header.ua_message_id}>"
    if evidence is not None:
        shape |= evidence_facts(evidence, judgement.header)
    return shape


def _seal(seal: Seal) -> dict[str, Json]:
    shape: dict[str, Json] = {
        "status": str(seal.status),
        "reason": seal.reason,
        "signer": seal.signer,
        "issuer": seal.issuer,
        "root": seal.root,
        "signed_at": seal.signed_at.isoformat() if seal.signed_at else None,
        "digest": seal.digest,
    }
    if seal.basis:
        shape["basis"] = [dict(one) for one in seal.basis]
    return shape


def record(raw: Octets, judgement: Inspection) -> dict[str, Json]:
    """Return what is kept of a message for linking it to others: `describe`, and what is known by more than the seal.

    One that no provider made has ``header`` besides: sender, recipients, subject and date as it was written, by
    which a copy of what was sent is recognised.
    """
    facts = judgement.certification
    kept = describe(judgement)
    kept |= {
        "errore_esteso": facts.errore_esteso if facts else failure_of(judgement.reasons, judgement.event),
        "message_id": judgement.message_id,
        "original": judgement.original,
        "in_reply_to": judgement.in_reply_to or None,
    }
    if judgement.kind in UNSEALED and not judgement.system:
        kept["header"] = _header(raw)
    return kept


def _header(raw: Octets) -> dict[str, Json]:
    head = header_block(raw)
    date = origin_date(head) or received_date(head)
    return {
        "from": next(iter(_addresses(head, "From")), ""),
        "to": [*_addresses(head, "To"), *_addresses(head, "Cc"), *_addresses(head, "Bcc")],
        "subject": _whole(decoded_text(first_field(head, "Subject") or b"")),
        "date": date.isoformat() if date is not None else None,
    }


def _whole(text: str) -> str:
    """Text without surrogate escapes, which most programs can't read."""
    return _SURROGATE.sub("\ufffd", text)


def _addresses(head: bytes, name: str) -> list[str]:
    value = first_field(head, name) or b""
    return list(dict.fromkeys(_whole(raw_text(one)) for one in _ADDRESS.findall(value[:_MAX_ADDRESSES])))
