"""What travels between sources, host and sinks: plain frozen data, no behaviour."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, NamedTuple, TypeAlias

from archipec.masking import mask

__all__ = [
    "Claim",
    "ContentKey",
    "DeletionOrder",
    "DumpSample",
    "Fetched",
    "Fingerprint",
    "Folder",
    "FolderPrint",
    "Item",
    "Json",
    "Listed",
    "Quota",
    "Receipt",
    "Skipped",
    "State",
]

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""What survives a round trip through JSON: cursors and tokens are kept as such."""


class ContentKey(NamedTuple):
    """Identity of a message everywhere: SHA-256 of its exact bytes (64 lower-case hex digits) and their number."""

    sha256: str
    size: int

    @classmethod
    def of(cls, raw: bytes) -> ContentKey:
        """Return the key of a message held in memory."""
        return cls(hashlib.sha256(raw).hexdigest(), len(raw))

    @classmethod
    def of_chunks(cls, chunks: Iterable[bytes | memoryview]) -> ContentKey:
        """Return the key of a message that comes in pieces; raises whatever they raise."""
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
        return cls(digest.hexdigest(), size)

    def __str__(self) -> str:
        return f"{self.sha256[:16]}… ({self.size} bytes)"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a source.

    Attributes:
        name: as it is displayed, in Unicode; the source turns it back into what the server wants.
        special: its use in RFC 6154 words without the backslash ("Trash", "Sent"), None when unknown.
        messages: how many it holds, None when the source can't tell cheaply.
    """

    name: str
    special: str | None = None
    messages: int | None = None


class Listed(NamedTuple):
    """A message as a listing shows it, its body unread.

    Attributes:
        folder: the folder's name.
        ref: names these bytes for ever within that folder (IMAP "uidvalidity/uid", POP3 UIDL).
        size: bytes that ``fetch`` gives, exactly: it tells a message from half of one. None when the source can't
            tell.
        received: when the server took it in (IMAP INTERNALDATE), aware; None when unknown.
        flags: RFC 9051 flags as the server spells them ("\\\\Seen").
        cursor: where a later listing may start, once this message and all before it are recorded; None where every
            listing starts from the beginning.
    """

    folder: str
    ref: str
    size: int | None
    received: datetime | None
    flags: tuple[str, ...]
    cursor: Json


class Fetched(NamedTuple):
    """A message being read. ``chunks`` gives its bytes once, in order, and is void after the next Fetched.

    ``chunks`` raises an error of scope MESSAGE when this message alone can't be read.

    Attributes:
        saved: a program saved it that may have changed line ends and quoting: where its original is held, it is an
            occurrence of that, and is not stored again.
        loose: it is the original of a certified message, saved without the envelope that bears the seal.
    """

    ref: str
    chunks: Iterator[bytes]
    saved: bool = False
    loose: bool = False


class Item(NamedTuple):
    """A message offered to a sink.

    Attributes:
        key: of the exact bytes ``open`` gives.
        folder: of the source, in Unicode. From outside: never a path as it stands.
        received: when the server took it in, aware, or None.
        date: the message's date, which layouts go by: the certified one, else ``received``, else the
            newest ``Received`` field, else ``Date``, else the Unix epoch. Aware, in Europe/Rome.
        flags: as listed.
        kind: what the message is (`archipec.pec.kind`).
        head: its header section, raw and bounded: not always whole.
        open: gives a new reader from byte 0, any number of times until ``commit`` returns.
        body: those bytes, where the host has them in memory: they are what ``key`` was computed of, and need no second
            look. None when they have to be read.
    """

    key: ContentKey
    folder: str
    received: datetime | None
    date: datetime
    flags: tuple[str, ...]
    kind: str
    head: bytes
    open: Callable[[], BinaryIO]
    body: bytes | None = None


class FolderPrint(NamedTuple):
    """What a server says of a folder: its UIDVALIDITY, the next UID, and how many messages it holds."""

    uidvalidity: int
    uidnext: int
    messages: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a server says of a mailbox, to see whether two names lead to one.

    Attributes:
        folders: by their names, as far as the server numbers messages (IMAP).
        unique_ids: of the messages, where that is all there is (POP3).
    """

    folders: Mapping[str, FolderPrint]
    unique_ids: Sequence[str] = ()


class State(enum.StrEnum):
    """What a sink says of a content key."""

    PENDING = "pending"
    """Held durably and readable; the source is needed no more; only a confirmation is missing."""
    STORED = "stored"
    """Held and confirmed."""
    REJECTED = "rejected"
    """Not held, for the reason given."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A sink's word about a content key, and whatever the sink needs to find the copy again.

    Attributes:
        token: JSON, kept by the host and given back; survives a round trip unchanged. A pending one's may say how long
            it may wait: ``{"waiting": {"since": SECONDS, "due": SECONDS, "attention": BOOL}}``, Unix seconds, each of them
            optional. What is past ``due``, or has ``attention``, is reported as needing the user.
        reason: why, when rejected; what it waits for, when pending.
    """

    key: ContentKey
    state: State
    token: Json
    reason: str = ""

    def __post_init__(self) -> None:
        if self.reason:
            object.__setattr__(self, "reason", mask(self.reason))


@dataclass(frozen=True, slots=True)
class Quota:
    """Room in a mailbox, in bytes."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class DeletionOrder:
    """The host's order to delete one message, proven to be kept elsewhere.

    Attributes:
        folder: the folder's name.
        ref: as listed.
        key: what the message must still be.
        evidence: which copies prove it, for the record.
        expires_at: aware; an order carried out later is refused.
    """

    folder: str
    ref: str
    key: ContentKey
    evidence: tuple[str, ...]
    expires_at: datetime


class Skipped(NamedTuple):
    """Something that a source found and does not read.

    Attributes:
        name: by which the user finds it again.
        reason: why it is not read.
        message: it is a message, or holds some, or may.
    """

    name: str
    reason: str
    message: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpSample:
    """A file or folder of a dump, as `archipec.contract.SourceType.detects` is asked about it.

    Attributes:
        path: from the top of the dump, ``/`` between the parts; empty for the top itself.
        name: of a file, its last part; empty for a folder.
        names: of a folder, what is directly in it, folders with a ``/`` behind their names.
        beginning: of a file, its first bytes, 4,096 at most; empty where the question is what its name tells.
    """

    path: str
    name: str = ""
    names: frozenset[str] = frozenset()
    beginning: bytes = b""


class Claim(enum.Enum):
    """How a format stands to a `DumpSample`.

    PART: it is of this format; where other formats claim other parts of a dump, the user has to choose.
    WHOLE: the dump is of this format with all that is in it, whatever else that looks like.
    """

    NONE = enum.auto()
    PART = enum.auto()
    WHOLE = enum.auto()
