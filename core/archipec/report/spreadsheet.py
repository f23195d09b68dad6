"""Tables for spreadsheet programs: CSV as they open it in Italy, and in which nothing is a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["as_csv"]

# A spreadsheet takes what begins so for a formula (OWASP, CSV injection), also behind spaces; a number is what it looks like.
_FORMULA: Final = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return a table as UTF-8 with its mark, separated by semicolons; what could be a formula begins with an apostrophe.

    Args:
        rows: a cell for each column.
    """
    text = io.StringIO()
    table = csv.writer(text, delimiter=";")
    table.writerow(columns)
    table.writerows([_cell(str(one)) for one in row] for row in rows)
    return text.getvalue().encode("utf-8-sig", "replace")


def _cell(text: str) -> str:
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
