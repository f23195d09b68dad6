"""Messages on their way from a source into the sinks: one record each, from the reading until every sink has answered."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from archipec.custody.ledger import HeaderFacts, SourceMessage
from archipec.custody.spool import Spooled
from archipec.message import ContentKey, Item, Receipt

__all__ = ["Arrival", "Batch", "Budget", "Outcomes"]

Outcomes: TypeAlias = Mapping[int, Receipt | str]
"""By content number, a sink's receipt, or why it gave none."""


@dataclass(slots=True, eq=False)
class Arrival:
    """A message that was read.

    Attributes:
        item: what the sinks are given.
        row: what the source listed; repeats: (folder's name, row) of where the same bytes were met again meanwhile.
        spooled: where the bytes are.
        facts: what the header says.
        saved, loose: as the source has them (`archipec.message.Fetched`).
        variants: what a saved one may have been before, see `archipec.custody.archiving.variants`.
        is_new: the ledger did not know the content before.
        number: the ledger's of the content, 0 before the intent is recorded.
        sinks: numbers of the sinks that lack it.
        ask: those of them that may have it after all: they are asked before they are given it again.
        reasons: why sinks could not keep it.
    """

    item: Item
    row: SourceMessage
    spooled: Spooled
    facts: HeaderFacts
    saved: bool = False
    loose: bool = False
    variants: Sequence[ContentKey] = ()
    is_new: bool = False
    number: int = 0
    sinks: tuple[int, ...] = ()
    ask: tuple[int, ...] = ()
    repeats: list[tuple[str, SourceMessage]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Batch:
    """Messages that are made durable together; ``size`` in bytes, ``awaited`` how many sinks are still at work."""

    arrivals: list[Arrival] = field(default_factory=list)
    size: int = 0
    awaited: int = 0


class Budget:
    """Bounds the bytes under way into the sinks.

    What is larger than the whole budget is let through alone.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        """Wait until that many bytes may be taken, then take them."""
        with self._changed:
            self._changed.wait_for(lambda: self._used < self._limit)
            self._used += size

    def give_back(self, size: int) -> None:
        """Give bytes back."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()
