"""What passes between the threads of a run: messages that arrived, batches on their way into the sinks, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import NamedTuple, TypeAlias

from archipec.custody.archiving.omissions import Omissions
from archipec.custody.ledger import Content, SourceMessage
from archipec.custody.spool import Budget, Spooled
from archipec.errors import ArchipecError
from archipec.message import Item, Quota, Receipt

__all__ = [
    "Arrival",
    "Arrived",
    "Batch",
    "BatchItem",
    "Cancelled",
    "Delivered",
    "Event",
    "FolderFailed",
    "Gone",
    "Omitted",
    "QuotaRead",
    "ReaderFinished",
    "RowsAdded",
    "SourceOpened",
    "Transit",
    "Unreadable",
]


class Arrival(NamedTuple):
    """A message read from the source; ``date`` in Unix seconds, ``date_from`` the clock it was read from."""

    folder: str
    row: SourceMessage
    spooled: Spooled
    kind: str
    date: int
    date_from: str
    saved: bool = False
    loose: bool = False
    claims: bool = False
    system: str = ""


@dataclass(slots=True)
class BatchItem:
    """A content on its way into the sinks that lack it.

    Attributes:
        unrecognised: whether it passes for certified mail of a kind that this version does not know.
        system: `pec` or `rem`, empty for what is of neither, by its header.
        rows: where it occurs, each with its folder's name.
        sinks: numbers of the sinks that lack it.
        ask: those of them that may have it after all: they are asked before they are given it again.
        is_new: the ledger did not know the content before.
        number: the ledger's, once the intent is recorded.
        awaited: sinks still at work.
        reasons: why sinks could not keep it.
    """

    content: Content
    item: Item
    spooled: Spooled
    rows: list[tuple[str, SourceMessage]]
    sinks: tuple[int, ...]
    ask: frozenset[int]
    unrecognised: bool = False
    system: str = ""
    is_new: bool = False
    number: int = 0
    awaited: int = 0
    reasons: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """Items that are made durable together; ``size`` in bytes."""

    entries: list[BatchItem] = field(default_factory=list)
    size: int = 0


# Events: what the other threads report to the one that runs the pipeline.


class SourceOpened(NamedTuple):
    """The source let the first connection in."""


class RowsAdded(NamedTuple):
    """Rows were added to the ledger: how many, and the bytes of their messages."""

    new: int
    size: int


class Arrived(NamedTuple):
    """Messages were read."""

    arrivals: list[Arrival]


class Unreadable(NamedTuple):
    """A message could not be read."""

    folder: str
    row: SourceMessage
    reason: str


class FolderFailed(NamedTuple):
    """A folder was left out."""

    folder: str
    error: ArchipecError


class Gone(NamedTuple):
    """The source no longer has so many of the messages that were to be read."""

    messages: int


class Omitted(NamedTuple):
    """What the source does not read, or has lost."""

    omissions: Omissions


class QuotaRead(NamedTuple):
    """The source said how full it is."""

    quota: Quota | None


class ReaderFinished(NamedTuple):
    """A connection has nothing more to do, or failed. ``listed``: no listing was left undone by it."""

    error: ArchipecError | None
    listed: bool


class Delivered(NamedTuple):
    """A sink has dealt with a batch. ``outcomes``: per content number the receipt, or why the sink gave none."""

    sink: int
    batch: Batch
    outcomes: Mapping[int, Receipt | str]


class Cancelled(NamedTuple):
    """The user asked to stop."""


Event: TypeAlias = (
    SourceOpened
    | RowsAdded
    | Arrived
    | Unreadable
    | FolderFailed
    | Gone
    | Omitted
    | QuotaRead
    | ReaderFinished
    | Delivered
    | Cancelled
)


class Transit(NamedTuple):
    """The way from the readers to the thread that runs the pipeline; ``budget`` bounds the bytes on it."""

    events: SimpleQueue[Event]
    budget: Budget
