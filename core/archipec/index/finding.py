"""Finds messages in the index: by words, by facts, or both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from archipec.index.database import COLUMNS, PER_SECOND, IndexFile, decompressed, folded
from archipec.index.query import Query, QueryError, phrase
from archipec.index.record import Place, Role
from archipec.message import ContentKey

__all__ = ["Clause", "Filters", "Hit", "find", "snippet_pieces"]

_SNIPPET_WORDS = 16
_MARKS: Final = re.compile("\x02([^\x02\x03]*)\x03?|\x03")
_BEGINNING = 160  # characters
_PAGE = 50  # of those that are ordered by rank
# Ordering by rank: a word in the subject says more than one in what a provider writes around every message.
_WEIGHTS: Final = {
    "subject": 10.0,
    "sender": 4.0,
    "recipients": 4.0,
    "attachments": 4.0,
    "inner": 2.0,
    "envelope": 0.5,
}
# More messages than any hour ever had: numbers of a full second go on in the next (`IndexFile`).
_SPILL = 3600


# Tables to look in, and what their rows are ordered by.
_FOUND: Final = ("words CROSS JOIN message m ON m.id = words.rowid", "words.rowid")
_ALL: Final = ("message m", "m.id")
_SNIPPET: Final = f"snippet(words, -1, char(2), char(3), '…', {_SNIPPET_WORDS})"


class Clause(NamedTuple):
    """A condition in SQL on ``m``, a row of the table ``message``, and the values of its question marks.

    It may ask another database that is attached (`IndexFile.attach`).
    """

    sql: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Facts that messages must have. The default takes all.

    Attributes:
        senders, recipients, parties: addresses, names, or beginnings of words in them, each of which must fit; a party is a
            sender or a recipient.
        since, until: Unix seconds: the first, and the first that is too late.
        attachment: a glob of an attachment's name, without regard to case.
        attachments, invoices: there is at least one.
        clauses: what else must hold.
        before: only what comes behind the message with this number (`Hit.number`), the newest being first.
    """

    senders: Sequence[str] = ()
    recipients: Sequence[str] = ()
    parties: Sequence[str] = ()
    since: float | None = None
    until: float | None = None
    attachment: str = ""
    attachments: bool = False
    invoices: bool = False
    clauses: Sequence[Clause] = ()
    before: int | None = None


class Hit(NamedTuple):
    """A message that was found.

    Attributes:
        date: Unix seconds, 0 when unknown.
        seal: as the index has it.
        sender, recipients: addresses.
        attachments: how many.
        number: of the message in this index: the newer, the larger.
        snippet: what was found, each word between ``\\x02`` and ``\\x03``; of a search without words the beginning of the
            text.
    """

    key: ContentKey
    date: int
    kind: str
    system: str
    seal: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    attachments: int
    snippet: str
    number: int


def snippet_pieces(snippet: str) -> list[tuple[str, bool]]:
    """Return a snippet (`Hit.snippet`) in pieces: (text, whether it was searched for)."""
    pieces: list[tuple[str, bool]] = []
    at = 0
    for match in _MARKS.finditer(snippet):
        pieces += [(snippet[at : match.start()], False), (match[1] or "", True)]
        at = match.end()
    pieces.append((snippet[at:], False))
    return [piece for piece in pieces if piece[0]]


def find(index: IndexFile, query: Query, filters: Filters, *, by_rank: bool = False) -> Iterator[Hit]:
    """Yield what is found, the newest first or the best first.

    They are looked up as they are taken: the first come at once, however many there are. By rank, all are found before.

    Raises:
        QueryError: a filter for a party has no letter or digit in it.
        ArchipecError: as of `SqliteFile.rows`.
    """
    query = _with_parties(query, filters)
    where = [*_facts(filters), *filters.clauses]
    if query.exclude:
        where.append(Clause("m.id NOT IN (SELECT rowid FROM words WHERE words MATCH ?)", (query.exclude,)))
    if filters.before is not None:
        # Of the table that the others are looked up by, so that those in front are not gone through.
        where.append(Clause(f"{_FOUND[1] if query.include else _ALL[1]} < ?", (filters.before,)))
    if by_rank and query.include:
        rows = _best(index, query.include, where)
    elif query.include:
        rows = _rows(index, [Clause("words MATCH ?", (query.include,)), *where], _FOUND, _SNIPPET)
    else:
        rows = _rows(index, where, _ALL, "NULL")
    for row in rows:
        with index.decoding():
            hit = _hit(row)
        yield hit


