"""Reads stored messages back for who needs their bytes, from whichever archive still has them intact."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol, Self

from archipec.config.endpoint import Endpoint
from archipec.contract import Sink, SinkType
from archipec.custody.readback import read_whole
from archipec.custody.run import Run
from archipec.errors import ArchipecError, MissingCopy
from archipec.message import ContentKey
from archipec.plugins.boundary import plugin_boundary

__all__ = ["ArchiveReader", "MessageReader"]


class MessageReader(Protocol):
    """Gives stored messages back."""

    def read(self, key: ContentKey, /) -> bytes:
        """Return the bytes of a stored message, compared with its key.

        Raises:
            ArchipecError: no archive gives them back now, for the reason that the last one had.
        """
        ...


class ArchiveReader:
    """The archives of some pipelines, each opened when something is first read from it, and locked from then on."""

    def __init__(self, sinks: Sequence[Endpoint[SinkType[Any]]], run: Run[Any]) -> None:
        self._sinks = [(sink, run.ledger.copies.sink_number(sink.where)) for sink in sinks]
        self._run = run
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
            receipt = self._run.ledger.copies.receipt(number, key)
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
                known = self._opened[number] = self._claimed(sink)
            except ArchipecError as error:
                known = self._opened[number] = error
        if isinstance(known, ArchipecError):
            raise known
        return known

    def _claimed(self, sink: Endpoint[SinkType[Any]]) -> Sink:
        with ExitStack() as held:
            self._run.claim(sink, held)
            spooled = held.enter_context(self._run.spool(sink.where))
            opened = held.enter_context(spooled.open(sink))
            self._held.enter_context(held.pop_all())
            return opened
