"""How many messages a piece of work takes in a second of processor time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

RUNS = 5
_SECONDS = 1.0


def rate_of(work: Callable[[T], object], messages: Sequence[T]) -> float:
    """Messages for each second of processor time, the median of some runs."""
    rates = []
    for _ in range(RUNS):
        done, start = 0, time.process_time()
        while (elapsed := time.process_time() - start) < _SECONDS:
            for raw in messages:
                work(raw)
            done += len(messages)
        rates.append(done / elapsed)
    return statistics.median(rates)
