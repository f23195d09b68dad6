"""Pipelines in one configuration, with a state folder of their own, and time that goes by."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from testbed.command import Archipec, Result

__all__ = ["Boxes", "block", "imap", "set_back"]


def block(name: str, source: str, sink: Path, more: str = "") -> str:
    """Return a pipeline in TOML, into a Maildir.

    Args:
        source, more: lines of its source, and of itself.
    """
    return (
        f'[[pipeline]]\nname = "{name}"\nseals = false\n{more}\n[pipeline.source]\n{source}\n'
        f'[[pipeline.sink]]\ntype = "maildir"\npath = "{sink}"\n'
    )


def imap(port: int, ca_file: Path | str, password: str = "env:PEC_PASSWORD", host: str = "127.0.0.1") -> str:
    """Return the lines of a mailbox as a source."""
    return f'type = "imap"\nhost = "{host}"\nport = {port}\nuser = "u"\npassword = "{password}"\nca_file = "{ca_file}"'


class Boxes:
    """An office with a configuration."""

    def __init__(self, archipec: Archipec, path: Path) -> None:
        self.archipec = archipec
        self.path = path

    def write(self, *blocks: str) -> None:
        self.path.write_text("\n".join(blocks))

    def __call__(self, *arguments: object, expect: int | None = 0) -> Result:
        return self.archipec("--config", self.path, *arguments, expect=expect)

    def status(self, *arguments: object, expect: int | None) -> dict[str, dict[str, Any]]:
        return {one["pipeline"]: one for one in self("status", "--json", *arguments, expect=expect).objects}

    def todo(self, *arguments: object, expect: int | None = 3) -> list[dict[str, Any]]:
        return self("todo", "--json", *arguments, expect=expect).objects


def set_back(state: Path, days: int) -> None:
    """Make everything that is on record so much older."""
    with closing(sqlite3.connect(state / "ledger.sqlite3")) as db:
        seconds = days * 86_400
        db.execute("UPDATE attempt SET started = started - ?, ended = ended - ?", (seconds, seconds))
        db.execute("UPDATE run SET started = started - ?", (seconds,))
        db.execute("UPDATE copy SET stored = stored - ?", (seconds,))
        db.commit()
