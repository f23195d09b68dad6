"""What the index keeps of one message: small facts, and text in the places where it was found.

It travels from the process that reads messages to the one that writes the index, as JSON.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

from archipec.message import Json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "MAX_TEXT",
    "AttachedFile",
    "Filing",
    "IndexedMessage",
    "IndexedText",
    "Invoice",
    "Party",
    "Place",
    "Role",
    "SdiMessage",
]

MAX_TEXT: Final = 1 << 20
"""Characters of text that are kept of one message, all places together."""


class Place(enum.StrEnum):
    """Where in a message a text was found."""

    ENVELOPE = "envelope"
    """What the provider wrote around the original; of ordinary mail there is none."""
    INNER = "inner"
    """What the sender wrote: the body of the original, or of ordinary mail."""
    ATTACHMENT = "attachment"


class Role(enum.StrEnum):
    """What an address has to do with a message."""

    FROM = "from"
    TO = "to"
    CC = "cc"
    BCC = "bcc"
    REPLY_TO = "reply-to"
    PROVIDER = "provider"
    """Who sent the envelope or the receipt."""
    CONCERNED = "concerned"
    """The recipient that a delivery or a failure is about."""


@dataclass(frozen=True, slots=True)
class Party:
    """An address, as it is written, and the name that stands with it; empty for none."""

    role: Role
    address: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedFile:
    """A file in a message, or in a file in it.

    Attributes:
        path: its name, behind those of the files that it is in: `fattura.zip/IT01234567890_1.xml.p7m`. From outside:
            any text, never a path of this computer.
        media_type: `type/subtype` in lower case: as the message says, or by its name where it is in another file.
        size: bytes, its transfer encoding undone.
        problem: why its text is not in the index, or not all of it; empty when it is.
        signers: names of who signed it (.p7m), as their certificates say. Nothing here checks a signature.
        depth: how many files it is in: 0 for one that stands in the message itself.
    """

    path: str
    media_type: str
    size: int
    problem: str = ""
    signers: tuple[str, ...] = ()
    depth: int = 0

    @property
    def name(self) -> str:
        """Its own name, without those of the files that it is in."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class IndexedText:
    """A text of a message.

    Attributes:
        attachment: its position in `IndexedMessage.attachments`; None for a text of another place.
    """

    place: Place
    text: str
    attachment: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An electronic invoice (FatturaPA), one for each body of a file that holds several.

    Attributes:
        attachment: position in `IndexedMessage.attachments`.
        file_name: that the exchange system (SdI) knows it by, with `.p7m` where it was signed so.
        supplier, customer: names.
        supplier_id, customer_id: VAT number with its country (`IT01234567890`), else fiscal code.
        document_type: `TD01`, …
        number, date: as written; the date is `YYYY-MM-DD`.
        amount: with a decimal point; what the invoice states, else the sum of its taxable amounts and taxes; empty when
            it says neither.
        currency: `EUR`.
    """

    attachment: int
    file_name: str
    supplier: str
    supplier_id: str
    customer: str
    customer_id: str
    document_type: str
    number: str
    date: str
    amount: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SdiMessage:
    """What the exchange system (SdI) says of an invoice.

    Attributes:
        attachment: position in `IndexedMessage.attachments`.
        code: `RC` delivered, `NS` refused by SdI, `MC` not delivered, `NE` outcome (the customer's), `DT` no outcome in
            time, `AT` could not be handed over, `EC` the customer's outcome, `SE` that outcome refused, `MT` what comes with a
            received invoice.
        identificativo_sdi: the number of the invoice's file at SdI.
        file_name: name of the invoice's file.
        invoice_number: of the single invoice that an outcome is about; empty for the whole file.
        outcome: of `NE` and `EC`: `EC01` accepted, `EC02` refused.
        description: SdI's or the customer's words: the errors of an `NS`.
        received, delivered: times as written (ISO 8601).
    """

    attachment: int
    code: str
    identificativo_sdi: str
    file_name: str
    invoice_number: str = ""
    outcome: str = ""
    description: str = ""
    received: str = ""
    delivered: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """A registration with a public office, or a step of a filing with a court.

    Attributes:
        attachment: position in `IndexedMessage.attachments`; None when the subject alone says it.
        type: `protocol` (Segnatura.xml) and the messages about one, `protocol-confirmation`, `protocol-exception`,
            `protocol-update`, `protocol-cancellation`; of courts `court-filing` (what is filed), `court-checks` (the
            outcome of the automatic checks), `court-acceptance` (of the registry), `court-refusal`.
        office: the administration and its office (AOO), or the court.
        number: protocol number, or number of the case (`1234/2026`).
        date: `YYYY-MM-DD`, or as written.
        subject: as written.
        outcome: words about it.
    """

    attachment: int | None
    type: str
    office: str = ""
    number: str = ""
    date: str = ""
    subject: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedMessage:
    """What the index keeps of one message.

    Attributes:
        kind, system, seal: as of `archipec.pec.inspection.Inspection`; of the seal its status.
        certified: Unix seconds: the certified date, None without a valid seal.
        dated: Unix seconds: without a certified date the newest `Received`, else `Date:`; else None. It proves nothing.
        subject: the original's, without what a provider puts before it.
        envelope_subject: as the header of the message has it.
        identificativo: the identifier of the sending; of REM the one that its evidence names. Identifiers are without
            angle brackets, empty where there is none.
        message_id: of the message.
        inner_message_id: of the original inside.
        msgid: that the sender's program gave what was sent, as the certification data states.
        references: Message-IDs that the message is an answer to or a receipt of.
        parties: no two are equal.
        attachments: of the original, or of ordinary mail, without what a provider adds. Files in files follow theirs.
        texts: at most `MAX_TEXT` characters together.
        invoices, sdi_messages, filings: what the attachments are.
        problems: what could not be read, besides attachments.
    """

    kind: str
    system: str
    seal: str
    certified: int | None
    dated: int | None
    subject: str
    envelope_subject: str = ""
    identificativo: str = ""
    message_id: str = ""
    inner_message_id: str = ""
    msgid: str = ""
    references: tuple[str, ...] = ()
    parties: tuple[Party, ...] = ()
    attachments: tuple[AttachedFile, ...] = ()
    texts: tuple[IndexedText, ...] = ()
    invoices: tuple[Invoice, ...] = ()
    sdi_messages: tuple[SdiMessage, ...] = ()
    filings: tuple[Filing, ...] = ()
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """Return what `from_json` makes the same record of."""
        shape: dict[str, Json] = {name: getattr(self, name) for name in _PLAIN}
        for name, record in _LISTS.items():
            shape[name] = [[getattr(one, part) for part in _NAMES[record]] for one in getattr(self, name)]
        return shape

    @classmethod
    def from_json(cls, shape: Mapping[str, Any]) -> Self:
        """Return the record that `as_json` was called on.

        Raises:
            KeyError, TypeError, ValueError: it was not.
        """
        values = {name: shape[name] for name in _PLAIN}
        for name in ("references", "problems"):
            values[name] = tuple(values[name])
        for name, record in _LISTS.items():
            values[name] = tuple(_restored(record, one) for one in shape[name])
        return cls(**values)


def _names(record: type[DataclassInstance]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(record))


def _restored(record: type[DataclassInstance], values: Sequence[Any]) -> Any:
    named = dict(zip(_NAMES[record], values, strict=True))
    return record(**{name: _TYPES.get(name, _same)(value) for name, value in named.items()})


def _same(value: Any) -> Any:
    return value


_TYPES: Final[Mapping[str, Callable[[Any], Any]]] = {"role": Role, "place": Place, "signers": tuple}
_LISTS: Final[Mapping[str, type[DataclassInstance]]] = {
    "parties": Party,
    "attachments": AttachedFile,
    "texts": IndexedText,
    "invoices": Invoice,
    "sdi_messages": SdiMessage,
    "filings": Filing,
}
_NAMES: Final = {record: _names(record) for record in _LISTS.values()}
_PLAIN: Final = tuple(name for name in _names(IndexedMessage) if name not in _LISTS)
