"""The part of the ledger that tells which transactions a person has dealt with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from archipec.custody.ledger.database import LedgerTable, readable

# Slow to import, and part of a ledger that most runs don't ask.
if TYPE_CHECKING:
    from archipec.pec.transactions import HandledMark

__all__ = ["HandledMarks"]


class HandledMarks(LedgerTable):
    """Marks of transactions, each named by its direction ("in", "out") and `Transaction.name`."""

    def all(self) -> dict[tuple[str, str], HandledMark]:
        """Return every mark."""
        from archipec.pec.transactions import HandledMark

        rows = self._db.rows(
            "SELECT direction, name, concerns, note, marked FROM handled", (), "text text text text time"
        )
        return {
            (direction, name): HandledMark(
                datetime.fromtimestamp(marked, UTC),
                note,
                frozenset(self._db.parse_json(concerns, [str])),
            )
            for direction, name, concerns, note, marked in rows
        }

    def mark(self, direction: str, name: str, concerns: Iterable[str], note: str, now: int) -> None:
        """Record that someone dealt with a transaction; an earlier mark of it is replaced.

        Args:
            concerns: what is wrong with it.
            now: Unix seconds.
        """
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO handled (direction, name, concerns, note, marked) VALUES (?, ?, ?, ?, ?)",
                (direction, name, json.dumps(sorted(concerns)), readable(note), now),
            )

    def take_back(self, direction: str, name: str) -> bool:
        """Remove the mark of a transaction; return whether there was one."""
        with self._db.transaction() as db:
            gone = db.execute("DELETE FROM handled WHERE direction = ? AND name = ?", (direction, name))
            return bool(gone.rowcount)
