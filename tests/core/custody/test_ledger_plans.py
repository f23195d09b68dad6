"""What the commands of every day ask a ledger is looked up: no table that grows with the mail is gone through for it.

Held on SQLite's own plans, which depend on the tables and not on how much is in them.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archipec.config.pipeline import ad_hoc
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.run import archive
from archipec.custody.ledger import Content, Ledger
from archipec.custody.receipts.query import find
from archipec.custody.run import Cancellation, Run
from archipec.custody.status import statuses
from archipec.custody.verdict import Verdict
from archipec.message import ContentKey, Receipt, State
from archipec.plugins.registry import Registry
from archipec.sqlite_file import SqliteFile
from testbed.ledgers import add_messages

GROWING = {"occurrence", "content", "copy", "verdict", "variant", "breve", "deletion"}
SOURCE, SINK = "imaps://studio@pec.example.it@imaps.example.it:993", "maildir:/archive"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Plans:
    """The plan of each statement that was run, by its text."""

    def __init__(self) -> None:
        self.steps: dict[str, list[str]] = {}

    def scanned(self, statement: str) -> list[str]:
        """Return the growing tables that a statement goes through from end to end."""
        tables = dict(re.findall(r"(?:FROM|JOIN|UPDATE) (?!\()(\w+)(?: AS)? (\w+)", statement))
        named = {alias: table for table, alias in tables.items()} | {table: table for table in GROWING}
        # A range of numbers without an end is all of it, too.
        found = [
            re.match(r"SCAN (\w+)|SEARCH (\w+) USING [\w ]*\((?:content|rowid|id)>\?\)", step)
            for step in self.steps[statement]
        ]
        names = [one[1] or one[2] for one in found if one]
        return [named[name] for name in names if named.get(name) in GROWING]

    @property
    def slow(self) -> dict[str, list[str]]:
        return {text: steps for text, steps in self.steps.items() if self.scanned(text)}


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    made = Plans()
    ask = SqliteFile.rows

    def rows(self: SqliteFile, query: str, values: Any = (), columns: str = "") -> list[Any]:
        explained = self._db.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
        made.steps[query] = [step for *_, step in explained]
        return ask(self, query, values, columns)

    page = SqliteFile.paged

    def paged(self: SqliteFile, query: str, values: Any, columns: str) -> Iterator[Any]:
        explained = self._db.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
        made.steps[query] = [step for *_, step in explained]
        return page(self, query, values, columns)

    monkeypatch.setattr(SqliteFile, "rows", rows)
    monkeypatch.setattr(SqliteFile, "paged", paged)
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    path = tmp_path / "ledger.sqlite3"
    add_messages(path, SOURCE, [SINK, "mbox:/other"], 80)
    with Ledger(path) as opened:
        yield opened


def test_status_goes_through_nothing(ledger: Ledger, plans: Plans, tmp_path: Path) -> None:
    (one,) = statuses(ledger, tmp_path, None, int(NOW.timestamp()))
    assert [(sink.held, sink.size) for sink in one.sinks] == [(80, 80 * 20_000)] * 2
    assert (one.messages, one.size) == (80, 80 * 20_000)
    assert len(plans.steps) > 8 and not plans.slow


def test_a_run_that_finds_nothing_new_goes_through_nothing_but_the_mailbox(
    tmp_path: Path, plans: Plans
) -> None:
    (tmp_path / "mail").mkdir()
    for number in range(3):
        (tmp_path / "mail" / f"{number}.eml").write_bytes(b"Subject: %d\r\n\r\n" % number)
    pipeline = ad_hoc(f"eml:{tmp_path}/mail", [f"maildir:{tmp_path}/archive"], [], Registry.load())
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        run: Run[ArchiveReport] = Run(ledger, tmp_path, Cancellation())
        assert archive(pipeline, run).exit_code == 0
        plans.steps.clear()
        report = archive(pipeline, run)
    assert (report.exit_code, report.listed) == (0, 0)
    assert len(plans.steps) > 8 and not plans.slow


@pytest.mark.parametrize(
    "ask",
    [
        lambda ledger: ledger.copies.is_in_a_mailbox(ContentKey("0" * 64, 1)),
        lambda ledger: ledger.deletions.twins_of(1, [1, 2]),
        lambda ledger: ledger.deletions.held_by_key([ContentKey("0" * 64, 1)], [1]),
        lambda ledger: ledger.copies.stored_copies(1, [1, 2]),
        lambda ledger: ledger.deletions.held_of(1, [1, 2], ["1:1", "1:2"]),
        lambda ledger: list(ledger.sources.last_listing(1, "INBOX")),
        lambda ledger: ledger.transactions.left_unjudged([1, 2]),
        lambda ledger: ledger.verdicts.unjudged(1, 0, 10),
        lambda ledger: ledger.runs.has_copies(SINK),
        lambda ledger: ledger.copies.is_still(1, 80, ledger.copies.tally(1, 80)) and None,
        lambda ledger: ledger.sources.backlog(1, [1, 2]),
        lambda ledger: ledger.sources.work(1, [1, 2], 0, 10),
        lambda ledger: ledger.copies.in_states(1, ("pending",)),
    ],
)
def test_a_question_about_little_looks_at_little(
    ledger: Ledger, plans: Plans, ask: Callable[[Ledger], object]
) -> None:
    ask(ledger)
    assert plans.steps and not plans.slow


def test_a_sending_is_found_by_its_identifier_without_going_through_the_others(
    ledger: Ledger, plans: Plans
) -> None:
    (one,) = find(ledger, [1, 2], "opec.1.3.sent@pec.example.it", NOW)
    assert one.oggetto == "Diffida ad adempiere n. 3"
    assert not plans.slow


@pytest.mark.parametrize("days", [(0, 1), (0, 0), (1, 1), (3, 9)])
def test_the_sendings_of_a_period_are_found_by_their_dates(
    ledger: Ledger, plans: Plans, days: tuple[int, int]
) -> None:
    """Of what grows only the dates are gone through; what is found is what is left of all by the period."""
    folders = ledger.transactions.sent_folders()
    everything = list(ledger.transactions.clues([1, 2], folders))
    assert len(everything) == 61
    assert [one.date for one in everything] == sorted((one.date for one in everything), reverse=True)
    begin = everything[-1].date
    first, end = (begin + day * 5_000 for day in days)
    plans.steps.clear()
    found = list(ledger.transactions.clues([1, 2], folders, (first, end)))
    assert found == [one for one in everything if first <= one.date < end]
    assert list(ledger.transactions.clues([1, 2], folders, (first, None))) == [
        one for one in everything if first <= one.date
    ]
    assert {table for tables in map(plans.scanned, plans.steps) for table in tables} == {"content"}


@given(data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_counted_as_it_changes_is_what_a_count_would_find(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever becomes of copies and verdicts, by whichever statement."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite3"
    keys = [ContentKey(f"{number:064x}", 100 + number) for number in range(5)]
    contents = [Content(key, "ordinaria", 1, "received") for key in keys]
    states = st.sampled_from([State.STORED, State.PENDING, State.REJECTED])
    with Ledger(path) as ledger:
        sinks = [ledger.copies.sink_number(where) for where in ("maildir:a", "maildir:b")]
        numbers = ledger.copies.intend([(content, [], []) for content in contents])
        for _ in range(data.draw(st.integers(1, 12))):
            sink, content = data.draw(st.sampled_from(sinks)), data.draw(st.sampled_from(contents))
            number = numbers[content.key]
            receipt = Receipt(content.key, data.draw(states), None)
            match data.draw(
                st.sampled_from(["intend", "answer", "fail", "wait", "verify", "adopt", "judge", "drop"])
            ):
                case "intend":
                    ledger.copies.intend([(content, [], [sink])])
                case "answer":
                    ledger.copies.record_receipts(sink, [(number, receipt)], (), 1)
                case "fail":
                    ledger.copies.record_receipts(sink, (), [(number, "why")], 1)
                case "wait":
                    ledger.copies.record_waiting(sink, [(number, receipt)])
                case "verify":
                    found = data.draw(st.sampled_from(["ok", "missing", "altered"]))
                    ledger.copies.record_verified(sink, [(number, found)], 1)
                case "adopt":
                    ledger.copies.adopt(sink, [(content, receipt)], 1)
                case "judge":
                    ledger.verdicts.record([(number, Verdict.of("valid", "ordinaria", None, {}))], 1)
                case "drop":
                    with ledger.transaction() as db:
                        db.execute("DELETE FROM copy WHERE content = ?", (number,))
                        db.execute("DELETE FROM verdict WHERE content = ?", (number,))
        held = [ledger.copies.holdings(sink) for sink in sinks]
        assert_still(ledger, sinks)
    with closing(sqlite3.connect(path)) as db:
        for sink, shown in zip(sinks, held, strict=True):
            counted = db.execute(
                "SELECT c.state, count(*), sum(t.size) FROM copy c JOIN content t ON t.id = c.content"
                " WHERE c.sink = ? AND c.state <> 'intent' GROUP BY 1",
                (sink,),
            )
            assert shown == {state: (messages, size) for state, messages, size in counted}
        unjudged = db.execute("SELECT content FROM unjudged").fetchall()
        assert (
            unjudged
            == db.execute("SELECT id FROM content WHERE id NOT IN (SELECT content FROM verdict)").fetchall()
        )


def assert_still(ledger: Ledger, sinks: list[int]) -> None:
    """What is kept of a sink's contents tells whether they are the same."""
    for sink in sinks:
        for upto in (0, 3, 5):
            tally = ledger.copies.tally(sink, upto)
            assert ledger.copies.is_still(sink, upto, tally)
            assert not ledger.copies.is_still(sink, upto, (tally[0], tally[1] + 1, tally[2]))
            assert not ledger.copies.is_still(sink, upto, (tally[0], tally[1], tally[2] + 1))
    kept = ledger.rows("SELECT sink, state, contents FROM tally WHERE messages ORDER BY 1, 2")
    assert kept == ledger.rows(
        "SELECT sink, state, sum(content) FROM copy WHERE state <> 'intent' GROUP BY 1, 2 ORDER BY 1, 2"
    )
