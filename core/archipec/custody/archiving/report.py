"""What a run did, in counts that reconcile."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from archipec.custody.archiving.omissions import Omissions
from archipec.errors import ATTENTION, DONE, ArchipecError, exit_code
from archipec.message import Json

if TYPE_CHECKING:
    from archipec.custody.pruning.report import PruneReport
    from archipec.custody.settle import SettleCounts

__all__ = ["ArchiveReport", "Failure", "PreviewLine", "SinkCounts"]

_FAILURES_SHOWN = 1000


class Failure(NamedTuple):
    """A message that some sink lacks still, and why."""

    folder: str
    ref: str
    reason: str


class PreviewLine(NamedTuple):
    """What a dry run found of one kind and year."""

    kind: str
    year: int
    messages: int
    size: int


@dataclass(slots=True)
class SinkCounts:
    """What one sink did in this run, in messages.

    Attributes:
        waiting: the ledger's numbers of those that it had not confirmed when it took them.
    """

    stored: int = 0
    pending: int = 0
    failed: int = 0
    waiting: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ArchiveReport:
    """The outcome of ``archive``: listed = stored + already + deselected + failed + left.

    Attributes:
        listed: new rows plus the backlog, less those gone from the source.
        stored: rows this run completed in every sink; already: rows that were complete by their content.
        failed: rows some sink lacks; left: rows not reached.
        listed_size: bytes listed in this run, as far as the source says; size: bytes of the rows stored.
        arrived: messages read from the source so far, stored or on their way; arrived_size: their bytes.
        other_size: messages that the source lists with another size than they came in.
        reasons: messages that failed, by why.
        errors: why the source or a sink was out, or the run was interrupted; settling: those of them that kept a sink
            from saying what it has confirmed.
        settled: by sink, what is not confirmed yet, or was rejected; sinks that confirm at once are not in it.
        omissions: what the source passed over, or has lost.
        systems: messages stored of PEC (`pec`) and of REM (`rem`).
        unrecognised: by kind, messages stored that pass for certified mail of a kind that this version does not know.
        remark: what is no error and may be a surprise.
        prune: what was deleted at the end, None where that was not asked for.
    """

    pipeline: str
    listed: int = 0
    listed_size: int = 0
    arrived: int = 0
    arrived_size: int = 0
    other_size: int = 0
    stored: int = 0
    already: int = 0
    deselected: int = 0
    failed: int = 0
    size: int = 0
    seconds: float = 0.0
    sinks: dict[str, SinkCounts] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    systems: Counter[str] = field(default_factory=Counter)
    unrecognised: Counter[str] = field(default_factory=Counter)
    seals: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    errors: list[ArchipecError] = field(default_factory=list)
    settling: list[ArchipecError] = field(default_factory=list)
    preview: list[PreviewLine] | None = None
    prune: PruneReport | None = None
    settled: dict[str, SettleCounts] = field(default_factory=dict)
    omissions: Omissions = field(default_factory=Omissions)
    remark: str = ""

    @property
    def left(self) -> int:
        """Rows not reached."""
        return self.listed - self.stored - self.already - self.deselected - self.failed

    @property
    def exit_code(self) -> int:
        """The exit code this outcome means."""
        refused = any(sink.needs_attention for sink in self.settled.values())
        codes = [error.exit_code for error in self.settling]
        return exit_code([self.but_settling, *codes, ATTENTION if refused else DONE])

    @property
    def but_settling(self) -> int:
        """The exit code but for what sinks have still to confirm, which `settle` may put right."""
        settling = {id(error) for error in self.settling}
        codes = [error.exit_code for error in self.errors if id(error) not in settling]
        pruned = self.prune.exit_code if self.prune else DONE
        attention = self.failed or self.omissions.messages
        return exit_code([*codes, pruned, ATTENTION if attention else DONE])

    @property
    def counts(self) -> dict[str, int]:
        """What was done, in messages and bytes."""
        return {"stored": self.stored, "failed": self.failed, "left": self.left, "bytes": self.size}

    def fail(self, folder: str, ref: str, reason: str) -> None:
        """Count a message as failed."""
        self.failed += 1
        self.reasons[reason] += 1
        self.note(folder, ref, reason)

    def note(self, folder: str, ref: str, reason: str) -> None:
        """Show a failure without counting a message."""
        if len(self.failures) < _FAILURES_SHOWN:
            self.failures.append(Failure(folder, ref, reason))

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``archive --json``."""
        shape: dict[str, Json] = {
            "pipeline": self.pipeline,
            "listed": self.listed,
            "stored": self.stored,
            "already": self.already,
            "deselected": self.deselected,
            "failed": self.failed,
            "left": self.left,
            "bytes": self.size,
            "seconds": round(self.seconds, 3),
            "sinks": {
                name: {"stored": counts.stored, "pending": counts.pending, "failed": counts.failed}
                for name, counts in self.sinks.items()
            },
            "kinds": dict(sorted(self.kinds.items())),
            "systems": dict(sorted(self.systems.items())),
            "unrecognised": self.unrecognised.total(),
            "seals": dict(sorted(self.seals.items())),
            "other_size": self.other_size,
            "failures": [failure._asdict() for failure in self.failures],
            "remark": self.remark,
            **self.omissions.as_json(),
        }
        if self.settled:
            shape["settled"] = {name: settled.as_json() for name, settled in self.settled.items()}
        if self.prune is not None:
            shape["prune"] = self.prune.as_json(plan=False)
        if self.preview is not None:
            shape["preview"] = [
                {"kind": line.kind, "year": line.year, "count": line.messages, "bytes": line.size}
                for line in self.preview
            ]
        return shape
