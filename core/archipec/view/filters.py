"""How the viewer writes numbers, sizes and times: for all templates alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from archipec.custody.status import in_words
from archipec.language import written
from archipec.report.charts import size
from archipec.terminal import duration

__all__ = ["FILTERS"]

_ROME: Final = ZoneInfo("Europe/Rome")


def _time(value: int | datetime | None) -> datetime | None:
    """Return a time as Italy has it, of Unix seconds or of an aware time."""
    if value is None or value == 0:
        return None
    return (value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)).astimezone(_ROME)


def moment(value: int | datetime | None) -> str:
    """Write a time to the minute."""
    time = _time(value)
    return "" if time is None else f"{time:%Y-%m-%d %H:%M}"


def day(value: int | datetime | None) -> str:
    """Write the day of a time."""
    time = _time(value)
    return "" if time is None else f"{time:%Y-%m-%d}"


def number(value: int) -> str:
    """Write a number with its thousands set apart."""
    return written(value)


def place(where: str) -> str:
    """Write the address of a source or archive as a person reads it: a login's @ is escaped in addresses."""
    return unquote(where)


def plain(text: str) -> str:
    """Write a text of any origin in one line, without what turns the direction of the text around it or shows as nothing."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "\ufffd" for one in text)


def lines(text: str) -> str:
    """Write a text of any origin as `plain` does, but in its lines."""
    return "\n".join(plain(one.replace("\t", "    ")) for one in text.split("\n"))


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "day": day,
    "duration": duration,
    "lines": lines,
    "moment": moment,
    "number": number,
    "place": place,
    "plain": plain,
    "size": size,
    "span": in_words,
}
"""The filters that templates have beside those of Jinja."""
