"""Runs archipec's command line and kills it, as by ``kill -9``, at a named point: ``python -m testbed.killed``.

The point comes from KILL_AT as "NAME:N" (the N-th time it is passed); that it was reached is written to the file
KILL_REACHED first. The program itself knows nothing of this: its functions are wrapped here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import archipec.config
import archipec.durability
from archipec.cli import main
from archipec.custody.ledger import Ledger

POINTS = (
    "before-intents",
    "after-intents",
    "after-put",
    "before-sync",
    "after-sync",
    "after-rename",
    "before-directory-sync",
    "after-commit",
    "before-receipts",
    "after-receipts",
)


class Trap:
    """Kills this process at the N-th pass of one point."""

    def __init__(self, point: str, passes: int, reached: Path) -> None:
        self._point = point
        self._left = passes
        self._reached = reached

    def passes(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            self._reached.write_text(point)
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any], before: str = "", after: str = "") -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.passes(before)
            result = function(*args, **kwargs)
            self.passes(after)
            return result

        return wrapped


def install(trap: Trap) -> None:
    """Put the trap's points into the program."""
    Ledger.intend = trap.around(Ledger.intend, "before-intents", "after-intents")  # type: ignore[method-assign]
    Ledger.record_receipts = trap.around(  # type: ignore[method-assign]
        Ledger.record_receipts, "before-receipts", "after-receipts"
    )
    durability = archipec.durability
    durability.sync_files = trap.around(durability.sync_files, "before-sync", "after-sync")
    durability.sync_file = trap.around(durability.sync_file, "before-sync", "after-sync")
    durability.sync_directory = trap.around(durability.sync_directory, "before-directory-sync")
    durability.sync_directories = trap.around(durability.sync_directories, "before-directory-sync")
    os.rename = trap.around(os.rename, "", "after-rename")
    os.link = trap.around(os.link, "", "after-rename")
    ad_hoc = archipec.config.ad_hoc

    def trapped(*args: Any, **kwargs: Any) -> Any:
        pipeline = ad_hoc(*args, **kwargs)
        sinks = tuple(
            replace(sink, record=replace(sink.record, open=_opening(sink.record.open, trap)))
            for sink in pipeline.sinks
        )
        return replace(pipeline, sinks=sinks)

    archipec.config.ad_hoc = trapped


def _opening(open_sink: Callable[..., Any], trap: Trap) -> Callable[..., Any]:
    from contextlib import contextmanager

    @contextmanager
    def opening(*args: Any) -> Any:
        with open_sink(*args) as sink:
            sink.put = trap.around(sink.put, "", "after-put")
            sink.commit = trap.around(sink.commit, "", "after-commit")
            yield sink

    return opening


if __name__ == "__main__":
    name, _, number = os.environ["KILL_AT"].partition(":")
    assert name in POINTS
    install(Trap(name, int(number), Path(os.environ["KILL_REACHED"])))
    main()
