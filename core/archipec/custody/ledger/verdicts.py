"""The part of the ledger that tells what was judged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from archipec.custody.ledger.copies import Copies, Copy
from archipec.custody.ledger.database import Database, LedgerTable, columns, insert
from archipec.custody.verdict import IDENTIFIERS, Verdict
from archipec.pec.kind import UNSEALED

__all__ = ["Verdicts"]


class Verdicts(LedgerTable):
    """Verdicts on contents."""

    def __init__(self, db: Database, copies: Copies) -> None:
        super().__init__(db)
        self._copies = copies

    def unjudged(self, sink: int, after: int, limit: int) -> list[Copy]:
        """Return copies a sink holds of contents without a verdict, those after content ``after``."""
        return self._copies.where(
            "c.sink = ? AND c.content > ? AND c.state IN ('stored', 'pending')"
            " AND c.content IN (SELECT content FROM unjudged)",
            (sink, after, limit),
        )

    def held_first(self, sink: int, before: Sequence[int], after: int, limit: int) -> list[Copy]:
        """Return copies a sink holds of contents that none of the sinks ``before`` it holds."""
        marks = ",".join("?" * len(before))
        return self._copies.where(
            "c.sink = ? AND c.content > ? AND c.state IN ('stored', 'pending') AND NOT EXISTS (SELECT 1 FROM copy b"
            f" WHERE b.content = c.content AND b.sink IN ({marks}) AND b.state IN ('stored', 'pending'))",
            (sink, after, *before, limit),
        )

    def record(self, verdicts: Iterable[tuple[int, Verdict]], now: int) -> None:
        """Record (content, verdict); what a valid seal certifies replaces what the header and servers said.

        A recorded verdict "valid" gives way to another "valid" alone, which may read more of the same message: a
        certificate that is gone by now does not unmake it.
        """
        rows, sealed, read = [], [], []
        for content, verdict in verdicts:
            rows.append((now, content, verdict.status, *verdict.identifiers, verdict.record))
            if verdict.certified is not None:
                sealed.append((content, verdict.kind, verdict.certified))
            elif verdict.kind not in UNSEALED:
                read.append((content, verdict.kind))
        with self._db.transaction() as db:
            insert(
                db,
                f"verdict (judged, content, seal, {', '.join(IDENTIFIERS)}, record)",
                rows,
                "ON CONFLICT (content) DO UPDATE SET seal = excluded.seal,"
                " tipo = excluded.tipo, identificativo = excluded.identificativo, msgid = excluded.msgid,"
                " riferimento = excluded.riferimento, message_id = excluded.message_id,"
                " record = excluded.record, judged = excluded.judged WHERE verdict.seal != 'valid'"
                " OR excluded.seal = 'valid'",
            )
            db.execute(
                "UPDATE content SET kind = j.kind, date = j.date, date_from = 'certified' FROM"
                f" (SELECT {columns(3, 'content', 'kind', 'date')} FROM json_each(?)) j WHERE id = j.content",
                (json.dumps(sealed),),
            )
            # An earlier version may not have known what the header says, and an archive's own record has no kind.
            db.execute(
                f"UPDATE content SET kind = j.kind FROM (SELECT {columns(2, 'content', 'kind')} FROM json_each(?)) j"
                " WHERE id = j.content AND content.kind IN ('', 'ordinaria', 'unknown')",
                (json.dumps(read),),
            )
