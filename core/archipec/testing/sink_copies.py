"""Conformance of sinks: what reads back, now and later, and what happens to damaged copies."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from archipec.contract import ContentKey, Receipt, Sink, SupportsIterate
from archipec.errors import IntegrityError, MissingCopy, Unsupported
from archipec.testing.cases import Place, difference, must_raise, tree_of
from archipec.testing.make import key_of, make_item
from archipec.testing.messages import big_message, nasty_messages, reader_of, small_messages
from archipec.testing.sink_base import UNKNOWN, SinkCases, receipts_of

__all__ = ["SinkCopies"]

_PIECE = 4093  # no power of two: pieces straddle whatever blocks the sink reads in


class SinkCopies(SinkCases):
    """Rules of ``read``, and of copies over time."""

    @pytest.mark.parametrize("name", nasty_messages())
    def test_reads_back_byte_for_byte(self, place: Place[Sink], name: str) -> None:
        """Rule: bytes are sacred: a copy reads back exactly as it came, in this opening and in the next."""
        raw = nasty_messages()[name]
        key = ContentKey.of(raw)
        with place.open() as sink:
            receipts = self.keep(sink, [make_item(raw)])
            self.assert_kept(sink, receipts[key], raw, name)
        with place.open() as sink:
            self.assert_kept(sink, receipts[key], raw, name)

    def test_neighbours_leave_each_other_alone(self, place: Place[Sink]) -> None:
        """Rule: whatever came before and after it in a batch, a copy reads back exactly as it came."""
        messages = nasty_messages()
        order = [*messages.values(), *reversed(small_messages(3))]
        receipts = receipts_of(place, self, [make_item(raw) for raw in order])
        receipts |= receipts_of(place, self, [make_item(raw + b"\nFrom ") for raw in order])
        with place.open() as sink:
            for raw in order:
                for each in (raw, raw + b"\nFrom "):
                    self.assert_kept(sink, receipts[ContentKey.of(each)], each)
            self.assert_held(sink, receipts)

    def test_a_big_message(self, place: Place[Sink]) -> None:
        """Rule: a message has no limit of size; it comes and goes as a stream."""
        key = key_of(big_message(self.big))
        item = make_item(b"".join(big_message(1000)), key=key, open=lambda: reader_of(big_message(self.big)))
        with place.open() as sink:
            receipt = self.keep(sink, [item])[key]
            try:
                with sink.read(receipt) as stream:
                    found = ContentKey.of_chunks(iter(partial(stream.read, 65536), b""))
            except Unsupported as error:
                self.not_applicable(f"this sink can't give copies back: {error}")
            assert found == key, "a big copy must read back byte for byte"

    def test_reads_back_in_pieces(self, place: Place[Sink]) -> None:
        """Rule: a copy is a stream that ends where the message ends, however it is read, and as often."""
        first, second = nasty_messages()["every-byte"] * 20, nasty_messages()["from-lines"]
        with place.open() as sink:
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

    def test_a_later_opening_knows_everything(self, place: Place[Sink]) -> None:
        """Rule: receipts outlive the opening they are from: read, find and iterate agree in the next one."""
        messages = small_messages(9)
        receipts = receipts_of(place, self, [make_item(raw) for raw in messages[:6]])
        receipts |= receipts_of(place, self, [make_item(raw) for raw in messages[6:]])
        with place.open() as sink:
            for raw in reversed(messages):
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)
            self.assert_held(sink, receipts)

    def test_a_receipt_of_something_else_is_refused(self, place: Place[Sink]) -> None:
        """Rule: reading a key that isn't held raises MissingCopy or IntegrityError, and gives no bytes."""
        raw = small_messages(1)[0]
        receipt = receipts_of(place, self, [make_item(raw)])[ContentKey.of(raw)]
        with place.open() as sink:
            self.assert_kept(sink, receipt, raw)
            rule = "read must refuse a receipt whose key isn't held, not give the bytes of another message"
            with must_raise(IntegrityError, rule), sink.read(replace(receipt, key=UNKNOWN)) as stream:
                stream.read()

    def test_a_copy_that_is_gone(self, place: Place[Sink], remove: Callable[[Receipt], None] | None) -> None:
        """Rule: of a copy that was taken away, read raises MissingCopy, find is None; it can come back."""
        if remove is None:
            self.not_applicable("the fixture `remove` is not given")
        gone, left = small_messages(2)
        receipts = receipts_of(place, self, [make_item(gone), make_item(left)])
        self._assert_all_kept(place, receipts, gone, left)
        remove(receipts[ContentKey.of(gone)])
        with place.open() as sink:
            rule = "read must raise MissingCopy for a copy that is gone"
            with must_raise(MissingCopy, rule), sink.read(receipts[ContentKey.of(gone)]) as stream:
                stream.read()
            assert sink.find(ContentKey.of(gone)) is None, "find must be None for a copy that is gone"
            self.assert_kept(sink, receipts[ContentKey.of(left)], left)
            again = self.keep(sink, [make_item(gone)])
            self.assert_kept(sink, again[ContentKey.of(gone)], gone)

    def test_a_copy_behind_a_link_is_none(self, place: Place[Sink], tmp_path: Path) -> None:
        """Rule: what a symbolic link out of the archive leads to is no copy; a stream over a file tells which."""
        (raw,) = small_messages(1)
        receipt = receipts_of(place, self, [make_item(raw)])[ContentKey.of(raw)]
        files = [] if place.root is None else sorted(place.root.rglob("*"))
        holding = [path for path in files if path.is_file() and raw in path.read_bytes()]
        if not holding:
            self.not_applicable("no file of this archive holds a message as it came")
        with place.open() as sink, sink.read(receipt) as stream:
            try:
                told = os.fstat(stream.fileno())
            except OSError as error:
                raise AssertionError("a stream over a file must have its fileno") from error
            assert any(os.path.samestat(told, path.stat()) for path in holding), "fileno must be the copy's"
        for number, path in enumerate(holding):
            outside = tmp_path / f"outside-{number}"
            path.rename(outside)
            try:
                path.symlink_to(outside)
            except OSError as error:
                self.not_applicable(f"this system makes no symbolic links: {error}")
        with place.open() as sink:
            assert self._reads_differently(sink, receipt, raw), (
                "a link out of the archive must not be followed"
            )
            assert sink.find(receipt.key) is None, "find must be None for what a link leads to"

    def test_a_damaged_copy_is_none_and_is_stored_again(
        self, place: Place[Sink], damage: Callable[[Receipt], None] | None
    ) -> None:
        """Rule: a damaged copy counts as none; another put adds an intact copy and removes nothing."""
        if damage is None:
            self.not_applicable("the fixture `damage` is not given")
        hurt, sound = small_messages(2)
        receipts = receipts_of(place, self, [make_item(hurt), make_item(sound)])
        self._assert_all_kept(place, receipts, hurt, sound)
        receipt = receipts[ContentKey.of(hurt)]
        damage(receipt)
        before = {} if place.root is None else tree_of(place.root)
        with place.open() as sink:
            assert self._reads_differently(sink, receipt, hurt), "the fixture `damage` must change the copy"
            assert sink.find(receipt.key) is None, "find must be None for a damaged copy"
            self.assert_kept(sink, receipts[ContentKey.of(sound)], sound, "the neighbour of a damaged copy")
            again = self.keep(sink, [make_item(hurt)])[receipt.key]
            self.assert_kept(sink, again, hurt, "a damaged copy that was stored again")
        with place.open() as sink:
            self.assert_kept(sink, again, hurt, "a damaged copy that was stored again, in a later opening")
            self.assert_kept(sink, receipts[ContentKey.of(sound)], sound, "the neighbour of a damaged copy")
            if isinstance(sink, SupportsIterate):
                self.assert_held(sink, receipts)
        self._assert_nothing_removed(place, before)

    def _assert_all_kept(
        self, place: Place[Sink], receipts: Mapping[ContentKey, Receipt], *messages: bytes
    ) -> None:
        with place.open() as sink:
            for raw in messages:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)

    def _reads_differently(self, sink: Sink, receipt: Receipt, raw: bytes) -> bool:
        try:
            return self.bytes_of(sink, receipt) != raw
        except IntegrityError:
            return True

    def _assert_nothing_removed(self, place: Place[Sink], before: dict[str, bytes | None]) -> None:
        after = {} if place.root is None else tree_of(place.root)
        for name, content in before.items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in self.bookkeeping):
                continue
            assert name in after, f"nothing in an archive must be removed: {name} is gone"
            assert (after[name] or b"").startswith(content or b""), (
                f"nothing in an archive must be replaced: {name} has other bytes than before"
            )
