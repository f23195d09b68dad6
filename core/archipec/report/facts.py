"""What is true of a pipeline's mailbox and its archives, by the ledger alone: counts, and the lists that are short.

No server is contacted and no message is read. What costs time is linear in the messages of the period, and what is kept in
memory does not grow with them, but for one name a sending of which not all is well.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from archipec.config.pipeline import Pipeline
from archipec.config.selection import Selection
from archipec.custody.attention import Matter, archive_of, failed_messages, matters_of, of_transactions
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.figures import (
    FailedMessages,
    FiguresOfFolder,
    FiguresOfKind,
    FiguresOfMonth,
    Freed,
    QuotaSample,
)
from archipec.custody.ledger.runs import Attempt, RunRecord
from archipec.custody.receipts.summary import SendingSummary, summarize
from archipec.custody.status import PipelineStatus
from archipec.pec.kind import GROUPS, KINDS, UNSEALED

__all__ = ["Amount", "Family", "MonthFacts", "PipelineFacts", "RunFacts", "family_of", "pipeline_facts"]

_SHOWN: Final = 50
"""Failures, sendings and failed runs that are listed; more are counted."""
_SAMPLES: Final = 200


class Family(enum.StrEnum):
    """What a kind of message is to who reads a report."""

    CERTIFIED = "certified"
    """Certified messages that came in."""
    RECEIPTS = "receipts"
    """Receipts of acceptance and delivery."""
    NOTICES = "notices"
    """What went wrong or was held up: refusals, failures, anomalies."""
    ORDINARY = "ordinary"
    """Ordinary mail, and the copies of what was sent."""


class Amount(NamedTuple):
    """A number of messages and their bytes."""

    messages: int = 0
    size: int = 0


class MonthFacts(NamedTuple):
    """A month ("2026-03") by the messages' dates: how many messages of each family, and bytes in all."""

    month: str
    families: Mapping[Family, int]
    size: int

    @property
    def messages(self) -> int:
        """Messages of all families."""
        return sum(self.families.values())


