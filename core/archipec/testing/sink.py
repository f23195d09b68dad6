"""Conformance of sinks."""

from __future__ import annotations

import fnmatch
import io
import os
import random
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

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
from archipec.errors import ArchipecError, IntegrityError, MissingCopy, Unsupported
from archipec.testing.base import UnderTest, difference, must_not_raise, must_raise, tree_of
from archipec.testing.factories import key_of, make_item
from archipec.testing.messages import (
    big_message,
    hostile_dates,
    hostile_folders,
    nasty_messages,
    reader_of,
    small_messages,
)
from archipec.testing.sink_base import UNKNOWN, SinkCases, receipts_of


class _HostStops(ArchipecError):
    """What goes wrong at the host, not here."""

    def __init__(self) -> None:
        super().__init__("the host stops here")


_PIECE = 4093  # no power of two: pieces straddle whatever blocks the sink reads in

_RAW = b"Subject: the one in the middle\r\n\r\n" + b"0123456789abcdef" * 8_192 + b"\r\n"


class _ReaderFailed(OSError):
    """What the host's own reader raises when its disk fails."""


class _Tracked(io.BytesIO):
    opened: list[_Tracked]

    def __init__(self, raw: bytes, opened: list[_Tracked]) -> None:
        super().__init__(raw)
        opened.append(self)


def _breaks_after(raw: bytes, size: int) -> Iterator[bytes]:
    yield raw[:size]
    raise _ReaderFailed("the reader fails here")


