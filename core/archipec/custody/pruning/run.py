"""Deletes from a source what every required sink is proven to hold, and nothing else.

A run first makes the whole plan: the mailbox as it is now, the rules, every required copy read back. Anything wrong
with more than one message ends it there, with nothing deleted. Then the plan is carried out (`execute`). An order ends
with the proof that it rests on. What is not known to be deleted, the next run looks for in its listing. What a run
that was killed left half-done is finished first (`leftovers`), also where only a plan was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.contract import SinkType
from archipec.custody.independence import same_store
from archipec.custody.ledger.deletions import DeletionOutcome, PlannedMessage
from archipec.custody.pruning.execute import Executor
from archipec.custody.pruning.leftovers import Guard, finish_interrupted
from archipec.custody.pruning.plan import Action, save_plan, shown_plan
from archipec.custody.pruning.planner import Planner
from archipec.custody.pruning.proof import Prover
from archipec.custody.pruning.report import PruneReport
from archipec.custody.pruning.rules import required_sinks
from archipec.custody.pruning.survey import MailboxSurvey, survey_mailbox
from archipec.custody.run import Run, now
from archipec.errors import ArchipecError, Refused
from archipec.language import _
from archipec.message import Listed

__all__ = ["prune"]


def prune(
    pipeline: Pipeline,
    run: Run[PruneReport],
    *,
    carry_out: bool,
    limit: int | None = None,
    allow_large: bool = False,
    plan: str = "",
) -> PruneReport:
    """Plan what of a pipeline's source may be deleted by its policy, and with ``carry_out`` delete it.

    Args:
        run: when it is cancelled, nothing more is ordered; observed when something was proven or deleted.
        limit: messages deleted at most.
        allow_large: whatever share of a folder that is.
        plan: the id of a plan that was shown: nothing but what is in it.

    Returns:
        the report. What went wrong is in it, never raised.
    """
    report = PruneReport(pipeline.name, carry_out)
    try:
        required = _sound(pipeline)
        with ExitStack() as held:
            held.enter_context(run.lock(pipeline.source))
            spooled = held.enter_context(run.spool(pipeline.source.where))
            sinks = [(sink, run.claim(sink, held)) for sink in required]
            guard = Guard(pipeline, sinks, spooled)
            finish_interrupted(guard)
            prover = held.enter_context(Prover(sinks, spooled))
            planner = Planner(pipeline, [number for _, number in sinks], spooled, prover, report)
            executor = Executor(pipeline, spooled, prover, report, guard)
            pruning = _Pruning(pipeline, spooled, planner, executor, report)
            pruning.execute(limit=limit, allow_large=allow_large, plan=plan)
    except ArchipecError as error:
        report.refuse(error)
    return report


def _sound(pipeline: Pipeline) -> list[Endpoint[SinkType[Any]]]:
    """Return the required sinks of a pipeline that may be pruned at all."""
    policy = pipeline.prune
    if not policy.has_rule and not policy.trash:
        raise Refused(
            _("no rule says what may be deleted"),
            hint=_(
                "give one: --older-than 1y, --free-to 70%, a period, kinds or folders; --older-than 0d "
                "takes all that is archived; in archipec.toml they stand in [pipeline.prune]"
            ),
        )
    sinks = required_sinks(pipeline)
    if not sinks:
        raise Refused(
            _("no sink is required, so that nothing would prove a deletion"),
            hint=_("remove required = false from one of them"),
        )
    return sinks


class _Pruning:
    def __init__(
        self,
        pipeline: Pipeline,
        run: Run[PruneReport],
        planner: Planner,
        executor: Executor,
        report: PruneReport,
    ) -> None:
        self._pipeline = pipeline
        self._run = run
        self._ledger = run.ledger
        self._planner = planner
        self._executor = executor
        self._report = report
        self._source = run.ledger.sources.number(pipeline.source.where)
        self._only_moves = False

    def execute(self, *, limit: int | None, allow_large: bool, plan: str) -> None:
        """Plan, guard, and delete if that was asked."""
        shown = shown_plan(plan, self._pipeline.name, self._source, self._ledger) if plan else None
        mailbox = survey_mailbox(self._pipeline, self._run)
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
            self._report.plan = save_plan(
                self._report.with_action(Action.DELETE), self._pipeline.name, self._source, self._ledger
            )

    def _refuse_same_store(self) -> None:
        reason = same_store(self._pipeline.source, required_sinks(self._pipeline), self._run)
        if reason:
            raise Refused(reason, hint=_("a copy in the mailbox itself is no copy: name another archive"))

    def _carry_out(self, before: Mapping[str, Sequence[Listed]]) -> None:
        if self._report.carried_out:
            self._executor.carry_out(before)

    def _plan_trash(self, limit: int | None, shown: frozenset[PlannedMessage] | None) -> None:
        if self._only_moves:
            raise Refused(
                _("this server can't delete single messages, and so its trash can't be emptied safely"),
                hint=_("empty it in the webmail: what was moved there is archived and proven"),
            )
        with self._run.open(self._pipeline.source) as source:
            self._planner.plan_trash(source, limit, shown)
        self._executor.go_on()

    def _close_open_orders(self, mailbox: MailboxSurvey) -> None:
        """Record, by the listing, what became of orders that a run left without an outcome."""
        there = {name: {listed.ref for listed in listing} for name, listing in mailbox.folders.items()}
        self._ledger.deletions.record_outcomes(
            [
                DeletionOutcome(number, "refused", _("still there when the mailbox was listed again"))
                if ref in there[folder]
                else DeletionOutcome(
                    number, "deleted", _("no longer there when the mailbox was listed again")
                )
                for number, folder, ref in self._ledger.deletions.open_orders(self._source)
                if folder in there
            ],
            now(),
        )
