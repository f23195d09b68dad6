"""The pool of workers: fed chunks of messages by one thread, which never waits for it unless it wants to.

A thread of the command goes with each worker: it sends chunks, takes the answers, finds the message that ended the
worker, and has answers recorded. All else is done by the thread that feeds the pool.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Self, TypeAlias

from archipec.custody.analysis.analyzer import Analysis, Analyzer, Answer
from archipec.custody.analysis.worker import Answers, Chunk, Message, NotStarted, Worker
from archipec.custody.run import Cancellation
from archipec.errors import ArchipecError, TransientError

__all__ = ["AnalysisPool", "Numbered"]

_MOST_WORKERS = 4
"""Each takes some 30 MB, and four judge more messages a second than any mailbox gives."""
_WORTH_A_START = 1.0
"""Seconds of work after which there may be enough for another worker: its start takes 0.35 s of a processor, and 30 MB."""
_AHEAD = 2  # chunks that a worker has, one of them at work
_CHUNK_MESSAGES = 64
_CHUNK_BYTES = 512 << 10
_HELD_BYTES = 4 << 20
"""Bytes in memory that wait for workers: a batch, which comes at once."""
_TOGETHER, _TOGETHER_BYTES = 500, 2 << 20  # answers that are recorded together, at least

Numbered: TypeAlias = tuple[int, Message]
"""A message with its content number, or whatever number its answers are to come back with."""


class AnalysisPool:
    """The workers, started when the first messages come; one thread uses it.

    Args:
        stop: when it is set, nothing waits for the workers any more.
        pools: how many may be at work at once, this one included: they share the processors.
    """

    def __init__(self, analyses: Sequence[Analysis], stop: Cancellation, pools: int = 1) -> None:
        self._stop = stop
        self._pools = pools
        self._recorders = [_Recorder(one) for one in analyses]
        self._analyzers: dict[int, Analyzer] | None = None
        self._preparing = threading.Lock()
        self._chunks: SimpleQueue[Chunk | None] = SimpleQueue()
        self._done: SimpleQueue[Chunk | None] = SimpleQueue()
        self._hands: list[tuple[threading.Thread, Worker]] = []
        self._under_way = 0
        self._held = 0
        self._ending = False
        self._not_started: ArchipecError | None = None
        self._bug: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def errors(self) -> list[ArchipecError]:
        """Why some of the analyses, or all, were given up in this run."""
        errors = [one.error for one in self._recorders if one.error is not None]
        return errors if self._not_started is None else [*errors, self._not_started]

    @property
    def is_idle(self) -> bool:
        """Whether all that it was fed is answered for and recorded, and nothing went wrong."""
        waiting = any(one.is_waiting for one in self._recorders)
        return not self._under_way and not waiting and self._bug is None and not self.errors

    def turn_to(self, analyses: Sequence[Analysis], stop: Cancellation) -> bool:
        """Go on with other analyses, by the same workers; False where these run other analyzers. Only while it is idle."""
        recorders = [_Recorder(one) for one in analyses]
        if _prepare(recorders) != self._analyzers:
            return False
        self._recorders, self._stop = recorders, stop
        return True

    def offer(self, messages: Iterable[Numbered]) -> None:
        """Take messages, to be analyzed by all analyses, as long as there is room for them. Never waits.

        Args:
            messages: of which no more is taken than there is room for.
        """
        with suppress(Empty):
            while True:
                self._count_done(self._done.get_nowait())
        if self._works:
            for chunk in _chunks(self._while_there_is_room(messages), range(len(self._recorders))):
                self._put(chunk, _most_workers(pools=self._pools, spared=1))

    def _while_there_is_room(self, messages: Iterable[Numbered]) -> Iterator[Numbered]:
        left = iter(messages)
        room = _HELD_BYTES - self._held
        while room > 0 and (numbered := next(left, None)) is not None:
            room -= _weight(numbered[1])
            yield numbered

    def feed(self, messages: Iterable[Numbered], analyses: Sequence[int]) -> bool:
        """Have messages analyzed, taken as fast as that goes; False when the user asks to stop, or nothing works.

        Only when no download goes on: more workers are started then, if it takes long.

        Args:
            analyses: positions of those that are to be made.
        """
        most, began = _most_workers(pools=self._pools), time.monotonic()
        for chunk in _chunks(messages, analyses):
            workers = most if time.monotonic() - began >= _WORTH_A_START else min(most, len(self._hands) or 1)
            while self._works and self._under_way > _AHEAD * workers and self._wait():
                pass
            self._raise_bug()
            if not self._works or self._stop.is_set():
                return False
            self._put(chunk, workers)
        return True

    def _put(self, chunk: Chunk, workers: int) -> None:
        self._under_way += 1
        self._held += chunk.size
        self._chunks.put(chunk)
        # One that could not even get what it keeps ahead would not be worth its start.
        if not self._hands or len(self._hands) < min(self._under_way // _AHEAD, workers):
            self._start_worker()

    def finish(self) -> None:
        """Wait until everything is answered for and recorded, or the user asks to stop."""
        while self._under_way and self._wait():
            pass
        for recorder in self._recorders:
            recorder.flush()
        self._raise_bug()

    def _raise_bug(self) -> None:
        if self._bug is not None:
            raise self._bug

    @property
    def _works(self) -> bool:
        broken = self._not_started is not None or self._bug is not None
        return not broken and any(one.error is None for one in self._recorders)

    def _wait(self) -> bool:
        """Wait until a chunk is done; False when the user asks to stop."""
        self._stop.wake = self._wake
        try:
            if self._stop.is_set():
                return False
            self._count_done(self._done.get())
        finally:
            self._stop.wake = None
        return not self._stop.is_set()

    def _wake(self) -> None:
        self._done.put(None)

    def _count_done(self, chunk: Chunk | None) -> None:
        if chunk is not None:
            self._under_way -= 1
            self._held -= chunk.size

    def _close(self) -> None:
        self._ending = True
        for _, worker in self._hands:
            worker.stop()
            self._chunks.put(None)
        for thread, _ in self._hands:
            thread.join()
        if self._bug is None:  # else what records may be what has it, and its error is on its way already
            for recorder in self._recorders:
                recorder.flush()

    # -- the threads that go with the workers ------------------------------------------------------

    def _start_worker(self) -> None:
        worker = Worker(self._hand_on)
        thread = threading.Thread(target=self._run, args=(worker,), name="analysis", daemon=True)
        self._hands.append((thread, worker))
        thread.start()

    def _run(self, worker: Worker) -> None:
        try:
            self._work_with(worker)
        except NotStarted as error:
            if not self._ending:
                self._not_started = self._not_now(error)
        except BaseException as error:  # noqa: BLE001 - raised where the pool is used
            self._bug = error
        else:
            return
        finally:
            self._release(worker.end())
        # What comes now is not to be waited for in vain.
        while (chunk := self._chunks.get()) is not None:
            self._release([chunk])

    def _work_with(self, worker: Worker) -> None:
        analyzers = self._prepared()
        while True:
            if worker.under_way < _AHEAD:
                with suppress(Empty):
                    chunk = self._chunks.get(block=not worker.under_way)
                    if chunk is None:
                        return
                    chunk.leave_out(n for n, one in enumerate(self._recorders) if one.error is not None)
                    self._release([chunk] if chunk.done else worker.send(analyzers, chunk))
                    continue
            self._release(worker.receive())

    def _prepared(self) -> dict[int, Analyzer]:
        with self._preparing:
            if self._analyzers is None:
                self._analyzers = _prepare(self._recorders)
            return self._analyzers

    def _hand_on(self, answers: Answers) -> None:
        self._recorders[answers.analyzer].add(answers)

    def _release(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            chunk.remove_files()
            self._done.put(chunk)

    def _not_now(self, error: NotStarted) -> ArchipecError:
        undone = " and ".join(one.undone for one in self._recorders)
        return TransientError(
            f"{undone} now: the program that does it {error}",
            hint="the messages are kept; `archipec archive` makes up for it when it runs again",
        )


class _Recorder:
    """Collects what all workers say to one analysis, and has it recorded, much at a time and by one thread at a time."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._size = 0
        self.undone = analysis.undone
        self.error: ArchipecError | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it has answers that are not recorded yet."""
        return bool(self._answers)

    def prepare(self) -> Analyzer | None:
        try:
            return self._analysis.prepare()
        except ArchipecError as error:
            self.error = error
            return None

    def add(self, answers: Answers) -> None:
        with self._lock:
            self._answers += answers.answers
            self._size += answers.size
            if len(self._answers) >= _TOGETHER or self._size >= _TOGETHER_BYTES:
                self._record()

    def flush(self) -> None:
        with self._lock:
            self._record()

    def _record(self) -> None:
        answers, self._answers, self._size = self._answers, [], 0
        if not answers or self.error is not None:
            return
        try:
            self._analysis.record(answers)
        except ArchipecError as error:
            self.error = error


def _prepare(recorders: Sequence[_Recorder]) -> dict[int, Analyzer]:
    made = ((number, one.prepare()) for number, one in enumerate(recorders))
    return {number: one for number, one in made if one is not None}


def _most_workers(pools: int = 1, spared: int = 0) -> int:
    """Return how many may be at work in one of so many pools.

    Args:
        spared: processors that are left to the download: what it brings they wait for.
    """
    if sys.platform == "linux":
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    return max(1, min((usable - spared) // pools, _MOST_WORKERS))


def _weight(message: Message) -> int:
    """For how many bytes a message counts: a file for as many as a chunk may have."""
    return len(message) if isinstance(message, bytes) else _CHUNK_BYTES


def _chunks(messages: Iterable[Numbered], analyses: Sequence[int]) -> Iterator[Chunk]:
    numbers: list[int] = []
    some: list[Message] = []
    size = 0
    for number, message in messages:
        numbers.append(number)
        some.append(message)
        size += _weight(message)
        if len(some) >= _CHUNK_MESSAGES or size >= _CHUNK_BYTES:
            yield Chunk(analyses, numbers, some, size)
            numbers, some, size = [], [], 0
    if some:
        yield Chunk(analyses, numbers, some, size)
