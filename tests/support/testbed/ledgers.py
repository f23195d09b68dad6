"""Makes ledgers of any size without a mailbox: rows as runs, seals and receipts leave them, written straight with SQL.

Of eight messages one was sent, with its acceptance and its delivery, and five came in. Of each five hundredth message
that was sent the delivery is missing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from archipec.custody.ledger import Ledger
from archipec.message import Json

FOLDERS = ("INBOX", "INBOX.Inviata")
SIZE = 20_000
"""Bytes of each message."""
_BEGIN = 1_420_070_400  # 2015
_STEP = 300  # seconds from one message to the next: a million take nine and a half years
_GROUP = 8
_MISSING = 500
_PAGE = 4_000


def add_messages(path: Path, source: str, sinks: Sequence[str], count: int, pipeline: str = "studio") -> None:
    """Put messages that every sink holds into a ledger, which is made if it is not there.

    Args:
        source, sinks: their ``where``.
        count: how many; a multiple of eight is used.
    """
    with Ledger(path) as ledger:
        number = ledger.sources.number(source)
        folders = [one.number for one in ledger.sources.open_folders(number, FOLDERS).values()]
        holders = [ledger.copies.sink_number(sink) for sink in sinks]
        report: dict[str, Json] = {
            "pipeline": pipeline,
            "listed": count,
            "stored": count,
            "failed": 0,
            "left": 0,
        }
        ledger.runs.record_run(pipeline, number, _BEGIN, report, None)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        indexes = db.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        (last,) = db.execute("SELECT coalesce(max(id), 0) FROM content").fetchone()
        for first in range(0, count - count % _GROUP, _PAGE):
            _write(db, range(first, min(first + _PAGE, count - count % _GROUP)), last + 1, folders, holders)
        for _, statement in indexes:
            db.execute(statement)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write(
    db: sqlite3.Connection, numbers: range, offset: int, folders: Sequence[int], sinks: Sequence[int]
) -> None:
    messages = [(offset + number, *_message(number, offset)) for number in numbers]
    db.executemany(
        f"INSERT INTO content (id, sha256, size, kind, date, date_from) VALUES (?, ?, {SIZE}, ?, ?, ?)",
        [
            (content, _digest(content), kind, date, "certified" if tipo else "received-field")
            for content, kind, tipo, date, *_ in messages
        ],
    )
    db.executemany(
        f"INSERT INTO occurrence (folder, ref, size, flags, content, accepted, received)"
        f" VALUES (?, ?, {SIZE}, '', ?, {SIZE}, ?)",
        [
            (folders[kind == "ordinaria"], f"1:{content}", content, date)
            for content, kind, _, date, *_ in messages
        ],
    )
    db.executemany(
        "INSERT INTO copy (content, sink, state, token, stored, verified, intact_since)"
        " VALUES (?1, ?2, 'stored', ?3, ?4, ?4, ?4)",
        [
            (content, sink, json.dumps(f"INBOX/cur/{date}.{_digest(content)}.archipec,S={SIZE}:2,"), date)
            for content, _, _, date, *_ in messages
            for sink in sinks
        ],
    )
    db.executemany(
        "INSERT INTO verdict (content, seal, tipo, identificativo, msgid, riferimento, message_id, record, judged)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (content, "valid" if tipo else "unsigned", tipo, pec, msgid, about, name, record, date)
            for content, _, tipo, date, pec, msgid, about, name, record in messages
        ],
    )


def _digest(content: int) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()


_Message = tuple[str, str | None, int, str | None, str | None, str | None, str, str]


def _message(number: int, offset: int) -> _Message:
    """Return kind, tipo, date, identificativo, msgid, riferimento, Message-ID and record of a message."""
    group, place = divmod(number, _GROUP)
    date = _BEGIN + number * _STEP
    sent = f"{offset}.{group}.sent@client.example"
    if place == 0:
        return "ordinaria", None, date, None, None, None, sent, _copy(sent, group)
    if place == 1:
        kind, pec, msgid = "accettazione", f"opec.{offset}.{group}.sent@pec.example.it", sent
    elif place == 2 and group % _MISSING:
        kind, pec, msgid = "avvenuta-consegna", f"opec.{offset}.{group}.sent@pec.example.it", sent
    else:
        kind = "posta-certificata"
        pec, msgid = f"opec.{offset}.{number}@pec.example.it", f"{offset}.{number}.in@client.example"
    name = pec if kind == "posta-certificata" else f"{kind}.{pec}"
    record = _certified(kind, pec, msgid, name, number, date)
    return kind, kind, date, pec, msgid, msgid, name, record


def _copy(message_id: str, group: int) -> str:
    return json.dumps(
        {
            "system": "pec",
            "kind": "ordinaria",
            "tipo": None,
            "identificativo": None,
            "msgid": None,
            "riferimento": None,
            "seal": {"status": "unsigned", "reason": "it bears no seal"},
            "message_id": f"<{message_id}>",
            "original": False,
            "in_reply_to": None,
            "header": {
                "from": "studio@pec.example.it",
                "to": [f"cliente{group % 977}@posta.example.it"],
                "subject": f"Diffida ad adempiere n. {group}",
                "date": None,
            },
        }
    )


def _certified(kind: str, pec: str, msgid: str, message_id: str, number: int, date: int) -> str:
    incoming = kind == "posta-certificata"
    stated = datetime.fromtimestamp(date, UTC).isoformat()
    client = f"cliente{number // _GROUP % 977}@posta.example.it"
    sender, recipient = (client, "studio@pec.example.it") if incoming else ("studio@pec.example.it", client)
    return json.dumps(
        {
            "system": "pec",
            "kind": kind,
            "event": None,
            "reason": None,
            "tipo": kind,
            "errore": "nessuno",
            "identificativo": pec,
            "msgid": f"<{msgid}>",
            "riferimento": f"<{msgid}>",
            "gestore": "Esempio PEC S.p.A.",
            "mittente": sender,
            "destinatari": [{"address": recipient, "tipo": "certificato"}],
            "risposte": sender,
            "oggetto": f"Fattura n. {number}" if incoming else f"Diffida ad adempiere n. {number // _GROUP}",
            "data": stated,
            "ricevuta": "completa",
            "consegna": recipient if kind == "avvenuta-consegna" else None,
            "mended": [],
            "outside_seal": [],
            "seal": {
                "status": "valid",
                "reason": 'sealed by "Esempio PEC S.p.A." on 1 October 2023 and unchanged since',
                "signer": "Esempio PEC S.p.A.",
                "issuer": "Test PEC CA1 0, Archipec Simulator - Not a Real Authority",
                "root": "Test Root CA 0, Archipec Simulator - Not a Real Authority",
                "signed_at": stated,
                "digest": "sha256",
            },
            "errore_esteso": None,
            "message_id": f"<{message_id}>",
            "original": incoming,
            "in_reply_to": None,
        }
    )
