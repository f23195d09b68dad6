"""The part of the ledger that tells what the sources have: folders, their listings, what is left to do."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from archipec.custody.ledger.database import LedgerTable, columns, readable
from archipec.custody.ledger.schema import WRONG_SIZE
from archipec.message import Json, Listed
from archipec.sqlite_file import unix_seconds

__all__ = ["FolderState", "HeaderFacts", "SourceMessage", "Sources"]


class SourceMessage(NamedTuple):
    """A listed message that some sink lacks: ``size`` in bytes, ``received`` and ``date`` in Unix seconds."""

    id: int
    ref: str
    size: int | None
    received: int | None
    flags: tuple[str, ...]
    kind: str | None
    date: int | None
    message_id: str | None
    content: int | None
    claims: bool = False


class FolderState(NamedTuple):
    """A recorded folder: its number, the cursor up to which it is listed, and how many messages it has."""

    number: int
    cursor: Json
    present: int


class HeaderFacts(NamedTuple):
    """What the header of a row says: ``date`` in Unix seconds, ``date_from`` the clock it was read from; ``message_id`` is
    empty when it has none, None when it was not read; ``claims``: it passes for certified mail;
    ``system``: `pec`, `rem` or empty, which is not recorded.
    """

    id: int
    kind: str
    date: int
    date_from: str
    message_id: str | None
    claims: bool = False
    system: str = ""


class Sources(LedgerTable):
    """Sources, folders and occurrences: every listed message is a row."""

    def number(self, where: str) -> int:
        """Return the number of a source, new or known."""
        # Who only looks writes nothing, and may not be able to.
        if known := self._db.rows("SELECT id FROM source WHERE place = ?", (where,), "integer"):
            return int(known[0][0])
        with self._db.transaction() as db:
            db.execute("INSERT INTO source (place) VALUES (?) ON CONFLICT DO NOTHING", (where,))
            return int(db.execute("SELECT id FROM source WHERE place = ?", (where,)).fetchone()[0])

    def find(self, where: str) -> int | None:
        """Return the number of a source, None when the ledger does not know it."""
        rows = self._db.rows("SELECT id FROM source WHERE place = ?", (where,), "integer")
        return int(rows[0][0]) if rows else None

    def open_folders(self, source: int, names: Sequence[str]) -> dict[str, FolderState]:
        """Return each folder as it is recorded, new or known."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO folder (source, name) SELECT ?, value FROM json_each(?) WHERE true"
                " ON CONFLICT DO NOTHING",
                (source, json.dumps(names)),
            )
        present = dict(
            self._db.rows(
                "SELECT f.id, (SELECT count(*) FROM occurrence WHERE folder = f.id AND NOT gone)"
                " FROM folder f WHERE f.source = ?",
                (source,),
            )
        )
        known = {
            name: FolderState(number, cursor, present[number])
            for number, name, cursor in self.folders(source)
        }
        return {name: known[name] for name in names}

    def present(self, folder: int) -> int:
        """Return how many messages a folder has, by what was listed."""
        return int(
            self._db.rows("SELECT count(*) FROM occurrence WHERE folder = ? AND NOT gone", (folder,))[0][0]
        )

    def folders(self, source: int) -> list[tuple[int, str, Json]]:
        """Return (number, name, cursor) of every recorded folder."""
        query = "SELECT id, name, cursor FROM folder WHERE source = ?"
        rows = self._db.rows(query, (source,), "integer text text?")
        return [
            (number, name, None if cursor is None else self._db.parse_json(cursor))
            for number, name, cursor in rows
        ]

    def record_listing(
        self, pages: Sequence[tuple[int, Sequence[Listed]]], sinks: Sequence[int]
    ) -> list[int]:
        """Record (folder, listed messages), with each last one's cursor.

        One that was thought gone and is listed again is there again. One that is listed with another size or time of
        receipt than before is another message: what was known of it is forgotten.

        Args:
            sinks: the ledger's numbers of those that are to have the messages.

        Returns:
            page by page, how many messages have to be brought into these sinks that had not before.
        """
        added = []
        with self._db.transaction() as db:
            for folder, listed in pages:
                if not listed:
                    added.append(0)
                    continue
                rows = json.dumps(
                    list(
                        {
                            one.ref: (one.ref, one.size, unix_seconds(one.received), " ".join(one.flags))
                            for one in listed
                        }.values()
                    )
                )
                again = db.execute(_CHANGED, (folder, rows)).fetchall()
                before = db.total_changes
                db.execute(
                    "INSERT INTO occurrence (folder, ref, size, received, flags)"
                    f" SELECT ?, {columns(4)} FROM json_each(?) WHERE true ON CONFLICT (folder, ref) DO NOTHING",
                    (folder, rows),
                )
                new = db.total_changes - before
                if again:
                    changed = [row[0] for row in again]
                    new -= len(_lacking_of(db, changed, sinks))
                    db.execute(_UPDATE, (json.dumps(again),))
                    new += len(_lacking_of(db, changed, sinks))
                added.append(new)
                cursor = json.dumps(listed[-1].cursor)
                db.execute("UPDATE folder SET cursor = ? WHERE id = ?", (cursor, folder))
        return added

    def forget_cursor(self, folder: int) -> None:
        """List a folder from the start when it is listed next."""
        with self._db.transaction() as db:
            db.execute("UPDATE folder SET cursor = NULL WHERE id = ?", (folder,))

    def absent(self, folder: int, refs: Collection[str]) -> list[int]:
        """Return the rows of a folder that a whole listing does not have."""
        query = "SELECT id, ref FROM occurrence WHERE folder = ? AND NOT gone"
        rows = self._db.rows(query, (folder,), "integer text")
        return [number for number, ref in rows if ref not in refs]

    def retire(self, rows: Sequence[int], sinks: Sequence[int]) -> list[int]:
        """Record that the source no longer has these messages.

        Returns:
            those of them that one of the sinks lacked.
        """
        with self._db.transaction() as db:
            lacking = _lacking_of(db, rows, sinks)
            db.execute(
                "UPDATE occurrence SET gone = 1 WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(rows)),),
            )
        return lacking

    def backlog(self, source: int, sinks: Sequence[int]) -> dict[int, int]:
        """Return, per folder that has any, how many of its messages some sink lacks."""
        query, values = _lacking("SELECT o.folder, count(*)", "f.source = ?", (source,), sinks)
        return dict(self._db.rows(f"{query} GROUP BY o.folder", values))

    def work(self, folder: int, sinks: Sequence[int], after: int, limit: int) -> list[SourceMessage]:
        """Return messages of a folder that some sink lacks, in listing order, those after row ``after``."""
        columns = "SELECT o.id, o.ref, o.size, o.received, o.flags, o.kind, o.date, o.message_id, o.content, o.claims"
        query, values = _lacking(columns, "o.folder = ? AND o.id > ?", (folder, after), sinks)
        page = self._db.rows(
            "SELECT json_group_array("
            "json_array(id, ref, size, received, flags, kind, date, message_id, content, claims))"
            f" FROM ({query} ORDER BY o.id LIMIT ?)",
            (*values, limit),
        )
        rows = self._db.checked(
            self._db.parse_json(page[0][0]),
            "integer text integer? time? text text? time? text? integer? integer?",
        )
        return [
            SourceMessage(
                number,
                ref,
                size,
                received,
                tuple(flags.split()),
                kind,
                date,
                message_id,
                content,
                bool(claims),
            )
            for number, ref, size, received, flags, kind, date, message_id, content, claims in sorted(rows)
        ]

    def sizes_beside(self, row: int) -> tuple[int, int]:
        """Return how many messages of a row's folder have the size that was listed, and how many another.

        The newest 1,000 that were read are counted.
        """
        rows = self._db.rows(
            "SELECT coalesce(sum(same), 0), coalesce(sum(NOT same), 0) FROM"
            " (SELECT o.size = t.size AS same FROM occurrence o JOIN content t ON t.id = o.content"
            " WHERE o.folder = (SELECT folder FROM occurrence WHERE id = ?1) AND o.size IS NOT NULL AND o.id <> ?1"
            " ORDER BY o.id DESC LIMIT 1000)",
            (row,),
        )
        return int(rows[0][0]), int(rows[0][1])

    def record_headers(self, facts: Iterable[HeaderFacts]) -> None:
        """Keep what was read from headers, so that nothing is looked up twice."""
        with self._db.transaction() as db:
            db.executemany(
                "UPDATE occurrence SET kind = ?2, date = ?3, date_from = ?4, message_id = coalesce(?5, message_id),"
                " claims = ?6 WHERE id = ?1",
                [one[:-1] for one in facts],
            )

    def record_gone(self, rows: Iterable[int]) -> None:
        """Record that the source no longer has these messages."""
        with self._db.transaction() as db:
            db.executemany("UPDATE occurrence SET gone = 1 WHERE id = ?", [(row,) for row in rows])

    def forget_contents(self, source: int, folder: str, refs: Sequence[str]) -> None:
        """Forget which messages these are: the source has others there now, and they are to be read."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE occurrence SET content = NULL, accepted = NULL, kind = NULL, date = NULL, date_from = NULL,"
                " message_id = NULL, claims = NULL WHERE folder = (SELECT id FROM folder WHERE source = ? AND name = ?)"
                " AND ref IN (SELECT value FROM json_each(?))",
                (source, folder, json.dumps(list(refs))),
            )

    def record_failure(self, row: int, reason: str) -> None:
        """Record why a message could not be read."""
        with self._db.transaction() as db:
            db.execute("UPDATE occurrence SET reason = ? WHERE id = ?", (readable(reason), row))

    def unknown_message_ids(self, source: int, wanted: Iterable[str]) -> list[str]:
        """Return those Message-IDs (in lower case) that no recorded message of a source has."""
        return [
            identifier
            for identifier in sorted(wanted)
            if not self._db.rows(
                "SELECT 1 FROM occurrence o JOIN folder f ON f.id = o.folder"
                " LEFT JOIN verdict v ON v.content = o.content WHERE f.source = ?1"
                " AND (lower(o.message_id) = ?2 OR lower(v.message_id) = ?2) LIMIT 1",
                (source, identifier),
            )
        ]

    def unknown_hashes(self, source: int, wanted: Iterable[str]) -> list[str]:
        """Return those beginnings of a SHA-256 (in lower case) that no message has which was read from a source."""
        return [
            digits
            for digits in sorted(wanted)
            if not self._db.rows(
                "SELECT 1 FROM content t JOIN occurrence o ON o.content = t.id JOIN folder f ON f.id = o.folder"
                " WHERE t.sha256 >= ?2 AND t.sha256 < ?2 || 'g' AND f.source = ?1 LIMIT 1",
                (source, digits),
            )
        ]

    def read_before(self, source: int) -> Iterator[tuple[str, SourceMessage]]:
        """Yield (folder, message) of what was read from a source and is still there, the newest first."""
        last = 1 << 62
        while rows := self._db.rows(
            "SELECT f.name, o.id, o.ref, o.size, o.received, coalesce(o.kind, t.kind), coalesce(o.date, t.date),"
            " o.message_id, o.content, o.claims FROM occurrence o JOIN folder f ON f.id = o.folder"
            " JOIN content t ON t.id = o.content WHERE f.source = ? AND NOT o.gone AND o.id < ?"
            " ORDER BY o.id DESC LIMIT 500",
            (source, last),
            "text integer text integer? time? text? time? text? integer integer?",
        ):
            for folder, last, ref, size, received, kind, date, message_id, content, claims in rows:
                yield (
                    folder,
                    SourceMessage(
                        last, ref, size, received, (), kind or None, date, message_id, content, bool(claims)
                    ),
                )

    def counts(self, source: int) -> tuple[int, int]:
        """Return how many messages of a source are recorded and still there, and their bytes."""
        rows = self._db.rows(
            "SELECT count(*), coalesce(sum(o.size), 0) FROM occurrence o JOIN folder f ON f.id = o.folder"
            " WHERE f.source = ? AND NOT o.gone",
            (source,),
            "integer integer",
        )
        return int(rows[0][0]), int(rows[0][1])

    def last_listing(self, folder: int, name: str) -> Iterator[Listed]:
        """Yield a folder's messages as they were last listed, in that order."""
        for ref, size, received, flags in self._db.paged(
            "SELECT ref, size, received, flags FROM occurrence WHERE folder = ? AND NOT gone ORDER BY id",
            (folder,),
            "text integer? time? text",
        ):
            yield Listed(
                name,
                ref,
                size,
                None if received is None else datetime.fromtimestamp(received, UTC),
                tuple(flags.split()),
                None,
            )


