"""The run of a pipeline, on a source and sinks in memory: every rule of the run has its case."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from archipec.config.pipeline import Pipeline
from archipec.config.selection import read_selection
from archipec.custody.archiving import transfer
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.run import archive
from archipec.custody.ledger import Ledger
from archipec.custody.locks import hold_endpoint
from archipec.custody.marker import MARKER
from archipec.custody.run import Cancellation, Run
from archipec.custody.spool import spool_folder
from archipec.custody.verify import verify
from archipec.errors import ArchipecError, AuthError, PermanentError, Scope, TransientError
from archipec.message import ContentKey, Fetched, Folder, Item, Json, Listed, Receipt, State
from testbed.fakes import Mailbox, MemorySink, MemorySource, Store, pipeline

AT_ONCE = 0.0


def message(number: int, header: bytes = b"Subject: one", size: int = 0) -> bytes:
    return header + b"\r\nMessage-ID: <%d@pec.example.it>\r\n\r\nbody %d\r\n" % (number, number) + b"x" * size


RECEIPT = b"X-Ricevuta: accettazione"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def run(state: Path) -> Iterator[Callable[..., ArchiveReport]]:
    state.mkdir()

    def run(
        made: Pipeline,
        *,
        full: bool = False,
        stop: Cancellation | None = None,
        observe: Callable[[ArchiveReport], None] = lambda _report: None,
    ) -> ArchiveReport:
        with Ledger(state / "ledger.sqlite3") as ledger:
            report = archive(made, Run(ledger, state, stop or Cancellation(), observe), full=full)
        total = report.stored + report.already + report.deselected + report.failed + report.left
        assert report.listed == total
        assert report.left >= 0
        return report

    yield run
    assert not list((state / "spool").iterdir()), "temporary files are left behind"


def holds(store: Store, *messages: bytes) -> bool:
    return sorted(store.copies.values()) == sorted(messages)


def test_every_message_reaches_every_sink_and_a_second_run_finds_nothing_new(
    run: Callable[..., ArchiveReport],
) -> None:
    messages = [message(n) for n in range(1203)]
    box, a, b = Mailbox.of(INBOX=messages[:1200], Sent=messages[1200:]), Store(), Store()
    report = run(pipeline(box, a, b))
    assert (report.listed, report.stored, report.exit_code) == (1203, 1203, 0)
    assert holds(a, *messages)
    assert holds(b, *messages)
    assert set(box.fetched.values()) == {1}, "one download serves all sinks"
    assert report.size == sum(map(len, messages))
    again = run(pipeline(box, a, b))
    assert (again.listed, again.stored, again.already) == (0, 0, 0)
    assert set(a.puts.values()) == {1}


def test_only_arrivals_are_listed_and_read_later(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1)]), Store()
    run(pipeline(box, store))
    box.folders["INBOX"]["2"] = message(2)
    report = run(pipeline(box, store))
    assert (report.listed, report.stored) == (1, 1)
    assert box.fetched == {"INBOX/1": 1, "INBOX/2": 1}


def test_the_same_message_in_two_folders_is_one_copy_with_two_occurrences(
    run: Callable[..., ArchiveReport],
) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(1)], Sent=[message(1), message(2)]), Store()
    report = run(pipeline(box, store))
    assert (report.listed, report.stored, report.already) == (4, 2, 2)
    assert set(store.puts.values()) == {1}
    box.folders["Archive"] = {"1": message(2)}
    later = run(pipeline(box, store))
    assert (later.listed, later.stored, later.already) == (1, 0, 1)
    assert set(store.puts.values()) == {1}


def test_connections_share_the_work_where_the_source_is_slow(
    run: Callable[..., ArchiveReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A source in this process's memory is slow only because this test has it wait.
    monkeypatch.setattr(transfer, "_BUSY", math.inf)
    messages = [message(n) for n in range(4000)]
    box, store = Mailbox.of(INBOX=messages), Store()
    stored = [0]
    # Until the others are opened: then each connection gathers batches of its own.
    box.waits_for = lambda fetched: stored[-1] >= min((fetched - 400) // 1000, 2) * 1000
    report = run(pipeline(box, store, connections=3), observe=lambda report: stored.append(report.stored))
    assert report.stored == 4000
    assert holds(store, *messages)
    assert set(box.fetched.values()) == {1}
    assert box.opened == 3


def test_one_connection_does_where_this_process_is_what_the_run_waits_for(
    run: Callable[..., ArchiveReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_BUSY", 0.0)
    messages = [message(n) for n in range(4000)]
    box, store = Mailbox.of(INBOX=messages), Store()
    assert run(pipeline(box, store, connections=3)).stored == 4000
    assert box.opened == 1


def test_one_connection_does_where_the_sinks_are_slow(run: Callable[..., ArchiveReport]) -> None:
    messages = [message(n) for n in range(900)]
    box, store = Mailbox.of(INBOX=messages), Store()
    assert run(pipeline(box, store, connections=3)).stored == 900
    assert box.opened == 1


def test_what_has_waited_for_long_is_stored_before_a_batch_is_full(
    run: Callable[..., ArchiveReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archipec.custody.archiving.intake._BATCH_SECONDS", 0.0)
    messages = [message(n) for n in range(3)]
    box, store = Mailbox.of(INBOX=messages), Store()
    asked = [0]

    def has_arrived(fetched: int) -> bool:
        asked[0] += 1
        return len(store.copies) >= fetched or asked[0] > 5000

    # The source has no more to give until the sink has what it gave.
    box.waits_for = has_arrived
    assert run(pipeline(box, store)).stored == 3
    assert asked[0] <= 5000, "messages waited for a full batch"
    assert holds(store, *messages)


def test_a_bug_in_a_thread_ends_the_run(
    run: Callable[..., ArchiveReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def settle(*_: object) -> None:
        raise ZeroDivisionError("a bug of the host")

    monkeypatch.setattr("archipec.custody.archiving.batcher.Batcher.settle", settle)
    with pytest.raises(ZeroDivisionError):
        run(pipeline(Mailbox.of(INBOX=[message(1)]), Store()))


def test_a_ledger_that_fails_ends_the_run_in_good_order(
    run: Callable[..., ArchiveReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def intend(*_: object) -> None:
        raise TransientError("no room left on the disk of the ledger")

    box, store = Mailbox.of(INBOX=[message(n) for n in range(1100)]), Store()
    with monkeypatch.context() as patched:
        patched.setattr("archipec.custody.ledger.copies.Copies.intend", intend)
        report = run(pipeline(box, store))
    assert (report.stored, report.exit_code) == (0, 5)
    assert not store.puts, "nothing is offered to a sink without its intent"
    assert run(pipeline(box, store)).stored == 1100


def test_a_ledger_that_can_t_take_a_failure_does_not_end_the_run_before_its_threads(
    run: Callable[..., ArchiveReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def record_failure(*_: object) -> None:
        raise TransientError("no room left on the disk of the ledger")

    monkeypatch.setattr("archipec.custody.ledger.sources.Sources.record_failure", record_failure)
    box, store = Mailbox.of(INBOX=[message(1), message(2)]), Store()
    box.fetch_errors["INBOX/1"] = [PermanentError("the server says no", scope=Scope.MESSAGE)]
    report = run(pipeline(box, store))
    assert (report.stored, report.failed, report.exit_code) == (len(store.puts), 1, 5)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("source", "sink-"))]


def test_a_ledger_that_fails_while_a_silent_source_is_left_behind_does_not_keep_the_run(
    run: Callable[..., ArchiveReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def supervised(abandon: Callable[[ArchipecError], None]) -> Iterator[None]:
        abandon(TransientError("no sign of life"))
        yield

    def hand_over(*_: object) -> None:
        raise PermanentError("the ledger can't be written")

    monkeypatch.setattr("archipec.custody.archiving.reader.supervised", supervised)
    monkeypatch.setattr("archipec.custody.archiving.reader.Reader._read_all", lambda _reader: None)
    monkeypatch.setattr("archipec.custody.archiving.intake.Intake.hand_over", hand_over)
    report = run(pipeline(Mailbox.of(INBOX=[message(1)]), Store()))
    assert [error.message for error in report.errors] == ["the ledger can't be written", "no sign of life"]


def test_a_large_message_goes_through_a_file(run: Callable[..., ArchiveReport]) -> None:
    large = message(1, size=5 << 20)
    box, store = Mailbox.of(INBOX=[large, message(2)]), Store()
    assert run(pipeline(box, store)).stored == 2
    assert holds(store, large, message(2))


def test_a_sink_added_later_is_filled_and_the_others_are_left_alone(
    run: Callable[..., ArchiveReport],
) -> None:
    box, a, b = Mailbox.of(INBOX=[message(1), message(2)]), Store(), Store()
    run(pipeline(box, a))
    report = run(pipeline(box, a, b))
    assert (report.listed, report.stored) == (2, 2)
    assert holds(b, message(1), message(2))
    assert set(a.puts.values()) == {1}


@pytest.mark.parametrize("scope", [Scope.ENDPOINT, Scope.RUN])
def test_a_failing_sink_does_not_stop_the_others_and_is_completed_next_time(
    run: Callable[..., ArchiveReport], scope: Scope
) -> None:
    messages = [message(n) for n in range(1100)]
    box, a, b = Mailbox.of(INBOX=messages), Store(), Store()
    b.before_commit.append(PermanentError("disk broken", scope=scope))
    report = run(pipeline(box, a, b))
    assert holds(a, *messages)
    assert not b.copies
    assert report.exit_code == 4
    assert report.failed + report.left == 1100
    again = run(pipeline(box, a, b))
    assert again.stored == 1100
    assert holds(b, *messages)
    assert set(a.puts.values()) == {1}


def test_what_only_an_absent_sink_lacks_is_not_downloaded(run: Callable[..., ArchiveReport]) -> None:
    box, a, b = Mailbox.of(INBOX=[message(1), message(2)]), Store(), Store()
    run(pipeline(box, a))
    b.open_errors.append(PermanentError("not writable"))
    box.fetched.clear()
    report = run(pipeline(box, a, b))
    assert report.exit_code == 4
    assert report.left == 2
    assert sum(box.fetched.values()) <= 2


def test_a_message_a_sink_can_not_keep_is_left_out_and_tried_again(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2)]), Store()
    store.put_errors[ContentKey.of(message(1))] = [PermanentError("name too long", scope=Scope.MESSAGE)]
    report = run(pipeline(box, store))
    assert (report.stored, report.failed, report.exit_code) == (1, 1, 3)
    assert report.failures[0].folder == "INBOX"
    assert "name too long" in report.failures[0].reason
    again = run(pipeline(box, store))
    assert (again.listed, again.stored, again.exit_code) == (1, 1, 0)
    assert holds(store, message(1), message(2))


def test_a_message_that_can_not_be_read_is_left_out_and_tried_again(
    run: Callable[..., ArchiveReport],
) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2), message(3)]), Store()
    box.fetch_errors["INBOX/2"] = [PermanentError("the server says no", scope=Scope.MESSAGE)]
    report = run(pipeline(box, store))
    assert (report.stored, report.failed, report.exit_code) == (2, 1, 3)
    assert [(one.ref, one.reason) for one in report.failures] == [("2", "the server says no")]
    assert run(pipeline(box, store)).stored == 1
    assert holds(store, message(1), message(2), message(3))


def test_a_cut_connection_is_opened_again_and_asked_for_the_rest(run: Callable[..., ArchiveReport]) -> None:
    messages = [message(n) for n in range(1, 40)]
    box, store = Mailbox.of(INBOX=messages), Store()
    box.fetch_errors["INBOX/20"] = [TransientError("connection lost", retry_after=AT_ONCE) for _ in range(2)]
    report = run(pipeline(box, store))
    assert (report.stored, report.exit_code) == (39, 0)
    assert holds(store, *messages)
    assert box.opened == 3
    assert box.fetched["INBOX/20"] == 3
    assert box.fetched["INBOX/10"] == 1


def test_a_connection_that_never_recovers_ends_the_run_and_the_next_goes_on(
    run: Callable[..., ArchiveReport],
) -> None:
    box, store = Mailbox.of(INBOX=[message(n) for n in range(1, 11)]), Store()
    for ref in range(5, 11):
        lost: list[ArchipecError] = [TransientError("connection lost", retry_after=AT_ONCE) for _ in range(3)]
        box.fetch_errors[f"INBOX/{ref}"] = lost
    report = run(pipeline(box, store))
    assert (report.stored, report.failed, report.left, report.exit_code) == (4, 3, 3, 3)
    for errors in box.fetch_errors.values():
        errors.clear()
    assert run(pipeline(box, store)).stored == 6


def test_a_message_at_which_every_connection_breaks_is_left_out(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(n) for n in range(1, 11)]), Store()
    box.fetch_errors["INBOX/5"] = [TransientError("connection lost", retry_after=AT_ONCE) for _ in range(9)]
    report = run(pipeline(box, store))
    assert (report.stored, report.failed, report.left, report.exit_code) == (9, 1, 0, 3)
    assert "connection lost" in report.failures[0].reason


def test_a_refused_login_is_tried_once(run: Callable[..., ArchiveReport]) -> None:
    box = Mailbox.of(INBOX=[message(1)])
    box.open_errors.append(AuthError("login refused"))
    report = run(pipeline(box, Store()))
    assert report.exit_code == 6
    assert box.opened == 1


def test_a_connection_refused_beside_a_working_one_costs_nothing(run: Callable[..., ArchiveReport]) -> None:
    messages = [message(n) for n in range(1500)]
    box, store = Mailbox.of(INBOX=messages), Store()
    box.open_errors = [None, PermanentError("too many connections")]
    report = run(pipeline(box, store, connections=2))
    # Which of the two is refused is a matter of chance: the one that lists can't be done without.
    if report.exit_code:
        assert report.stored + report.left == report.listed
        report = run(pipeline(box, store))
    assert report.exit_code == 0
    assert holds(store, *messages)


def test_what_was_listed_before_an_error_is_archived(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2), message(3)]), Store()
    box.scan_errors["INBOX"] = [PermanentError("the index is damaged", scope=Scope.FOLDER)]
    report = run(pipeline(box, store))
    assert (report.listed, report.stored, report.exit_code) == (1, 1, 4)
    assert run(pipeline(box, store)).stored == 2


def test_a_listing_that_is_cut_goes_on_where_it_was(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2), message(3)]), Store()
    box.scan_errors["INBOX"] = [
        TransientError("connection lost", retry_after=AT_ONCE),
        TransientError("connection lost", retry_after=AT_ONCE),
    ]
    report = run(pipeline(box, store))
    assert (report.listed, report.stored, report.exit_code) == (3, 3, 0)


def test_a_folder_that_fails_is_left_for_the_next_run(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1)], Broken=[message(2)], Sent=[message(3)]), Store()
    box.fetch_errors["Broken/1"] = [PermanentError("mailbox is corrupt", scope=Scope.FOLDER)]
    report = run(pipeline(box, store))
    assert (report.stored, report.left, report.exit_code) == (2, 1, 3)
    assert run(pipeline(box, store)).stored == 1


def test_a_commit_that_fails_half_way_makes_nothing_double(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2)]), Store()
    store.commit_errors.append(TransientError("no answer", retry_after=AT_ONCE))
    report = run(pipeline(box, store))
    assert (report.stored, report.exit_code) == (2, 0)
    assert set(store.puts.values()) == {1}, "the sink was asked, not given them again"
    assert store.asked


def test_a_killed_run_asks_the_sink_before_it_puts(run: Callable[..., ArchiveReport], state: Path) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2), message(3)]), Store()
    run(pipeline(box, store))
    with sqlite3.connect(state / "ledger.sqlite3") as db:  # as if killed after the sink's commit
        db.execute("UPDATE copy SET state = 'intent', token = 'null'")
    db.close()
    report = run(pipeline(box, store))
    assert (report.listed, report.stored) == (3, 3)
    assert set(store.puts.values()) == {1}
    assert set(store.asked.values()) == {1}


def test_an_intent_is_on_record_before_a_sink_is_given_a_message(
    run: Callable[..., ArchiveReport], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no receipt before the sink has made it durable: a run that is killed in between asks."""
    seen = []

    def look() -> None:
        with closing(sqlite3.connect(state / "ledger.sqlite3")) as db:
            seen.append([state for (state,) in db.execute("SELECT state FROM copy")])

    put, commit = MemorySink.put, MemorySink.commit

    def putting(self: MemorySink, item: Item) -> None:
        look()
        put(self, item)

    def committing(self: MemorySink) -> Sequence[Receipt]:
        look()
        return commit(self)

    monkeypatch.setattr(MemorySink, "put", putting)
    monkeypatch.setattr(MemorySink, "commit", committing)
    run(pipeline(Mailbox.of(INBOX=[message(1)]), Store()))
    look()
    assert seen == [["intent"], ["intent"], ["stored"]]


