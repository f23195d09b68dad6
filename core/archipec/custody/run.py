"""What a run does for its endpoints: their context, the wish to stop, the waits between tries, an archive claimed."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archipec import __version__
from archipec.config.endpoint import Endpoint
from archipec.contract import Context, SinkType
from archipec.custody.ledger import Ledger
from archipec.custody.locks import hold_endpoint
from archipec.custody.marker import claim_marker
from archipec.errors import TransientError
from archipec.supervision import hurry

__all__ = ["Backoff", "Cancellation", "claim_root", "make_context", "now"]

_TRIES = 5
_FIRST_WAIT = 1.0  # seconds, doubled at each try
_LONGEST_WAIT = 60.0


class Cancellation(threading.Event):
    """Set when the person asked to stop; safe to set in a signal handler.

    Attributes:
        wake: called after it is set, so that whoever waits for something else looks up.
    """

    wake: Callable[[], None] | None = None

    def set(self) -> None:
        """Ask for the end."""
        super().set()
        hurry()
        if self.wake is not None:
            self.wake()


def make_context(name: str, temp: Path, stop: Cancellation) -> Context:
    """Make what an endpoint gets from the host."""
    return Context(
        log=logging.getLogger(f"archipec.{name}"),
        temp=temp,
        now=lambda: datetime.now(UTC),
        cancelled=stop.is_set,
        version=__version__,
    )


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


def claim_root(
    sink: Endpoint[SinkType[Any]], number: int, ledger: Ledger, state: Path, held: ExitStack
) -> None:
    """Lock a sink against every other run, and make sure its archive is the one the ledger knows.

    Raises:
        TransientError: in use, or not in its place.
        PermanentError: its directory can't be used.
    """
    held.enter_context(hold_endpoint(state, sink.where))
    root = sink.record.root(sink.config)
    if root is None:
        return
    known = ledger.copies.archive_id(number)
    identity = claim_marker(root, sink.record.name, known, datetime.now(UTC), held)
    if identity != known:
        ledger.copies.set_archive_id(number, identity)


def now() -> int:
    """Return the time in Unix seconds."""
    return int(time.time())
