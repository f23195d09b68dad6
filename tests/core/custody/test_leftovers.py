"""Marks for deletion that a killed run left are taken back, and only then no longer on record."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from archipec.contract import DeletionOrder
from archipec.custody.ledger import Content, Ledger
from archipec.custody.pruning.leftovers import _take_back_marks
from archipec.errors import TransientError
from archipec.message import ContentKey

KEY = ContentKey("a" * 64, 10)


class Marked:
    def __init__(self, *errors: Exception) -> None:
        self.unmarked: list[tuple[str, list[str]]] = []
        self._errors = list(errors)

    def unmark(self, folder: str, refs: Iterable[str]) -> None:
        if self._errors:
            raise self._errors.pop()
        self.unmarked.append((folder, list(refs)))


def test_marks_are_taken_back_at_the_source_before_the_record_forgets_them(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        source = ledger.sources.number("imap:studio")
        content = ledger.copies.intend([(Content(KEY, "", 1, "received"), [], [])])[KEY]
        orders = [DeletionOrder("INBOX", ref, KEY, (), datetime.now(UTC)) for ref in ("7/1", "7/2")]
        ledger.deletions.mark(
            ledger.deletions.order("studio", source, [(order, content) for order in orders], 1)
        )
        broken = Marked(TransientError("cut"))
        with pytest.raises(TransientError):
            _take_back_marks(cast(Any, broken), ledger, source)
        assert len(ledger.deletions.marks(source)) == 2
        sound = Marked()
        _take_back_marks(cast(Any, sound), ledger, source)
        assert sound.unmarked == [("INBOX", ["7/1", "7/2"])]
        assert not ledger.deletions.marks(source)
