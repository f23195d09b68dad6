"""The part of the ledger that tells which originals are kept without the envelope that bears their seal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from archipec.custody.ledger.database import LedgerTable
from archipec.language import N_
from archipec.message import ContentKey

__all__ = ["ENVELOPE_MISSING", "Unsealed", "UnsealedOriginal"]

ENVELOPE_MISSING = N_("the envelope is missing: download the message itself")

_HELD = (
    "EXISTS (SELECT 1 FROM copy c WHERE c.content = {}.content AND c.state IN ('stored', 'pending')"
    " AND c.sink IN (SELECT value FROM json_each(?1)))"
)


class UnsealedOriginal(NamedTuple):
    """An original without its envelope; ``message_id`` is empty when it has none or was not judged yet."""

    key: ContentKey
    message_id: str
    folder: str
    ref: str


class Unsealed(LedgerTable):
    """Originals that were saved without their envelope (`archipec.message.Fetched.loose`)."""

    def record(self, contents: Iterable[int]) -> None:
        """Record that contents are such originals."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO loose (content) SELECT value FROM json_each(?)",
                (json.dumps(list(contents)),),
            )

    def among(self, contents: Sequence[int]) -> frozenset[int]:
        """Return those of these contents that are such originals."""
        rows = self._db.rows(
            "SELECT content FROM loose WHERE content IN (SELECT value FROM json_each(?))",
            (json.dumps(list(contents)),),
        )
        return frozenset(row[0] for row in rows)

    def without_envelope(self, sinks: Sequence[int]) -> list[UnsealedOriginal]:
        """Return the originals these sinks hold whose envelope none of them holds, by content number.

        An envelope counts when its seal is valid and what it certifies names the original's Message-ID, which some
        providers replace by their own identifier.
        """
        rows = self._db.rows(
            "SELECT t.sha256, t.size, coalesce(v.message_id, ''), f.name, o.ref FROM loose l"
            " CROSS JOIN content t ON t.id = l.content"
            " LEFT JOIN verdict v ON v.content = l.content"
            " CROSS JOIN occurrence o ON o.content = l.content CROSS JOIN folder f ON f.id = o.folder"
            f" WHERE {_HELD.format('l')} AND NOT EXISTS (SELECT 1 FROM verdict e"
            "  WHERE (e.msgid = v.message_id OR e.identificativo = v.message_id)"
            f"  AND e.seal = 'valid' AND e.tipo = 'posta-certificata' AND {_HELD.format('e')})"
            " GROUP BY l.content ORDER BY l.content",
            (json.dumps(list(sinks)),),
            "sha256 integer text text text",
        )
        return [
            UnsealedOriginal(ContentKey(digest, size), message_id, folder, ref)
            for digest, size, message_id, folder, ref in rows
        ]
