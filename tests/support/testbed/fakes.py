"""A source and a sink in memory that follow the contract, and count what is asked of them: for tests of the host."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Self

from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.config.prune_policy import PrunePolicy
from archipec.config.selection import Selection
from archipec.contract import (
    ContentKey,
    Context,
    Fetched,
    Folder,
    Item,
    Json,
    Listed,
    PostStepType,
    Receipt,
    RunView,
    SinkType,
    SourceType,
    State,
)
from archipec.errors import ArchipecError, IntegrityError, MissingCopy

# Not id(): one that is collected gives its own to the next.
_numbers = count()
ARRIVED = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@dataclass
class Mailbox:
    """What a `MemorySource` reads: per folder, messages by reference. Survives every opening."""

    folders: dict[str, dict[str, bytes]]
    number: int = field(default_factory=lambda: next(_numbers))
    received: datetime | None = ARRIVED
    saved: bool = False
    """Whether a program saved what is there, as a dump's messages are."""
    fetched: Counter[str] = field(default_factory=Counter)
    looked_at: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    waits_for: Callable[[int], bool] = lambda _fetched: True
    """Whether the next message may be given, told how many were: until then the source is slow."""
    open_errors: list[ArchipecError | None] = field(default_factory=list)
    """What each opening raises, in their order; None: nothing."""
    scan_errors: dict[str, list[ArchipecError]] = field(default_factory=dict)
    """Errors that listing a folder raises after its first message, one at each try."""
    fetch_errors: dict[str, list[ArchipecError]] = field(default_factory=dict)
    """Errors that fetching a reference raises, one at each try."""

    @classmethod
    def of(cls, **folders: Sequence[bytes]) -> Self:
        return cls({name: {str(n): raw for n, raw in enumerate(raws, 1)} for name, raws in folders.items()})


