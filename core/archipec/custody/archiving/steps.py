"""Runs a pipeline's post-steps once its sinks are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TypeAlias

from archipec.config.pipeline import Pipeline
from archipec.contract import RunView
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.ledger import Ledger
from archipec.custody.run import Run, now
from archipec.errors import ArchipecError, MissingCopy
from archipec.language import _
from archipec.message import ContentKey, Quota

__all__ = ["Composer", "run_steps"]


Composer: TypeAlias = Callable[[str, ArchiveReport, Quota | None], bytes]
"""Makes what ``archipec report`` makes, in a format by its name, given this run's report so far and the quota it found."""


def run_steps(
    pipeline: Pipeline,
    run: Run[Any],
    report: ArchiveReport,
    quota: Quota | None,
    compose: Composer | None = None,
) -> None:
    """Run every post-step; one that fails is noted in the report and gets the same keys again next time."""
    ledger = run.ledger
    sinks = [ledger.copies.sink_number(sink.where) for sink in pipeline.sinks]
    free_bytes = _freeable(pipeline, ledger, quota)

    @contextmanager
    def read(key: ContentKey) -> Iterator[BinaryIO]:
        for sink in pipeline.archives:
            receipt = ledger.copies.receipt(ledger.copies.sink_number(sink.where), key)
            if receipt is not None:
                # No boundary of the sink's here: what the step raises while it reads is the step's.
                with (
                    sink.record.open(sink.config, run.context(sink)) as opened,
                    opened.read(receipt) as stream,
                ):
                    yield stream
                return
        raise MissingCopy(_("no sink of this pipeline holds {key}").format(key=key))

    for step in pipeline.steps:
        started = now()
        since = ledger.runs.step_done(pipeline.name, step.where)
        view = RunView(
            pipeline=pipeline.name,
            report=report.as_json(),
            quota=quota,
            freeable=free_bytes,
            stored=lambda since=since: ledger.copies.stored_since(sinks, since),  # type: ignore[misc]
            read=read,
            **({} if compose is None else {"compose": lambda name: compose(name, report, quota)}),
        )
        try:
            with run.open(step) as opened:
                opened.run(view)
        except ArchipecError as error:
            report.errors.append(error)
        else:
            ledger.runs.record_step(pipeline.name, step.where, started)


def _freeable(pipeline: Pipeline, ledger: Ledger, quota: Quota | None) -> int | None:
    """Return how many bytes prune would free by its rules, looked up only where a step may use it."""
    if not pipeline.steps or not pipeline.prune.has_rule:
        return None
    from archipec.custody.pruning.freeable import freeable

    found = freeable(pipeline, ledger, quota)
    return None if found is None else found.size
