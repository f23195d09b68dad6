"""A table that spreadsheet programs open, and take nothing in it for a formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.report.spreadsheet import as_csv


def read(table: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table.decode("utf-8-sig"), newline=""), delimiter=";"))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", '=HYPERLINK("http://x")', "-"],
)
def test_what_could_be_a_formula_begins_with_an_apostrophe(text: str) -> None:
    assert read(as_csv(["a"], [[text]]))[1] == [f"'{text}"]


@pytest.mark.parametrize("text", ["12", "-3", "-3.50", "a=b", "x;y", 'a "b"', "due\nrighe", "è", ""])
def test_what_is_none_stays_as_it_is(text: str) -> None:
    assert read(as_csv(["a", "b"], [[text, 1]]))[1] == [text, "1"]


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2)))
def test_no_cell_is_a_formula_and_none_is_lost(rows: list[list[str]]) -> None:
    found = read(as_csv(["a", "b"], rows))
    assert len(found) == len(rows) + 1
    for cells, given_ in zip(found[1:], rows, strict=True):
        for cell, text in zip(cells, given_, strict=True):
            assert not cell.startswith(("=", "+", "@", "\t", "\r"))
            assert cell.removeprefix("'").replace("�", "").replace("?", "") in ("", *_variants(text))


def _variants(text: str) -> set[str]:
    """Return a text without what can't stand in the file, as it is and without its own apostrophe."""
    plain = "".join(one for one in text if one not in "\0?�" and not "\ud800" <= one <= "\udfff")
    return {plain, plain.removeprefix("'")}
