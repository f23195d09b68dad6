"""Proves that messages are kept: every required copy is read back, now, and is what it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from archipec.config.endpoint import Endpoint
from archipec.contract import Context, Sink, SinkType, SupportsCheck, SupportsPresence
from archipec.custody.ledger import Copy, Ledger
from archipec.custody.ledger.deletions import ArchivedMessage
from archipec.custody.pruning.rules import KeepReason
from archipec.custody.readback import MISSING, OK, Medium, ReadBack, Stamp, read_back, stamp_of
from archipec.custody.run import Run, open_endpoint
from archipec.errors import ArchipecError, IntegrityError, Interrupted, MissingCopy, UnfitRecord, Unsupported
from archipec.language import _
from archipec.plugins.boundary import plugin_boundary

__all__ = ["LIFE", "Proof", "Prover", "head_digest"]

LIFE: Final = timedelta(minutes=10)
"""How long a proof holds: an order to delete ends with the proof it rests on."""


def head_digest(head: bytes) -> bytes:
    """Return the digest of a header section, whether or not the blank line behind it is there."""
    return hashlib.sha256(head.rstrip(b"\r\n")).digest()


@dataclass(slots=True)
class Proof:
    """What reading a message's required copies showed.

    Attributes:
        at: when the first of them was read; aware.
        evidence: a line for each sink whose copy counts.
        doubt: why it does not prove anything, with ``detail``; None for a good one.
        head: digest of the header section (`head_digest`).
        stamps: of the file that each sink's copy is in, by the ledger's number of the sink; None for one in no file.
    """

    at: datetime
    evidence: list[str] = field(default_factory=list)
    doubt: KeepReason | None = None
    detail: str = ""
    head: bytes = b""
    stamps: dict[int, Stamp | None] = field(default_factory=dict)

    @property
    def expires(self) -> datetime:
        """When it is proof no longer."""
        return self.at + LIFE


class Prover:
    """The required sinks of a pipeline, each opened when first needed. The caller holds their locks.

    Args:
        sinks: with the ledger's numbers of them.
    """

    def __init__(self, sinks: Sequence[tuple[Endpoint[SinkType[Any]], int]], run: Run[Any]) -> None:
        self._sinks = sinks
        self._run = run
        self._ledger = run.ledger
        self._held = ExitStack()
        self._opened: dict[int, Sink] = {}
        self._proofs: dict[int, Proof] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def prove(self, messages: Iterable[ArchivedMessage]) -> dict[int, Proof]:
        """Read back every required copy of these messages and record what was found.

        Returns:
            the proof, or the doubt, by content.

        Raises:
            ArchipecError: a sink can't answer now; nothing is proven then.
        """
        return self.prove_contents({one.content for one in messages})

    def prove_contents(self, contents: set[int]) -> dict[int, Proof]:
        """Do what `prove` does, by the ledger's numbers of contents."""
        proofs: dict[int, Proof] = {}
        # What was dropped from the cache for an earlier proof may be in it again.
        medium = Medium()
        for sink, number in self._sinks:
            with plugin_boundary(sink.record):
                self._read_all(sink, number, contents, proofs, medium)
        for content in contents:
            proof = proofs[content]
            if proof.doubt is None and not proof.head:
                proof.doubt = KeepReason.UNREADABLE
                proof.detail = _("a confirmation alone is no proof: at least one copy must be read back")
        self._proofs |= proofs
        return proofs

    def lost(self, contents: set[int]) -> set[int]:
        """Return which of these, proven before, have a copy that is not the file it was, or is no longer there.

        Cheap: contents are not read. A copy that can't be checked without reading it counts as lost.

        Raises:
            ArchipecError: a sink can't answer now.
        """
        gone: set[int] = set()
        for sink, number in self._sinks:
            with plugin_boundary(sink.record):
                gone |= self._lost_in(self._open(sink, number), number, contents)
        return gone

    def _lost_in(self, sink: Sink, number: int, contents: set[int]) -> set[int]:
        copies = self._ledger.copies.stored_copies(number, contents)
        gone = contents - {copy.content for copy in copies}
        if isinstance(sink, SupportsPresence):
            by_key = {copy.receipt.key: copy.content for copy in copies}
            there = {receipt.key for receipt in sink.present([copy.receipt for copy in copies])}
            return gone | {content for key, content in by_key.items() if key not in there}
        return gone | {copy.content for copy in copies if self._is_another(sink, number, copy)}

    def _is_another(self, sink: Sink, number: int, copy: Copy) -> bool:
        known = self._proofs.get(copy.content)
        if known is None or known.doubt is not None:
            return True
        if number not in known.stamps:
            return False  # confirmed, and can't be read back
        try:
            with sink.read(copy.receipt) as stream:
                found = stamp_of(stream)
        except IntegrityError:
            return True
        return found is None or found[1] != known.stamps[number]

    def _read_all(
        self,
        sink: Endpoint[SinkType[Any]],
        number: int,
        contents: set[int],
        proofs: dict[int, Proof],
        medium: Medium,
    ) -> None:
        context = self._run.context(sink)
        opened = self._open(sink, number)
        verdicts = []
        copies = self._ledger.copies.stored_copies(number, contents)
        try:
            for copy in copies:
                if context.cancelled():
                    raise Interrupted(_("stopped as asked"), hint=_("nothing more is deleted"))
                proof = proofs.setdefault(copy.content, Proof(context.now()))
                found = _read(opened, copy, medium)
                if found is None:
                    proof.evidence.append(
                        _("{where}: confirmed, and can't be read back").format(where=sink.where)
                    )
                    continue
                verdicts.append((copy.content, found.verdict))
                _weigh(proof, found, sink, number, context)
        finally:
            if verdicts:
                self._ledger.copies.record_verified(number, verdicts, int(context.now().timestamp()))
        for content in contents - {copy.content for copy in copies}:
            proof = proofs.setdefault(content, Proof(context.now()))
            gone = _("{where}: holds it no longer").format(where=sink.where)
            proof.doubt, proof.detail = KeepReason.NOT_ARCHIVED, gone

    def _open(self, sink: Endpoint[SinkType[Any]], number: int) -> Sink:
        if number not in self._opened:
            context = replace(self._run.context(sink), compares=True)
            opened = self._held.enter_context(open_endpoint(sink, context))
            _check_own_record(opened, sink.where, self._ledger)
            self._opened[number] = opened
        return self._opened[number]


