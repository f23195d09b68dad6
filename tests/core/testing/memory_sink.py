"""A correct sink that has no directory: archives in memory, as a provider's service would keep them.

Copies are pending until they are settled.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from archipec.contract import ContentKey, Context, Item, Option, Receipt, Sink, SinkType, State
from archipec.errors import ConfigError, IntegrityError, MissingCopy, TransientError
from archipec.hookspecs import hookimpl

ARCHIVES: dict[str, list[tuple[ContentKey, bytes]]] = {}
"""What the service keeps, by name of the archive: each copy with its recorded key. It only grows."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a sink."""

    archive: str


OPTIONS = (Option(name="archive", help="name of the archive", required=True, part="path"),)


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration, naming every problem."""
    problems = [
        f'"archive" must have no {what}'
        for sign, what in ((" ", "blank"), (":", "colon"))
        if sign in values["archive"]
    ]
    if problems:
        raise ConfigError(problems)
    return Config(archive=values["archive"])


def where(config: Config) -> str:
    """Return the identity."""
    return f"memory:{config.archive}"


class MemorySink:
    """A session with the service. A token is the copy's place in the archive."""

    def __init__(self, kept: list[tuple[ContentKey, bytes]], context: Context) -> None:
        self.kept = kept
        self.staged: list[tuple[ContentKey, bytes]] = []
        self.context = context

    def put(self, item: Item) -> None:
        """Stage in memory."""
        with item.open() as reader:
            raw = reader.read()
        if ContentKey.of(raw) != item.key:
            raise IntegrityError(f"the bytes given are not those of {item.key}")
        self.staged.append((item.key, raw))

    def commit(self) -> Sequence[Receipt]:
        """Hand everything staged over."""
        staged, self.staged = self.staged, []
        receipts = []
        for key, raw in staged:
            held = self.find(key)
            if held is None:
                self.kept.append((key, raw))
                held = self.receipt(len(self.kept) - 1)
            receipts.append(held)
        return receipts

    def find(self, key: ContentKey) -> Receipt | None:
        """Look for an intact copy."""
        for place, (recorded, raw) in enumerate(self.kept):
            if recorded == key and ContentKey.of(raw) == key:
                return self.receipt(place)
        return None

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Give the copy back."""
        place = receipt.token
        if not isinstance(place, int) or place >= len(self.kept) or self.kept[place][0] != receipt.key:
            raise MissingCopy(f"no copy of {receipt.key} at {place}")
        return io.BytesIO(self.kept[place][1])

    def iterate(self) -> Iterator[Receipt]:
        """Yield everything held, the copy made last where there are several."""
        latest = {key: place for place, (key, _) in enumerate(self.kept)}
        for place in latest.values():
            yield self.receipt(place)

    def settle(self, pending: Iterable[Receipt]) -> Iterator[Receipt]:
        """Confirm what is held intact, reject the rest."""
        for receipt in pending:
            if self.find(receipt.key) is None:
                yield replace(receipt, state=State.REJECTED, reason="not held")
            else:
                yield replace(receipt, state=State.STORED)

    def receipt(self, place: int) -> Receipt:
        """Return the receipt of the copy at a place."""
        return Receipt(self.kept[place][0], State.PENDING, place)

    def close(self) -> None:
        """End the session."""


def opener(sink: type[MemorySink]) -> Callable[[Config, Context], AbstractContextManager[Sink]]:
    """Return what the record's ``open`` is."""

    @contextmanager
    def open_sink(config: Config, context: Context) -> Iterator[Sink]:
        if config.archive not in ARCHIVES:
            raise TransientError(f"no archive {config.archive}", hint="ask the service for one")
        opened = sink(ARCHIVES[config.archive], context)
        yield opened
        opened.close()

    return open_sink


MEMORY_SINK = SinkType(
    api=1,
    name="memory",
    summary="archives in memory",
    schemes=("memory",),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=opener(MemorySink),
)


@hookimpl
def archipec_sinks() -> Iterator[SinkType[Config]]:
    """Yield the record."""
    yield MEMORY_SINK
