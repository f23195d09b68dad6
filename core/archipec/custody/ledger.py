"""The ledger: one SQLite file a state folder, on record before anything is believed.

It is the work list too. Every listed message is a row; a cursor is stored in the transaction of the rows it
covers; what is left to do is a query (rows some sink lacks), never a state kept beside it.

Any thread may call. Times are Unix seconds.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from archipec.custody.journal import Journal
from archipec.message import ContentKey, Json, Listed, Receipt, State

__all__ = ["Content", "Copy", "Ledger", "Row"]


class Row(NamedTuple):
    """A listed message that some sink lacks."""

    id: int
    ref: str
    size: int | None
    received: int | None
    flags: tuple[str, ...]
    kind: str | None
    date: int | None
    content: int | None


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of a message's bytes: ``date_from`` names the clock that ``date`` was read from."""

    key: ContentKey
    kind: str
    date: int
    date_from: str


class Copy(NamedTuple):
    """A sink's copy, as the ledger has it."""

    content: int
    receipt: Receipt


class Ledger(Journal):
    """The custody database. See `Database` for what opening it may raise."""

    # -- endpoints ---------------------------------------------------------------------------------

    def source(self, where: str) -> int:
        """Return the number of a source, new or known."""
        with self._transaction() as db:
            db.execute("INSERT INTO source (place) VALUES (?) ON CONFLICT DO NOTHING", (where,))
            return int(db.execute("SELECT id FROM source WHERE place = ?", (where,)).fetchone()[0])

    def sink(self, where: str) -> int:
        """Return the number of a sink, new or known."""
        with self._transaction() as db:
            db.execute("INSERT INTO sink (place) VALUES (?) ON CONFLICT DO NOTHING", (where,))
            return int(db.execute("SELECT id FROM sink WHERE place = ?", (where,)).fetchone()[0])

    def archive_id(self, sink: int) -> str:
        """Return the identity read from the archive's marker, empty when none was ever seen."""
        return str(self._rows("SELECT archive FROM sink WHERE id = ?", (sink,))[0][0])

    def set_archive_id(self, sink: int, identity: str) -> None:
        """Remember which archive stands at this sink."""
        with self._transaction() as db:
            db.execute("UPDATE sink SET archive = ? WHERE id = ?", (identity, sink))

    def knows_copies(self, sink: int) -> bool:
        """Tell whether any receipt of this sink is on record."""
        return bool(self._rows("SELECT 1 FROM copy WHERE sink = ? LIMIT 1", (sink,)))

    # -- listing -----------------------------------------------------------------------------------

    def folder(self, source: int, name: str) -> tuple[int, Json]:
        """Return a folder's number and the cursor up to which it is on record."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO folder (source, name) VALUES (?, ?) ON CONFLICT DO NOTHING", (source, name)
            )
            number, cursor = db.execute(
                "SELECT id, cursor FROM folder WHERE source = ? AND name = ?", (source, name)
            ).fetchone()
            return int(number), None if cursor is None else json.loads(cursor)

    def folders(self, source: int) -> list[tuple[int, str, Json]]:
        """Return (number, name, cursor) of every folder on record."""
        rows = self._rows("SELECT id, name, cursor FROM folder WHERE source = ?", (source,))
        return [
            (number, name, None if cursor is None else json.loads(cursor)) for number, name, cursor in rows
        ]

    def record_listing(self, folder: int, listed: Sequence[Listed]) -> int:
        """Put listed messages on record, with the last one's cursor, and return how many were new.

        One that was thought gone and is listed again is there again.
        """
        values = [(folder, one.ref, one.size, _seconds(one.received), " ".join(one.flags)) for one in listed]
        with self._transaction() as db:
            before = db.total_changes
            db.executemany(
                "INSERT INTO occurrence (folder, ref, size, received, flags) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (folder, ref) DO UPDATE SET gone = 0 WHERE gone",
                values,
            )
            new = db.total_changes - before
            db.execute("UPDATE folder SET cursor = ? WHERE id = ?", (json.dumps(listed[-1].cursor), folder))
            return new

    # -- work --------------------------------------------------------------------------------------

    def backlog(self, source: int, sinks: Sequence[int]) -> dict[int, int]:
        """Return, per folder that has any, how many of its messages some sink lacks."""
        query, values = _lacking("SELECT o.folder, count(*)", "f.source = ?", (source,), sinks)
        return dict(self._rows(f"{query} GROUP BY o.folder", values))

    def work(self, folder: int, sinks: Sequence[int], after: int, limit: int) -> list[Row]:
        """Return messages of a folder that some sink lacks, in listing order, those after row ``after``."""
        columns = "SELECT o.id, o.ref, o.size, o.received, o.flags, o.kind, o.date, o.content"
        query, values = _lacking(columns, "o.folder = ? AND o.id > ?", (folder, after), sinks)
        rows = self._rows(f"{query} ORDER BY o.id LIMIT ?", (*values, limit))
        return [
            Row(number, ref, size, received, tuple(flags.split()), kind, date, content)
            for number, ref, size, received, flags, kind, date, content in rows
        ]

    def record_look(self, looks: Iterable[tuple[int, str, int, str]]) -> None:
        """Keep (row, kind, date, date_from) read from headers, so that nothing is looked up twice."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE occurrence SET kind = ?2, date = ?3, date_from = ?4 WHERE id = ?1", list(looks)
            )

    def record_gone(self, rows: Iterable[int]) -> None:
        """Put on record that the source no longer has these messages."""
        with self._transaction() as db:
            db.executemany("UPDATE occurrence SET gone = 1 WHERE id = ?", [(row,) for row in rows])

    def record_failure(self, row: int, reason: str) -> None:
        """Put on record why a message could not be read."""
        with self._transaction() as db:
            db.execute("UPDATE occurrence SET reason = ? WHERE id = ?", (reason, row))

    # -- contents and copies -----------------------------------------------------------------------

    def copies_of(self, keys: Sequence[ContentKey]) -> dict[ContentKey, tuple[int, dict[int, str]]]:
        """Return, for each key on record, its number and the state of its copy in each sink."""
        found: dict[ContentKey, tuple[int, dict[int, str]]] = {}
        marks = ",".join("?" * len(keys))
        for number, digest, size, sink, state in self._rows(
            "SELECT t.id, t.sha256, t.size, c.sink, c.state FROM content t LEFT JOIN copy c ON c.content = t.id"
            f" WHERE t.sha256 IN ({marks})",
            [bytes.fromhex(key.sha256) for key in keys],
        ):
            entry = found.setdefault(ContentKey(digest.hex(), size), (number, {}))
            if sink is not None:
                entry[1][sink] = state
        return found

    def intend(self, batch: Iterable[tuple[Content, Sequence[int], Sequence[int]]]) -> dict[ContentKey, int]:
        """Put on record what is about to be stored: (content, rows where it occurs, sinks that lack it).

        Returns:
            the number of each content.
        """
        numbers: dict[ContentKey, int] = {}
        occurrences: list[tuple[int, int]] = []
        intents: list[tuple[int, int]] = []
        with self._transaction() as db:
            for content, rows, sinks in batch:
                number = numbers[content.key] = self._content(db, content)
                occurrences.extend((number, row) for row in rows)
                intents.extend((number, sink) for sink in sinks)
            self._link(db, occurrences)
            db.executemany(
                "INSERT INTO copy (content, sink, state) VALUES (?, ?, 'intent')"
                " ON CONFLICT (content, sink) DO UPDATE SET state = 'intent'",
                intents,
            )
        return numbers

    def link(self, occurrences: Sequence[tuple[int, int]]) -> None:
        """Put on record that (content, row) are the same message."""
        with self._transaction() as db:
            self._link(db, occurrences)

    def record_receipts(
        self,
        sink: int,
        receipts: Iterable[tuple[int, Receipt]],
        failures: Iterable[tuple[int, str]],
        now: int,
    ) -> None:
        """Put a sink's word on record: (content, receipt), and (content, reason) of what it could not keep."""
        kept = [
            (receipt.state.value, json.dumps(receipt.token), receipt.reason, now, content, sink)
            for content, receipt in receipts
        ]
        with self._transaction() as db:
            db.executemany(
                "UPDATE copy SET state = ?, token = ?, reason = ?, stored = ? WHERE content = ? AND sink = ?",
                kept,
            )
            db.executemany(
                "UPDATE copy SET state = 'failed', reason = ? WHERE content = ? AND sink = ?",
                [(reason, content, sink) for content, reason in failures],
            )

    def adopt(self, sink: int, held: Sequence[tuple[Content, Receipt]], now: int) -> None:
        """Put on record what an archive already holds, by its own account."""
        with self._transaction() as db:
            copies = [
                (self._content(db, content), sink, receipt.state.value, json.dumps(receipt.token), now)
                for content, receipt in held
            ]
            db.executemany(
                "INSERT INTO copy (content, sink, state, token, stored) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (content, sink) DO UPDATE SET state = excluded.state, token = excluded.token",
                copies,
            )

    @staticmethod
    def _content(db: sqlite3.Connection, content: Content) -> int:
        # What was learnt by adoption, without reading, gives way to what was read.
        row = db.execute(
            "INSERT INTO content (sha256, size, kind, date, date_from) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (sha256, size) DO UPDATE SET kind = iif(kind = '', excluded.kind, kind),"
            " date = iif(date_from = '', excluded.date, date),"
            " date_from = iif(date_from = '', excluded.date_from, date_from) RETURNING id",
            (
                bytes.fromhex(content.key.sha256),
                content.key.size,
                content.kind,
                content.date,
                content.date_from,
            ),
        ).fetchone()
        return int(row[0])

    @staticmethod
    def _link(db: sqlite3.Connection, occurrences: Sequence[tuple[int, int]]) -> None:
        db.executemany("UPDATE occurrence SET content = ?, reason = '' WHERE id = ?", occurrences)

    # -- verification ------------------------------------------------------------------------------

    def copies(self, sink: int, states: Sequence[str], after: int = 0, limit: int = -1) -> list[Copy]:
        """Return a sink's copies in these states, in the order of their contents, those after content ``after``."""
        marks = ",".join("?" * len(states))
        rows = self._rows(
            "SELECT c.content, t.sha256, t.size, c.state, c.token, c.reason FROM copy c"
            " JOIN content t ON t.id = c.content WHERE c.sink = ? AND c.content > ?"
            f" AND c.state IN ({marks}) ORDER BY c.content LIMIT ?",
            (sink, after, *states, limit),
        )
        return [
            Copy(
                content,
                Receipt(
                    ContentKey(digest.hex(), size),
                    State.PENDING if state == State.PENDING else State.STORED,
                    json.loads(token),
                    reason,
                ),
            )
            for content, digest, size, state, token, reason in rows
        ]

    def record_verified(self, sink: int, verdicts: Iterable[tuple[int, str]], now: int) -> None:
        """Put verdicts on record: (content, "ok" | "missing" | "altered"). Only an intact copy counts as held."""
        with self._transaction() as db:
            for content, verdict in verdicts:
                if verdict == "ok":
                    db.execute(
                        "UPDATE copy SET verified = ?, state = iif(state = 'pending', state, 'stored')"
                        " WHERE content = ? AND sink = ?",
                        (now, content, sink),
                    )
                else:
                    db.execute(
                        "UPDATE copy SET state = ? WHERE content = ? AND sink = ?", (verdict, content, sink)
                    )

    # -- what is held ------------------------------------------------------------------------------

    def receipt(self, sink: int, key: ContentKey) -> Receipt | None:
        """Return the receipt of a copy that counts as held."""
        rows = self._rows(
            "SELECT c.state, c.token FROM copy c JOIN content t ON t.id = c.content"
            " WHERE c.sink = ? AND t.sha256 = ? AND t.size = ? AND c.state IN ('stored', 'pending')",
            (sink, bytes.fromhex(key.sha256), key.size),
        )
        return Receipt(key, State(rows[0][0]), json.loads(rows[0][1])) if rows else None

    def stored_since(self, sinks: Sequence[int], since: int) -> Iterator[ContentKey]:
        """Yield what these sinks took since a time, in the order in which it first came."""
        marks = ",".join("?" * len(sinks))
        last = 0
        while rows := self._rows(
            "SELECT DISTINCT t.id, t.sha256, t.size FROM copy c JOIN content t ON t.id = c.content"
            f" WHERE c.sink IN ({marks}) AND c.stored >= ? AND c.state IN ('stored', 'pending')"
            " AND t.id > ? ORDER BY t.id LIMIT 1000",
            (*sinks, since, last),
        ):
            last = rows[-1][0]
            for _, digest, size in rows:
                yield ContentKey(digest.hex(), size)

    def sinks_of(self, source: int) -> list[tuple[int, str]]:
        """Return (number, where) of the sinks that hold or should hold messages of a source."""
        return self._rows(
            "SELECT s.id, s.place FROM sink s WHERE EXISTS (SELECT 1 FROM copy c"
            " JOIN occurrence o ON o.content = c.content JOIN folder f ON f.id = o.folder"
            " WHERE c.sink = s.id AND f.source = ?) ORDER BY s.id",
            (source,),
        )

    def occurrences(self, source: int) -> tuple[int, int]:
        """Return how many messages of a source are on record and still there, and their bytes."""
        rows = self._rows(
            "SELECT count(*), coalesce(sum(o.size), 0) FROM occurrence o JOIN folder f ON f.id = o.folder"
            " WHERE f.source = ? AND NOT o.gone",
            (source,),
        )
        return int(rows[0][0]), int(rows[0][1])

    def holdings(self, sink: int) -> dict[str, tuple[int, int]]:
        """Return, per state of a copy, how many messages and bytes a sink has."""
        rows = self._rows(
            "SELECT c.state, count(*), sum(t.size) FROM copy c JOIN content t ON t.id = c.content"
            " WHERE c.sink = ? GROUP BY c.state",
            (sink,),
        )
        return {state: (count, size) for state, count, size in rows}


def _lacking(
    columns: str, where: str, values: Sequence[object], sinks: Sequence[int]
) -> tuple[str, list[object]]:
    """Build the one query that says what is left to do. A rejected copy is not offered again unchanged."""
    marks = ",".join("?" * len(sinks))
    query = (
        f"{columns} FROM occurrence o JOIN folder f ON f.id = o.folder WHERE {where} AND NOT o.gone"
        " AND (o.content IS NULL OR (SELECT count(*) FROM copy c WHERE c.content = o.content"
        f" AND c.sink IN ({marks}) AND c.state IN ('stored', 'pending', 'rejected')) < ?)"
    )
    return query, [*values, *sinks, len(sinks)]


def _seconds(moment: Any) -> int | None:
    return None if moment is None else int(moment.timestamp())
