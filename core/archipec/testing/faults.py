"""Sources and sinks that fail on order, for tests of a host: "the third commit raises this".

::

    faults = Faults(Fault("commit", TransientError("no room left"), call=3))
    record = faulty_sink(MAILDIR, faults)      # counts go on when the host opens it again
    ...
    assert not faults.waiting()                # every fault struck
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any, BinaryIO, TypeVar

from archipec.contract import (
    ContentKey,
    Context,
    DeletionOrder,
    Fetched,
    Folder,
    Item,
    Json,
    Listed,
    Quota,
    Receipt,
    Sink,
    SinkType,
    Source,
    SourceType,
    SupportsCheck,
    SupportsDelete,
    SupportsFinish,
    SupportsHeaders,
    SupportsIterate,
    SupportsQuota,
    SupportsSettle,
)
from archipec.errors import ArchipecError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """One planned failure.

    Attributes:
        method: of the source or sink; "open" for the record's; "chunks" for the bytes of one message.
        error: raised; its class need not be in the tree, a broken plugin's is not.
        call: which call of the method fails, from 1; for "chunks", which message.
        times: how many calls in a row fail.
        after: items an iterator yields before it fails, or all it has; means nothing to other methods.
        late: the call does its work first: what a lost answer looks like.
    """

    method: str
    error: Exception
    call: int = 1
    times: int = 1
    after: int = 0
    late: bool = False


class Faults:
    """What shall go wrong, with the calls counted so far.

    Attributes:
        calls: how often each method was called.
    """

    def __init__(self, *faults: Fault) -> None:
        self._faults = faults
        self._struck: list[Fault] = []
        self._lock = Lock()  # the host has a thread for each sink and each connection
        self.calls: Counter[str] = Counter()

    def waiting(self) -> list[Fault]:
        """Return the faults that never struck."""
        return [fault for fault in self._faults if fault not in self._struck]

    def call(self, method: str, work: Callable[[], T]) -> T:
        """Count a call and do ``work``, failing before or after it when that was planned."""
        fault = self._due(method)
        if fault is not None and not fault.late:
            raise self._strike(fault)
        result = work()
        if fault is not None:
            raise self._strike(fault)
        return result

    def each(self, method: str, items: Callable[[], Iterable[T]]) -> Iterator[T]:
        """Count a call and pass ``items`` on, failing on the way when that was planned."""
        return self._pass(self._due(method), items)

    def _pass(self, fault: Fault | None, items: Callable[[], Iterable[T]]) -> Iterator[T]:
        if fault is None:
            yield from items()
            return
        for number, item in enumerate(items() if fault.after or fault.late else ()):
            if number == fault.after and not fault.late:
                break
            yield item
        raise self._strike(fault)

    def _due(self, method: str) -> Fault | None:
        with self._lock:
            self.calls[method] += 1
            number = self.calls[method]
        due = (f for f in self._faults if f.method == method and f.call <= number < f.call + f.times)
        return next(due, None)

    def _strike(self, fault: Fault) -> Exception:
        self._struck.append(fault)
        return fault.error


class FaultySource:
    """A source that fails as planned and is otherwise the one inside, its optional abilities included."""

    headers: Callable[[str, Iterable[str]], Iterator[tuple[str, bytes]]]
    delete: Callable[[Iterable[DeletionOrder]], Iterator[tuple[DeletionOrder, ArchipecError | None]]]
    quota: Callable[[], Quota | None]

    def __init__(self, inner: Source, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        # On the instance, so that a runtime check finds an ability only where the inner source has it.
        if isinstance(inner, SupportsHeaders):
            headers = inner.headers
            self.headers = lambda folder, refs: faults.each("headers", lambda: headers(folder, refs))
        if isinstance(inner, SupportsDelete):
            delete = inner.delete
            self.delete = lambda orders: faults.each("delete", lambda: delete(orders))
        if isinstance(inner, SupportsQuota):
            quota = inner.quota
            self.quota = lambda: faults.call("quota", quota)

    def folders(self) -> Iterable[Folder]:
        return self._faults.each("folders", self._inner.folders)

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        return self._faults.each("scan", lambda: self._inner.scan(folder, after))

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        answers = self._faults.each("fetch", lambda: self._inner.fetch(folder, refs))
        return (
            Fetched(each.ref, self._faults.each("chunks", partial(iter, each.chunks))) for each in answers
        )


class FaultySink:
    """A sink that fails as planned and is otherwise the one inside, its optional abilities included."""

    settle: Callable[[Iterable[Receipt]], Iterator[Receipt]]
    iterate: Callable[[], Iterator[Receipt]]
    finish: Callable[[], None]
    check: Callable[[], Iterator[ArchipecError]]

    def __init__(self, inner: Sink, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults
        if isinstance(inner, SupportsSettle):
            settle = inner.settle
            self.settle = lambda pending: faults.each("settle", lambda: settle(pending))
        if isinstance(inner, SupportsIterate):
            iterate = inner.iterate
            self.iterate = lambda: faults.each("iterate", iterate)
        if isinstance(inner, SupportsFinish):
            finish = inner.finish
            self.finish = lambda: faults.call("finish", finish)
        if isinstance(inner, SupportsCheck):
            check = inner.check
            self.check = lambda: faults.each("check", check)

    def put(self, item: Item) -> None:
        self._faults.call("put", lambda: self._inner.put(item))

    def commit(self) -> Sequence[Receipt]:
        return self._faults.call("commit", self._inner.commit)

    def find(self, key: ContentKey) -> Receipt | None:
        return self._faults.call("find", lambda: self._inner.find(key))

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        return self._faults.call("read", lambda: self._inner.read(receipt))


def faulty_source(record: SourceType[Any], faults: Faults) -> SourceType[Any]:
    """Return ``record`` with sources that fail as planned."""

    @contextmanager
    def open_source(config: Any, context: Context) -> Iterator[Source]:
        with faults.call("open", lambda: record.open(config, context)) as inner:
            yield FaultySource(inner, faults)

    return replace(record, open=open_source)


def faulty_sink(record: SinkType[Any], faults: Faults) -> SinkType[Any]:
    """Return ``record`` with sinks that fail as planned."""

    @contextmanager
    def open_sink(config: Any, context: Context) -> Iterator[Sink]:
        with faults.call("open", lambda: record.open(config, context)) as inner:
            yield FaultySink(inner, faults)

    return replace(record, open=open_sink)
