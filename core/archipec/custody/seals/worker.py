"""A worker process that judges messages: what a hostile one does to it, it does not do to the archive.

Each message has its time; the worker that overruns it ends, and so does one that the message kills. The messages
it had are then judged one by one, and the guilty one gets its verdict for that.

The worker holds nothing of the command's but two pipes, and ends when the one it reads from does: with the command,
however that ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, TypeAlias

from archipec.custody.seals.process import BOOTSTRAP, read_answer, write_frame
from archipec.custody.verdict import Verdict
from archipec.errors import TransientError
from archipec.pec.anchors import Anchors
from archipec.pec.seal import Status

__all__ = ["Message", "SealWorkers"]

# One worker, which judges some 5,000 messages a second: each takes as much memory as the rest of a run.
_AHEAD = 2  # chunks
_CHUNK_MESSAGES = 64
_CHUNK_BYTES = 1 << 20
# Its own group on Windows, its own session elsewhere: Ctrl-C and a closed terminal are for the run to deal with.
_WINDOWS: Final = sys.platform == "win32"
_NEW_PROCESS_GROUP, _NO_WINDOW = 0x200, 0x08000000  # Windows' CREATE_NEW_PROCESS_GROUP and CREATE_NO_WINDOW

_HARMLESS: Final = b"Subject: harmless\r\n\r\n"
_AT_ONCE: Final = "ended as soon as it was started"

Message: TypeAlias = bytes | Path
"""A message; one too large for memory comes as a file, which is removed once it is judged."""
_Numbered: TypeAlias = tuple[int, Message]


class _Ended(Exception):
    """The worker is gone."""


def _not_started(why: str) -> TransientError:
    return TransientError(
        f"the seals can't be judged now: the program that judges them {why}",
        hint="the messages are kept; `archipec archive` judges their seals when it runs again",
    )


class _Worker:
    """The process, at work on the chunks it was sent, in their order.

    Raises:
        TransientError: it can't be started.
    """

    def __init__(self, anchors: Anchors) -> None:
        # Only the thread that starts it may tie its life to its own: the main one ends with the process.
        tied = threading.current_thread() is threading.main_thread()
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
            raise _not_started(f"can't be started: {error.strerror or error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = self._process.stdin
        self._answers = self._process.stdout
        try:
            write_frame(self._requests, sys.path)
            write_frame(self._requests, (anchors, tied))
        except OSError:
            self.end()
            raise _not_started(_AT_ONCE) from None
        self._started = False

    def send(self, chunk: list[_Numbered]) -> None:
        """Have messages judged.

        Raises:
            _Ended: and what was sent before is lost too.
            TransientError: it ended before it took any message.
        """
        try:
            write_frame(self._requests, [message for _, message in chunk])
        except OSError:
            if not self._started:
                self._wait_for_start()
            raise _Ended from None

    def receive(self) -> list[Verdict]:
        """Return the verdicts on the oldest chunk that has none yet.

        Raises:
            _Ended: there won't be any.
            TransientError: nor is it a message's fault.
        """
        if not self._started:
            self._wait_for_start()
        verdicts = read_answer(self._answers)
        if verdicts is None:
            raise _Ended
        return verdicts

    def _wait_for_start(self) -> None:
        if read_answer(self._answers) is None:
            raise _not_started(_AT_ONCE)
        self._started = True

    def end(self) -> None:
        """End it, whatever it is at."""
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with suppress(OSError):  # of what it didn't take any more
            self._requests.close()


class SealWorkers:
    """The worker, started when the first message comes and again when one has ended it."""

    def __init__(self, anchors: Anchors) -> None:
        self._anchors = anchors
        self._worker: _Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def judge(self, messages: Iterable[_Numbered]) -> Iterator[tuple[int, Verdict]]:
        """Yield (number, verdict) for each (number, message), in their order.

        Messages are taken as fast as they are judged: a few chunks of them are held at a time.

        Raises:
            TransientError: the worker can't be started; what has no verdict by then is to be judged another time.
        """
        under_way: deque[list[_Numbered]] = deque()
        for chunk in _chunks(messages):
            under_way.append(chunk)
            yield from self._guarded(under_way, chunk)
        while under_way:
            yield from self._guarded(under_way, None)

    def _guarded(
        self, under_way: deque[list[_Numbered]], new: list[_Numbered] | None
    ) -> Iterator[tuple[int, Verdict]]:
        """Send what is new, and yield what comes back once enough is under way."""
        try:
            if new is not None:
                self._send(new)
                if len(under_way) < _AHEAD:
                    return
            assert self._worker is not None
            verdicts = self._worker.receive()
        except _Ended:
            # Everything the worker had is lost; whose fault it was shows when each is judged by itself.
            self._end()
            lost = [numbered for chunk in under_way for numbered in chunk]
            under_way.clear()
            for number, message in lost:
                yield number, self._judge_alone(message)
                _remove(message)
            return
        for (number, message), verdict in zip(under_way.popleft(), verdicts, strict=True):
            yield number, verdict
            _remove(message)

    def _send(self, chunk: list[_Numbered]) -> None:
        if self._worker is None:
            self._worker = _Worker(self._anchors)
        self._worker.send(chunk)

    def _judge_alone(self, message: Message) -> Verdict:
        try:
            self._send([(0, message)])
            assert self._worker is not None
            return self._worker.receive()[0]
        except _Ended:
            self._end()
            self._see_that_it_works()
            return _undone()

    def _see_that_it_works(self) -> None:
        """Have a message judged that does no harm, before another is called harmful.

        Raises:
            TransientError: the worker ends at that too.
        """
        try:
            self._send([(0, _HARMLESS)])
            assert self._worker is not None
            self._worker.receive()
        except _Ended:
            raise _not_started("ends at every message") from None

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None


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


def _undone() -> Verdict:
    reason = "the message can't be judged: doing so took too long or ended the program that tried"
    return Verdict(
        Status.MALFORMED, "unknown", None, {"seal": {"status": str(Status.MALFORMED), "reason": reason}}
    )
