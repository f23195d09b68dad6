"""Writes what is filed for one notice: of one that was sent (L. 53/1994) the message, its acceptance and every delivery
receipt; of one that was received its envelope.

Files are the exact bytes that the archive holds. Names in them come from outside: none is ever a path, and nothing
that exists is replaced. Exported again into the same folder, what is there and equal stays as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from archipec.custody.receipts.archive_reader import MessageReader
from archipec.custody.receipts.query import inside, original_of
from archipec.errors import ArchipecError, Scope
from archipec.language import _
from archipec.message import Json
from archipec.new_files import make_folder, write_new_file
from archipec.paths import safe_name
from archipec.pec.breve import DIFFERS, check_breve
from archipec.pec.kind import REM, known_kind
from archipec.pec.rem.original import compare_original
from archipec.pec.transactions import MessageRecord, Outcome, Sent, SentFrom, Transaction, outcome_word

__all__ = ["INDEX", "Export", "ExportedFile", "export_transaction"]

INDEX = "index.txt"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file.

    Attributes:
        path: where it is.
        what: `inviato`, the kind of receipt, or `ricevuto`, an envelope that was received.
        recipient: whom it is about, empty when about all.
        sha256: of its bytes, 64 lower-case hexadecimal digits; size: their number.
        origin: where the bytes come from, as a text.
    """

    path: Path
    what: str
    recipient: str
    sha256: str
    size: int
    origin: str