class _Forgetful:
    """A sink that can't tell what it holds, only whether it has one message."""

    def __init__(self, store: Store) -> None:
        sink = MemorySink(store)
        self.put, self.commit, self.find, self.read = sink.put, sink.commit, sink.find, sink.read


def test_a_sink_without_a_record_of_its_own_is_asked_when_the_ledger_is_lost(
    run: Callable[..., ArchiveReport], state: Path
) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2)]), Store()
    made = pipeline(box, store)
    record = replace(made.sinks[0].record, open=lambda _config, _context: nullcontext(_Forgetful(store)))
    made = replace(made, sinks=(replace(made.sinks[0], record=record),))
    run(made)
    (state / "ledger.sqlite3").unlink()
    assert run(made).stored == 2
    assert set(store.puts.values()) == {1}


def test_another_run_holds_the_source(run: Callable[..., ArchiveReport], state: Path) -> None:
    box, store = Mailbox.of(INBOX=[message(1)]), Store()
    made = pipeline(box, store)
    with hold_endpoint(state, made.source.where):
        report = run(made)
    assert "in use by another run" in report.errors[0].message
    assert (box.opened, len(store.puts)) == (0, 0)
    assert run(made).stored == 1


def test_another_run_holds_a_sink(run: Callable[..., ArchiveReport], state: Path) -> None:
    box, free, held = Mailbox.of(INBOX=[message(1)]), Store(), Store()
    made = pipeline(box, free, held)
    with hold_endpoint(state, made.sinks[1].where):
        report = run(made)
    assert ["in use by another run" in error.message for error in report.errors] == [True]
    assert (len(free.puts), len(held.puts)) == (1, 0)


