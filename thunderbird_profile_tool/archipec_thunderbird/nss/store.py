"""cert9.db and key4.db together: one connection, so that a change of both is one transaction.

SQLite commits to several attached files as one, by a super-journal, unless write-ahead logging is on, which NSS never
turns on. A process killed at any moment leaves the old state or the new one to whoever opens the files next.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from archipec.errors import PermanentError, TransientError
from archipec.language import _
from archipec_thunderbird.certificates import Certificate
from archipec_thunderbird.nss.integrity import signature_name
from archipec_thunderbird.nss.objects import (
    CLASS,
    HASH_COLUMN,
    ISSUER,
    NEW_STYLE,
    OLD_STYLE,
    SERIAL,
    VALUE,
    TrustStyle,
)
from archipec_thunderbird.nss.password import PasswordRecord, UnknownFormat

__all__ = ["CERTIFICATES", "KEYS", "Change", "NssRow", "NssStore", "open_store"]

CERTIFICATES: Final = "cert9.db"
KEYS: Final = "key4.db"
_HIGHEST_ID = 0x3FFFFFFF
_BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class NssRow:
    """One object: its number, and its attributes by column."""

    number: int
    columns: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one row of cert9.db and of its signatures in key4.db.

    Attributes:
        number: of the row.
        before: the columns that change, as they are (None where empty); None when there is no such row yet.
        after: the same columns as they shall be (all of them for a new row); None when the row goes.
        signatures: by column that changes, the signature before and after; None where there is none.
    """

    number: int
    before: Mapping[str, bytes | None] | None
    after: Mapping[str, bytes | None] | None
    signatures: Mapping[str, tuple[bytes | None, bytes | None]]


@contextmanager
def open_store(profile: Path) -> Iterator[NssStore]:
    """Open the databases of a profile; a change that was cut off half-way is rolled back by SQLite here.

    Raises:
        PermanentError: they are not there, or not what they should be.
        TransientError: Thunderbird is writing to them.
    """
    for name in (CERTIFICATES, KEYS):
        if not (profile / name).is_file():
            raise PermanentError(
                _("{profile}: has no {name}").format(profile=profile, name=name),
                hint=_("start Thunderbird once with this profile, close it and run it again"),
            )
    with _translated(profile):
        connection = sqlite3.connect(
            _uri(profile / CERTIFICATES), uri=True, isolation_level=None, timeout=_BUSY_SECONDS
        )
        with closing(connection):
            connection.execute("ATTACH ? AS keys", (_uri(profile / KEYS),))
            for schema in ("main", "keys"):
                (mode,) = connection.execute(f"PRAGMA {schema}.journal_mode").fetchone()
                if mode != "delete":
                    raise UnknownFormat(
                        _("{profile}: its databases are kept in an unusual way (journal mode {mode})").format(
                            profile=profile, mode=mode
                        )
                    )
            yield NssStore(connection)


