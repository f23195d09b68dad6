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
import zlib
from email.utils import parsedate_to_datetime
from pathlib import Path
from socket import create_connection
from typing import BinaryIO

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

Batch = list[tuple[int, bytes]]


class Archive:
    """A Maildir with its manifest and inventory, and the ledger beside it."""

    def __init__(self, directory: Path) -> None:
        self.root, self.staged = directory / "maildir", directory / "maildir" / ".staged"
        for folder in (self.root / "INBOX" / "cur", self.root / "INBOX" / "new", self.staged):
            folder.mkdir(parents=True)
        self._ledger = sqlite3.connect(directory / "ledger.sqlite3", check_same_thread=False)
        self._ledger.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_TABLES}")
        self._lists = [(self.root / name).open("ab") for name in ("SHA256SUMS", "archipec.toc")]
        self._descriptor = os.open(self.root, os.O_RDONLY)
        self._syncfs = ctypes.CDLL(None).syncfs

    def list(self, rows: list[tuple[int, int, int, str]]) -> None:
        """Record what the folder holds: UID, size, seconds since 1970, flags."""
        self._rows = {uid: number for number, (uid, *_) in enumerate(rows, 1)}
        with self._ledger as db:
            db.execute(
                "INSERT INTO occurrence (folder, ref, size, received, flags) SELECT 1, value ->> 0, value ->> 1,"
                " value ->> 2, value ->> 3 FROM json_each(?)",
                (json.dumps(rows),),
            )

    def store(self, batch: Batch) -> None:
        """Keep a batch of messages, durable when this returns."""
        facts = [(uid, raw, hashlib.sha256(raw).hexdigest(), *_facts(raw)) for uid, raw in batch]
        columns = "value ->> 0, value ->> 1, value ->> 2, value ->> 3, 'date-field'"
        contents = json.dumps([(digest, len(raw), kind, date) for _, raw, digest, kind, date in facts])
        with self._ledger as db:
            db.execute(
                f"INSERT INTO content (sha256, size, kind, date, date_from) SELECT {columns} FROM json_each(?)",
                (contents,),
            )
            last = db.execute("SELECT max(id) FROM content").fetchone()[0]
            numbers = range(last - len(facts) + 1, last + 1)
            links = json.dumps(
                [(number, self._rows[uid]) for number, (uid, *_) in zip(numbers, facts, strict=True)]
            )
            db.execute(
                "UPDATE occurrence SET content = j.content FROM"
                " (SELECT value ->> 0 content, value ->> 1 id FROM json_each(?)) j WHERE occurrence.id = j.id",
                (links,),
            )
            db.execute(
                "INSERT INTO copy (content, sink, state) SELECT value ->> 0, 1, 'intent' FROM json_each(?)",
                (links,),
            )
        staged, tokens = str(self.staged), []
        for _, raw, digest, _, date in facts:
            file = os.open(f"{staged}/{digest}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(file, raw)
            os.utime(file, (date, date))
            os.close(file)
            tokens.append(f"INBOX/cur/{date}.{digest}.archipec,S={len(raw)}:2,")
        self._flush()
        for (_, _, digest, _, _), token in zip(facts, tokens, strict=True):
            os.rename(f"{staged}/{digest}", f"{self.root}/{token}")  # noqa: PTH104
        manifest = [f"{one[2]}  {token}\n" for one, token in zip(facts, tokens, strict=True)]
        inventory = [b"M %b %d INBOX/cur" % (one[2].encode(), len(one[1])) for one in facts]
        for file_, text in zip(
            self._lists,
            (
                "".join(manifest).encode(),
                b"".join(b"%b %08x\n" % (one, zlib.crc32(one)) for one in inventory),
            ),
            strict=True,
        ):
            file_.write(text)
            file_.flush()
        self._flush()
        receipts = json.dumps(list(zip(numbers, map(json.dumps, tokens), strict=True)))
        with self._ledger as db:
            db.execute(
                "UPDATE copy SET state = 'stored', token = j.token, stored = ? FROM"
                " (SELECT value ->> 0 content, value ->> 1 token FROM json_each(?)) j"
                " WHERE copy.sink = 1 AND copy.content = j.content",
                (int(time.time()), receipts),
            )

    def _flush(self) -> None:
        if self._syncfs(self._descriptor) != 0:
            raise OSError("syncfs")


def _facts(raw: bytes) -> tuple[str, int]:
    """Kind and date, from the header."""
    found = {
        name.lower(): value.decode("latin-1") for name, value in _FACT.findall(raw[: raw.find(b"\r\n\r\n")])
    }
    kind = found.get(b"x-ricevuta") or found.get(b"x-trasporto") or "ordinaria"
    return kind, int(parsedate_to_datetime(found[b"date"]).timestamp())


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
            received = int(parsedate_to_datetime(match[3].decode().replace("-", " ")).timestamp())
            rows.append((int(match[1]), int(match[2]), received, match[4].decode()))
    archive.list(rows)
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
