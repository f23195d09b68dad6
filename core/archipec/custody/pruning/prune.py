"""Deletes from a source what every required sink is proven to hold, and nothing else.

A run first makes the whole plan: the mailbox as it is now, the rules, every required copy read back. Anything wrong
with more than one message ends it there, with nothing deleted. Then, a batch at a time: the source is asked whether
the messages are still the ones, orders go on record, the source carries them out, the outcomes go on record. An order
ends with the proof that it rests on. Whatever is not known to be deleted is looked for in the next run's listing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from archipec.config import Endpoint, Pipeline
from archipec.contract import SinkType, Source, SupportsDelete
from archipec.custody.endpoints import Stop, make_context, now
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.deletions import Outcome
from archipec.custody.locks import hold_endpoint
from archipec.custody.pruning.mailbox import Mailbox, look
from archipec.custody.pruning.plan import Planner
from archipec.custody.pruning.proof import LIFE, Prover
from archipec.custody.pruning.recheck import Expected, recheck
from archipec.custody.pruning.report import PruneReport, Row
from archipec.custody.pruning.rules import Kept, required_sinks
from archipec.custody.sinks import claim_root
from archipec.custody.spool import spool_folder
from archipec.errors import ArchipecError, Interrupted, Refused, Scope, TransientError
from archipec.isolation import own_errors
from archipec.message import DeletionOrder

__all__ = ["prune"]

_BATCH: Final = 500
_BATCH_BYTES: Final = 64 << 20
_FRESH: Final = LIFE / 2
"""A proof older than this is made again before an order is built on it."""


def prune(
    pipeline: Pipeline,
    ledger: Ledger,
    state: Path,
    stop: Stop,
    observe: Callable[[PruneReport], None],
    *,
    carry_out: bool,
    limit: int | None = None,
    allow_large: bool = False,
) -> PruneReport:
    """Plan what of a pipeline's source may be deleted by its policy, and with ``carry_out`` delete it.

    Args:
        state: the folder of the ledger and its locks.
        stop: when it is set, nothing more is ordered.
        observe: called when something was proven or deleted.
        limit: messages deleted at most.
        allow_large: whatever share of a folder that is.

    Returns:
        the report. What went wrong is in it, never raised.
    """
    report = PruneReport(pipeline.name, carry_out)
    try:
        sinks = [(sink, ledger.sink(sink.where)) for sink in _sound(pipeline)]
        with ExitStack() as held:
            held.enter_context(hold_endpoint(state, pipeline.source.where))
            temp = held.enter_context(spool_folder(state, pipeline.source.where))
            for sink, number in sinks:
                claim_root(sink, number, ledger, state, held)
            prover = held.enter_context(Prover(sinks, ledger, temp, stop))
            run = _Run(pipeline, [number for _, number in sinks], ledger, temp, stop, observe, prover, report)
            run.execute(limit=limit, allow_large=allow_large)
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
        sinks: list[int],
        ledger: Ledger,
        temp: Path,
        stop: Stop,
        observe: Callable[[PruneReport], None],
        prover: Prover,
        report: PruneReport,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._stop = stop
        self._observe = observe
        self._prover = prover
        self._report = report
        self._planner = Planner(pipeline, sinks, ledger, prover, report, observe)
        self._context = make_context(pipeline.source.name, temp, stop)
        self._source = ledger.source(pipeline.source.where)
        self._only_moves = False

    def execute(self, *, limit: int | None, allow_large: bool) -> None:
        """Plan, guard, and delete if that was asked."""
        mailbox = look(self._pipeline, self._context, self._stop)
        self._only_moves = mailbox.only_moves
        self._close_open_orders(mailbox)
        self._report.quota = mailbox.quota
        policy = self._pipeline.prune
        if policy.has_rule:
            self._planner.plan(mailbox, limit)
            if not allow_large:
                self._planner.guard_share(mailbox)
            self._carry_out()
        if policy.trash:
            self._plan_trash(limit)
            self._carry_out()

    def _plan_trash(self, limit: int | None) -> None:
        if self._only_moves:
            raise Refused(
                "this server can't delete single messages, and so its trash can't be emptied safely",
                hint="empty it in the webmail: what was moved there is archived and proven",
            )
        with own_errors(self._pipeline.source.record), self._open() as source:
            self._planner.plan_trash(source, limit)
        self._go_on()

    def _close_open_orders(self, mailbox: Mailbox) -> None:
        """Tell by the listing what became of orders that a run left without an outcome."""
        there = {name: {listed.ref for listed in listing} for name, listing in mailbox.folders.items()}
        self._ledger.record_outcomes(
            [
                Outcome(number, "refused", "still there when the mailbox was listed again")
                if ref in there[folder]
                else Outcome(number, "deleted")
                for number, folder, ref in self._ledger.open_orders(self._source)
                if folder in there
            ],
            now(),
        )

    def _carry_out(self) -> None:
        if not self._report.carried_out:
            return
        by_folder: defaultdict[str, list[Row]] = defaultdict(list)
        for row in self._report.actions("delete"):
            by_folder[row.listed.folder].append(row)
        for batch in _batches(by_folder.values()):
            self._go_on()
            self._delete(self._fresh(batch))
            self._observe(self._report)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Interrupted("stopped as asked", hint="what is deleted is on record; the rest is kept")

    def _fresh(self, batch: Sequence[Row]) -> list[Row]:
        """Prove again what was proven too long ago."""
        deadline = self._context.now() - _FRESH
        stale = [row for row in batch if row.proof and row.proof.at < deadline]
        if stale:
            proofs = self._prover.prove(row.candidate.held for row in stale if row.candidate)
            for row in stale:
                assert row.candidate is not None
                row.proof = proofs[row.candidate.held.content]
                if row.proof.doubt is not None:
                    row.keep(row.proof.doubt, row.proof.detail)
        return [row for row in batch if row.action == "delete"]

    def _delete(self, batch: Sequence[Row]) -> None:
        """Have the messages of one folder deleted, if they are still the ones."""
        if not batch:
            return
        folder = batch[0].listed.folder
        with own_errors(self._pipeline.source.record), self._open() as source:
            expected = {
                row.listed.ref: Expected(row.key, row.proof.head, row.listed.size)
                for row in batch
                if row.key and row.proof
            }
            same = recheck(source, folder, expected)
            # A source that was asked to stop leaves unanswered what it still has.
            self._go_on()
            for row in batch:
                if row.listed.ref not in same:
                    row.keep(Kept.CHANGED)
            orders = {row.listed.ref: (self._order(row), row) for row in batch if row.action == "delete"}
            self._command(_deleting(source), orders)

    def _order(self, row: Row) -> DeletionOrder:
        """Build the order for a message: only from a good proof, and good for no longer."""
        proof = row.proof
        if row.key is None or proof is None or proof.doubt is not None or not proof.evidence:
            raise Refused(f"message {row.listed.ref} is not proven to be archived")
        return DeletionOrder(row.listed.folder, row.listed.ref, row.key, tuple(proof.evidence), proof.expires)

    def _command(self, source: SupportsDelete, orders: dict[str, tuple[DeletionOrder, Row]]) -> None:
        """Give the orders: on record before, their outcomes on record after, whatever happens in between."""
        if not orders:
            return
        numbers = dict(
            zip(
                orders,
                self._ledger.order(
                    self._pipeline.name,
                    self._source,
                    [(order, row.candidate.held.content) for order, row in orders.values() if row.candidate],
                    now(),
                ),
                strict=True,
            )
        )
        outcomes = {ref: Outcome(number, "unknown", "no answer") for ref, number in numbers.items()}
        for _, row in orders.values():
            row.keep(Kept.UNCONFIRMED)
        wider: ArchipecError | None = None
        try:
            for order, error in source.delete([order for order, _ in orders.values()]):
                outcomes[order.ref] = _outcome(numbers[order.ref], error)
                self._settle(orders[order.ref][1], error)
                if error is not None and error.scope > Scope.MESSAGE:
                    wider = error
        finally:
            self._ledger.record_outcomes(outcomes.values(), now())
        if wider is not None:
            raise wider

    def _settle(self, row: Row, error: ArchipecError | None) -> None:
        if error is None:
            row.action, row.kept, row.detail = "moved" if self._only_moves else "deleted", None, ""
        elif isinstance(error, TransientError):
            row.keep(Kept.UNCONFIRMED, error.message)
        else:
            row.keep(Kept.REFUSED, error.message)

    def _open(self) -> Any:
        source = self._pipeline.source
        return source.record.open(source.config, self._context)


def _outcome(number: int, error: ArchipecError | None) -> Outcome:
    if error is None:
        return Outcome(number, "deleted")
    return Outcome(number, "unknown" if isinstance(error, TransientError) else "refused", error.message)


def _deleting(source: Source) -> SupportsDelete:
    if not isinstance(source, SupportsDelete):
        raise Refused("this source can't delete")
    return source


def _batches(folders: Iterable[Sequence[Row]]) -> Iterator[Sequence[Row]]:
    """Yield the rows of each folder, no more at a time than are read and deleted while their proofs are fresh."""
    for rows in folders:
        batch, size = list[Row](), 0
        for row in rows:
            if len(batch) >= _BATCH or (batch and size + row.size > _BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += row.size
        if batch:
            yield batch
