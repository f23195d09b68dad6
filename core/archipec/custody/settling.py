"""What a sink says, days later, of copies it has not confirmed; put on record as it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from archipec.contract import Sink, SupportsSettle
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.copies import Copy
from archipec.custody.run import now
from archipec.message import Json, Receipt, State

__all__ = ["SinkSettled", "settle_sink", "undecided"]

_PAGE = 500


@dataclass(slots=True)
class SinkSettled:
    """What a sink said of the copies it had not confirmed.

    Attributes:
        stored: copies confirmed in this run.
        pending: copies that wait still; refused: copies rejected, in this run or before.
        reasons: copies by why they wait or were rejected.
        overdue: what of that needs a person, in words, and how many copies each.
    """

    stored: int = 0
    pending: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    overdue: list[tuple[str, int]] = field(default_factory=list)

    @property
    def needs_attention(self) -> bool:
        """Whether a person has to do something: ask the provider, or mend what was refused."""
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


def undecided(ledger: Ledger, number: int) -> list[Copy]:
    """Return a sink's copies that are pending, and those it rejected."""
    pending = ledger.copies.in_states(number, (State.PENDING,))
    rejected = [
        copy._replace(receipt=replace(copy.receipt, state=State.REJECTED))
        for copy in ledger.copies.in_states(number, (State.REJECTED,))
    ]
    return pending + rejected


def settle_sink(sink: Sink, number: int, ledger: Ledger, settled: SinkSettled) -> None:
    """Ask a sink and put its answers on record, as they come.

    Args:
        settled: gets the counts, also when this raises.
    """
    if not isinstance(sink, SupportsSettle):
        return
    asked = undecided(ledger, number)
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


def _count(ledger: Ledger, number: int, settled: SinkSettled) -> None:
    # A sink that was out of order for a moment is asked again.
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
