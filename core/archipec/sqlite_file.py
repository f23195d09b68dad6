"""A SQLite file that archipec records something in: opened, brought forward, written whole, errors in plain words.

The ledger and the outboxes are such files. What differs is what a damaged one means: its class says it.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
import stat
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from archipec.errors import ArchipecError, PermanentError, TransientError, from_os_error
from archipec.language import _

_SHARED = 64 << 10  # bytes; its -shm file takes 32 KiB at first
_WAIT = 30.0  # seconds another process may hold the file
_PAGE = 1000  # rows
_STORAGE = {"TEXT": "text", "INTEGER": "integer"}
_TIMES = range(
    int(datetime.min.replace(tzinfo=UTC).timestamp()) + 86_400,
    int(datetime.max.replace(tzinfo=UTC).timestamp()) - 86_400,
)
# What the values of a column can be: their type, and what else they have to be.
_KINDS: dict[str, tuple[type, Callable[[Any], object]]] = {
    "integer": (int, lambda _: True),
    "text": (str, lambda _: True),
    "sha256": (str, re.compile("[0-9a-f]{64}").fullmatch),
    "time": (int, _TIMES.__contains__),
}
_PLAIN = ("integer", "text")
# What reading a value raises that is not what was written.
_MISREAD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class SqliteFile:
    """An open file. Any thread may call.

    Args:
        path: made, 0600, when it is not there.
        read_only: nothing can be written, by no statement; the file is there and in this version.

    Attributes:
        what: what the file is, for people: ``ledger``.
        version: of the tables that this archipec knows; ``schema`` makes them.
        steps: by the version they begin at, statements that bring a file to the next one.
        json_columns: of which ``table.column`` the text is JSON.

    Raises:
        PermanentError: it can't be opened, belongs to another program, or was written by a newer archipec.
        TransientError: another process holds it for too long, the disk is full or disconnected.
        ArchipecError: it is damaged; of which kind is for the class to say.
    """

    what: ClassVar[str]
    application_id: ClassVar[int]
    version: ClassVar[int]
    schema: ClassVar[Sequence[str]]
    steps: ClassVar[Mapping[int, Sequence[str]]] = {}
    json_columns: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._lock = threading.RLock()
        self._path = path
        self._read_only = read_only
        try:
            if not read_only:
                path.touch(mode=0o600, exist_ok=True)
            if not stat.S_ISREG(path.stat().st_mode):
                raise PermanentError(
                    _("the {what} {path} is not a file").format(what=_(self.what), path=path),
                    hint=_("move away what stands there"),
                )
        except OSError as error:
            raise from_os_error(error, path) from error
        with self._readable():
            # SQLite itself then refuses to write.
            name = f"{path.absolute().as_uri()}?mode=ro" if read_only else path
            self._db = sqlite3.connect(
                name, timeout=_WAIT, isolation_level=None, check_same_thread=False, uri=read_only
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        db = self._db
        version = db.execute("PRAGMA user_version").fetchone()[0]
        owner = db.execute("PRAGMA application_id").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if tables and owner != self.application_id:
            raise PermanentError(
                _("{path} is a database of another program").format(path=self._path),
                hint=_("choose another folder for archipec"),
            )
        if version > self.version:
            raise PermanentError(
                _(
                    "the {what} {path} was written by a newer archipec (format {version}, this one knows "
                    "{known})"
                ).format(what=_(self.what), path=self._path, version=version, known=self.version),
                hint=_("update archipec"),
            )
        if self._read_only:
            if version < self.version:
                raise PermanentError(
                    _("the {what} {path} was written by an older archipec").format(
                        what=_(self.what), path=self._path
                    ),
                    hint=_("`archipec status` brings it forward"),
                )
            return
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        if version < self.version:
            with self.transaction():
                # Another process may have done it while this one waited for its turn.
                self._bring_forward(db.execute("PRAGMA user_version").fetchone()[0])

    def _bring_forward(self, version: int) -> None:
        statements = (
            [one for number in range(version, self.version) for one in self.steps[number]]
            if version
            else self.schema
        )
        for statement in statements:
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {self.application_id}")
        self._db.execute(f"PRAGMA user_version = {self.version}")

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            # A value that was misread may only surface where it is used.
            if isinstance(error, _MISREAD) and (problem := self.damage()):
                raise self._damaged(problem) from error
        finally:
            self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @abstractmethod
    def _damaged(self, problem: str) -> ArchipecError:
        """Return the error that says what a damaged file means, and the way out."""

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
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

    def rows(self, query: str, values: Sequence[object] = (), columns: str = "") -> list[Any]:
        """Return the rows that a query answers.

        Args:
            columns: see `checked`; empty where the answer is not itself recorded: a count, a 1.
        """
        with self._lock, self._readable():
            rows = self._db.execute(query, values).fetchall()
        return self.checked(rows, columns) if columns else rows

    def paged(self, query: str, values: Sequence[object], columns: str) -> Iterator[Any]:
        """Yield the rows that a query answers, a page of them in memory; other statements may run meanwhile.

        Args:
            columns: see `checked`.
        """
        with self._lock, self._readable():
            cursor = self._db.execute(query, values)
        while True:
            with self._lock, self._readable():
                rows = cursor.fetchmany(_PAGE)
            if not rows:
                return
            yield from self.checked(rows, columns)

    def checked(self, rows: list[Any], columns: str) -> list[Any]:
        """Return these rows; a value of another kind than its column's is damage.

        Args:
            columns: the kind of each, with spaces between: ``integer``, ``text``, ``sha256`` (64 hex digits), ``time``
                (Unix seconds of a date); with a ``?`` behind it None is as good.
        """
        if not rows:
            return rows
        with self.decoding():
            for column, values in zip(columns.split(), zip(*rows, strict=True), strict=True):
                _check_column(column.removesuffix("?"), values, optional=column.endswith("?"))
        return rows

    def parse_json(self, text: str, shape: object = object) -> Any:
        """Return what a recorded JSON text says; a text that is not JSON, or has another shape (`fits`), is damage."""
        with self.decoding():
            value = json.loads(text)
            if not fits(value, shape):
                raise ValueError(_("{text} has another shape").format(text=repr(text[:60])))
            return value

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Take rows apart that this class wrote: what doesn't fit is damage, not a bug."""
        try:
            yield
        except _MISREAD as error:
            raise self._damaged(
                _("a row of it can't be read ({name}: {error})").format(
                    name=type(error).__name__, error=error
                )
            ) from error

    def damage(self) -> str:
        """Look through all of it; say what is damaged, empty when nothing is seen to be."""
        try:
            with self._lock:
                return self._damage()
        except ArchipecError as error:
            return error.message
        except sqlite3.Error as error:
            return str(error)

    def _damage(self) -> str:
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            return str(found)
        tables = self._db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _ignored, column, declared, *_ignored in self._db.execute(
                f"PRAGMA table_info('{table}')"
            ).fetchall():
                if self._is_damaged(table, column, _STORAGE.get(declared, "")):
                    return _("table {table}, column {column}").format(table=table, column=column)
        return ""

    def _is_damaged(self, table: str, column: str, storage: str) -> bool:
        cursor = self._db.execute(
            f'SELECT typeof("{column}"), CAST("{column}" AS BLOB) FROM "{table}"'  # noqa: S608  of its own schema
        )
        while page := cursor.fetchmany(_PAGE):
            for kind, value in page:
                if kind not in (storage or kind, "null"):
                    return True
                if kind == "text" and not _is_text(value, as_json=f"{table}.{column}" in self.json_columns):
                    return True
        return False

    def _has_no_room(self) -> bool:
        import shutil

        try:
            return shutil.disk_usage(self._path.parent).free < _SHARED
        except OSError:
            return False

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Say plainly what SQLite says in its own words."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._translated(error) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error

    def _translated(self, error: sqlite3.OperationalError) -> ArchipecError:
        name = _("the {what} {path}").format(what=_(self.what), path=self._path)
        # Python's own, of a text that is not UTF-8, has no code.
        code: str = getattr(error, "sqlite_errorname", "")
        if not code or str(error).startswith(("malformed JSON", "no such column", "no such table")):
            return self._damaged(str(error).split(" with text ")[0])
        # Without room for the file that its users share, SQLite speaks of an input or output error.
        if code == "SQLITE_FULL" or (code.startswith("SQLITE_IOERR") and self._has_no_room()):
            return TransientError(
                _("no room left on the disk of {name}").format(name=name),
                hint=_("free some space and run again"),
                retry_after=math.inf,
            )
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return TransientError(
                _("{name} is in use by another archipec").format(name=name),
                hint=_("run again when it has ended"),
            )
        if code.startswith("SQLITE_IOERR"):
            return TransientError(f"{name}: {error}", hint=_("is its disk connected?"), retry_after=math.inf)
        return PermanentError(f"{name}: {error}", hint=_("is its folder writable?"))


