"""A ledger or an outbox with a value that nobody wrote: named as damaged, never a bug of archipec or of a plugin."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from archipec.simulator import mailbox, shared_authority
from testbed.command import Archipec

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
HARMS = {
    # Text that is not UTF-8; no JSON; JSON of another shape, or of a depth that nobody wrote; a number for a text.
    "bits": "CAST(x'ff' || {0} AS TEXT)",
    "json": "'{{' || {0}",
    "shape": "'[[1]]'",
    "deep": "replace(hex(zeroblob(60000)), '0', '[')",
    "number": "CAST(x'ff00' AS BLOB)",
    "far": "99999999999999999",
}
SOME = (
    ("ledger", "copy", "token"),
    ("ledger", "copy", "state"),
    ("ledger", "content", "sha256"),
    ("ledger", "content", "date"),
    ("ledger", "folder", "cursor"),
    ("ledger", "occurrence", "flags"),
    ("ledger", "verdict", "record"),
    ("ledger", "run", "report"),
    ("ledger", "attempt", "sinks"),
    ("ledger", "attempt", "errors"),
    ("ledger", "attempt", "started"),
    ("ledger", "content", "size"),
    ("ledger", "run", "started"),
    ("ledger", "sink", "place"),
    ("outbox", "message", "told"),
    ("outbox", "message", "reason"),
    ("outbox", "message", "size"),
    ("outbox", "message", "copy"),
    ("outbox", "message", "rejections"),
    ("outbox", "package", "deposited"),
    ("outbox", "package", "manifest"),
    ("outbox", "package", "ticket"),
)


class Archive:
    """A folder of mail in a Maildir and an outbox, with all that is on record of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {"ledger": folder / "state/ledger.sqlite3", "outbox": folder / "outbox/outbox.sqlite3"}
        root = folder / "root.pem"
        root.write_text(shared_authority().root_pem)
        for name in ("mail", "drop"):
            (folder / name).mkdir()
        for number, sample in enumerate(mailbox(8, seed=3, size=800)):
            (folder / "mail" / f"{number}.eml").write_bytes(sample.raw)
        self.command = Archipec(folder / "state")
        self.sink = f"conservation+directory:{folder}/drop?outbox={folder}/outbox&wait=0&trust={root}"
        self.arguments = ("--from", f"eml:{folder}/mail", "--to", f"maildir:{folder}/A", "--to", self.sink)
        self.command("archive", *self.arguments, "--trust", root)
        for name in self.files:
            (folder / name).mkdir(exist_ok=True)
            self._copy(self.files[name], folder / f"{name}.sqlite3")

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{target}{suffix}").unlink(missing_ok=True)
        with closing(sqlite3.connect(source)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(source, target)

    def mend(self) -> None:
        for name, path in self.files.items():
            self._copy(self.folder / f"{name}.sqlite3", path)

    def harm(self, file: str, table: str, column: str, value: str) -> None:
        with closing(sqlite3.connect(self.files[file], isolation_level=None)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            value = value.format(column)
            db.execute(
                f"UPDATE OR IGNORE {table} SET {column} = {value}"
                f" WHERE rowid = (SELECT max(rowid) FROM {table})"
                if self._has_rowid(db, table)
                else f"UPDATE OR IGNORE {table} SET {column} = {value} WHERE {column} IS NOT NULL"
            )

    @staticmethod
    def _has_rowid(db: sqlite3.Connection, table: str) -> bool:
        (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        return "WITHOUT ROWID" not in sql

    def columns(self) -> Iterator[tuple[str, str, str]]:
        for file, path in self.files.items():
            with closing(sqlite3.connect(path)) as db:
                for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
                    rows = db.execute(f"PRAGMA table_info('{table}')").fetchall()
                    keys = [row[1:3] for row in rows if row[5]]
                    for row in rows:
                        # A single whole number that is the key names the row: SQLite lets nothing else be written there.
                        if keys != [(row[1], "INTEGER")] or not self._has_rowid(db, table):
                            yield file, table, row[1]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive(tmp_path_factory.mktemp("damaged"))


def commands(archive: Archive) -> dict[str, tuple[str, ...]]:
    return {
        "status": ("status",),
        "archive": ("archive", *archive.arguments, "--no-seals"),
        "verify": ("verify", *archive.arguments),
        "receipts": ("receipts", *archive.arguments[2:]),
        "settle": ("settle", "--to", archive.sink),
        "prune": ("prune", *archive.arguments, "--older-than", "1d"),
    }


@pytest.mark.timeout(3600 if FULL else 300)
def test_a_damaged_value_is_never_called_a_bug(archive: Archive) -> None:
    places = list(archive.columns()) if FULL else SOME
    harms = tuple(HARMS)
    bugs, said = [], set()
    for number, (file, table, column) in enumerate(places):
        asked = commands(archive)
        if not FULL:
            # Each in turn, so that a run of the tests stays short.
            name = {"run": "status", "attempt": "status", "verdict": "receipts"}.get(
                table, list(asked)[number % 4 + 1]
            )
            asked = (
                {name: asked[name], "settle": asked["settle"]} if file == "outbox" else {name: asked[name]}
            )
        for harm in harms if FULL else (harms[number % 3], harms[number % 2 + 3]):
            for name, arguments in asked.items():
                archive.mend()
                archive.harm(file, table, column, HARMS[harm])
                result = archive.command(*arguments, expect=None)
                said |= {file} & {
                    file if f"the {file} {archive.files[file]} is damaged" in result.err else ""
                }
                if result.code == 1 or "Traceback" in result.err or "bug" in result.err:
                    bugs.append((file, table, column, harm, name, result.err[-400:]))
    assert not bugs, "\n".join(map(str, bugs))
    assert said == {"ledger", "outbox"}


@pytest.mark.parametrize(
    ("file", "table", "column", "harm", "command"),
    [
        ("ledger", "attempt", "started", "number", "status"),
        ("ledger", "attempt", "ended", "far", "status"),
        ("ledger", "attempt", "errors", "shape", "status"),
        ("ledger", "run", "report", "shape", "status"),
        ("ledger", "run", "quota_limit", "far", "status"),
        ("ledger", "content", "sha256", "shape", "verify"),
        ("ledger", "content", "size", "json", "verify"),
        ("outbox", "message", "copy", "json", "verify"),
        ("outbox", "message", "rejections", "shape", "settle"),
        ("outbox", "package", "deposited", "number", "settle"),
    ],
)
def test_a_value_of_another_kind_is_damage_of_that_file(
    archive: Archive, file: str, table: str, column: str, harm: str, command: str
) -> None:
    """Also where it would fail late, in the words of ``status`` or in a plugin's hands."""
    archive.mend()
    archive.harm(file, table, column, HARMS[harm])
    result = archive.command(*commands(archive)[command], expect={"ledger": 4, "outbox": 7}[file])
    assert f"the {file} {archive.files[file]} is damaged" in result.err
    archive.mend()


@pytest.mark.parametrize(("file", "code"), [("ledger", 4), ("outbox", 7)])
def test_a_damaged_file_is_named_with_the_way_out(archive: Archive, file: str, code: int) -> None:
    """The ledger is made again from the archives; the outbox holds copies, and nothing else says what became of them."""
    archive.mend()
    path = archive.files[file]
    data = bytearray(path.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    path.write_bytes(data)
    result = archive.command("settle", "--to", archive.sink, expect=code)
    assert f"the {file} {path} is damaged" in result.err
    assert {"ledger": "rebuilds it", "outbox": "from a backup"}[file] in result.err
    archive.mend()


def test_a_pipe_for_a_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.mkfifo(tmp_path / "state/ledger.sqlite3")
    result = Archipec(tmp_path / "state")("status", expect=4, timeout=30)
    assert "ledger.sqlite3 is not a file" in result.err
