"""What every piece of work of custody is given: the ledger, its folder, the user's wish to stop, where to report."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Self, TypeAlias, TypeVar, overload

from archipec import __version__
from archipec.config.endpoint import Endpoint
from archipec.contract import Context, PostStep, PostStepType, Sink, SinkType, Source, SourceType
from archipec.custody.ledger import Ledger
from archipec.custody.locks import hold_endpoint
from archipec.custody.marker import claim_marker
from archipec.errors import TransientError
from archipec.language import _
from archipec.message import DeletionOrder
from archipec.plugins.boundary import plugin_boundary
from archipec.supervision import hurry

__all__ = ["Backoff", "Cancellation", "Run", "make_context", "now", "open_endpoint", "unobserved"]

R = TypeVar("R")
Marking: TypeAlias = Callable[[Sequence[DeletionOrder]], None]

_TRIES = 5
_FIRST_WAIT = 1.0  # seconds, doubled at each try
_LONGEST_WAIT = 60.0


class Cancellation(threading.Event):
    """Set when the user asked to stop; safe to set in a signal handler.

    Attributes:
        wake: called after it is set, so that a thread that waits for something else notices.
    """

    wake: Callable[[], None] | None = None

    def set(self) -> None:
        """Ask for the end."""
        super().set()
        hurry()
        if self.wake is not None:
            self.wake()


class Backoff:
    """Decides whether a transient error is worth another try, and waits for it."""

    def __init__(self, stop: Cancellation, log: logging.Logger) -> None:
        self._stop = stop
        self._log = log
        self._tries = 0

    def progressed(self) -> None:
        """Say that something worked: the count of tries starts again."""
        self._tries = 0

    def cancelled(self) -> bool:
        """Return whether the user asked to stop."""
        return self._stop.is_set()

    def wait(self, error: TransientError) -> bool:
        """Wait for the next try; False when there is none."""
        self._tries += 1
        pause = error.retry_after
        if pause is None:
            pause = min(_FIRST_WAIT * 2 ** (self._tries - 1), _LONGEST_WAIT)
        if self._tries >= _TRIES or math.isinf(pause) or self.cancelled():
            return False
        self._log.warning(_("%s; trying again in %.0f s"), error, pause, extra={"passing": True})
        return not self._stop.wait(pause)


def unobserved(_report: object) -> None:
    """Observe nothing: for a run whose progress is not shown."""


@dataclass(frozen=True)
class Run(Generic[R]):
    """What a piece of work is given. It never changes, so threads may share it; what it opens stays in one thread.

    Attributes:
        ledger: any thread may call it.
        state: the folder of the ledger; locks and large messages in transit are kept there too.
        stop: set when the user asked to stop.
        observe: called with the report whenever its counts changed.
        temp: the private folder for large messages that `spool` made; None outside of it.
    """

    ledger: Ledger
    state: Path
    stop: Cancellation
    observe: Callable[[R], None] = unobserved
    temp: Path | None = None

    @contextmanager
    def spool(self, where: str) -> Iterator[Self]:
        """Make the folder for large messages of an endpoint, and yield this run with it.

        Args:
            where: of the endpoint, whose lock the caller holds.

        Raises:
            ArchipecError: the folder can't be made.
        """
        from archipec.custody.spool import spool_folder

        with spool_folder(self.state, where) as temp:
            yield replace(self, temp=temp)

    @overload
    def open(
        self, endpoint: Endpoint[SourceType[Any]], marking: Marking | None = None
    ) -> AbstractContextManager[Source]: ...
    @overload
    def open(self, endpoint: Endpoint[SinkType[Any]]) -> AbstractContextManager[Sink]: ...
    @overload
    def open(self, endpoint: Endpoint[PostStepType[Any]]) -> AbstractContextManager[PostStep]: ...
    def open(self, endpoint: Endpoint[Any], marking: Marking | None = None) -> AbstractContextManager[Any]:
        """Open an endpoint with the context it needs; what the plugin raises meanwhile is made an `ArchipecError`.

        Args:
            marking: records the marks of orders before they are made (`archipec.contract.Context`).
        """
        context = self.context(endpoint)
        return open_endpoint(endpoint, context if marking is None else replace(context, marking=marking))

    def context(self, endpoint: Endpoint[Any]) -> Context:
        """Make what an endpoint gets from the host. Only between `spool` and its end."""
        assert self.temp is not None
        return make_context(endpoint.name, self.temp, self.stop)

    def backoff(self, endpoint: Endpoint[Any]) -> Backoff:
        """Return what decides on further tries of an endpoint."""
        return Backoff(self.stop, _log_of(endpoint.name))

    def lock(self, endpoint: Endpoint[Any]) -> AbstractContextManager[None]:
        """Hold the lock of an endpoint against every other run."""
        return hold_endpoint(self.state, endpoint.where)

    def claim(self, sink: Endpoint[SinkType[Any]], held: ExitStack) -> int:
        """Lock a sink, and make sure its archive is the one the ledger knows; return the ledger's number of it.

        Args:
            held: keeps the locks.

        Raises:
            TransientError: in use, or not in its place.
            PermanentError: its directory can't be used.
        """
        number = self.ledger.copies.sink_number(sink.where)
        held.enter_context(self.lock(sink))
        root = sink.record.root(sink.config)
        if root is not None:
            known = self.ledger.copies.archive_id(number)
            identity = claim_marker(root, sink.record.name, known, datetime.now(UTC), held)
            if identity != known:
                self.ledger.copies.set_archive_id(number, identity)
        return number


@contextmanager
def open_endpoint(endpoint: Endpoint[Any], context: Context) -> Iterator[Any]:
    """Open an endpoint; what its plugin raises outside the tree of errors becomes a PluginBug that names it."""
    with plugin_boundary(endpoint.record), endpoint.record.open(endpoint.config, context) as opened:
        yield opened


def make_context(name: str, temp: Path, stop: Cancellation) -> Context:
    """Make what an endpoint gets from the host.

    Args:
        temp: a private folder.
    """
    return Context(
        log=_log_of(name),
        temp=temp,
        now=lambda: datetime.now(UTC),
        cancelled=stop.is_set,
        version=__version__,
    )


def _log_of(name: str) -> logging.Logger:
    return logging.getLogger(f"archipec.{name}")


def now() -> int:
    """Return the time in Unix seconds."""
    return int(time.time())
