"""One worker process, as the command sees it: what a hostile message does to it, it does not do to the archive.

Each message has its time; the worker that overruns it ends, and so does one that the message kills. What it was
given without an answer is then given to another, each message alone. The guilty one is tried once more with careful
settings, where the analyzer has some, and else answered for with None.

The worker holds nothing of the command's but two pipes, and ends when the one it reads from does: with the command,
however that ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple, TypeAlias

from archipec.custody.analysis.analyzer import Analyzer, Answer
from archipec.custody.analysis.process import (
    BOOTSTRAP,
    HARMLESS,
    Request,
    read_frame,
    write_frame,
    write_request,
)

__all__ = ["Answers", "Chunk", "Message", "NotStarted", "Worker"]

_TRIES = 2  # with one message: the first time the system may have ended the worker, short of memory
_SLACK = 2 << 20  # bytes of a frame of answers beyond the largest answer
# Its own group on Windows, its own session elsewhere: Ctrl-C and a closed terminal are for the run to deal with.
_WINDOWS: Final = sys.platform == "win32"
_NEW_PROCESS_GROUP, _NO_WINDOW = 0x200, 0x08000000  # Windows' CREATE_NEW_PROCESS_GROUP and CREATE_NO_WINDOW

_AT_ONCE: Final = "ended as soon as it was started"

Message: TypeAlias = bytes | Path
"""A message; one too large for memory comes as a file, which is removed once it is analyzed."""


class Answers(NamedTuple):
    """What one analyzer said of some messages; ``size`` in bytes of JSON."""

    analyzer: int
    answers: list[Answer]
    size: int


class Chunk:
    """Messages on their way through a worker, and how far each analyzer is with them.

    Args:
        analyzers: numbers of those that are to see the messages.
        numbers: the messages' own.
    """

    def __init__(
        self, analyzers: Sequence[int], numbers: Sequence[int], messages: Sequence[Message], size: int
    ) -> None:
        self.numbers = numbers
        self.messages = messages
        self.size = size
        self._answered = dict.fromkeys(analyzers, 0)

    def leave_out(self, analyzers: Iterable[int]) -> None:
        """Have these analyzers not see the messages. Only before it is sent."""
        for one in analyzers:
            self._answered.pop(one, None)

    @property
    def request(self) -> Request:
        """What a worker is sent."""
        return Request(tuple(self._answered), list(self.messages))

    @property
    def done(self) -> bool:
        """Whether every analyzer has answered for every message."""
        return all(answered == len(self.numbers) for answered in self._answered.values())

    def take(self, analyzer: int, answers: Sequence[Any], size: int) -> Answers:
        """Take in what an analyzer says of the next messages.

        Raises:
            ValueError: it was not asked that much.
        """
        start = self._answered[analyzer]
        end = start + len(answers)
        if not isinstance(answers, list) or not answers or end > len(self.numbers):
            raise ValueError("answers to what was not asked")
        self._answered[analyzer] = end
        return Answers(analyzer, list(zip(self.numbers[start:end], answers, strict=True)), size)

    def alone(self) -> Iterator[Chunk]:
        """Yield what has no answer, one message and one analyzer at a time."""
        for analyzer, answered in self._answered.items():
            for number, message in zip(self.numbers[answered:], self.messages[answered:], strict=True):
                yield Chunk((analyzer,), (number,), (message,), 0)

    def remove_files(self) -> None:
        """Remove the files of large messages."""
        for message in self.messages:
            if isinstance(message, Path):
                message.unlink(missing_ok=True)


class NotStarted(Exception):
    """There can be no worker; ``str`` says why, about "the program"."""


class _Ended(Exception):
    """The worker is gone."""


class _Process:
    """The process, at work on the requests it was sent, in their order.

    Raises:
        NotStarted: it can't be started.
    """

    def __init__(self, analyzers: Mapping[int, Analyzer]) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this very Python
                [sys.executable, "-I", "-c", BOOTSTRAP],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=not _WINDOWS,
                creationflags=_NEW_PROCESS_GROUP | _NO_WINDOW if _WINDOWS else 0,
            )
        except OSError as error:
            raise NotStarted(f"can't be started: {error.strerror or error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = self._process.stdin
        self._answers = self._process.stdout
        self._largest = max(one.largest for one in analyzers.values()) + _SLACK
        self._started = False
        try:
            write_frame(self._requests, sys.path)
            write_frame(self._requests, dict(analyzers))
        except OSError:
            self.end()
            raise NotStarted(_AT_ONCE) from None

    def send(self, request: Request) -> None:
        """Have messages analyzed.

        Raises:
            _Ended: and what was sent before is lost too.
            NotStarted: it ended before it took any message.
        """
        try:
            write_request(self._requests, request)
        except OSError:
            self._wait_for_start()
            raise _Ended from None

    def receive(self) -> tuple[int, list[Any], int]:
        """Return what comes next: analyzer, its answers to the oldest of its messages without one, their bytes.

        Raises:
            _Ended: there won't be any.
            NotStarted: nor is it a message's fault.
        """
        self._wait_for_start()
        data = read_frame(self._answers, self._largest)
        if data is None:
            raise _Ended
        try:
            analyzer, answers = json.loads(data)
        except (ValueError, RecursionError):
            raise _Ended from None
        return analyzer, answers, len(data)

    def _wait_for_start(self) -> None:
        if not self._started:
            if read_frame(self._answers, _SLACK) is None:
                raise NotStarted(_AT_ONCE)
            self._started = True

    def kill(self) -> None:
        """Have it end; any thread may call."""
        self._process.kill()

    def end(self) -> None:
        """End it, whatever it is at."""
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with suppress(OSError):  # of what it didn't take any more
            self._requests.close()


class Worker:
    """A worker, started when the first chunk comes and again when a message has ended it. For one thread.

    Args:
        hand_on: called with answers as they come.
    """

    def __init__(self, hand_on: Callable[[Answers], None]) -> None:
        self._analyzers: Mapping[int, Analyzer] = {}
        self._hand_on = hand_on
        self._process: _Process | None = None
        self._lock = Lock()
        self._stopped = False
        self._under_way: deque[Chunk] = deque()

    @property
    def under_way(self) -> int:
        """How many chunks it was sent and has not answered."""
        return len(self._under_way)

    def send(self, analyzers: Mapping[int, Analyzer], chunk: Chunk) -> list[Chunk]:
        """Have a chunk analyzed; return the chunks that are done by that, which are some only when trouble came.

        Args:
            analyzers: all that there are, by their numbers: the same at each call.

        Raises:
            NotStarted: it can't be started.
        """
        self._analyzers = analyzers
        self._under_way.append(chunk)
        try:
            self._send(chunk.request)
        except _Ended:
            return self._recover()
        return []

    def receive(self) -> list[Chunk]:
        """Wait for answers and hand them on; return the chunks that are done by that.

        Raises:
            NotStarted: it can't be started again.
        """
        try:
            self._take_answers(self._under_way[0])
        except _Ended:
            return self._recover()
        return [self._under_way.popleft()] if self._under_way[0].done else []

    def stop(self) -> None:
        """End it at once, and have it not started again; any thread may call."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def end(self) -> list[Chunk]:
        """End it, whatever it is at; return what it leaves undone."""
        self._end_process()
        return list(self._under_way)

    def _end_process(self) -> None:
        if self._process is not None:
            with self._lock:
                process, self._process = self._process, None
            process.end()

    def _send(self, request: Request) -> None:
        if self._process is None:
            with self._lock:
                if self._stopped:
                    raise NotStarted("was stopped")
                self._process = _Process(self._analyzers)
        self._process.send(request)

    def _take_answers(self, chunk: Chunk) -> None:
        assert self._process is not None
        try:
            answers = chunk.take(*self._process.receive())
        except (ValueError, KeyError, TypeError):
            raise _Ended from None
        self._hand_on(answers)

    def _recover(self) -> list[Chunk]:
        """Everything the worker had is lost; whose fault it was shows when each is analyzed by itself."""
        self._end_process()
        for chunk in self._under_way:
            for one in chunk.alone():
                self._analyze_alone(one)
        done = list(self._under_way)
        self._under_way.clear()
        return done

    def _analyze_alone(self, one: Chunk) -> None:
        (analyzer,) = one.request.analyzers
        requests = [one.request] * _TRIES
        if self._analyzers[analyzer].careful is not None:
            requests.append(one.request._replace(careful=True))
        for request in requests:
            try:
                self._send(request)
                self._take_answers(one)
            except _Ended:
                self._end_process()
            else:
                return
        self._see_that_it_works(analyzer)
        self._hand_on(one.take(analyzer, [None], 0))

    def _see_that_it_works(self, analyzer: int) -> None:
        """Have a message analyzed that does no harm, before another is called harmful.

        Raises:
            NotStarted: the worker ends at that too.
        """
        try:
            self._send(Request((analyzer,), [HARMLESS]))
            assert self._process is not None
            self._process.receive()
        except _Ended:
            raise NotStarted("ends at every message") from None
