"""What the ledger does for every page of a listing looks rows up, and never goes through a folder."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from archipec.custody.ledger import Ledger
from archipec.custody.ledger import sources as module


@pytest.mark.parametrize(
    ("query", "values", "found_by"),
    [
        (module._CHANGED, (1, "[]"), "(folder=? AND ref=?)"),
        (module._UPDATE, ("[]",), "(rowid=?)"),
    ],
)
def test_a_page_of_a_listing_is_looked_up(
    tmp_path: Path, query: str, values: tuple[object, ...], found_by: str
) -> None:
    path = tmp_path / "ledger.sqlite3"
    with Ledger(path), closing(sqlite3.connect(path)) as db:
        steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    assert any(step.startswith("SEARCH o ") and step.endswith(found_by) for step in steps), steps
