"""The part of the ledger that deletion works by: what proves a message of a mailbox, orders, what came of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from archipec.custody.ledger.database import LedgerTable, columns, readable
from archipec.message import ContentKey, DeletionOrder

__all__ = ["ArchivedMessage", "CopyState", "DeletionOutcome", "Deletions", "PlannedMessage", "Rescue"]

_PLANS = 20
"""Plans that are kept for each pipeline."""

_HELD = (
    "json_array(t.id, t.sha256, t.size, t.kind, iif(v.seal = 'valid' AND t.date_from = 'certified', t.date, NULL),"
    " iif(t.date_from = 'received-field', t.date, NULL), v.message_id, v.content IS NOT NULL,"
    " (SELECT json_group_array(json_array(c.sink, c.state, c.intact_since)) FROM copy c"
    "  WHERE c.content = t.id AND c.sink IN (SELECT value FROM json_each(?2))))"
)
_ARCHIVED_COLUMNS = "integer sha256 integer text time? time? text? integer"
_OF_CONTENT = "FROM content t LEFT JOIN verdict v ON v.content = t.id"


class CopyState(NamedTuple):
    """A sink's copy: ``state`` as in the ledger, ``intact_since`` in Unix seconds or None."""

    state: str
    intact_since: int | None


class ArchivedMessage(NamedTuple):
    """What the ledger knows of the very bytes of a message.

    Attributes:
        content: the ledger's number.
        certified: Unix seconds, by a valid seal; stamped: by the newest ``Received`` field; None when unknown.
        judged: whether its seal was; message_id is None until then.
        copies: by sink.
        accepted: bytes that the source listed when these were taken for the message; None when they were not compared.
    """

    content: int
    key: ContentKey
    kind: str
    certified: int | None
    stamped: int | None
    message_id: str | None
    judged: bool
    copies: Mapping[int, CopyState]
    accepted: int | None = None


class DeletionOutcome(NamedTuple):
    """What came of an order, by the ledger's number of it: ``deleted``, ``moved``, ``gone``, ``refused``, ``unknown``."""

    order: int
    state: str
    reason: str = ""


class Rescue(NamedTuple):
    """A message that was ordered to be deleted first and alone, and where its bytes are held meanwhile.

    Attributes:
        order: the ledger's number of it; content: that of its bytes.
        file: its name in the folder for rescued messages.
        received: Unix seconds, None when unknown.
    """

    order: int
    folder: str
    ref: str
    content: int
    key: ContentKey
    file: str
    flags: tuple[str, ...]
    received: int | None


class PlannedMessage(NamedTuple):
    """A message of a plan that was shown."""

    folder: str
    ref: str
    sha256: str


