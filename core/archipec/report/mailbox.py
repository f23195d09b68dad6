"""What a report shows of mailboxes, in whatever form: names, periods, the rows of its tables, its charts as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from archipec.config.pipeline import AD_HOC
from archipec.custody.attention import summed
from archipec.language import _, written
from archipec.pec.transactions import BY_WEIGHT
from archipec.report import charts
from archipec.report.drawn import arrivals_chart, months_chart, quota_chart, quota_gauge, sendings_chart
from archipec.report.facts import Amount, PipelineFacts, family_of
from archipec.report.shape import day
from archipec.report.words import (
    FAMILY_COLOURS,
    SEAL_COLOURS,
    outcome_colour,
    outcome_label,
    seal_label,
)

__all__ = [
    "ShownMailbox",
    "ShownRow",
    "moment_of",
    "oldest_success",
    "period_of",
    "shown_mailbox",
    "sum_of",
]

ROME: Final = ZoneInfo("Europe/Rome")
_FOLDERS: Final = 15

T = TypeVar("T")


class ShownRow(NamedTuple):
    """A row of a table with bars: ``value`` is what stands beside the number of messages."""

    label: str
    messages: int
    value: str
    bar: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMailbox:
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
    kinds: Sequence[ShownRow]
    seals: Sequence[ShownRow]
    folders: Sequence[ShownRow]
    outcomes: Sequence[ShownRow]
    waiting: Sequence[tuple[str, str, int]]


def moment_of(at: datetime | int | None) -> str:
    if at is None:
        return _("unknown")
    time = datetime.fromtimestamp(at, ROME) if isinstance(at, int) else at.astimezone(ROME)
    return f"{time:%Y-%m-%d %H:%M}"


def sum_of(amounts: Sequence[Amount]) -> Amount:
    return Amount(sum(one.messages for one in amounts), sum(one.size for one in amounts))


def oldest_success(found: Sequence[PipelineFacts]) -> str:
    """Return the day of the last success that is the longest ago, of all pipelines."""
    days = [facts.status.last_success for facts in found]
    return day(min(one for one in days if one is not None)) or "" if days and None not in days else _("never")


def period_of(found: Sequence[PipelineFacts]) -> str:
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


def shown_mailbox(facts: PipelineFacts) -> ShownMailbox:
    status = facts.status
    source = unquote(status.source)
    quota = status.quota if status.quota is not None and status.quota.limit else None
    share = 0.0 if quota is None else quota.used / quota.limit
    return ShownMailbox(
        facts=facts,
        name=source if status.pipeline == AD_HOC else status.pipeline,
        source=source or _("unknown"),
        last_success="" if status.last_success is None else moment_of(status.last_success),
        dates="" if facts.first is None else f"{day(facts.first)} – {day(facts.last)}",
        attention=[one.text for one in summed(facts.matters)],
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


def _rows(found: Iterable[tuple[T, Amount]], say: Callable[[T], tuple[str, str]]) -> list[ShownRow]:
    """Return the rows of a table with bars; ``say`` returns label and colour of each."""
    amounts = [(one, amount) for one, amount in found if amount.messages]
    most = max((amount.messages for _one, amount in amounts), default=1)
    rows = []
    for one, amount in amounts:
        label, colour = say(one)
        bar = charts.bar(amount.messages / most, colour)
        rows.append(ShownRow(label, amount.messages, charts.size(amount.size), bar))
    return rows


def _charts(facts: PipelineFacts) -> dict[str, str]:
    """Return the charts of a pipeline; an empty text where there is nothing to draw."""
    return {
        "months": months_chart(facts),
        "arrivals": arrivals_chart(facts),
        "sendings": sendings_chart(facts),
        "gauge": quota_gauge(facts.status.quota),
        "quota": quota_chart(facts),
    }
