"""The part of the ledger that forgets: pipelines, mailboxes and archives that are no more, with all that was known of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from archipec.custody.ledger.database import LedgerTable
from archipec.message import ContentKey

__all__ = ["ForgetScope", "Forgets"]

_PAGE = 10_000
# Contents that no copy but those of the given archives is recorded of.
_ONLY_HERE = (
    "SELECT DISTINCT c.content AS id FROM copy c WHERE c.sink IN (SELECT value FROM json_each(?1)) AND NOT EXISTS"
    " (SELECT 1 FROM copy o WHERE o.content = c.content AND o.sink NOT IN (SELECT value FROM json_each(?1)))"
)


class ForgetScope(NamedTuple):
    """What is to be forgotten.

    Attributes:
        runs: (pipeline, source's ``where``) of attempts and runs.
        steps: names of pipelines whose steps are forgotten, because nothing of that name remains.
        sources: numbers of mailboxes; sinks: of archives.
    """

    runs: Sequence[tuple[str, str]]
    steps: Sequence[str]
    sources: Sequence[int]
    sinks: Sequence[int]


class Forgets(LedgerTable):
    """Counts what would be forgotten, and forgets it."""

    def tried(self) -> list[tuple[str, str]]:
        """Return (pipeline, source's ``where``) of everything that was ever tried or run."""
        return self._db.rows(
            "SELECT pipeline, source FROM attempt UNION SELECT r.pipeline, s.place FROM run r"
            " JOIN source s ON s.id = r.source ORDER BY 1, 2",
            (),
            "text text",
        )

    def source_number(self, where: str) -> int | None:
        """Return the number of a source that is known, else None."""
        rows = self._db.rows("SELECT id FROM source WHERE place = ?", (where,), "integer")
        return rows[0][0] if rows else None

    def sink_places(self) -> dict[str, int]:
        """Return the number of every archive that is known, by its ``where``."""
        return dict(self._db.rows("SELECT place, id FROM sink ORDER BY id", (), "text integer"))

    def tries(self, runs: Sequence[tuple[str, str]]) -> int:
        """Count attempts."""
        rows = self._db.rows(
            "SELECT count(*) FROM attempt a JOIN json_each(?) j ON a.pipeline = j.value ->> 0 AND a.source = j.value ->> 1",
            (json.dumps(list(runs)),),
        )
        return int(rows[0][0])

    def other_sources(self, sink: int, sources: Sequence[int]) -> bool:
        """Return whether an archive has messages that another mailbox than these also has, or had."""
        return bool(
            self._db.rows(
                "SELECT 1 FROM folder f JOIN occurrence o ON o.folder = f.id JOIN copy c ON c.content = o.content"
                " WHERE c.sink = ?1 AND f.source NOT IN (SELECT value FROM json_each(?2)) LIMIT 1",
                (sink, json.dumps(list(sources))),
            )
        )

    def open_deletions(self, source: int) -> int:
        """Count orders to delete whose outcome is not known, and messages that are held because of one."""
        rows = self._db.rows(
            "SELECT count(*) FROM deletion d WHERE d.source = ?1 AND (d.state IN ('ordered', 'unknown')"
            " OR EXISTS (SELECT 1 FROM rescue r WHERE r.deletion = d.id)"
            " OR EXISTS (SELECT 1 FROM mark m WHERE m.deletion = d.id))",
            (source,),
        )
        return int(rows[0][0])

    def only_in(self, sinks: Sequence[int]) -> Iterator[list[ContentKey]]:
        """Yield the messages that no other archive than these is known to have, some thousands at a time."""
        after = 0
        while rows := self._db.rows(
            f"SELECT t.id, t.sha256, t.size FROM ({_ONLY_HERE}) g JOIN content t ON t.id = g.id"
            " WHERE t.id > ?2 ORDER BY t.id LIMIT ?3",
            (json.dumps(list(sinks)), after, _PAGE),
            "integer sha256 integer",
        ):
            after = rows[-1][0]
            yield [ContentKey(digest, size) for _, digest, size in rows]

    def forget(self, scope: ForgetScope) -> None:
        """Remove all of it in one transaction."""
        with self._db.transaction() as db:
            _forget_runs(db, scope)
            db.execute("CREATE TEMP TABLE touched (id INTEGER PRIMARY KEY)")
            _forget_sources(db, json.dumps(list(scope.sources)))
            _forget_sinks(db, json.dumps(list(scope.sinks)))
            _forget_contents(db)
            db.execute("DROP TABLE touched")


def _forget_runs(db: sqlite3.Connection, scope: ForgetScope) -> None:
    for pipeline, source in scope.runs:
        db.execute("DELETE FROM attempt WHERE pipeline = ? AND source = ?", (pipeline, source))
        db.execute(
            "DELETE FROM run WHERE pipeline = ? AND source = (SELECT id FROM source WHERE place = ?)",
            (pipeline, source),
        )
    db.execute(
        "DELETE FROM step WHERE pipeline IN (SELECT value FROM json_each(?))",
        (json.dumps(list(scope.steps)),),
    )


def _forget_sources(db: sqlite3.Connection, sources: str) -> None:
    these = "IN (SELECT value FROM json_each(?1))"
    folders = f"IN (SELECT id FROM folder WHERE source {these})"
    db.execute(
        f"INSERT OR IGNORE INTO touched SELECT content FROM occurrence WHERE folder {folders} AND content IS NOT NULL",
        (sources,),
    )
    db.execute(f"INSERT OR IGNORE INTO touched SELECT content FROM deletion WHERE source {these}", (sources,))
    db.execute(f"DELETE FROM occurrence WHERE folder {folders}", (sources,))
    for table in ("folder", "deletion", "plan", "independent", "run"):
        db.execute(f"DELETE FROM {table} WHERE source {these}", (sources,))
    db.execute(f"DELETE FROM source WHERE id {these}", (sources,))


def _forget_sinks(db: sqlite3.Connection, sinks: str) -> None:
    these = "IN (SELECT value FROM json_each(?1))"
    db.execute(f"INSERT OR IGNORE INTO touched SELECT content FROM copy WHERE sink {these}", (sinks,))
    for table in ("copy", "tally", "independent", "probe"):
        db.execute(f"DELETE FROM {table} WHERE sink {these}", (sinks,))
    # Its number is not given to another: the index counts by it.
    db.execute(f"UPDATE sink SET archive = '' WHERE id {these}", (sinks,))


def _forget_contents(db: sqlite3.Connection) -> None:
    """Forget the messages that no mailbox, archive or deletion has any more."""
    for table in ("occurrence", "copy", "deletion"):
        db.execute(f"DELETE FROM touched WHERE EXISTS (SELECT 1 FROM {table} r WHERE r.content = touched.id)")
    gone = "IN (SELECT id FROM touched)"
    db.execute(f"DELETE FROM breve WHERE receipt {gone} OR original {gone}")
    for table in ("loose", "variant", "verdict", "unjudged"):
        db.execute(f"DELETE FROM {table} WHERE content {gone}")
    db.execute(f"DELETE FROM content WHERE id {gone}")
