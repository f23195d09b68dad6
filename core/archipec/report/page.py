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
from archipec.language import _, current, translation, written
from archipec.pec.transactions import BY_WEIGHT, Outcome
from archipec.report import charts
from archipec.report.attention import attention
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

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = ["as_html", "check_installed"]

ROME: Final = ZoneInfo("Europe/Rome")
_LONGEST: Final = 300  # characters of a text out of a message
_FOLDERS: Final = 15

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
        "months": months_chart(facts),
        "arrivals": arrivals_chart(facts),
        "sendings": sendings_chart(facts),
        "gauge": quota_gauge(facts.status.quota),
        "quota": quota_chart(facts),
    }
