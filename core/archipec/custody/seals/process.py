"""What runs in the process of a judge, and how it and the command talk: frames of a length and that many bytes.

The command's frames are pickled objects; the answers, from where hostile messages are read, are JSON.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import struct
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Final

from archipec.custody.verdict import Verdict
from archipec.pec.anchors import Anchors
from archipec.pec.buffer import FileBuffer, Octets
from archipec.sqlite_file import unix_seconds

__all__ = ["BOOTSTRAP", "main", "read_answer", "write_frame"]

BOOTSTRAP: Final = (
    "import pickle, struct, sys\n"
    "read = sys.stdin.buffer.read\n"
    "sys.path[:] = pickle.loads(read(struct.unpack('>I', read(4))[0]))\n"
    "from archipec.custody.seals.process import main\n"
    "main()\n"
)
"""What a Python is given to run as the judge: its first frame is ``sys.path``."""

_LENGTH: Final = struct.Struct(">I")
_SECONDS = 30  # for one message; the largest there are take less than one
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def write_frame(stream: IO[bytes], value: object) -> None:
    """Send an object to the judge. Raises OSError when it is gone."""
    data = pickle.dumps(value)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_answer(stream: IO[bytes]) -> list[Verdict] | None:
    """Return the verdicts that the judge sends next, None when it has ended. The first list is empty: it says that the judge has started."""
    data = _read_frame(stream)
    return None if data is None else [Verdict(*fields) for fields in json.loads(data)]


def _read_frame(stream: IO[bytes]) -> bytes | None:
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(length)
    data = stream.read(size)
    return data if len(data) == size else None


def main() -> None:
    """Judge what comes on standard input, until it ends."""
    # These go to whole groups of processes; the command decides when the judging ends.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    # Whatever it takes to judge is there before the first message, so that none is blamed for what is missing.
    import archipec.pec.inspection  # noqa: F401

    # The answers' pipe is for answers alone: what a library prints goes nowhere.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    anchors, tied = _loads(_read_frame(sys.stdin.buffer))
    if tied:
        _end_with_parent()
    _answer(answers, [])
    chunks: SimpleQueue[list[bytes | Path]] = SimpleQueue()
    # Read by a thread of its own, which sees at once, even while a message is judged, that the command is gone.
    threading.Thread(target=_take_in, args=(chunks,), daemon=True).start()
    while True:
        _answer(answers, _judge_all(chunks.get(), anchors))


def _answer(stream: IO[bytes], verdicts: list[tuple[object, ...]]) -> None:
    data = json.dumps(verdicts).encode("ascii")
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def _take_in(chunks: SimpleQueue[list[bytes | Path]]) -> None:
    while (data := _read_frame(sys.stdin.buffer)) is not None:
        chunks.put(_loads(data))
    os._exit(0)


def _loads(data: bytes | None) -> Any:
    if data is None:
        os._exit(0)
    return pickle.loads(data)  # noqa: S301 - from the command that started this process


def _end_with_parent() -> None:
    """Have the kernel end this process with its parent, where it can: no code needs to run for that."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _judge_all(messages: list[bytes | Path], anchors: Anchors) -> list[tuple[object, ...]]:
    verdicts = []
    for message in messages:
        _give_time(_SECONDS)
        if isinstance(message, Path):
            with message.open("rb") as file:
                verdicts.append(_judge(FileBuffer(file), anchors))
        else:
            verdicts.append(_judge(message, anchors))
    _give_time(0)
    return verdicts


def _judge(raw: Octets, anchors: Anchors) -> tuple[object, ...]:
    from archipec.pec.inspection import inspect_message, record

    judgement = inspect_message(raw, anchors)
    date = judgement.date
    certified = unix_seconds(date)
    return str(judgement.seal.status), judgement.kind, certified, record(raw, judgement)


def _give_time(seconds: int) -> None:
    """End this process after a time, whatever it is at: no code needs to agree. (Windows has no such alarm.)"""
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