class NssStore:
    """Both databases, open; made by `open_store`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._columns = frozenset(
            name for (name,) in self._db.execute("SELECT name FROM pragma_table_info('nssPublic')")
        )
        if not {CLASS, ISSUER, SERIAL, VALUE} <= self._columns:
            raise UnknownFormat(
                _("{certificates} has no table of certificates").format(certificates=CERTIFICATES)
            )

    @property
    def new_rows(self) -> TrustStyle:
        """The style in which a trust row is to be made, so that the NSS that made this table reads it."""
        return NEW_STYLE if HASH_COLUMN in self._columns else OLD_STYLE

    def password(self) -> PasswordRecord:
        """Return what checks the primary password.

        Raises:
            UnknownFormat: there is none.
        """
        found = self._db.execute("SELECT item1, item2 FROM keys.metaData WHERE id = 'password'").fetchone()
        if found is None or not all(isinstance(item, bytes) for item in found):
            raise UnknownFormat(_("{keys} has no password record").format(keys=KEYS))
        return PasswordRecord(*found)

    def trust_rows(self, style: TrustStyle, certificate: Certificate) -> list[NssRow]:
        """Return the trust rows of one style for a certificate: none or one, unless something went wrong."""
        if not {ISSUER, *style.usages.values()} <= self._columns:
            return []
        rows = self._rows(
            f"{CLASS} = ? AND {ISSUER} = ? AND {SERIAL} = ?",
            (style.object_class, certificate.issuer, certificate.serial),
        )
        return [row for row in rows if style.is_about(row.columns, certificate)]

    def certificates(self) -> Iterator[tuple[NssRow, Certificate]]:
        """Yield every certificate that can be read."""
        for row in self._rows(f"{CLASS} = ?", ((1).to_bytes(4, "big"),)):
            try:
                yield row, Certificate(row.columns.get(VALUE, b""))
            except ValueError:
                continue  # NSS passes over it as well

    def row(self, number: int) -> NssRow | None:
        """Return one row."""
        return next(self._rows("id = ?", (number,)), None)

    def signature(self, name: str) -> bytes | None:
        """Return one integrity signature."""
        found = self._db.execute("SELECT item1 FROM keys.metaData WHERE id = ?", (name,)).fetchone()
        return found[0] if found and isinstance(found[0], bytes) else None

    def signed_rows(self, most: int) -> Iterator[tuple[NssRow, str, bytes]]:
        """Yield rows that have a signature, with the column it is for and the signature."""
        known = self._db.execute(
            "SELECT id, item1 FROM keys.metaData WHERE id LIKE 'sig\\_cert\\_%' ESCAPE '\\' LIMIT ?", (most,)
        ).fetchall()
        for name, signature in known:
            try:
                number, column = int(name[9:17], 16), f"a{int(name[18:], 16):x}"
            except ValueError:
                continue
            row = self.row(number)
            if row and column in row.columns and isinstance(signature, bytes):
                yield row, column, signature

    def free_numbers(self) -> Iterator[int]:
        """Yield numbers that no row has, at random as NSS does."""
        while True:
            number = secrets.randbelow(_HIGHEST_ID) + 1
            if self.row(number) is None:
                yield number

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes, or none."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                self._apply_row(change)
                for column, (_ignored, signature) in change.signatures.items():
                    self._apply_signature(signature_name(change.number, column), signature)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            raise

    def _apply_row(self, change: Change) -> None:
        if change.after is None:
            self._db.execute("DELETE FROM nssPublic WHERE id = ?", (change.number,))
            return
        columns = _known(change.after, self._columns)
        if change.before is None:
            names, marks = ", ".join(columns), ", ".join("?" for _ in columns)
            self._db.execute(
                f"INSERT INTO nssPublic (id, {names}) VALUES (?, {marks})",  # noqa: S608
                (change.number, *change.after.values()),
            )
        else:
            values = ", ".join(f"{name} = ?" for name in columns)
            self._db.execute(
                f"UPDATE nssPublic SET {values} WHERE id = ?",  # noqa: S608
                (*change.after.values(), change.number),
            )

    def _apply_signature(self, name: str, signature: bytes | None) -> None:
        if signature is None:
            self._db.execute("DELETE FROM keys.metaData WHERE id = ?", (name,))
        else:
            self._db.execute("INSERT INTO keys.metaData (id, item1) VALUES (?, ?)", (name, signature))

    def _rows(self, where: str, values: Sequence[object]) -> Iterator[NssRow]:
        cursor = self._db.execute(f"SELECT * FROM nssPublic WHERE {where}", values)  # noqa: S608
        names = [one[0] for one in cursor.description]
        for found in cursor:
            columns = {
                name: value for name, value in zip(names, found, strict=True) if isinstance(value, bytes)
            }
            number = found[names.index("id")]
            if isinstance(number, int):
                yield NssRow(number, columns)


def _known(columns: Iterable[str], table: frozenset[str]) -> list[str]:
    """Return names that go into a statement: those of the table and no others."""
    names = list(columns)
    if unknown := set(names) - table:
        raise UnknownFormat(
            _("{certificates} has no columns {unknown}").format(
                certificates=CERTIFICATES, unknown=", ".join(sorted(unknown))
            )
        )
    return names


def _uri(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=rw"


@contextmanager
def _translated(profile: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise TransientError(
                _("{profile}: its databases are in use").format(profile=profile),
                hint=_("close Thunderbird and run it again"),
            ) from error
        if name == "SQLITE_FULL":
            raise TransientError(
                _("no room left on the disk of {profile}").format(profile=profile),
                hint=_("free some space and run it again"),
            ) from error
        raise PermanentError(
            _("{profile}: its databases can't be used: {error}").format(profile=profile, error=error)
        ) from error
    except sqlite3.DatabaseError as error:
        raise PermanentError(
            _("{profile}: its databases can't be read: {error}").format(profile=profile, error=error)
        ) from error
