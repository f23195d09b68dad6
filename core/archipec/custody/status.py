"""What the ledger says of each pipeline: its last run, its mailbox as last seen, its archives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from archipec.custody.ledger import Ledger
from archipec.custody.ledger.loose import LooseOriginal
from archipec.custody.ledger.schema import HELD
from archipec.message import Json, Quota

__all__ = ["PipelineStatus", "SinkStatus", "statuses"]

_LOST = ("missing", "altered", "rejected", "failed")


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """An archive, by the ledger.

    Attributes:
        held: messages that count as archived; size: their bytes.
        others: messages per other state: pending (also in ``held``), missing, altered, rejected, failed.
        reasons: copies that are pending or rejected, by why.
    """

    where: str
    held: int
    size: int
    others: dict[str, int]
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """A pipeline, by the ledger.

    Attributes:
        last_run: in Unix seconds.
        quota: as last told by the server.
        loose: originals kept without the envelope that bears their seal, which has not come since.
    """

    pipeline: str
    source: str
    last_run: int
    stored: int
    failed: int
    left: int
    messages: int
    size: int
    quota: Quota | None
    sinks: tuple[SinkStatus, ...]
    loose: tuple[LooseOriginal, ...]

    @property
    def needs_attention(self) -> bool:
        """Whether a message is not where it should be."""
        return bool(
            self.failed
            or self.left
            or self.loose
            or any(set(sink.others) & set(_LOST) for sink in self.sinks)
        )

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``status --json``."""
        quota = self.quota
        return {
            "pipeline": self.pipeline,
            "source": self.source,
            "last_run": datetime.fromtimestamp(self.last_run, UTC).isoformat(),
            "stored": self.stored,
            "failed": self.failed,
            "left": self.left,
            "messages": self.messages,
            "bytes": self.size,
            "quota": None if quota is None else {"used": quota.used, "limit": quota.limit},
            "sinks": [
                {"where": sink.where, "held": sink.held, "bytes": sink.size, **sink.others}
                | ({"reasons": {**sink.reasons}} if sink.reasons else {})
                for sink in self.sinks
            ],
            "loose": [
                {"sha256": one.key.sha256, "message_id": one.message_id, "folder": one.folder, "ref": one.ref}
                for one in self.loose
            ],
        }


def statuses(ledger: Ledger) -> list[PipelineStatus]:
    """Return the status of every pipeline that ever ran, by name."""
    found = []
    for run in ledger.last_runs():
        source = ledger.source(run.source)
        messages, size = ledger.occurrences(source)
        quota = ledger.last_quota(source)
        found.append(
            PipelineStatus(
                pipeline=run.pipeline,
                source=run.source,
                last_run=run.started,
                stored=run.report["stored"],
                failed=run.report["failed"],
                left=run.report["left"],
                messages=messages,
                size=size,
                quota=None if quota is None else quota[1],
                sinks=tuple(_sink(ledger, number, where) for number, where in ledger.sinks_of(source)),
                loose=tuple(ledger.without_envelope([number for number, _ in ledger.sinks_of(source)])),
            )
        )
    return found


def _sink(ledger: Ledger, number: int, where: str) -> SinkStatus:
    holdings = ledger.holdings(number)
    return SinkStatus(
        where,
        sum(holdings[state][0] for state in HELD if state in holdings),
        sum(holdings[state][1] for state in HELD if state in holdings),
        {state: holdings[state][0] for state in ("pending", *_LOST) if state in holdings},
        {reason: copies for _, reason, copies in ledger.reasons(number) if reason},
    )
