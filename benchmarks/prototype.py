"""The yardstick in Python: a first download that leaves what archipec leaves, written straight for this case alone.

    prototype.py HOST PORT USER CA_FILE DIRECTORY          (password in BENCH_PASSWORD)

One thread reads an IMAP folder, the other hashes whole batches, reads each header, records intents, writes files, flushes,
names them, lists them in manifest and inventory, flushes, records receipts: in that order, so a crash loses nothing. No
plugins, selection, second sink, retries, progress, or message that is large, odd or there twice: that is what archipec may
cost more. Prints the number of messages.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import queue
import re
import sqlite3
import ssl
import sys
import threading
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from socket import create_connection
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

_BATCH_BYTES, _BATCH_MESSAGES, _AHEAD = 8 << 20, 1000, 100
_LISTED = re.compile(rb'UID (\d+) RFC822\.SIZE (\d+) INTERNALDATE "([^"]+)" FLAGS \(([^)]*)\)')
_BODY = re.compile(rb"UID (\d+) BODY\[\] \{(\d+)\}")
_FACT = re.compile(
    rb"^(X-Ricevuta|X-Trasporto|Message-ID|Date):[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE
)
# The tables of the ledger that a download fills, with their indexes.
_TABLES = """
CREATE TABLE content (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, size INTEGER NOT NULL, kind TEXT NOT NULL,
    date INTEGER NOT NULL, date_from TEXT NOT NULL, UNIQUE (sha256, size));
CREATE TABLE occurrence (id INTEGER PRIMARY KEY, folder INTEGER NOT NULL, ref TEXT NOT NULL, size INTEGER,
    received INTEGER, flags TEXT NOT NULL, kind TEXT, date INTEGER, date_from TEXT, message_id TEXT,
    content INTEGER REFERENCES content, gone INTEGER NOT NULL DEFAULT 0, UNIQUE (folder, ref));
CREATE INDEX occurrence_present ON occurrence (folder) WHERE NOT gone;
CREATE TABLE copy (content INTEGER NOT NULL REFERENCES content, sink INTEGER NOT NULL, state TEXT NOT NULL,
    token TEXT NOT NULL DEFAULT 'null', stored INTEGER, PRIMARY KEY (content, sink)) WITHOUT ROWID;
