"""Counting sendings quickly says the same as putting each together."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archipec.config.selection import read_selection
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.figures import Archive
from archipec.custody.ledger.transactions import TransactionRef
from archipec.custody.receipts.query import TransactionFilter, transactions
from archipec.custody.receipts.summary import SendingSummary, summarize
from archipec.pec.transactions import Outcome, Transaction
from archipec.simulator import ARUBA_2018, Authority, Provider, compose, mailbox
from archipec.simulator.mailbox import MIXED, OFFICE
from testbed.office import COMUNE, OWN, STUDIO, WHEN, Office

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ROME = ZoneInfo("Europe/Rome")


@pytest.fixture(scope="module", params=("pec", "rem"))
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A mailbox with every kind of message, of which some are missing; one of PEC alone, and one with REM beside it."""
    made = Office(tmp_path_factory.mktemp("office"))
    chance = random.Random(7)
    for one in mailbox(260, seed=11, size=12_000, mix=MIXED if request.param == "rem" else OFFICE):
        if chance.random() < 0.85:
            made.put(one.raw, folder=one.folder)
    made.run("archive", expect=None)
    yield made


def both(office: Office, since: str = "", until: str = "") -> tuple[SendingSummary, list[Transaction]]:
    """The quick answer, and all sendings put together."""
    asked = {name: day for name, day in (("since", since), ("until", until)) if day}
    period = read_selection(asked, "test")
    with Ledger(office.state / "ledger.sqlite3") as ledger:
        sinks = ledger.holdings.sinks()
        quick = summarize(ledger, Archive(sinks, None, period.span), NOW, 1000)
        wanted = TransactionFilter(period=period, direction="out")
        return quick, list(transactions(ledger, sinks, wanted, NOW))


@pytest.mark.parametrize(
    ("since", "until"), [("", ""), ("2024-05", "2025-02"), ("", "2024"), ("2026-02", "")]
)
def test_the_quick_count_of_sendings_is_that_of_all_put_together(
    office: Office, since: str, until: str
) -> None:
    quick, whole = both(office, since, until)
    assert whole
    expected = Counter(
        (f"{one.date.astimezone(ROME):%Y-%m}" if one.date else "", one.status) for one in whole
    )
    assert +quick.by_month == expected
    need = [one for one in whole if one.needs_attention]
    assert quick.attention == len(need)
    assert {one.identificativo or one.msgid for one in quick.shown} == {
        one.identificativo or one.msgid for one in need
    }


def test_most_sendings_are_not_put_together(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    linked: list[TransactionRef] = []

    def count(
        ledger: object, sinks: object, clues: Iterable[TransactionRef], now: object
    ) -> list[Transaction]:
        linked.extend(clues)
        return []

    monkeypatch.setattr("archipec.custody.receipts.summary.linked", count)
    quick, _ = both(office)
    delivered = quick.outcomes[Outcome.DELIVERED]
    assert delivered > 10
    assert len(linked) < delivered * 4


def test_only_the_newest_that_need_a_look_are_returned(office: Office) -> None:
    with Ledger(office.state / "ledger.sqlite3") as ledger:
        found = summarize(ledger, Archive(ledger.holdings.sinks()), NOW, 2)
    assert found.attention > 2
    first, second = found.shown
    assert first.date is not None and second.date is not None
    assert first.date >= second.date


def test_what_was_sent_to_oneself_and_got_no_receipt_is_one_sending(tmp_path: Path) -> None:
    office = Office(tmp_path)
    original = compose(STUDIO, [STUDIO], when=WHEN)
    office.put(original, folder="INBOX.Inviata")
    office.put(OWN.envelope(OWN.accept(original, WHEN), WHEN))
    office.archive()
    quick, whole = both(office)
    assert [one.status for one in whole] == [Outcome.MISSING]
    assert quick.outcomes == {Outcome.MISSING: 1}


@pytest.mark.parametrize("forged", ["acceptance", "delivery", "nothing"])
def test_what_no_valid_seal_says_is_not_delivered(tmp_path: Path, forged: str) -> None:
    office = Office(tmp_path)
    original = compose(STUDIO, [COMUNE], when=WHEN)
    sending = OWN.accept(original, WHEN)
    receipts = {"acceptance": OWN.acceptance(sending), "delivery": OWN.delivery(sending)}
    by_forger = Provider(style=ARUBA_2018, authority=Authority(seed=99))
    receipts |= {} if forged == "nothing" else {forged: getattr(by_forger, forged)(sending)}
    office.put(original, *receipts.values())
    office.archive()
    quick, whole = both(office)
    assert quick.outcomes == Counter(one.status for one in whole)
    assert quick.outcomes[Outcome.DELIVERED] == (forged == "nothing")
    assert quick.attention == (forged != "nothing")
