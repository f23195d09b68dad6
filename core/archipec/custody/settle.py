"""Asks the sinks of a pipeline for the confirmations they owe, without its source. Each run does the same at its end."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archipec.config.pipeline import Endpoint
from archipec.contract import SinkType, SupportsFinish, SupportsSettle
from archipec.custody.ledger import Ledger
from archipec.custody.run import Stop, claim_root, make_context
from archipec.custody.settling import SinkSettled, settle_sink, undecided
from archipec.custody.spool import spool_folder
from archipec.errors import ATTENTION, DONE, ArchipecError, exit_code
from archipec.message import Json
from archipec.plugins.boundary import own_errors

__all__ = ["SettleReport", "settle"]


@dataclass(slots=True)
class SettleReport:
    """The outcome of ``settle`` for a pipeline."""

    pipeline: str
    sinks: dict[str, SinkSettled] = field(default_factory=dict)
    errors: list[ArchipecError] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The exit code this outcome means: what is rejected or overdue needs a person, what is pending does not."""
        refused = ATTENTION if any(sink.needs_attention for sink in self.sinks.values()) else DONE
        return exit_code([refused, *(error.exit_code for error in self.errors)])

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``settle --json``."""
        return {
            "pipeline": self.pipeline,
            "sinks": {name: settled.as_json() for name, settled in self.sinks.items()},
        }


def settle(
    name: str, sinks: Iterable[Endpoint[SinkType[Any]]], ledger: Ledger, state: Path, stop: Stop
) -> SettleReport:
    """Ask each of a pipeline's sinks that can tell. What went wrong is in the report.

    Args:
        name: of the pipeline.
    """
    report = SettleReport(name)
    for sink in sinks:
        if stop.is_set():
            break
        try:
            _settle_endpoint(sink, ledger, state, stop, report)
        except ArchipecError as error:
            report.errors.append(error)
    return report


def _settle_endpoint(
    sink: Endpoint[SinkType[Any]], ledger: Ledger, state: Path, stop: Stop, report: SettleReport
) -> None:
    number = ledger.copies.sink_number(sink.where)
    if not undecided(ledger, number):
        return
    with ExitStack() as held:
        claim_root(sink, number, ledger, state, held)
        temp = held.enter_context(spool_folder(state, sink.where))
        held.enter_context(own_errors(sink.record))
        opened = held.enter_context(sink.record.open(sink.config, make_context(sink.name, temp, stop)))
        if isinstance(opened, SupportsSettle):
            settled = report.sinks[sink.name] = SinkSettled()
            settle_sink(opened, number, ledger, settled)
            if isinstance(opened, SupportsFinish):
                opened.finish()
