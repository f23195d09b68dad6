"""What is true of a pipeline, counted by the ledger, is what the messages say when they are counted one by one."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archipec.config.selection import read_selection
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.figures import Archive
from archipec.custody.receipts.query import TransactionFilter, check_short_receipts, transactions
from archipec.custody.receipts.summary import concerning
from archipec.custody.status import statuses
from archipec.pec.kind import KINDS
from archipec.report.facts import Amount, Family, PipelineFacts, family_of, pipeline_facts
from archipec.simulator import mailbox
from testbed.ledgers import SIZE, add_messages
from testbed.office import Office

ROME = ZoneInfo("Europe/Rome")
NOW = datetime(2026, 11, 1, tzinfo=UTC)
SOURCE, SINK = "imaps://studio@pec.example.it@imaps.example.it:993", "maildir:/archive"


def facts(state: Path, name: str = "", **period: str) -> PipelineFacts:
    """The facts of a state folder's only pipeline, or of one of them."""
    with Ledger(state / "ledger.sqlite3") as ledger:
        known = statuses(ledger, state, None, int(NOW.timestamp()))
        (one,) = [each for each in known if name in ("", each.pipeline)]
        return pipeline_facts(ledger, one, NOW, read_selection(dict(period), "test"))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("office"))
    for one in mailbox(120, seed=3, size=12_000):
        made.put(one.raw, folder=one.folder)
    made.archive()
    yield made


def contents(office: Office) -> list[tuple[str, int, int]]:
    """(kind, date, size) of everything archived."""
    with closing(sqlite3.connect(office.state / "ledger.sqlite3")) as db:
        return db.execute("SELECT kind, date, size FROM content").fetchall()


def test_everything_is_counted_by_kind_month_folder_and_seal(office: Office) -> None:
    found = facts(office.state)
    everything = contents(office)
    assert found.total == Amount(120, sum(size for *_, size in everything))
    kinds = Counter(kind for kind, *_ in everything)
    assert {kind: amount.messages for kind, amount in found.kinds.items()} == kinds
    months = Counter(f"{datetime.fromtimestamp(date, ROME):%Y-%m}" for _, date, _ in everything)
    assert {one.month: one.messages for one in found.months} == months
    assert [one.month for one in found.months] == sorted(months)
    assert sum(found.seals.values()) == 120
    assert found.seals["valid"] > 60
    assert sum(one.messages for one in found.folders) == 120
    assert {one.name for one in found.folders} == {one.name for one in (office.folder / "mail").iterdir()}
    assert (found.first, found.last) == (
        min(date for _, date, _ in everything),
        max(d for _, d, _ in everything),
    )
    assert found.families.total() == 120
    assert found.archived == found.total
    assert found.runs.total == found.runs.succeeded == 1


def test_a_period_counts_the_messages_of_its_days(office: Office) -> None:
    found = facts(office.state, since="2024-03", until="2025-02")
    expected = [
        date
        for _, date, _ in contents(office)
        if "2024-03" <= f"{datetime.fromtimestamp(date, ROME):%Y-%m}" <= "2025-02"
    ]
    assert expected
    assert found.total.messages == len(expected)
    assert sum(one.messages for one in found.folders) == len(expected)
    # It was archived later, and so were the runs.
    assert found.archived == Amount()
    assert found.runs.total == 0


def test_a_message_belongs_to_the_mailbox_that_had_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    add_messages(path, SOURCE, [SINK], 80)
    add_messages(path, "pop3s://other@pec.example.it", [SINK], 40, "other")
    assert [facts(tmp_path, name).total for name in ("studio", "other")] == [
        Amount(80, 80 * SIZE),
        Amount(40, 40 * SIZE),
    ]
    assert [sum(facts(tmp_path, name).sendings.outcomes.values()) for name in ("studio", "other")] == [10, 5]


def test_other_mailboxes_with_archives_of_their_own_change_nothing(tmp_path: Path) -> None:
    """Then only the mailbox's own messages are looked at, which must come to the same."""
    found = []
    for others in (0, 3):
        state = tmp_path / str(others)
        state.mkdir()
        path = state / "ledger.sqlite3"
        add_messages(path, SOURCE, [SINK, "mbox:/second"], 4_008)
        for number in range(others):
            add_messages(
                path, f"pop3s://box{number}@pec.example.it", [f"maildir:/box{number}"], 80, f"box{number}"
            )
        with Ledger(path) as ledger:
            source = ledger.sources.find(SOURCE)
            sinks = ledger.holdings.sinks_at([SINK, "mbox:/second"])
            assert ledger.figures.archive(source, sinks, (None, None)).alone == (others > 0)
        found += [facts(state, "studio"), facts(state, "studio", since="2015-01-05", until="2015-01-09")]
    assert found[0].sendings.attention
    for alone, beside in zip(found[:2], found[2:], strict=True):
        assert alone.total.messages > 800
        for name in ("total", "kinds", "seals", "first", "last", "months", "arrivals", "folders"):
            assert getattr(alone, name) == getattr(beside, name), name
        assert alone.sendings.by_month == beside.sendings.by_month
        assert [one.oggetto for one in alone.sendings.shown] == [one.oggetto for one in beside.sendings.shown]


def test_what_an_archive_brought_along_is_counted_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    add_messages(path, SOURCE, [SINK], 80)
    add_messages(path, "pop3s://other@pec.example.it", ["maildir:/other"], 40, "other")
    with closing(sqlite3.connect(path)) as db, db:
        # As after a lost ledger: the archive holds it, and no mailbox has it any more.
        db.execute("DELETE FROM occurrence WHERE content <= 16")
    assert facts(tmp_path, "studio").total.messages == 80
    assert facts(tmp_path, "other").total.messages == 40


def test_the_quota_over_time_is_one_sample_a_day(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    add_messages(path, SOURCE, [SINK], 8)
    day = 86_400
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany(
            "INSERT INTO run (pipeline, source, started, report, quota_used, quota_limit) VALUES ('studio', 1, ?,"
            """ '{"stored": 0, "failed": 0, "left": 0}', ?, 200000)""",
            [(number * day + minute, number * 100 + minute) for number in range(1000) for minute in (1, 2)],
        )
    found = facts(tmp_path).quotas
    assert 100 <= len(found) <= 200
    assert found[-1] == (999 * day + 2, 99_902, 200_000)
    assert [one.at for one in found] == sorted(one.at for one in found)


def test_every_kind_has_a_family() -> None:
    assert {family_of(kind) for kind in KINDS} == set(Family)
    assert family_of("errore-consegna") is Family.NOTICES
    assert family_of("non-accettazione") is Family.NOTICES
    assert family_of("anomalia") is Family.NOTICES
    assert family_of("accettazione") is Family.RECEIPTS
    assert family_of("x-something-new") is Family.ORDINARY


def test_a_pipeline_that_never_ran_has_empty_facts(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.run("archive", expect=None)
    found = facts(office.state)
    assert (found.total, found.months, found.first) == (Amount(), [], None)
    assert found.runs.failures


def test_what_concerns_somebody_is_found_without_going_through_all(office: Office) -> None:
    with Ledger(office.state / "ledger.sqlite3") as ledger:
        sinks = ledger.holdings.sinks()
        everything = transactions(ledger, sinks, TransactionFilter(), NOW)
        expected = [one for one in everything if check_short_receipts(one, ledger, None).concerns]
        found = list(concerning(ledger, Archive(sinks), NOW))
    assert len(found) > 3
    assert sorted(one.name for one in found) == sorted(one.name for one in expected)
