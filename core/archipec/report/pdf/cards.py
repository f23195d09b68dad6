"""What every document says of a message, with the fields of a provider's log: date, kind, parties, identifiers, seal, hash."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from archipec.errors import PermanentError
from archipec.language import _, written
from archipec.message import ContentKey
from archipec.pec.kind import UNSEALED
from archipec.pec.sentences import translated
from archipec.pec.transactions import MessageRecord
from archipec.report.pdf import words
from archipec.report.pdf.document import (
    Block,
    Embedded,
    FactList,
    Heading,
    Table,
    Value,
    fixed,
    hash_of,
    quiet,
)
from archipec.report.pdf.text import byte_count, moment, one_line

__all__ = [
    "DETAILED",
    "MAX_MESSAGES",
    "attached_files",
    "card",
    "check_number",
    "checking",
    "newest",
    "seal_rows",
    "short_recipients",
    "some",
]

MAX_MESSAGES: Final = 2000
"""Messages in one document: typst needs half a megabyte of memory for each."""
DETAILED: Final = 200
"""Messages up to which each is described on its own, besides its place in a list."""

_MOST: Final = 20
_LONGEST: Final = 400  # characters of an address or an identifier; the standards allow fewer
_LINE: Final = 60
_SHORT: Final = 40 * _LINE  # what is shorter is no longer than a page
_NOTHING_MORE: Final = re.compile('sealed by "[^;]*" on [^;]* and unchanged since')
_NO_DATE: Final = datetime(1970, 1, 1, tzinfo=UTC)


def card(
    record: MessageRecord, file_name: str = "", *, with_seal: bool = True, most: int = _MOST
) -> FactList:
    """Return the fields of a message; those that it does not have are left out.

    Args:
        file_name: of the file in the document, empty where it is not there.
        with_seal: also the verdict on its seal.
        most: recipients that are named.
    """
    rows: list[tuple[str, Value]] = [
        (_("Date and time"), moment(record.date) or _("date unknown")),
        (_("Type"), _type(record)),
        (_("System"), words.system_name(record.system)),
        (_("Sender"), one_line(record.mittente, _LONGEST)),
        (_("Recipients"), recipients(record, most)),
        (_("Subject"), one_line(record.oggetto)),
        (_("Identifier"), _fixed(record.identificativo)),
        (_("Message-ID (msgid)"), _fixed(record.msgid or record.riferimento)),
        (_("Message-ID"), _fixed(record.message_id) if record.kind in UNSEALED else ""),
        (_("Provider"), one_line(record.gestore, _LONGEST)),
        (_("Delivery to"), some(record.about)),
        (_("Error"), one_line(_error(record))),
        (_("Reason of the event"), one_line(", ".join(record.reasons))),
        *(_seal(record) if with_seal else ()),
        (_("SHA-256"), hash_of(record.key)),
        (_("Size"), byte_count(record.key.size)),
        (_("Attached file"), one_line(file_name)),
    ]
    shown = [(name, value) for name, value in rows if value]
    return FactList(shown, together=sum(_length(value) for _name, value in shown) < _SHORT)


def _length(value: Value) -> int:
    """How many characters there are, each line counted as a whole one."""
    if isinstance(value, str):
        return max(len(value), _LINE)
    if isinstance(value, dict):
        return max(len(value.get("text", "")), _LINE)
    return sum(map(_length, value))


def _seal(record: MessageRecord) -> list[tuple[str, Value]]:
    return [
        (_("Seal"), words.seal(record.seal)),
        (_("Reason"), _reason(record.seal, record.reason)),
        (_("Outside the seal"), some(record.outside)),
    ]


def _fixed(text: str) -> Value:
    return fixed(one_line(text, _LONGEST)) if text else ""


def _type(record: MessageRecord) -> str:
    name = words.kind_name(record.kind)
    detail = ", ".join(one for one in (record.event, record.ricevuta) if one)
    return one_line(f"{name} ({detail})" if detail else name)


def _error(record: MessageRecord) -> str:
    error = "" if record.errore == "nessuno" else record.errore
    return ": ".join(one for one in (error, record.errore_esteso) if one)


def recipients(record: MessageRecord, most: int) -> Value:
    """Return the recipients of the original, a line each."""
    return some([words.with_type(one.address, one.tipo) for one in record.destinatari], most)


def some(texts: Sequence[str], most: int = _MOST) -> list[str]:
    """Return texts, a line each, and of many the first and the number of the others."""
    shown = [one_line(one, _LONGEST) for one in texts[:most]]
    more = len(texts) - len(shown)
    return [*shown, _("and {number} more").format(number=written(more))] if more else shown


def short_recipients(record: MessageRecord) -> str:
    """Return the first recipient, and how many there are besides."""
    if not record.destinatari:
        return ""
    first, more = one_line(record.destinatari[0].address, 80), len(record.destinatari) - 1
    return _("{first} and {number} more").format(first=first, number=more) if more else first


def _reason(status: str, reason: str) -> Value:
    """What a verdict means, and what was recorded when it was given, unless that says no more."""
    meaning = words.seal_meaning(status)
    if not reason or _NOTHING_MORE.fullmatch(reason):
        return meaning
    return [meaning, quiet(one_line(translated(reason)))]


def seal_rows(seal: Mapping[str, Any]) -> list[tuple[str, Value]]:
    """Return what the verdict on a seal rests on.

    Args:
        seal: of `archipec.pec.inspection.describe`.
    """
    signed_at = seal.get("signed_at")
    rows: list[tuple[str, Value]] = [
        (_("Result of the check"), words.seal(seal["status"])),
        (_("Reason"), _reason(seal["status"], seal.get("reason") or "")),
        (_("Sealed by"), one_line(seal.get("signer") or "")),
        (_("Certificate of"), one_line(seal.get("issuer") or "")),
        (_("Root"), one_line(seal.get("root") or "")),
        (_("Time of sealing"), moment(datetime.fromisoformat(signed_at)) if signed_at else ""),
        (_("Hash algorithm"), str(seal.get("digest") or "").upper()),
    ]
    return [(name, value) for name, value in rows if value]


def attached_files(files: Iterable[tuple[Embedded, ContentKey]]) -> Iterator[Block]:
    """Yield the list of the files that lie in the document, and how to check them."""
    rows: list[list[Value]] = []
    for number, (one, key) in enumerate(files, 1):
        cells = [str(number), one_line(one.name), one_line(one.description), byte_count(one.size)]
        rows.append([*cells, hash_of(key)])
    if not rows:
        return
    yield Heading(_("Files attached to this document"))
    yield Table(
        columns=(0, 6, 5, 0),
        header=[_("No."), _("File"), _("Content"), _("Size")],
        rows=rows,
        right=(0, 3),
    )


def checking() -> Iterator[Block]:
    """Yield what this document proves, and how to check it."""
    yield Heading(_("How to check"))
    yield FactList(
        [
            (
                _("Evidence"),
                _(
                    "What proves something is the messages themselves, with the seals of their providers. They are attached"
                    " to this file (PDF/A-3), byte for byte as they are archived; this document sums them up."
                ),
            ),
            (
                _("Integrity"),
                _(
                    "A PDF reader saves the attached files. The SHA-256 of each must be the one that is given above:"
                    " it is computed with sha256sum, or with certutil -hashfile on Windows."
                ),
            ),
            (
                _("Seals"),
                _(
                    "The seal is an S/MIME signature of the provider. Any program for certified mail checks it in the attached"
                    " .eml file, as do openssl and archipec."
                ),
            ),
            (
                _("Characters"),
                _(
                    "A character that can't be shown is named by its Unicode code point, such as [U+6C49]. Times are those"
                    " of Europe/Rome, with their offset from UTC."
                ),
            ),
        ]
    )


def check_number(number: int, what: str) -> None:
    """Refuse more than one document holds.

    Args:
        what: the number with what there is of it.

    Raises:
        PermanentError: there are more than `MAX_MESSAGES`.
    """
    if number > MAX_MESSAGES:
        raise PermanentError(
            _("{messages} are too many for one PDF, which holds {most}").format(
                messages=what, most=written(MAX_MESSAGES)
            ),
            hint=_("choose fewer, by a shorter period for example, and make several PDFs"),
        )


def newest(dates: Iterable[datetime | None]) -> datetime:
    """Return the newest of some dates; the first of 1970 when there is none."""
    return max((one for one in dates if one is not None), default=_NO_DATE)
