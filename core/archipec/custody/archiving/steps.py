"""Runs a pipeline's post-steps once its sinks are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from archipec.config.pipeline import Pipeline
from archipec.contract import RunView
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation, make_context, now
from archipec.errors import ArchipecError, MissingCopy
from archipec.message import ContentKey, Quota
from archipec.plugins.boundary import plugin_boundary

__all__ = ["run_steps"]


def run_steps(
    pipeline: Pipeline,
    ledger: Ledger,
    temp: Path,
    stop: Cancellation,
    report: ArchiveReport,
    quota: Quota | None,
) -> None:
    """Run every post-step; one that fails is noted in the report and gets the same keys again next time."""
    sinks = [ledger.copies.sink_number(sink.where) for sink in pipeline.sinks]
    room = _freeable(pipeline, ledger, quota)

    @contextmanager
    def read(key: ContentKey) -> Iterator[BinaryIO]:
        for sink in pipeline.archives:
            receipt = ledger.copies.receipt(ledger.copies.sink_number(sink.where), key)
            if receipt is not None:
                with (
                    sink.record.open(sink.config, make_context(sink.name, temp, stop)) as opened,
                    opened.read(receipt) as stream,
                ):
                    yield stream
                return
        raise MissingCopy(f"no sink of this pipeline holds {key}")

    for step in pipeline.steps:
        started = now()
        since = ledger.runs.step_done(pipeline.name, step.where)
        view = RunView(
            pipeline=pipeline.name,
            report=report.as_json(),
            quota=quota,
            freeable=room,
            stored=lambda since=since: ledger.copies.stored_since(sinks, since),  # type: ignore[misc]
            read=read,
        )
        try:
            with (
                plugin_boundary(step.record),
                step.record.open(step.config, make_context(step.name, temp, stop)) as opened,
            ):
                opened.run(view)
        except ArchipecError as error:
            report.errors.append(error)
        else:
            ledger.runs.record_step(pipeline.name, step.where, started)


def _freeable(pipeline: Pipeline, ledger: Ledger, quota: Quota | None) -> int | None:
    """Return how many bytes prune would free by its rules, looked up only where somebody may want to know."""
    if not pipeline.steps or not pipeline.prune.has_rule:
        return None
    from archipec.custody.pruning.freeable import freeable

    room = freeable(pipeline, ledger, quota)
    return None if room is None else room.size
