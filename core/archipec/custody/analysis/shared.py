"""The workers of a command: kept from one pipeline to the next, as long as these want the same found out.

To start a worker takes as long as to judge some hundred messages, and most runs of a pipeline find fewer than that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:  # most runs find nothing to analyze
    from archipec.custody.analysis.analyzer import Analysis
    from archipec.custody.analysis.pool import AnalysisPool
    from archipec.custody.run import Cancellation

__all__ = ["SharedPools"]


class SharedPools:
    """Pools, each lent to one pipeline at a time. A context: no worker outlives it. Any thread may call.

    Args:
        pipelines: how many may have one at once: they share the processors.
    """

    def __init__(self, pipelines: int = 1) -> None:
        self._pipelines = pipelines
        self._lock = threading.Lock()
        self._idle: list[AnalysisPool] = []
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended = True
        while (pool := self._any_idle()) is not None:
            _end(pool)

    @contextmanager
    def lent(self, analyses: Sequence[Analysis], stop: Cancellation) -> Iterator[AnalysisPool]:
        """Yield a pool for these analyses: one at hand, where its workers run the same analyzers.

        It is kept afterwards if nothing went wrong and all that it was fed is answered for.

        Args:
            stop: as of `AnalysisPool`.
        """
        from archipec.custody.analysis.pool import AnalysisPool

        pool = self._any_idle()
        if pool is not None and not pool.turn_to(analyses, stop):
            _end(pool)
            pool = None
        pool = pool or AnalysisPool(analyses, stop, self._pipelines)
        try:
            yield pool
        finally:
            with self._lock:
                keeps = pool.is_idle and not self._ended
                if keeps:
                    self._idle.append(pool)
            if not keeps:
                _end(pool)

    def _any_idle(self) -> AnalysisPool | None:
        with self._lock:
            return self._idle.pop() if self._idle else None


def _end(pool: AnalysisPool) -> None:
    with pool:  # whose end is that of its workers
        pass
