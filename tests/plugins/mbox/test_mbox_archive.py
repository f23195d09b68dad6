"""The MBOX sink: its files, and what is left of them when something goes wrong."""

from __future__ import annotations

import errno
import io
import math
import os
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archipec.contract import ContentKey, Receipt, SupportsIterate
from archipec.errors import ConfigError, IntegrityError, TransientError
from archipec.testing import configure, make_item, nasty_messages
from archipec_plugins.mbox import MBOX_SINK
from archipec_plugins.mbox.mboxrd import SENDER

if TYPE_CHECKING:
    from tests.plugins.conftest import MboxArchive, Steps

NASTY = nasty_messages()
ONE, TWO, THREE = (b"Subject: %d\r\n\r\ntext\r\n" % n for n in range(3))
DATA, TOC = "archive.mbox", "archive.mbox.toc"


def test_other_programs_see_every_message(mbox: MboxArchive) -> None:
    with mbox.open() as sink:
        mbox.keep(sink, *NASTY.values())
    found = mbox.seen("archive.mbox")
    assert len(found) == len(NASTY)
    for raw, message in zip(NASTY.values(), found, strict=True):
        as_stored = (b"\n" + raw).replace(b"\n>>>From ", b"\n>>>>From ").replace(b"\n>>From ", b"\n>>>From ")
        as_stored = as_stored.replace(b"\n>From ", b"\n>>From ").replace(b"\nFrom ", b"\n>From ")[1:]
        assert message in (as_stored, as_stored + b"\n")


def test_the_file_is_what_the_format_says(mbox: MboxArchive) -> None:
    received = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    with mbox.open() as sink:
        mbox.keep(sink, make_item(b"A: b\r\n\r\nFrom c", received=received), make_item(b"", received=None))
    assert mbox.files()["archive.mbox"] == (
        b"From archipec@localhost Sun Mar 29 01:30:00 2026\nA: b\r\n\r\n>From c\n\n"
        b"From archipec@localhost Wed Jul  1 08:30:00 2026\n\n"
    )


def test_a_file_for_each_year(mboxes: Callable[..., MboxArchive]) -> None:
    by_year = mboxes(split="year")
    dates = [datetime(year, 12, 31, 23, tzinfo=UTC) for year in (1999, 2026, 3, *range(2000, 2025), 1999)]
    items = [make_item(b"Subject: %d\r\n\r\n" % n, date=date) for n, date in enumerate(dates)]
    with by_year.open() as sink:
        receipts = by_year.keep(sink, *items)
        tables = [content for name, content in by_year.files().items() if name.endswith(".toc")]
        assert sum(b"\nZ " not in table for table in tables) == 16  # no more are held open
        for number, item in enumerate(items):
            assert by_year.read(sink, receipts[item.key]) == b"Subject: %d\r\n\r\n" % number
    years = {f"archive-{date.year:04d}.mbox" for date in dates}
    assert set(by_year.files()) == years | {f"{name}.toc" for name in years}
    assert len(by_year.seen("archive-1999.mbox")) == 2


def test_no_file_grows_beyond_the_size(mboxes: Callable[..., MboxArchive]) -> None:
    by_size = mboxes(split="size", split_size="1 KB")
    messages = [b"Subject: %d\r\n\r\n" % n + b"x" * 200 for n in range(12)]
    messages.insert(5, b"x" * 3000)
    for batch in (messages[:4], messages[4:7], messages[7:]):
        with by_size.open() as sink:
            by_size.keep(sink, *batch)
    sizes = [len(content) for name, content in by_size.files().items() if name.endswith(".mbox")]
    assert sum(size > 1000 for size in sizes) == 1
    assert sorted(by_size.files())[::2] == [f"archive-{n:04d}.mbox" for n in range(1, len(sizes) + 1)]
    assert len(sizes) <= 6
    with by_size.open() as sink:
        assert by_size.held(sink) == sorted(messages)


def test_looking_changes_nothing(mbox: MboxArchive, steps: Steps) -> None:
    """An archive may be looked at while a run is writing to it, or be on a disk that can't be written."""
    mbox.killed([ONE], [TWO])
    before = mbox.files()
    with mbox.open() as sink, steps.struck():
        assert sink.find(ContentKey.of(TWO)) is None
        assert mbox.held(sink) == [ONE]
        assert sink.commit() == []
    assert steps.count == 0
    assert mbox.files() == before


