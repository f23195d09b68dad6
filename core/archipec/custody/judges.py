"""Worker processes that judge messages: what a hostile one does to them, it does not do to the archive.

Each message has its time; the worker that overruns it ends, and so does one that the message kills. The messages
it had are then judged one by one, and the guilty one gets its verdict for that.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import Self, TypeAlias

from archipec.custody.verdict import Verdict
from archipec.pec.anchors import Anchors
from archipec.pec.seal import Status

__all__ = ["Judges"]

_MOST_WORKERS = 4
_CHUNK_MESSAGES = 64
_CHUNK_BYTES = 1 << 20
_SECONDS = 30  # for one message; the largest there are take less than one


_Message: TypeAlias = tuple[int, bytes]


class Judges:
    """A pool of workers, started when the first message comes."""

    def __init__(self, anchors: Anchors) -> None:
        self._anchors = anchors
        self._pool: ProcessPoolExecutor | None = None
        self._workers = min(os.cpu_count() or 1, _MOST_WORKERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def judge(self, messages: Iterable[_Message]) -> Iterator[tuple[int, Verdict]]:
        """Yield (number, verdict) for each (number, message), in their order.

        Messages are taken as fast as they are judged: a few chunks of them are held at a time.
        """
        under_way: deque[tuple[list[_Message], Future[list[Verdict]]]] = deque()
        for chunk in _chunks(messages):
            under_way.append((chunk, self._submit(chunk)))
            if len(under_way) > self._workers:
                yield from self._collect(under_way)
        while under_way:
            yield from self._collect(under_way)

    def _submit(self, chunk: list[_Message]) -> Future[list[Verdict]]:
        if self._pool is None:
            # Not forked: this process has threads, and locks that a copy of it would find taken for ever.
            self._pool = ProcessPoolExecutor(
                self._workers, multiprocessing.get_context("spawn"), initializer=_prepare
            )
        return self._pool.submit(_judge_all, [raw for _, raw in chunk], self._anchors)

    def _collect(
        self, under_way: deque[tuple[list[_Message], Future[list[Verdict]]]]
    ) -> Iterator[tuple[int, Verdict]]:
        chunk, future = under_way.popleft()
        try:
            verdicts = future.result()
        except BrokenExecutor:
            # Everything the pool had is lost; whose fault it was shows when each is judged by itself.
            lost = [chunk, *(one for one, _ in under_way)]
            under_way.clear()
            self._end()
            for number, raw in (message for one in lost for message in one):
                yield number, self._judge_alone(raw)
            return
        yield from zip((number for number, _ in chunk), verdicts, strict=True)

    def _judge_alone(self, raw: bytes) -> Verdict:
        try:
            return self._submit([(0, raw)]).result()[0]
        except BrokenExecutor:
            self._end()
            return _undone()

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _chunks(messages: Iterable[_Message]) -> Iterator[list[_Message]]:
    chunk: list[_Message] = []
    size = 0
    for message in messages:
        chunk.append(message)
        size += len(message[1])
        if len(chunk) >= _CHUNK_MESSAGES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


# -- in the worker -------------------------------------------------------------------------------------


def _prepare() -> None:
    # Ctrl-C goes to the whole group; the run decides when the judging ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _judge_all(messages: list[bytes], anchors: Anchors) -> list[Verdict]:
    from archipec.pec.judgement import judge, record

    verdicts = []
    for raw in messages:
        _give_time(_SECONDS)
        judgement = judge(raw, anchors)
        date = judgement.date
        certified = None if date is None else int(date.timestamp())
        verdicts.append(
            Verdict(str(judgement.seal.status), judgement.kind, certified, record(raw, judgement))
        )
    _give_time(0)
    return verdicts


def _give_time(seconds: int) -> None:
    """End this process after a time, whatever it is at: no code needs to agree. (Windows has no such alarm.)"""
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _undone() -> Verdict:
    reason = "the message can't be judged: doing so took too long or ended the program that tried"
    return Verdict(
        Status.MALFORMED, "unknown", None, {"seal": {"status": str(Status.MALFORMED), "reason": reason}}
    )
