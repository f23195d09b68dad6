"""Planted faults strike when they shall, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archipec.contract import (
    ContentKey,
    Context,
    Sink,
    Source,
    SupportsDelete,
    SupportsHeaders,
    SupportsIterate,
    SupportsQuota,
    SupportsSettle,
    SupportsTrash,
)
from archipec.errors import Scope, TransientError
from archipec.testing import (
    Fault,
    Faults,
    FaultySink,
    FaultySource,
    configure,
    faulty_sink,
    faulty_source,
    make_context,
    make_item,
)

from . import memory_sink, memory_source

LOST = TransientError("connection lost")
A, B, C = b"Subject: a\r\n\r\na", b"Subject: b\r\n\r\nb", b"Subject: c\r\n\r\n" + b"c" * 2500


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return make_context(tmp_path)


@pytest.fixture
def source(context: Context) -> Source:
    server = memory_source.Server(password="x")
    for raw in (A, B, C):
        server.deliver("INBOX", raw)
    return memory_source.MemorySource(server, context)


@pytest.fixture
def sink(context: Context) -> memory_sink.MemorySink:
    return memory_sink.MemorySink([], context)


def fetched(source: Source) -> Iterator[bytes]:
    refs = [listed.ref for listed in source.scan("INBOX", None)]
    return (b"".join(each.chunks) for each in source.fetch("INBOX", iter(refs)))


def test_without_faults_nothing_changes(source: Source, sink: Sink) -> None:
    faults = Faults()
    assert list(fetched(FaultySource(source, faults))) == [A, B, C]
    faulty = FaultySink(sink, faults)
    faulty.put(make_item(A))
    (receipt,) = faulty.commit()
    with faulty.read(receipt) as copy:
        assert copy.read() == A
    assert faulty.find(ContentKey.of(A)) == receipt
    assert list(faulty.iterate()) == [receipt]
    assert [each.key for each in faulty.settle([receipt])] == [receipt.key]
    assert faults.calls == dict.fromkeys(
        ("scan", "fetch", "put", "commit", "read", "find", "iterate", "settle"), 1
    ) | {"chunks": 3}


def test_the_nth_call_fails(sink: Sink) -> None:
    faults = Faults(Fault("put", LOST, call=2, times=2))
    faulty = FaultySink(sink, faults)
    faulty.put(make_item(A))
    for _ in range(2):
        with pytest.raises(TransientError, match="connection lost"):
            faulty.put(make_item(B))
    faulty.put(make_item(C))
    assert {receipt.key for receipt in faulty.commit()} == {ContentKey.of(A), ContentKey.of(C)}
    assert not faults.waiting()


def test_a_late_fault_strikes_after_the_work(sink: Sink) -> None:
    """What a crash between the sink's commit and the host's looks like."""
    faulty = FaultySink(sink, Faults(Fault("commit", LOST, late=True)))
    faulty.put(make_item(A))
    with pytest.raises(TransientError):
        faulty.commit()
    assert sink.find(ContentKey.of(A)) is not None


def test_an_early_fault_strikes_before_the_work(sink: Sink) -> None:
    faulty = FaultySink(sink, Faults(Fault("commit", LOST)))
    faulty.put(make_item(A))
    with pytest.raises(TransientError):
        faulty.commit()
    assert sink.find(ContentKey.of(A)) is None


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_an_iterator_fails_after_some_items(source: Source, after: int) -> None:
    faulty = FaultySource(source, Faults(Fault("fetch", LOST, after=after)))
    found = []
    with pytest.raises(TransientError):
        for raw in fetched(faulty):
            found.append(raw)  # noqa: PERF402
    assert found == [A, B, C][:after]
    assert list(fetched(faulty)) == [A, B, C]


def test_one_message_fails_in_the_middle(source: Source) -> None:
    broken = TransientError("broken off", scope=Scope.MESSAGE)
    faulty = FaultySource(source, Faults(Fault("chunks", broken, call=3, after=2)))
    answers = fetched(faulty)
    assert [next(answers), next(answers)] == [A, B]
    with pytest.raises(TransientError, match="broken off"):
        next(answers)


def test_a_fault_that_never_struck_is_waiting(sink: Sink) -> None:
    never = Fault("find", LOST, call=7)
    faults = Faults(never)
    FaultySink(sink, faults).find(ContentKey.of(A))
    assert faults.waiting() == [never]


def test_abilities_are_those_of_the_one_inside(source: Source, sink: Sink) -> None:
    faulty_source_, faulty_sink_ = FaultySource(source, Faults()), FaultySink(sink, Faults())
    assert isinstance(faulty_source_, SupportsHeaders)
    assert isinstance(faulty_source_, SupportsQuota)
    assert isinstance(faulty_source_, SupportsDelete)
    assert not isinstance(faulty_source_, SupportsTrash)
    assert isinstance(faulty_sink_, SupportsIterate)
    assert isinstance(faulty_sink_, SupportsSettle)

    class Plain:
        put, commit, find, read = sink.put, sink.commit, sink.find, sink.read

    plain = FaultySink(Plain(), Faults())
    assert not isinstance(plain, SupportsIterate)
    assert not isinstance(plain, SupportsSettle)


def test_records_count_over_openings(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(memory_sink.ARCHIVES, "studio", [])
    faults = Faults(Fault("open", LOST, call=2), Fault("put", LOST, call=2))
    record = faulty_sink(memory_sink.MEMORY_SINK, faults)
    config = configure(record, {"archive": "studio"})
    with record.open(config, context) as sink:
        sink.put(make_item(A))
    with pytest.raises(TransientError), record.open(config, context):
        pass
    with record.open(config, context) as sink, pytest.raises(TransientError):
        sink.put(make_item(A))
    assert not faults.waiting()
    assert faults.calls["open"] == 3


def test_a_faulty_record_of_a_source(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    server = memory_source.Server(password="x")
    server.deliver("INBOX", A)
    monkeypatch.setitem(memory_source.SERVERS, "pec.example.it", server)
    record = faulty_source(memory_source.MEMORY_SOURCE, Faults(Fault("scan", LOST)))
    table: dict[str, Any] = {"host": "pec.example.it", "user": "u", "password": "x"}
    with record.open(configure(record, table), context) as source:
        with pytest.raises(TransientError):
            list(source.scan("INBOX", None))
        assert list(fetched(source)) == [A]
