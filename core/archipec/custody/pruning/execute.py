"""Carries a plan out: the first message alone, then batch by batch, and at the end the mailbox is listed again.

Before each order its proof is fresh, the copies are looked at once more, and the source is asked whether the message
is still the one; the order is on record before the source is told, its outcome after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from archipec.config.pipeline import Pipeline
from archipec.contract import Context, Source, SupportsDelete
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.deletions import DeletionOutcome, Rescue
from archipec.custody.pruning.leftovers import Guard
from archipec.custody.pruning.proof import LIFE, Prover
from archipec.custody.pruning.recheck import Expected, recheck
from archipec.custody.pruning.report import PlanEntry, PruneReport
from archipec.custody.pruning.rescued import hold
from archipec.custody.pruning.rules import KeepReason
from archipec.custody.pruning.twins import first_ones
from archipec.custody.run import Backoff, Cancellation, now
from archipec.errors import AlreadyGone, ArchipecError, Interrupted, Refused, Scope, TransientError
from archipec.message import DeletionOrder, Listed
from archipec.plugins.boundary import plugin_boundary

__all__ = ["Executor"]

_BATCH: Final = 500
_BATCH_BYTES: Final = 64 << 20
_FRESH: Final = LIFE / 2
"""A proof older than this is made again before an order is built on it."""
_FIRST_TRIES: Final = 20
"""Messages tried one at a time until the first of them is deleted."""


class Executor:
    """Deletes what a report's rows say, in one run.

    Args:
        guard: checks the archives after the first deletion.

    Attributes:
        only_moves: what is deleted goes into the trash.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        state: Path,
        stop: Cancellation,
        observe: Callable[[PruneReport], None],
        prover: Prover,
        report: PruneReport,
        guard: Guard,
        context: Context,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._state = state
        self._stop = stop
        self._observe = observe
        self._prover = prover
        self._report = report
        self._guard = guard
        self._context = replace(context, marking=self._mark)
        self._source = ledger.sources.number(pipeline.source.where)
        self.only_moves = False
        self._numbers: dict[tuple[str, str], int] = {}

    def carry_out(self, before: Mapping[str, Sequence[Listed]]) -> None:
        """Delete the rows whose action is ``delete``.

        Args:
            before: what the folders held when the plan was made; a folder may be missing.

        Raises:
            ArchipecError: it ended early; the rows and the ledger say how far it came.
        """
        rows = self._report.actions("delete")
        if not rows:
            return
        try:
            self._first(rows)
            by_folder: defaultdict[str, list[PlanEntry]] = defaultdict(list)
            for row in rows:
                if row.action == "delete":
                    by_folder[row.listed.folder].append(row)
            for batch in _batches(by_folder.values()):
                self.go_on()
                self._delete(self._fresh(batch))
                self._observe(self._report)
        finally:
            touched = {row.listed.folder for row in rows if row.action in ("deleted", "moved", "gone")}
            self._confirm(
                rows, touched, {name: {one.ref for one in listing} for name, listing in before.items()}
            )

    def go_on(self) -> None:
        """Raise Interrupted when the person asked to stop."""
        if self._stop.is_set():
            raise Interrupted("stopped as asked", hint="what is deleted is on record; the rest is kept")

    # -- the first one ---------------------------------------------------------------------------------

    def _first(self, rows: Sequence[PlanEntry]) -> None:
        """Delete one message alone, its bytes held, and have every required archive show its copy after that.

        Others with the same bytes go with it, so that none of them passes for the copy.

        Raises:
            Refused: one can't: the messages are put back; or other messages went with them.
        """
        chosen, complete = first_ones(rows, self._report.rows, self._ledger, self._source, self._list)
        for group in chosen[:_FIRST_TRIES]:
            self.go_on()
            if len(self._fresh(group)) < len(group):
                continue
            # Others may have deleted since the plan: only what goes along with these tells of the server.
            folders = sorted({row.listed.folder for row in group})
            just_before = self._list(folders)
            rescues = self._delete_held(group, folders)
            self._observe(self._report)
            self._check_first(group, rescues, just_before)
            went = [row for row in group if row.action in ("deleted", "moved")]
            if went and (not complete or all(row.action in ("deleted", "moved", "gone") for row in group)):
                return
        if any(row.action == "delete" for row in rows):
            raise Refused(
                f"none of the first {_FIRST_TRIES} messages could be deleted",
                hint="`--json` has the reason for each",
            )

    def _delete_held(self, group: Sequence[PlanEntry], folders: Sequence[str]) -> list[Rescue]:
        """Delete messages with the same bytes, which are held, and return those that went."""
        rescues: list[Rescue] = []
        for number, folder in enumerate(folders):
            batch = [row for row in group if row.listed.folder == folder and row.action == "delete"]
            rescues += self._delete(batch, hold_as=number)
        went = {(row.listed.folder, row.listed.ref) for row in group if row.action in ("deleted", "moved")}
        return [rescue for rescue in rescues if (rescue.folder, rescue.ref) in went]

    def _check_first(
        self, group: Sequence[PlanEntry], rescues: Sequence[Rescue], before: Mapping[str, set[str]]
    ) -> None:
        if not rescues:
            return
        refusal = self._guard.settle(rescues)
        if refusal is not None:
            kept = {rescue.order for rescue in self._ledger.deletions.rescued(self._source)}
            orders = {(rescue.folder, rescue.ref): rescue.order for rescue in rescues}
            for row in group:
                order = orders.get((row.listed.folder, row.listed.ref))
                if order is not None:
                    row.keep(KeepReason.RESCUED if order in kept else KeepReason.PUT_BACK, refusal.message)
            raise refusal
        self._confirm(group, {row.listed.folder for row in group}, before)
        if self._report.vanished:
            raise Refused(
                "other messages went when one was deleted: this server deletes more than it is told to",
                hint="delete in the webmail",
            )

    # -- batches ---------------------------------------------------------------------------------------

    def _fresh(self, batch: Sequence[PlanEntry]) -> list[PlanEntry]:
        """Prove again what was proven too long ago, and look whether every copy is there still."""
        deadline = self._context.now() - _FRESH
        stale = [row for row in batch if row.proof and row.proof.at < deadline]
        self._prove(stale)
        waiting = [row for row in batch if row.action == "delete"]
        lost = self._prover.lost({row.candidate.held.content for row in waiting if row.candidate})
        self._prove([row for row in waiting if row.candidate and row.candidate.held.content in lost])
        return [row for row in batch if row.action == "delete"]

    def _prove(self, rows: Sequence[PlanEntry]) -> None:
        if not rows:
            return
        proofs = self._prover.prove(row.candidate.held for row in rows if row.candidate)
        for row in rows:
            assert row.candidate is not None
            row.proof = proofs[row.candidate.held.content]
            if row.proof.doubt is not None:
                row.keep(row.proof.doubt, row.proof.detail)

    def _delete(self, batch: Sequence[PlanEntry], *, hold_as: int | None = None) -> list[Rescue]:
        """Have the messages of one folder deleted, if they are still the ones.

        Args:
            hold_as: hold the bytes, which are the same of all, in a file of this number.

        Returns:
            what is held of messages that may be gone.
        """
        if not batch:
            return []
        folder = batch[0].listed.folder
        with plugin_boundary(self._pipeline.source.record), self._open() as source:
            expected = {
                row.listed.ref: Expected(row.key, row.proof.head, row.listed.size)
                for row in batch
                if row.key and row.proof
            }
            found = recheck(source, folder, expected)
            # A source that was asked to stop leaves unanswered what it still has.
            self.go_on()
            for row in batch:
                if row.listed.ref in found.unanswered:
                    row.gone()
                elif row.listed.ref not in found.same:
                    row.keep(KeepReason.CHANGED)
            # The message that is there now may be in no archive: the next run reads it.
            changed = [row.listed.ref for row in batch if row.kept is KeepReason.CHANGED]
            if changed:
                self._ledger.sources.forget_contents(self._source, folder, changed)
            rows = [row for row in batch if row.action == "delete"]
            file = self._hold(source, rows, hold_as) if hold_as is not None and rows else None
            orders = {row.listed.ref: (self._order(row), row) for row in rows if row.action == "delete"}
            return self._command(_deleting(source), orders, file)

    def _hold(self, source: Source, rows: Sequence[PlanEntry], number: int) -> str | None:
        """Hold the bytes of messages that are the same, as the source gives them now."""
        first = rows[0]
        assert first.key is not None
        detail = "the source did not give it"
        for fetched in source.fetch(first.listed.folder, iter([first.listed.ref])):
            if fetched.ref == first.listed.ref:
                file = hold(self._state, fetched.chunks, first.key, number)
                if file is not None:
                    return file
                detail = ""
        for row in rows:
            row.keep(
                KeepReason.CHANGED,
                detail if row is first else "another with the same bytes is not the one it was",
            )
        return None

    def _order(self, row: PlanEntry) -> DeletionOrder:
        """Build the order for a message: only from a good proof, and good for no longer."""
        proof = row.proof
        if row.key is None or proof is None or proof.doubt is not None or not proof.evidence:
            raise Refused(f"message {row.listed.ref} is not proven to be archived")
        return DeletionOrder(row.listed.folder, row.listed.ref, row.key, tuple(proof.evidence), proof.expires)

    def _command(
        self, source: SupportsDelete, orders: dict[str, tuple[DeletionOrder, PlanEntry]], file: str | None
    ) -> list[Rescue]:
        """Give the orders: on record before, their outcomes on record after, whatever happens in between."""
        if not orders:
            return []
        given = [(order, row.candidate.held.content) for order, row in orders.values() if row.candidate]
        made = self._ledger.deletions.order(self._pipeline.name, self._source, given, now())
        numbers = dict(zip(orders, made, strict=True))
        self._numbers = {(order.folder, order.ref): numbers[ref] for ref, (order, _) in orders.items()}
        rescues = [self._rescue(numbers[ref], row, file) for ref, (_, row) in orders.items()] if file else []
        outcomes = {ref: DeletionOutcome(number, "unknown", "no answer") for ref, number in numbers.items()}
        for _, row in orders.values():
            row.keep(KeepReason.UNCONFIRMED)
        wider: ArchipecError | None = None
        try:
            for order, error in source.delete([order for order, _ in orders.values()]):
                outcomes[order.ref] = self._outcome(numbers[order.ref], error)
                self._settle(orders[order.ref][1], error)
                if error is not None and error.scope > Scope.MESSAGE:
                    wider = error
        finally:
            self._ledger.deletions.record_outcomes(outcomes.values(), now())
            self._guard.let_go(one for one in rescues if outcomes[one.ref].state in ("refused", "gone"))
        if wider is not None:
            raise wider
        return rescues

    def _rescue(self, number: int, row: PlanEntry, file: str) -> Rescue:
        listed = row.listed
        received = None if listed.received is None else int(listed.received.timestamp())
        self._ledger.deletions.hold(number, file, listed.flags, received)
        return next(one for one in self._ledger.deletions.held_back(self._source) if one.order == number)

    def _mark(self, orders: Sequence[DeletionOrder]) -> None:
        self._ledger.deletions.mark(self._numbers[order.folder, order.ref] for order in orders)

    def _outcome(self, number: int, error: ArchipecError | None) -> DeletionOutcome:
        if error is None:
            return DeletionOutcome(number, "moved" if self.only_moves else "deleted")
        if isinstance(error, AlreadyGone):
            return DeletionOutcome(number, "gone", error.message)
        return DeletionOutcome(
            number, "unknown" if isinstance(error, TransientError) else "refused", error.message
        )

    def _settle(self, row: PlanEntry, error: ArchipecError | None) -> None:
        if error is None:
            row.action, row.kept, row.detail = "moved" if self.only_moves else "deleted", None, ""
        elif isinstance(error, AlreadyGone):
            row.gone()
        elif isinstance(error, TransientError):
            row.keep(KeepReason.UNCONFIRMED, error.message)
        else:
            row.keep(KeepReason.REFUSED, error.message)

    # -- the listing afterwards ------------------------------------------------------------------------

    def _confirm(self, rows: Iterable[PlanEntry], folders: set[str], before: Mapping[str, set[str]]) -> None:
        """List folders again: what is said to be deleted must not be there, and what was not ordered must be."""
        if not folders:
            return
        there = self._list(sorted(folders))
        for row in rows:
            if row.listed.folder in there and row.listed.ref in there[row.listed.folder]:
                self._still_there(row)
        mine = {(row.listed.folder, row.listed.ref) for row in self._report.rows if row.touched}
        for folder, refs in there.items():
            lost = before.get(folder, set()) - refs
            strangers = sum((folder, ref) not in mine for ref in lost)
            known = before.get(folder)
            ours = any(row.listed.folder == folder for row in self._report.actions("deleted", "moved"))
            if known and refs and lost == known and not ours:
                self._renumbered(folder)
            elif strangers:
                self._report.vanished[folder] = strangers

    def _renumbered(self, folder: str) -> None:
        """Of a folder with messages nothing has the name it had: what is called gone may be there by another."""
        for row in self._report.actions("gone"):
            if row.listed.folder == folder:
                row.keep(
                    KeepReason.REFUSED, "the folder is not the one it was: its messages are numbered anew"
                )

    def _still_there(self, row: PlanEntry) -> None:
        if row.action in ("deleted", "moved"):
            row.keep(KeepReason.REFUSED, "the server said that it is deleted, and lists it still")
        elif row.action == "gone":
            row.keep(KeepReason.CHANGED, "the server lists it, and did not show it")

    def _list(self, folders: Sequence[str]) -> dict[str, set[str]]:
        """Return the refs of folders as they are now; of one that can't be listed nothing is known."""
        retry = Backoff(self._stop, self._context.log)
        while True:
            try:
                with plugin_boundary(self._pipeline.source.record), self._open() as source:
                    return {
                        folder: {listed.ref for listed in source.scan(folder, None)} for folder in folders
                    }
            except TransientError as error:
                if retry.wait(error):
                    continue
                self._report.errors.append(error)
            except ArchipecError as error:
                self._report.errors.append(error)
            return {}

    def _open(self) -> Any:
        source = self._pipeline.source
        return source.record.open(source.config, self._context)


def _deleting(source: Source) -> SupportsDelete:
    if not isinstance(source, SupportsDelete):
        raise Refused("this source can't delete")
    return source


def _batches(folders: Iterable[Sequence[PlanEntry]]) -> Iterator[Sequence[PlanEntry]]:
    """Yield the rows of each folder, no more at a time than are read and deleted while their proofs are fresh."""
    for rows in folders:
        batch, size = list[PlanEntry](), 0
        for row in rows:
            if len(batch) >= _BATCH or (batch and size + row.size > _BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += row.size
        if batch:
            yield batch