class Deletions(LedgerTable):
    """Proof, orders, outcomes."""

    def held_of(self, folder: int, sinks: Sequence[int], refs: Iterable[str]) -> dict[str, ArchivedMessage]:
        """Return what is known of some of a folder's messages, by ref: those whose bytes were read once."""
        rows = self._db.rows(
            f"SELECT o.ref, {_HELD}, o.accepted FROM json_each(?3) j"
            " CROSS JOIN occurrence o ON o.folder = ?1 AND o.ref = j.value JOIN content t ON t.id = o.content"
            " LEFT JOIN verdict v ON v.content = t.id",
            (folder, json.dumps(list(sinks)), json.dumps(list(refs))),
            "text text integer?",
        )
        found = self._archived([text for _, text, _ in rows])
        return {ref: one._replace(accepted=size) for one, (ref, _, size) in zip(found, rows, strict=True)}

    def held_by_key(
        self, keys: Iterable[ContentKey], sinks: Sequence[int]
    ) -> dict[ContentKey, ArchivedMessage]:
        """Return what is known of messages by their keys."""
        wanted = set(keys)
        rows = self._db.rows(
            f"SELECT {_HELD} {_OF_CONTENT} WHERE t.sha256 IN (SELECT value FROM json_each(?1))",
            (json.dumps([key.sha256 for key in wanted]), json.dumps(list(sinks))),
        )
        return {one.key: one for one in self._archived([text for (text,) in rows]) if one.key in wanted}

    def _archived(self, texts: Sequence[str]) -> list[ArchivedMessage]:
        with self._db.decoding():
            found = [json.loads(text) for text in texts]
        self._db.checked([one[:-1] for one in found], _ARCHIVED_COLUMNS)
        self._db.checked([copy for one in found for copy in one[-1]], "integer text time?")
        return [_held(one) for one in found]

    def order(
        self,
        pipeline: str,
        source: int,
        orders: Sequence[tuple[DeletionOrder, int]],
        now: int,
        rule: str = "",
    ) -> list[int]:
        """Record (order, content), before the source is asked.

        Args:
            rule: what let these messages go, as text.

        Returns:
            the number of each order.
        """
        with self._db.transaction() as db:
            return [
                int(
                    db.execute(
                        "INSERT INTO deletion (pipeline, source, folder, ref, content, evidence, state, ordered, expires,"
                        " rule) VALUES (?, ?, ?, ?, ?, ?, 'ordered', ?, ?, ?) RETURNING id",
                        (
                            pipeline,
                            source,
                            order.folder,
                            order.ref,
                            content,
                            json.dumps(order.evidence),
                            now,
                            int(order.expires_at.timestamp()),
                            readable(rule),
                        ),
                    ).fetchone()[0]
                )
                for order, content in orders
            ]

    def record_outcomes(self, outcomes: Iterable[DeletionOutcome], now: int) -> None:
        """Record what came of orders; what is deleted the source no longer has."""
        ended = json.dumps([one._replace(reason=readable(one.reason)) for one in outcomes])
        with self._db.transaction() as db:
            db.execute(
                "UPDATE deletion SET state = j.state, reason = j.reason, ended = ? FROM"
                f" (SELECT {columns(3, 'id', 'state', 'reason')} FROM json_each(?)) j WHERE deletion.id = j.id",
                (now, ended),
            )
            db.execute(
                "UPDATE occurrence SET gone = 1 WHERE id IN (SELECT o.id FROM json_each(?) j"
                " JOIN deletion d ON d.id = json_extract(j.value, '$[0]') AND d.state IN ('deleted', 'moved', 'gone')"
                " JOIN folder f ON f.source = d.source AND f.name = d.folder"
                " JOIN occurrence o ON o.folder = f.id AND o.ref = d.ref)",
                (ended,),
            )
            # An order that is known to be refused has had its mark taken back, one carried out has no message.
            db.execute(
                "DELETE FROM mark WHERE deletion IN (SELECT json_extract(value, '$[0]') FROM json_each(?)"
                " WHERE json_extract(value, '$[1]') != 'unknown')",
                (ended,),
            )

    def open_orders(self, source: int) -> list[tuple[int, str, str]]:
        """Return (number, folder, ref) of orders whose outcome is unknown: a run was cut short."""
        return self._db.rows(
            "SELECT id, folder, ref FROM deletion WHERE source = ? AND state IN ('ordered', 'unknown')",
            (source,),
            "integer text text",
        )

    def twins_of(self, source: int, contents: Iterable[int]) -> list[tuple[str, str, int]]:
        """Return (folder, ref, content) of everything a source was last seen to hold of these contents."""
        return self._db.rows(
            "SELECT f.name, o.ref, o.content FROM folder f JOIN occurrence o ON o.folder = f.id AND NOT o.gone"
            " WHERE f.source = ? AND o.content IN (SELECT value FROM json_each(?))",
            (source, json.dumps(list(contents))),
            "text text integer",
        )

    def mark(self, orders: Iterable[int]) -> None:
        """Record durably that the messages of these orders are about to be marked at the source."""
        with self._db.transaction() as db:
            db.executemany(
                "INSERT INTO mark (deletion) VALUES (?) ON CONFLICT DO NOTHING", [(one,) for one in orders]
            )

    def marks(self, source: int) -> list[tuple[int, str, str]]:
        """Return (order, folder, ref) of messages that may still bear a mark of ours."""
        return self._db.rows(
            "SELECT d.id, d.folder, d.ref FROM mark m JOIN deletion d ON d.id = m.deletion WHERE d.source = ?"
            " ORDER BY d.folder, d.id",
            (source,),
            "integer text text",
        )

    def unmark(self, orders: Iterable[int]) -> None:
        """Record that these marks are taken back."""
        with self._db.transaction() as db:
            db.executemany("DELETE FROM mark WHERE deletion = ?", [(one,) for one in orders])

    def hold(self, order: int, file: str, flags: Sequence[str], received: int | None) -> None:
        """Record that the bytes of an order's message are held in a file, before the order is given."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO rescue (deletion, file, flags, received, state) VALUES (?, ?, ?, ?, 'held')",
                (order, file, " ".join(flags), received),
            )

    def held_back(self, source: int) -> list[Rescue]:
        """Return what is held of a source's messages until the archives have shown their copies."""
        return self._rescues(source, "held")

    def rescued(self, source: int) -> list[Rescue]:
        """Return what could not be put back: the files are the only copies that are known to be good."""
        return self._rescues(source, "kept")

    def _rescues(self, source: int, state: str) -> list[Rescue]:
        rows = self._db.rows(
            "SELECT r.deletion, d.folder, d.ref, d.content, t.sha256, t.size, r.file, r.flags, r.received"
            " FROM rescue r JOIN deletion d ON d.id = r.deletion JOIN content t ON t.id = d.content"
            " WHERE d.source = ? AND r.state = ? ORDER BY r.deletion",
            (source, state),
            "integer text text integer sha256 integer text text time?",
        )
        return [
            Rescue(
                order, folder, ref, content, ContentKey(digest, size), file, tuple(flags.split()), received
            )
            for order, folder, ref, content, digest, size, file, flags, received in rows
        ]

    def is_held_in(self, file: str) -> bool:
        """Return whether a file of the folder for rescued messages is still needed."""
        return bool(self._db.rows("SELECT 1 FROM rescue WHERE file = ?", (file,)))

    def let_go(self, order: int) -> None:
        """Record that nothing is held any more: the message is kept elsewhere."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM rescue WHERE deletion = ?", (order,))

    def keep_rescued(self, order: int) -> None:
        """Record that the file is the only copy that is known to be good."""
        with self._db.transaction() as db:
            db.execute("UPDATE rescue SET state = 'kept' WHERE deletion = ?", (order,))

    def unfinished_deletions(self, source: int) -> bool:
        """Return whether a run ended between the first and the last step of a deletion."""
        return bool(
            self._db.rows(
                "SELECT 1 FROM deletion d WHERE d.source = ?1 AND (d.id IN (SELECT deletion FROM mark)"
                " OR d.id IN (SELECT deletion FROM rescue WHERE state = 'held')) LIMIT 1",
                (source,),
            )
        )

    def is_independent(self, source: int, sink: int) -> bool:
        """Return whether a sink was found to be another store than a source."""
        return bool(self._db.rows("SELECT 1 FROM independent WHERE source = ? AND sink = ?", (source, sink)))

    def record_independent(self, source: int, sink: int, now: int) -> None:
        """Record that a sink is another store than a source."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO independent (source, sink, seen) VALUES (?, ?, ?)"
                " ON CONFLICT (source, sink) DO UPDATE SET seen = excluded.seen",
                (source, sink, now),
            )

    def probe(self, sink: int) -> str:
        """Return the name of the folder that a run which was killed may have left in a sink; empty for none."""
        rows = self._db.rows("SELECT name FROM probe WHERE sink = ?", (sink,), "text")
        return str(rows[0][0]) if rows else ""

    def set_probe(self, sink: int, name: str) -> None:
        """Record durably that a folder is about to be made in a sink; with an empty name, that it is gone."""
        with self._db.transaction() as db:
            if name:
                db.execute("INSERT OR REPLACE INTO probe (sink, name) VALUES (?, ?)", (sink, name))
            else:
                db.execute("DELETE FROM probe WHERE sink = ?", (sink,))

    def save_plan(
        self, plan: str, pipeline: str, source: int, messages: Sequence[PlannedMessage], now: int
    ) -> None:
        """Keep a plan that is about to be shown, and only the newest ones of the pipeline."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO plan (id, pipeline, source, made, messages) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET made = excluded.made",
                (plan, pipeline, source, now, json.dumps(list(messages))),
            )
            db.execute(
                "DELETE FROM plan WHERE pipeline = ?1 AND source = ?2 AND id NOT IN (SELECT id FROM plan"
                " WHERE pipeline = ?1 AND source = ?2 ORDER BY made DESC LIMIT ?3)",
                (pipeline, source, _PLANS),
            )

    def plan(self, plan: str, pipeline: str, source: int) -> tuple[int, list[PlannedMessage]] | None:
        """Return when a plan was made, and its messages; None when it isn't kept."""
        rows = self._db.rows(
            "SELECT made, messages FROM plan WHERE id = ? AND pipeline = ? AND source = ?",
            (plan, pipeline, source),
            "time text",
        )
        if not rows:
            return None
        messages = self._db.checked(self._db.parse_json(rows[0][1], [[str]]), "text text sha256")
        return (rows[0][0], [PlannedMessage(*one) for one in messages])

    def deleted_keys(self, source: int) -> set[ContentKey]:
        """Return the keys of what was deleted from a source."""
        rows = self._db.rows(
            "SELECT DISTINCT t.sha256, t.size FROM deletion d JOIN content t ON t.id = d.content"
            " WHERE d.source = ? AND d.state IN ('deleted', 'moved')",
            (source,),
            "sha256 integer",
        )
        return {ContentKey(digest, size) for digest, size in rows}


def _held(fields: list[Any]) -> ArchivedMessage:
    content, digest, size, kind, certified, stamped, message_id, judged, copies = fields
    return ArchivedMessage(
        content,
        ContentKey(digest, size),
        kind,
        certified,
        stamped,
        message_id,
        bool(judged),
        {sink: CopyState(state, since) for sink, state, since in copies},
    )
