"""The index: one SQLite file (FTS5) that finds messages by their words and facts.

It holds nothing that can't be made again from the archives. A row is one content, by its key; its number rises with the
message's date, so that the newest are found first without sorting.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from archipec.custody.ledger.holdings import SHORTEST_ID
from archipec.errors import ArchipecError, PermanentError, from_os_error
from archipec.index.record import IndexedMessage, Place, Role
from archipec.language import N_
from archipec.message import ContentKey
from archipec.sqlite_file import SqliteFile

__all__ = [
    "COLUMNS",
    "PER_SECOND",
    "IndexEntry",
    "IndexFile",
    "StaleIndex",
    "index_path",
    "open_index",
]

COLUMNS: Final = ("subject", "sender", "recipients", "attachments", "inner", "envelope", "files")
"""Where words are found: ``attachments`` are the names of files and of who signed them, ``files`` what is in them."""

PER_SECOND: Final = 256
"""Numbers that a second of the date has for messages; more of them take numbers of the next second."""

_UNDATED = 1 << 40
_LARGEST_RECORD = 64 << 20  # bytes
_WINDOW, _MEMORY = 13, 6  # of zlib: 8 KiB
_UNFIT = re.compile("[\0\ud800-\udfff]")
_ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "sender": frozenset({Role.FROM, Role.REPLY_TO}),
    "recipients": frozenset({Role.TO, Role.CC, Role.BCC, Role.CONCERNED}),
    "envelope": frozenset({Role.PROVIDER}),
}
_PLACES: Final = {"inner": Place.INNER, "envelope": Place.ENVELOPE, "files": Place.ATTACHMENT}


class IndexEntry(NamedTuple):
    """A message to be found.

    Attributes:
        date: of the message, Unix seconds; 0 when it is not known.
        content: its number in the ledger, None without a ledger.
    """

    key: ContentKey
    date: int
    record: IndexedMessage
    content: int | None = None


class StaleIndex(PermanentError):
    """The index has to be made again: it is damaged, or another version of archipec wrote it."""


_SCHEMA = (
    # content: the ledger's number of it; another ledger may have given it to another message, so who relies on it compares
    # the SHA-256. attachments: without the files in files. invoices: whether electronic invoices are attached. seal: its status by itself; where there is a ledger, that knows better.
    """CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL,
        size INTEGER NOT NULL,
        content INTEGER,
        date INTEGER NOT NULL,
        kind TEXT NOT NULL,
        system TEXT NOT NULL,
        seal TEXT NOT NULL,
        attachments INTEGER NOT NULL,
        invoices INTEGER NOT NULL,
        UNIQUE (sha256, size)
    )""",
    # What was read of a message, as compressed JSON (`IndexedMessage.as_json`): facts without texts, and texts.
    "CREATE TABLE record (id INTEGER PRIMARY KEY REFERENCES message, facts BLOB NOT NULL, texts BLOB NOT NULL)",
    """CREATE TABLE identifier (
        value TEXT NOT NULL COLLATE NOCASE,
        message INTEGER NOT NULL REFERENCES message,
        PRIMARY KEY (value, message)
    ) WITHOUT ROWID""",
    """CREATE TABLE attachment (
        message INTEGER NOT NULL REFERENCES message,
        name TEXT NOT NULL,
        PRIMARY KEY (message, name)
    ) WITHOUT ROWID""",
    # Up to which number of the ledger's everything is here that an archive holds, and what tells that it still holds the same.
    """CREATE TABLE progress (
        archive INTEGER PRIMARY KEY,
        upto INTEGER NOT NULL,
        last TEXT NOT NULL,
        copies INTEGER NOT NULL,
        total INTEGER NOT NULL
    )""",
    # FTS5 keeps no text of its own: it asks this view, for what it shows and to take a message out again.
    "CREATE VIEW text AS SELECT id, "
    + ", ".join(f"text_in(facts, texts, '{name}') AS {name}" for name in COLUMNS)
    + " FROM record",
    f"CREATE VIRTUAL TABLE words USING fts5({', '.join(COLUMNS)}, content = 'text', content_rowid = 'id',"
    + " tokenize = 'unicode61 remove_diacritics 2')",
)


class IndexFile(SqliteFile):
    """An open index. Any thread may call.

    Raises:
        StaleIndex: it is damaged, or of an older version.
        ArchipecError: it can't be opened; see `SqliteFile`.
    """

    what: ClassVar[str] = N_("index")
    application_id: ClassVar[int] = 0x50454349
    version: ClassVar[int] = 1
    schema = _SCHEMA

    def _prepare(self) -> None:
        self._db.create_function("text_in", 3, _Texts(), deterministic=True)
        # Where SQLite was built to trust no file, the view may not call the function.
        self._db.execute("PRAGMA trusted_schema = ON")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if 0 < version < self.version:
            raise self._damaged("an older version of archipec wrote it")
        super()._prepare()
        # What a power cut takes away is made again.
        self._db.execute("PRAGMA synchronous = NORMAL")

    def _damaged(self, problem: str) -> ArchipecError:
        return StaleIndex(
            f"the index {self._path} can't be used: {problem}",
            hint="`archipec index` makes it again from the archives",
        )

    def _translated(self, error: sqlite3.OperationalError) -> ArchipecError:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_ERROR":
            return self._damaged(str(error))
        return super()._translated(error)

    # -- filling -------------------------------------------------------------------------------

    def add(self, entries: Iterable[IndexEntry]) -> None:
        """Record messages, all in one transaction; what is there of them gives way."""
        # FTS5 writes a transaction at once when its rows come in order.
        ordered = sorted({entry.key: entry for entry in entries}.values(), key=lambda entry: entry.date)
        packed = [(entry, *_packed(entry.record)) for entry in ordered]
        with self.transaction() as db:
            self._remove(db, [entry.key for entry in ordered])
            for entry, facts, texts in packed:
                self._insert(db, entry, facts, texts)

    def _insert(self, db: sqlite3.Connection, entry: IndexEntry, facts: bytes, texts: bytes) -> None:
        record, number = entry.record, _free_number(db, entry.date)
        names = {folded(one.name) for one in record.attachments} - {""}
        db.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                *entry.key,
                entry.content,
                entry.date,
                record.kind,
                record.system,
                record.seal,
                sum(not one.depth for one in record.attachments),
                bool(record.invoices),
            ),
        )
        db.execute("INSERT INTO record VALUES (?, ?, ?)", (number, facts, texts))
        identifiers = {record.message_id, record.inner_message_id, record.msgid, record.identificativo}
        # What SdI says of an invoice names its file.
        identifiers |= {one.file_name for one in record.invoices} | {
            one.file_name for one in record.sdi_messages
        }
        db.executemany(
            "INSERT OR IGNORE INTO identifier VALUES (?, ?)",
            [(whole(one), number) for one in identifiers - {""}],
        )
        db.executemany("INSERT INTO attachment VALUES (?, ?)", [(number, name) for name in names])
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        words = words_of(record)
        db.execute(
            f"INSERT INTO words (rowid, {', '.join(COLUMNS)}) VALUES ({marks})",
            (number, *(words[name] for name in COLUMNS)),
        )

    def renumber(self, contents: Iterable[tuple[ContentKey, int]]) -> None:
        """Record which numbers a ledger has for messages."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE message SET content = ?3 WHERE sha256 = ?1 AND size = ?2 AND content IS NOT ?3",
                [(*key, content) for key, content in contents],
            )

    def remove(self, keys: Iterable[ContentKey]) -> None:
        """Take messages out, all in one transaction: nothing of them is left to be found."""
        with self.transaction() as db:
            self._remove(db, list(keys))

    def forget_progress(self, archives: Iterable[int]) -> None:
        """Forget up to where archives, by their numbers in the ledger, were looked through."""
        with self.transaction() as db:
            db.executemany("DELETE FROM progress WHERE archive = ?", [(one,) for one in archives])

    def _remove(self, db: sqlite3.Connection, keys: Sequence[ContentKey]) -> None:
        for number in _numbers(db, keys):
            columns = ", ".join(COLUMNS)
            db.execute(
                f"INSERT INTO words (words, rowid, {columns}) SELECT 'delete', id, {columns} FROM text WHERE id = ?",
                (number,),
            )
            for table, column in (("attachment", "message"), ("identifier", "message"), ("record", "id")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))
            db.execute("DELETE FROM message WHERE id = ?", (number,))

    def progress(self, archive: int) -> tuple[int, tuple[str, int, int]]:
        """Return up to which of its numbers everything is here that a ledger's archive holds, and its tally up to there."""
        rows = self.rows(
            "SELECT upto, last, copies, total FROM progress WHERE archive = ?",
            (archive,),
            "integer text integer integer",
        )
        return (rows[0][0], tuple(rows[0][1:])) if rows else (0, ("", 0, 0))

    def filled_from(self) -> list[int]:
        """Return the archives, by a ledger's numbers, whose messages it has."""
        return [archive for (archive,) in self.rows("SELECT archive FROM progress", (), "integer")]

    def set_progress(self, archive: int, upto: int, tally: tuple[str, int, int]) -> None:
        """Remember that; another tally will tell that the archive holds others by then."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?)", (archive, upto, *tally))

    # -- what it answers -------------------------------------------------------------------------

    def stream(self, query: str, values: Sequence[object]) -> Iterator[Any]:
        """Yield the rows that a query answers, each looked up when it is taken."""
        with self._lock, self._readable():
            cursor = self._db.execute(query, values)
        while True:
            with self._lock, self._readable():
                row = cursor.fetchone()
            if row is None:
                return
            yield row

    def attach(self, path: Path, name: str) -> None:
        """Let queries name the tables of another SQLite file too, as ``name.table``. Nothing can be written from then on.

        Args:
            path: of a file that is there.
        """
        with self._lock, self._readable():
            self._db.execute("ATTACH ? AS " + name, (str(path),))
            self._db.execute("PRAGMA query_only = ON")

    def missing(self, keys: Sequence[ContentKey]) -> list[ContentKey]:
        """Return those of these keys that it does not hold, in their order."""
        rows = self.rows(
            "SELECT sha256, size FROM message WHERE sha256 IN (SELECT value FROM json_each(?))",
            (json.dumps([key.sha256 for key in keys]),),
            "sha256 integer",
        )
        held = {ContentKey(*row) for row in rows}
        return [key for key in keys if key not in held]

    def count(self) -> int:
        """Return how many messages it holds."""
        return int(self.rows("SELECT count(*) FROM message")[0][0])

    def kind_counts(self, held: tuple[str, Sequence[object]] = ("true", ())) -> dict[str, int]:
        """Return how many messages it holds of each kind, those with most first.

        Args:
            held: a condition on ``m``, and its values: which messages count.
        """
        sql, values = held
        return dict(
            self.rows(
                f"SELECT m.kind, count(*) FROM message m WHERE {sql} GROUP BY 1 ORDER BY 2 DESC, 1",
                values,
                "text integer",
            )
        )

    def get(self, key: ContentKey) -> IndexedMessage | None:
        """Return all that it holds of a message, None when it holds nothing of it."""
        rows = self.rows(
            "SELECT r.facts, r.texts FROM message m JOIN record r ON r.id = m.id WHERE m.sha256 = ? AND m.size = ?",
            key,
        )
        with self.decoding():
            return IndexedMessage.from_json(_unpacked(*rows[0])) if rows else None

    def resolve(self, name: str) -> list[ContentKey]:
        """Return the messages that a text names, the newest first.

        A name is the beginning of a SHA-256 (4 digits or more), a Message-ID with or without angle brackets, of a message
        or of the original inside, an `identificativo`, which all messages of a sending share, or the name of an
        invoice's file at SdI.
        """
        name = name.strip().strip("<>").strip()
        found = self.rows(
            "SELECT m.sha256, m.size FROM identifier i JOIN message m ON m.id = i.message WHERE i.value = ?"
            " ORDER BY m.id DESC",
            (whole(name),),
            "sha256 integer",
        )
        digits = name.lower()
        if not found and len(digits) >= 4 and not digits.strip("0123456789abcdef"):
            found = self.rows(
                "SELECT sha256, size FROM message WHERE sha256 >= ? AND sha256 < ? ORDER BY id DESC",
                (digits, f"{digits}g"),
                "sha256 integer",
            )
        return [ContentKey(*row) for row in found]

    def short_id(self, sha256: str) -> str:
        """Return the shortest beginning of a SHA-256, of `SHORTEST_ID` digits at least, that no other message has."""
        neighbours = self.rows(
            "SELECT * FROM (SELECT max(sha256) FROM message WHERE sha256 < ?1)"
            " UNION ALL SELECT * FROM (SELECT min(sha256) FROM message WHERE sha256 > ?1)",
            (sha256,),
            "sha256?",
        )
        length = SHORTEST_ID
        while length < len(sha256) and any(one and one.startswith(sha256[:length]) for (one,) in neighbours):
            length += 1
        return sha256[:length]


def index_path(state: Path) -> Path:
    """Return where the index of a state folder is."""
    return state / "index.sqlite3"


def open_index(path: Path) -> IndexFile:
    """Open the index for filling. One that can't be used any more is thrown away and made anew: it holds nothing else.

    Raises:
        ArchipecError: it can't be opened, or was written by a newer archipec.
    """
    try:
        return IndexFile(path)
    except StaleIndex:
        remove_index(path)
        return IndexFile(path)


def remove_index(path: Path) -> None:
    """Remove the files of an index.

    Raises:
        ArchipecError: they can't be.
    """
    try:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, path) from error


def _free_number(db: sqlite3.Connection, date: int) -> int:
    """Return the first number of a second that no message has; of a second that is full, one of the next that is not.

    Messages without a date, or with one before 1970, are older than all others.
    """
    number, room = (date * PER_SECOND, PER_SECOND) if date > 0 else (-_UNDATED, _UNDATED)
    while True:
        (taken,) = db.execute(
            "SELECT max(id) FROM message WHERE id >= ? AND id < ?", (number, number + room)
        ).fetchone()
        if taken is None:
            return number
        if taken + 1 < number + room:
            return int(taken) + 1
        number += room


def _numbers(db: sqlite3.Connection, keys: Sequence[ContentKey]) -> list[int]:
    rows = db.execute(
        "SELECT m.id, m.sha256, m.size FROM json_each(?) j JOIN message m ON m.sha256 = j.value ORDER BY m.id",
        (json.dumps([key.sha256 for key in keys]),),
    ).fetchall()
    wanted = set(keys)
    return [number for number, *key in rows if ContentKey(*key) in wanted]


def _packed(record: IndexedMessage) -> tuple[bytes, bytes]:
    facts = dict(record.as_json())
    texts = facts.pop("texts")
    return _compressed(facts), _compressed(texts)


def _compressed(value: object) -> bytes:
    # To set up its usual window takes twice as long as to compress what is here.
    packer = zlib.compressobj(wbits=_WINDOW, memLevel=_MEMORY)
    return packer.compress(json.dumps(value, separators=(",", ":")).encode("ascii")) + packer.flush()


def decompressed(data: bytes) -> Any:
    """Return what a compressed column of the table ``record`` says.

    Raises:
        ValueError: it is damaged.
    """
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(data, _LARGEST_RECORD)
    except zlib.error as error:
        raise ValueError("a record can't be decompressed") from error
    if not reader.eof:
        raise ValueError("a record is too large, or cut short")
    return json.loads(plain)


def _unpacked(facts: bytes, texts: bytes) -> dict[str, Any]:
    shape: dict[str, Any] = decompressed(facts)
    return shape | {"texts": decompressed(texts)}


class _Texts:
    """What SQLite calls for the words of a column: it asks for one column after the other of the same message."""

    def __init__(self) -> None:
        self._last: tuple[bytes, bytes] = (b"", b"")
        self._words: dict[str, str] = {}

    def __call__(self, facts: bytes, texts: bytes, column: str) -> str:
        if (facts, texts) != self._last:
            self._words = words_of(IndexedMessage.from_json(_unpacked(facts, texts)))
            self._last = (facts, texts)
        return self._words[column]


def words_of(record: IndexedMessage) -> dict[str, str]:
    """Return the text of each of `COLUMNS`. A change here needs another version of the index: what is taken out of it
    must be what was put in.
    """
    found = {
        column: "\n".join(f"{one.name} {one.address}" for one in record.parties if one.role in roles)
        for column, roles in _ROLES.items()
    }
    for column, place in _PLACES.items():
        texts = [one.text for one in record.texts if one.place == place]
        if column == "envelope" and record.envelope_subject != record.subject:
            texts.insert(0, record.envelope_subject)
        found[column] = "\n".join([*([found[column]] if column in found else []), *texts])
    found["subject"] = record.subject
    found["attachments"] = "\n".join(word for one in record.attachments for word in (one.path, *one.signers))
    return {column: whole(text) for column, text in found.items()}


def folded(name: str) -> str:
    """Return the name of an attachment as it is compared: without case, accents written in one way."""
    return whole(unicodedata.normalize("NFC", name).casefold())


def whole(text: str) -> str:
    """Return text without surrogate escapes and NULs, which SQLite can't keep."""
    return _UNFIT.sub("\ufffd", text)
