"""The report as one HTML page: it opens from the disk, has no script, and asks nothing of the network.

Its policy allows the page's own style sheet, by its hash, and nothing else. Everything that comes from mail is escaped,
isolated from the direction of the text around it, and cut where it is longer than a person reads. Charts escape by themselves.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from archipec import __version__
from archipec.config.pipeline import AD_HOC
from archipec.errors import PermanentError
from archipec.language import N_, _, current, pgettext, translation, written
from archipec.pec.transactions import BY_WEIGHT, Outcome
from archipec.report import charts
from archipec.report.attention import attention
from archipec.report.facts import Amount, PipelineFacts, family_of
from archipec.report.shape import day
from archipec.report.words import (
    FAMILY_COLOURS,
    SEAL_COLOURS,
    family_series,
    outcome_colour,
    outcome_label,
    seal_label,
)

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = ["as_html", "by_time", "check_installed"]

ROME: Final = ZoneInfo("Europe/Rome")
_LONGEST: Final = 300  # characters of a text out of a message
_FOLDERS: Final = 15
_MOST_MONTHS: Final = 36
_MOST_YEARS: Final = 40
_SENT: Final[Mapping[str, str]] = {
    "green": N_("delivered", "sending"),
    "grey": N_("to ordinary mailboxes", "sending"),
    "amber": N_("waiting", "sending"),
    "red": N_("needs a look", "sending"),
}

T = TypeVar("T")


class _Row(NamedTuple):
    """A row of a table with bars: ``value`` is what stands beside the number of messages."""

    label: str
    messages: int
    value: str
    bar: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """A pipeline as the page shows it."""

    facts: PipelineFacts
    name: str
    source: str
    last_success: str
    dates: str
    attention: Sequence[str]
    full: str
    quota: str
    charts: Mapping[str, str]
    kinds: Sequence[_Row]
    seals: Sequence[_Row]
    folders: Sequence[_Row]
    outcomes: Sequence[_Row]
    waiting: Sequence[tuple[str, str, int]]


def check_installed() -> None:
    """Raise PermanentError when Jinja is not installed."""
    from importlib.util import find_spec

    if find_spec("jinja2") is None:
        raise PermanentError(
            _("a report as HTML needs the Python package Jinja2"),
            hint=_("install it with: {command}").format(command="pip install 'archipec[report]'"),
        )


def as_html(found: Sequence[PipelineFacts], now: datetime) -> bytes:
    """Return the page.

    Args:
        found: of each pipeline, in the order in which they are shown.
        now: when it is made; aware.

    Raises:
        PermanentError: Jinja is not installed.
    """
    check_installed()
    boxes = [_box(facts) for facts in found]
    style = _style()
    sent: dict[Outcome, int] = {}
    for facts in found:
        for outcome, number in facts.sendings.outcomes.items():
            sent[outcome] = sent.get(outcome, 0) + number
    page = _template(current()).render(
        language=current(),
        title=boxes[0].name
        if len(boxes) == 1
        else _("{number} mailboxes").format(number=written(len(boxes))),
        version=__version__,
        style=style,
        style_hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        period=_period(found),
        bounded=any(facts.span != (None, None) for facts in found),
        freshest=_oldest_success(found),
        total=_sum([facts.total for facts in found]),
        archived=_sum([facts.archived for facts in found]),
        sent=sum(sent.values()),
        delivered=sent.get(Outcome.DELIVERED, 0),
        problems=sum(len(box.attention) for box in boxes),
        boxes=boxes,
        made=_moment(now),
    )
    return page.encode("utf-8", "replace")


@cache
def _template(language: str) -> Template:
    """Return the template in a language."""
    from jinja2 import Environment

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.i18n"]
    )
    environment.install_gettext_translations(translation(language))  # type: ignore[attr-defined]
    _add_filters(environment)
    return environment.from_string(_file("page.html"))


def _add_filters(environment: Environment) -> None:
    environment.filters.update(
        number=written, size=charts.size, text=_text, moment=_moment, outcome=lambda one: outcome_label(one)
    )


@cache
def _style() -> str:
    return f"{charts.STYLE}{_file('page.css')}"


def _file(name: str) -> str:
    return files("archipec.report").joinpath("templates", name).read_text("utf-8")


def _text(text: object, longest: int = _LONGEST) -> str:
    """Return a text of any origin as a person may read it: without what steers a display, and not too long of it."""
    shown = "".join(one if one.isprintable() else _visible(one) for one in str(text)[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[:longest]}…"


def _visible(char: str) -> str:
    return " " if char.isspace() else char.encode("unicode_escape").decode("ascii")


def _moment(at: datetime | int | None) -> str:
    if at is None:
        return _("unknown")
    time = datetime.fromtimestamp(at, ROME) if isinstance(at, int) else at.astimezone(ROME)
    return f"{time:%Y-%m-%d %H:%M}"


def _sum(amounts: Sequence[Amount]) -> Amount:
    return Amount(sum(one.messages for one in amounts), sum(one.size for one in amounts))


def _oldest_success(found: Sequence[PipelineFacts]) -> str:
    """Return the day of the last success that is the longest ago, of all pipelines."""
    days = [facts.status.last_success for facts in found]
    return day(min(one for one in days if one is not None)) or "" if days and None not in days else _("never")


def _period(found: Sequence[PipelineFacts]) -> str:
    """Say which days it is about: those asked for, else those of the messages."""
    since, end = found[0].span if found else (None, None)
    first, last = day(since), day(end, last=True)
    if first and last:
        return _("from {first} to {last}").format(first=first, last=last)
    if first:
        return _("since {first}").format(first=first)
    if last:
        return _("until {last}").format(last=last)
    dated = [one for facts in found for one in (facts.first, facts.last) if one is not None]
    if not dated:
        return ""
    return _("from {first} to {last}").format(first=day(min(dated)), last=day(max(dated)))


# -- a mailbox -----------------------------------------------------------------------------------------


def _box(facts: PipelineFacts) -> _Box:
    status = facts.status
    source = unquote(status.source)
    quota = status.quota if status.quota is not None and status.quota.limit else None
    share = 0.0 if quota is None else quota.used / quota.limit
    return _Box(
        facts=facts,
        name=source if status.pipeline == AD_HOC else status.pipeline,
        source=source or _("unknown"),
        last_success="" if status.last_success is None else _moment(status.last_success),
        dates="" if facts.first is None else f"{day(facts.first)} – {day(facts.last)}",
        attention=attention(facts),
        full="–" if quota is None else f"{written(100 * share)} %",
        quota=""
        if quota is None
        else _("{used} of {limit} used").format(used=charts.size(quota.used), limit=charts.size(quota.limit)),
        charts=_charts(facts),
        kinds=_rows(
            facts.kinds.items(),
            lambda kind: (kind, FAMILY_COLOURS[family_of(kind)]),
        ),
        seals=_rows(
            ((seal, Amount(number)) for seal, number in facts.seals.items()),
            lambda seal: (seal_label(seal), SEAL_COLOURS.get(seal, "red")),
        ),
        folders=_rows(
            ((one.name, Amount(one.messages, one.size)) for one in _most(facts)),
            lambda name: (name, "blue"),
        ),
        outcomes=_rows(
            ((outcome, Amount(facts.sendings.outcomes[outcome])) for outcome in reversed(BY_WEIGHT)),
            lambda outcome: (outcome_label(outcome), outcome_colour(outcome)),
        ),
        waiting=[
            (one.where, reason, copies) for one in status.sinks for reason, copies in one.reasons.items()
        ],
    )


def _most(facts: PipelineFacts) -> list[Any]:
    """Return the largest folders, and the others as one."""
    folders = list(facts.folders)
    if len(folders) <= _FOLDERS:
        return folders
    rest = folders[_FOLDERS - 1 :]
    name = _("{number} other folders").format(number=written(len(rest)))
    together = rest[0]._replace(
        name=name, messages=sum(one.messages for one in rest), size=sum(one.size for one in rest)
    )
    return [*folders[: _FOLDERS - 1], together]


def _rows(found: Iterable[tuple[T, Amount]], say: Callable[[T], tuple[str, str]]) -> list[_Row]:
    """Return the rows of a table with bars; ``say`` returns label and colour of each."""
    amounts = [(one, amount) for one, amount in found if amount.messages]
    most = max((amount.messages for _one, amount in amounts), default=1)
    rows = []
    for one, amount in amounts:
        label, colour = say(one)
        bar = charts.bar(amount.messages / most, colour)
        rows.append(_Row(label, amount.messages, charts.size(amount.size), bar))
    return rows


def _charts(facts: PipelineFacts) -> dict[str, str]:
    """Return the charts of a pipeline; an empty text where there is nothing to draw."""
    return {
        "months": _months_chart(facts),
        "arrivals": _arrivals_chart(facts),
        "sendings": _sendings_chart(facts),
        "gauge": _gauge(facts),
        "quota": _quota_chart(facts),
    }


def _months_chart(facts: PipelineFacts) -> str:
    series = family_series()
    shown = by_time({one.month: [one.families.get(family, 0) for family in series] for one in facts.months})
    present = [number for number in range(len(series)) if any(one.values[number] for one in shown)]
    kinds = list(series.values())
    return charts.columns(
        _("Messages by their date"),
        _("{number} in all").format(number=written(facts.total.messages)),
        [kinds[number] for number in present],
        [one._replace(values=[one.values[number] for number in present]) for one in shown],
    )


def _arrivals_chart(facts: PipelineFacts) -> str:
    shown = by_time({one.month: [one.size] for one in facts.arrivals}, charts.size)
    return charts.columns(
        _("Bytes archived, by when they were stored"),
        _("{size} in all").format(size=charts.size(facts.archived.size)),
        [charts.Series(_("bytes"), "blue")],
        shown,
        charts.size,
    )


def _sendings_chart(facts: PipelineFacts) -> str:
    found = facts.sendings.outcomes
    outcomes = [one for one in reversed(BY_WEIGHT) if found[one]]
    groups = {colour: [one for one in outcomes if outcome_colour(one) == colour] for colour in _SENT}
    present = [colour for colour in _SENT if groups[colour]]
    months = sorted({month for month, _outcome in facts.sendings.by_month if month})
    shown = by_time(
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


def _gauge(facts: PipelineFacts) -> str:
    quota = facts.status.quota
    if quota is None or not quota.limit:
        return ""
    share = quota.used / quota.limit
    return charts.gauge(
        _("How full the mailbox is"), _("{percent} %").format(percent=written(100 * share)), share
    )


def _quota_chart(facts: PipelineFacts) -> str:
    """A curve, where the mailbox was asked more than once."""
    samples = [one for one in facts.quotas if one.limit]
    if len(samples) < 2:
        return ""
    points = []
    month = ""
    for one in samples:
        time = datetime.fromtimestamp(one.at, ROME)
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


def by_time(
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