def test_what_a_killed_run_left_in_transit_is_removed(run: Callable[..., ArchiveReport], state: Path) -> None:
    made = pipeline(Mailbox.of(INBOX=[message(1)]), Store())
    killed = spool_folder(state, made.source.where)
    folder = killed.__enter__()
    (folder / "message-killed").write_bytes(b"secret")
    assert run(made).exit_code == 0
    assert not (folder / "message-killed").exists()


class _CutShort(MemorySource):
    """Leaves the second message unanswered; asked to stop as it lists again, it ends its listing early."""

    stop: ClassVar[Cancellation]
    listings = 0

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        type(self).listings += 1
        for one in super().scan(folder, after):
            yield one
            if self.listings > 1:
                self.stop.set()
                return

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        return (one for one in super().fetch(folder, refs) if one.ref != "2")


def test_a_listing_that_a_stop_cut_short_proves_nothing_gone(
    run: Callable[..., ArchiveReport], state: Path
) -> None:
    box, store, stop = Mailbox.of(INBOX=[message(1), message(2), message(3)]), Store(), Cancellation()
    _CutShort.stop, _CutShort.listings = stop, 0
    run(pipeline(box, store, source_class=_CutShort), stop=stop)
    assert len(store.copies) == 2
    _CutShort.stop = again = Cancellation()
    run(pipeline(box, store, source_class=_CutShort), stop=again, full=True)
    assert _CutShort.listings == 3
    with Ledger(state / "ledger.sqlite3") as ledger:
        assert ledger.sources.present(1) == 3, "all are there still, by what is known"