class RunFacts(NamedTuple):
    """Runs of `archive` in the period.

    Attributes:
        total: those that were begun; succeeded: those that reached their end.
        failures: of any command, the newest first; not more than some dozens.
    """

    total: int
    succeeded: int
    failures: Sequence[Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineFacts:
    """What is true of a pipeline. All but ``status``, ``matters`` and ``failed_messages`` is of the period.

    Attributes:
        status: as it is now: last try and success, quota, archives, what waits.
        matters: what needs a person; of what was sent and received, that of the period.
        span: first second of the period, and the one after the last, in Unix seconds; None for no limit.
        now: aware.
        total: what the archives hold of this mailbox; kinds: by kind, those of most messages first; seals: messages by
            the verdict on their seal, "" for those without one.
        first, last: dates of the oldest and the newest message, in Unix seconds; None without any.
        months: by the messages' dates, in order, without empty ones; arrivals: by when they were first stored.
        folders: of the mailbox, those of most messages first.
        quotas: how full the mailbox was, once a day or less often.
        sendings: what became of what was sent.
        failed_messages: why messages that the mailbox still has are not archived.
        freed: what prune deleted, by month and rule.
    """

    status: PipelineStatus
    matters: Sequence[Matter]
    span: tuple[float | None, float | None]
    now: datetime
    total: Amount
    kinds: Mapping[str, Amount]
    seals: Mapping[str, int]
    first: int | None
    last: int | None
    months: Sequence[MonthFacts]
    arrivals: Sequence[FiguresOfMonth]
    folders: Sequence[FiguresOfFolder]
    quotas: Sequence[QuotaSample]
    sendings: SendingSummary
    runs: RunFacts
    failed_messages: Sequence[FailedMessages]
    freed: Sequence[Freed]

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return self.status.pipeline

    @property
    def families(self) -> Counter[Family]:
        """Messages of each family."""
        found: Counter[Family] = Counter()
        for kind, amount in self.kinds.items():
            found[family_of(kind)] += amount.messages
        return found

    @property
    def archived(self) -> Amount:
        """What was first stored in the period, whatever its date."""
        return Amount(sum(one.messages for one in self.arrivals), sum(one.size for one in self.arrivals))

    @property
    def pruned(self) -> Amount:
        """What was deleted from the mailbox; what only went to its trash is not counted."""
        gone = [one for one in self.freed if one.state == "deleted"]
        return Amount(sum(one.messages for one in gone), sum(one.size for one in gone))


def family_of(kind: str) -> Family:
    """Return the family of a kind of message."""
    if kind in GROUPS["envelopes"]:
        return Family.CERTIFIED
    if kind in GROUPS["acceptances"] | GROUPS["deliveries"]:
        return Family.RECEIPTS
    return Family.ORDINARY if kind in UNSEALED or kind not in KINDS else Family.NOTICES


def pipeline_facts(
    ledger: Ledger,
    status: PipelineStatus,
    now: datetime,
    period: Selection | None = None,
    pipeline: Pipeline | None = None,
    run: RunRecord | None = None,
) -> PipelineFacts:
    """Gather what is true of a pipeline.

    Args:
        status: of it (`archipec.custody.status.statuses`).
        now: aware.
        period: its days are those of the messages, the runs, the deletions; all of them by default.
        pipeline: as configured, None where it is not.
        run: that is not over yet; else it is the last one.

    Raises:
        ArchipecError: the ledger can't be read.
    """
    span = (None, None) if period is None else period.span
    source = ledger.sources.find(status.source)
    archive = archive_of(ledger, status)._replace(span=span)
    by_kind = ledger.figures.by_kind(archive)
    failed = failed_messages(ledger, status)
    last = run or next(
        (one for one in ledger.runs.last_runs() if one[:2] == (status.pipeline, status.source)), None
    )
    begun, succeeded, failures = ledger.runs.ended(status.pipeline, status.source, span, _SHOWN)
    return PipelineFacts(
        status=status,
        matters=[
            *matters_of(status, pipeline, last, failed, now),
            *of_transactions(ledger, status, archive, now),
        ],
        span=span,
        now=now,
        total=Amount(sum(one.messages for one in by_kind), sum(one.size for one in by_kind)),
        kinds=_kinds(by_kind),
        seals=_seals(by_kind),
        first=min((one.first for one in by_kind), default=None),
        last=max((one.last for one in by_kind), default=None),
        months=_months(by_kind),
        arrivals=ledger.figures.by_arrival(archive),
        folders=[] if source is None else ledger.figures.by_folder(source, archive),
        quotas=[] if source is None else _thinned(ledger.figures.quotas(source, span)),
        sendings=summarize(ledger, archive, now, _SHOWN),
        runs=RunFacts(begun, succeeded, failures),
        failed_messages=failed,
        freed=[] if source is None else ledger.figures.freed(source, span),
    )


def _kinds(figures: Sequence[FiguresOfKind]) -> dict[str, Amount]:
    messages: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for one in figures:
        messages[one.kind] += one.messages
        sizes[one.kind] += one.size
    return {kind: Amount(number, sizes[kind]) for kind, number in messages.most_common()}


def _seals(figures: Sequence[FiguresOfKind]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in figures:
        found[one.seal] += one.messages
    return found


def _months(figures: Sequence[FiguresOfKind]) -> list[MonthFacts]:
    families: dict[str, Counter[Family]] = {}
    sizes: Counter[str] = Counter()
    for one in figures:
        families.setdefault(one.month, Counter())[family_of(one.kind)] += one.messages
        sizes[one.month] += one.size
    return [MonthFacts(month, found, sizes[month]) for month, found in sorted(families.items())]


def _thinned(samples: Sequence[QuotaSample]) -> list[QuotaSample]:
    """Keep some of many, evenly, and the last."""
    step = -(-len(samples) // _SAMPLES) or 1
    return list(samples[::-1][::step][::-1])
