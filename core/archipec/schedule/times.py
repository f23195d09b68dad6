"""When something is run: by a word or by the five fields of cron(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["WORDS", "Times", "read_times"]

WORDS: Final[Mapping[str, str]] = {"night": "30 2 * * *", "hour": "10 * * * *"}
"""What stands for usual times."""

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART: Final = re.compile(r"(\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class Times:
    """Minutes of the clock, in local time. Of ``days`` and ``weekdays``, where both are given, one is enough.

    Attributes:
        minutes: 0-59; hours: 0-23; days: of the month; months: 1-12; weekdays: 0 is Sunday. None is each.
        cron: as cron writes it.
    """

    minutes: tuple[int, ...] | None
    hours: tuple[int, ...] | None
    days: tuple[int, ...] | None
    months: tuple[int, ...] | None
    weekdays: tuple[int, ...] | None
    cron: str


def read_times(text: str) -> Times:
    """Return the times that a word (`WORDS`) or five fields of cron mean.

    Raises:
        ValueError: it is neither.
    """
    cron = WORDS.get(text.strip().lower(), " ".join(text.split()))
    fields = cron.lower().split()
    if len(fields) != 5:
        raise ValueError(text)
    minute, hour, day, month, weekday = fields
    weekdays = _field(weekday, 0, 7, _WEEKDAYS, 0)
    return Times(
        _field(minute, 0, 59),
        _field(hour, 0, 23),
        _field(day, 1, 31),
        _field(month, 1, 12, _MONTHS, 1),
        None if weekdays is None else tuple(sorted({one % 7 for one in weekdays})),
        cron,
    )


def _field(
    text: str, lowest: int, highest: int, names: tuple[str, ...] = (), first: int = 0
) -> tuple[int, ...] | None:
    for number, name in enumerate(names, start=first):
        text = re.sub(rf"\b{name}\b", str(number), text)
    found = sorted({one for part in text.split(",") for one in _numbers(part, lowest, highest)})
    return None if text == "*" else tuple(found)


def _numbers(part: str, lowest: int, highest: int) -> Iterator[int]:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(part)
    whole, begin, end, step = match.groups()
    if whole == "*":
        first, last = lowest, highest
    else:
        first = int(begin)
        # As cron has it: 5/10 is 5-59/10.
        last = int(end) if end else (highest if step else first)
    if not lowest <= first <= last <= highest or step == "0":
        raise ValueError(part)
    yield from range(first, last + 1, int(step or 1))
