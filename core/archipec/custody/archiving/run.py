"""The run of a pipeline, from its locks to its record: the transfer, then what is left to analyze, steps and pruning."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from archipec.config.pipeline import Pipeline
from archipec.custody.analysis.shared import SharedPools
from archipec.custody.archiving.analyzing import Analyzing
from archipec.custody.archiving.beginning import finish_deletions, refuse_same_folders, refuse_same_store
from archipec.custody.archiving.deliveries import describe_archives, prepare_workers, remove_unused
from archipec.custody.archiving.report import ArchiveReport, SinkCounts
from archipec.custody.archiving.steps import Composer, run_steps
from archipec.custody.archiving.transfer import Transfer
from archipec.custody.ledger import Ledger
from archipec.custody.run import Run, now
from archipec.custody.spool import return_freed_memory
from archipec.errors import ArchipecError, Interrupted
from archipec.language import _
from archipec.message import Quota

if TYPE_CHECKING:
    from archipec.custody.analysis.analyzer import Analysis
    from archipec.custody.pruning.report import PruneReport

__all__ = ["archive"]


def archive(
    pipeline: Pipeline,
    run: Run[ArchiveReport],
    *,
    full: bool = False,
    analyses: Sequence[Analysis] = (),
    compose: Composer | None = None,
    pools: SharedPools | None = None,
) -> ArchiveReport:
    """Bring every message of a pipeline's source that the selection wants into every sink.

    Args:
        run: when it is cancelled, what has arrived is stored and the run ends.
        full: list the source from the start instead of from the cursors.
        analyses: what is to be found out of every message, besides whether its seal is valid.
        compose: what a step may have made of the run (`archipec.contract.RunView.compose`).
        pools: who finds it out, for more pipelines than this; None: for this alone.

    Returns:
        the report, which the ledger keeps too. What went wrong is in it, never raised.
    """
    report = ArchiveReport(pipeline.name, sinks={sink.name: SinkCounts() for sink in pipeline.sinks})
    return_freed_memory()
    started = time.monotonic()
    at = now()
    quota = None
    try:
        with ExitStack() as after, ExitStack() as held:
            held.enter_context(run.lock(pipeline.source))
            refuse_same_folders(pipeline)
            spooled = held.enter_context(run.spool(pipeline.source.where))
            workers = prepare_workers(pipeline.sinks, spooled, held)
            if str(pipeline.selection):
                # Nothing is to be made for a selection that no message matches.
                held.callback(remove_unused, pipeline, workers, run.ledger, report, after)
            refuse_same_store(pipeline, workers, spooled)
            finish_deletions(pipeline, workers, spooled, report)
            lending = pools or held.enter_context(SharedPools())
            analyzing = Analyzing(pipeline, spooled, report, analyses, lending, held)
            transfer = Transfer(pipeline, spooled, workers, report, analyzing)
            transfer.execute(full=full)
            describe_archives(pipeline, workers, run.ledger, report)
            report.seconds = time.monotonic() - started
            quota = _quota(pipeline, run.ledger, transfer.quota)
            if not run.stop.is_set():
                analyzing.complete()
            run_steps(pipeline, spooled, report, quota, compose)
        if pipeline.prune.auto and not run.stop.is_set():
            report.prune = _prune(pipeline, run, clean=not report.errors)
    except ArchipecError as error:
        report.errors.append(error)
    if run.stop.is_set():
        report.errors.append(
            Interrupted(
                _("stopped as asked"), hint=_("what arrived is stored; the same command goes on from here")
            )
        )
    report.seconds = report.seconds or time.monotonic() - started
    ledger = run.ledger
    try:
        ledger.runs.record_run(
            pipeline.name, ledger.sources.number(pipeline.source.where), at, report.as_json(), quota
        )
    except ArchipecError as error:
        report.errors.append(error)
    return report


def _quota(pipeline: Pipeline, ledger: Ledger, reported: Quota | None) -> Quota | None:
    if pipeline.prune.quota is None:
        return reported
    _, listed = ledger.sources.counts(ledger.sources.number(pipeline.source.where))
    return pipeline.prune.quota_of(reported, listed)


def _prune(pipeline: Pipeline, run: Run[ArchiveReport], *, clean: bool) -> PruneReport:
    """Free the mailbox, unless this run had an error: what else is wrong is not known then."""
    # Slow to import, and most pipelines don't ask.
    from archipec.custody.pruning.report import PruneReport
    from archipec.custody.pruning.run import prune

    if not clean:
        return PruneReport(pipeline.name, carried_out=True, note=_("nothing deleted: this run had an error"))
    return prune(pipeline, Run(run.ledger, run.state, run.stop), carry_out=True)
