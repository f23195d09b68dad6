"""`verify`: many archives cost little more than one of as many messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archipec.config.pipeline import Pipeline, ad_hoc, endpoint
from archipec.custody.analysis import pool
from archipec.custody.analysis.worker import Worker
from archipec.custody.archiving.run import archive
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation, Run
from archipec.custody.seals.judge import Judges
from archipec.custody.verify import verify, verify_archive
from archipec.pec.anchors import TrustFiles
from archipec.plugins.registry import Registry
from archipec.simulator import mailbox, shared_authority

BOXES = 3


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """Those that were started, one at a time being enough."""
    made: list[Worker] = []

    class Counted(Worker):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(pool, "Worker", Counted)
    monkeypatch.setattr(pool, "_most_workers", lambda **_: 1)
    return made


@pytest.fixture
def trust(tmp_path: Path) -> TrustFiles:
    root = tmp_path / "root.pem"
    root.write_text(shared_authority().root_pem)
    return TrustFiles(certificates=(root,))


@pytest.fixture
def archived(tmp_path: Path, trust: TrustFiles) -> Iterator[tuple[list[Pipeline], Run[Any]]]:
    registry = Registry.load()
    made = []
    samples = [one.raw for one in mailbox(6 * BOXES, seed=1)]
    for number in range(BOXES):
        folder = tmp_path / f"mail{number}"
        folder.mkdir()
        for at, raw in enumerate(samples[number::BOXES]):
            (folder / f"{at}.eml").write_bytes(raw)
        one = ad_hoc(f"eml:{folder}", [f"maildir:{tmp_path}/archive{number}"], [], registry)
        made.append(replace(one, trust=trust))
    with closing(Ledger(tmp_path / "ledger.sqlite3")) as ledger:
        run: Run[Any] = Run(ledger, tmp_path, Cancellation())
        for one in made:
            assert archive(replace(one, seals=False), run).stored == 6
        yield made, run


def test_who_trusts_the_same_is_judged_by_the_same_workers(
    archived: tuple[list[Pipeline], Run[Any]], workers: list[Worker]
) -> None:
    pipelines, run = archived
    with Judges(run.stop) as judges:
        reports = [verify(one, run, judges) for one in pipelines]
        assert len(workers) == 1
        other = verify(replace(pipelines[0], trust=TrustFiles()), run, judges)
        assert len(workers) == 2
        again = verify(pipelines[0], run, judges)
    assert [report.errors for report in reports] == [[]] * BOXES
    assert [report.seals.total() for report in (*reports, other, again)] == [6] * (BOXES + 2)
    assert reports[0].seals["valid"] and not other.seals["valid"]
    assert again.seals == reports[0].seals, "each is judged by those it trusts"


def test_archives_without_a_ledger_are_judged_by_the_same_workers(
    archived: tuple[list[Pipeline], Run[Any]], workers: list[Worker], tmp_path: Path, trust: TrustFiles
) -> None:
    pipelines, run = archived
    with Judges(run.stop) as judges:
        for one in pipelines:
            sink = endpoint("sink", one.sinks[0].where, Registry.load())
            report = verify_archive(
                sink, tmp_path, run.stop, lambda _report: None, judges=judges, trust=trust
            )
            assert (report.ok, report.seals.total(), report.errors) == (6, 6, [])
            assert report.seals["valid"]
    assert len(workers) == 1


def test_without_judges_no_worker_is_started(
    archived: tuple[list[Pipeline], Run[Any]], workers: list[Worker]
) -> None:
    (one, *_), run = archived
    report = verify(one, run)
    assert (report.ok, report.seals.total(), workers) == (6, 0, [])
