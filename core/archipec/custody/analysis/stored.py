"""Analyzes what archives hold and has no answer yet, or is to be analyzed again: read back, and handed to the workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

from archipec.config.endpoint import Endpoint
from archipec.contract import Sink, SinkType
from archipec.custody.analysis.analyzer import Analysis
from archipec.custody.analysis.pool import AnalysisPool, Numbered
from archipec.custody.readback import read_into, read_whole
from archipec.custody.run import Run, open_endpoint
from archipec.custody.spool import IN_MEMORY
from archipec.errors import ArchipecError, Scope, Unsupported
from archipec.message import Receipt

__all__ = ["analyze_stored", "read_messages"]

_PAGE = 1000


def analyze_stored(
    analyses: Sequence[Analysis], pool: AnalysisPool, sinks: Sequence[Endpoint[SinkType[Any]]], run: Run[Any]
) -> None:
    """Have everything analyzed that the sinks hold and an analysis lacks: each message once, for all that lack it.

    Args:
        pool: of these analyses.

    Raises:
        ArchipecError: a sink can't be opened or read.
    """
    assert run.temp is not None
    for endpoint in sinks:
        # What is under way is lacking until it is recorded.
        pool.finish()
        lacking = _lacking(analyses, run.ledger.copies.sink_number(endpoint.where))
        first = next(lacking, None)
        if first is None:
            continue
        # What is read is compared here, once.
        with open_endpoint(endpoint, replace(run.context(endpoint), compares=True)) as sink:
            for wanted, same in groupby(chain((first,), lacking), lambda one: one.analyses):
                receipts = ((one.content, one.receipt) for one in same)
                if not pool.feed(read_messages(sink, receipts, run.temp), wanted):
                    return
    pool.finish()


class _Lacking(NamedTuple):
    content: int
    receipt: Receipt
    analyses: tuple[int, ...]


def _lacking(analyses: Sequence[Analysis], sink: int) -> Iterator[_Lacking]:
    """Yield copies by content number, each with the positions of the analyses that lack it."""
    last: int | None = 0
    while last is not None:
        pages = [analysis.lacking(sink, last, _PAGE) for analysis in analyses]
        # A full page says nothing of what comes after it.
        last = min((page[-1].content for page in pages if len(page) == _PAGE), default=None)
        receipts = {copy.content: copy.receipt for page in pages for copy in page}
        lacked = [{copy.content for copy in page} for page in pages]
        for content in sorted(receipts):
            if last is None or content <= last:
                wanted = tuple(position for position, those in enumerate(lacked) if content in those)
                yield _Lacking(content, receipts[content], wanted)


def read_messages(sink: Sink, receipts: Iterable[tuple[int, Receipt]], temp: Path) -> Iterator[Numbered]:
    """Yield stored messages with the numbers that come with their receipts, large ones in new files.

    A copy that is damaged or missing is passed over: that is what `verify` is for, and an answer on it would be one on
    another message. Of a store that can't give copies back there is nothing.

    Args:
        temp: the private folder for the files.

    Raises:
        ArchipecError: wider than one copy.
    """
    for number, receipt in receipts:
        try:
            if receipt.key.size <= IN_MEMORY:
                yield number, read_whole(sink, receipt)
            else:
                file = temp / f"to-analyze-{number}"
                read_into(sink, receipt, file)
                yield number, file
        except Unsupported:
            return
        except ArchipecError as error:
            if error.scope > Scope.MESSAGE:
                raise