"""


def _columns(count: int, names: str = "") -> str:
    """The values of a row of the JSON array that a statement is given."""
    named = names.split() or [""] * count
    return ", ".join(f"value ->> {number} {name}" for number, name in enumerate(named))


_LIST = (
    f"INSERT INTO occurrence (folder, ref, size, received, flags) SELECT 1, {_columns(4)} FROM json_each(?)"
)
_CONTENT = (
    "INSERT INTO content (id, sha256, size, kind, date, date_from)"
    f" SELECT {_columns(5)}, 'date-field' FROM json_each(?)"
)
_LINK = (
    f"UPDATE occurrence SET content = j.content FROM (SELECT {_columns(2, 'content id')} FROM json_each(?)) j"
    " WHERE occurrence.id = j.id"
)
_INTEND = f"INSERT INTO copy (content, sink, state) SELECT {_columns(1)}, 1, 'intent' FROM json_each(?)"
_RECEIVE = (
    "UPDATE copy SET state = 'stored', token = j.token, stored = j.stored FROM"
    f" (SELECT {_columns(3, 'content token stored')} FROM json_each(?)) j"
    " WHERE copy.sink = 1 AND copy.content = j.content"
)

Batch = list[tuple[int, bytes]]


class Stored(NamedTuple):
    """A message of a batch: its row among the occurrences, its bytes, what is known of it, its path in the archive."""

    row: int
    raw: bytes
    sha256: str
    kind: str
    date: int
    path: str


class Archive:
    """A Maildir with its manifest and inventory, and the ledger beside it."""

    def __init__(self, directory: Path) -> None:
        root = directory / "maildir"
        for folder in ("INBOX/cur", "INBOX/new", ".staged"):
            (root / folder).mkdir(parents=True)
        self._root = str(root)
        self._ledger = sqlite3.connect(directory / "ledger.sqlite3", isolation_level=None)
        self._ledger.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_TABLES}")
        self._manifest, self._inventory = (
            (root / name).open("ab") for name in ("SHA256SUMS", "archipec.toc")
        )
        self._descriptor = os.open(root, os.O_RDONLY)
        self._syncfs = ctypes.CDLL(None).syncfs

    def note(self, rows: list[tuple[int, int, int, str]]) -> None:
        """Record what the folder holds: UID, size, seconds since 1970, flags."""
        self._rows = {uid: number for number, (uid, *_) in enumerate(rows, 1)}
        self._record((_LIST, rows))

    def store(self, batch: Batch) -> None:
        """Keep a batch of messages, durable when this returns."""
        stored = [self._stored(uid, raw) for uid, raw in batch]
        first = 1 + (self._ledger.execute("SELECT max(id) FROM content").fetchone()[0] or 0)
        numbered = list(enumerate(stored, first))
        self._record(
            (_CONTENT, [(number, one.sha256, len(one.raw), one.kind, one.date) for number, one in numbered]),
            (_LINK, [(number, one.row) for number, one in numbered]),
            (_INTEND, [(number,) for number, _ in numbered]),
        )
        for one in stored:
            file = os.open(f"{self._root}/.staged/{one.sha256}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(file, one.raw)
            os.utime(file, (one.date, one.date))
            os.close(file)
        self._flush()
        for one in stored:
            os.rename(f"{self._root}/.staged/{one.sha256}", f"{self._root}/{one.path}")  # noqa: PTH104
        self._manifest.write("".join([f"{one.sha256}  {one.path}\n" for one in stored]).encode())
        self._manifest.flush()
        lines = [b"M %b %d INBOX/cur" % (one.sha256.encode(), len(one.raw)) for one in stored]
        self._inventory.write(b"".join([b"%b %08x\n" % (line, crc32(line)) for line in lines]))
        self._inventory.flush()
        self._flush()
        self._record(
            (_RECEIVE, [(number, json.dumps(one.path), int(time.time())) for number, one in numbered])
        )

    def _stored(self, uid: int, raw: bytes) -> Stored:
        head = raw[: raw.find(b"\r\n\r\n")]
        found = {name.lower(): value.decode("latin-1") for name, value in _FACT.findall(head)}
        kind = found.get(b"x-ricevuta") or found.get(b"x-trasporto") or "ordinaria"
        date, sha256 = _seconds(found[b"date"]), hashlib.sha256(raw).hexdigest()
        path = f"INBOX/cur/{date}.{sha256}.archipec,S={len(raw)}:2,"
        return Stored(self._rows[uid], raw, sha256, kind, date, path)

    def _record(self, *statements: tuple[str, list[Any]]) -> None:
        """Run statements on many rows in one transaction."""
        self._ledger.execute("BEGIN IMMEDIATE")
        for statement, rows in statements:
            self._ledger.execute(statement, (json.dumps(rows),))
        self._ledger.execute("COMMIT")

    def _flush(self) -> None:
        if self._syncfs(self._descriptor) != 0:
            raise OSError("syncfs")


def _seconds(date: str) -> int:
    return int(parsedate_to_datetime(date).timestamp())


def _read(file: BinaryIO, send: BinaryIO, uids: list[int], out: queue.Queue[Batch | None]) -> None:
    """Fetch messages, some commands ahead, and hand them on in batches."""
    groups = [uids[at : at + _AHEAD] for at in range(0, len(uids), _AHEAD)]

    def ask(group: list[int]) -> None:
        send.write(b"f UID FETCH %d:%d (UID BODY.PEEK[])\r\n" % (group[0], group[-1]))

    for group in groups[:4]:
        ask(group)
    batch, size = [], 0
    for number in range(len(groups)):
        while not (line := file.readline()).startswith(b"f "):
            if (match := _BODY.search(line)) is None:
                continue
            batch.append((int(match[1]), file.read(int(match[2]))))
            size += len(batch[-1][1])
            file.readline()
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_MESSAGES:
                out.put(batch)
                batch, size = [], 0
        if number + 4 < len(groups):
            ask(groups[number + 4])
    out.put(batch)
    out.put(None)


def main() -> None:
    """Download the INBOX."""
    host, port, user, ca_file, directory = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca_file)
    connection = context.wrap_socket(create_connection((host, int(port))), server_hostname=host)
    file, send = connection.makefile("rb", buffering=1 << 18), connection.makefile("wb", buffering=0)
    archive, messages = Archive(Path(directory)), 0
    send.write(f'a LOGIN "{user}" "{os.environ["BENCH_PASSWORD"]}"\r\nb EXAMINE INBOX\r\n'.encode())
    send.write(b"c UID FETCH 1:* (UID RFC822.SIZE INTERNALDATE FLAGS)\r\n")
    rows = []
    while not (line := file.readline()).startswith(b"c "):
        if (match := _LISTED.search(line)) is not None:
            received = _seconds(match[3].decode().replace("-", " "))
            rows.append((int(match[1]), int(match[2]), received, match[4].decode()))
    archive.note(rows)
    batches: queue.Queue[Batch | None] = queue.Queue(1)
    reader = threading.Thread(target=_read, args=(file, send, [row[0] for row in rows], batches))
    reader.start()
    for batch in iter(batches.get, None):
        archive.store(batch)
        messages += len(batch)
    reader.join()
    print(messages)


if __name__ == "__main__":
    main()
