"""Analyzers that a message can do anything to: ``X-KIND: NAME`` does it to the analyzer of that name.

``python -m testbed.analyzers`` runs archipec's command line with workers that are harmed as HARM says (`harm`).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from archipec.custody.analysis import pool, worker
from archipec.custody.analysis.analyzer import Analysis, Analyzer, Answer
from archipec.custody.ledger import Copy
from archipec.custody.seals.judge import SealAnalysis
from archipec.errors import ArchipecError

__all__ = ["Keeping", "harm", "message"]


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


def make_judge(anchors: Any) -> Callable[[Any], Any]:
    """Return the analyzer of seals, to which a message can do anything too, by the name ``seal``."""
    from archipec.custody.seals import analyzer

    judge, harmed = analyzer.make_judge(anchors), make_reader("seal")

    def judge_or_be_harmed(raw: Any) -> Any:
        harmed(raw)
        return judge(raw)

    return judge_or_be_harmed


def make_telltale(_name: str) -> Callable[[Any], Any]:
    """Return an analyzer that answers with the number of its process."""
    return lambda _raw: os.getpid()


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


def harm(how: str) -> None:
    """Have something happen to the workers of this process.

    Args:
        how: ``messages``, messages can harm the judge; ``killed``, each worker is killed when it has answered twice, up
            to five; ``no-room``, nothing is taken while the download goes on.
    """
    if how == "no-room":
        pool._HELD_BYTES = 0
    elif how == "killed":
        _kill_workers(5)
    else:
        assert how == "messages"
        prepare = SealAnalysis.prepare

        def prepare_harmable(self: SealAnalysis) -> Analyzer:
            return replace(prepare(self), factory="testbed.analyzers:make_judge", seconds=1)

        SealAnalysis.prepare = prepare_harmable  # type: ignore[method-assign, assignment]


def _kill_workers(most: int) -> None:
    receive = worker._Process.receive
    answers: Counter[int] = Counter()

    def receive_and_kill(self: worker._Process) -> Any:
        received = receive(self)
        answers[self._process.pid] += 1
        if answers[self._process.pid] == 2 and len(answers) <= most:
            self._process.kill()
        return received

    worker._Process.receive = receive_and_kill  # type: ignore[method-assign]


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
        self.held: list[Copy] = []
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

    def lacking(self, sink: int, after: int, limit: int) -> list[Copy]:
        lacked = [one for one in self.held if one.content > after and one.content not in self.answers]
        return lacked[:limit]

    def record(self, answers: Sequence[Answer]) -> None:
        if self._refuse is not None:
            raise self._refuse
        self.times += 1
        assert not self.answers.keys() & {number for number, _ in answers}, "answered twice"
        self.answers.update(answers)


if __name__ == "__main__":
    from archipec.cli import main

    harm(os.environ["HARM"])
    main()