@dataclass(slots=True)
class Export:
    """What was written, what is missing for a complete export, and what is good to know."""

    transaction: Transaction
    directory: Path
    files: list[ExportedFile] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[ArchipecError] = field(default_factory=list)
    index: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``receipts --export --json``."""
        return {
            "identificativo": self.transaction.identificativo,
            "msgid": self.transaction.msgid,
            "complete": self.complete,
            "missing": list(self.missing),
            "notes": list(self.notes),
            "directory": str(self.directory),
            "index": None if self.index is None else self.index.name,
            "files": [
                {
                    "file": one.path.name,
                    "what": one.what,
                    "recipient": one.recipient,
                    "sha256": one.sha256,
                    "size": one.size,
                    "origin": one.origin,
                }
                for one in self.files
            ],
        }


def export_transaction(transaction: Transaction, reader: MessageReader, directory: Path) -> Export:
    """Write a transaction's messages and their index into a folder, made if it is not there (0700, files 0600).

    What can't be read back is missing in the export, which says so.

    Raises:
        ArchipecError: the folder or a file in it can't be written.
    """
    make_folder(directory)
    export = Export(transaction, directory)
    export.missing += _lacks(transaction)
    export.notes += [*transaction.notes, *_notes(transaction)]
    if transaction.sent is not None:
        _file_sent(transaction.sent, export, reader)
    for record, recipient in _sealed(transaction):
        what = known_kind(record.kind).export_name
        try:
            raw = reader.read(record.key)
        except ArchipecError as error:
            _miss(export, f"{what} {recipient}".strip(), error)
            continue
        _write(export, raw, what, recipient, _("as received"))
    export.index = write_new_file(directory, INDEX, _index(export).encode(), keep_equal=True)
    return export


def _lacks(transaction: Transaction) -> Iterator[str]:
    """What a complete export of this transaction would need besides."""
    if transaction.direction == "in":
        yield from (problem.text for problem in transaction.problems)
        return
    if transaction.sent is None:
        yield _("the sent message")
    yield from (problem.text for problem in transaction.problems)
    for one in transaction.recipients:
        yield from (f"{one.address}: {problem.text}" for problem in one.problems)
        if one.outcome is Outcome.WAITING:
            yield _("{address}: no delivery receipt yet").format(address=one.address)
        elif one.outcome is Outcome.DELIVERED and one.decisive is not None and not _suffices(one.decisive):
            yield _("{address}: a complete delivery receipt ({note})").format(
                address=one.address, note=one.notes[0]
            )
    if all(one.outcome is Outcome.ORDINARY for one in transaction.recipients):
        yield _("a certified recipient: there is no legal delivery")
    if transaction.acceptance is None and not transaction.problems:
        yield _("the acceptance")


def _suffices(receipt: MessageRecord) -> bool:
    """Whether a delivery receipt says what was delivered: it has the original inside, or of REM its hash."""
    return receipt.is_complete or (receipt.system == REM and bool(receipt.digest))


def _notes(transaction: Transaction) -> Iterator[str]:
    for one in transaction.recipients:
        yield from (f"{one.address}: {note}" for note in one.notes)
    for record in transaction.unproven:
        yield _(
            'a message that calls itself "{kind}" is left out, because it is not proven: {reason}'
        ).format(kind=record.kind, reason=record.reason)


def _sealed(transaction: Transaction) -> Iterator[tuple[MessageRecord, str]]:
    """Every proven message of a provider once, with whom it is about, in the order of an export."""
    yield from ((record, "") for record in transaction.envelopes)
    seen = set()
    if transaction.acceptance is not None:
        yield transaction.acceptance, ""
    for one in transaction.recipients:
        for record in one.receipts:
            if record.number not in seen:
                seen.add(record.number)
                yield record, record.about[0] if len(record.about) == 1 else ""


def _file_sent(sent: Sent, export: Export, reader: MessageReader) -> None:
    try:
        raw = original_of(sent, reader)
    except ArchipecError as error:
        _miss(export, _("the sent message"), error)
        return
    if sent.where is not SentFrom.COPY:
        _write(
            export,
            raw,
            "inviato",
            "",
            _("the original inside the {where} {sha256}").format(
                where=sent.where, sha256=sent.record.key.sha256
            ),
        )
        return
    if (receipt := _with_digest(export.transaction)) is not None:
        _compare_digest(raw, receipt, export)
    sealed = next(
        (one.decisive for one in export.transaction.recipients if one.decisive and one.decisive.is_complete),
        None,
    )
    original = b""
    if sealed is not None:
        try:
            original = inside(reader.read(sealed.key))
        except ArchipecError as error:
            export.notes.append(
                _("the sent message was not compared with the delivery receipt: {reason}").format(
                    reason=error.message
                )
            )
    if sealed is not None and original and check_breve(original, raw).status == DIFFERS:
        export.notes.append(
            _(
                "the copy of the sent message is not what the delivery receipt certifies: the original "
                "inside it is given"
            )
        )
        _write(
            export,
            original,
            "inviato",
            "",
            _("the original inside the receipt {sha256}").format(sha256=sealed.key.sha256),
        )
        return
    _write(export, raw, "inviato", "", _("the copy of the sent message"))


def _with_digest(transaction: Transaction) -> MessageRecord | None:
    """A receipt of REM that states the original's hash, a delivery's before the acceptance."""
    decisive = [one.decisive for one in transaction.recipients if one.decisive is not None]
    candidates = [*decisive, *([transaction.acceptance] if transaction.acceptance is not None else [])]
    return next((one for one in candidates if one.system == REM and one.digest), None)


def _compare_digest(raw: bytes, receipt: MessageRecord, export: Export) -> None:
    found = compare_original(raw, receipt.digest, receipt.identificativo)
    if found == "differs":
        export.missing.append(
            _("the sent message as it is certified: its copy does not have the hash that the receipts state")
        )
    elif found == "renamed":
        export.notes.append(
            _(
                "the copy of the sent message has the hash that the receipts state, once its Message-ID "
                "is replaced by <{identificativo}> and moved into REM-UAMessageIdentifier, as its "
                "provider did"
            ).format(identificativo=receipt.identificativo)
        )
    else:
        export.notes.append(_("the copy of the sent message has the hash that the receipts state"))


def _miss(export: Export, what: str, error: ArchipecError) -> None:
    if error.scope > Scope.MESSAGE:  # the archive can't be used now: nothing can be said of what it holds
        raise error
    export.missing.append(f"{what}: {error.message}")
    export.errors.append(error)


def _write(export: Export, raw: bytes, what: str, recipient: str, origin: str) -> None:
    called = "-".join(word for word in (f"{len(export.files) + 1:02}", what, recipient) if word)
    path = write_new_file(export.directory, safe_name(f"{called}.eml"), raw, keep_equal=True)
    export.files.append(
        ExportedFile(path, what, recipient, hashlib.sha256(raw).hexdigest(), len(raw), origin)
    )


def _index(export: Export) -> str:
    """The index: what is there and what is not, and lines that `sha256sum -c` checks."""
    one = export.transaction
    lines = [
        _("COMPLETE") if export.complete else _("NOT COMPLETE"),
        f"identificativo: {one.identificativo}",
        f"message-id: {one.msgid}",
        _("date: {date}").format(date=one.date.isoformat() if one.date else _("unknown")),
        _("from: {address}").format(address=one.mittente),
        *(
            _("to: {address} ({type}): {outcome}").format(
                address=who.address, type=who.tipo or _("not certified"), outcome=outcome_word(who.outcome)
            )
            for who in one.recipients
        ),
        _("subject: {subject}").format(subject=one.oggetto),
        *(_("missing: {what}").format(what=what) for what in export.missing),
        *(_("note: {note}").format(note=note) for note in export.notes),
        *(f"{file.path.name}: {file.origin}" for file in export.files),
    ]
    text = [f"# {_one_line(line)}" for line in lines]
    text += [f"{file.sha256}  {file.path.name}" for file in export.files]
    return "\n".join(text) + "\n"


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)
