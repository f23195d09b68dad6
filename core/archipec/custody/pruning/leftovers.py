"""Finishes what a run that was killed left half-done at a source: marks of ours, and a message deleted first and alone."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any

from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.contract import SinkType, Source, SupportsUnmark
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.deletions import DeletionOutcome, Rescue
from archipec.custody.pruning.proof import Proof, Prover
from archipec.custody.pruning.rescued import path_of, put_back, release
from archipec.custody.run import Run, now
from archipec.errors import ArchipecError, Refused, Scope, TransientError
from archipec.language import _, ngettext

__all__ = ["Guard", "finish_interrupted"]

_log = logging.getLogger("archipec.prune")


class Guard:
    """Lets a held message go once every required archive gives its copy back, or has it put back where it was.

    Args:
        sinks: the required ones with the ledger's numbers; the caller holds their locks.
    """

    def __init__(
        self, pipeline: Pipeline, sinks: Sequence[tuple[Endpoint[SinkType[Any]], int]], run: Run[Any]
    ) -> None:
        self.pipeline = pipeline
        self._sinks = sinks
        self.run = run
        self._ledger = run.ledger
        self._state = run.state

    def open_source(self) -> AbstractContextManager[Source]:
        """Open the source of the pipeline."""
        return self.run.open(self.pipeline.source)

    def doubt(self, content: int) -> str:
        """Open every required archive anew and have it give a copy back; return why one didn't, else an empty string.

        Raises:
            Interrupted: the user asked to stop.
        """
        try:
            with Prover(self._sinks, self.run) as prover:
                proof: Proof = prover.prove_contents({content})[content]
        except ArchipecError as error:
            if error.scope is Scope.RUN:
                raise
            return error.message
        if proof.doubt is None:
            return ""
        return proof.detail or proof.doubt.text

    def settle(self, rescues: Sequence[Rescue]) -> Refused | None:
        """Check the archives after messages with the same bytes were deleted.

        Args:
            rescues: one or more, of one content.

        Returns:
            None when each archive has it; else why no more may be deleted, and where the messages are now.
        """
        doubt = self.doubt(rescues[0].content)
        if not doubt:
            self.let_go(rescues)
            return None
        done = list(dict.fromkeys(self._return(rescue) for rescue in rescues))
        which = _(" and ").join(
            _("{ref} of folder {folder}").format(ref=rescue.ref, folder=repr(rescue.folder))
            for rescue in rescues
        )
        return Refused(
            ngettext(
                "after message {which} was deleted, an archive could not give its copy back ({doubt}): archive and mailbox"
                " are the same store, or the archive is damaged; {done}",
                "after messages {which} were deleted, an archive could not give its copy back ({doubt}): archive and mailbox"
                " are the same store, or the archive is damaged; {done}",
                len(rescues),
            ).format(which=which, doubt=doubt, done="; ".join(done)),
            hint=_(
                "let an archive be kept somewhere else than in the mailbox, run `archipec verify`, and "
                "try again"
            ),
        )

    def let_go(self, rescues: Iterable[Rescue]) -> None:
        """Hold these no longer; a file goes with the last of those that are held in it."""
        for rescue in rescues:
            self._ledger.deletions.let_go(rescue.order)
            if not self._ledger.deletions.is_held_in(rescue.file):
                release(self._state, rescue.file)

    def _return(self, rescue: Rescue) -> str:
        """Put a message back; say where it is now."""
        backoff = self.run.backoff(self.pipeline.source)
        while True:
            try:
                with self.open_source() as source:
                    put_back(source, rescue, self._state)
            except TransientError as error:
                if backoff.wait(error):
                    continue
                return self._keep(rescue, error)
            except ArchipecError as error:
                return self._keep(rescue, error)
            self._ledger.deletions.record_outcomes(
                [DeletionOutcome(rescue.order, "refused", _("put back: an archive could not show its copy"))],
                now(),
            )
            self.let_go([rescue])
            return _("it was put back into the folder")

    def _keep(self, rescue: Rescue, error: ArchipecError) -> str:
        self._ledger.deletions.keep_rescued(rescue.order)
        return _("it could not be put back ({reason}), and its bytes are in {path}").format(
            reason=error.message, path=path_of(self._state, rescue.file)
        )


def finish_interrupted(guard: Guard, *, with_archives: Callable[[], bool] = lambda: True) -> None:
    """Take back the marks of ours that the ledger has, and check what was deleted alone and not checked.

    Args:
        with_archives: returns whether the required archives can be asked now.

    Raises:
        Refused: an archive could not give back what was deleted alone.
        ArchipecError: the source can't be asked; the next run tries again.
    """
    ledger = guard.run.ledger
    source = ledger.sources.number(guard.pipeline.source.where)
    if not ledger.deletions.unfinished_deletions(source):
        return
    with guard.open_source() as opened:
        _take_back_marks(opened, ledger, source)
    refusal: Refused | None = None
    lost: defaultdict[int, list[Rescue]] = defaultdict(list)
    for rescue in ledger.deletions.held_back(source) if with_archives() else ():
        with guard.open_source() as opened:
            still_there = _lists(opened, rescue)
        if still_there:
            guard.let_go([rescue])
        else:
            lost[rescue.content].append(rescue)
    for rescues in lost.values():
        refusal = guard.settle(rescues) or refusal
    if refusal is not None:
        raise refusal


def _take_back_marks(source: Source, ledger: Ledger, number: int) -> None:
    marks = ledger.deletions.marks(number)
    if not marks:
        return
    if not isinstance(source, SupportsUnmark):
        raise Refused(
            _("an earlier run marked messages for deletion, and this source can't take the marks back")
        )
    for folder, group in groupby(marks, key=lambda mark: mark[1]):
        marked = list(group)
        source.unmark(folder, [mark[2] for mark in marked])
        ledger.deletions.unmark(mark[0] for mark in marked)
        _log.warning(
            _('took back %d marks for deletion in folder "%s": an earlier run ended before it deleted'),
            len(marked),
            folder,
        )


def _lists(source: Source, rescue: Rescue) -> bool:
    try:
        return any(listed.ref == rescue.ref for listed in source.scan(rescue.folder, None))
    except ArchipecError as error:
        if error.scope > Scope.FOLDER or isinstance(error, TransientError):
            raise
        return False  # the folder itself is gone