def _read(sink: Sink, copy: Copy, medium: Medium) -> ReadBack | None:
    """Read a copy back; None where the store can't give it."""
    try:
        return read_back(sink, copy.receipt, medium)
    except Unsupported:
        return None


def _weigh(
    proof: Proof, found: ReadBack, sink: Endpoint[SinkType[Any]], number: int, context: Context
) -> None:
    if found.verdict != OK:
        proof.doubt = KeepReason.MISSING if found.verdict == MISSING else KeepReason.ALTERED
        proof.detail = f"{sink.where}: {found.reason}"
        return
    files = {stamp.file for stamp in proof.stamps.values() if stamp is not None}
    if found.stamp is not None and found.stamp.file in files:
        proof.doubt = proof.doubt or KeepReason.ONE_FILE
        proof.detail = proof.detail or _(
            "{where}: its copy is the very file that another archive's copy is"
        ).format(where=sink.where)
        return
    proof.head = head_digest(found.head)
    proof.stamps[number] = found.stamp
    time = context.now().isoformat(timespec="seconds")
    where_from = (
        " " + _("(perhaps from a cache: {reason})").format(reason=found.cached)
        if found.cached
        else " " + _("from its medium")
    )
    proof.evidence.append(_("{where}: read back at {time}").format(where=sink.where, time=time) + where_from)


def _check_own_record(sink: Sink, where: str, ledger: Ledger) -> None:
    """Compare an archive with its own record before any copy in it counts: one that doesn't fit may have lost more.

    A copy that is missing while a mailbox has the message still is no reason: that message stays by itself.

    Raises:
        IntegrityError: the archive doesn't fit its record.
        ArchipecError: it can't tell now.
    """
    if not isinstance(sink, SupportsCheck):
        return
    for problem in sink.check():
        if _is_misfit(problem, ledger):
            raise IntegrityError(
                _("{where} does not fit its own record, so no copy in it proves anything: {reason}").format(
                    where=where, reason=problem.message
                ),
                hint=problem.hint or _("`archipec verify` says more"),
            )


def _is_misfit(problem: ArchipecError, ledger: Ledger) -> bool:
    if isinstance(problem, MissingCopy):
        return problem.key is None or not ledger.copies.is_in_a_mailbox(problem.key)
    return isinstance(problem, UnfitRecord)
