"""The zip sink, interrupted at every step on the way to disk: killed, or the disk fails."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from archipec.contract import ContentKey, Receipt, Sink, State, SupportsIterate, SupportsSettle
from archipec.errors import ArchipecError, TransientError
from archipec.testing import nasty_messages
from archipec_plugins.zip import ZIP_SINK
from testbed.zips import seen

if TYPE_CHECKING:
    from tests.plugins.conftest import Archive, Steps

STRIDE = 1 if os.environ.get("ARCHIPEC_DEPTH") == "full" else 9

NASTY = nasty_messages()
BIG = b"Subject: big\r\n\r\n" + b"From x\r\n" + b"0123456789abcdef" * 70_000  # more than is held in memory
FIRST = [NASTY["plain"], NASTY["from-lines"], NASTY["0-bytes"]]
SECOND = [NASTY["only-a-from-line"], BIG, *(b"Subject: %d\r\n\r\nFrom me" % n for n in range(9))]
LAST = [b"Subject: the next run\r\n\r\n"]

pytestmark = pytest.mark.usefixtures("unflushed")

VARIANTS = [
    pytest.param({}, id="eml"),
    pytest.param({"compress": "deflated"}, id="eml-deflated"),
    pytest.param({"inside": "maildir", "split": 3000}, id="maildir-by-size"),
    pytest.param({"inside": "mbox"}, id="mbox"),
    pytest.param({"inside": "mbox", "compress": "deflated", "split": 2500}, id="mbox-deflated-by-size"),
]


def some(count: int) -> range:
    """Return the steps at which something goes wrong: all at full depth, else some, other ones in every test."""
    return range(random.randrange(STRIDE), count, STRIDE)


def settle(sink: Sink, pending: Iterable[Receipt]) -> list[Receipt]:
    """Settle what is pending."""
    assert isinstance(sink, SupportsSettle)
    settled = list(sink.settle([receipt for receipt in pending if receipt.state is State.PENDING]))
    assert all(receipt.state is State.STORED for receipt in settled)
    return settled


def run(archive: Archive, receipts: list[Receipt]) -> None:
    """Archive two batches, the second after the end of a run, noting the receipts as the host does."""
    for batch in (FIRST, SECOND):
        with archive.open() as sink:
            kept = list(archive.keep(sink, *batch).values())
            receipts.extend(kept)
            receipts.extend(settle(sink, kept))


def assert_goes_on(archive: Archive, receipts: list[Receipt], *, in_mbox: bool) -> None:
    """Fail unless what was promised is there, nothing else is torn or double, and the next run completes all."""
    messages = FIRST + SECOND
    with archive.open() as sink:
        for receipt in receipts:
            assert ContentKey.of(archive.read(sink, receipt)) == receipt.key
            assert sink.find(receipt.key) is not None
        assert set(archive.held(sink)) <= set(messages)
        archive.keep_missing(sink, *messages, *LAST)
        assert archive.held(sink) == sorted(messages + LAST)
        assert isinstance(sink, SupportsIterate)
        settle(sink, list(sink.iterate()))
    with archive.open() as sink:
        for raw in messages + LAST:
            found = sink.find(ContentKey.of(raw))
            assert found is not None
            assert found.state is State.STORED
        assert archive.held(sink) == sorted(messages + LAST)
    in_view = seen(archive.root)
    assert len(in_view) == len(messages + LAST)
    assert in_mbox or in_view == sorted(messages + LAST)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("options", VARIANTS)
def test_killed_at_every_step(
    archive: Callable[..., Archive], steps: Steps, options: dict[str, Any], how: str
) -> None:
    with steps.struck():
        run(archive(ZIP_SINK, "whole", **options), [])
    assert steps.count >= 30
    for at in some(steps.count):
        receipts: list[Receipt] = []
        torn = archive(ZIP_SINK, f"torn-{at}", **options)
        with steps.struck(at, how):
            run(torn, receipts)
        assert_goes_on(torn, receipts, in_mbox=options.get("inside") == "mbox")


@pytest.mark.parametrize("how", ["full", "broken"])
@pytest.mark.parametrize("options", VARIANTS)
def test_a_disk_that_fails_at_every_step(
    archive: Callable[..., Archive], steps: Steps, options: dict[str, Any], how: str
) -> None:
    with steps.struck():
        run(archive(ZIP_SINK, "whole", **options), [])
    failures = 0
    for at in some(steps.count):
        receipts: list[Receipt] = []
        failing = archive(ZIP_SINK, f"failing-{at}", **options)
        try:
            with steps.struck(at, how):
                run(failing, receipts)
        except ArchipecError as error:
            assert isinstance(error, TransientError), error
            failures += 1
        assert_goes_on(failing, receipts, in_mbox=options.get("inside") == "mbox")
    assert failures > steps.count // STRIDE // 3


@pytest.mark.parametrize("how", ["full", "broken"])
@pytest.mark.parametrize("options", VARIANTS)
def test_the_same_sink_goes_on_after_a_failure(
    archive: Callable[..., Archive], steps: Steps, options: dict[str, Any], how: str
) -> None:
    """A host that tries again needs no new opening: asked, the sink knows what it has and what it hasn't."""
    with steps.struck():
        run(archive(ZIP_SINK, "whole", **options), [])
    for at in some(steps.count):
        failing = archive(ZIP_SINK, f"failing-{at}", **options)
        with failing.open() as sink:
            try:
                with steps.struck(at, how):
                    for batch in (FIRST, SECOND):
                        settle(sink, failing.keep(sink, *batch).values())
            except ArchipecError:
                sink.commit()
            failing.keep_missing(sink, *FIRST, *SECOND)
            assert failing.held(sink) == sorted(FIRST + SECOND)
        assert_goes_on(failing, [], in_mbox=options.get("inside") == "mbox")
