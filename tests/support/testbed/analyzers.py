"""Analyzers that a message can do anything to: ``X-KIND: NAME`` does it to the analyzer of that name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from archipec.custody.analysis.analyzer import Analysis, Analyzer, Answer
from archipec.errors import ArchipecError

__all__ = ["Keeping", "message"]


def message(number: int, harm: str = "", size: int = 0) -> bytes:
    """Return a message; ``harm`` is a header field: ``X-Die: NAME``."""
    field = f"{harm}\r\n" if harm else ""
    return f"Subject: {number}\r\n{field}\r\n".encode() + b"x" * size


def make_reader(name: str) -> Callable[[Any], Any]:
    """Return an analyzer that answers with the message's first line and its size."""

    def read(raw: Any) -> Any:
        head = raw[:200]
        for kind, act in _HARMS.items():
            if f"X-{kind}: {name}\r\n".encode() in head:
                act()
        if f"X-Much: {name}\r\n".encode() in head:
            return "x" * 10_000
        return [head.split(b"\r\n")[0].decode(), len(raw)]

    return read


def make_broken(_name: str) -> Callable[[Any], Any]:
    """Return an analyzer that fails at every message."""
    return _fail


def make_deadly(_name: str) -> Callable[[Any], Any]:
    """Return an analyzer that every message kills."""
    return _die


def make_none(_name: str) -> Callable[[Any], Any]:
    """Fail at the start."""
    raise ImportError("what it needs is not installed")


def _die(*_: object) -> None:
    os._exit(1)


def _hang() -> None:
    while True:
        time.sleep(1)


def _fail(*_: object) -> None:
    raise RuntimeError("this can't be read")


def _exhaust() -> None:
    bytearray(8 << 30)


_HARMS: dict[str, Callable[[], None]] = {"Die": _die, "Hang": _hang, "Fail": _fail, "Exhaust": _exhaust}


class Keeping(Analysis):
    """Keeps the answers in memory.

    Args:
        refuse: raised instead of keeping them; unprepared: raised instead of preparing.
    """

    def __init__(
        self,
        name: str = "one",
        factory: str = "make_reader",
        *,
        seconds: int = 30,
        careful: str | None = None,
        refuse: ArchipecError | None = None,
        unprepared: ArchipecError | None = None,
    ) -> None:
        self.undone = f"{name} can't be made"
        self.answers: dict[int, Any] = {}
        self.times = 0
        self.prepared = 0
        self._analyzer = Analyzer(
            factory=f"testbed.analyzers:{factory}",
            settings=name,
            seconds=seconds,
            largest=5000,
            careful=careful,
        )
        self._refuse, self._unprepared = refuse, unprepared

    def prepare(self) -> Analyzer:
        self.prepared += 1
        if self._unprepared is not None:
            raise self._unprepared
        return self._analyzer

    def record(self, answers: Sequence[Answer]) -> None:
        if self._refuse is not None:
            raise self._refuse
        self.times += 1
        assert not self.answers.keys() & {number for number, _ in answers}, "answered twice"
        self.answers.update(answers)