def _best(index: IndexFile, include: str, where: Sequence[Clause]) -> Iterator[Any]:
    """Yield the rows that are found, the best first: which they are is known before any of them is read."""
    match = Clause("words MATCH ?", (include,))
    weights = ", ".join(str(_WEIGHTS.get(name, 1.0)) for name in COLUMNS)
    ranked = index.rows(
        f"SELECT m.id FROM {_FOUND[0]} WHERE {_conditions([match, *where])} ORDER BY bm25(words, {weights}), m.id DESC",
        _values([match, *where]),
        "integer",
    )
    numbers = [number for (number,) in ranked]
    for start in range(0, len(numbers), _PAGE):
        page = numbers[start : start + _PAGE]
        # The sign keeps FTS5 from looking for one number after the other.
        these = Clause("+words.rowid IN (SELECT value FROM json_each(?))", (json.dumps(page),))
        found = {row[0]: row for row in _rows(index, [match, these], _FOUND, _SNIPPET)}
        yield from (found[number] for number in page if number in found)


def _rows(index: IndexFile, where: Sequence[Clause], source: tuple[str, str], snippet: str) -> Iterator[Any]:
    """Yield rows for `_hit`, each behind its number, the newest first."""
    tables, number = source
    return index.stream(
        "SELECT m.id, m.sha256, m.size, m.date, m.kind, m.system, m.seal, m.attachments, r.facts, r.texts,"
        f" {snippet} FROM {tables} CROSS JOIN record r ON r.id = m.id WHERE {_conditions(where)}"
        f" ORDER BY {number} DESC",
        _values(where),
    )


def _conditions(where: Sequence[Clause]) -> str:
    return " AND ".join(f"({one.sql})" for one in where) or "true"


def _values(where: Sequence[Clause]) -> list[object]:
    return [value for one in where for value in one.values]


def _hit(row: Sequence[Any]) -> Hit:
    number, sha256, size, date, kind, system, seal, attachments, facts, texts, snippet = row
    shape = decompressed(facts)
    parties = shape["parties"]
    senders = [address for role, address, _ in parties if role == Role.FROM]
    recipients = [address for role, address, _ in parties if role in (Role.TO, Role.CC, Role.BCC)]
    if snippet is None:
        # What the sender wrote says more than what the provider writes around every message.
        found = sorted(decompressed(texts), key=lambda one: one[0] != Place.INNER)
        snippet = " ".join(" ".join(text for _, text, _ in found)[:_BEGINNING].split())
    return Hit(
        ContentKey(sha256, size),
        date,
        kind,
        system,
        seal,
        senders[0] if senders else "",
        tuple(dict.fromkeys(recipients)),
        shape["subject"] or shape["envelope_subject"],
        attachments,
        snippet,
        number,
    )


def _with_parties(query: Query, filters: Filters) -> Query:
    asked = (
        (("sender",), filters.senders),
        (("recipients",), filters.recipients),
        (("sender", "recipients"), filters.parties),
    )
    for columns, texts in asked:
        for text in texts:
            expression = phrase(text, prefix=True)
            if not expression:
                raise QueryError(
                    f"there is no letter or digit in {text!r}",
                    hint="give an address, a name, or a part of it",
                )
            query = query.within(columns, expression)
    return query


def _facts(filters: Filters) -> Iterator[Clause]:
    if filters.since is not None:
        yield Clause("m.date >= ?", (filters.since,))
        if filters.since > 0:  # numbers of messages without a date are below those of all others
            yield Clause("m.id >= ?", (int(filters.since) * PER_SECOND,))
    if filters.until is not None:
        last = max(int(filters.until) + _SPILL, 0) * PER_SECOND
        yield Clause("m.date < ? AND m.id < ?", (filters.until, last))
    if filters.attachments:
        yield Clause("m.attachments > 0")
    if filters.invoices:
        yield Clause("m.invoices")
    if filters.attachment:
        yield Clause(
            "EXISTS (SELECT 1 FROM attachment a WHERE a.message = m.id AND a.name GLOB ?)",
            (folded(filters.attachment),),
        )