class _Uncounted(MemorySource):
    """A source that doesn't say how many messages its folders hold."""

    def folders(self) -> Iterable[Folder]:
        return [Folder(folder.name, None, None) for folder in super().folders()]


def test_what_a_whole_listing_does_not_have_is_no_longer_there(
    run: Callable[..., ArchiveReport], state: Path
) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2), message(3)]), Store()
    made = pipeline(box, store, source_class=_Uncounted)
    run(made)
    del box.folders["INBOX"]["2"]
    run(made, full=True)
    with Ledger(state / "ledger.sqlite3") as ledger:
        assert ledger.sources.present(1) == 2


def test_losing_the_ledger_stores_nothing_twice(run: Callable[..., ArchiveReport], state: Path) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2)]), Store()
    run(pipeline(box, store))
    (state / "ledger.sqlite3").unlink()
    report = run(pipeline(box, store))
    assert (report.listed, report.stored, report.already) == (2, 0, 2)
    assert set(store.puts.values()) == {1}


def test_messages_gone_from_the_source_are_not_counted(
    run: Callable[..., ArchiveReport], state: Path
) -> None:
    box, store = Mailbox.of(INBOX=[message(1), message(2)]), Store()
    box.fetch_errors["INBOX/1"] = [PermanentError("odd", scope=Scope.MESSAGE)]
    assert run(pipeline(box, store)).failed == 1
    del box.folders["INBOX"]["1"]
    report = run(pipeline(box, store))
    assert (report.listed, report.exit_code) == (0, 0)
    box.folders["INBOX"]["1"] = message(1)
    assert run(pipeline(box, store), full=True).stored == 1


