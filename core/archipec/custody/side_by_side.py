"""Runs pieces of work side by side, in a bounded number of threads; those that use the same thing one after the other."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from archipec.custody.run import Cancellation
from archipec.errors import ArchipecError
from archipec.supervision import supervised

__all__ = ["Abandoned", "Work", "side_by_side"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_LOOK: Final = 1.0  # seconds; on Windows a signal is seen between two waits


@dataclass(frozen=True, slots=True)
class Work(Generic[T_co]):
    """A piece of work.

    Attributes:
        uses: what it must have for itself: pieces that share something here never run at once.
        act: does it, in a thread of its own; the given `Cancellation` is set when it is to end early.
    """

    uses: frozenset[str]
    act: Callable[[Cancellation], T_co]


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A piece of work whose thread did not come out of a plugin's code; what it holds is free when the process ends."""

    error: ArchipecError


def side_by_side(
    work: Sequence[Work[T]], limit: int, stop: Cancellation
) -> Generator[tuple[int, T | Abandoned], None, None]:
    """Yield (which, what came of it) of each piece of work, as they end.

    Once ``stop`` is set, none is begun any more, and those under way are asked to end.

    Args:
        limit: how many run at once.

    Raises:
        whatever a piece of work raises, once the others have ended; they are asked to end early. So they are, and waited
        for, when it is closed before that.
    """
    ended: queue.SimpleQueue[tuple[int, T | Abandoned | BaseException]] = queue.SimpleQueue()
    waiting = deque(enumerate(work))
    running: dict[int, Cancellation] = {}
    failure: BaseException | None = None

    def cancel() -> None:
        for one in tuple(running.values()):
            one.set()

    stop.wake = cancel
    try:
        while True:
            if not (stop.is_set() or failure):
                _begin(waiting, work, running, limit, ended)
            if stop.is_set():
                cancel()  # also those that were begun just when it was set
            if not running:
                break
            number, outcome = _next(ended)
            del running[number]
            if isinstance(outcome, BaseException):
                failure = failure or outcome
                cancel()
            else:
                yield number, outcome
    finally:
        stop.wake = None
        cancel()
        # Who takes the outcomes may have failed: what they work with is closed once this has ended.
        while running:
            del running[_next(ended)[0]]
    if failure is not None:
        raise failure


def _begin(
    waiting: deque[tuple[int, Work[T]]],
    work: Sequence[Work[T]],
    running: dict[int, Cancellation],
    limit: int,
    ended: queue.SimpleQueue[tuple[int, T | Abandoned | BaseException]],
) -> None:
    """Begin what may begin now, in its order."""
    used = {one for number in running for one in work[number].uses}
    for entry in tuple(waiting):
        if len(running) >= limit:
            return
        number, one = entry
        if used & one.uses:
            continue
        used |= one.uses
        waiting.remove(entry)
        running[number] = Cancellation()
        threading.Thread(
            target=_act, args=(number, one, running[number], ended), name=f"work-{number}", daemon=True
        ).start()


def _act(
    number: int,
    one: Work[T],
    stop: Cancellation,
    ended: queue.SimpleQueue[tuple[int, T | Abandoned | BaseException]],
) -> None:
    with supervised(lambda error: ended.put((number, Abandoned(error)))):
        try:
            outcome: T | BaseException = one.act(stop)
        except BaseException as error:  # noqa: BLE001 - raised where the others are waited for
            outcome = error
    ended.put((number, outcome))


def _next(ended: queue.SimpleQueue[T]) -> T:
    while True:
        try:
            return ended.get(timeout=_LOOK)
        except queue.Empty:
            continue