def test_a_damaged_copy_is_followed_by_an_intact_one(mbox: MboxArchive) -> None:
    with mbox.open() as sink:
        (old,) = mbox.keep(sink, ONE).values()
    mbox.restore({DATA: mbox.files()[DATA].replace(b"text", b"next")})
    with mbox.open() as sink:
        assert sink.find(old.key) is None
        (new,) = mbox.keep(sink, ONE).values()
        assert mbox.read(sink, new) == ONE
        assert mbox.read(sink, old) == ONE  # by now it is known that there is a better one
        assert isinstance(sink, SupportsIterate)
        assert list(sink.iterate()) == [new]
        assert sink.find(old.key) == new
    assert mbox.seen() == [ONE.replace(b"text", b"next"), ONE]


def test_a_receipt_is_read_without_the_table(mbox: MboxArchive) -> None:
    with mbox.open() as sink:
        receipts = mbox.keep(sink, *NASTY.values())
    (mbox.root / "archive.mbox.toc").unlink()
    with mbox.open() as sink:
        for raw in NASTY.values():
            assert mbox.read(sink, receipts[ContentKey.of(raw)]) == raw


def test_order_of_the_steps_to_disk(mbox: MboxArchive, steps: Steps) -> None:
    """The table says that a run appends before it does, and that a message is there after it is, each time flushed."""
    with mbox.open() as sink, steps.struck():
        mbox.keep(sink, ONE)
        first, steps.names = steps.names, []
        mbox.keep(sink, TWO)
    inventory = ["open", "ftruncate", "write", "write", "sync_file", "sync_directory"]
    opened = ["open", "open"]
    announced = ["write", "sync_file", "sync_directory"]
    appended = ["write", "sync_file", "write", "sync_file", "write"]
    assert first == [*inventory, *opened, *announced, *appended]
    assert steps.names == appended


@pytest.mark.usefixtures("unflushed")
class TestTornTails:
    """What a run that was killed left is cut off when the next one appends, and nothing else is."""

    def test_whatever_is_left_of_the_messages(self, mbox: MboxArchive) -> None:
        between, _ = mbox.killed([ONE], [b"Subject: x\n\nFrom y", TWO])
        data, torn = between[DATA], mbox.files()[DATA][len(between[DATA]) :]
        for size in range(len(torn) + 1):
            # After a power cut, a file may be longer than what was written to it, with zeros in the place of the rest.
            for tail in (torn[:size], b"\0" * size, torn[:size] + b"\0" * 99):
                mbox.restore({DATA: data + tail, TOC: between[TOC]})
                with mbox.open() as sink:
                    mbox.keep(sink, THREE)
                assert mbox.seen() == [ONE, THREE]

    def test_whatever_is_left_of_the_table(self, mbox: MboxArchive) -> None:
        between, whole = mbox.killed([ONE], [TWO, THREE])
        data, added = mbox.files()[DATA], whole[len(between[TOC]) :]
        for size in range(len(added) + 1):
            mbox.restore({DATA: data, TOC: between[TOC] + added[:size]})
            with mbox.open() as sink:
                held = added[:size].count(b"\n")
                assert mbox.held(sink) == sorted([ONE, TWO, THREE][: held + 1])
                mbox.keep_missing(sink, ONE, TWO, THREE, b"Subject: 4\n\n")
            assert mbox.seen() == [ONE, TWO, THREE, b"Subject: 4\n\n"]

    def test_messages_of_more_than_a_chunk(self, mbox: MboxArchive) -> None:
        big = [b"Subject: %d\r\n\r\n" % n + b"\r\nFrom x" * 150_000 for n in range(2)]
        mbox.killed([ONE], big)
        with mbox.open() as sink:
            mbox.keep(sink, TWO)
        assert mbox.seen() == [ONE, TWO]

    def test_a_run_says_so(self, mbox: MboxArchive, caplog: pytest.LogCaptureFixture) -> None:
        mbox.killed([ONE], [TWO])
        with mbox.open() as sink:
            mbox.keep(sink, THREE)
        assert f"cutting off {len(TWO) + 50} bytes" in caplog.text

    def test_nothing_is_cut_when_the_table_is_damaged_before_its_end(self, mbox: MboxArchive) -> None:
        _, whole = mbox.killed([ONE], [TWO, THREE])
        lines = whole.splitlines(keepends=True)
        lines[-2] = lines[-2].replace(b"M ", b"m ")
        mbox.restore({TOC: b"".join(lines)})
        with mbox.open() as sink:
            assert mbox.held(sink) == [ONE, THREE]
            mbox.keep(sink, b"Subject: 4\n\n")
        assert mbox.seen() == [ONE, TWO, THREE, b"Subject: 4\n\n"]


