"""What takes longer to find out than a page may take: found out once, and remembered as long as nothing has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

__all__ = ["Remembered"]

T = TypeVar("T")


class _Known(NamedTuple):
    state: Hashable
    found: Future[Any]


@dataclass(slots=True)
class Remembered:
    """Answers by their names. Any thread may call."""

    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _known: dict[str, _Known] = field(default_factory=dict, repr=False)

    def get(self, name: str, state: Hashable, find: Callable[[], T]) -> T:
        """Return what was found out, found out now where it was not yet in this state.

        Raises:
            Exception: what ``find`` raises; that is not remembered.
        """
        with self._lock:
            known = self._known.get(name)
        if known is not None and known.state == state and known.found.done() and not known.found.exception():
            found: T = known.found.result()
            return found
        answer: Future[T] = Future()
        answer.set_result(find())
        with self._lock:
            self._known[name] = _Known(state, answer)
        return answer.result()

    def soon(self, name: str, state: Hashable, find: Callable[[], T], wait: float) -> T | None:
        """Return what was found out; None while a thread is still at it, which this waits for some seconds.

        Raises:
            Exception: what ``find`` raised; it is called again the next time.
        """
        with self._lock:
            known = self._known.get(name)
            if known is None or (known.state != state and known.found.done()):
                known = self._known[name] = _Known(state, Future())
                threading.Thread(target=_into, args=(known.found, find), name=name, daemon=True).start()
        try:
            found: T = known.found.result(timeout=wait)
        except TimeoutError:
            if not known.found.done():
                return None
            raise
        except BaseException:
            with self._lock:
                self._known.pop(name, None)
            raise
        return found


def _into(future: Future[T], find: Callable[[], T]) -> None:
    try:
        future.set_result(find())
    # It is raised where the answer is asked for.
    except BaseException as error:  # noqa: BLE001
        future.set_exception(error)