def test_a_selection_by_kind_reads_headers_only_of_what_it_leaves_out(
    run: Callable[..., ArchiveReport],
) -> None:
    messages = [message(n, RECEIPT if n % 3 == 0 else b"Subject: x") for n in range(30)]
    box, store = Mailbox.of(INBOX=messages), Store()
    receipts = read_selection({"only": ["receipts"]})
    report = run(pipeline(box, store, selection=receipts))
    assert (report.stored, report.deselected) == (10, 20)
    assert sum(box.fetched.values()) == 10
    assert report.kinds == {"accettazione": 10}
    again = run(pipeline(box, store, selection=receipts))
    assert (again.stored, again.deselected) == (0, 20)
    assert set(box.looked_at.values()) == {1}, "nothing is looked at twice"
    wider = run(pipeline(box, store))
    assert wider.stored == 20
    assert sum(box.fetched.values()) == 30


def test_a_period_is_told_from_the_listing_alone(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1)]), Store()
    report = run(pipeline(box, store, selection=read_selection({"since": "2026-03-02"})))
    assert (report.deselected, len(box.fetched), len(box.looked_at)) == (1, 0, 0)


def test_being_asked_to_stop_ends_in_good_order(run: Callable[..., ArchiveReport]) -> None:
    messages = [message(n) for n in range(2000)]
    box, store = Mailbox.of(INBOX=messages), Store()
    stop = Cancellation()
    box.fetch_errors["INBOX/700"] = [_StopThen(stop)]
    report = run(pipeline(box, store), stop=stop)
    assert report.exit_code == 130
    assert 0 < report.stored < 2000
    assert len(store.copies) == report.stored
    assert report.left + report.stored + report.failed == 2000
    assert run(pipeline(box, store)).exit_code == 0
    assert holds(store, *messages)


