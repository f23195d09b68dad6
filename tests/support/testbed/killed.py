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

import archipec.config.pipeline
import archipec.durability
from archipec.cli import main
from archipec.custody.archiving.batcher import Batcher
from archipec.custody.ledger.copies import Copies
from archipec.custody.ledger.deletions import Deletions
from archipec.inventory import InventoryWriter

POINTS = (
    "before-hand-over",
    "after-hand-over",
    "before-settle",
    "after-settle",
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
    "before-inventory",
    "after-inventory",
    "before-inventory-end",
    "after-inventory-end",
)
PRUNE_POINTS = (
    "before-orders",
    "after-orders",
    "before-mark",
    "between-mark-and-expunge",
    "after-expunge",
    "before-quit",
    "after-quit",
    "before-outcomes",
    "after-outcomes",
)
"""Passed while messages are deleted: marking over IMAP, QUIT over POP3."""
PROBE_POINTS = ("after-probe", "after-probe-removed")
"""Passed when the empty folder that shows whose mailbox an archive is was made, and removed."""
ZIP_POINTS = ("after-write", "before-table", "after-table", "before-end", "after-end", "after-finish")
"""Passed while a zip grows: a message is written, told of in the table, listed in a directory with an end behind it."""

ANALYSIS_POINTS = (
    "after-hand-over",
    "before-verdicts",
    "amid-verdicts",
    "after-verdicts",
)
"""Passed while workers judge: messages are theirs to judge; verdicts that came of it are recorded, the first table done."""
INDEX_POINTS = ("before-index", "amid-index", "after-index", "before-progress", "after-progress")
"""Passed while messages are put into the index, and when it remembers up to where that is done."""


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
    # Where whole batches go from thread to thread.
    Batcher.take = trap.around(Batcher.take, "before-hand-over", "after-hand-over")  # type: ignore[method-assign]
    Batcher.settle = trap.around(Batcher.settle, "before-settle", "after-settle")  # type: ignore[method-assign]
    Copies.intend = trap.around(Copies.intend, "before-intents", "after-intents")  # type: ignore[method-assign]
    Copies.record_receipts = trap.around(  # type: ignore[method-assign]
        Copies.record_receipts, "before-receipts", "after-receipts"
    )
    durability = archipec.durability
    durability.sync_files = trap.around(durability.sync_files, "before-sync", "after-sync")
    durability.sync_file = trap.around(durability.sync_file, "before-sync", "after-sync")
    durability.sync_directory = trap.around(durability.sync_directory, "before-directory-sync")
    durability.sync_directories = trap.around(durability.sync_directories, "before-directory-sync")
    InventoryWriter.add = trap.around(  # type: ignore[method-assign]
        InventoryWriter.add, "before-inventory", "after-inventory"
    )
    InventoryWriter.close = trap.around(  # type: ignore[method-assign]
        InventoryWriter.close, "before-inventory-end", "after-inventory-end"
    )
    os.rename = trap.around(os.rename, "", "after-rename")
    os.link = trap.around(os.link, "", "after-rename")
    _install_for_prune(trap)
    _install_for_zip(trap)
    _install_for_probe(trap)
    _install_for_analysis(trap)
    _install_for_index(trap)
    ad_hoc = archipec.config.pipeline.ad_hoc

    def trapped(*args: Any, **kwargs: Any) -> Any:
        pipeline = ad_hoc(*args, **kwargs)
        sinks = tuple(
            replace(sink, record=replace(sink.record, open=_opening(sink.record.open, trap)))
            for sink in pipeline.sinks
        )
        return replace(pipeline, sinks=sinks)

    archipec.config.pipeline.ad_hoc = trapped


