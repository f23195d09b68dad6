"""Italian legal time, in which the providers write every date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WINTER = timezone(timedelta(hours=1))
_SUMMER = timezone(timedelta(hours=2))


def italian_time(time: datetime) -> datetime:
    """A time in Italian legal time (the rule in force since 1996), independent of the system's time zones."""
    utc = time.astimezone(UTC)
    start, end = (_last_sunday(utc.year, month) for month in (3, 10))
    return utc.astimezone(_SUMMER if start <= utc < end else _WINTER).replace(microsecond=0)


def zone(time: datetime) -> str:
    """The offset of an aware time, as `+0200`."""
    return time.strftime("%z")


def rfc_date(time: datetime) -> str:
    """An RFC 5322 date in Italian legal time."""
    local = italian_time(time)
    day, month = _DAYS[local.weekday()], _MONTHS[local.month - 1]
    return f"{day}, {local.day:02} {month} {local.year:04} {local:%H:%M:%S} {zone(local)}"


def _last_sunday(year: int, month: int) -> datetime:
    """01:00 UTC on the last Sunday of a month of 31 days: when the clocks change in Europe."""
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return last - timedelta(days=(last.weekday() + 1) % 7)
