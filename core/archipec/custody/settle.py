"""Asks sinks for the confirmations they owe, possibly days later, and records what they say as it comes.

`settle` asks the sinks of a pipeline without its source; each run asks its own sinks at its end (`settle_sink`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from archipec.config.endpoint import Endpoint
from archipec.contract import Sink, SinkType, SupportsFinish, SupportsSettle
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.copies import Copy
from archipec.custody.run import Run, now
from archipec.errors import ATTENTION, DONE, ArchipecError, exit_code
from archipec.message import Json, Receipt, State

__all__ = ["SettleCounts", "SettleReport", "settle", "settle_sink"]

_PAGE = 500


@dataclass(slots=True)
class SettleCounts:
    """What a sink said of the copies it had not confirmed.

    Attributes:
        stored: copies confirmed in this run.
        pending: copies that wait still; refused: copies rejected, in this run or before.
        reasons: copies by why they wait or were rejected.
        overdue: what of that needs the user's attention, as a text, and how many copies each.
    """

    stored: int = 0
    pending: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    overdue: list[tuple[str, int]] = field(default_factory=list)

    @property
    def needs_attention(self) -> bool:
        """Whether the user has to do something: ask the provider, or mend what was refused."""
        return bool(self.refused or self.overdue)

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.stored or self.reasons)

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of one sink."""
        return {
            "stored": self.stored,
            "rejected": self.refused,
            "pending": self.pending,
            "reasons": dict(sorted(self.reasons.items())),
            **({"overdue": dict(self.overdue)} if self.overdue else {}),
        }


@dataclass(slots=True)
class SettleReport:
    """The outcome of ``settle`` for a pipeline."""

    pipeline: str
    sinks: dict[str, SettleCounts] = field(default_factory=dict)
    errors: list[ArchipecError] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The exit code this outcome means: what is rejected or overdue needs attention, what is pending does not."""
        refused = ATTENTION if any(sink.needs_attention for sink in self.sinks.values()) else DONE
        return exit_code([refused, *(error.exit_code for error in self.errors)])

    @property
    def counts(self) -> dict[str, int]:
        """What was done, in copies."""
        sinks = self.sinks.values()
        return {"stored": sum(one.stored for one in sinks), "rejected": sum(one.refused for one in sinks)}

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``settle --json``."""
        return {
            "pipeline": self.pipeline,
            "sinks": {name: settled.as_json() for name, settled in self.sinks.items()},
        }


def settle(name: str, sinks: Iterable[Endpoint[SinkType[Any]]], run: Run[Any]) -> SettleReport:
    """Ask each of a pipeline's sinks that can tell. What went wrong is in the report.

    Args:
        name: of the pipeline.
    """
    report = SettleReport(name)
    for sink in sinks:
        if run.stop.is_set():
            break
        try:
            _settle_endpoint(sink, run, report)
        except ArchipecError as error:
            report.errors.append(error)
    return report


def _settle_endpoint(sink: Endpoint[SinkType[Any]], run: Run[Any], report: SettleReport) -> None:
    if not _undecided(run.ledger, run.ledger.copies.sink_number(sink.where)):
        return
    with ExitStack() as held:
        number = run.claim(sink, held)
        spooled = held.enter_context(run.spool(sink.where))
        opened = held.enter_context(spooled.open(sink))
        if isinstance(opened, SupportsSettle):
            settled = report.sinks[sink.name] = SettleCounts()
            settle_sink(opened, number, run.ledger, settled)
            if isinstance(opened, SupportsFinish):
                opened.finish()


def _undecided(ledger: Ledger, number: int) -> list[Copy]:
    """Return a sink's copies that are pending, and those it rejected."""
    pending = ledger.copies.in_states(number, (State.PENDING,))
    rejected = [
        copy._replace(receipt=replace(copy.receipt, state=State.REJECTED))
        for copy in ledger.copies.in_states(number, (State.REJECTED,))
    ]
    return pending + rejected


def settle_sink(sink: Sink, number: int, ledger: Ledger, settled: SettleCounts) -> None:
    """Ask a sink and record its answers, as they come.

    Args:
        settled: gets the counts, also when this raises.
    """
    if not isinstance(sink, SupportsSettle):
        return
    asked = _undecided(ledger, number)
    if not asked:
        return
    by_key = {copy.receipt.key: copy for copy in asked}
    page: list[tuple[int, Receipt]] = []
    try:
        for receipt in sink.settle([copy.receipt for copy in asked]):
            known = by_key.get(receipt.key)
            if known is None or receipt == known.receipt:
                continue
            page.append((known.content, receipt))
            settled.stored += receipt.state is State.STORED
            if len(page) >= _PAGE:
                _record(ledger, number, page)
                page = []
    finally:
        _record(ledger, number, page)
        _count(ledger, number, settled)


def _record(ledger: Ledger, number: int, page: Sequence[tuple[int, Receipt]]) -> None:
    ledger.copies.record_receipts(
        number, [one for one in page if one[1].state is not State.PENDING], (), now()
    )
    ledger.copies.record_waiting(number, [one for one in page if one[1].state is State.PENDING])


def _count(ledger: Ledger, number: int, settled: SettleCounts) -> None:
    # The counts of an earlier try are dropped: a sink that failed for a while is asked again.
    settled.reasons.clear()
    settled.pending = settled.refused = 0
    at = now()
    settled.overdue = [(one.as_text(at), one.copies) for one in ledger.copies.overdue(number, at)]
    for state, reason, count in ledger.copies.reasons(number):
        settled.reasons[reason] += count
        if state == State.PENDING:
            settled.pending += count
        else:
            settled.refused += count
