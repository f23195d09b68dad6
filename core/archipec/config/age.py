"""Spans of calendar time as they are written: ``30d``, ``6 months``, ``1y``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from archipec.language import _

__all__ = ["Age", "is_age", "read_age"]

_AGE: Final = re.compile(r"(\d{1,5})\s*(d|days?|w|weeks?|m|months?|y|years?)", re.IGNORECASE)
_LONGEST_YEARS: Final = 100


@dataclass(frozen=True, slots=True)
class Age:
    """A span of calendar time; ``text`` is how it was written."""

    months: int
    days: int
    text: str

    def __str__(self) -> str:
        return self.text

    def before(self, time: datetime) -> datetime:
        """Return the time that lies this long before an aware one, by the calendar of Europe/Rome."""
        import calendar
        from zoneinfo import ZoneInfo

        local = time.astimezone(ZoneInfo("Europe/Rome"))
        month = local.year * 12 + local.month - 1 - self.months
        year, month = month // 12, month % 12 + 1
        day = min(local.day, calendar.monthrange(year, month)[1])
        return local.replace(year=year, month=month, day=day) - timedelta(days=self.days)


def is_age(value: object) -> bool:
    """Return whether a value is written as an age is."""
    return isinstance(value, str) and _AGE.fullmatch(value.strip()) is not None


def read_age(value: object) -> Age:
    """Return an age from how it is written.

    Raises:
        ValueError: it is not an age, or one of more than a hundred years.
    """
    match = _AGE.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(_('must be an age such as "30 days", "6 months" or "1y"'))
    number, unit = int(match[1]), match[2][0].lower()
    months = number * {"m": 1, "y": 12}.get(unit, 0)
    days = number * {"d": 1, "w": 7}.get(unit, 0)
    if months > 12 * _LONGEST_YEARS or days > 366 * _LONGEST_YEARS:
        raise ValueError(_("must be an age of at most {years} years").format(years=_LONGEST_YEARS))
    return Age(months, days, " ".join(str(value).split()))
