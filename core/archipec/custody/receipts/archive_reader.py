"""Reads stored messages back for who needs their bytes, from whichever archive still has them intact."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from archipec.config.endpoint import Endpoint
from archipec.contract import Sink, SinkType
from archipec.custody.ledger import Ledger
from archipec.custody.readback import read_whole
from archipec.custody.run import Cancellation, claim_root, make_context
from archipec.custody.spool import spool_folder
from archipec.errors import ArchipecError, MissingCopy
from archipec.message import ContentKey
from archipec.plugins.boundary import plugin_boundary

__all__ = ["ArchiveReader"]


class ArchiveReader:
    """The archives of some pipelines, each opened when something is first read from it, and locked from then on."""

    def __init__(
        self, sinks: Sequence[Endpoint[SinkType[Any]]], ledger: Ledger, state: Path, stop: Cancellation
    ) -> None:
        self._sinks = [(sink, ledger.copies.sink_number(sink.where)) for sink in sinks]
        self._ledger = ledger
        self._state = state
        self._stop = stop
        self._held = ExitStack()
        self._opened: dict[int, Sink | ArchipecError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def read(self, key: ContentKey) -> bytes:
        """Return the bytes of a stored message, compared with its key.

        Raises:
            ArchipecError: no archive gives them back now, for the reason that the last one had.
        """
        problem: ArchipecError = MissingCopy(f"no archive holds {key}")
        for sink, number in self._sinks:
            receipt = self._ledger.copies.receipt(number, key)
            if receipt is None:
                continue
            try:
                with plugin_boundary(sink.record):
                    return read_whole(self._open(sink, number), receipt)
            except ArchipecError as error:
                problem = error
        raise problem

    def _open(self, sink: Endpoint[SinkType[Any]], number: int) -> Sink:
        known = self._opened.get(number)
        if known is None:
            try:
                known = self._opened[number] = self._claimed(sink, number)
            except ArchipecError as error:
                known = self._opened[number] = error
        if isinstance(known, ArchipecError):
            raise known
        return known

    def _claimed(self, sink: Endpoint[SinkType[Any]], number: int) -> Sink:
        with ExitStack() as held:
            claim_root(sink, number, self._ledger, self._state, held)
            temp = held.enter_context(spool_folder(self._state, sink.where))
            opened = held.enter_context(
                sink.record.open(sink.config, make_context(sink.name, temp, self._stop))
            )
            self._held.enter_context(held.pop_all())
            return opened
