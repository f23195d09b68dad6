"""Conformance of sinks: readers that fail, names that lead astray, and who may look at the files."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from archipec.contract import ContentKey, Sink
from archipec.errors import ArchipecError, IntegrityError
from archipec.testing.cases import Place, must_raise, tree_of
from archipec.testing.make import make_item
from archipec.testing.messages import hostile_dates, hostile_folders, reader_of, small_messages
from archipec.testing.sink_base import SinkCases

__all__ = ["SinkHostile"]

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


class SinkHostile(SinkCases):
    """Rules for readers, folder names, dates and files."""

    @pytest.mark.parametrize("size", [0, 1, 4096, len(_RAW) - 1, len(_RAW)])
    def test_a_reader_that_fails(self, place: Place[Sink], size: int) -> None:
        """Rule: when the reader fails, so does put; the message isn't held, the rest of the batch is."""
        self._refuses(place, lambda: reader_of(_breaks_after(_RAW, size)), (_ReaderFailed, ArchipecError))

    @pytest.mark.parametrize("size", [0, 1, len(_RAW) - 1])
    def test_a_reader_that_ends_early(self, place: Place[Sink], size: int) -> None:
        """Rule: fewer bytes than the key says are an IntegrityError of put; the rest of the batch is kept."""
        self._refuses(place, lambda: io.BytesIO(_RAW[:size]), IntegrityError)

    @pytest.mark.parametrize("more", [b"\n", b"\r\n", b"x" * 70_000], ids=["lf", "crlf", "much"])
    def test_a_reader_that_goes_on(self, place: Place[Sink], more: bytes) -> None:
        """Rule: more bytes than the key says are an IntegrityError of put; the rest of the batch is kept."""
        self._refuses(place, lambda: io.BytesIO(_RAW + more), IntegrityError)

    @pytest.mark.parametrize("at", [0, len(_RAW) // 2, len(_RAW) - 1])
    def test_a_reader_with_other_bytes(self, place: Place[Sink], at: int) -> None:
        """Rule: other bytes than the key's are an IntegrityError of put; the rest of the batch is kept."""
        other = _RAW[:at] + bytes([_RAW[at] ^ 1]) + _RAW[at + 1 :]
        self._refuses(place, lambda: io.BytesIO(other), IntegrityError)

    def _refuses(
        self,
        place: Place[Sink],
        reader: Callable[[], BinaryIO],
        error: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        before, after = small_messages(2)
        bad = make_item(_RAW, open=reader)
        with place.open() as sink:
            sink.put(make_item(before))
            with must_raise(error, "put must raise when the reader doesn't give the bytes of the key"):
                sink.put(bad)
            self.assert_absent(sink, bad.key, "when its put failed")
            sink.put(make_item(after))
            receipts = self.checked(sink, sink.commit(), [ContentKey.of(before), ContentKey.of(after)])
        with place.open() as sink:
            self.assert_absent(sink, bad.key, "when its put failed")
            for raw in (before, after):
                self.assert_kept(
                    sink, receipts[ContentKey.of(raw)], raw, "the rest of a batch in which a put failed"
                )
            self.assert_held(sink, receipts)
            receipts |= self.keep(sink, [make_item(_RAW)])
            self.assert_kept(sink, receipts[bad.key], _RAW, "a message whose first put failed")

    def test_readers_are_closed(self, place: Place[Sink]) -> None:
        """Rule: when commit returns, every reader the sink opened is closed: the host removes the files."""
        opened: list[_Tracked] = []
        raws = small_messages(3)
        items = [make_item(raw, open=partial(_Tracked, raw, opened)) for raw in raws]
        with place.open() as sink:
            receipts = self.keep(sink, items)
            assert opened, "put or commit must read the message from the item"
            assert all(reader.closed for reader in opened), "a sink must close the readers it opens by commit"
            for raw in raws:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)

    def test_names_and_dates_from_outside_stay_inside(self, place: Place[Sink], tmp_path: Path) -> None:
        """Rule: whatever folder, date, flags or head an item has, it is kept, and below the root alone."""
        outside = tmp_path / "archipec-conformance-outside"
        root = place.root
        before = tree_of(tmp_path, but=root)
        folders, dates = hostile_folders(outside), hostile_dates()
        messages = small_messages(len(folders) + len(dates))
        items = [make_item(raw, folder=name, head=b"") for raw, name in zip(messages, folders, strict=False)]
        for raw, date in zip(messages[len(folders) :], dates, strict=True):
            items.append(
                make_item(raw, date=date, received=date, flags=("\\Seen", "../x", "a b\n", "$é" * 99))
            )
        with place.open() as sink:
            receipts = self.keep(sink, items)
        if root is not None:
            _assert_stayed_inside(root, outside)
        temp = place.context.temp.relative_to(tmp_path).as_posix()
        strangers = [
            name for name in tree_of(tmp_path, but=root).keys() - before if not name.startswith(temp)
        ]
        assert not strangers, f"a sink must write nothing outside its root: {sorted(strangers)}"
        with place.open() as sink:
            for raw in messages:
                self.assert_kept(sink, receipts[ContentKey.of(raw)], raw)
            self.assert_held(sink, receipts)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
    def test_files_are_private(self, place: Place[Sink]) -> None:
        """Rule: files are 0600 and folders 0700, whatever the umask: certified mail is nobody else's."""
        root = place.root
        mask = os.umask(0)
        try:
            with place.open() as sink:
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


def _assert_stayed_inside(root: Path, outside: Path) -> None:
    assert not outside.exists(), f"a folder's name must not lead out of the root: {outside}"
    for parent in root.parents:
        escaped = parent / outside.name
        assert not escaped.exists(), f"a folder's name must not lead out of the root: {escaped}"
