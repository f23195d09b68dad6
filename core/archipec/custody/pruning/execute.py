"""Carries a plan out: the first message alone, then batch by batch, and at the end the mailbox is listed again.

Each batch goes through three steps: *check* (its proofs are fresh, its copies are looked at once more, and the source is
asked whether the messages are still the ones), *act* (the orders are recorded before the source is given them, their
outcomes after) and, once all are through, *confirm* (what is said to be deleted is no longer listed, and nothing else
is missing).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

from archipec.config.pipeline import Pipeline
from archipec.contract import Source, SupportsDelete
from archipec.custody.ledger.deletions import DeletionOutcome, Rescue
from archipec.custody.pruning.leftovers import Guard
from archipec.custody.pruning.plan import Action, PlanEntry
from archipec.custody.pruning.proof import LIFE, Prover
from archipec.custody.pruning.report import PruneReport
from archipec.custody.pruning.rescued import hold
from archipec.custody.pruning.rules import KeepReason
from archipec.custody.pruning.survey import Expected, recheck
from archipec.custody.pruning.twins import first_ones
from archipec.custody.run import Run, now
from archipec.errors import AlreadyGone, ArchipecError, Interrupted, Refused, Scope, TransientError
from archipec.language import _
from archipec.message import DeletionOrder, Listed
from archipec.sqlite_file import unix_seconds

__all__ = ["Executor"]

_BATCH: Final = 500
_BATCH_BYTES: Final = 64 << 20
_FRESH: Final = LIFE / 2
"""A proof older than this is made again before an order is built on it."""
_FIRST_TRIES: Final = 20
"""Messages tried one at a time until the first of them is deleted."""


class Executor:
    """Deletes what a report's entries say, in one run.

    Args:
        run: observed when something was deleted.
        guard: checks the archives after the first deletion.

    Attributes:
        only_moves: what is deleted goes into the trash.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        run: Run[PruneReport],
        prover: Prover,
        report: PruneReport,
        guard: Guard,
    ) -> None:
        self._pipeline = pipeline
        self._run = run
        self._ledger = run.ledger
        self._prover = prover
        self._report = report
        self._guard = guard
        self._source = run.ledger.sources.number(pipeline.source.where)
        self.only_moves = False
        self._numbers: dict[tuple[str, str], int] = {}

    def carry_out(self, before: Mapping[str, Sequence[Listed]]) -> None:
        """Delete the entries whose action is DELETE.

        Args:
            before: what the folders held when the plan was made; a folder may be missing.

        Raises:
            ArchipecError: it ended early; the entries and the ledger say how far it came.
        """
        entries = self._report.with_action(Action.DELETE)
        if not entries:
            return
        try:
            self._first(entries)
            by_folder: defaultdict[str, list[PlanEntry]] = defaultdict(list)
            for entry in entries:
                if entry.action is Action.DELETE:
                    by_folder[entry.listed.folder].append(entry)
            for batch in _batches(by_folder.values()):
                self.go_on()
                self._delete(self._fresh(batch))
                self._run.observe(self._report)
        finally:
            done = (Action.DELETED, Action.MOVED, Action.GONE)
            touched = {entry.listed.folder for entry in entries if entry.action in done}
            self._confirm(
                entries, touched, {name: {one.ref for one in listing} for name, listing in before.items()}
            )

    def go_on(self) -> None:
        """Raise Interrupted when the user asked to stop."""
        if self._run.stop.is_set():
            raise Interrupted(_("stopped as asked"), hint=_("what is deleted is recorded; the rest is kept"))

    # -- the first one ---------------------------------------------------------------------------------

    def _first(self, entries: Sequence[PlanEntry]) -> None:
        """Delete one message alone, its bytes held, and have every required archive give its copy after that.

        Others with the same bytes go with it, so that none of them passes for the copy.

        Raises:
            Refused: one can't: the messages are put back; or other messages went with them.
        """
        chosen, complete = first_ones(entries, self._report.entries, self._ledger, self._source, self._list)
        for group in chosen[:_FIRST_TRIES]:
            self.go_on()
            if len(self._fresh(group)) < len(group):
                continue
            # Others may have deleted since the plan: only what goes along with these tells of the server.
            folders = sorted({entry.listed.folder for entry in group})
            just_before = self._list(folders)
            rescues = self._delete_held(group, folders)
            self._run.observe(self._report)
            self._check_first(group, rescues, just_before)
            deleted = [entry.action in (Action.DELETED, Action.MOVED) for entry in group]
            none_left = all(entry.action in (Action.DELETED, Action.MOVED, Action.GONE) for entry in group)
            if any(deleted) and (not complete or none_left):
                return
        if any(entry.action is Action.DELETE for entry in entries):
            raise Refused(
                _("none of the first {number} messages could be deleted").format(number=_FIRST_TRIES),
                hint=_("`--json` has the reason for each"),
            )

    def _delete_held(self, group: Sequence[PlanEntry], folders: Sequence[str]) -> list[Rescue]:
        """Delete messages with the same bytes, which are held, and return those that went."""
        rescues: list[Rescue] = []
        for number, folder in enumerate(folders):
            batch = [
                entry for entry in group if entry.listed.folder == folder and entry.action is Action.DELETE
            ]
            rescues += self._delete(batch, hold_as=number)
        went = {
            (entry.listed.folder, entry.listed.ref)
            for entry in group
            if entry.action in (Action.DELETED, Action.MOVED)
        }
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
            for entry in group:
                order = orders.get((entry.listed.folder, entry.listed.ref))
                if order is not None:
                    entry.restored(refusal.message, into_mailbox=order not in kept)
            raise refusal
        self._confirm(group, {entry.listed.folder for entry in group}, before)
        if self._report.vanished:
            raise Refused(
                _("other messages went when one was deleted: this server deletes more than it is asked to"),
                hint=_("delete in the webmail"),
            )

    # -- batches ---------------------------------------------------------------------------------------

    def _delete(self, batch: Sequence[PlanEntry], *, hold_as: int | None = None) -> list[Rescue]:
        """Have the messages of one folder deleted, if they are still the ones.

        Args:
            hold_as: hold the bytes, which are the same of all, in a file of this number.

        Returns:
            what is held of messages that may be gone.
        """
        if not batch:
            return []
        with self._open() as source:
            self._check(source, batch)
            file = None
            if hold_as is not None:
                file = self._hold(source, _to_delete(batch), hold_as)
            return self._act(source, _to_delete(batch), file)

    # -- check -----------------------------------------------------------------------------------------

    def _fresh(self, batch: Sequence[PlanEntry]) -> list[PlanEntry]:
        """Prove again what was proven too long ago, and look whether every copy is there still."""
        deadline = self._run.context(self._pipeline.source).now() - _FRESH
        self._prove([entry for entry in batch if entry.proof and entry.proof.at < deadline])
        waiting = _to_delete(batch)
        lost = self._prover.lost({one.candidate.held.content for one in waiting if one.candidate})
        self._prove([one for one in waiting if one.candidate and one.candidate.held.content in lost])
        return _to_delete(batch)

    def _prove(self, entries: Sequence[PlanEntry]) -> None:
        if not entries:
            return
        proofs = self._prover.prove(entry.candidate.held for entry in entries if entry.candidate)
        for entry in entries:
            assert entry.candidate is not None
            entry.prove(proofs[entry.candidate.held.content])

    def _check(self, source: Source, batch: Sequence[PlanEntry]) -> None:
        """Ask the source whether the messages of one folder are still those that are archived; keep the others."""
        folder = batch[0].listed.folder
        expected = {
            entry.listed.ref: Expected(entry.key, entry.proof.head, entry.listed.size)
            for entry in batch
            if entry.key and entry.proof
        }
        found = recheck(source, folder, expected)
        # A source that was asked to stop leaves unanswered what it still has.
        self.go_on()
        for entry in batch:
            if entry.listed.ref in found.unanswered:
                entry.gone()
            elif entry.listed.ref not in found.same:
                entry.keep(KeepReason.CHANGED)
        # The message that is there now may be in no archive: the next run reads it.
        changed = [entry.listed.ref for entry in batch if entry.kept is KeepReason.CHANGED]
        if changed:
            self._ledger.sources.forget_contents(self._source, folder, changed)

    def _hold(self, source: Source, entries: Sequence[PlanEntry], number: int) -> str | None:
        """Hold the bytes of messages that are the same, as the source gives them now; keep them where they differ."""
        if not entries:
            return None
        first = entries[0]
        assert first.key is not None
        detail = _("the source did not give it")
        for fetched in source.fetch(first.listed.folder, iter([first.listed.ref])):
            if fetched.ref == first.listed.ref:
                file = hold(self._run.state, fetched.chunks, first.key, number)
                if file is not None:
                    return file
                detail = ""
        for entry in entries:
            entry.keep(
                KeepReason.CHANGED,
                detail if entry is first else _("another with the same bytes is not the one it was"),
            )
        return None

    # -- act -------------------------------------------------------------------------------------------

    def _act(self, source: Source, entries: Sequence[PlanEntry], file: str | None) -> list[Rescue]:
        """Give the orders: recorded before, their outcomes recorded after, whatever happens in between.

        Args:
            file: what their bytes are held in.
        """
        if not isinstance(source, SupportsDelete):
            raise Refused(_("this source can't delete"))
        orders = {entry.listed.ref: (self._order(entry), entry) for entry in entries}
        if not orders:
            return []
        given = [(order, entry.candidate.held.content) for order, entry in orders.values() if entry.candidate]
        rule = str(self._pipeline.prune)
        made = self._ledger.deletions.order(self._pipeline.name, self._source, given, now(), rule)
        numbers = dict(zip(orders, made, strict=True))
        self._numbers = {(order.folder, order.ref): numbers[ref] for ref, (order, _ignored) in orders.items()}
        rescues = (
            [self._rescue(numbers[ref], one, file) for ref, (_ignored, one) in orders.items()] if file else []
        )
        outcomes = {
            ref: DeletionOutcome(number, "unknown", _("no answer")) for ref, number in numbers.items()
        }
        for _ignored, entry in orders.values():
            entry.ordered()
        wider: ArchipecError | None = None
        try:
            for order, error in source.delete([order for order, _ignored in orders.values()]):
                outcomes[order.ref] = self._outcome(numbers[order.ref], error)
                self._take_answer(orders[order.ref][1], error)
                if error is not None and error.scope > Scope.MESSAGE:
                    wider = error
        finally:
            self._ledger.deletions.record_outcomes(outcomes.values(), now())
            self._guard.let_go(one for one in rescues if outcomes[one.ref].state in ("refused", "gone"))
        if wider is not None:
            raise wider
        return rescues

    def _order(self, entry: PlanEntry) -> DeletionOrder:
        """Build the order for a message: only from a good proof, and good for no longer."""
        proof = entry.proof
        if entry.key is None or proof is None or proof.doubt is not None or not proof.evidence:
            raise Refused(_("message {ref} is not proven to be archived").format(ref=entry.listed.ref))
        return DeletionOrder(
            entry.listed.folder, entry.listed.ref, entry.key, tuple(proof.evidence), proof.expires
        )

    def _rescue(self, number: int, entry: PlanEntry, file: str) -> Rescue:
        listed = entry.listed
        received = unix_seconds(listed.received)
        self._ledger.deletions.hold(number, file, listed.flags, received)
        return next(one for one in self._ledger.deletions.held_back(self._source) if one.order == number)

    def _mark(self, orders: Sequence[DeletionOrder]) -> None:
        self._ledger.deletions.mark(self._numbers[order.folder, order.ref] for order in orders)

    def _outcome(self, number: int, error: ArchipecError | None) -> DeletionOutcome:
        if error is None:
            return DeletionOutcome(number, "moved" if self.only_moves else "deleted")
        if isinstance(error, AlreadyGone):
            return DeletionOutcome(number, "gone", error.message)
        state = "unknown" if isinstance(error, TransientError) else "refused"
        return DeletionOutcome(number, state, error.message)

    def _take_answer(self, entry: PlanEntry, error: ArchipecError | None) -> None:
        if error is None:
            entry.deleted(only_moved=self.only_moves)
        elif isinstance(error, AlreadyGone):
            entry.gone()
        elif isinstance(error, TransientError):
            entry.ordered(error.message)
        else:
            entry.keep(KeepReason.REFUSED, error.message)

    # -- confirm ---------------------------------------------------------------------------------------

    def _confirm(
        self, entries: Iterable[PlanEntry], folders: set[str], before: Mapping[str, set[str]]
    ) -> None:
        """List folders again: what is said to be deleted must not be there, and what was not ordered must be."""
        if not folders:
            return
        there = self._list(sorted(folders))
        for entry in entries:
            if entry.listed.folder in there and entry.listed.ref in there[entry.listed.folder]:
                entry.listed_again()
        ordered = {(one.listed.folder, one.listed.ref) for one in self._report.entries if one.touched}
        deleted = self._report.with_action(Action.DELETED, Action.MOVED)
        for folder, refs in there.items():
            lost = before.get(folder, set()) - refs
            others = sum((folder, ref) not in ordered for ref in lost)
            known = before.get(folder)
            ours = any(entry.listed.folder == folder for entry in deleted)
            if known and refs and lost == known and not ours:
                self._renumbered(folder)
            elif others:
                self._report.vanished[folder] = others

    def _renumbered(self, folder: str) -> None:
        """Of a folder with messages nothing has the name it had: what is called gone may be there by another."""
        for entry in self._report.with_action(Action.GONE):
            if entry.listed.folder == folder:
                entry.keep(
                    KeepReason.REFUSED, _("the folder is not the one it was: its messages are numbered anew")
                )

    def _list(self, folders: Sequence[str]) -> dict[str, set[str]]:
        """Return the refs of folders as they are now; of one that can't be listed nothing is known."""
        backoff = self._run.backoff(self._pipeline.source)
        while True:
            try:
                with self._open() as source:
                    return {
                        folder: {listed.ref for listed in source.scan(folder, None)} for folder in folders
                    }
            except TransientError as error:
                if backoff.wait(error):
                    continue
                self._report.errors.append(error)
            except ArchipecError as error:
                self._report.errors.append(error)
            return {}

    def _open(self) -> AbstractContextManager[Source]:
        return self._run.open(self._pipeline.source, marking=self._mark)


def _to_delete(entries: Iterable[PlanEntry]) -> list[PlanEntry]:
    return [entry for entry in entries if entry.action is Action.DELETE]


def _batches(folders: Iterable[Sequence[PlanEntry]]) -> Iterator[Sequence[PlanEntry]]:
    """Yield the entries of each folder, no more at a time than are read and deleted while their proofs are fresh."""
    for entries in folders:
        batch, size = list[PlanEntry](), 0
        for entry in entries:
            if len(batch) >= _BATCH or (batch and size + entry.size > _BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(entry)
            size += entry.size
        if batch:
            yield batch
