"""The part of the ledger that tells of single messages what it knows: their names, seals, folders and archives.

What is found in the index is narrowed by conditions in SQL on ``m``, a row with ``content``, the number that this ledger has for
a message or that another one had, and its ``sha256``, in a database to which the ledger is attached under the name `ATTACHED`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from archipec.custody.ledger.copies import Content
from archipec.custody.ledger.database import LedgerTable
from archipec.custody.ledger.schema import PROMISED
from archipec.message import ContentKey

__all__ = ["ATTACHED", "SHORTEST_ID", "Condition", "HeldCopy", "HeldMessages", "Holding"]

ATTACHED: Final = "ledger"
SHORTEST_ID: Final = 8
"""Hexadecimal digits of the shortest id that is shown of a message."""

_SAME = "(SELECT t.sha256 FROM ledger.content t WHERE t.id = m.content) = m.sha256"
_VERDICT = "t.id IN (SELECT v.content FROM verdict v WHERE v.{} = ?1)"
_SHORTEST = 4  # digits of a SHA-256 that name a message
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


class HeldCopy(NamedTuple):
    """A copy that counts as held.

    Attributes:
        where: of the archive.
        state: "stored" or "pending".
        stored, verified: when it came, and when it was last read back, in Unix seconds; None for never.
    """

    where: str
    state: str
    stored: int | None
    verified: int | None


class HeldMessages(LedgerTable):
    """What is held, asked for by key or by a name."""

    def named(self, name: str) -> list[ContentKey]:
        """Return the messages that a text names and an archive holds, or should hold, in the order in which they came.

        A name is the beginning of a SHA-256 (4 digits or more), a Message-ID, of a message or of the original that it
        certifies, or an `identificativo`, which all messages of a sending share; the last two without angle brackets. What
        a message calls itself comes before what others call it.
        """
        digits = name.lower()
        # A Message-ID or an identificativo may look like the beginning of a hash.
        is_digits = len(digits) >= _SHORTEST and not digits.strip("0123456789abcdef")
        if is_digits and (found := self._keys("t.sha256 >= ?1 AND t.sha256 < ?1 || 'g'", digits)):
            return found
        for condition in (
            _VERDICT.format("message_id"),
            f"{_VERDICT.format('identificativo')} OR {_VERDICT.format('msgid')}",
            "t.id IN (SELECT o.content FROM occurrence o WHERE o.message_id = ?1)",  # of what was not judged
        ):
            if found := self._keys(condition, name):
                return found
        return []

    def _keys(self, condition: str, name: str) -> list[ContentKey]:
        rows = self._db.rows(
            f"SELECT t.sha256, t.size FROM content t WHERE ({condition})"
            f" AND EXISTS (SELECT 1 FROM copy c WHERE c.content = t.id AND c.state IN {PROMISED}) ORDER BY t.id",
            (name,),
            "sha256 integer",
        )
        return [ContentKey(*row) for row in rows]

    def copies(self, key: ContentKey) -> list[HeldCopy]:
        """Return the copies of a message."""
        rows = self._db.rows(
            "SELECT s.place, c.state, c.stored, c.verified FROM content t JOIN copy c ON c.content = t.id"
            f" JOIN sink s ON s.id = c.sink WHERE t.sha256 = ? AND t.size = ? AND {_HELD} ORDER BY s.id",
            key,
            "text text time? time?",
        )
        return [HeldCopy(*row) for row in rows]

    def where(self, key: ContentKey) -> list[tuple[str, str]]:
        """Return (source, folder) of each place where a message was seen."""
        return self._db.rows(
            "SELECT DISTINCT s.place, f.name FROM content t JOIN occurrence o ON o.content = t.id"
            " JOIN folder f ON f.id = o.folder JOIN source s ON s.id = f.source"
            " WHERE t.sha256 = ? AND t.size = ? ORDER BY f.id",
            key,
            "text text",
        )

    def occurrence(self, key: ContentKey) -> tuple[str, tuple[str, ...], int | None] | None:
        """Return (folder, flags, received in Unix seconds) of a message where it was first seen, None when it never was."""
        rows = self._db.rows(
            "SELECT f.name, o.flags, o.received FROM content t JOIN occurrence o ON o.content = t.id"
            " JOIN folder f ON f.id = o.folder WHERE t.sha256 = ? AND t.size = ? ORDER BY o.id LIMIT 1",
            key,
            "text text time?",
        )
        return (rows[0][0], tuple(rows[0][1].split()), rows[0][2]) if rows else None

    def record(self, key: ContentKey) -> dict[str, Any] | None:
        """Return what was recorded of a message when it was judged (`archipec.pec.inspection.record`), None for nothing."""
        rows = self._db.rows(
            "SELECT v.record FROM content t JOIN verdict v ON v.content = t.id WHERE t.sha256 = ? AND t.size = ?",
            key,
            "text",
        )
        return self._db.parse_json(rows[0][0], {str: object}) if rows else None

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

    def folder_counts(self, sinks: Sequence[int] | None = None) -> dict[str, int]:
        """Return how many archived messages were seen in each folder of the mailboxes, by the folders' names.

        Args:
            sinks: count what one of these archives holds; None for what is known at all.
        """
        held = (
            ""
            if sinks is None
            else (
                f" AND o.content IN (SELECT c.content FROM copy c WHERE {_HELD}"
                " AND c.sink IN (SELECT value FROM json_each(?)))"
            )
        )
        rows = self._db.rows(
            "SELECT f.name, count(DISTINCT o.content) FROM folder f JOIN occurrence o ON o.folder = f.id"
            f" WHERE o.content IS NOT NULL{held} GROUP BY f.name ORDER BY f.name",
            () if sinks is None else (json.dumps(list(sinks)),),
            "text integer",
        )
        return dict(rows)

    def state(self) -> tuple[int, ...]:
        """Return what is another one as soon as messages were archived, lost, judged, or seen elsewhere by a run that ended."""
        rows = self._db.rows(
            "SELECT coalesce(sum(messages), 0), coalesce(sum(contents), 0), (SELECT count(*) FROM unjudged),"
            " (SELECT coalesce(max(id), 0) FROM run) FROM tally",
            (),
            "integer integer integer integer",
        )
        return tuple(rows[0])

    def dates(self) -> tuple[int, int]:
        """Return the oldest and the newest date of a message, in Unix seconds; 0 where none has a date."""
        rows = self._db.rows(
            "SELECT coalesce(min(date), 0), coalesce(max(date), 0) FROM content WHERE date > 0",
            (),
            "time time",
        )
        return (rows[0][0], rows[0][1])

    def content(self, key: ContentKey) -> Content | None:
        """Return what is known of a message's bytes, None when nothing is."""
        rows = self._db.rows(
            "SELECT kind, date, date_from FROM content WHERE sha256 = ? AND size = ?", key, "text time text"
        )
        return Content(key, *rows[0]) if rows else None

    def archives(self) -> list[str]:
        """Return the `where` of each archive that holds something."""
        rows = self._db.rows(
            f"SELECT place FROM sink s WHERE EXISTS (SELECT 1 FROM copy c WHERE c.sink = s.id AND {_HELD}) ORDER BY id",
            (),
            "text",
        )
        return [where for (where,) in rows]

    def sinks(self) -> list[int]:
        """Return the numbers of all archives."""
        return [number for (number,) in self._db.rows("SELECT id FROM sink", (), "integer")]

    def sinks_at(self, places: Iterable[str]) -> list[int]:
        """Return the numbers of the archives with these `where`."""
        rows = self._db.rows(
            "SELECT id FROM sink WHERE place IN (SELECT value FROM json_each(?))",
            (json.dumps(list(places)),),
            "integer",
        )
        return [number for (number,) in rows]

    def folders(self, wanted: Callable[[str], bool]) -> list[int]:
        """Return the numbers of the folders whose name is wanted, of all sources."""
        rows = self._db.rows("SELECT id, name FROM folder", (), "integer text")
        return [number for number, name in rows if wanted(name)]


def held_in(sinks: Iterable[int]) -> Condition:
    """The condition that one of these archives, by their numbers, holds it."""
    return Condition(
        "EXISTS (SELECT 1 FROM ledger.copy c WHERE c.content = m.content"
        f" AND {_HELD} AND c.sink IN (SELECT value FROM json_each(?))) AND {_SAME}",
        (json.dumps(list(sinks)),),
    )


def sealed(statuses: Iterable[str]) -> Condition:
    """The condition that its seal was judged so."""
    return Condition(
        "m.content IN (SELECT v.content FROM ledger.verdict v"
        f" WHERE v.seal IN (SELECT value FROM json_each(?))) AND {_SAME}",
        (json.dumps(list(statuses)),),
    )


def seen_in(folders: Iterable[int]) -> Condition:
    """The condition that it was seen in one of these folders, by their numbers."""
    return Condition(
        "m.content IN (SELECT o.content FROM ledger.occurrence o"
        f" WHERE o.folder IN (SELECT value FROM json_each(?))) AND {_SAME}",
        (json.dumps(list(folders)),),
    )
