"""A run has every message analyzed that it stores, by whatever analyses it is given, and what earlier runs left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.config.pipeline import Pipeline
from archipec.custody.analysis import pool, stored
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.run import archive
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation, Run
from archipec.errors import PermanentError
from testbed.analyzers import Keeping, message
from testbed.fakes import Mailbox, Store, pipeline

MESSAGES = [message(number) for number in range(30)]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ArchiveReport]:
    def run(made: Pipeline, *analyses: Keeping) -> ArchiveReport:
        with Ledger(tmp_path / "ledger.sqlite3") as ledger:
            for analysis in analyses:
                analysis.held = ledger.copies.in_states(1, ("stored",))
            return archive(made, Run(ledger, tmp_path, Cancellation()), analyses=analyses)

    return run


def subjects(analysis: Keeping) -> list[str]:
    return sorted(answer[0] for answer in analysis.answers.values())


ALL = sorted(f"Subject: {number}" for number in range(30))


def test_every_message_is_analyzed_while_it_is_archived(run: Callable[..., ArchiveReport]) -> None:
    one, two = Keeping("one"), Keeping("two")
    report = run(pipeline(Mailbox.of(INBOX=MESSAGES), Store(), Store()), one, two)
    assert (report.stored, report.exit_code) == (30, 0)
    assert (subjects(one), subjects(two)) == (ALL, ALL)


def test_what_an_earlier_run_left_is_read_back_once_for_all_that_lack_it(
    run: Callable[..., ArchiveReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_PAGE", 7)
    box, store = Mailbox.of(INBOX=MESSAGES), Store()
    run(pipeline(box, store))
    one, two = Keeping("one"), Keeping("two")
    known = ["known", 0]
    one.answers = dict.fromkeys(range(1, 21), known)
    two.answers = dict.fromkeys((*range(1, 5), *range(20, 26)), known)
    run(pipeline(box, store), one, two)
    for analysis, lacked in ((one, range(21, 31)), (two, [*range(5, 20), *range(26, 31)])):
        answered = {number: answer[0] for number, answer in analysis.answers.items() if answer is not known}
        assert answered == {number: f"Subject: {number - 1}" for number in lacked}


def test_an_analysis_that_fails_costs_the_run_nothing(
    run: Callable[..., ArchiveReport], caplog: pytest.LogCaptureFixture
) -> None:
    error = PermanentError("its disk is full")
    one, two = Keeping("one", refuse=error), Keeping("two")
    report = run(pipeline(Mailbox.of(INBOX=MESSAGES), Store()), one, two)
    assert (report.stored, report.errors) == (30, [])
    assert "its disk is full" in caplog.text
    assert subjects(two) == ALL


def test_a_large_message_goes_by_its_file_and_none_is_left(
    run: Callable[..., ArchiveReport], tmp_path: Path
) -> None:
    one = Keeping()
    report = run(pipeline(Mailbox.of(INBOX=[message(1, size=3 << 20), message(2)]), Store()), one)
    assert report.stored == 2
    assert sorted(answer[1] for answer in one.answers.values()) == [
        len(message(2)),
        len(message(1)) + (3 << 20),
    ]
    assert not list((tmp_path / "spool").iterdir())


def test_the_download_does_not_wait_for_what_stands_still(
    run: Callable[..., ArchiveReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not taken is analyzed in the end, and nothing is lost by that."""
    monkeypatch.setattr(pool, "_HELD_BYTES", 100)
    box, store, one = Mailbox.of(INBOX=MESSAGES), Store(), Keeping()
    assert run(pipeline(box, store), one).stored == 30
    assert 0 < len(one.answers) < 30
    run(pipeline(box, store), one)
    assert subjects(one) == ALL
