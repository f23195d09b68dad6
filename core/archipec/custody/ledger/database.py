"""The SQLite file beneath the ledger."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar, Final

from archipec.custody.ledger.schema import APPLICATION_ID, JSON_COLUMNS, SCHEMA, STEPS, VERSION
from archipec.errors import ArchipecError, PermanentError
from archipec.language import N_, _
from archipec.sqlite_file import SqliteFile

__all__ = ["Database", "LedgerTable", "columns", "insert", "readable"]

_ROWS: Final = 50
"""Rows that one statement inserts: SQLite allows it 999 values wherever it is."""

_UNREADABLE: Final = re.compile("[\0\ud800-\udfff]")


class Database(SqliteFile):
    """An open ledger file; see `archipec.sqlite_file.SqliteFile`.

    Raises:
        PermanentError: it is damaged: nothing is lost by that, it is made again from the archives.
    """

    what: ClassVar[str] = N_("ledger")
    application_id: ClassVar[int] = APPLICATION_ID
    version: ClassVar[int] = VERSION
    schema = SCHEMA
    steps = STEPS
    json_columns = JSON_COLUMNS

    def _damaged(self, problem: str) -> ArchipecError:
        return PermanentError(
            _("the ledger {path} is damaged or not a ledger: {problem}").format(
                path=self._path, problem=problem
            ),
            hint=_("move it away: the next run rebuilds it from the archives"),
        )


class LedgerTable:
    """The statements about some tables of the ledger."""

    def __init__(self, db: Database) -> None:
        self._db = db


def insert(db: sqlite3.Connection, into: str, rows: Sequence[Sequence[Any]], then: str = "") -> None:
    """Insert rows of many or long values, many in one statement for the reason of `columns`, and without their way by JSON.

    Args:
        into: the table, with the columns that the rows have: ``content (sha256, size)``.
        then: what follows the values: ``ON CONFLICT DO NOTHING``.
    """
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        marks = ", ".join([f"({', '.join('?' * len(some[0]))})"] * len(some))
        db.execute(f"INSERT INTO {into} VALUES {marks} {then}", list(chain.from_iterable(some)))


def columns(count: int, *names: str) -> str:
    """Name the columns of rows that come as one JSON array.

    Many rows go to SQLite in one statement like that: it gives up the interpreter at each row of an
    ``executemany``, and with several threads at work getting hold of it again costs more than the row.
    """
    labels = names or [f"c{number}" for number in range(count)]
    return ", ".join(f"json_extract(value, '$[{number}]') AS {label}" for number, label in enumerate(labels))


def readable(text: str) -> str:
    """Return a text that the ledger can give back, for one of any origin: an error may name a file of any name.

    SQLite ends texts from JSON at NUL, and keeps half of a surrogate pair as what is no text to who reads it.
    """
    return _UNREADABLE.sub("\ufffd", text)
