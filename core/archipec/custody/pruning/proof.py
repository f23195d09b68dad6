"""Proves that messages are kept: every required copy is read back, now, and is what it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from archipec.config import Endpoint
from archipec.contract import Context, Sink, SinkType
from archipec.custody.endpoints import Stop, make_context
from archipec.custody.ledger import Copy, Ledger
from archipec.custody.ledger.deletions import Held
from archipec.custody.pruning.rules import Kept
from archipec.custody.readback import MISSING, OK, ReadBack, read_back
from archipec.errors import Interrupted, Unsupported
from archipec.isolation import own_errors

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
        doubt: why it is none, with ``detail`` in words; None for a good one.
        head: digest of the header section (`head_digest`).
    """

    at: datetime
    evidence: list[str] = field(default_factory=list)
    doubt: Kept | None = None
    detail: str = ""
    head: bytes = b""

    @property
    def expires(self) -> datetime:
        """When it is proof no longer."""
        return self.at + LIFE


class Prover:
    """The required sinks of a pipeline, each opened when first needed. The caller holds their locks.

    Args:
        sinks: with the ledger's numbers of them.
    """

    def __init__(
        self, sinks: Sequence[tuple[Endpoint[SinkType[Any]], int]], ledger: Ledger, temp: Path, stop: Stop
    ) -> None:
        self._sinks = sinks
        self._ledger = ledger
        self._contexts = {number: make_context(sink.name, temp, stop) for sink, number in sinks}
        self._held = ExitStack()
        self._opened: dict[int, Sink] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def prove(self, messages: Iterable[Held]) -> dict[int, Proof]:
        """Read back every required copy of these messages and put what was found on record.

        Returns:
            the proof, or the doubt, by content.

        Raises:
            ArchipecError: a sink can't tell now; nothing is proven then.
        """
        contents = {one.content for one in messages}
        proofs: dict[int, Proof] = {}
        for sink, number in self._sinks:
            with own_errors(sink.record):
                self._read_all(sink, number, contents, proofs)
        for content in contents:
            proof = proofs[content]
            if proof.doubt is None and not proof.head:
                proof.doubt = Kept.UNREADABLE
                proof.detail = "a confirmation alone is no proof: at least one copy must be read back"
        return proofs

    def _read_all(
        self, sink: Endpoint[SinkType[Any]], number: int, contents: set[int], proofs: dict[int, Proof]
    ) -> None:
        context = self._contexts[number]
        opened = self._open(sink, number, context)
        verdicts = []
        copies = self._ledger.stored_copies(number, contents)
        try:
            for copy in copies:
                if context.cancelled():
                    raise Interrupted("stopped as asked", hint="nothing more is deleted")
                proof = proofs.setdefault(copy.content, Proof(context.now()))
                found = _read(opened, copy)
                if found is None:
                    proof.evidence.append(f"{sink.where}: confirmed, and can't be read back")
                    continue
                verdicts.append((copy.content, found.verdict))
                _weigh(proof, found, sink, context)
        finally:
            if verdicts:
                self._ledger.record_verified(number, verdicts, int(context.now().timestamp()))
        for content in contents - {copy.content for copy in copies}:
            proof = proofs.setdefault(content, Proof(context.now()))
            proof.doubt, proof.detail = Kept.NOT_ARCHIVED, f"{sink.where}: holds it no longer"

    def _open(self, sink: Endpoint[SinkType[Any]], number: int, context: Context) -> Sink:
        if number not in self._opened:
            self._opened[number] = self._held.enter_context(sink.record.open(sink.config, context))
        return self._opened[number]


def _read(sink: Sink, copy: Copy) -> ReadBack | None:
    """Read a copy back; None where the store can't give it."""
    try:
        return read_back(sink, copy.receipt)
    except Unsupported:
        return None


def _weigh(proof: Proof, found: ReadBack, sink: Endpoint[SinkType[Any]], context: Context) -> None:
    if found.verdict == OK:
        proof.head = head_digest(found.head)
        proof.evidence.append(f"{sink.where}: read back at {context.now().isoformat(timespec='seconds')}")
    else:
        proof.doubt = Kept.MISSING if found.verdict == MISSING else Kept.ALTERED
        proof.detail = f"{sink.where}: {found.reason}"
