"""The part of the ledger that tells what was judged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from archipec.custody.ledger.copies import Copies, Copy
from archipec.custody.ledger.database import Database, LedgerTable
from archipec.custody.verdict import Verdict
from archipec.pec.headers import identifier
from archipec.pec.kind import REM, UNSEALED

__all__ = ["Verdicts"]

_IDENTIFIERS = ("tipo", "identificativo", "msgid", "riferimento", "message_id")


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
        with self._db.transaction() as db:
            for content, verdict in verdicts:
                said = verdict.record
                if said.get("system") == REM:  # which has no name of its own for what a message is
                    said = said | {"tipo": verdict.kind}
                fields = [identifier(said.get(name)) for name in _IDENTIFIERS]
                db.execute(
                    "INSERT INTO verdict"
                    " (content, seal, tipo, identificativo, msgid, riferimento, message_id, record, judged)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (content) DO UPDATE SET seal = excluded.seal,"
                    " tipo = excluded.tipo, identificativo = excluded.identificativo, msgid = excluded.msgid,"
                    " riferimento = excluded.riferimento, message_id = excluded.message_id,"
                    " record = excluded.record, judged = excluded.judged WHERE verdict.seal != 'valid'"
                    " OR excluded.seal = 'valid'",
                    (content, verdict.status, *fields, json.dumps(verdict.record), now),
                )
                if verdict.certified is not None:
                    db.execute(
                        "UPDATE content SET kind = ?, date = ?, date_from = 'certified' WHERE id = ?",
                        (verdict.kind, verdict.certified, content),
                    )
                elif verdict.kind not in UNSEALED:
                    # An earlier version may not have known what the header says, and an archive's own record has no kind.
                    db.execute(
                        "UPDATE content SET kind = ? WHERE id = ? AND kind IN ('', 'ordinaria', 'unknown')",
                        (verdict.kind, content),
                    )
