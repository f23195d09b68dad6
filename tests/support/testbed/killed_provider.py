"""Runs archipec's command line and kills it in between its dealings with a provider: ``python -m testbed.killed_provider``.

As `testbed.killed`, with points before and after whatever leaves a trace on the provider's server or in the outbox.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from archipec.cli import main
from archipec.conservation.outbox import Outbox
from archipec.conservation.outbox_db import OutboxDatabase
from archipec_plugins.conservation.http import HTTP
from archipec_plugins.conservation.sftp import SFTPFolder

from .killed import Trap

POINTS: dict[str, tuple[type[Any], str]] = {
    "freeze": (OutboxDatabase, "freeze"),
    "move": (OutboxDatabase, "move"),
    "decide": (OutboxDatabase, "decide"),
    "report": (Outbox, "keep_report"),
    "write": (SFTPFolder, "write"),
    "rename": (SFTPFolder, "rename"),
    "names": (SFTPFolder, "names"),
    "read": (SFTPFolder, "read"),
    "ask": (HTTP, "ask"),
}

if __name__ == "__main__":
    name, _, number = os.environ["KILL_AT"].partition(":")
    assert name.partition("-")[2] in POINTS
    trap = Trap(name, int(number), Path(os.environ["KILL_REACHED"]))
    for point, (owner, method) in POINTS.items():
        setattr(owner, method, trap.around(getattr(owner, method), f"before-{point}", f"after-{point}"))
    main()
