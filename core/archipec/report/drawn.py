"""A pipeline's facts, drawn: the charts of the report and of the viewer. An empty text where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from archipec.language import N_, _, pgettext, written
from archipec.message import Quota
from archipec.pec.transactions import BY_WEIGHT
from archipec.report import charts
from archipec.report.facts import PipelineFacts
from archipec.report.shape import day
from archipec.report.words import family_series, outcome_colour

__all__ = ["arrivals_chart", "months_chart", "quota_chart", "quota_gauge", "sendings_chart"]

_ROME: Final = ZoneInfo("Europe/Rome")
_MOST_MONTHS: Final = 36
_MOST_YEARS: Final = 40
_SENT: Final[Mapping[str, str]] = {
    "green": N_("delivered", "sending"),
    "grey": N_("to ordinary mailboxes", "sending"),
    "amber": N_("waiting", "sending"),
    "red": N_("needs a look", "sending"),
}


def months_chart(facts: PipelineFacts) -> str:
    """Return columns of the messages by month, or by year, stacked by family."""
    series = family_series()
    shown = _by_time({one.month: [one.families.get(family, 0) for family in series] for one in facts.months})
    present = [number for number in range(len(series)) if any(one.values[number] for one in shown)]
    kinds = list(series.values())
    return charts.columns(
        _("Messages by their date"),
        _("{number} in all").format(number=written(facts.total.messages)),
        [kinds[number] for number in present],
        [one._replace(values=[one.values[number] for number in present]) for one in shown],
    )


def arrivals_chart(facts: PipelineFacts) -> str:
    """Return columns of the bytes that were stored, by when."""
    shown = _by_time({one.month: [one.size] for one in facts.arrivals}, charts.size)
    return charts.columns(
        _("Bytes archived, by when they were stored"),
        _("{size} in all").format(size=charts.size(facts.archived.size)),
        [charts.Series(_("bytes"), "blue")],
        shown,
        charts.size,
    )


def sendings_chart(facts: PipelineFacts) -> str:
    """Return columns of what was sent, stacked by what became of it."""
    found = facts.sendings.outcomes
    outcomes = [one for one in reversed(BY_WEIGHT) if found[one]]
    groups = {colour: [one for one in outcomes if outcome_colour(one) == colour] for colour in _SENT}
    present = [colour for colour in _SENT if groups[colour]]
    months = sorted({month for month, _outcome in facts.sendings.by_month if month})
    shown = _by_time(
        {
            month: [sum(facts.sendings.by_month[month, one] for one in groups[colour]) for colour in present]
            for month in months
        }
    )
    return charts.columns(
        _("Sent messages by what became of them"),
        _("{number} in all").format(number=written(found.total())),
        [charts.Series(pgettext("sending", _SENT[colour]), colour) for colour in present],
        shown,
    )


def quota_gauge(quota: Quota | None) -> str:
    """Return a gauge of how full a mailbox is."""
    if quota is None or not quota.limit:
        return ""
    share = quota.used / quota.limit
    return charts.gauge(
        _("How full the mailbox is"), _("{percent} %").format(percent=written(100 * share)), share
    )


def quota_chart(facts: PipelineFacts) -> str:
    """Return a curve of how full the mailbox was, where it was asked more than once."""
    samples = [one for one in facts.quotas if one.limit]
    if len(samples) < 2:
        return ""
    points = []
    month = ""
    for one in samples:
        time = datetime.fromtimestamp(one.at, _ROME)
        share = 100 * one.used / one.limit
        label = f"{time:%Y-%m}"
        tip = f"{time:%Y-%m-%d}: {charts.size(one.used)}, {written(share)} %"
        points.append(charts.Point(one.at, share, label if label != month else "", tip))
        month = label
    return charts.curve(
        _("How full the mailbox was, in percent"),
        _("from {first} to {last}").format(first=day(samples[0].at), last=day(samples[-1].at)),
        points,
        {70.0: "amber", 90.0: "red"},
        lambda percent: f"{written(percent)} %",
    )


def _by_time(
    months: Mapping[str, Sequence[int]], unit: Callable[[float], str] = written
) -> list[charts.Column]:
    """Return the columns of a chart over time, from numbers by month ("2026-03"): by year where the months are too many.

    Months and years without anything are in it, so that time runs evenly, unless that would be centuries.

    Args:
        unit: how a number is written where a pointer rests on its column.
    """
    if not months:
        return []
    width = len(next(iter(months.values())))
    first, last = (_month_number(one) for one in (min(months), max(months)))
    if last - first < _MOST_MONTHS:
        labels = [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(first, last + 1)]
        found: Mapping[str, Sequence[int]] = months
    else:
        years: dict[str, list[int]] = {}
        for month, values in months.items():
            total = years.setdefault(month[:4], [0] * width)
            years[month[:4]] = [one + other for one, other in zip(total, values, strict=True)]
        found = years
        labels = [f"{year:04}" for year in range(first // 12, last // 12 + 1)]
        if len(labels) > _MOST_YEARS:
            labels = sorted(years)
    return [
        charts.Column(label, values, f"{label}: {unit(sum(values))}")
        for label in labels
        for values in [found.get(label, [0] * width)]
    ]


def _month_number(month: str) -> int:
    year, number = month.split("-")
    return int(year) * 12 + int(number) - 1
