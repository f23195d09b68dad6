"""The part of the ledger that tells of messages found elsewhere what it knows: their seals, folders and archives.

What is found in the index is narrowed by conditions in SQL on ``m``, a row with ``sha256`` and ``size``, in a database to which
the ledger is attached under the name `ATTACHED`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from archipec.custody.ledger.database import LedgerTable
from archipec.message import ContentKey

__all__ = ["ATTACHED", "Condition", "HeldMessages", "Holding"]

ATTACHED: Final = "ledger"

_CONTENT = "(SELECT t.id FROM ledger.content t WHERE t.sha256 = m.sha256 AND t.size = m.size)"
_HELD = "c.state IN ('stored', 'pending')"


class Condition(NamedTuple):
    """A condition in SQL, with the values of its question marks."""

    sql: str
    values: tuple[str, ...]


class Holding(NamedTuple):
    """What the ledger knows of a message.

    Attributes:
        content: its number.
        seal: the status of its seal; empty when it was not judged.
        archives: the `where` of each archive that holds it.
    """

    content: int
    seal: str
    archives: tuple[str, ...]


class HeldMessages(LedgerTable):
    """What is held, asked for by key."""

    def of(self, keys: Iterable[ContentKey]) -> dict[ContentKey, Holding]:
        """Return what is known of messages; what the ledger does not know is not in it."""
        rows = self._db.rows(
            "SELECT t.sha256, t.size, t.id, v.seal, s.place FROM content t LEFT JOIN verdict v ON v.content = t.id"
            f" LEFT JOIN copy c ON c.content = t.id AND {_HELD} LEFT JOIN sink s ON s.id = c.sink"
            " WHERE t.sha256 IN (SELECT value FROM json_each(?)) ORDER BY s.id",
            (json.dumps([key.sha256 for key in keys]),),
            "sha256 integer integer text? text?",
        )
        found: dict[ContentKey, Holding] = {}
        for digest, size, content, seal, place in rows:
            key = ContentKey(digest, size)
            before = found[key].archives if key in found else ()
            found[key] = Holding(content, seal or "", (*before, place) if place else before)
        return found

    def seen_in(self, folders: Iterable[int]) -> frozenset[int]:
        """Return the numbers of the contents that were seen in these folders."""
        rows = self._db.rows(
            "SELECT DISTINCT content FROM occurrence WHERE folder IN (SELECT value FROM json_each(?))"
            " AND content IS NOT NULL",
            (json.dumps(list(folders)),),
            "integer",
        )
        return frozenset(number for (number,) in rows)

    def sinks(self) -> list[int]:
        """Return the numbers of all archives."""
        return [number for (number,) in self._db.rows("SELECT id FROM sink", (), "integer")]

    def folders(self, wanted: Callable[[str], bool]) -> list[int]:
        """Return the numbers of the folders whose name is wanted, of all sources."""
        rows = self._db.rows("SELECT id, name FROM folder", (), "integer text")
        return [number for number, name in rows if wanted(name)]


def held_in(places: Iterable[str]) -> Condition:
    """The condition that one of these archives holds it."""
    return Condition(
        f"EXISTS (SELECT 1 FROM ledger.copy c JOIN ledger.sink s ON s.id = c.sink WHERE c.content = {_CONTENT}"
        f" AND {_HELD} AND s.place IN (SELECT value FROM json_each(?)))",
        (json.dumps(list(places)),),
    )


def sealed(statuses: Iterable[str]) -> Condition:
    """The condition that its seal was judged so."""
    return Condition(
        f"(SELECT v.seal FROM ledger.verdict v WHERE v.content = {_CONTENT}) IN (SELECT value FROM json_each(?))",
        (json.dumps(list(statuses)),),
    )


def seen_in(folders: Iterable[int]) -> Condition:
    """The condition that it was seen in one of these folders, by their numbers."""
    return Condition(
        f"{_CONTENT} IN (SELECT o.content FROM ledger.occurrence o WHERE o.folder IN (SELECT value FROM json_each(?)))",
        (json.dumps(list(folders)),),
    )