class _StopThen(PermanentError):
    """Asks for the end at the moment it is raised."""

    def __init__(self, stop: Cancellation) -> None:
        super().__init__("odd", scope=Scope.MESSAGE)
        self._stop = stop

    @property
    def scope(self) -> Scope:
        self._stop.set()
        return Scope.MESSAGE

    @scope.setter
    def scope(self, _value: Scope) -> None:
        return


def test_pending_copies_count_as_archived(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1)]), Store(state=State.PENDING)
    report = run(pipeline(box, store))
    assert (report.stored, report.sinks["a"].pending) == (1, 1)
    assert run(pipeline(box, store)).listed == 0


def test_rejected_copies_fail_and_are_not_offered_again_unchanged(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1)]), Store(state=State.REJECTED)
    report = run(pipeline(box, store))
    assert (report.failed, report.exit_code) == (1, 3)
    run(pipeline(box, store), full=True)
    assert set(store.puts.values()) == {1}


def test_a_plugin_that_breaks_the_contract_is_named(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1)]), Store()
    store.put_errors[ContentKey.of(message(1))] = [KeyError("oops")]  # type: ignore[list-item]
    report = run(pipeline(box, store))
    assert report.exit_code == 1
    assert 'the plugin "memory" (module testbed) failed with KeyError' in str(report.errors[0])


