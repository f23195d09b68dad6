"""Has what a run stores analyzed (`archipec.custody.analysis`): while more arrives, and what is left at the end.

Whatever that takes is imported and started when there is something to analyze: most runs find nothing new.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from archipec.config.pipeline import Pipeline
from archipec.custody.archiving.batches import Arrival
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.run import Run
from archipec.custody.spool import return_memory_now
from archipec.errors import ArchipecError

if TYPE_CHECKING:
    from archipec.custody.analysis.analyzer import Analysis
    from archipec.custody.analysis.pool import AnalysisPool
    from archipec.custody.analysis.shared import SharedPools

__all__ = ["Analyzing"]

_log = logging.getLogger("archipec.archive")


class Analyzing:
    """The analyses of a run; one thread uses it.

    Args:
        run: with its spool.
        further: analyses besides that of seals.
        pools: who makes them.
        held: ends what was begun with them.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        run: Run[ArchiveReport],
        report: ArchiveReport,
        further: Sequence[Analysis],
        pools: SharedPools,
        held: ExitStack,
    ) -> None:
        self._pipeline = pipeline
        self._run = run
        self._report = report
        self._further = further
        self._pools = pools
        self._held = held
        self._analyses: list[Analysis] = []
        self._pool: AnalysisPool | None = None

    def take(self, stored: Sequence[Arrival]) -> None:
        """Have messages analyzed that are durable in every sink now; what there is no room for waits for the end.

        A large one leaves its file to the worker.
        """
        if not self._pipeline.seals and not self._further:
            return
        # What the ledger knew before may have its answers.
        new = [one for one in stored if one.is_new and not one.reasons]
        if new:
            self._start().offer((one.number, one.spooled.give_away()) for one in new)

    def complete(self) -> None:
        """Have analyzed what the archives hold and has no answer yet; return when all is recorded.

        Where that can't be done, what was archived stays archived; the report has the error. It has none where seals lack
        nothing: what further analyses lack is for those to say who wanted them.
        """
        run = self._run
        sinks = [run.ledger.copies.sink_number(sink.where) for sink in self._pipeline.archives]
        if self._pool is None and not (self._lacks_seals(sinks) or self._lacks_more(sinks)):
            return
        from archipec.custody.analysis.stored import analyze_stored

        pool = self._start()
        pool.finish()
        # A worker more takes as much as the messages did that are done with by now.
        return_memory_now()
        errors: list[ArchipecError] = []
        try:
            analyze_stored(self._analyses, pool, self._pipeline.archives, run)
        except ArchipecError as error:
            errors.append(error)
        errors += pool.errors
        if self._lacks_seals(sinks):
            self._report.errors.extend(errors)
        else:
            for one in errors:
                _log.warning("%s", one)

    def _lacks_seals(self, sinks: Sequence[int]) -> bool:
        unjudged = self._run.ledger.verdicts.unjudged
        return self._pipeline.seals and any(unjudged(sink, 0, 1) for sink in sinks)

    def _lacks_more(self, sinks: Sequence[int]) -> bool:
        return any(one.lacking(sink, 0, 1) for one in self._further for sink in sinks)

    def _start(self) -> AnalysisPool:
        if self._pool is None:
            self._analyses = [*self._seals(), *self._further]
            self._pool = self._held.enter_context(self._pools.lent(self._analyses, self._run.stop))
        return self._pool

    def _seals(self) -> list[Analysis]:
        if not self._pipeline.seals:
            return []
        from archipec.custody.seals.judge import SealAnalysis

        def count(status: str) -> None:
            self._report.seals[status] += 1

        return [SealAnalysis(self._pipeline.trust, self._run.ledger, self._run.state, count)]
