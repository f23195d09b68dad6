"""Conformance of sinks: putting, committing, finding."""

from __future__ import annotations

import random
from contextlib import suppress

from archipec.contract import (
    ContentKey,
    Receipt,
    Sink,
    State,
    SupportsCheck,
    SupportsFinish,
    SupportsIterate,
    SupportsSettle,
)
from archipec.errors import ArchipecError
from archipec.testing.cases import Place, must_not_raise, tree_of
from archipec.testing.make import make_item
from archipec.testing.messages import small_messages
from archipec.testing.sink_base import UNKNOWN, SinkCases

__all__ = ["SinkBatches"]


class _HostStops(ArchipecError):
    """What goes wrong at the host, not here."""

    def __init__(self) -> None:
        super().__init__("the host stops here")


class SinkBatches(SinkCases):
    """Rules of ``put``, ``commit``, ``find``, ``iterate``, ``settle``, ``finish`` and ``check``."""

    def test_commit_gives_one_receipt_per_put(self, place: Place[Sink]) -> None:
        """Rule: commit gives one receipt per put since the last commit, in any order."""
        first, second = small_messages(5)[:3], small_messages(5)[3:]
        with place.open() as sink:
            self.keep(sink, [make_item(raw) for raw in first])
            self.keep(sink, [make_item(raw) for raw in second])

    def test_committing_nothing_gives_nothing(self, place: Place[Sink]) -> None:
        """Rule: with nothing staged, commit gives no receipts, before the first batch as after it."""
        with place.open() as sink:
            assert list(sink.commit()) == [], "commit with nothing staged must give no receipts"
            self.keep(sink, [make_item(b"x")])
            assert list(sink.commit()) == [], (
                "commit with nothing staged since the last one must give no receipts"
            )

    def test_nothing_is_found_before_commit(self, place: Place[Sink]) -> None:
        """Rule: what is staged isn't held: find and iterate know nothing of it until commit returns."""
        item = make_item(small_messages(1)[0])
        with place.open() as sink:
            sink.put(item)
            self.assert_absent(sink, item.key, "before commit")
            self.checked(sink, sink.commit(), [item.key])
            assert sink.find(item.key) is not None, "find must know a copy as soon as commit has returned"

    def test_nothing_is_left_of_a_batch_without_commit(self, place: Place[Sink]) -> None:
        """Rule: a batch never committed leaves nothing in view, and nothing in the way of the next one."""
        kept, given_up = small_messages(2)
        receipts: dict[ContentKey, Receipt] = {}
        with place.open() as sink:
            receipts |= self.keep(sink, [make_item(kept)])
            sink.put(make_item(given_up))
        with place.open() as sink:
            self.assert_absent(sink, ContentKey.of(given_up), "after closing without commit")
            self.assert_kept(sink, receipts[ContentKey.of(kept)], kept)
            receipts |= self.keep(sink, [make_item(given_up)])
            self.assert_kept(sink, receipts[ContentKey.of(given_up)], given_up)
            self.assert_held(sink, receipts)

    def test_an_error_while_staging_leaves_nothing(self, place: Place[Sink]) -> None:
        """Rule: leaving the context by an error is no commit."""
        item = make_item(small_messages(1)[0])

        with suppress(_HostStops), place.open() as sink:
            sink.put(item)
            raise _HostStops
        with place.open() as sink:
            self.assert_absent(sink, item.key, "after an error before commit")

    def test_twice_in_one_batch_is_one_copy(self, place: Place[Sink]) -> None:
        """Rule: the same content put twice in a batch is one copy with two valid receipts."""
        raw = small_messages(1)[0]
        item, elsewhere = make_item(raw), make_item(raw, folder="Posta inviata", flags=("\\Seen",))
        with place.open() as sink:
            sink.put(item)
            sink.put(elsewhere)
            receipts = list(sink.commit())
            self.checked(sink, receipts, [item.key, item.key])
            for receipt in receipts:
                self.assert_kept(sink, receipt, raw)
            self.assert_held(sink, [item.key])

    def test_twice_in_two_batches_is_one_copy(self, place: Place[Sink]) -> None:
        """Rule: content that is already held is not stored again, within a run and in a later one."""
        raw = random.Random(1).randbytes(200_000)  # noqa: S311  nothing that a file system could pack
        item = make_item(raw)
        with place.open() as sink:
            first = self.keep(sink, [item])
        root = place.root
        size = _size(place)
        with place.open() as sink:
            for _ in range(2):
                again = self.keep(sink, [item])
                self.assert_kept(sink, again[item.key], raw)
            self.assert_kept(sink, first[item.key], raw)
            self.assert_held(sink, [item.key])
        grown = _size(place) - size
        assert root is None or grown < len(raw), (
            f"content already held must not be stored again: {root} grew by {grown} bytes"
        )

    def test_find_knows_only_what_is_held(self, place: Place[Sink]) -> None:
        """Rule: find is None for any other key, also for one that differs in its size alone."""
        raw = small_messages(1)[0]
        key = ContentKey.of(raw)
        with place.open() as sink:
            assert sink.find(UNKNOWN) is None, "find must be None in an empty archive"
            self.keep(sink, [make_item(raw)])
            for other in (
                UNKNOWN,
                ContentKey(key.sha256, key.size + 1),
                ContentKey(UNKNOWN.sha256, key.size),
            ):
                assert sink.find(other) is None, f"find must be None for what isn't held: {other}"
            found = sink.find(key)
            assert found is not None, "find must know a committed copy"
            assert found.key == key, f"find must answer about the key it was asked for: {found}"

    def test_many_messages_in_one_batch(self, place: Place[Sink]) -> None:
        """Rule: a batch has no limit of its own; every message of it reads back."""
        messages = small_messages(self.many)
        with place.open() as sink:
            with must_not_raise("a batch must have no limit of its own"):
                receipts = self.keep(sink, [make_item(raw) for raw in messages])
            for raw in messages:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)
            self.assert_held(sink, receipts)

    def test_a_batch_under_way_is_finished_when_cancelled(self, place: Place[Sink]) -> None:
        """Rule: after Ctrl-C the host still commits what it staged, and the sink does it."""
        raw = small_messages(1)[0]
        stop: list[bool] = []
        with place.open(cancelled=lambda: bool(stop)) as sink:
            sink.put(make_item(raw))
            stop.append(True)
            with must_not_raise("commit must finish the batch when the person asks to stop"):
                given = sink.commit()
            receipts = self.checked(sink, given, [ContentKey.of(raw)])
            self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)

    def test_iterate_yields_everything_held(self, place: Place[Sink]) -> None:
        """Rule: iterate yields every key once, as the archive recorded it, with receipts that read back."""
        messages = small_messages(7)
        with place.open() as sink:
            if not isinstance(sink, SupportsIterate):
                self.not_applicable("the sink has no iterate")
            assert list(sink.iterate()) == [], "iterate must yield nothing from an empty archive"
            self.keep(sink, [make_item(raw) for raw in messages[:4]])
            self.keep(sink, [make_item(raw) for raw in messages[3:]])
        by_key = {ContentKey.of(raw): raw for raw in messages}
        with place.open() as sink:
            assert isinstance(sink, SupportsIterate), "an ability must not come and go"
            self.assert_held(sink, by_key)
            for receipt in list(sink.iterate()):
                self.assert_kept(sink, receipt, by_key[receipt.key])

    def test_the_end_of_a_run_changes_no_copy(self, place: Place[Sink]) -> None:
        """Rule: finish with nothing due changes nothing; check changes nothing, and an intact archive passes it.

        What a run of nothing ends with is no error either.
        """
        messages = small_messages(3)
        with place.open() as sink:
            _finish(sink)
        with place.open() as sink:
            receipts = self.keep(sink, [make_item(raw) for raw in messages])
            _finish(sink)
        before = {} if place.root is None else tree_of(place.root)
        with place.open() as sink:
            _finish(sink)
            _finish(sink)
            problems = list(sink.check()) if isinstance(sink, SupportsCheck) else []
            assert not problems, f"check must find nothing wrong with an intact archive: {problems}"
            for raw in messages:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw, "after the end of a run")
            self.assert_held(sink, receipts)
        after = {} if place.root is None else tree_of(place.root)
        changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        assert not changed, f"finish with nothing due must change nothing, and check never: {sorted(changed)}"

    def test_settling_is_idempotent(self, place: Place[Sink]) -> None:
        """Rule: settle decides pending receipts, by STORED or REJECTED, and the same when asked again.

        One that waits still it may leave out, or give PENDING with the reason.
        """
        messages = small_messages(3)
        with place.open() as sink:
            if not isinstance(sink, SupportsSettle):
                self.not_applicable("the sink has no settle")
            assert list(sink.settle([])) == [], "settle must give nothing when nothing is pending"
            receipts = self.keep(sink, [make_item(raw) for raw in messages])
            pending = [receipt for receipt in receipts.values() if receipt.state is State.PENDING]
            once, twice = _settled(sink, pending), _settled(sink, pending)
        with place.open() as sink:
            assert isinstance(sink, SupportsSettle), "an ability must not come and go"
            later = _settled(sink, pending)
        for answers in (twice, later):
            for key, receipt in once.items():
                if receipt.state is State.PENDING:
                    continue
                assert answers.get(key) == receipt, "settle must be idempotent: a decision stays as it is"


def _finish(sink: Sink) -> None:
    if isinstance(sink, SupportsFinish):
        with must_not_raise("finish must be idempotent, and have nothing against a run that stored nothing"):
            sink.finish()


def _settled(sink: SupportsSettle, pending: list[Receipt]) -> dict[ContentKey, Receipt]:
    answers = {}
    for receipt in sink.settle(iter(pending)):
        assert receipt.key in {each.key for each in pending}, (
            f"settle must answer about pending receipts only: {receipt}"
        )
        assert receipt.state is State.STORED or receipt.reason, (
            f"settle must decide, or say what is waited for; a rejection must say why: {receipt}"
        )
        assert receipt.key not in answers, f"settle must answer once about a receipt: {receipt}"
        answers[receipt.key] = receipt
    return answers


def _size(place: Place[Sink]) -> int:
    root = place.root
    return 0 if root is None else sum(len(content or b"") for content in tree_of(root).values())
