"""Searches a state folder: the index finds, and the ledger says of what is found where it is and what its seal is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from archipec.config.selection import Selection, read_selection
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.holdings import ATTACHED, Holding, held_in, sealed, seen_in
from archipec.custody.ledger.schema import HELD
from archipec.errors import PermanentError
from archipec.index.database import IndexFile, index_path
from archipec.index.finding import Clause, Filters, Hit, find
from archipec.index.query import parse_query
from archipec.message import ContentKey
from archipec.pec.kind import ANOMALIA, GROUPS, KINDS, POSTA_CERTIFICATA, UNSEALED

__all__ = [
    "DIRECTIONS",
    "HAS",
    "SEALS",
    "Found",
    "SearchRequest",
    "behind_ledger",
    "message_request",
    "missing_receipts",
    "open_index_and_ledger",
    "search_archive",
    "search_ledger",
]

DIRECTIONS: Final = ("in", "out")
SEALS: Final = ("valid", "altered", "untrusted", "expired", "unsigned", "malformed")
HAS: Final = ("attachment", "invoice", "missing-receipt")

_LARGEST_PAGE = 200
_RECEIVED: Final = frozenset({POSTA_CERTIFICATA, ANOMALIA})


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What is searched for. Everything that is given must hold.

    Attributes:
        words: see `archipec.index.query`; empty for every message.
        selection: kinds, period and, where there is a ledger, folders.
        senders, recipients, parties, attachment: as of `Filters`.
        attachments, invoices: there is at least one.
        missing_receipt: of what was sent, a receipt that should be there is not. Only with a ledger.
        seals: statuses; empty for any.
        direction: "in", "out" or empty for both: receipts are about what was sent, and go out with it. Ordinary mail goes
            out when it was seen in a folder of sent mail; without a ledger it may be either.
        archives: the `where` of those of which one must hold the message; None for any. Only with a ledger.
        before: as of `Filters`, to go on behind what was shown.
    """

    words: str = ""
    selection: Selection = field(default_factory=Selection)
    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    parties: tuple[str, ...] = ()
    attachment: str = ""
    attachments: bool = False
    invoices: bool = False
    missing_receipt: bool = False
    seals: frozenset[str] = frozenset()
    direction: str = ""
    archives: tuple[str, ...] | None = None
    before: int | None = None


def message_request(
    filters: Mapping[str, Any],
    *,
    since: str | None = None,
    until: str | None = None,
    what: str = "command line",
) -> SearchRequest:
    """Return what was asked for by names.

    Args:
        filters: ``kinds``, ``seals`` (of `SEALS`), ``folders``, ``attachment`` and ``has`` (of `HAS`).
        since, until: days.
        what: where it was asked, for problems.

    Raises:
        ConfigError: a kind or a date is not one.
    """
    asked: dict[str, object] = {
        "only": list(filters["kinds"]),
        "since": since,
        "until": until,
        "folders": list(filters["folders"]),
    }
    return SearchRequest(
        selection=read_selection({name: value for name, value in asked.items() if value}, what),
        attachment=filters["attachment"],
        attachments="attachment" in filters["has"],
        invoices="invoice" in filters["has"],
        missing_receipt="missing-receipt" in filters["has"],
        seals=frozenset(filters["seals"]),
    )


class Found(NamedTuple):
    """A message that was found, and what is known of it.

    Attributes:
        id: the shortest beginning of its SHA-256 that names it alone.
        seal: the status of its seal; empty when it was not judged.
        direction: "in" or "out"; empty when that is not known.
        archives: the `where` of each archive that holds it.
    """

    hit: Hit
    id: str
    seal: str
    direction: str
    archives: tuple[str, ...]


@contextmanager
def open_index_and_ledger(state: Path) -> Iterator[tuple[IndexFile, Ledger]]:
    """Open index and ledger of a state folder for `search_ledger`.

    Raises:
        PermanentError: there is nothing to search yet.
        ArchipecError: one of them can't be opened.
    """
    ledger_file, index_file = state / "ledger.sqlite3", index_path(state)
    if not ledger_file.exists():
        raise PermanentError(
            f"nothing was archived yet, by {ledger_file}",
            hint="run `archipec archive`; an archive without its ledger is searched by --to URL",
        )
    if not index_file.exists():
        raise PermanentError(
            "there is no index to search in", hint="`archipec index` makes it from the archives"
        )
    with Ledger(ledger_file) as ledger, IndexFile(index_file) as index:
        index.attach(ledger_file, ATTACHED)
        yield index, ledger


def search_ledger(
    index: IndexFile, ledger: Ledger, request: SearchRequest, *, by_rank: bool = False
) -> Iterator[Found]:
    """Yield what is found, the newest first or the best first; the first come before the last are looked up.

    Args:
        index, ledger: from `open_index_and_ledger`.

    Raises:
        QueryError: see `parse_query` and `find`.
        ArchipecError: index or ledger can't be read.
    """
    return _search(index, request, _Ledger(ledger), by_rank=by_rank)


def search_archive(
    index: IndexFile, where: str, request: SearchRequest, *, by_rank: bool = False
) -> Iterator[Found]:
    """Yield what is found in the index of one archive, without a ledger; otherwise as `search_ledger`.

    Args:
        where: of the archive.
    """
    return _search(index, request, _Alone(where), by_rank=by_rank)


