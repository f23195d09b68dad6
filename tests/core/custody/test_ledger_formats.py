"""Ledgers of earlier formats are brought forward, whole or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from archipec.custody.ledger import Ledger
from archipec.custody.ledger.schema import STEPS, VERSION
from archipec.errors import PermanentError

OLD = Path(__file__).parent


def tables(path: Path) -> dict[str, set[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {
            name: {row[1:] for row in db.execute(f"PRAGMA table_info({name})")}
            for name in names
            if not name.startswith("sqlite_")
        }


@pytest.fixture(params=range(1, VERSION))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((OLD / f"ledger-{request.param}.sql").read_text("utf-8"))
    return path


def test_an_old_ledger_becomes_a_new_one_and_loses_nothing(old: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with Ledger(old) as ledger:
            held = ledger.deletions.held_of(1, [1], ["7/1", "7/2", "7/3"])
            assert {ref: one.copies[1] for ref, one in held.items()} == {
                "7/1": ("stored", 1700000200),
                "7/2": ("altered", None),
                "7/3": ("stored", None),
            }
            assert ledger.sources.counts(1) == (3, 600)
            assert not ledger.deletions.open_orders(1)
    with Ledger(tmp_path / "new.sqlite3"):
        pass
    assert tables(old) == tables(tmp_path / "new.sqlite3")
    with closing(sqlite3.connect(old)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_what_was_taken_for_ordinary_mail_is_looked_at_again(old: Path) -> None:
    """An earlier version did not know REM: a selection left it out, and its seal was judged as any signed mail's."""
    with closing(sqlite3.connect(old)) as db:
        left_out = "INSERT INTO occurrence (folder, ref, flags, kind, date, date_from) VALUES (1, ?, '', ?, 5, 'received')"
        db.executemany(left_out, [("7/8", "ordinaria"), ("7/9", "accettazione")])
        judged = "INSERT OR REPLACE INTO verdict (content, seal, record, judged) VALUES (?, 'valid', ?, 1)"
        records = ['{"rem": {"evidence": []}}', '{"kind": "accettazione"}', "damaged {"]
        db.executemany(judged, enumerate(records, start=1))
        db.commit()
    with Ledger(old) as ledger:
        rows = {row.ref: row for row in ledger.sources.work(1, [1], 0, 10)}
        assert (rows["7/8"].kind, rows["7/8"].date) == (None, None)
        assert (rows["7/9"].kind, rows["7/9"].date) == ("accettazione", 5)
        assert [copy.content for copy in ledger.verdicts.unjudged(1, 0, 10)] == [1]


def test_a_step_that_fails_leaves_the_old_ledger(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables(old)
    monkeypatch.setitem(STEPS, VERSION - 1, ("CREATE TABLE half (x)", "this is no SQL"))
    with pytest.raises(PermanentError):
        Ledger(old)
    assert tables(old) == before
    monkeypatch.undo()
    with Ledger(old) as ledger:
        assert ledger.sources.counts(1) == (3, 600)
