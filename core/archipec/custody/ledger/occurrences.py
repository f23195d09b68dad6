"""The part of the ledger that tells what the sources have: folders, their listings, what is left to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from archipec.custody.ledger.database import Database, columns
from archipec.message import Json, Listed

__all__ = ["Look", "Occurrences", "Row"]


class Row(NamedTuple):
    """A listed message that some sink lacks."""

    id: int
    ref: str
    size: int | None
    received: int | None
    flags: tuple[str, ...]
    kind: str | None
    date: int | None
    message_id: str | None
    content: int | None


class Look(NamedTuple):
    """What a header told of a row: ``date_from`` names the clock; ``message_id`` is empty when there is none,
    None when nobody asked.
    """

    id: int
    kind: str
    date: int
    date_from: str
    message_id: str | None


class Occurrences(Database):
    """Sources, folders and occurrences: every listed message is a row."""

    def source(self, where: str) -> int:
        """Return the number of a source, new or known."""
        with self._transaction() as db:
            db.execute("INSERT INTO source (place) VALUES (?) ON CONFLICT DO NOTHING", (where,))
            return int(db.execute("SELECT id FROM source WHERE place = ?", (where,)).fetchone()[0])

    def open_folders(self, source: int, names: Sequence[str]) -> dict[str, tuple[int, Json]]:
        """Return each folder's number, new or known, and the cursor up to which it is on record."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO folder (source, name) SELECT ?, value FROM json_each(?) WHERE true"
                " ON CONFLICT DO NOTHING",
                (source, json.dumps(names)),
            )
        known = {name: (number, cursor) for number, name, cursor in self.folders(source)}
        return {name: known[name] for name in names}

    def folders(self, source: int) -> list[tuple[int, str, Json]]:
        """Return (number, name, cursor) of every folder on record."""
        rows = self._rows("SELECT id, name, cursor FROM folder WHERE source = ?", (source,))
        return [
            (number, name, None if cursor is None else self._json(cursor)) for number, name, cursor in rows
        ]

    def record_listing(self, pages: Sequence[tuple[int, Sequence[Listed]]]) -> list[int]:
        """Put (folder, listed messages) on record, with each last one's cursor.

        One that was thought gone and is listed again is there again.

        Returns:
            how many were new, page by page.
        """
        news = []
        with self._transaction() as db:
            for folder, listed in pages:
                if not listed:
                    news.append(0)
                    continue
                before = db.total_changes
                rows = [(one.ref, one.size, _seconds(one.received), " ".join(one.flags)) for one in listed]
                db.execute(
                    "INSERT INTO occurrence (folder, ref, size, received, flags)"
                    f" SELECT ?, {columns(4)} FROM json_each(?) WHERE true"
                    " ON CONFLICT (folder, ref) DO UPDATE SET gone = 0 WHERE gone",
                    (folder, json.dumps(rows)),
                )
                news.append(db.total_changes - before)
                cursor = json.dumps(listed[-1].cursor)
                db.execute("UPDATE folder SET cursor = ? WHERE id = ?", (cursor, folder))
        return news

    def backlog(self, source: int, sinks: Sequence[int]) -> dict[int, int]:
        """Return, per folder that has any, how many of its messages some sink lacks."""
        query, values = _lacking("SELECT o.folder, count(*)", "f.source = ?", (source,), sinks)
        return dict(self._rows(f"{query} GROUP BY o.folder", values))

    def work(self, folder: int, sinks: Sequence[int], after: int, limit: int) -> list[Row]:
        """Return messages of a folder that some sink lacks, in listing order, those after row ``after``."""
        columns = "SELECT o.id, o.ref, o.size, o.received, o.flags, o.kind, o.date, o.message_id, o.content"
        query, values = _lacking(columns, "o.folder = ? AND o.id > ?", (folder, after), sinks)
        page = self._rows(
            "SELECT json_group_array(json_array(id, ref, size, received, flags, kind, date, message_id, content))"
            f" FROM ({query} ORDER BY o.id LIMIT ?)",
            (*values, limit),
        )
        with self.decoding():
            return [
                Row(number, ref, size, received, tuple(flags.split()), kind, date, message_id, content)
                for number, ref, size, received, flags, kind, date, message_id, content in sorted(
                    json.loads(page[0][0])
                )
            ]

    def record_look(self, looks: Iterable[Look]) -> None:
        """Keep what was read from headers, so that nothing is looked up twice."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE occurrence SET kind = ?2, date = ?3, date_from = ?4, message_id = coalesce(?5, message_id)"
                " WHERE id = ?1",
                list(looks),
            )

    def record_gone(self, rows: Iterable[int]) -> None:
        """Put on record that the source no longer has these messages."""
        with self._transaction() as db:
            db.executemany("UPDATE occurrence SET gone = 1 WHERE id = ?", [(row,) for row in rows])

    def record_failure(self, row: int, reason: str) -> None:
        """Put on record why a message could not be read."""
        with self._transaction() as db:
            db.execute("UPDATE occurrence SET reason = ? WHERE id = ?", (reason, row))

    def occurrences(self, source: int) -> tuple[int, int]:
        """Return how many messages of a source are on record and still there, and their bytes."""
        rows = self._rows(
            "SELECT count(*), coalesce(sum(o.size), 0) FROM occurrence o JOIN folder f ON f.id = o.folder"
            " WHERE f.source = ? AND NOT o.gone",
            (source,),
        )
        return int(rows[0][0]), int(rows[0][1])


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


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
