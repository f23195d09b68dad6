"""The SQLite file beneath the ledger."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from archipec.custody.ledger.schema import APPLICATION_ID, JSON_COLUMNS, SCHEMA, STEPS, VERSION
from archipec.errors import ArchipecError, PermanentError
from archipec.language import N_, _
from archipec.sqlite_file import SqliteFile

__all__ = ["Database", "LedgerTable", "columns", "readable"]

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
