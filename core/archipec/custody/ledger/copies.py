"""The part of the ledger that tells what the sinks have: contents, intents, receipts."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from archipec.custody.ledger.database import LedgerTable, columns, insert, readable
from archipec.custody.ledger.schema import UNSETTLED
from archipec.errors import counted
from archipec.message import ContentKey, Receipt, State

__all__ = ["Content", "Copies", "Copy", "Overdue"]


class Content(NamedTuple):
    """What is known of a message's bytes: ``date`` in Unix seconds, ``date_from`` the clock it was read from."""

    key: ContentKey
    kind: str
    date: int
    date_from: str


class Copy(NamedTuple):
    """A sink's copy, as the ledger has it."""

    content: int
    receipt: Receipt


class Overdue(NamedTuple):
    """Copies that need the user's attention: ``since`` when (Unix seconds), None unless they have waited for too long."""

    reason: str
    since: int | None
    copies: int

    def as_text(self, now: int) -> str:
        """Say it in a line."""
        if self.since is None:
            return self.reason
        days = (now - self.since) // 86_400
        day = datetime.fromtimestamp(self.since).astimezone()
        return f"deposited {day:%Y-%m-%d}, no report for {counted(days, 'day')}: {self.reason}"


class Copies(LedgerTable):
    """Sinks, contents and copies."""

    def sink_number(self, where: str) -> int:
        """Return the number of a sink, new or known."""
        # Who only looks writes nothing, and may not be able to.
        if known := self._db.rows("SELECT id FROM sink WHERE place = ?", (where,), "integer"):
            return int(known[0][0])
        with self._db.transaction() as db:
            db.execute("INSERT INTO sink (place) VALUES (?) ON CONFLICT DO NOTHING", (where,))
            return int(db.execute("SELECT id FROM sink WHERE place = ?", (where,)).fetchone()[0])

    def archive_id(self, sink: int) -> str:
        """Return the identity read from the archive's marker, empty when none was ever seen."""
        return str(self._db.rows("SELECT archive FROM sink WHERE id = ?", (sink,), "text")[0][0])

    def set_archive_id(self, sink: int, identity: str) -> None:
        """Remember which archive stands at this sink."""
        with self._db.transaction() as db:
            db.execute("UPDATE sink SET archive = ? WHERE id = ?", (identity, sink))

    def knows_copies(self, sink: int) -> bool:
        """Return whether any receipt of this sink is recorded."""
        return bool(
            self._db.rows("SELECT 1 FROM tally WHERE sink = ?", (sink,))
            or self._db.rows("SELECT 1 FROM copy WHERE sink = ? LIMIT 1", (sink,))
        )

    def copies_of(self, keys: Sequence[ContentKey]) -> dict[ContentKey, tuple[int, dict[int, str]]]:
        """Return, for each recorded key, its number and the state of its copy in each sink."""
        found: dict[ContentKey, tuple[int, dict[int, str]]] = {}
        for number, digest, size, sink, state in self._db.rows(
            "SELECT t.id, t.sha256, t.size, c.sink, c.state FROM content t LEFT JOIN copy c ON c.content = t.id"
            " WHERE t.sha256 IN (SELECT value FROM json_each(?))",
            (json.dumps([key.sha256 for key in keys]),),
            "integer sha256 integer integer? text?",
        ):
            entry = found.setdefault(ContentKey(digest, size), (number, {}))
            if sink is not None:
                entry[1][sink] = state
        return found

    def contents(self, numbers: Iterable[int]) -> dict[int, Content]:
        """Return what is known of contents, by their numbers."""
        rows = self._db.rows(
            "SELECT id, sha256, size, kind, date, date_from FROM content"
            " WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(numbers)),),
            "integer sha256 integer text time text",
        )
        return {number: Content(ContentKey(digest, size), *facts) for number, digest, size, *facts in rows}

    def tally(self, sink: int, upto: int) -> tuple[str, int, int]:
        """Return what tells whether a sink still holds the same contents up to a number.

        That is the SHA-256 of the one with that number, how many are held, and the sum of their numbers.
        """
        return self._db.rows(  # type: ignore[no-any-return]
            "SELECT coalesce((SELECT sha256 FROM content WHERE id = ?2), ''), count(*), coalesce(sum(content), 0)"
            " FROM copy WHERE sink = ?1 AND content <= ?2 AND state IN ('stored', 'pending')",
            (sink, upto),
            "text integer integer",
        )[0]

    def is_still(self, sink: int, upto: int, tally: tuple[str, int, int]) -> bool:
        """Return whether a sink's `tally` up to a number is still this one."""
        whole = self._db.rows(
            "SELECT coalesce((SELECT sha256 FROM content WHERE id = ?2), ''), coalesce(sum(messages), 0),"
            " coalesce(sum(contents), 0) FROM tally WHERE sink = ?1 AND state IN ('stored', 'pending')",
            (sink, upto),
            "text integer integer",
        )[0]
        # As a rule nothing has come since: then what is kept of all of it says so, and nothing is gone through.
        return bool(whole == tally) or self.tally(sink, upto) == tally

    def record_variants(self, variants: Iterable[tuple[int, Sequence[ContentKey]]]) -> None:
        """Record what contents may have been before a program saved them: (content, keys)."""
        rows = [(*key, content) for content, keys in variants for key in keys]
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO variant (sha256, size, content)"
                f" SELECT {columns(3)} FROM json_each(?) WHERE true ON CONFLICT DO NOTHING",
                (json.dumps(rows),),
            )

    def variants(self) -> Iterator[tuple[ContentKey, ContentKey]]:
        """Yield (content as a program saved it, its original) where both are recorded."""
        for digest, size, *original in self._db.rows(
            "SELECT d.sha256, d.size, t.sha256, t.size FROM variant v JOIN content d ON d.id = v.content"
            " JOIN content t ON t.sha256 = v.sha256 AND t.size = v.size ORDER BY d.id",
            columns="sha256 integer sha256 integer",
        ):
            yield ContentKey(digest, size), ContentKey(*original)

    def intend(
        self, batch: Sequence[tuple[Content, Sequence[tuple[int, int | None]], Sequence[int]]]
    ) -> dict[ContentKey, int]:
        """Record what is about to be stored: (content, where it occurs, sinks that lack it).

        Where it occurs is given as (row, its listed size in bytes).

        Returns:
            the number of each content.
        """
        with self._db.transaction() as db:
            numbers = self._contents(db, [content for content, _, _ in batch])
            self._link(db, [(numbers[content.key], *row) for content, rows, _ in batch for row in rows])
            db.execute(
                f"INSERT INTO copy (content, sink, state) SELECT {columns(2)}, 'intent' FROM json_each(?)"
                " WHERE true ON CONFLICT (content, sink) DO UPDATE SET state = 'intent'",
                (
                    json.dumps(
                        [(numbers[content.key], sink) for content, _, sinks in batch for sink in sinks]
                    ),
                ),
            )
        return numbers

    def link(self, occurrences: Sequence[tuple[int, int, int | None]]) -> None:
        """Record that (content, row, the row's listed size) are the same message."""
        with self._db.transaction() as db:
            self._link(db, occurrences)

    def record_receipts(
        self,
        sink: int,
        receipts: Iterable[tuple[int, Receipt]],
        failures: Iterable[tuple[int, str]],
        now: int,
    ) -> None:
        """Record what a sink answered: (content, receipt), and (content, reason) of what it could not keep."""
        kept = [
            (content, receipt.state.value, json.dumps(receipt.token), readable(receipt.reason))
            for content, receipt in receipts
        ]
        lost = [(content, "failed", "null", readable(reason)) for content, reason in failures]
        with self._db.transaction() as db:
            db.execute(
                "UPDATE copy SET state = j.state, token = j.token, reason = j.reason,"
                " stored = iif(j.state = 'failed', stored, ?) FROM"
                f" (SELECT {columns(4, 'content', 'state', 'token', 'reason')} FROM json_each(?)) j"
                " WHERE copy.content = j.content AND copy.sink = ?",
                (now, json.dumps([*kept, *lost]), sink),
            )

    def record_waiting(self, sink: int, receipts: Iterable[tuple[int, Receipt]]) -> None:
        """Record what copies wait for, (content, receipt): none of them is newly stored by that."""
        rows = [
            (content, json.dumps(receipt.token), readable(receipt.reason)) for content, receipt in receipts
        ]
        with self._db.transaction() as db:
            db.execute(
                "UPDATE copy SET state = 'pending', token = j.token, reason = j.reason FROM"
                f" (SELECT {columns(3, 'content', 'token', 'reason')} FROM json_each(?)) j"
                " WHERE copy.content = j.content AND copy.sink = ?",
                (json.dumps(rows), sink),
            )

    def states(self, sink: int, contents: Sequence[int]) -> Counter[str]:
        """Count a sink's copies of these contents by state."""
        rows = self._db.rows(
            "SELECT state, count(*) FROM copy WHERE sink = ? AND content IN (SELECT value FROM json_each(?))"
            " GROUP BY state",
            (sink, json.dumps(list(contents))),
            "text integer",
        )
        return Counter(dict(rows))

    def reasons(self, sink: int) -> list[tuple[str, str, int]]:
        """Return (state, reason, copies) of the copies that are not confirmed: pending and rejected."""
        return self._db.rows(
            "SELECT state, reason, count(*) FROM copy WHERE sink = ? AND state IN ('pending', 'rejected')"
            f" AND {UNSETTLED} GROUP BY state, reason ORDER BY state, reason",
            (sink,),
            "text text integer",
        )

    def overdue(self, sink: int, now: int) -> list[Overdue]:
        """Return the pending copies of a sink that need the user's attention: by their tokens (`archipec.message.Receipt`)."""
        waiting = "json_extract(token, '$.waiting.{}')"
        since, due, attention = (waiting.format(name) for name in ("since", "due", "attention"))
        return [
            Overdue(*row)
            for row in self._db.rows(
                f"SELECT reason, iif({due} < ?2, {since}, NULL), count(*) FROM copy WHERE sink = ?1 AND state = 'pending'"
                f" AND {UNSETTLED} AND token != 'null' AND ({due} < ?2 OR {attention}) GROUP BY 1, 2 ORDER BY 2, 1",
                (sink, now),
                "text time? integer",
            )
        ]

    def adopt(self, sink: int, held: Sequence[tuple[Content, Receipt]], now: int) -> None:
        """Record what an archive already holds, by its own account."""
        with self._db.transaction() as db:
            numbers = self._contents(db, [content for content, _ in held])
            copies = [
                (numbers[content.key], receipt.state.value, json.dumps(receipt.token))
                for content, receipt in held
            ]
            db.execute(
                "INSERT INTO copy (sink, stored, content, state, token)"
                f" SELECT ?, ?, {columns(3)} FROM json_each(?) WHERE true"
                " ON CONFLICT (content, sink) DO UPDATE SET state = excluded.state, token = excluded.token",
                (sink, now, json.dumps(copies)),
            )

    @staticmethod
    def _contents(db: sqlite3.Connection, contents: Sequence[Content]) -> dict[ContentKey, int]:
        """Record contents and return their numbers.

        What was learnt by adoption, without reading, gives way to what was read.
        """
        rows = [(*content.key, content.kind, content.date, content.date_from) for content in contents]
        insert(
            db,
            "content (sha256, size, kind, date, date_from)",
            rows,
            "ON CONFLICT (sha256, size) DO UPDATE SET kind = iif(kind = '', excluded.kind, kind),"
            " date = iif(date_from = '', excluded.date, date),"
            " date_from = iif(date_from = '', excluded.date_from, date_from)",
        )
        found = db.execute(
            "SELECT json_group_array(json_array(sha256, size, id)) FROM content"
            " WHERE sha256 IN (SELECT value FROM json_each(?))",
            (json.dumps([content.key.sha256 for content in contents]),),
        ).fetchone()[0]
        return {ContentKey(digest, size): number for digest, size, number in json.loads(found)}

    @staticmethod
    def _link(db: sqlite3.Connection, occurrences: Sequence[tuple[int, int, int | None]]) -> None:
        db.execute(
            "UPDATE occurrence SET content = j.content, accepted = j.accepted, reason = '' FROM"
            f" (SELECT {columns(3, 'content', 'id', 'accepted')} FROM json_each(?)) j WHERE occurrence.id = j.id",
            (json.dumps(occurrences),),
        )

    def in_states(self, sink: int, states: Sequence[str], after: int = 0, limit: int = -1) -> list[Copy]:
        """Return a sink's copies in these states, in the order of their contents, those after content ``after``."""
        marks = ",".join("?" * len(states))
        few = "" if {"stored", "intent"} & set(states) else f" AND c.{UNSETTLED}"
        return self.where(
            f"c.sink = ? AND c.content > ? AND c.state IN ({marks}){few}", (sink, after, *states, limit)
        )

    def where(self, where: str, values: Sequence[object]) -> list[Copy]:
        rows = self._db.rows(
            "SELECT c.content, t.sha256, t.size, c.state, c.token, c.reason FROM copy c"
            f" JOIN content t ON t.id = c.content WHERE {where} ORDER BY c.content LIMIT ?",
            values,
            "integer sha256 integer text text text",
        )
        return [
            Copy(
                content,
                Receipt(
                    ContentKey(digest, size),
                    State.PENDING if state == State.PENDING else State.STORED,
                    self._db.parse_json(token),
                    reason,
                ),
            )
            for content, digest, size, state, token, reason in rows
        ]

    def record_verified(self, sink: int, verdicts: Iterable[tuple[int, str]], now: int) -> None:
        """Record verdicts: (content, "ok" | "missing" | "altered"). Only an intact copy counts as held."""
        found = list(verdicts)
        intact = [content for content, verdict in found if verdict == "ok"]
        lost = [one for one in found if one[1] != "ok"]
        with self._db.transaction() as db:
            db.execute(
                "UPDATE copy SET verified = ?1, intact_since = coalesce(intact_since, ?1),"
                " state = iif(state = 'pending', state, 'stored')"
                " WHERE sink = ?2 AND content IN (SELECT value FROM json_each(?3))",
                (now, sink, json.dumps(intact)),
            )
            db.executemany(
                "UPDATE copy SET state = ?2, intact_since = NULL WHERE content = ?1 AND sink = ?3",
                [(content, verdict, sink) for content, verdict in lost],
            )

    def is_in_a_mailbox(self, key: ContentKey) -> bool:
        """Return whether some source still has this message, by its last listing; its size is not compared."""
        query = (
            "SELECT 1 FROM content t JOIN occurrence o ON o.content = t.id"
            " WHERE t.sha256 = ? AND NOT o.gone LIMIT 1"
        )
        return bool(self._db.rows(query, (key.sha256,)))

    def receipt(self, sink: int, key: ContentKey) -> Receipt | None:
        """Return the receipt of a copy that counts as held."""
        rows = self._db.rows(
            "SELECT c.state, c.token FROM copy c JOIN content t ON t.id = c.content"
            " WHERE c.sink = ? AND t.sha256 = ? AND t.size = ? AND c.state IN ('stored', 'pending')",
            (sink, key.sha256, key.size),
            "text text",
        )
        return Receipt(key, State(rows[0][0]), self._db.parse_json(rows[0][1])) if rows else None

    def stored_since(self, sinks: Sequence[int], since: int) -> Iterator[ContentKey]:
        """Yield what these sinks took since a time, in the order in which it first came."""
        marks = ",".join("?" * len(sinks))
        last = 0
        while rows := self._db.rows(
            "SELECT DISTINCT t.id, t.sha256, t.size FROM copy c JOIN content t ON t.id = c.content"
            f" WHERE c.sink IN ({marks}) AND c.stored >= ? AND c.state IN ('stored', 'pending')"
            " AND t.id > ? ORDER BY t.id LIMIT 1000",
            (*sinks, since, last),
            "integer sha256 integer",
        ):
            last = rows[-1][0]
            for _, digest, size in rows:
                yield ContentKey(digest, size)

    def holdings(self, sink: int) -> dict[str, tuple[int, int]]:
        """Return, per state of a copy but intents, how many messages and bytes a sink has."""
        rows = self._db.rows(
            "SELECT state, messages, bytes FROM tally WHERE sink = ? AND messages",
            (sink,),
            "text integer integer",
        )
        return {state: (messages, size) for state, messages, size in rows}

    def sinks_of(self, source: int) -> list[tuple[int, str]]:
        """Return (number, where) of the sinks that have or should have messages of a source."""
        return self._db.rows(
            "SELECT id, place FROM sink s WHERE EXISTS (SELECT 1 FROM folder f CROSS JOIN occurrence o ON o.folder = f.id"
            " CROSS JOIN copy c ON c.content = o.content AND c.sink = s.id WHERE f.source = ?) ORDER BY id",
            (source,),
            "integer text",
        )

    def stored_copies(self, sink: int, contents: Iterable[int]) -> list[Copy]:
        """Return a sink's confirmed copies of these contents, in the order in which they came."""
        return self.where(
            "c.sink = ? AND c.state = 'stored' AND c.content IN (SELECT value FROM json_each(?))",
            (sink, json.dumps(list(contents)), -1),
        )