class SinkConformance(SinkCases):
    """Cases for a sink.

    Fixtures to give, besides those of `PluginConformance`:
        sink_type: the record.
        table: leads to an empty archive, a new one for each case.

    A case whose message the sink rejects, with a reason, is one that does not apply: ``expected_skips`` says why.

    Fixtures to give where they make sense, else name their cases in ``expected_skips``:
        damage: called with a receipt while the sink is closed; changes a byte of that copy.
        remove: called with a receipt while the sink is closed; takes that copy away.

    Attributes:
        many: messages in the largest batch; lower it for a slow remote store.
        big: bytes of the largest message.
        bookkeeping: patterns (as in `fnmatch`, below the root) of files that the sink writes anew, its index
            for one; everything else in an archive only ever grows.
    """

    # -- put, commit, find, iterate, settle, finish, check ------------------------------------------------

    def test_commit_gives_one_receipt_per_put(self, under_test: UnderTest[Sink]) -> None:
        """Rule: commit gives one receipt per put since the last commit, in any order."""
        first, second = small_messages(5)[:3], small_messages(5)[3:]
        with under_test.open() as sink:
            self.keep(sink, [make_item(raw) for raw in first])
            self.keep(sink, [make_item(raw) for raw in second])

    def test_committing_nothing_gives_nothing(self, under_test: UnderTest[Sink]) -> None:
        """Rule: with nothing staged, commit gives no receipts, before the first batch as after it."""
        with under_test.open() as sink:
            assert list(sink.commit()) == [], "commit with nothing staged must give no receipts"
            self.keep(sink, [make_item(b"x")])
            assert list(sink.commit()) == [], (
                "commit with nothing staged since the last one must give no receipts"
            )

    def test_nothing_is_found_before_commit(self, under_test: UnderTest[Sink]) -> None:
        """Rule: what is staged isn't held: find and iterate know nothing of it until commit returns."""
        item = make_item(small_messages(1)[0])
        with under_test.open() as sink:
            sink.put(item)
            self.assert_absent(sink, item.key, "before commit")
            self.checked(sink, sink.commit(), [item.key])
            assert sink.find(item.key) is not None, "find must know a copy as soon as commit has returned"

    def test_nothing_is_left_of_a_batch_without_commit(self, under_test: UnderTest[Sink]) -> None:
        """Rule: a batch never committed leaves nothing in view, and nothing in the way of the next one."""
        kept, given_up = small_messages(2)
        receipts: dict[ContentKey, Receipt] = {}
        with under_test.open() as sink:
            receipts |= self.keep(sink, [make_item(kept)])
            sink.put(make_item(given_up))
        with under_test.open() as sink:
            self.assert_absent(sink, ContentKey.of(given_up), "after closing without commit")
            self.assert_kept(sink, receipts[ContentKey.of(kept)], kept)
            receipts |= self.keep(sink, [make_item(given_up)])
            self.assert_kept(sink, receipts[ContentKey.of(given_up)], given_up)
            self.assert_held(sink, receipts)

    def test_an_error_while_staging_leaves_nothing(self, under_test: UnderTest[Sink]) -> None:
        """Rule: leaving the context by an error is no commit."""
        item = make_item(small_messages(1)[0])

        with suppress(_HostStops), under_test.open() as sink:
            sink.put(item)
            raise _HostStops
        with under_test.open() as sink:
            self.assert_absent(sink, item.key, "after an error before commit")

    def test_twice_in_one_batch_is_one_copy(self, under_test: UnderTest[Sink]) -> None:
        """Rule: the same content put twice in a batch is one copy with two valid receipts."""
        raw = small_messages(1)[0]
        item, elsewhere = make_item(raw), make_item(raw, folder="Posta inviata", flags=("\\Seen",))
        with under_test.open() as sink:
            sink.put(item)
            sink.put(elsewhere)
            receipts = list(sink.commit())
            self.checked(sink, receipts, [item.key, item.key])
            for receipt in receipts:
                self.assert_kept(sink, receipt, raw)
            self.assert_held(sink, [item.key])

    def test_twice_in_two_batches_is_one_copy(self, under_test: UnderTest[Sink]) -> None:
        """Rule: content that is already held is not stored again, within a run and in a later one."""
        raw = random.Random(1).randbytes(200_000)  # noqa: S311  nothing that a file system could pack
        item = make_item(raw)
        with under_test.open() as sink:
            first = self.keep(sink, [item])
        root = under_test.root
        size = _size(under_test)
        with under_test.open() as sink:
            for _ in range(2):
                again = self.keep(sink, [item])
                self.assert_kept(sink, again[item.key], raw)
            self.assert_kept(sink, first[item.key], raw)
            self.assert_held(sink, [item.key])
        grown = _size(under_test) - size
        assert root is None or grown < len(raw), (
            f"content already held must not be stored again: {root} grew by {grown} bytes"
        )

    def test_find_knows_only_what_is_held(self, under_test: UnderTest[Sink]) -> None:
        """Rule: find is None for any other key, also for one that differs in its size alone."""
        raw = small_messages(1)[0]
        key = ContentKey.of(raw)
        with under_test.open() as sink:
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

    def test_many_messages_in_one_batch(self, under_test: UnderTest[Sink]) -> None:
        """Rule: a batch has no limit of its own; every message of it reads back."""
        messages = small_messages(self.many)
        with under_test.open() as sink:
            with must_not_raise("a batch must have no limit of its own"):
                receipts = self.keep(sink, [make_item(raw) for raw in messages])
            for raw in messages:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)
            self.assert_held(sink, receipts)

    def test_a_batch_under_way_is_finished_when_cancelled(self, under_test: UnderTest[Sink]) -> None:
        """Rule: after Ctrl-C the host still commits what it staged, and the sink does it."""
        raw = small_messages(1)[0]
        stop: list[bool] = []
        with under_test.open(cancelled=lambda: bool(stop)) as sink:
            sink.put(make_item(raw))
            stop.append(True)
            with must_not_raise("commit must finish the batch when the person asks to stop"):
                given = sink.commit()
            receipts = self.checked(sink, given, [ContentKey.of(raw)])
            self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)

    def test_iterate_yields_everything_held(self, under_test: UnderTest[Sink]) -> None:
        """Rule: iterate yields every key once, as the archive recorded it, with receipts that read back."""
        messages = small_messages(7)
        with under_test.open() as sink:
            if not isinstance(sink, SupportsIterate):
                self.not_applicable("the sink has no iterate")
            assert list(sink.iterate()) == [], "iterate must yield nothing from an empty archive"
            self.keep(sink, [make_item(raw) for raw in messages[:4]])
            self.keep(sink, [make_item(raw) for raw in messages[3:]])
        by_key = {ContentKey.of(raw): raw for raw in messages}
        with under_test.open() as sink:
            assert isinstance(sink, SupportsIterate), "an ability must not come and go"
            self.assert_held(sink, by_key)
            for receipt in list(sink.iterate()):
                self.assert_kept(sink, receipt, by_key[receipt.key])

    def test_the_end_of_a_run_changes_no_copy(self, under_test: UnderTest[Sink]) -> None:
        """Rule: finish with nothing due changes nothing; check changes nothing, and an intact archive passes it.

        What a run of nothing ends with is no error either.
        """
        messages = small_messages(3)
        with under_test.open() as sink:
            _finish(sink)
        with under_test.open() as sink:
            receipts = self.keep(sink, [make_item(raw) for raw in messages])
            _finish(sink)
        before = {} if under_test.root is None else tree_of(under_test.root)
        with under_test.open() as sink:
            _finish(sink)
            _finish(sink)
            problems = list(sink.check()) if isinstance(sink, SupportsCheck) else []
            assert not problems, f"check must find nothing wrong with an intact archive: {problems}"
            for raw in messages:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw, "after the end of a run")
            self.assert_held(sink, receipts)
        after = {} if under_test.root is None else tree_of(under_test.root)
        changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        assert not changed, f"finish with nothing due must change nothing, and check never: {sorted(changed)}"

    def test_settling_is_idempotent(self, under_test: UnderTest[Sink]) -> None:
        """Rule: settle decides pending receipts, by STORED or REJECTED, and the same when asked again.

        One that waits still it may leave out, or give PENDING with the reason.
        """
        messages = small_messages(3)
        with under_test.open() as sink:
            if not isinstance(sink, SupportsSettle):
                self.not_applicable("the sink has no settle")
            assert list(sink.settle([])) == [], "settle must give nothing when nothing is pending"
            receipts = self.keep(sink, [make_item(raw) for raw in messages])
            pending = [receipt for receipt in receipts.values() if receipt.state is State.PENDING]
            once, twice = _settled(sink, pending), _settled(sink, pending)
        with under_test.open() as sink:
            assert isinstance(sink, SupportsSettle), "an ability must not come and go"
            later = _settled(sink, pending)
        for answers in (twice, later):
            for key, receipt in once.items():
                if receipt.state is State.PENDING:
                    continue
                assert answers.get(key) == receipt, "settle must be idempotent: a decision stays as it is"

    # -- read, and copies over time ----------------------------------------------------------------------

    @pytest.mark.parametrize("name", nasty_messages())
    def test_reads_back_byte_for_byte(self, under_test: UnderTest[Sink], name: str) -> None:
        """Rule: bytes are sacred: a copy reads back exactly as it came, in this opening and in the next."""
        raw = nasty_messages()[name]
        key = ContentKey.of(raw)
        with under_test.open() as sink:
            receipts = self.keep(sink, [make_item(raw)])
            self.assert_kept(sink, receipts[key], raw, name)
        with under_test.open() as sink:
            self.assert_kept(sink, receipts[key], raw, name)

    def test_neighbours_leave_each_other_alone(self, under_test: UnderTest[Sink]) -> None:
        """Rule: whatever came before and after it in a batch, a copy reads back exactly as it came."""
        messages = nasty_messages()
        order = [*messages.values(), *reversed(small_messages(3))]
        receipts = receipts_of(under_test, self, [make_item(raw) for raw in order])
        receipts |= receipts_of(under_test, self, [make_item(raw + b"\nFrom ") for raw in order])
        with under_test.open() as sink:
            for raw in order:
                for each in (raw, raw + b"\nFrom "):
                    self.assert_kept(sink, receipts[ContentKey.of(each)], each)
            self.assert_held(sink, receipts)

    def test_a_big_message(self, under_test: UnderTest[Sink]) -> None:
        """Rule: a message has no limit of size; it comes and goes as a stream."""
        key = key_of(big_message(self.big))
        item = make_item(b"".join(big_message(1000)), key=key, open=lambda: reader_of(big_message(self.big)))
        with under_test.open() as sink:
            receipt = self.keep(sink, [item])[key]
            try:
                with sink.read(receipt) as stream:
                    found = ContentKey.of_chunks(iter(partial(stream.read, 65536), b""))
            except Unsupported as error:
                self.not_applicable(f"this sink can't give copies back: {error}")
            assert found == key, "a big copy must read back byte for byte"

    def test_reads_back_in_pieces(self, under_test: UnderTest[Sink]) -> None:
        """Rule: a copy is a stream that ends where the message ends, however it is read, and as often."""
        first, second = nasty_messages()["every-byte"] * 20, nasty_messages()["from-lines"]
        with under_test.open() as sink:
            receipts = self.keep(sink, [make_item(first), make_item(second)])
            receipt = receipts[ContentKey.of(first)]
            self.assert_kept(sink, receipt, first)
            with sink.read(receipt) as stream:
                pieces = iter(lambda: stream.read(_PIECE), b"")
                found = b"".join(pieces)
                assert stream.read() == b"", "a stored copy must end where the message ends"
            unlike = difference(found, first)
            assert not unlike, f"a copy must read back byte for byte in pieces: {unlike}"
            with sink.read(receipt) as stream:
                assert stream.read(10) == first[:10], "a copy must read back from its first byte each time"
            self.assert_kept(sink, receipts[ContentKey.of(second)], second, "the one after a half-read copy")

    def test_copies_side_by_side(self, under_test: UnderTest[Sink]) -> None:
        """Rule: where streams tell their files, several copies can be open at a time, in one thread."""
        messages = small_messages(3)
        with under_test.open() as sink, ExitStack() as held:
            receipts = self.keep(sink, [make_item(raw) for raw in messages])
            streams = []
            for raw in messages:
                try:
                    streams.append(held.enter_context(sink.read(receipts[ContentKey.of(raw)])))
                    streams[-1].fileno()
                except (Unsupported, AttributeError, OSError):
                    return  # the host opens one at a time then
            beginnings = [stream.read(20) for stream in streams]
            found = [begun + stream.read() for begun, stream in zip(beginnings, streams, strict=True)]
            assert found == messages, "copies that are open at a time must each read back byte for byte"

    def test_a_later_opening_knows_everything(self, under_test: UnderTest[Sink]) -> None:
        """Rule: receipts outlive the opening they are from: read, find and iterate agree in the next one."""
        messages = small_messages(9)
        receipts = receipts_of(under_test, self, [make_item(raw) for raw in messages[:6]])
        receipts |= receipts_of(under_test, self, [make_item(raw) for raw in messages[6:]])
        with under_test.open() as sink:
            for raw in reversed(messages):
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)
            self.assert_held(sink, receipts)

    def test_a_receipt_of_something_else_is_refused(self, under_test: UnderTest[Sink]) -> None:
        """Rule: reading a key that isn't held raises MissingCopy or IntegrityError, and gives no bytes."""
        raw = small_messages(1)[0]
        receipt = receipts_of(under_test, self, [make_item(raw)])[ContentKey.of(raw)]
        with under_test.open() as sink:
            self.assert_kept(sink, receipt, raw)
            rule = "read must refuse a receipt whose key isn't held, not give the bytes of another message"
            with must_raise(IntegrityError, rule), sink.read(replace(receipt, key=UNKNOWN)) as stream:
                stream.read()

    def test_a_copy_that_is_gone(
        self, under_test: UnderTest[Sink], remove: Callable[[Receipt], None] | None
    ) -> None:
        """Rule: of a copy that was taken away, read raises MissingCopy, find is None; it can come back."""
        if remove is None:
            self.not_applicable("the fixture `remove` is not given")
        gone, left = small_messages(2)
        receipts = receipts_of(under_test, self, [make_item(gone), make_item(left)])
        self._assert_all_kept(under_test, receipts, gone, left)
        remove(receipts[ContentKey.of(gone)])
        with under_test.open() as sink:
            rule = "read must raise MissingCopy for a copy that is gone"
            with must_raise(MissingCopy, rule), sink.read(receipts[ContentKey.of(gone)]) as stream:
                stream.read()
            assert sink.find(ContentKey.of(gone)) is None, "find must be None for a copy that is gone"
            self.assert_kept(sink, receipts[ContentKey.of(left)], left)
            again = self.keep(sink, [make_item(gone)])
            self.assert_kept(sink, again[ContentKey.of(gone)], gone)

    def test_a_copy_behind_a_link_is_none(self, under_test: UnderTest[Sink], tmp_path: Path) -> None:
        """Rule: what a symbolic link out of the archive leads to is no copy; a stream over a file tells which."""
        (raw,) = small_messages(1)
        receipt = receipts_of(under_test, self, [make_item(raw)])[ContentKey.of(raw)]
        files = [] if under_test.root is None else sorted(under_test.root.rglob("*"))
        holding = [path for path in files if path.is_file() and raw in path.read_bytes()]
        if not holding:
            self.not_applicable("no file of this archive holds a message as it came")
        with under_test.open() as sink, sink.read(receipt) as stream:
            try:
                status = os.fstat(stream.fileno())
            except OSError as error:
                raise AssertionError("a stream over a file must have its fileno") from error
            assert any(os.path.samestat(status, path.stat()) for path in holding), "fileno must be the copy's"
        for number, path in enumerate(holding):
            outside = tmp_path / f"outside-{number}"
            path.rename(outside)
            try:
                path.symlink_to(outside)
            except OSError as error:
                self.not_applicable(f"this system makes no symbolic links: {error}")
        with under_test.open() as sink:
            assert self._reads_differently(sink, receipt, raw), (
                "a link out of the archive must not be followed"
            )
            assert sink.find(receipt.key) is None, "find must be None for what a link leads to"

    def test_a_damaged_copy_is_none_and_is_stored_again(
        self, under_test: UnderTest[Sink], damage: Callable[[Receipt], None] | None
    ) -> None:
        """Rule: a damaged copy counts as none; another put adds an intact copy and removes nothing."""
        if damage is None:
            self.not_applicable("the fixture `damage` is not given")
        hurt, sound = small_messages(2)
        receipts = receipts_of(under_test, self, [make_item(hurt), make_item(sound)])
        self._assert_all_kept(under_test, receipts, hurt, sound)
        receipt = receipts[ContentKey.of(hurt)]
        damage(receipt)
        before = {} if under_test.root is None else tree_of(under_test.root)
        with under_test.open() as sink:
            assert self._reads_differently(sink, receipt, hurt), "the fixture `damage` must change the copy"
            assert sink.find(receipt.key) is None, "find must be None for a damaged copy"
            self.assert_kept(sink, receipts[ContentKey.of(sound)], sound, "the neighbour of a damaged copy")
            again = self.keep(sink, [make_item(hurt)])[receipt.key]
            self.assert_kept(sink, again, hurt, "a damaged copy that was stored again")
        with under_test.open() as sink:
            self.assert_kept(sink, again, hurt, "a damaged copy that was stored again, in a later opening")
            self.assert_kept(sink, receipts[ContentKey.of(sound)], sound, "the neighbour of a damaged copy")
            if isinstance(sink, SupportsIterate):
                self.assert_held(sink, receipts)
        self._assert_nothing_removed(under_test, before)

    def _assert_all_kept(
        self, under_test: UnderTest[Sink], receipts: Mapping[ContentKey, Receipt], *messages: bytes
    ) -> None:
        with under_test.open() as sink:
            for raw in messages:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)

    def _reads_differently(self, sink: Sink, receipt: Receipt, raw: bytes) -> bool:
        try:
            return self.bytes_of(sink, receipt) != raw
        except IntegrityError:
            return True

    def _assert_nothing_removed(self, under_test: UnderTest[Sink], before: dict[str, bytes | None]) -> None:
        after = {} if under_test.root is None else tree_of(under_test.root)
        for name, content in before.items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in self.bookkeeping):
                continue
            assert name in after, f"nothing in an archive must be removed: {name} is gone"
            assert (after[name] or b"").startswith(content or b""), (
                f"nothing in an archive must be replaced: {name} has other bytes than before"
            )

    # -- readers that fail, names and dates from outside, files ------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 4096, len(_RAW) - 1, len(_RAW)])
    def test_a_reader_that_fails(self, under_test: UnderTest[Sink], size: int) -> None:
        """Rule: when the reader fails, so does put; the message isn't held, the rest of the batch is."""
        self._refuses(
            under_test, lambda: reader_of(_breaks_after(_RAW, size)), (_ReaderFailed, ArchipecError)
        )

    @pytest.mark.parametrize("size", [0, 1, len(_RAW) - 1])
    def test_a_reader_that_ends_early(self, under_test: UnderTest[Sink], size: int) -> None:
        """Rule: fewer bytes than the key says are an IntegrityError of put; the rest of the batch is kept."""
        self._refuses(under_test, lambda: io.BytesIO(_RAW[:size]), IntegrityError)

    @pytest.mark.parametrize("more", [b"\n", b"\r\n", b"x" * 70_000], ids=["lf", "crlf", "much"])
    def test_a_reader_that_goes_on(self, under_test: UnderTest[Sink], more: bytes) -> None:
        """Rule: more bytes than the key says are an IntegrityError of put; the rest of the batch is kept."""
        self._refuses(under_test, lambda: io.BytesIO(_RAW + more), IntegrityError)

    @pytest.mark.parametrize("at", [0, len(_RAW) // 2, len(_RAW) - 1])
    def test_a_reader_with_other_bytes(self, under_test: UnderTest[Sink], at: int) -> None:
        """Rule: other bytes than the key's are an IntegrityError of put; the rest of the batch is kept."""
        other = _RAW[:at] + bytes([_RAW[at] ^ 1]) + _RAW[at + 1 :]
        self._refuses(under_test, lambda: io.BytesIO(other), IntegrityError)

    def _refuses(
        self,
        under_test: UnderTest[Sink],
        reader: Callable[[], BinaryIO],
        error: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        before, after = small_messages(2)
        bad = make_item(_RAW, open=reader)
        with under_test.open() as sink:
            sink.put(make_item(before))
            with must_raise(error, "put must raise when the reader doesn't give the bytes of the key"):
                sink.put(bad)
            self.assert_absent(sink, bad.key, "when its put failed")
            sink.put(make_item(after))
            receipts = self.checked(sink, sink.commit(), [ContentKey.of(before), ContentKey.of(after)])
        with under_test.open() as sink:
            self.assert_absent(sink, bad.key, "when its put failed")
            for raw in (before, after):
                self.assert_kept(
                    sink, receipts[ContentKey.of(raw)], raw, "the rest of a batch in which a put failed"
                )
            self.assert_held(sink, receipts)
            receipts |= self.keep(sink, [make_item(_RAW)])
            self.assert_kept(sink, receipts[bad.key], _RAW, "a message whose first put failed")

    def test_readers_are_closed(self, under_test: UnderTest[Sink]) -> None:
        """Rule: when commit returns, every reader the sink opened is closed: the host removes the files."""
        opened: list[_Tracked] = []
        raws = small_messages(3)
        items = [make_item(raw, open=partial(_Tracked, raw, opened)) for raw in raws]
        with under_test.open() as sink:
            receipts = self.keep(sink, items)
            assert opened, "put or commit must read the message from the item"
            assert all(reader.closed for reader in opened), "a sink must close the readers it opens by commit"
            for raw in raws:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)

    def test_names_and_dates_from_outside_stay_inside(
        self, under_test: UnderTest[Sink], tmp_path: Path
    ) -> None:
        """Rule: whatever folder, date, flags or head an item has, it is kept, and below the root alone."""
        outside = tmp_path / "archipec-conformance-outside"
        root = under_test.root
        before = tree_of(tmp_path, but=root)
        folders, dates = hostile_folders(outside), hostile_dates()
        messages = small_messages(len(folders) + len(dates))
        items = [make_item(raw, folder=name, head=b"") for raw, name in zip(messages, folders, strict=False)]
        for raw, date in zip(messages[len(folders) :], dates, strict=True):
            items.append(
                make_item(raw, date=date, received=date, flags=("\\Seen", "../x", "a b\n", "$é" * 99))
            )
        with under_test.open() as sink:
            receipts = self.keep(sink, items)
        if root is not None:
            _assert_stayed_inside(root, outside)
        temp = under_test.context.temp.relative_to(tmp_path).as_posix()
        outside_files = [
            name for name in tree_of(tmp_path, but=root).keys() - before if not name.startswith(temp)
        ]
        assert not outside_files, f"a sink must write nothing outside its root: {sorted(outside_files)}"
        with under_test.open() as sink:
            for raw in messages:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)
            self.assert_held(sink, receipts)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
    def test_files_are_private(self, under_test: UnderTest[Sink]) -> None:
        """Rule: files are 0600 and folders 0700, whatever the umask: certified mail is private."""
        root = under_test.root
        mask = os.umask(0)
        try:
            with under_test.open() as sink:
                receipts = self.keep(sink, [make_item(raw) for raw in small_messages(3)])
                raw = small_messages(1)[0]
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)
        finally:
            os.umask(mask)
        for path in [] if root is None else root.rglob("*"):
            mode = stat.S_IMODE(path.lstat().st_mode)
            assert not mode & 0o077, (
                f"only the owner may read an archive: {path.relative_to(root or path)} is {mode:o}"
            )


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


def _size(under_test: UnderTest[Sink]) -> int:
    root = under_test.root
    return 0 if root is None else sum(len(content or b"") for content in tree_of(root).values())


def _assert_stayed_inside(root: Path, outside: Path) -> None:
    assert not outside.exists(), f"a folder's name must not lead out of the root: {outside}"
    for parent in root.parents:
        escaped = parent / outside.name
        assert not escaped.exists(), f"a folder's name must not lead out of the root: {escaped}"