def _lacking(
    columns: str, where: str, values: Sequence[object], sinks: Sequence[int]
) -> tuple[str, list[object]]:
    """Build the one query that says what is left to do. A rejected copy is not offered again unchanged."""
    lacks = (
        " OR NOT EXISTS (SELECT 1 FROM copy c WHERE c.content = o.content AND c.sink = ?"
        " AND c.state IN ('stored', 'pending', 'rejected'))"
    )
    query = (
        f"{columns} FROM occurrence o JOIN folder f ON f.id = o.folder WHERE {where} AND NOT o.gone"
        f" AND (o.content IS NULL OR {WRONG_SIZE}{lacks * len(sinks)})"
    )
    return query, [*values, *sinks]


# What was unknown before, or is now, is no change.
_OTHER = "(o.size <> j.size OR o.received <> j.received)"
_UPDATE = (
    "UPDATE occurrence AS o SET gone = 0, size = coalesce(j.size, o.size),"
    " received = coalesce(j.received, o.received), flags = j.flags,"
    + ",".join(
        f" {column} = iif({_OTHER}, NULL, o.{column})"
        for column in ("content", "kind", "date", "date_from", "message_id", "claims", "accepted")
    )
    + f" FROM (SELECT {columns(4, 'id', 'size', 'received', 'flags')} FROM json_each(?)) j WHERE o.id = j.id"
)
# The join's order is part of it: the rows of a page are looked up, a folder's are never gone through.
_CHANGED = (
    f"SELECT o.id, j.size, j.received, j.flags"
    f" FROM (SELECT {columns(4, 'ref', 'size', 'received', 'flags')} FROM json_each(?2)) j"
    " CROSS JOIN occurrence o ON o.folder = ?1 AND o.ref = j.ref"
    " WHERE o.gone OR o.size IS NOT coalesce(j.size, o.size)"
    " OR o.received IS NOT coalesce(j.received, o.received)"
)


def _lacking_of(db: sqlite3.Connection, rows: Sequence[int], sinks: Sequence[int]) -> list[int]:
    """Return those rows that one of the sinks lacks."""
    query, values = _lacking(
        "SELECT o.id", "o.id IN (SELECT value FROM json_each(?))", (json.dumps(list(rows)),), sinks
    )
    return [number for (number,) in db.execute(query, values).fetchall()]
