"""The MBOX sink: what other programs do to its files.

Messages that a mail program appended stay, wherever they are; ours go behind them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from archipec.contract import ContentKey, SupportsFinish
from archipec.errors import IntegrityError, MissingCopy, PermanentError, TransientError
from archipec.testing import make_item

if TYPE_CHECKING:
    from tests.plugins.conftest import MboxArchive

ONE, TWO, THREE = (b"Subject: %d\r\n\r\ntext\r\n" % n for n in range(3))
DATA, TOC = "archive.mbox", "archive.mbox.toc"
FOREIGN = b"From - Thu Jan  1 00:00:00 2026\r\nSubject: by a mail program\r\n\r\ntext\r\n\r\n"


@pytest.mark.parametrize("foreign", [FOREIGN, FOREIGN.rstrip(), FOREIGN.replace(b"\n", b"\r\n"), b"x", b"\n"])
def test_after_a_run_that_ended(mbox: MboxArchive, foreign: bytes) -> None:
    with mbox.open() as sink:
        mbox.keep(sink, ONE)
    mbox.append(foreign)
    before = mbox.files()[DATA]
    with mbox.open() as sink:
        mbox.keep(sink, TWO)
        assert mbox.held(sink) == [ONE, TWO]
    after = mbox.files()[DATA]
    assert after.startswith(before)
    assert after[len(before) :].lstrip(b"\n").startswith(b"From archipec@")
    assert mbox.seen()[-1] == TWO


def test_even_what_another_archive_of_ours_had(mbox: MboxArchive, mboxes: Callable[..., MboxArchive]) -> None:
    other = mboxes("other")
    for each, raw in ((mbox, ONE), (other, TWO)):
        with each.open() as sink:
            each.keep(sink, raw)
    mbox.append(other.files()[DATA])
    # A run that is killed before its first message is whole has said where its own part begins.
    _, whole = mbox.killed([], [THREE])
    lines = whole.splitlines(keepends=True)
    mbox.restore({TOC: b"".join(lines[:-1])})
    with mbox.open() as sink:
        mbox.keep(sink, THREE)
    assert mbox.seen() == [ONE, TWO, THREE]


def test_after_a_run_that_was_killed(mbox: MboxArchive) -> None:
    mbox.killed([ONE], [TWO])
    mbox.append(FOREIGN)
    before = mbox.files()[DATA]
    with mbox.open() as sink:
        mbox.keep(sink, THREE)
        assert mbox.held(sink) == [ONE, THREE]
    assert mbox.files()[DATA].startswith(before)
    assert mbox.seen()[-1] == THREE


@pytest.mark.usefixtures("unflushed")
def test_wherever_the_other_program_s_line_lies(mbox: MboxArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    between, _ = mbox.killed([ONE], [TWO])
    torn = mbox.files()[DATA]
    for chunk in range(30, 100):
        monkeypatch.setattr("archipec_plugins.mbox.file.CHUNK", chunk)
        mbox.restore({DATA: torn + FOREIGN, TOC: between[TOC]})
        with mbox.open() as sink:
            mbox.keep(sink, THREE)
        assert FOREIGN in mbox.files()[DATA]


def test_what_begins_like_nothing_of_ours(mbox: MboxArchive) -> None:
    between, _ = mbox.killed([ONE], [TWO])
    mbox.restore({DATA: between[DATA] + b"notes at the end of the file\n"})
    with mbox.open() as sink:
        mbox.keep(sink, THREE)
    assert b"notes at the end of the file\n" in mbox.files()[DATA]


def test_between_two_batches(mbox: MboxArchive) -> None:
    with mbox.open() as sink:
        mbox.keep(sink, ONE)
        mbox.append(FOREIGN)
        receipts = mbox.keep(sink, TWO)
        assert mbox.read(sink, receipts[ContentKey.of(TWO)]) == TWO
        assert mbox.held(sink) == [ONE, TWO]
    with mbox.open() as sink:
        mbox.keep(sink, THREE)
        assert mbox.held(sink) == [ONE, TWO, THREE]
    assert mbox.seen() == [ONE, FOREIGN.partition(b"\n")[2], TWO, THREE]


def test_in_the_middle_of_a_batch(mbox: MboxArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        if data.startswith(b"From archipec@"):
            mbox.append(FOREIGN)
        return write(descriptor, data)

    with mbox.open() as sink:
        mbox.keep(sink, ONE)
        with monkeypatch.context() as patch, pytest.raises(TransientError, match="another program"):
            patch.setattr(os, "write", interrupted)
            mbox.keep(sink, TWO)
        assert sink.find(ContentKey.of(TWO)) is None
        mbox.keep(sink, TWO)
        assert mbox.held(sink) == [ONE, TWO]
    assert FOREIGN in mbox.files()[DATA]


def test_a_file_that_was_there_before_us(mbox: MboxArchive) -> None:
    (mbox.root / DATA).write_bytes(FOREIGN)
    with mbox.open() as sink:
        mbox.keep(sink, ONE)
        assert mbox.held(sink) == [ONE]
    assert mbox.files()[DATA].startswith(FOREIGN)
    assert len(mbox.seen()) == 2


@pytest.mark.parametrize("cut", [0, 60, 130])
def test_a_file_that_got_shorter(mbox: MboxArchive, cut: int) -> None:
    with mbox.open() as sink:
        receipts = mbox.keep(sink, ONE, TWO)
    os.truncate(mbox.root / DATA, cut)
    with mbox.open() as sink:
        with pytest.raises(MissingCopy):
            mbox.read(sink, receipts[ContentKey.of(TWO)])
        assert sink.find(ContentKey.of(TWO)) is None
        mbox.keep_missing(sink, ONE, TWO)
        assert mbox.held(sink) == [ONE, TWO]
    with mbox.open() as sink:
        assert mbox.held(sink) == [ONE, TWO]


def test_a_file_that_was_taken_away_while_open(mbox: MboxArchive) -> None:
    with mbox.open() as sink:
        mbox.keep(sink, ONE)
        (mbox.root / DATA).unlink()
        assert sink.find(ContentKey.of(ONE)) is None
        mbox.keep(sink, ONE, TWO)
        assert mbox.held(sink) == [ONE, TWO]
    assert mbox.seen() == [ONE, TWO]


def test_a_file_that_was_replaced_while_open(mbox: MboxArchive) -> None:
    """By one of the same size, as programs do that write anew and rename."""
    with mbox.open() as sink:
        mbox.keep(sink, ONE)
        new = mbox.root / "new"
        new.write_bytes(mbox.files()[DATA])
        new.replace(mbox.root / DATA)
        mbox.keep(sink, TWO)
        assert mbox.held(sink) == [ONE, TWO]
    assert mbox.seen() == [ONE, TWO]


def test_a_file_whose_first_message_was_deleted(mbox: MboxArchive) -> None:
    """As a mail program does that compacts: every copy is somewhere else then, and none may pass for another."""
    same = [b"Subject: %d\r\n\r\n" % n for n in range(3)]
    with mbox.open() as sink:
        receipts = mbox.keep(sink, *same)
    data = mbox.files()[DATA]
    mbox.restore({DATA: data[data.index(b"From", 1) :]})
    with mbox.open() as sink:
        for key, receipt in receipts.items():
            with pytest.raises(IntegrityError):
                mbox.read(sink, receipt)
            assert sink.find(key) is None
        mbox.keep_missing(sink, *same)
        assert mbox.held(sink) == same


def test_without_its_table_all_is_somebody_elses(mbox: MboxArchive) -> None:
    (mbox.root / DATA).write_bytes(FOREIGN)
    with mbox.open() as sink:
        assert sink.find(ContentKey.of(ONE)) is None
        mbox.keep(sink, ONE)
        assert isinstance(sink, SupportsFinish)
        sink.finish()
    assert mbox.seen()[-1] == ONE
    assert mbox.files()[DATA].startswith(FOREIGN)


def test_nothing_is_added_where_the_table_is_gone(mbox: MboxArchive) -> None:
    """A new table would hide that the messages before it can't be found any more."""
    with mbox.open() as sink:
        mbox.keep(sink, ONE)
    (mbox.root / TOC).unlink()
    before = mbox.files()[DATA]
    with mbox.open() as sink:
        assert sink.find(ContentKey.of(ONE)) is None
        with pytest.raises(IntegrityError, match=r"by which 1 message in .* is found, is gone"):
            mbox.keep(sink, ONE)
    assert mbox.files()[DATA] == before
    assert not (mbox.root / TOC).exists()


def test_a_table_of_a_later_version(mbox: MboxArchive) -> None:
    from zlib import crc32

    (mbox.root / DATA).write_bytes(b"")
    (mbox.root / TOC).write_bytes(b"V 2 %08x\n" % crc32(b"V 2"))
    with mbox.open() as sink:
        with pytest.raises(PermanentError, match="later version"):
            sink.find(ContentKey.of(ONE))
        with pytest.raises(PermanentError, match="later version"):
            sink.put(make_item(ONE))
