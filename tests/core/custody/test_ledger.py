"""What the ledger promises of its file: all of a change or none, flushed, and nobody else's."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from archipec.custody.ledger import Content, HeaderFacts, Ledger
from archipec.custody.verdict import Verdict
from archipec.errors import ArchipecError, PermanentError
from archipec.message import ContentKey, Listed, Receipt, State

DATE = datetime(2026, 3, 1, tzinfo=UTC)


def test_rows_and_the_cursor_behind_them_go_on_record_together(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with Ledger(path) as ledger:
        source = ledger.sources.number("imap:studio")
        folder = ledger.sources.open_folders(source, ["INBOX"])["INBOX"].number
        with closing(sqlite3.connect(path)) as db:
            db.execute(
                "CREATE TRIGGER full BEFORE INSERT ON occurrence WHEN NEW.ref = '3'"
                " BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        pages = [(folder, [Listed("INBOX", str(n), 10, DATE, (), n)]) for n in range(1, 5)]
        with pytest.raises(ArchipecError, match="no room"):
            ledger.sources.record_listing(pages, [])
        assert ledger.sources.folders(source) == [(folder, "INBOX", None)]
        assert ledger.sources.present(folder) == 0


@pytest.mark.parametrize(
    "again",
    [Listed("INBOX", "7/1", 11, DATE, (), 1), Listed("INBOX", "7/1", 10, DATE + timedelta(days=1), (), 1)],
)
def test_a_name_listed_with_another_size_or_date_is_another_message(tmp_path: Path, again: Listed) -> None:
    """Nothing that was known of the first one is believed of it."""
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        sink = ledger.copies.sink_number("maildir:a")
        folder = ledger.sources.open_folders(ledger.sources.number("imap:studio"), ["INBOX"])["INBOX"].number
        ledger.sources.record_listing([(folder, [Listed("INBOX", "7/1", 10, DATE, (), 1)])], [sink])
        (row,) = ledger.sources.work(folder, [sink], 0, 10)
        key = ContentKey("a" * 64, 10)
        ledger.sources.record_headers([HeaderFacts(row.id, "accettazione", 1, "received", "one@pec")])
        numbers = ledger.copies.intend(
            [(Content(key, "accettazione", 1, "received"), [(row.id, 10)], [sink])]
        )
        ledger.copies.record_receipts(sink, [(numbers[key], Receipt(key, State.STORED, None))], (), 1)
        assert not ledger.sources.work(folder, [sink], 0, 10)
        assert ledger.sources.record_listing([(folder, [again])], [sink]) == [1]
        (row,) = ledger.sources.work(folder, [sink], 0, 10)
        assert (row.content, row.kind, row.date, row.message_id) == (None, None, None, None)


def test_what_is_on_record_is_flushed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"


def test_one_of_a_newer_archipec_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(PermanentError, match="newer archipec"):
        Ledger(path)


def test_another_program_s_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE places (url)")
    before = path.read_bytes()
    with pytest.raises(PermanentError, match="another program"):
        Ledger(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "harm", ["ALTER TABLE occurrence RENAME COLUMN flags TO other", "ALTER TABLE occurrence RENAME TO other"]
)
def test_one_that_lacks_a_column_or_a_table_is_damaged(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "ledger"
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(harm)
    with Ledger(path) as ledger, pytest.raises(PermanentError, match="damaged or not a ledger: no such"):
        next(ledger.sources.last_listing(1, "INBOX"))


def test_a_seal_once_proven_stays_proven(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        key = ContentKey("a" * 64, 10)
        (number,) = ledger.copies.intend([(Content(key, "", 1, "received"), [], [])]).values()
        for status, kept in (
            ("untrusted", "untrusted"),
            ("valid", "valid"),
            ("untrusted", "valid"),
            ("altered", "valid"),
        ):
            ledger.verdicts.record(
                [(number, Verdict.of(status, "ordinaria", None, {"seal": {"status": status}}))], 1
            )
            assert ledger.rows("SELECT seal FROM verdict") == [(kept,)]


@pytest.mark.parametrize(
    ("before", "judged", "after"),
    [
        ("ordinaria", "avvenuta-consegna", "avvenuta-consegna"),
        ("", "rem-relay-rejection", "rem-relay-rejection"),
        ("accettazione", "avvenuta-consegna", "accettazione"),
        ("ordinaria", "ordinaria", "ordinaria"),
        ("anomalia", "ordinaria", "anomalia"),
    ],
)
def test_what_was_taken_for_ordinary_mail_gets_its_kind_when_it_is_judged(
    tmp_path: Path, before: str, judged: str, after: str
) -> None:
    """An earlier version did not know REM; only a valid seal puts right what a header said."""
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        key = ContentKey("a" * 64, 10)
        (number,) = ledger.copies.intend([(Content(key, before, 1, "received"), [], [])]).values()
        verdict = Verdict.of("untrusted", judged, None, {"seal": {"status": "untrusted"}})
        ledger.verdicts.record([(number, verdict)], 1)
        assert ledger.rows("SELECT kind FROM content") == [(after,)]


@pytest.mark.parametrize(
    "received",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(1, 1, 1, 10, tzinfo=UTC),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
    ],
)
def test_a_time_that_not_every_zone_can_show_is_none_and_no_damage(
    tmp_path: Path, received: datetime
) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        source = ledger.sources.number("imaps://a@b")
        folder = ledger.sources.open_folders(source, ["INBOX"])["INBOX"].number
        ledger.sources.record_listing([(folder, [Listed("INBOX", "1", 10, received, (), None)])], [])
        (listed,) = ledger.sources.last_listing(folder, "INBOX")
        assert listed.received is None
        (row,) = ledger.sources.work(folder, [ledger.copies.sink_number("maildir:/A")], 0, 10)
        assert row.received is None


@pytest.mark.parametrize("odd", ["\udce9", "\0"])
def test_a_reason_that_names_an_odd_file_is_read_again(tmp_path: Path, odd: str) -> None:
    reason, kept = f'"caf{odd}" is full', '"caf\ufffd" is full'
    key = ContentKey("a" * 64, 10)
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        sink = ledger.copies.sink_number("maildir:a")
        folder = ledger.sources.open_folders(ledger.sources.number("imap:studio"), ["INBOX"])["INBOX"].number
        ledger.sources.record_listing([(folder, [Listed("INBOX", "7/1", 10, DATE, (), 1)])], [sink])
        (row,) = ledger.sources.work(folder, [sink], 0, 10)
        (number,) = ledger.copies.intend([(Content(key, "", 1, ""), [(row.id, 10)], [sink])]).values()
        ledger.copies.record_receipts(sink, [(number, Receipt(key, State.REJECTED, None, reason))], (), 1)
        assert ledger.copies.reasons(sink) == [("rejected", kept, 1)]
        ledger.copies.record_waiting(sink, [(number, Receipt(key, State.PENDING, None, reason))])
        assert ledger.copies.reasons(sink) == [("pending", kept, 1)]
        ledger.copies.record_receipts(sink, (), [(number, reason)], 1)
        (copy,) = ledger.copies.in_states(sink, ["failed"])
        assert copy.receipt.reason == kept
        ledger.sources.record_failure(row.id, reason)
