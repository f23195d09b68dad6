"""A worker process that judges messages: what a hostile one does to it, it does not do to the archive.

Each message has its time; the worker that overruns it ends, and so does one that the message kills. The messages
it had are then judged one by one, and the guilty one gets its verdict for that.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Self, TypeAlias

from archipec.custody.verdict import Verdict
from archipec.pec.anchors import Anchors
from archipec.pec.octets import FileOctets, Octets
from archipec.pec.seal import Status

__all__ = ["Judges", "Message"]

# One worker, which judges some 5,000 messages a second: each takes as much memory as the rest of a run.
_WORKERS = 1
_AHEAD = 2  # chunks
_CHUNK_MESSAGES = 64
_CHUNK_BYTES = 1 << 20
_SECONDS = 30  # for one message; the largest there are take less than one


Message: TypeAlias = bytes | Path
"""A message; one too large for memory comes as a file, which is removed once it is judged."""
_Numbered: TypeAlias = tuple[int, Message]


class Judges:
    """The worker, started when the first message comes and again when one has ended it."""

    def __init__(self, anchors: Anchors) -> None:
        self._anchors = anchors
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def judge(self, messages: Iterable[_Numbered]) -> Iterator[tuple[int, Verdict]]:
        """Yield (number, verdict) for each (number, message), in their order.

        Messages are taken as fast as they are judged: a few chunks of them are held at a time.
        """
        under_way: deque[tuple[list[_Numbered], Future[list[Verdict]]]] = deque()
        for chunk in _chunks(messages):
            under_way.append((chunk, self._submit(chunk)))
            if len(under_way) >= _AHEAD:
                yield from self._collect(under_way)
        while under_way:
            yield from self._collect(under_way)

    def _submit(self, chunk: list[_Numbered]) -> Future[list[Verdict]]:
        if self._pool is None:
            # Not forked: this process has threads, and locks that a copy of it would find taken for ever.
            self._pool = ProcessPoolExecutor(
                _WORKERS, multiprocessing.get_context("spawn"), initializer=_prepare
            )
        return self._pool.submit(_judge_all, [message for _, message in chunk], self._anchors)

    def _collect(
        self, under_way: deque[tuple[list[_Numbered], Future[list[Verdict]]]]
    ) -> Iterator[tuple[int, Verdict]]:
        chunk, future = under_way.popleft()
        try:
            verdicts = future.result()
        except BrokenExecutor:
            # Everything the pool had is lost; whose fault it was shows when each is judged by itself.
            lost = [chunk, *(one for one, _ in under_way)]
            under_way.clear()
            self._end()
            for number, message in (numbered for one in lost for numbered in one):
                yield number, self._judge_alone(message)
                _remove(message)
            return
        for (number, message), verdict in zip(chunk, verdicts, strict=True):
            yield number, verdict
            _remove(message)

    def _judge_alone(self, message: Message) -> Verdict:
        try:
            return self._submit([(0, message)]).result()[0]
        except BrokenExecutor:
            self._end()
            return _undone()

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _remove(message: Message) -> None:
    if isinstance(message, Path):
        message.unlink(missing_ok=True)


def _chunks(messages: Iterable[_Numbered]) -> Iterator[list[_Numbered]]:
    chunk: list[_Numbered] = []
    size = 0
    for number, message in messages:
        chunk.append((number, message))
        size += _CHUNK_BYTES if isinstance(message, Path) else len(message)
        if len(chunk) >= _CHUNK_MESSAGES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


# -- in the worker -------------------------------------------------------------------------------------


def _prepare() -> None:
    # Ctrl-C goes to the whole group; the run decides when the judging ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _judge_all(messages: list[Message], anchors: Anchors) -> list[Verdict]:
    verdicts = []
    for message in messages:
        _give_time(_SECONDS)
        if isinstance(message, Path):
            with message.open("rb") as file:
                verdicts.append(_judge(FileOctets(file), anchors))
        else:
            verdicts.append(_judge(message, anchors))
    _give_time(0)
    return verdicts


def _judge(raw: Octets, anchors: Anchors) -> Verdict:
    from archipec.pec.judgement import judge, record

    judgement = judge(raw, anchors)
    date = judgement.date
    certified = None if date is None else int(date.timestamp())
    return Verdict(str(judgement.seal.status), judgement.kind, certified, record(raw, judgement))


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