def _install_for_prune(trap: Trap) -> None:
    from archipec_plugins.imap import delete as imap
    from archipec_plugins.pop3 import delete as pop3

    Deletions.order = trap.around(Deletions.order, "before-orders", "after-orders")  # type: ignore[method-assign]
    Deletions.record_outcomes = trap.around(  # type: ignore[method-assign]
        Deletions.record_outcomes, "before-outcomes", "after-outcomes"
    )
    tell = imap.ImapDeletion._command

    def passing(self: Any, batch: Any, command: bytes, uids: Any) -> str:
        marks, expunges = b"+FLAGS" in command, b"EXPUNGE" in command
        trap.passes("before-mark" if marks else "")
        reason = tell(self, batch, command, uids)
        trap.passes("between-mark-and-expunge" if marks else "after-expunge" if expunges else "")
        return reason

    imap.ImapDeletion._command = passing  # type: ignore[method-assign]
    say = pop3.Pop3Deletion._command

    def leaving(self: Any, command: bytes) -> None:
        trap.passes("before-quit" if command == b"QUIT" else "")
        say(self, command)
        trap.passes("after-quit" if command == b"QUIT" else "")

    pop3.Pop3Deletion._command = leaving  # type: ignore[method-assign]


def _install_for_probe(trap: Trap) -> None:
    from archipec_plugins.imap.sink_folders import Folders

    Folders.make_probe = trap.around(Folders.make_probe, "", "after-probe")  # type: ignore[method-assign]
    Folders.remove_probe = trap.around(  # type: ignore[method-assign]
        Folders.remove_probe, "", "after-probe-removed"
    )


def _install_for_analysis(trap: Trap) -> None:
    from archipec.custody.analysis.pool import AnalysisPool
    from archipec.custody.ledger import verdicts

    AnalysisPool.offer = trap.around(AnalysisPool.offer, "", "after-hand-over")  # type: ignore[method-assign]
    record = trap.around(verdicts.Verdicts.record, "before-verdicts", "after-verdicts")
    verdicts.Verdicts.record = record  # type: ignore[method-assign]
    columns: Callable[..., str] = vars(verdicts)["columns"]

    def passing(count: int, *names: str) -> str:
        # Of the second statement: what a verdict says of the content it is on.
        trap.passes("amid-verdicts" if names == ("content", "kind", "date") else "")
        return columns(count, *names)

    vars(verdicts)["columns"] = passing


def _install_for_index(trap: Trap) -> None:
    from archipec.index.database import IndexFile

    IndexFile.add = trap.around(IndexFile.add, "before-index", "after-index")  # type: ignore[method-assign]
    IndexFile._insert = trap.around(IndexFile._insert, "", "amid-index")  # type: ignore[method-assign]
    IndexFile.set_progress = trap.around(  # type: ignore[method-assign]
        IndexFile.set_progress, "before-progress", "after-progress"
    )


def _install_for_zip(trap: Trap) -> None:
    from archipec_plugins.zip.writer import ZipWriter

    ZipWriter.add = trap.around(ZipWriter.add, "", "after-write")  # type: ignore[method-assign]
    ZipWriter.note = trap.around(ZipWriter.note, "before-table", "after-table")  # type: ignore[method-assign]
    ZipWriter._write_end = trap.around(  # type: ignore[method-assign]
        ZipWriter._write_end, "before-end", "after-end"
    )
    ZipWriter.finish = trap.around(ZipWriter.finish, "", "after-finish")  # type: ignore[method-assign]


def _opening(open_sink: Callable[..., Any], trap: Trap) -> Callable[..., Any]:
    from contextlib import contextmanager

    @contextmanager
    def opening(*args: Any) -> Any:
        with open_sink(*args) as sink:
            put = trap.around(sink.put, "", "after-put")
            commit = trap.around(sink.commit, "", "after-commit")
            # The host's sinks take no attributes: what they can do is told from their class.
            members = {"put": lambda _, item: put(item), "commit": lambda _: commit()}
            yield type("Trapped", (type(sink),), members)()

    return opening


if __name__ == "__main__":
    name, _, number = os.environ["KILL_AT"].partition(":")
    assert name in POINTS + PRUNE_POINTS + ZIP_POINTS + PROBE_POINTS + ANALYSIS_POINTS + INDEX_POINTS
    install(Trap(name, int(number), Path(os.environ["KILL_REACHED"])))
    main()
