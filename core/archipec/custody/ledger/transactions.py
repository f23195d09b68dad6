"""The part of the ledger that tells which stored messages belong to one sending.

Contents are asked for a page at a time: what was learnt of a message is some kilobytes of JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from archipec.custody.ledger.database import LedgerTable
from archipec.message import ContentKey
from archipec.pec.kind import POSTA_CERTIFICATA, UNSEALED

# Slow to import, and part of a ledger that most runs don't ask.
if TYPE_CHECKING:
    from archipec.pec.breve import Check
    from archipec.pec.transactions import MessageRecord

__all__ = ["TransactionRef", "Transactions"]

_SEPARATORS = re.compile(r"[/.\\]")
_SENT_FOLDERS = frozenset((
    "inviata", "inviate", "inviati", "posta inviata", "elementi inviati", "messaggi inviati", "spedite", "spediti",
    "posta spedita", "sent", "sent items", "sent messages", "sent mail",
))  # fmt: skip
_HELD = (
    " EXISTS (SELECT 1 FROM copy c WHERE c.content = v.content AND c.state IN ('stored', 'pending')"
    " AND c.sink IN (SELECT value FROM json_each(?1)))"
)
# The same where most of the ledger is read: the archives are looked through once, not once a message.
_ALL_HELD = (
    " v.content IN (SELECT c.content FROM copy c WHERE c.state IN ('stored', 'pending')"
    " AND c.sink IN (SELECT value FROM json_each(?1)))"
)
_MESSAGE = (
    "SELECT v.content, t.sha256, t.size, t.date, v.record FROM verdict v JOIN content t ON t.id = v.content"
)
_ALWAYS = (-(1 << 62), 1 << 62)
_OF_MAILBOX = (
    "(SELECT DISTINCT k.content FROM folder f CROSS JOIN occurrence k ON k.folder = f.id"
    " WHERE f.source = ?5 AND k.content IS NOT NULL)"
)
_CERTIFIED = (
    "SELECT 1, v.identificativo, coalesce(min(iif(v.seal = 'valid', t.date, NULL)), min(t.date)) AS dated"
    " FROM {identificativo} v.identificativo IS NOT NULL AND {held}"
    " GROUP BY v.identificativo HAVING dated >= ?3 AND dated < ?4"
)
_UNCERTIFIED = (
    # Receipts whose certification data can't be read, and nothing else of that sending.
    "SELECT 0, v.riferimento, min(t.date) AS dated FROM {riferimento}"
    " v.identificativo IS NULL AND v.riferimento IS NOT NULL AND NOT EXISTS"
    " (SELECT 1 FROM verdict r WHERE r.msgid = v.riferimento) AND {held}"
    " GROUP BY v.riferimento HAVING dated >= ?3 AND dated < ?4"
    # What was sent and got no receipt.
    " UNION ALL SELECT 0, v.message_id, min(t.date) AS dated FROM {message_id}"
    " v.identificativo IS NULL AND v.riferimento IS NULL AND v.message_id IS NOT NULL"
    " AND EXISTS (SELECT 1 FROM occurrence o WHERE o.content = v.content"
    "  AND o.folder IN (SELECT value FROM json_each(?2)))"
    # The envelope of what was sent to oneself names it already.
    " AND NOT EXISTS (SELECT 1 FROM verdict r WHERE r.msgid = v.message_id)"
    " AND NOT EXISTS (SELECT 1 FROM verdict r WHERE r.identificativo = v.message_id)"
    " AND NOT EXISTS (SELECT 1 FROM verdict r WHERE r.identificativo IS NULL AND r.riferimento = v.message_id)"
    " AND {held} GROUP BY v.message_id HAVING dated >= ?3 AND dated < ?4"
)


def _named(column: str, bounded: bool, of_mailbox: bool) -> str:
    """Return what clues of one kind are looked for in: FROM what, and the beginning of WHERE.

    Of a period, only what has a name that a message of it has: one look at the dates, and then few of many names.
    """
    tables = "verdict v JOIN content t ON t.id = v.content WHERE"
    if of_mailbox:
        return f"{_OF_MAILBOX} w CROSS JOIN {tables} v.content = w.content AND"
    if not bounded:
        return tables
    return (
        f"{tables} v.{column} IN (SELECT r.{column} FROM content d CROSS JOIN verdict r ON r.content = d.id"
        " WHERE d.date >= ?3 AND d.date < ?4) AND"
    )


class TransactionRef(NamedTuple):
    """What names a transaction: ``value`` is an `identificativo`, or for want of one the Message-ID of what was sent.

    ``date`` in Unix seconds, 0 when unknown.
    """

    certified: bool
    value: str
    date: int


class Transactions(LedgerTable):
    """What stored messages say of each other. ``sinks`` are the archives that count."""

    def clues(
        self,
        sinks: Sequence[int],
        sent_folders: Sequence[int],
        span: tuple[float | None, float | None] = (None, None),
    ) -> Iterator[TransactionRef]:
        """Yield what names a transaction, the newest first.

        Args:
            sent_folders: numbers of folders whose messages should have an acceptance.
            span: the first second, and the one after the last, that their dates are in; None for no limit.
        """
        return self._clues(f"{_CERTIFIED} UNION ALL {_UNCERTIFIED}", sinks, sent_folders, span)

    def uncertified(
        self,
        sinks: Sequence[int],
        sent_folders: Sequence[int],
        span: tuple[float | None, float | None] = (None, None),
        source: int | None = None,
    ) -> Iterator[TransactionRef]:
        """Yield those of `clues` that no certification data names: receipts that can't be read, and what got none.

        Args:
            source: look at the messages of this mailbox alone.
        """
        return self._clues(_UNCERTIFIED, sinks, sent_folders, span, source)

    def sent_to_oneself(self, sinks: Sequence[int], source: int | None = None) -> Iterator[TransactionRef]:
        """Yield what names sendings of which there are the envelope that came back and the copy, and no receipt.

        Args:
            source: look at the messages of this mailbox alone.
        """
        contents = (
            "content d" if source is None else f"{_OF_MAILBOX} w CROSS JOIN content d ON d.id = w.content"
        )
        named = (
            f"SELECT e.identificativo, e.content FROM {contents} CROSS JOIN verdict v ON v.content = d.id"
            " CROSS JOIN verdict e ON e.{0} = v.message_id"
            " WHERE d.kind IN (SELECT value FROM json_each(?2)) AND v.message_id IS NOT NULL"
            f" AND e.identificativo IS NOT NULL AND {_HELD}"
        )
        for value, date in self._db.paged(
            f"SELECT e.identificativo, min(t.date) FROM ({named.format('msgid')} UNION {named.format('identificativo')}) e"
            " CROSS JOIN content t ON t.id = e.content AND t.kind = ?3"
            " WHERE NOT EXISTS (SELECT 1 FROM verdict r JOIN content o ON o.id = r.content"
            "  WHERE r.identificativo = e.identificativo AND o.kind != ?3) GROUP BY e.identificativo",
            (json.dumps(list(sinks)), json.dumps(sorted(UNSEALED)), POSTA_CERTIFICATA)
            + (() if source is None else (None, source)),
            "text time",
        ):
            yield TransactionRef(True, value, date)

    def _clues(
        self,
        query: str,
        sinks: Sequence[int],
        sent_folders: Sequence[int],
        span: tuple[float | None, float | None],
        source: int | None = None,
    ) -> Iterator[TransactionRef]:
        first, end = (limit if one is None else int(one) for one, limit in zip(span, _ALWAYS, strict=True))
        bounded = span != (None, None)
        columns = ("identificativo", "riferimento", "message_id")
        named = {column: _named(column, bounded, source is not None) for column in columns}
        for certified, value, date in self._db.paged(
            f"{query.format(held=_HELD if bounded or source is not None else _ALL_HELD, **named)} ORDER BY dated DESC, 2",
            (json.dumps(list(sinks)), json.dumps(list(sent_folders)), first, end)
            + (() if source is None else (source,)),
            "integer text time?",
        ):
            yield TransactionRef(bool(certified), value, date)

    def of_identifiers(self, sinks: Sequence[int], identificativi: Iterable[str]) -> list[MessageRecord]:
        """Return the messages with these certified identifiers."""
        return self._records(
            f"{_MESSAGE} WHERE v.identificativo IN (SELECT value FROM json_each(?2)) AND {_HELD}",
            sinks,
            identificativi,
        )

    def of_msgids(self, sinks: Sequence[int], msgids: Iterable[str]) -> list[MessageRecord]:
        """Return the messages whose certified data states these Message-IDs of what was sent."""
        return self._records(
            f"{_MESSAGE} WHERE v.msgid IN (SELECT value FROM json_each(?2)) AND {_HELD}", sinks, msgids
        )

    def identified_by(self, sinks: Sequence[int], names: Iterable[str]) -> dict[str, str]:
        """Return, by each name that is one, the `identificativo` of a sending.

        A name is its identifier, the Message-ID of what was sent, or that of a message which a provider made of it.
        """
        wanted = list(names)
        found: dict[str, str] = {}
        for column in ("message_id", "msgid", "identificativo"):
            rows = self._db.rows(
                f"SELECT v.{column}, v.identificativo FROM verdict v"
                f" WHERE v.{column} IN (SELECT value FROM json_each(?2)) AND v.identificativo IS NOT NULL"
                f" AND {_HELD}",
                (json.dumps(list(sinks)), json.dumps(wanted)),
                "text text",
            )
            found |= dict(rows)
        return found

    def about(self, sinks: Sequence[int], msgids: Iterable[str]) -> list[MessageRecord]:
        """Return the messages that name these Message-IDs in their header alone, which no seal covers."""
        return self._records(
            f"{_MESSAGE} WHERE v.identificativo IS NULL AND v.riferimento IN (SELECT value FROM json_each(?2))"
            f" AND {_HELD}",
            sinks,
            msgids,
        )

    def copies_named(self, sinks: Sequence[int], message_ids: Iterable[str]) -> list[MessageRecord]:
        """Return the messages with these Message-IDs, in whatever case, that no provider made."""
        found = self._records(
            f"{_MESSAGE} WHERE v.message_id IN (SELECT value FROM json_each(?2)) AND {_HELD}",
            sinks,
            message_ids,
        )
        return [one for one in found if one.is_sendable]

    def copies_without_name(self, sinks: Sequence[int]) -> list[MessageRecord]:
        """Return the messages without Message-ID that no provider made."""
        found = self._records(
            f"{_MESSAGE} WHERE v.message_id IS NULL AND v.identificativo IS NULL AND {_HELD}", sinks
        )
        return [one for one in found if one.is_sendable]

    def named(self, sinks: Sequence[int], name: str) -> list[TransactionRef]:
        """Return the transactions that an identifier names: PEC identifier, Message-ID sent, or that of a receipt."""
        rows = self._db.rows(
            "SELECT DISTINCT v.identificativo FROM verdict v WHERE v.identificativo IS NOT NULL"
            f" AND (v.identificativo = ?2 OR v.msgid = ?2 OR v.message_id = ?2) AND {_HELD}",
            (json.dumps(list(sinks)), name),
            "text",
        )
        return [TransactionRef(True, row[0], 0) for row in rows]

    def sent_folders(self, source: int | None = None) -> list[int]:
        """Return the folders of a source, or of any, that are called as folders of sent mail are, or lie below one that is."""
        rows = self._db.rows(
            "SELECT id, name FROM folder WHERE ?1 IS NULL OR source = ?1", (source,), "integer text"
        )
        return [number for number, name in rows if _SENT_FOLDERS & set(_SEPARATORS.split(name.casefold()))]

    def left_unjudged(self, sinks: Sequence[int]) -> int:
        """Return how many messages of these archives have no verdict yet."""
        rows = self._db.rows(
            "SELECT count(*) FROM unjudged u WHERE EXISTS (SELECT 1 FROM copy c WHERE c.content = u.content"
            " AND c.state IN ('stored', 'pending') AND c.sink IN (SELECT value FROM json_each(?1)))",
            (json.dumps(list(sinks)),),
        )
        return int(rows[0][0])

    def recorded_check(self, pec_receipt: int, original: int) -> Check | None:
        """Return what comparing a provider's short receipt with an original showed, None when they were not compared."""
        from archipec.pec.breve import Check

        rows = self._db.rows(
            "SELECT status, form, sentence FROM breve WHERE receipt = ? AND original = ?",
            (pec_receipt, original),
            "text text text",
        )
        return Check(*rows[0]) if rows else None

    def record_check(self, pec_receipt: int, original: int, check: Check) -> None:
        """Record what comparing them showed."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO breve (receipt, original, status, form, sentence) VALUES (?, ?, ?, ?, ?)",
                (pec_receipt, original, check.status, check.form, check.sentence),
            )

    def sent_as(self, message_id: str) -> frozenset[str]:
        """Return the kinds of mailboxes ("certificato", "esterno") that what was sent went to.

        By its proven acceptance; empty when none is recorded.
        """
        rows = self._db.rows(
            "SELECT v.record FROM verdict v WHERE v.seal = 'valid' AND v.tipo = 'accettazione'"
            " AND (v.msgid = ?1 OR v.identificativo = ?1)",
            (message_id,),
        )
        with self._db.decoding():
            return frozenset(
                "esterno" if one.get("tipo") == "esterno" else "certificato"
                for (record,) in rows
                for one in json.loads(record)["destinatari"]
            )

    def _records(
        self, query: str, sinks: Sequence[int], names: Iterable[str] | None = None
    ) -> list[MessageRecord]:
        values = [json.dumps(list(sinks))]
        if names is not None:
            values.append(json.dumps(list(names)))
        columns = "integer sha256 integer time text"
        rows = self._db.rows(f"{query} ORDER BY v.content", values, columns)
        with self._db.decoding():
            return [_record(*row) for row in rows]


def _record(number: int, sha256: str, size: int, date: int, text: str) -> MessageRecord:
    from archipec.pec.recall import recall

    time = datetime.fromtimestamp(date, UTC) if date else None
    return recall(number, ContentKey(sha256, size), time, json.loads(text))
