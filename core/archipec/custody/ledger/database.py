"""The SQLite file beneath the ledger: one connection, one lock, whole transactions, errors in a person's words."""

from __future__ import annotations

import math
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from archipec.custody.ledger.schema import APPLICATION_ID, SCHEMA, STEPS, VERSION
from archipec.errors import PermanentError, TransientError, from_os_error

__all__ = ["Database", "columns"]

_SHARED = 64 << 10  # bytes; its -shm file takes 32 KiB at first
_WAIT = 30.0  # seconds another process may hold the file


class Database:
    """An open ledger file. Any thread may call.

    Args:
        path: made, 0600, when it is not there.

    Raises:
        PermanentError: it is no ledger, is damaged, or was written by a newer archipec.
        TransientError: another process holds it for too long, or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._path = path
        try:
            path.touch(mode=0o600, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, path) from error
        with self._readable():
            self._db = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            self._prepare()

    def _prepare(self) -> None:
        db = self._db
        version = db.execute("PRAGMA user_version").fetchone()[0]
        owner = db.execute("PRAGMA application_id").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if tables and owner != APPLICATION_ID:
            raise PermanentError(
                f"{self._path} is a database of another program", hint="choose another --state folder"
            )
        if version > VERSION:
            raise PermanentError(
                f"the ledger {self._path} was written by a newer archipec"
                f" (format {version}, this one knows {VERSION})",
                hint="update archipec",
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        if version < VERSION:
            with self._transaction():
                # Another process may have done it while this one waited for its turn.
                self._bring_forward(db.execute("PRAGMA user_version").fetchone()[0])

    def _bring_forward(self, version: int) -> None:
        db = self._db
        statements = SCHEMA if not version else [one for n in range(version, VERSION) for one in STEPS[n]]
        for statement in statements:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all of it or none; durable at the end."""
        with self._lock, self._readable():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lock, self._readable():
            return self._db.execute(query, values).fetchall()

    def _has_no_room(self) -> bool:
        try:
            return shutil.disk_usage(self._path.parent).free < _SHARED
        except OSError:
            return False

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Say in a person's words what SQLite says in its own."""
        try:
            yield
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorname
            # Without room for the file that its users share, SQLite speaks of an input or output error.
            if code == "SQLITE_FULL" or (code.startswith("SQLITE_IOERR") and self._has_no_room()):
                raise TransientError(
                    f"no room left on the disk of the ledger {self._path}",
                    hint="free some space and run again",
                    retry_after=math.inf,
                ) from error
            if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise TransientError(
                    f"the ledger {self._path} is in use by another archipec",
                    hint="run again when it has ended",
                ) from error
            raise PermanentError(
                f"the ledger {self._path}: {error}", hint="is the state folder writable?"
            ) from error
        except sqlite3.DatabaseError as error:
            raise PermanentError(
                f"the ledger {self._path} is damaged or is none: {error}",
                hint="move it away: the next run rebuilds it from the archives",
            ) from error


def columns(count: int, *names: str) -> str:
    """Name the columns of rows that come as one JSON array.

    Many rows go to SQLite in one statement like that: it lets go of the interpreter at each row of an
    ``executemany``, and with several threads at work getting hold of it again costs more than the row.
    """
    labels = names or [f"c{number}" for number in range(count)]
    return ", ".join(f"json_extract(value, '$[{number}]') AS {label}" for number, label in enumerate(labels))
