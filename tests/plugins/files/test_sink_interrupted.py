"""Both sinks, interrupted at every step on the way to disk: killed, or the disk fails."""

from __future__ import annotations

import hashlib
import io
import mailbox
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from archipec.contract import ContentKey, Receipt, SinkType, SupportsCheck
from archipec.errors import ArchipecError, IntegrityError, TransientError
from archipec.testing import make_item, nasty_messages
from archipec_plugins.eml import EML_SINK
from archipec_plugins.maildir import MAILDIR_SINK
from archipec_plugins.mbox import MBOX_SINK

if TYPE_CHECKING:
    from tests.plugins.conftest import Archive, Steps

NASTY = nasty_messages()
BIG = b"Subject: big\r\n\r\n" + b"From x\r\n" + b"0123456789abcdef" * 70_000  # more than is held in memory
FIRST = [NASTY["plain"], NASTY["from-lines"], NASTY["0-bytes"]]
SECOND = [NASTY["only-a-from-line"], BIG, *(b"Subject: %d\r\n\r\nFrom me" % n for n in range(9))]
LAST = [b"Subject: the next run\r\n\r\n"]

pytestmark = pytest.mark.usefixtures("unflushed")

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"

VARIANTS = [
    pytest.param(MAILDIR_SINK, {"layout": "folder"}, id="maildir"),
    pytest.param(EML_SINK, {}, id="eml"),
    pytest.param(MBOX_SINK, {}, id="mbox"),
    pytest.param(MBOX_SINK, {"split": "size", "split_size": 800}, id="mbox-by-size"),
]


def run(archive: Archive, receipts: list[Receipt]) -> None:
    """Archive two batches, noting the receipts as the host does."""
    with archive.open() as sink:
        for batch in (FIRST, SECOND):
            receipts.extend(archive.keep(sink, *batch).values())


def in_view(archive: Archive) -> int:
    """Return how many messages another program sees."""
    seen = 0
    for path in archive.root.glob("*.mbox"):
        box = mailbox.mbox(path, create=False)
        seen += len(box)
        box.close()
    for path in archive.root.glob("*/cur"):
        seen += len(mailbox.Maildir(path.parent, create=False))
    return seen + sum(1 for _ in archive.root.rglob("*.eml"))


def listed(archive: Archive) -> set[str]:
    """Return the lines of the manifest, of which none may be there twice."""
    lines = (archive.root / "SHA256SUMS").read_text().splitlines()
    assert len(set(lines)) == len(lines)
    return set(lines)


def assert_goes_on(archive: Archive, receipts: list[Receipt]) -> None:
    """Fail unless what was promised is there, nothing else is torn or double, and the next run completes all."""
    messages = FIRST + SECOND
    with archive.open() as sink:
        for receipt in receipts:
            assert ContentKey.of(archive.read(sink, receipt)) == receipt.key
            assert sink.find(receipt.key) is not None
        assert set(archive.held(sink)) <= set(messages)
        archive.keep_missing(sink, *messages, *LAST)
        assert archive.held(sink) == sorted(messages + LAST)
    with archive.open() as sink:
        assert archive.held(sink) == sorted(messages + LAST)
        if isinstance(sink, SupportsCheck):
            assert list(sink.check()) == []
        if (archive.root / "SHA256SUMS").exists():
            assert listed(archive) == {
                f"{hashlib.sha256(content).hexdigest()}  {path}" for path, content in archive.files().items()
            }
    assert in_view(archive) == len(messages + LAST)
    assert not (archive.root / ".archipec.tmp").exists()


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize(("record", "options"), VARIANTS)
def test_killed_at_every_step(
    archive: Callable[..., Archive], steps: Steps, record: SinkType[Any], options: dict[str, Any], how: str
) -> None:
    with steps.struck():
        run(archive(record, "whole", **options), [])
    assert steps.count >= 20
    for at in range(steps.count):
        receipts: list[Receipt] = []
        torn = archive(record, f"torn-{at}", **options)
        with steps.struck(at, how):
            run(torn, receipts)
        assert_goes_on(torn, receipts)


@pytest.mark.parametrize("how", ["full", "broken"])
@pytest.mark.parametrize(("record", "options"), VARIANTS)
def test_a_disk_that_fails_at_every_step(
    archive: Callable[..., Archive], steps: Steps, record: SinkType[Any], options: dict[str, Any], how: str
) -> None:
    with steps.struck():
        run(archive(record, "whole", **options), [])
    failures = 0
    for at in range(steps.count):
        receipts: list[Receipt] = []
        failing = archive(record, f"failing-{at}", **options)
        try:
            with steps.struck(at, how):
                run(failing, receipts)
        except ArchipecError as error:
            assert isinstance(error, TransientError), error
            failures += 1
        assert_goes_on(failing, receipts)
    assert failures > steps.count // 3


@pytest.mark.parametrize("how", ["full", "broken"])
@pytest.mark.parametrize(("record", "options"), VARIANTS)
def test_the_same_sink_goes_on_after_a_failure(
    archive: Callable[..., Archive], steps: Steps, record: SinkType[Any], options: dict[str, Any], how: str
) -> None:
    """A host that tries again needs no new opening: asked, the sink knows what it has and what it hasn't."""
    with steps.struck():
        run(archive(record, "whole", **options), [])
    for at in range(0, steps.count, 1 if FULL else 3):
        failing = archive(record, f"failing-{at}", **options)
        with failing.open() as sink:
            try:
                with steps.struck(at, how):
                    for batch in (FIRST, SECOND):
                        failing.keep(sink, *batch)
            except ArchipecError:
                sink.commit()
            failing.keep_missing(sink, *FIRST, *SECOND)
            assert failing.held(sink) == sorted(FIRST + SECOND)
        assert_goes_on(failing, [])


@pytest.mark.parametrize(("record", "options"), VARIANTS)
def test_what_an_earlier_run_left_is_made_durable_before_it_is_vouched_for(
    archive: Callable[..., Archive], steps: Steps, record: SinkType[Any], options: dict[str, Any]
) -> None:
    """A run that was killed may have left in view what it had not flushed; find promises that it is kept."""
    left = archive(record, **options)
    with left.open() as sink:
        left.keep(sink, *FIRST)
    with left.open() as sink, steps.struck():
        assert sink.find(ContentKey.of(FIRST[0])) is not None
        flushes, steps.names = steps.names, []
        assert sink.find(ContentKey.of(FIRST[0])) is not None
    assert flushes == (["sync_files"] if record is MBOX_SINK else ["sync_directories"])
    assert steps.names == []


@pytest.mark.parametrize(("record", "options"), VARIANTS)
def test_a_disk_that_takes_a_little_at_a_time(
    archive: Callable[..., Archive],
    monkeypatch: pytest.MonkeyPatch,
    record: SinkType[Any],
    options: dict[str, Any],
) -> None:
    write = os.write
    slow = archive(record, **options)
    with slow.open() as sink:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
            slow.keep(sink, *FIRST)
        assert slow.held(sink) == sorted(FIRST)


@pytest.mark.parametrize(("record", "options"), VARIANTS)
def test_a_reader_without_end(
    archive: Callable[..., Archive], record: SinkType[Any], options: dict[str, Any]
) -> None:
    class Endless(io.RawIOBase):
        left = 100

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            Endless.left -= 1
            assert Endless.left, "the sink reads on when the message must have ended"
            return len(buffer)

    item = make_item(b"x", open=lambda: io.BufferedReader(Endless()))
    with archive(record, **options).open() as sink, pytest.raises(IntegrityError):
        sink.put(item)
