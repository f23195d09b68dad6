"""Deletes from a source what every required sink is proven to hold, and nothing else.

A run first makes the whole plan: the mailbox as it is now, the rules, every required copy read back. Anything wrong
with more than one message ends it there, with nothing deleted. Then the plan is carried out (`execute`). An order ends
with the proof that it rests on. Whatever is not known to be deleted is looked for in the next run's listing. What a run
that was killed left half-done is finished first (`leftovers`), also where only a plan was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.contract import Context, SinkType
from archipec.custody.independence import same_store
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.deletions import DeletionOutcome, PlannedMessage
from archipec.custody.locks import hold_endpoint
from archipec.custody.pruning.execute import Executor
from archipec.custody.pruning.leftovers import Guard, finish_interrupted
from archipec.custody.pruning.plan import Planner
from archipec.custody.pruning.plans import planned, save
from archipec.custody.pruning.proof import Prover
from archipec.custody.pruning.report import PruneReport
from archipec.custody.pruning.rules import required_sinks
from archipec.custody.pruning.survey import MailboxSurvey, survey_mailbox
from archipec.custody.run import Cancellation, claim_root, make_context, now
from archipec.custody.spool import spool_folder
from archipec.errors import ArchipecError, Refused
from archipec.message import Listed
from archipec.plugins.boundary import plugin_boundary

__all__ = ["prune"]


def prune(
    pipeline: Pipeline,
    ledger: Ledger,
    state: Path,
    stop: Cancellation,
    observe: Callable[[PruneReport], None],
    *,
    carry_out: bool,
    limit: int | None = None,
    allow_large: bool = False,
    plan: str = "",
) -> PruneReport:
    """Plan what of a pipeline's source may be deleted by its policy, and with ``carry_out`` delete it.

    Args:
        state: the folder of the ledger and its locks.
        stop: when it is set, nothing more is ordered.
        observe: called when something was proven or deleted.
        limit: messages deleted at most.
        allow_large: whatever share of a folder that is.
        plan: the id of a plan that was shown: nothing but what is in it.

    Returns:
        the report. What went wrong is in it, never raised.
    """
    report = PruneReport(pipeline.name, carry_out)
    try:
        sinks = [(sink, ledger.copies.sink_number(sink.where)) for sink in _sound(pipeline)]
        with ExitStack() as held:
            held.enter_context(hold_endpoint(state, pipeline.source.where))
            temp = held.enter_context(spool_folder(state, pipeline.source.where))
            for sink, number in sinks:
                claim_root(sink, number, ledger, state, held)
            context = make_context(pipeline.source.name, temp, stop)
            guard = Guard(pipeline, sinks, ledger, state, context, stop)
            finish_interrupted(pipeline, ledger.sources.number(pipeline.source.where), ledger, guard)
            prover = held.enter_context(Prover(sinks, ledger, temp, stop))
            planner = Planner(pipeline, [number for _, number in sinks], ledger, prover, report, observe)
            executor = Executor(pipeline, ledger, state, stop, observe, prover, report, guard, context)
            run = _Run(
                pipeline, [sink for sink, _ in sinks], ledger, planner, executor, context, stop, report
            )
            run.execute(limit=limit, allow_large=allow_large, plan=plan)
    except ArchipecError as error:
        report.refuse(error)
    return report


def _sound(pipeline: Pipeline) -> list[Endpoint[SinkType[Any]]]:
    """Return the required sinks of a pipeline that may be pruned at all."""
    policy = pipeline.prune
    if not policy.has_rule and not policy.trash:
        raise Refused(
            "no rule says what may be deleted",
            hint="give one: --older-than 1y, --free-to 70%, a period, kinds or folders; --older-than 0d takes all"
            " that is archived; in archipec.toml they stand in [pipeline.prune]",
        )
    sinks = required_sinks(pipeline)
    if not sinks:
        raise Refused(
            "no sink is required, so that nothing would prove a deletion",
            hint="remove required = false from one of them",
        )
    return sinks


class _Run:
    def __init__(
        self,
        pipeline: Pipeline,
        sinks: Sequence[Endpoint[SinkType[Any]]],
        ledger: Ledger,
        planner: Planner,
        executor: Executor,
        context: Context,
        stop: Cancellation,
        report: PruneReport,
    ) -> None:
        self._pipeline = pipeline
        self._sinks = sinks
        self._ledger = ledger
        self._planner = planner
        self._executor = executor
        self._context = context
        self._stop = stop
        self._report = report
        self._source = ledger.sources.number(pipeline.source.where)
        self._only_moves = False

    def execute(self, *, limit: int | None, allow_large: bool, plan: str) -> None:
        """Plan, guard, and delete if that was asked."""
        shown = planned(plan, self._pipeline.name, self._source, self._ledger) if plan else None
        mailbox = survey_mailbox(self._pipeline, self._context, self._stop)
        self._only_moves = self._executor.only_moves = mailbox.only_moves
        self._close_open_orders(mailbox)
        self._report.quota = mailbox.quota
        policy = self._pipeline.prune
        if policy.has_rule:
            self._planner.plan(mailbox, limit, shown)
            self._refuse_same_store()
            if not allow_large:
                self._planner.guard_share(mailbox)
            self._carry_out(mailbox.folders)
        if policy.trash:
            self._plan_trash(limit, shown)
            if not policy.has_rule:
                self._refuse_same_store()
            self._carry_out({})
        if not self._report.carried_out:
            self._report.plan = save(
                self._report.actions("delete"), self._pipeline.name, self._source, self._ledger
            )

    def _refuse_same_store(self) -> None:
        reason = same_store(self._pipeline.source, self._sinks, self._ledger, self._context, self._stop)
        if reason:
            raise Refused(reason, hint="a copy in the mailbox itself is no copy: name another archive")

    def _carry_out(self, before: Mapping[str, Sequence[Listed]]) -> None:
        if self._report.carried_out:
            self._executor.carry_out(before)

    def _plan_trash(self, limit: int | None, shown: frozenset[PlannedMessage] | None) -> None:
        if self._only_moves:
            raise Refused(
                "this server can't delete single messages, and so its trash can't be emptied safely",
                hint="empty it in the webmail: what was moved there is archived and proven",
            )
        source = self._pipeline.source
        with plugin_boundary(source.record), source.record.open(source.config, self._context) as opened:
            self._planner.plan_trash(opened, limit, shown)
        self._executor.go_on()

    def _close_open_orders(self, mailbox: MailboxSurvey) -> None:
        """Tell by the listing what became of orders that a run left without an outcome."""
        there = {name: {listed.ref for listed in listing} for name, listing in mailbox.folders.items()}
        self._ledger.deletions.record_outcomes(
            [
                DeletionOutcome(number, "refused", "still there when the mailbox was listed again")
                if ref in there[folder]
                else DeletionOutcome(number, "deleted", "no longer there when the mailbox was listed again")
                for number, folder, ref in self._ledger.deletions.open_orders(self._source)
                if folder in there
            ],
            now(),
        )