class TestObstacles:
    def test_a_change_of_any_byte_is_noticed(self, mbox: MboxArchive) -> None:
        messages = [b"Subject: x\n\nFrom y", b"", ONE]
        with mbox.open() as sink:
            receipts = mbox.keep(sink, *messages).values()
            data = mbox.files()[DATA]
            dates = [at for start in re.finditer(SENDER, data) for at in range(start.end(), start.end() + 24)]
            for at in range(len(data)):
                mbox.restore({DATA: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]})
                noticed = 0
                for receipt in receipts:
                    try:
                        mbox.read(sink, receipt)
                    except IntegrityError:
                        noticed += 1
                        assert sink.find(receipt.key) is None
                # The dates in separators are no part of any message; still they must look like dates.
                assert noticed == 1 or at in dates

    def test_what_a_failing_disk_did_not_let_us_take_back(
        self, mbox: MboxArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with mbox.open() as sink:
            mbox.keep(sink, ONE)
            with monkeypatch.context() as patch, pytest.raises(TransientError):
                patch.setattr("archipec_plugins.mbox.file.sync_file", fail)
                patch.setattr(os, "ftruncate", fail)
                mbox.keep(sink, TWO)
            assert "stays till the next run" in caplog.text
            mbox.keep(sink, THREE)
            assert mbox.held(sink) == [ONE, THREE]
        assert mbox.seen() == [ONE, THREE]

    def test_an_archive_that_went_away(self, mbox: MboxArchive) -> None:
        with mbox.open() as sink:
            receipts = mbox.keep(sink, ONE)
            mbox.root.rename(mbox.root.with_name("gone"))
            with pytest.raises(TransientError, match="cannot look"):
                sink.find(ContentKey.of(ONE))
            with pytest.raises(TransientError, match="cannot look"):
                sink.find(ContentKey.of(TWO))
            with pytest.raises(TransientError, match="cannot look"):
                mbox.read(sink, receipts[ContentKey.of(ONE)])
            with pytest.raises(TransientError, match="cannot look") as caught:
                mbox.held(sink)
            assert caught.value.retry_after == math.inf

    @pytest.mark.parametrize(
        "token",
        [
            None,
            "archive.mbox",
            {},
            {"file": "archive.mbox", "offset": "49", "length": len(ONE)},
            {"file": "../archive/archive.mbox", "offset": 49, "length": len(ONE)},
            {"file": "archive.mbox.toc", "offset": 49, "length": len(ONE)},
            {"file": "archive.mbox", "offset": -1, "length": len(ONE)},
            {"file": "archive.mbox", "offset": 50, "length": len(ONE)},
            {"file": "archive.mbox", "offset": 49, "length": -1},
            {"file": "archive.mbox", "offset": 49, "length": len(ONE) - 1},
            {"file": "archive.mbox", "offset": 49, "length": 2**40},
            {"file": "archive-0001.mbox", "offset": 49, "length": len(ONE)},
        ],
    )
    def test_a_receipt_that_is_wrong(self, mbox: MboxArchive, token: Any) -> None:
        with mbox.open() as sink:
            (receipt,) = mbox.keep(sink, ONE).values()
            assert receipt.token == {"file": "archive.mbox", "offset": 49, "length": len(ONE)}
            with pytest.raises(IntegrityError):
                mbox.read(sink, Receipt(receipt.key, receipt.state, token))

    def test_what_was_committed_before_the_disk_failed_is_not_stored_again(
        self, mbox: MboxArchive, steps: Steps, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The line is in the table, it could not be flushed, and it could not be taken back either."""

        def fail(descriptor: int, *_: object) -> None:
            if stat.S_ISREG(os.fstat(descriptor).st_mode) and os.fstat(descriptor).st_ino == table:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        with mbox.open() as sink:
            mbox.keep(sink, ONE)
            table = (mbox.root / TOC).stat().st_ino
            with monkeypatch.context() as patch, pytest.raises(TransientError):
                patch.setattr("archipec_plugins.mbox.file.sync_file", fail)
                patch.setattr(os, "ftruncate", fail)
                mbox.keep(sink, TWO)
            with steps.struck():
                assert sink.find(ContentKey.of(TWO)) is not None
            assert steps.names == ["sync_files"]
            mbox.keep_missing(sink, ONE, TWO, THREE)
            assert mbox.held(sink) == [ONE, TWO, THREE]
        assert mbox.seen() == [ONE, TWO, THREE]

    def test_a_big_item_that_changes_between_put_and_commit(self, mbox: MboxArchive) -> None:
        big = b"Subject: big\r\n\r\n" + b"x" * 3_000_000
        versions = iter([big, big[:-1] + b"y"])
        item = make_item(big, open=lambda: io.BytesIO(next(versions)))
        with mbox.open() as sink:
            mbox.keep(sink, ONE)
            with pytest.raises(IntegrityError):
                mbox.keep(sink, TWO, item)
            assert mbox.held(sink) == [ONE]
            assert mbox.seen() == [ONE]

    def test_a_size_of_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="split_size"):
            configure(MBOX_SINK, {"path": str(tmp_path), "split": "size", "split_size": "0"})