def test_damaged_and_missing_copies_are_fetched_again(run: Callable[..., ArchiveReport], state: Path) -> None:
    messages = [message(n) for n in range(5)]
    box, store = Mailbox.of(INBOX=messages), Store()
    made = pipeline(box, store)
    run(made)
    store.copies[ContentKey.of(messages[1])] = b"flipped"
    del store.copies[ContentKey.of(messages[2])]
    with Ledger(state / "ledger.sqlite3") as ledger:
        report = verify(made, Run(ledger, state, Cancellation()))
    assert (report.checked, report.ok, report.missing, report.altered) == (5, 3, 1, 1)
    assert report.exit_code == 7
    assert run(made).stored == 2
    assert holds(store, *messages)
    with Ledger(state / "ledger.sqlite3") as ledger:
        assert verify(made, Run(ledger, state, Cancellation())).exit_code == 0


def test_a_known_archive_that_is_gone_is_not_made_anew(
    run: Callable[..., ArchiveReport], tmp_path: Path
) -> None:
    root = tmp_path / "disk" / "archive"
    box, store = Mailbox.of(INBOX=[message(1)]), Store()
    run(pipeline(box, store, root=root))
    assert (root / MARKER).exists()
    root.rename(tmp_path / "unplugged")
    box.folders["INBOX"]["2"] = message(2)
    report = run(pipeline(box, store, root=root))
    assert report.exit_code == 5
    assert "is the disk connected?" in report.errors[0].hint
    assert not root.exists()
    (tmp_path / "unplugged").rename(root)
    assert run(pipeline(box, store, root=root)).stored == 1


def test_post_steps_get_what_was_stored_since_they_last_succeeded(run: Callable[..., ArchiveReport]) -> None:
    calls: list[tuple[object, list[ContentKey]]] = []
    errors: list[ArchipecError] = [TransientError("mail server down")]
    box, store = Mailbox.of(INBOX=[message(1)]), Store()
    made = pipeline(box, store, steps=[(calls, errors)])
    assert run(made).exit_code == 5
    assert not calls
    assert run(made).exit_code == 0
    assert [keys for _, keys in calls] == [[ContentKey.of(message(1))]]


def test_a_saved_message_is_an_occurrence_of_its_original(run: Callable[..., ArchiveReport]) -> None:
    box, store = Mailbox.of(INBOX=[message(1)]), Store()
    run(pipeline(box, store))
    with_bare_newlines = message(1).replace(b"\r\n", b"\n")
    dump = Mailbox.of(
        Downloads=[with_bare_newlines, b"From somebody Mon Jan  1 00:00:00 2024\r\n" + message(1)]
    )
    dump.saved = True
    report = run(pipeline(dump, store))
    assert (report.stored, report.already) == (0, 2)
    assert holds(store, message(1))


def test_a_saved_message_that_came_first_stays_beside_its_original(
    run: Callable[..., ArchiveReport], state: Path
) -> None:
    with_bare_newlines = message(1).replace(b"\r\n", b"\n")
    dump, store = Mailbox.of(Downloads=[with_bare_newlines]), Store()
    dump.saved = True
    assert run(pipeline(dump, store)).stored == 1
    assert run(pipeline(Mailbox.of(INBOX=[message(1)]), store)).stored == 1
    assert holds(store, message(1), with_bare_newlines)
    with Ledger(state / "ledger.sqlite3") as ledger:
        assert list(ledger.copies.variants()) == [
            (ContentKey.of(with_bare_newlines), ContentKey.of(message(1)))
        ]


def test_a_mailbox_never_gives_variants(run: Callable[..., ArchiveReport]) -> None:
    store = Store()
    run(pipeline(Mailbox.of(INBOX=[message(1)]), store))
    other = Mailbox.of(INBOX=[message(1).replace(b"\r\n", b"\n")])
    assert run(pipeline(other, store)).stored == 1
