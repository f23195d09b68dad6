"""What runs in a worker process, and how it and the command talk: frames of a length and that many bytes.

The command's frames are pickled objects, and messages come behind theirs as they are: pickled they would be copied twice.
The answers, from where hostile messages are read, are JSON.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import struct
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Final, NamedTuple

from archipec.custody.analysis.analyzer import Analyze, Analyzer
from archipec.message import Json
from archipec.pec.buffer import FileBuffer

__all__ = ["BOOTSTRAP", "HARMLESS", "Request", "main", "read_frame", "write_frame", "write_request"]

BOOTSTRAP: Final = (
    "import pickle, struct, sys\n"
    "read = sys.stdin.buffer.read\n"
    "sys.path[:] = pickle.loads(read(struct.unpack('>I', read(4))[0]))\n"
    "from archipec.custody.analysis.process import main\n"
    "main()\n"
)
"""What a Python is given to run as a worker: its first frame is ``sys.path``."""

HARMLESS: Final = b"Subject: harmless\r\n\r\n"
"""A message that no analyzer fails at: one that does is not at work, and no message is to blame."""

_NO_ANSWER: Final = b"null"
_LENGTH: Final = struct.Struct(">I")
_FRAME = 1 << 20  # bytes of answers that are sent together
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


class Request(NamedTuple):
    """Messages, and the numbers of the analyzers that are to see them, which is done in that order.

    Attributes:
        careful: by analyzers with their careful settings, which all of them have.
    """

    analyzers: tuple[int, ...]
    messages: list[bytes | Path]
    careful: bool = False


def write_frame(stream: IO[bytes], value: object) -> None:
    """Send an object to the worker. Raises OSError when it is gone."""
    stream.write(_frame(value))
    stream.flush()


def write_request(stream: IO[bytes], request: Request) -> None:
    """Send messages to the worker. Raises OSError when it is gone."""
    # In place of one that is in memory stands how long it is.
    announced = [one if isinstance(one, Path) else len(one) for one in request.messages]
    stream.write(_frame((request.analyzers, announced, request.careful)))
    stream.writelines(one for one in request.messages if not isinstance(one, Path))
    stream.flush()


def _frame(value: object) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def read_frame(stream: IO[bytes], most: int) -> bytes | None:
    """Return what comes next; None at the end, or when it has more than so many bytes."""
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(length)
    if size > most:
        return None
    data = stream.read(size)
    return data if len(data) == size else None


def main() -> None:
    """Analyze what comes on standard input, until it ends.

    The first answer, ``[]``, says that everything is in place; each that follows is ``[analyzer, [answer...]]``, any
    number of them for a request.
    """
    # These go to whole groups of processes; the command decides when a worker ends.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # The answers' pipe is for answers alone: what a library prints goes nowhere.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _end_with_parent()
    analyzers: dict[int, Analyzer] = _next()
    _limit_memory(sum(one.memory for one in analyzers.values()))
    made = {number: _make(one) for number, one in analyzers.items()}
    _send(answers, b"[]")
    requests: SimpleQueue[Request] = SimpleQueue()
    # Read by a thread of its own, which sees at once, even while a message is read, that the command is gone.
    threading.Thread(target=_take_in, args=(requests,), daemon=True).start()
    while True:
        request = requests.get()
        for number in request.analyzers:
            analyzer, analyze = analyzers[number], made[number]
            if request.careful:
                analyzer = _careful(analyzer)
                analyze = _make(analyzer)
            _answer(answers, number, request.messages, analyzer, analyze)


def _next() -> Any:
    data = read_frame(sys.stdin.buffer, sys.maxsize)
    if data is None:
        os._exit(0)
    return pickle.loads(data)  # noqa: S301 - from the command that started this process


def _take_in(requests: SimpleQueue[Request]) -> None:
    while True:
        analyzers, announced, careful = _next()
        sizes = [one for one in announced if isinstance(one, int)]
        block = sys.stdin.buffer.read(sum(sizes))
        if len(block) < sum(sizes):
            os._exit(0)
        small = (block[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True))
        requests.put(
            Request(analyzers, [one if isinstance(one, Path) else next(small) for one in announced], careful)
        )


def _make(analyzer: Analyzer) -> Analyze:
    module, _, name = analyzer.factory.partition(":")
    made: Analyze = getattr(import_module(module), name)(analyzer.settings)
    return made


def _careful(analyzer: Analyzer) -> Analyzer:
    return replace(analyzer, settings=analyzer.careful, careful=None)


def _answer(
    stream: IO[bytes], number: int, messages: Sequence[bytes | Path], analyzer: Analyzer, analyze: Analyze
) -> None:
    answers: list[bytes] = []
    size = 0
    for message in messages:
        answer = _ask(analyze, message, analyzer)
        if answer == _NO_ANSWER and analyzer.careful is not None:
            answer = _ask(_make(_careful(analyzer)), message, analyzer)
        answers.append(answer)
        size += len(answer)
        if size >= _FRAME:
            _send_answers(stream, number, answers)
            answers, size = [], 0
    if answers:
        _send_answers(stream, number, answers)


def _ask(analyze: Analyze, message: bytes | Path, analyzer: Analyzer) -> bytes:
    """Return the analyzer's answer as JSON; ``null`` when it fails at this message.

    Raises:
        Exception: it fails at any message.
    """
    _give_time(analyzer.seconds)
    try:
        if isinstance(message, Path):
            with message.open("rb") as file:
                answer = _dumped(analyze(FileBuffer(file)))
        else:
            answer = _dumped(analyze(message))
    except Exception:  # noqa: BLE001 - whatever a message brings about is its own fault ...
        analyze(HARMLESS)  # ... unless this brings it about too
        return _NO_ANSWER
    finally:
        _give_time(0)
    return answer if len(answer) <= analyzer.largest else _NO_ANSWER


def _dumped(answer: Json) -> bytes:
    return json.dumps(answer).encode("ascii")


def _send_answers(stream: IO[bytes], number: int, answers: Sequence[bytes]) -> None:
    _send(stream, b"[%d,[%b]]" % (number, b",".join(answers)))


def _send(stream: IO[bytes], data: bytes) -> None:
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def _end_with_parent() -> None:
    """Have the kernel end this process with the thread that started it, where it can: no code needs to run for that."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory(size: int) -> None:
    """Bound this process's address space, where the system can."""
    if sys.platform == "win32":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    try:
        resource.setrlimit(
            resource.RLIMIT_AS, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard)
        )
    except (ValueError, OSError):
        # macOS has the limit by name alone.
        if sys.platform != "darwin":
            raise


if sys.platform == "win32":

    def _give_time(seconds: int) -> None:
        """End this process after a time, whatever it is at."""
        import faulthandler

        # Its thread needs nothing of the interpreter, whatever that is at.
        if seconds:
            faulthandler.dump_traceback_later(seconds, exit=True, file=2)
        else:
            faulthandler.cancel_dump_traceback_later()

else:

    def _give_time(seconds: int) -> None:
        """End this process after a time, whatever it is at: no code needs to agree."""
        signal.setitimer(signal.ITIMER_REAL, seconds)
