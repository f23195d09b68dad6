"""What the threads of a run tell the one that waits for its end."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from archipec.custody.archiving.batches import Batch
from archipec.custody.archiving.omissions import Omissions
from archipec.custody.ledger import SourceMessage
from archipec.errors import ArchipecError
from archipec.message import Quota

__all__ = [
    "Cancelled",
    "Crashed",
    "Event",
    "FolderFailed",
    "Gone",
    "LedgerFailed",
    "Omitted",
    "QuotaRead",
    "ReaderFinished",
    "RowsAdded",
    "Settled",
    "SourceOpened",
    "Unreadable",
]


class SourceOpened(NamedTuple):
    """The source let the first connection in."""


class RowsAdded(NamedTuple):
    """Rows were added to the ledger: how many, and the bytes of their messages."""

    new: int
    size: int


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


class Settled(NamedTuple):
    """Every sink has dealt with a batch."""

    batch: Batch


class LedgerFailed(NamedTuple):
    """The ledger could not be written: nothing more is taken in."""

    error: ArchipecError


class Cancelled(NamedTuple):
    """The user asked to stop."""


class Crashed(NamedTuple):
    """A thread ended by an exception that nothing foresaw: a bug."""

    error: BaseException


Event: TypeAlias = (
    SourceOpened
    | RowsAdded
    | Unreadable
    | FolderFailed
    | Gone
    | Omitted
    | QuotaRead
    | ReaderFinished
    | Settled
    | LedgerFailed
    | Cancelled
    | Crashed
)