class MemorySource:
    def __init__(self, mailbox: Mailbox, context: Context) -> None:
        self._mailbox = mailbox
        self._context = context
        self._pause = threading.Event()

    def folders(self) -> Iterable[Folder]:
        return [Folder(name, None, len(messages)) for name, messages in self._mailbox.folders.items()]

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        start = after if isinstance(after, int) else 0
        for ref, raw in list(self._mailbox.folders[folder].items()):
            if int(ref) > start:
                yield Listed(folder, ref, len(raw), self._mailbox.received, ("\\Seen",), int(ref))
                if errors := self._mailbox.scan_errors.get(folder):
                    raise errors.pop(0)

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        for ref in refs:
            if self._context.cancelled():
                return
            raw = self._mailbox.folders[folder].get(ref)
            if raw is None:
                continue
            while not self._mailbox.waits_for(self._mailbox.fetched.total()):
                self._pause.wait(0.001)
            self._mailbox.fetched[f"{folder}/{ref}"] += 1
            yield Fetched(ref, self._chunks(f"{folder}/{ref}", raw), self._mailbox.saved)

    def _chunks(self, name: str, raw: bytes) -> Iterator[bytes]:
        errors = self._mailbox.fetch_errors.get(name)
        yield raw[: len(raw) // 2]
        if errors:
            raise errors.pop(0)
        yield raw[len(raw) // 2 :]

    def headers(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for ref in refs:
            raw = self._mailbox.folders[folder].get(ref)
            if raw is not None:
                self._mailbox.looked_at[f"{folder}/{ref}"] += 1
                yield ref, raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


@dataclass
class Store:
    """What a `MemorySink` keeps. Survives every opening."""

    number: int = field(default_factory=lambda: next(_numbers))
    copies: dict[ContentKey, bytes] = field(default_factory=dict)
    puts: Counter[ContentKey] = field(default_factory=Counter)
    asked: Counter[ContentKey] = field(default_factory=Counter)
    state: State = State.STORED
    open_errors: list[ArchipecError] = field(default_factory=list)
    put_errors: dict[ContentKey, list[ArchipecError]] = field(default_factory=dict)
    commit_errors: list[ArchipecError] = field(default_factory=list)
    """Raised by ``commit`` after it has kept everything: the worst moment."""
    before_commit: list[ArchipecError] = field(default_factory=list)


class MemorySink:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._staged: dict[ContentKey, bytes] = {}

    def put(self, item: Item) -> None:
        self._store.puts[item.key] += 1
        errors = self._store.put_errors.get(item.key)
        if errors:
            raise errors.pop(0)
        with item.open() as stream:
            raw = stream.read()
        if ContentKey.of(raw) != item.key:
            raise IntegrityError("not the bytes announced")
        self._staged[item.key] = raw

    def commit(self) -> Sequence[Receipt]:
        if self._store.before_commit:
            raise self._store.before_commit.pop(0)
        self._store.copies.update(self._staged)
        receipts = [Receipt(key, self._store.state, key.sha256) for key in self._staged]
        self._staged.clear()
        if self._store.commit_errors:
            raise self._store.commit_errors.pop(0)
        return receipts

    def find(self, key: ContentKey) -> Receipt | None:
        self._store.asked[key] += 1
        raw = self._store.copies.get(key)
        return (
            Receipt(key, State.STORED, key.sha256) if raw is not None and ContentKey.of(raw) == key else None
        )

    @contextmanager
    def read(self, receipt: Receipt) -> Iterator[BinaryIO]:
        if receipt.key not in self._store.copies:
            raise MissingCopy("not there")
        yield io.BytesIO(self._store.copies[receipt.key])

    def iterate(self) -> Iterator[Receipt]:
        for key in self._store.copies:
            yield Receipt(key, State.STORED, key.sha256)


class RecordingStep:
    def __init__(self, calls: list[tuple[RunView, list[ContentKey]]], errors: list[ArchipecError]) -> None:
        self._calls = calls
        self._errors = errors

    def run(self, run: RunView) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self._calls.append((run, list(run.stored())))


def pipeline(
    mailbox: Mailbox,
    *stores: Store,
    name: str = "studio",
    selection: Selection | None = None,
    connections: int = 1,
    steps: Sequence[tuple[list[Any], list[ArchipecError]]] = (),
    root: Path | None = None,
    prune: PrunePolicy | None = None,
    source_class: type[MemorySource] = MemorySource,
    optional: Sequence[str] = (),
) -> Pipeline:
    """Put a mailbox and stores together. The sinks are named a, b, c...

    Args:
        optional: names of sinks that aren't required.
        root: the first sink's directory, as if it kept files there.
    """

    @contextmanager
    def open_source(_config: object, context: Context) -> Iterator[MemorySource]:
        mailbox.opened += 1
        if mailbox.open_errors and (error := mailbox.open_errors.pop(0)) is not None:
            raise error
        yield source_class(mailbox, context)

    def sink(number: int, store: Store) -> Endpoint[SinkType[Any]]:
        @contextmanager
        def open_sink(_config: object, _context: Context) -> Iterator[MemorySink]:
            if store.open_errors:
                raise store.open_errors.pop(0)
            yield MemorySink(store)

        where = f"memory:store-{store.number}"
        place = root if number == 0 else None
        record = SinkType(
            api=1, name="memory", summary="in memory", parse=dict, where=lambda _: where, open=open_sink,
            root=lambda _: place,
        )  # fmt: skip
        name = "abcdef"[number]
        return Endpoint(
            record=record, name=name, values={}, config={}, where=where, required=name not in optional
        )

    def step(calls: list[Any], errors: list[ArchipecError]) -> Endpoint[PostStepType[Any]]:
        @contextmanager
        def open_step(_config: object, _context: Context) -> Iterator[RecordingStep]:
            yield RecordingStep(calls, errors)

        record = PostStepType(
            api=1, name="recording", summary="", parse=dict, where=lambda _: "recording:", open=open_step
        )
        return Endpoint(record=record, name="recording", values={}, config={}, where="recording:")

    where = f"memory:mailbox-{mailbox.number}"
    source = SourceType(
        api=1, name="memory", summary="in memory", parse=dict, where=lambda _: where, open=open_source
    )
    nothing: Mapping[str, object] = {}
    return Pipeline(
        name=name,
        source=Endpoint(
            record=source, name="memory", values=nothing, config={}, where=where, connections=connections
        ),
        selection=selection or Selection(),
        sinks=tuple(sink(number, store) for number, store in enumerate(stores)),
        steps=tuple(step(*one) for one in steps),
        prune=prune or PrunePolicy(),
    )
