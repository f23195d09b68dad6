"""What travels between archipec and a conservation provider: plain frozen data. Import it from `provider`.

A module of its own because making these classes takes 9 ms, which every start of archipec, whatever the command, would
pay for in `provider`: there it is imported when one of them is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO, TypeAlias

from archipec.contract import ContentKey, Json

__all__ = [
    "Conserved",
    "Document",
    "Facts",
    "Limits",
    "Outcome",
    "Package",
    "PackageFile",
    "Partial",
    "Pending",
    "Rejected",
    "Report",
    "Ticket",
    "Unit",
]


# -- what is deposited ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a message. Texts come from outside: of any length, with any character.

    Attributes:
        kind: as `archipec.pec.kind`.
        certified: whether what follows is certified by a valid seal; else it is what the header says.
        date: aware, in Europe/Rome.
        subject, sender, recipients: of the original; addresses as written.
        identificativo: the PEC identifier without angle brackets, empty when there is none.
        msgid: the Message-ID of the original without angle brackets, empty when there is none.
        gestore: the provider that sealed it, empty when none did.
        system: `pec` or `rem`, empty for what is of neither.
    """

    kind: str
    certified: bool
    date: datetime
    subject: str
    sender: str
    recipients: tuple[str, ...]
    identificativo: str = ""
    msgid: str = ""
    gestore: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One message in a package.

    Attributes:
        id: names it in the package, in its index and in its metadata: at most 40 characters of ``[A-Z0-9-]``, the same
            whenever these bytes are packaged.
        label: what it is, in Italian, for the metadata ("ricevuta di accettazione").
        key: SHA-256 and size of its bytes.
        path: of its file in the package: ``documenti/<id>.eml``, safe on every system.
        open: gives a new reader of the exact bytes, any number of times while the provider is open.
    """

    id: str
    label: str
    key: ContentKey
    path: PurePosixPath
    facts: Facts
    open: Callable[[], BinaryIO] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Documents that belong together: an envelope, or a sending with its receipts; AgID metadata describes it.

    Attributes:
        id: 32 hex digits, the same whenever these documents are packaged: fit for a key at the provider.
        flow: ``E`` received, ``U`` sent, ``I`` neither (Allegato 5, TipologiaDiFlusso).
        documents: the principal one first, then its attachments, oldest first.
        metadata: XML in the form of AgID Allegato 5, UTF-8; ``metadata_path`` names its file in the package.
    """

    id: str
    flow: str
    documents: tuple[Document, ...]
    metadata: bytes = field(repr=False)
    metadata_path: PurePosixPath

    @property
    def principal(self) -> Document:
        """The document that the others are attached to."""
        return self.documents[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """A file of a package as a folder: ``path`` is relative, of safe characters, at most 80 of them."""

    path: PurePosixPath
    size: int
    sha256: str
    open: Callable[[], BinaryIO] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A pacchetto di versamento. Frozen on disk before it is first deposited: every try sends the same bytes.

    Attributes:
        id: a UUID in lower case; a rejected object that is packaged again has another.
        created: aware, UTC.
        units: within the provider's `Limits`.
        index: ``PIndex.xml`` (UNI 11386:2020), with the SHA-256 of every document and metadata file.
        files: documents and metadata first, then the index, then what signs and time-stamps it.
    """

    id: str
    created: datetime
    units: tuple[Unit, ...]
    index: bytes = field(repr=False)
    files: tuple[PackageFile, ...] = field(repr=False)

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents of all units."""
        return tuple(document for unit in self.units for document in unit.documents)


# -- what the provider says ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A provider has the package and will say later what became of it.

    Attributes:
        token: JSON; kept and given back to ``poll``, unchanged by a round trip.
        sha256: of the one file that carried the whole package, in hexadecimal, when there was one and the report
            will state its hash. Computed from what was sent, never taken from an answer.
    """

    token: Json = None
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A rapporto di versamento, or whatever the provider's proof is called: what it states and nothing else.

    A digest is SHA-256 as the provider writes it: hexadecimal in either case, or base64. By another
    algorithm it proves nothing here.

    Attributes:
        raw: the proof's exact bytes as they came; kept for ever.
        suffix: of the file it is kept in: ``.xml``, ``.xml.p7m``, ``.json``.
        about: the package's or the unit's id as the report states it, empty when it states neither.
        documents: the digest it states, by document id; only documents that the report names.
        digest: the one it states of the whole package: of the file in ``Ticket.sha256``, or of ``Package.index``.
        id: the report's own identifier, as far as it has one.
    """

    raw: bytes = field(repr=False)
    suffix: str = ".xml"
    about: str = ""
    documents: Mapping[str, str] = field(default_factory=dict, repr=False)
    digest: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Nothing is decided. ``reason`` says what is waited for, in a few words for the user.

    Attributes:
        attention: it goes on only when the user does something: `archipec settle` and `status` end with exit code 3.
    """

    reason: str = ""
    attention: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conserved:
    """The provider says it conserves all of the package. It is proven document by document, by what the report states."""

    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The provider refuses the package, or a document of it.

    Attributes:
        reason: in the provider's words and with its code; one line.
        retryable: the same object may be accepted later (the provider was out of order, a quota was used up): it is deposited
            again at a later run. Else it is never deposited again unchanged.
        report: the negative report, when there is one: kept too.
    """

    reason: str
    retryable: bool = False
    report: Report | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """The provider decided by document. Documents in neither collection are pending.

    Attributes:
        conserved: ids of the documents that the report says are conserved; proven by what it states.
        rejected: the others that are decided, by document id.
    """

    report: Report
    conserved: frozenset[str] = frozenset()
    rejected: Mapping[str, Rejected] = field(default_factory=dict)


Outcome: TypeAlias = Pending | Conserved | Rejected | Partial


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one package may hold. A document larger than ``size`` is refused before it gets into the outbox.

    Attributes:
        units: 1 for a provider that takes one documentary unit a deposit.
        documents: in all units; a unit with more is divided.
        size: bytes of all documents.
    """

    units: int = 500
    documents: int = 2000
    size: int = 300_000_000
