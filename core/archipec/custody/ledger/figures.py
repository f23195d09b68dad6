"""The part of the ledger that counts what archives hold for a report: one pass over it for each table that is shown.

Months are those of Europe/Rome. A period is given as Unix seconds: from the first on, and before the second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from archipec.custody.ledger.database import LedgerTable
from archipec.custody.ledger.transactions import TransactionRef
from archipec.pec.kind import ACCEPTANCES, GROUPS, OUTCOMES, PROGRESS

__all__ = [
    "Archive",
    "FailedMessages",
    "FiguresOfFolder",
    "FiguresOfKind",
    "FiguresOfMonth",
    "Freed",
    "LedgerFigures",
    "QuotaSample",
    "SendingPart",
]

_ALWAYS: Final = (-(1 << 62), 1 << 62)
# Months begin in summer time from April to October, else in winter time; nothing else of the zone matters for them.
_MONTH: Final = (
    "strftime('%Y-%m', {0} + iif(strftime('%m', {0} + 7200, 'unixepoch') BETWEEN '04' AND '10', 7200, 3600),"
    " 'unixepoch')"
)
_SINKS: Final = "c.sink IN (SELECT value FROM json_each(?1)) AND c.state IN ('stored', 'pending')"
_HELD: Final = f"EXISTS (SELECT 1 FROM copy c WHERE c.content = {{0}} AND {_SINKS})"
# What an archive brought along, and no mailbox is known to have had, is anybody's who stores into it.
_OWN: Final = (
    "(?2 IS NULL OR EXISTS (SELECT 1 FROM occurrence o JOIN folder f ON f.id = o.folder"
    " WHERE o.content = {0} AND f.source = ?2)"
    " OR NOT EXISTS (SELECT 1 FROM occurrence o WHERE o.content = {0}))"
)
# Of a mailbox whose archives hold nothing else, the rest of the ledger is not looked at.
_OF_MAILBOX: Final = (
    "(SELECT DISTINCT o.content FROM folder f CROSS JOIN occurrence o ON o.folder = f.id"
    " WHERE f.source = ?2 AND o.content IS NOT NULL)"
)
# The index has all that is needed of a verdict, whose row is some kilobytes.
_SEALS: Final = (
    "(SELECT content, seal FROM verdict INDEXED BY verdict_seal UNION ALL SELECT content, '' FROM unjudged)"
)
_SEALS_OF_MAILBOX: Final = f"(SELECT w.content, coalesce((SELECT x.seal FROM verdict x WHERE x.content = w.content), '') AS seal FROM {_OF_MAILBOX} w)"
_ABOUT_SENDINGS: Final = json.dumps(sorted(ACCEPTANCES | OUTCOMES | PROGRESS))
_ENVELOPES: Final = json.dumps(sorted(GROUPS["envelopes"]))


class Archive(NamedTuple):
    """What is counted.

    Attributes:
        sinks: the ledger's numbers of the archives.
        source: that of a mailbox, where other mailboxes are archived there too; None to count all that they hold.
        span: first second, and the one after the last; None for no limit.
        alone: the archives hold nothing but what the mailbox has or had.
    """

    sinks: Sequence[int]
    source: int | None = None
    span: tuple[float | None, float | None] = (None, None)
    alone: bool = False

    @property
    def values(self) -> tuple[str, int | None, int, int]:
        """The values of the question marks 1 to 4."""
        first, end = (
            limit if one is None else int(one) for one, limit in zip(self.span, _ALWAYS, strict=True)
        )
        return json.dumps(list(self.sinks)), self.source, first, end


class FiguresOfKind(NamedTuple):
    """Messages of one kind, seal ("" where it was not judged) and month ("2026-03") of their date, and their bytes."""

    kind: str
    seal: str
    month: str
    messages: int
    size: int
    first: int
    last: int


class FiguresOfMonth(NamedTuple):
    """Messages that were first stored in a month ("2026-03"), and their bytes."""

    month: str
    messages: int
    size: int


class FiguresOfFolder(NamedTuple):
    """Archived messages of a folder; ``present``: those that the mailbox still had when it was last listed."""

    name: str
    messages: int
    size: int
    present: int


class QuotaSample(NamedTuple):
    """How full a mailbox was at a time (Unix seconds), in bytes."""

    at: int
    used: int
    limit: int


class FailedMessages(NamedTuple):
    """Messages that are not archived for one reason; ``folder`` and ``ref`` are those of the first."""

    reason: str
    messages: int
    folder: str
    ref: str


class Freed(NamedTuple):
    """Messages deleted from a mailbox, in a month, by a rule (empty where an older version recorded none).

    Attributes:
        state: "deleted", or "moved" into the trash, which frees nothing.
        size: bytes.
    """

    month: str
    rule: str
    state: str
    messages: int
    size: int


class SendingPart(NamedTuple):
    """What says what became of a sending, as far as it takes to tell that all is well.

    Attributes:
        date: Unix seconds.
        recipients: (address, tipo) of the certification data.
        doubtful: whether the message holds more than its seal covers, or its hashes are not those of what was sent.
    """

    identificativo: str
    date: int
    kind: str
    seal: str
    system: str
    recipients: Sequence[tuple[str, str]]
    consegna: str
    doubtful: bool

    @property
    def ref(self) -> TransactionRef:
        """What names its sending."""
        return TransactionRef(True, self.identificativo, self.date)


class LedgerFigures(LedgerTable):
    """Counts of what is archived, and of what became of mailboxes."""

    def by_kind(self, archive: Archive) -> list[FiguresOfKind]:
        """Count messages by kind, seal and month of their date, in the order of the months."""
        month = _MONTH.format("t.date")
        rows = self._db.rows(
            f"SELECT t.kind, v.seal, {month}, count(*), sum(t.size), min(t.date), max(t.date)"
            f" FROM {_SEALS_OF_MAILBOX if archive.alone else _SEALS} v CROSS JOIN content t ON t.id = v.content"
            f" WHERE t.date >= ?3 AND t.date < ?4 AND {_HELD.format('t.id')} AND {_OWN.format('t.id')}"
            " GROUP BY 1, 2, 3 ORDER BY 3, 1, 2",
            archive.values,
            "text text text integer integer time time",
        )
        return [FiguresOfKind(*row) for row in rows]

    def by_arrival(self, archive: Archive) -> list[FiguresOfMonth]:
        """Count messages by the month in which they were first stored."""
        copies = f"{_OF_MAILBOX} w CROSS JOIN copy c ON c.content = w.content" if archive.alone else "copy c"
        rows = self._db.rows(
            f"SELECT {_MONTH.format('s.stored')}, count(*), sum(t.size) FROM (SELECT c.content, min(c.stored) AS stored"
            f" FROM {copies} WHERE {_SINKS} AND c.stored IS NOT NULL GROUP BY c.content) s"
            " CROSS JOIN content t ON t.id = s.content"
            f" WHERE s.stored >= ?3 AND s.stored < ?4 AND {_OWN.format('t.id')} GROUP BY 1 ORDER BY 1",
            archive.values,
            "text integer integer",
        )
        return [FiguresOfMonth(*row) for row in rows]

    def by_folder(self, source: int, archive: Archive) -> list[FiguresOfFolder]:
        """Count the archived messages that a mailbox has or had, by folder; one in two folders counts in both."""
        sinks, _, first, end = archive.values
        # Where it is most of the ledger, all is gone through in the order in which it lies on the disk.
        rows_of = (
            "folder k CROSS JOIN occurrence o ON k.source = ?2 AND o.folder = k.id"
            if archive.source
            else "occurrence o"
        )
        rows = self._db.rows(
            "SELECT f.name, s.messages, s.size, s.present FROM (SELECT o.folder, count(*) AS messages, sum(t.size) AS size,"
            f" sum(NOT o.gone) AS present FROM {rows_of} CROSS JOIN content t ON t.id = o.content"
            f" WHERE t.date >= ?3 AND t.date < ?4 AND {_HELD.format('t.id')} GROUP BY o.folder) s"
            " JOIN folder f ON f.id = s.folder WHERE f.source = ?2 ORDER BY s.messages DESC, f.name",
            (sinks, source, first, end),
            "text integer integer integer",
        )
        return [FiguresOfFolder(*row) for row in rows]

    def archive(
        self, source: int | None, sinks: Sequence[int], span: tuple[float | None, float | None]
    ) -> Archive:
        """Return what is to be counted of a mailbox, in the way that takes least.

        Args:
            source: None where the ledger does not know the mailbox.
            sinks: the ledger's numbers of the archives.
        """
        ((sources,),) = self._db.rows("SELECT count(*) FROM source")
        if source is None or sources < 2:
            return Archive(sinks, None, span)
        archive = Archive(sinks, source, span)
        own = self._db.rows(
            f"SELECT c.sink, count(*) FROM {_OF_MAILBOX} w CROSS JOIN copy c ON c.content = w.content AND {_SINKS}"
            " GROUP BY c.sink",
            archive.values[:2],
            "integer integer",
        )
        held = self._db.rows(
            f"SELECT c.sink, sum(c.messages) FROM tally c WHERE c.messages AND {_SINKS} GROUP BY c.sink",
            archive.values[:1],
            "integer integer",
        )
        return archive._replace(alone=sorted(own) == sorted(held))

    # -- sendings ------------------------------------------------------------------------------------------

    def sending_parts(self, archive: Archive) -> Iterator[SendingPart]:
        """Yield what is about sendings that a message of the period is about, those of one sending together."""
        named = ""
        if archive.span != (None, None):
            named = (
                " AND v.identificativo IN (SELECT r.identificativo FROM content d CROSS JOIN verdict r"
                " ON r.content = d.id WHERE d.date >= ?3 AND d.date < ?4)"
            )
        stated = "json_extract(v.record, '$.system', '$.consegna', '$.destinatari', '$.outside_seal')"
        differs = "EXISTS (SELECT 1 FROM breve b WHERE b.receipt = t.id AND b.status = 'differs')"
        for name, date, kind, seal, text, is_wrong in self._db.paged(
            f"SELECT v.identificativo, t.date, t.kind, v.seal, {stated}, {differs}"
            f" FROM {_contents(archive)} CROSS JOIN verdict v ON v.content = t.id"
            " WHERE t.kind IN (SELECT value FROM json_each(?5)) AND v.identificativo IS NOT NULL"
            f" AND {_HELD.format('t.id')} AND {_OWN.format('t.id')}{named} ORDER BY v.identificativo",
            (*archive.values, _ABOUT_SENDINGS),
            "text time text text text integer",
        ):
            with self._db.decoding():
                system, consegna, recipients, outside = json.loads(text)
                yield SendingPart(
                    name,
                    date,
                    kind,
                    seal,
                    system or "",
                    [(one["address"], one["tipo"]) for one in recipients or ()],
                    consegna or "",
                    bool(outside or is_wrong),
                )

    def doubtful_envelopes(self, archive: Archive) -> Iterator[TransactionRef]:
        """Yield what names certified messages with an envelope whose seal is not valid, or does not cover all of it."""
        for name, date in self._db.paged(
            f"SELECT v.identificativo, min(t.date) FROM {_contents(archive)} CROSS JOIN verdict v ON v.content = t.id"
            " WHERE t.kind IN (SELECT value FROM json_each(?5)) AND v.identificativo IS NOT NULL"
            " AND t.date >= ?3 AND t.date < ?4"
            " AND (v.seal != 'valid' OR coalesce(json_array_length(v.record, '$.outside_seal'), 0) > 0)"
            f" AND {_HELD.format('t.id')} AND {_OWN.format('t.id')} GROUP BY v.identificativo",
            (*archive.values, _ENVELOPES),
            "text time",
        ):
            yield TransactionRef(True, name, date)

    # -- mailboxes ---------------------------------------------------------------------------------------

    def quotas(self, source: int, span: tuple[float | None, float | None]) -> list[QuotaSample]:
        """Return how full a mailbox was, once a day."""
        _, _, first, end = Archive((), None, span).values
        rows = self._db.rows(
            "SELECT started, quota_used, quota_limit FROM run WHERE id IN (SELECT max(id) FROM run WHERE source = ?1"
            " AND quota_limit IS NOT NULL AND started >= ?2 AND started < ?3 GROUP BY started / 86400) ORDER BY started",
            (source, first, end),
            "time integer integer",
        )
        return [QuotaSample(*row) for row in rows]

    def failed_messages(self, source: int, limit: int) -> list[FailedMessages]:
        """Return why messages of a mailbox that are still there are not archived, those of most messages first."""
        rows = self._db.rows(
            "SELECT o.reason, count(*), f.name, o.ref, min(o.id) FROM occurrence o JOIN folder f ON f.id = o.folder"
            " WHERE f.source = ?1 AND NOT o.gone AND o.content IS NULL AND o.reason != ''"
            " GROUP BY o.reason ORDER BY 2 DESC, 5 LIMIT ?2",
            (source, limit),
            "text integer text text integer",
        )
        return [FailedMessages(*row[:4]) for row in rows]

    def freed(self, source: int, span: tuple[float | None, float | None]) -> list[Freed]:
        """Count what was deleted from a mailbox by month, rule and whether it went to the trash; the oldest first."""
        _, _, first, end = Archive((), None, span).values
        rows = self._db.rows(
            f"SELECT {_MONTH.format('d.ended')}, d.rule, d.state, count(*), sum(t.size)"
            " FROM deletion d JOIN content t ON t.id = d.content WHERE d.source = ?1 AND d.state IN ('deleted', 'moved')"
            " AND d.ended >= ?2 AND d.ended < ?3 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            (source, first, end),
            "text text text integer integer",
        )
        return [Freed(*row) for row in rows]


def _contents(archive: Archive) -> str:
    """Return what messages are looked for in, as ``t``."""
    return f"{_OF_MAILBOX} w CROSS JOIN content t ON t.id = w.content" if archive.alone else "content t"
