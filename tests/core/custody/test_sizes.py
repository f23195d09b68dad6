"""Of a message of another size than listed, two equal answers are wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from archipec.custody.archiving.sizes import SizeCheck
from archipec.custody.ledger import SourceMessage
from archipec.custody.spool import spool

HEAD = b"Subject: one\r\n\r\n"
ONE, OTHER = HEAD + b"one\r\n", HEAD + b"two\r\n"


def row(size: int | None) -> SourceMessage:
    return SourceMessage(1, "7/1", size, None, (), None, None, None, None)


@pytest.mark.parametrize(
    ("answers", "accepted"),
    [
        ([ONE, ONE], [False, True]),
        ([ONE, OTHER, OTHER], [False, False, True]),
        ([ONE, OTHER, ONE], [False] * 3),
    ],
)
def test_two_equal_answers_and_no_others(tmp_path: Path, answers: list[bytes], accepted: list[bool]) -> None:
    check = SizeCheck(lambda _row: (0, 0))
    assert [check.accepts(row(len(ONE) - 7), spool([raw], tmp_path)) for raw in answers] == accepted


def test_what_has_the_size_listed_is_taken_at_once(tmp_path: Path) -> None:
    assert SizeCheck(lambda _row: (0, 0)).accepts(row(len(ONE)), spool([ONE], tmp_path))
    assert SizeCheck(lambda _row: (0, 0)).accepts(row(None), spool([ONE], tmp_path))
    assert not SizeCheck(lambda _row: (0, 0)).accepts(row(None), spool([], tmp_path)), "nothing is no message"
