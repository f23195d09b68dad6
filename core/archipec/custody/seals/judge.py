"""Judges what a pipeline has stored, from the copies its sinks hold, and records the verdicts.

Storing never waits for it, and what an interrupted run left unjudged the next one judges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.contract import Sink, SinkType
from archipec.custody.ledger import Copy, Ledger
from archipec.custody.ledger.unsealed import ENVELOPE_MISSING
from archipec.custody.readback import read_into, read_whole
from archipec.custody.run import Cancellation, Run, now
from archipec.custody.seals.worker import Message, SealWorkers
from archipec.custody.spool import IN_MEMORY
from archipec.custody.verdict import Verdict
from archipec.durability import make_directory, read_named, write_file
from archipec.errors import ArchipecError, Scope, Unsupported, from_os_error
from archipec.message import Receipt
from archipec.pec.anchors import Anchors, TrustFiles
from archipec.pec.seal import Status

__all__ = ["judge_again", "judge_archive", "judge_stored"]

_LISTS = "lists"
_LARGEST_LIST = 64 << 20  # bytes; larger ones were refused when they were read
_PAGE = 1000
_RECORDED_TOGETHER = 200


def judge_stored(pipeline: Pipeline, run: Run[Any], on_verdict: Callable[[str], None]) -> None:
    """Record a verdict on everything held by the pipeline's archives that has none.

    Args:
        on_verdict: called with the status of each seal.

    Raises:
        ArchipecError: a certificate to trust can't be read, or a sink can't be opened.
    """
    ledger = run.ledger
    sinks = [(sink, ledger.copies.sink_number(sink.where)) for sink in pipeline.archives]
    waiting = [(sink, number) for sink, number in sinks if ledger.verdicts.unjudged(number, 0, 1)]
    if not waiting:
        return
    anchors = pipeline.trust.load()
    _keep_lists(pipeline.trust, anchors, run.state)
    with SealWorkers(anchors) as workers:
        for sink, number in waiting:
            copies = _pages(lambda last, number=number: ledger.verdicts.unjudged(number, last, _PAGE))  # type: ignore[misc]
            _judge_copies(sink, copies, run, workers, on_verdict)


def judge_again(pipeline: Pipeline, run: Run[Any], on_verdict: Callable[[str], None]) -> None:
    """Judge everything held by the pipeline's archives, once, whatever verdict is recorded.

    A recorded verdict gives way to the new one unless it is "valid": what was proven once stays proven.
    Arguments and errors as of `judge_stored`.
    """
    ledger = run.ledger
    done: list[int] = []
    anchors = pipeline.trust.load()
    _keep_lists(pipeline.trust, anchors, run.state)
    with SealWorkers(anchors) as workers:
        for sink in pipeline.archives:
            number = ledger.copies.sink_number(sink.where)
            copies = _pages(lambda last, number=number: ledger.verdicts.held_first(number, done, last, _PAGE))  # type: ignore[misc]
            _judge_copies(sink, copies, run, workers, on_verdict)
            done.append(number)


def _keep_lists(trust: TrustFiles, anchors: Anchors, state: Path) -> None:
    """Keep the lists that verdicts will rest on, so that each can be judged again by the lists of its time.

    They go into ``lists`` in the state folder, each named by the SHA-256 by which `basis` of a verdict names it: the
    trusted lists as they are, the lists of revoked certificates as DER.

    Raises:
        ArchipecError: one can't be read, or kept.
    """
    folder = state / _LISTS
    try:
        for data in (*(read_named(path, _LARGEST_LIST) for path in trust.lists), *anchors.crls):
            kept = folder / hashlib.sha256(data).hexdigest()
            if not kept.exists():
                make_directory(folder)
                write_file(kept, data)
    except OSError as error:
        raise from_os_error(error, error.filename or folder) from error


def judge_archive(
    sink: Sink,
    receipts: Iterable[Receipt],
    temp: Path,
    trust: TrustFiles,
    stop: Cancellation,
    on_verdict: Callable[[str], None],
) -> None:
    """Judge what an archive holds by its own account, without a ledger."""
    copies = (Copy(number, receipt) for number, receipt in enumerate(receipts))
    with SealWorkers(trust.load()) as workers:
        for _, verdict in workers.judge(_messages(sink, copies, temp, stop)):
            on_verdict(verdict.status)


def _judge_copies(
    sink: Endpoint[SinkType[Any]],
    copies: Iterator[Copy],
    run: Run[Any],
    workers: SealWorkers,
    on_verdict: Callable[[str], None],
) -> None:
    assert run.temp is not None
    with run.open(sink) as opened:
        verdicts = workers.judge(_messages(opened, copies, run.temp, run.stop))
        while some := list(islice(verdicts, _RECORDED_TOGETHER)):
            _say_what_is_missing(some, run.ledger)
            run.ledger.verdicts.record(some, now())
            for _, verdict in some:
                on_verdict(verdict.status)


def _say_what_is_missing(verdicts: Sequence[tuple[int, Verdict]], ledger: Ledger) -> None:
    """Give the reason a message alone can't know: that its seal stayed behind with its envelope."""
    loose = ledger.unsealed.among([content for content, _ in verdicts])
    for content, verdict in verdicts:
        if content in loose and verdict.status == Status.UNSIGNED:
            verdict.record["seal"]["reason"] = ENVELOPE_MISSING


def _pages(page: Callable[[int], list[Copy]]) -> Iterator[Copy]:
    last = 0
    while copies := page(last):
        yield from copies
        last = copies[-1].content


def _messages(
    sink: Sink, copies: Iterable[Copy], temp: Path, stop: Cancellation
) -> Iterator[tuple[int, Message]]:
    for copy in copies:
        if stop.is_set():
            return
        try:
            message = _read(sink, copy, temp)
        except Unsupported:
            return
        # A damaged copy is what `verify` is for; a verdict on it would be one on another message.
        if message is not None:
            yield copy.content, message


def _read(sink: Sink, copy: Copy, temp: Path) -> Message | None:
    try:
        if copy.receipt.key.size <= IN_MEMORY:
            return read_whole(sink, copy.receipt)
        file = temp / f"to-judge-{copy.content}"
        read_into(sink, copy.receipt, file)
    except ArchipecError as error:
        if error.scope > Scope.MESSAGE:
            raise
        return None
    return file
