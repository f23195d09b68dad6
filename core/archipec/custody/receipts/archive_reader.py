"""Reads stored messages back for who needs their bytes, from whichever archive still has them intact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, BinaryIO, Protocol, Self, TypeVar

from archipec.config.endpoint import Endpoint
from archipec.contract import Sink, SinkType
from archipec.custody.readback import read_to, read_whole
from archipec.custody.run import Run
from archipec.errors import ArchipecError, MissingCopy
from archipec.language import _
from archipec.message import ContentKey, Receipt
from archipec.plugins.boundary import plugin_boundary

__all__ = ["ArchiveReader", "MessageReader", "StoredMessages"]

T = TypeVar("T")


class MessageReader(Protocol):
    """Gives stored messages back."""

    def read(self, key: ContentKey, /) -> bytes:
        """Return the bytes of a stored message, compared with its key.

        Raises:
            ArchipecError: no archive gives them back now, for the reason that the last one had.
        """
        ...


class StoredMessages(ABC):
    """Archives that messages are read from."""

    @abstractmethod
    def _copies(self, key: ContentKey) -> Iterator[tuple[SinkType[Any], Callable[[], Sink], Receipt]]:
        """Yield the copies of a message: what keeps each, how that is opened, and the receipt."""

    def read(self, key: ContentKey) -> bytes:
        """Return the bytes of a stored message, compared with its key.

        Raises:
            ArchipecError: no archive gives them back now, for the reason that the last one had.
        """
        return self._first(key, read_whole)

    def copy(self, key: ContentKey, file: BinaryIO) -> None:
        """Write the bytes of a stored message, compared with its key, to an empty file.

        Raises:
            ArchipecError: as of `read`; or the file can't be written.
        """

        def read(sink: Sink, receipt: Receipt) -> None:
            # What another archive gave, and was not the message, is in it; it is written over, and never longer.
            file.seek(0)
            read_to(sink, receipt, file)

        self._first(key, read)

    def _first(self, key: ContentKey, read: Callable[[Sink, Receipt], T]) -> T:
        problem: ArchipecError = MissingCopy(_("no archive holds {key}").format(key=key))
        for record, opened, receipt in self._copies(key):
            try:
                with plugin_boundary(record):
                    return read(opened(), receipt)
            except ArchipecError as error:
                problem = error
        problem.hint = problem.hint or _("`archipec verify` reads every copy and says which are damaged")
        raise problem


class ArchiveReader(StoredMessages):
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

    def _copies(self, key: ContentKey) -> Iterator[tuple[SinkType[Any], Callable[[], Sink], Receipt]]:
        for sink, number in self._sinks:
            receipt = self._run.ledger.copies.receipt(number, key)
            if receipt is not None:
                yield sink.record, partial(self._open, sink, number), receipt

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