def behind_ledger(index: IndexFile, ledger: Ledger) -> int:
    """Return how many messages the index lacks of the archives that it is filled from, as far as is known without looking."""
    behind = 0
    for archive in index.filled_from():
        upto, tally = index.progress(archive)
        held = sum(ledger.copies.holdings(archive).get(state, (0, 0))[0] for state in HELD)
        sound = ledger.copies.is_still(archive, upto, tally)
        behind = max(behind, held - tally[1] if sound else held)
    return behind


def _search(
    index: IndexFile, request: SearchRequest, known: _Ledger | _Alone, *, by_rank: bool
) -> Iterator[Found]:
    filters = Filters(
        senders=request.senders,
        recipients=request.recipients,
        parties=request.parties,
        since=request.selection.period[0],
        until=request.selection.period[1],
        attachment=request.attachment,
        attachments=request.attachments,
        invoices=request.invoices,
        clauses=[*_kinds(request), *known.clauses(request)],
        before=request.before,
    )
    hits = find(index, parse_query(request.words), filters, by_rank=by_rank)
    size = 1
    while page := list(islice(hits, size)):
        size = min(2 * size, _LARGEST_PAGE)
        for hit, facts in zip(page, known.facts(page), strict=True):
            yield Found(hit, index.short_id(hit.key.sha256), *facts)


def _kinds(request: SearchRequest) -> Iterator[Clause]:
    """Conditions on the kind: what the table does not know is of none of its kinds."""
    wants = request.selection.wants_kind
    wanted = [kind for kind in KINDS if wants(kind)]
    other = wants("")
    if len(wanted) < len(KINDS) or not other:
        yield _kind_clause(wanted, other=other)
    if request.direction == "in":
        yield _kind_clause([kind for kind in KINDS if kind not in GROUPS["receipts"]], other=True)
    elif request.direction == "out":
        yield _kind_clause([kind for kind in KINDS if kind not in _RECEIVED], other=False)


def _kind_clause(kinds: Sequence[str], *, other: bool) -> Clause:
    named = ", ".join(f"'{kind}'" for kind in kinds)
    known = ", ".join(f"'{kind}'" for kind in KINDS)
    return Clause(f"m.kind IN ({named}){f' OR m.kind NOT IN ({known})' if other else ''}")


def _direction(kind: str) -> str:
    """Return the direction that a kind says; empty for one that may be either."""
    if kind in _RECEIVED:
        return "in"
    return "out" if kind in GROUPS["receipts"] else ""


class _Alone:
    """An archive without a ledger: it knows of its messages what the index says."""

    def __init__(self, where: str) -> None:
        self._archives = (where,)

    def clauses(self, request: SearchRequest) -> Iterator[Clause]:
        if request.seals:
            named = ", ".join("?" for _ in request.seals)
            yield Clause(f"m.seal IN ({named})", tuple(sorted(request.seals)))

    def facts(self, hits: Sequence[Hit]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        for hit in hits:
            yield hit.seal, _direction(hit.kind), self._archives


class _Ledger:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._sent: frozenset[int] | None = None

    def clauses(self, request: SearchRequest) -> Iterator[Clause]:
        if request.archives is not None:
            yield Clause(*held_in(self._ledger.holdings.sinks_at(request.archives)))
        if request.seals:
            yield Clause(*sealed(sorted(request.seals)))
        if request.selection.folders:
            yield Clause(*seen_in(self._ledger.holdings.folders(request.selection.wants_folder)))
        if request.direction:
            sent = seen_in(self._ledger.transactions.sent_folders())
            was_sent = "" if request.direction == "out" else "NOT "
            unsealed = ", ".join(f"'{kind}'" for kind in sorted(UNSEALED))
            yield Clause(f"m.kind NOT IN ({unsealed}) OR {was_sent}{sent.sql}", sent.values)
        if request.missing_receipt:
            yield _one_of(missing_receipts(self._ledger))

    def facts(self, hits: Sequence[Hit]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        holdings = self._ledger.holdings.of([hit.key for hit in hits])
        for hit in hits:
            holding = holdings.get(hit.key, _UNKNOWN)
            direction = _direction(hit.kind)
            if not direction:
                direction = "out" if holding.content in self._sent_contents else "in"
            yield holding.seal, direction, holding.archives

    @property
    def _sent_contents(self) -> frozenset[int]:
        if self._sent is None:
            self._sent = self._ledger.holdings.seen_in(self._ledger.transactions.sent_folders())
        return self._sent


_UNKNOWN: Final = Holding(0, "", ())


def _one_of(keys: Iterable[ContentKey]) -> Clause:
    return Clause("m.sha256 IN (SELECT value FROM json_each(?))", (json.dumps([key.sha256 for key in keys]),))


def missing_receipts(ledger: Ledger) -> list[ContentKey]:
    """Return the messages of sendings that lack a receipt which should be there by now: what was sent, and its acceptance."""
    # Slow to import, and seldom asked.
    from archipec.custody.receipts.query import TransactionFilter, transactions
    from archipec.pec.transactions import Outcome

    found = []
    for one in transactions(
        ledger, ledger.holdings.sinks(), TransactionFilter(direction="out"), datetime.now(UTC)
    ):
        if Outcome.MISSING in (one.status, *(recipient.outcome for recipient in one.recipients)):
            sent = one.sent.record if one.sent is not None else None
            found += [record.key for record in (sent, one.acceptance) if record is not None]
    return found