def _check_column(kind: str, values: Sequence[object], *, optional: bool) -> None:
    expected, accepts = _KINDS[kind]
    # By their types first: that is quick for the many rows that are sound.
    sound = set(map(type, values)) <= {expected, *([type(None)] if optional else ())}
    if sound and kind in _PLAIN:
        return
    for value in values:
        if not (optional and value is None) and not (type(value) is expected and accepts(value)):
            raise ValueError(
                _("{value} stands where {kind} belongs").format(value=repr(value)[:60], kind=kind)
            )


def unix_seconds(time: datetime | None) -> int | None:
    """Return an aware time as it may be stored, in Unix seconds; None for none, and for one that not every zone can show.

    Servers and senders may say anything between the years 1 and 9999; what is stored lies a day within that.
    """
    if time is None:
        return None
    seconds = int(time.timestamp())
    return seconds if seconds in _TIMES else None


def fits(value: object, shape: object) -> bool:
    """Tell whether what was JSON is of a shape.

    Args:
        shape: a type; ``[shape]`` for a list of such; ``{name: shape}`` for an object that has at least these;
            ``{str: shape}`` for one with any names; a tuple of shapes, one of which it is.
    """
    if isinstance(shape, type):
        return shape is object or type(value) is shape
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(one, shape[0]) for one in value)
    assert isinstance(shape, dict)
    if not isinstance(value, dict):
        return False
    if str in shape:
        return all(fits(one, shape[str]) for one in value.values())
    return all(name in value and fits(value[name], one) for name, one in shape.items())


def _is_text(value: bytes, *, as_json: bool) -> bool:
    try:
        text = value.decode()
        if as_json:
            json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
