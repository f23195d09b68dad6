"""Opens what plugins make, keeps their bugs apart from ours, and waits between tries: plugins never do."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from archipec import __version__
from archipec.contract import Context, PostStepType, SinkType, SourceType
from archipec.errors import ArchipecError, PluginBug, TransientError

__all__ = ["Retry", "Stop", "make_context", "now", "own_errors"]

_log = logging.getLogger("archipec.plugins")

Record: TypeAlias = SourceType[Any] | SinkType[Any] | PostStepType[Any]

_TRIES = 5
_FIRST_WAIT = 1.0  # seconds, doubled at each try
_LONGEST_WAIT = 60.0


class Stop(threading.Event):
    """Set when the person asked to stop; safe to set in a signal handler.

    Attributes:
        wake: called after it is set, so that whoever waits for something else looks up.
    """

    wake: Callable[[], None] | None = None

    def set(self) -> None:
        """Ask for the end."""
        super().set()
        if self.wake is not None:
            self.wake()


def make_context(name: str, temp: Path, stop: Stop) -> Context:
    """Make what an endpoint gets from the host."""
    return Context(
        log=logging.getLogger(f"archipec.{name}"),
        temp=temp,
        now=lambda: datetime.now(UTC),
        cancelled=stop.is_set,
        version=__version__,
    )


@contextmanager
def own_errors(record: Record) -> Iterator[None]:
    """Turn whatever a plugin raises outside the tree of errors into a PluginBug that names its distribution."""
    try:
        yield
    except ArchipecError:
        raise
    except Exception as error:
        _log.debug("where it failed:", exc_info=error)
        raise PluginBug(
            f'the plugin "{record.name}" ({_distribution(record)}) failed with {type(error).__name__}: {error}',
            hint="this is a bug: run again with -v and report what it shows",
        ) from error


def _distribution(record: Record) -> str:
    """Return the distribution and version that a record's code came with."""
    from importlib.metadata import packages_distributions, version

    package = getattr(record.open, "__module__", "").partition(".")[0]
    names = packages_distributions().get(package, [])
    return " ".join((names[0], version(names[0]))) if names else f"module {package}"


class Retry:
    """Decides whether a transient error is worth another try, and waits for it."""

    def __init__(self, stop: Stop, log: logging.Logger) -> None:
        self._stop = stop
        self._log = log
        self._tries = 0

    def progressed(self) -> None:
        """Say that something worked: the count of tries starts again."""
        self._tries = 0

    def cancelled(self) -> bool:
        """Tell whether the person asked to stop."""
        return self._stop.is_set()

    def wait(self, error: TransientError) -> bool:
        """Wait for the next try; False when there is none."""
        self._tries += 1
        pause = error.retry_after
        if pause is None:
            pause = min(_FIRST_WAIT * 2 ** (self._tries - 1), _LONGEST_WAIT)
        if self._tries >= _TRIES or math.isinf(pause) or self.cancelled():
            return False
        self._log.warning("%s; trying again in %.0f s", error, pause)
        return not self._stop.wait(pause)


def now() -> int:
    """Return the time in Unix seconds."""
    return int(time.time())
