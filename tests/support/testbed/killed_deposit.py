"""Runs archipec's command line and kills it at a named point of a deposit: ``python -m testbed.killed_deposit``.

As `testbed.killed`, with points of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from archipec.cli import main
from archipec.conservation.builder import PackageBuilder
from archipec.conservation.outbox import Outbox
from archipec.conservation.outbox_db import OutboxDatabase
from archipec.custody.ledger.copies import Copies
from archipec_plugins.conservation.directory import LocalFolder
from testbed.killed import Trap

POINTS = (
    *("before-outbox", "after-outbox", "after-told", "after-making", "after-freezing"),
    *("after-trying", "after-upload", "after-release", "after-marker", "after-ticket"),
    *("before-report", "after-report", "before-decision", "after-decision", "before-receipts"),
)


def install(trap: Trap) -> None:
    """Put the trap's points into the program."""
    around = trap.around
    OutboxDatabase.add = around(OutboxDatabase.add, "before-outbox", "after-outbox")  # type: ignore[method-assign]
    OutboxDatabase.record_facts = around(OutboxDatabase.record_facts, "", "after-told")  # type: ignore[method-assign]
    PackageBuilder.build = around(PackageBuilder.build, "", "after-making")  # type: ignore[method-assign]
    OutboxDatabase.freeze = around(OutboxDatabase.freeze, "", "after-freezing")  # type: ignore[method-assign]
    Outbox.keep_report = around(Outbox.keep_report, "before-report", "after-report")  # type: ignore[method-assign]
    OutboxDatabase.decide = around(OutboxDatabase.decide, "before-decision", "after-decision")  # type: ignore[method-assign]
    Copies.record_receipts = around(Copies.record_receipts, "before-receipts")  # type: ignore[method-assign]
    LocalFolder.rename = around(LocalFolder.rename, "after-upload", "after-release")  # type: ignore[method-assign]
    write, move = LocalFolder.write, OutboxDatabase.move

    def writing(self: LocalFolder, path: str, *arguments: object) -> None:
        write(self, path, *arguments)  # type: ignore[arg-type]
        if path.endswith(".ready"):
            trap.passes("after-marker")

    def moving(self: OutboxDatabase, package: str, state: str, **options: object) -> None:
        move(self, package, state, **options)  # type: ignore[arg-type]
        trap.passes({"trying": "after-trying", "deposited": "after-ticket"}.get(state, ""))

    LocalFolder.write = writing  # type: ignore[assignment]
    OutboxDatabase.move = moving  # type: ignore[method-assign]


if __name__ == "__main__":
    name, _, number = os.environ["KILL_AT"].partition(":")
    assert name in POINTS
    install(Trap(name, int(number), Path(os.environ["KILL_REACHED"])))
    main()
