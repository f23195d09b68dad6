"""The end of a run and the check of a whole archive: what the host asks of a sink that can do it, and when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from archipec.config.pipeline import Pipeline
from archipec.contract import Context
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.run import archive
from archipec.custody.ledger import Ledger
from archipec.custody.marker import MARKER
from archipec.custody.run import Cancellation, Run
from archipec.custody.verify import VerifyReport, verify, verify_archive
from archipec.errors import ArchipecError, IntegrityError, PermanentError, TransientError
from testbed.fakes import Mailbox, MemorySink, Store, pipeline


def message(number: int) -> bytes:
    return b"Message-ID: <%d@pec.example.it>\r\n\r\nbody %d\r\n" % (number, number)


@dataclass
class Ends:
    """What a `FinishingSink` was asked, and what it answers."""

    seen: list[int] = field(default_factory=list)
    """Copies held at each finish."""
    errors: list[Exception] = field(default_factory=list)
    problems: list[ArchipecError] = field(default_factory=list)


class FinishingSink(MemorySink):
    def __init__(self, store: Store, ends: Ends) -> None:
        super().__init__(store)
        self._kept = store
        self._ends = ends

    def finish(self) -> None:
        self._ends.seen.append(len(self._kept.copies))
        if self._ends.errors:
            raise self._ends.errors.pop(0)

    def check(self) -> Iterator[ArchipecError]:
        yield from self._ends.problems


def finishing(box: Mailbox, ends: Ends, *stores: Store, root: Path | None = None) -> Pipeline:
    """Put a mailbox and stores together; the first sink can finish and check."""
    made = pipeline(box, *stores, root=root)

    @contextmanager
    def open_sink(_config: object, _context: Context) -> Iterator[MemorySink]:
        yield FinishingSink(stores[0], ends)

    first, *others = made.sinks
    return replace(
        made, sinks=(replace(first, record=replace(first.record, open=open_sink)), *others), seals=False
    )


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Pipeline], ArchiveReport]:
    (tmp_path / "state").mkdir()

    def run(made: Pipeline) -> ArchiveReport:
        with Ledger(tmp_path / "state" / "ledger.sqlite3") as ledger:
            return archive(made, Run(ledger, tmp_path / "state", Cancellation()))

    return run


def checked(made: Pipeline, state: Path) -> VerifyReport:
    with Ledger(state / "ledger.sqlite3") as ledger:
        return verify(made, Run(ledger, state, Cancellation()))


def test_a_sink_finishes_once_a_run_after_everything_is_stored(
    run: Callable[[Pipeline], ArchiveReport],
) -> None:
    box, store, ends = Mailbox.of(INBOX=[message(n) for n in range(2500)]), Store(), Ends()
    made = finishing(box, ends, store)
    assert run(made).exit_code == 0
    assert run(made).exit_code == 0
    assert ends.seen == [2500, 2500]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TransientError("no clock", retry_after=float("inf")), 5),
        (PermanentError("no"), 4),
        (KeyError("bug"), 1),
    ],
)
def test_a_sink_that_cannot_finish_has_stored_everything_all_the_same(
    run: Callable[[Pipeline], ArchiveReport], error: Exception, code: int
) -> None:
    box, ends = Mailbox.of(INBOX=[message(1)]), Ends(errors=[error])
    first, second = Store(), Store()
    made = finishing(box, ends, first, second)
    report = run(made)
    assert (report.stored, report.failed, report.exit_code) == (1, 0, code)
    assert len(report.errors) == 1
    assert first.copies == second.copies
    again = run(made)
    assert (again.listed, again.exit_code, ends.seen) == (0, 0, [1, 1])


def test_an_error_that_may_pass_is_tried_again(run: Callable[[Pipeline], ArchiveReport]) -> None:
    box, ends = Mailbox.of(INBOX=[message(1)]), Ends(errors=[TransientError("a moment", retry_after=0.0)])
    assert run(finishing(box, ends, Store())).exit_code == 0
    assert ends.seen == [1, 1]


def test_nobody_waits_for_what_the_next_run_can_do(run: Callable[[Pipeline], ArchiveReport]) -> None:
    box, ends = Mailbox.of(INBOX=[message(1)]), Ends(errors=[TransientError("nobody answers")])
    report = run(finishing(box, ends, Store()))
    assert (report.stored, report.exit_code, ends.seen) == (1, 5, [1])


def test_verify_reports_what_is_wrong_with_the_archive_as_a_whole(
    run: Callable[[Pipeline], ArchiveReport], tmp_path: Path
) -> None:
    box, ends = Mailbox.of(INBOX=[message(1)]), Ends()
    made = finishing(box, ends, Store(), Store())
    run(made)
    assert checked(made, tmp_path / "state").exit_code == 0
    ends.problems = [IntegrityError("the list was altered"), IntegrityError("a seal is missing")]
    by_ledger = checked(made, tmp_path / "state")
    alone = verify_archive(made.sinks[0], tmp_path, Cancellation(), lambda _report: None)
    for report, copies in ((by_ledger, 2), (alone, 1)):
        assert (report.ok, report.exit_code) == (copies, 7)
        assert report.errors == ends.problems


def test_the_marker_tells_what_the_archive_holds(
    run: Callable[[Pipeline], ArchiveReport], tmp_path: Path
) -> None:
    root, store, ends = tmp_path / "archive", Store(), Ends()
    box, other = Mailbox.of(INBOX=[message(1), message(2)]), Mailbox.of(INBOX=[message(3)])

    def marker() -> dict[str, object]:
        content: dict[str, object] = json.loads((root / MARKER).read_bytes())
        return content

    made = finishing(box, ends, store, root=root)
    run(made)
    first = marker()
    assert (first["messages"], first["bytes"]) == (2, len(message(1)) * 2)
    assert first["sources"] == [made.source.where]
    assert first["sink"] == "memory" and str(first["by"]).startswith("archipec ")
    run(made)
    assert marker() == first, "a run that stores nothing writes nothing"
    from_another = finishing(other, ends, store, root=root)
    run(from_another)
    assert marker() == first | {
        "messages": 3,
        "bytes": len(message(1)) * 3,
        "sources": [made.source.where, from_another.source.where],
        "updated": marker()["updated"],
    }
