"""When a message was received or written, by its header.

The certified date is in the certification data, not here: these dates serve where that or the server's own date is
missing. `Date:` is the sender's choice, so the two sources are kept apart.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from archipec.pec.headers import all_fields, first_field

_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"),
        start=1,
    )
}
_DATE = re.compile(
    rb"(?<!\d)(\d{1,2})[\s-]{1,9}([a-z]{3})[a-z]{0,6}[\s-]{1,9}(\d{2,4})[\s,]{1,9}"
    rb"(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d{1,9})?(?:\s{0,9}([+-]\d{4})|\s{1,9}\(?([a-z]{1,5})\b)?",
    re.IGNORECASE,
)
# RFC 5322 §4.3, and the zone names that Italian servers write.
_ZONES = {
    b"edt": -240, b"est": -300, b"cdt": -300, b"cst": -360, b"mdt": -360, b"mst": -420, b"pdt": -420, b"pst": -480,
    b"cet": 60, b"met": 60, b"mez": 60, b"cest": 120, b"mest": 120, b"mesz": 120,
}  # fmt: skip
# Outside these years a date is garbage, and sums of dates and zones could leave what `datetime` can hold.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200


def received_date(head: bytes) -> datetime | None:
    """The newest date of the `Received` fields, aware, or None when no field has a readable one.

    The newest, not the topmost: a forged field can then make a message look younger than it is, never older.

    Args:
        head: a message or its header block; any bytes.
    """
    dates = [date for value in all_fields(head, "Received") if (date := _received(value)) is not None]
    return max(dates, default=None)


def origin_date(head: bytes) -> datetime | None:
    """The date of the first `Date:` field, aware, or None. The sender wrote it: it proves nothing."""
    value = first_field(head, "Date")
    return None if value is None else parse_date(value)


def parse_date(value: bytes) -> datetime | None:
    """The first RFC 5322 date in a text, aware; an unknown or missing zone counts as UTC. None when there is none."""
    for match in _DATE.finditer(value):
        date = _date(match)
        if date is not None:
            return date
    return None


def _received(value: bytes) -> datetime | None:
    date = parse_date(value.rpartition(b";")[2])  # RFC 5322 §3.6.7: the date follows the last semicolon
    return parse_date(value) if date is None else date


def _date(match: re.Match[bytes]) -> datetime | None:
    day, month, year, hour, minute, second, offset, zone = match.groups()
    full_year = int(year)
    if len(year) < 4:  # RFC 5322 §4.3
        full_year += 2000 if len(year) == 2 and full_year < 50 else 1900
    month_number = _MONTHS.get(month.lower())
    if month_number is None or not _FIRST_YEAR <= full_year <= _LAST_YEAR:
        return None
    seconds = min(int(second or 0), 59)  # a leap second
    try:
        return datetime(
            full_year, month_number, int(day), int(hour), int(minute), seconds, tzinfo=_zone(offset, zone)
        )
    except ValueError:  # no such day or hour
        return None


def _zone(offset: bytes | None, name: bytes | None) -> timezone:
    if offset is not None:
        minutes = int(offset[1:3]) * 60 + int(offset[3:5])
        minutes = -minutes if offset[:1] == b"-" else minutes
    else:
        minutes = _ZONES.get((name or b"").lower(), 0)
    return timezone(timedelta(minutes=minutes)) if minutes and abs(minutes) < 24 * 60 else UTC
