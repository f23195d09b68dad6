"""The first page: what needs a person, and of each mailbox its last success, how full it is, what its archives hold."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from markupsafe import Markup

from archipec.config.pipeline import AD_HOC
from archipec.custody.attention import Matter, MatterKind, attention, late_receipts, summed
from archipec.custody.ledger.schema import HELD
from archipec.custody.status import PipelineStatus, SinkStatus, statuses
from archipec.language import _, pgettext
from archipec.report import charts
from archipec.report.drawn import months_chart, quota_gauge
from archipec.report.facts import PipelineFacts, family_of, pipeline_facts
from archipec.report.words import FAMILY_COLOURS, SEAL_COLOURS, outcome_colour, outcome_label, seal_label
from archipec.terminal import command_line
from archipec.view.page import Page, PageRequest
from archipec.view.viewed import OpenView

__all__ = ["PAGE", "Mailbox", "Row"]

_IN_FULL: Final = 4
"""Mailboxes that are shown with all their figures; of more, the reader chooses one."""
_WAIT: Final = 0.05  # seconds until a page is made without the figures
_STALE: Final = 300  # seconds after which what was waiting may have become what is missing

T = TypeVar("T")


class Row(NamedTuple):
    """A row of a table with bars: something, and how many messages are of it."""

    label: str
    messages: int
    bar: Markup
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """A mailbox and its archives, or an archive that stands alone.

    Attributes:
        matters: what needs a person.
        facts: None where they are not asked for, or not counted yet.
    """

    status: PipelineStatus
    name: str
    matters: Sequence[Matter]
    facts: PipelineFacts | None = None

    @property
    def held(self) -> int:
        """Messages in the archive that has most of them."""
        return max((one.held for one in self.status.sinks), default=0)

    @property
    def share(self) -> int | None:
        """How full the mailbox is, in percent; None where it did not say."""
        quota = self.status.quota
        return None if quota is None or not quota.limit else 100 * quota.used // quota.limit

    @property
    def waiting(self) -> int:
        """Copies that a conservation provider has still to confirm."""
        return sum(one.others.get("pending", 0) for one in self.status.sinks)

    @property
    def late(self) -> int:
        """Sent messages that need a person."""
        return sum(one.kind is MatterKind.RECEIPT for one in self.matters)

    @property
    def months(self) -> Markup:
        """A chart of the messages by month."""
        return Markup(months_chart(self.facts)) if self.facts and self.facts.months else Markup()  # noqa: S704  charts escape

    @property
    def gauge(self) -> Markup:
        """A chart of how full the mailbox is; empty where it did not say."""
        return Markup(quota_gauge(self.status.quota))  # noqa: S704  charts escape

    @property
    def kinds(self) -> list[Row]:
        """Messages by kind."""
        found = ((kind, amount.messages) for kind, amount in self.facts.kinds.items()) if self.facts else ()
        return _rows(found, lambda kind: (kind, FAMILY_COLOURS[family_of(kind)], f"kind={kind}"))

    @property
    def seals(self) -> list[Row]:
        """Messages by the verdict on their seals."""
        found = self.facts.seals.items() if self.facts else ()
        return _rows(
            found,
            lambda seal: (seal_label(seal), SEAL_COLOURS.get(seal, "red"), f"seal={seal}" if seal else ""),
        )

    @property
    def sendings(self) -> list[Row]:
        """Sent messages by what became of them."""
        found = self.facts.sendings.outcomes.most_common() if self.facts else ()
        return _rows(found, lambda outcome: (outcome_label(outcome), outcome_colour(outcome), ""))


def _rows(found: Iterable[tuple[T, int]], say: Callable[[T], tuple[str, str, str]]) -> list[Row]:
    """Return rows; ``say`` returns of each the label, the colour, and the query that finds its messages."""
    amounts = [(one, number) for one, number in found if number]
    most = max((number for _one, number in amounts), default=1)
    rows = []
    for one, number in sorted(amounts, key=lambda pair: -pair[1]):
        label, colour, query = say(one)
        rows.append(Row(label, number, Markup(charts.bar(number / most, colour)), query))  # noqa: S704  of numbers alone
    return rows


def _answer(asked: PageRequest) -> Mapping[str, Any]:
    view = asked.view
    found = _statuses(view)
    matters = _matters(view)
    late = _late(view) if view.shown.known else []
    matters += late or []
    chosen = asked.value("mailbox")
    in_full = [one for one in found if _key(one) == chosen] or (found if len(found) <= _IN_FULL else [])
    mailboxes = [
        Mailbox(
            status=one,
            name=_name(one),
            matters=[matter for matter in matters if matter.pipeline == one.pipeline],
            facts=_facts(view, one) if one in in_full else None,
        )
        for one in found
    ]
    shown = [one for one in mailboxes if one.status in in_full]
    return {
        "mailboxes": mailboxes,
        "shown_in_full": shown,
        "states": {
            "pending": _("waiting for a confirmation"),
            "missing": pgettext("copies", "missing"),
            "altered": pgettext("copies", "altered"),
            "rejected": pgettext("copies", "rejected"),
            "failed": pgettext("copies", "failed"),
        },
        "chosen": chosen if len(shown) < len(mailboxes) else "",
        "matters": [
            (
                mailbox.name,
                matter,
                command_line("archipec", *matter.command) if matter.command else "",
                "/sent?show=attention" if matter.kind is MatterKind.RECEIPT else "",
            )
            for mailbox in _one_of_each_pipeline(mailboxes)
            for matter in summed(mailbox.matters)
        ],
        "counting": late is None or any(one.facts is None for one in shown),
        "key": _key,
    }


def _key(status: PipelineStatus) -> str:
    """Return what names a mailbox in an address: its pipeline may have had others before."""
    return f"{status.pipeline} {status.source}"


def _name(status: PipelineStatus) -> str:
    return status.source if status.pipeline in (AD_HOC, "") else status.pipeline


def _one_of_each_pipeline(mailboxes: Sequence[Mailbox]) -> Iterable[Mailbox]:
    """Return of the mailboxes that a pipeline had the first: what needs a person is known by pipeline."""
    return {one.status.pipeline: one for one in reversed(mailboxes)}.values()


def _matters(view: OpenView) -> list[Matter]:
    """Return what needs a person, but for what was sent or received: that takes longer to find out."""
    shown = view.shown
    if not shown.known:
        return []
    return attention(view.ledger, shown.state, shown.configured, int(view.now.timestamp()), receipts=False)


def _late(view: OpenView) -> list[Matter] | None:
    """Return what was sent or received and needs a person, by the marks of now; None while it is looked for."""
    shown, now = view.shown, int(view.now.timestamp())
    marks = frozenset(view.ledger.handled.all().items())

    def look() -> list[Matter]:
        with shown.open() as own:
            known = statuses(own.ledger, shown.state, shown.configured, now)
            return list(late_receipts(own.ledger, [one for one in known if one.counts], now))

    return shown.remembered.soon(
        "receipts", (view.ledger.holdings.state(), marks, now // _STALE), look, _WAIT
    )


def _statuses(view: OpenView) -> list[PipelineStatus]:
    now = int(view.now.timestamp())
    if not view.shown.known:
        return [_standing_alone(view, now)]
    found = statuses(view.ledger, view.shown.state, view.shown.configured, now)
    if view.shown.pipeline:
        return [one for one in found if one.pipeline == view.shown.pipeline]
    if view.archives is not None:
        return [one for one in found if any(sink.where in view.archives for sink in one.sinks)]
    return found


def _standing_alone(view: OpenView, now: int) -> PipelineStatus:
    """Return what there is to say of an archive without its ledger: what it holds."""
    sinks = []
    for sink, number in zip(view.shown.sinks, view.sinks, strict=True):
        holdings = view.ledger.copies.holdings(number)
        messages, size = (sum(holdings.get(state, (0, 0))[part] for state in HELD) for part in (0, 1))
        sinks.append(SinkStatus(sink.where, messages, size, {}, {}, confirmed=messages, confirmed_size=size))
    return PipelineStatus("", sinks[0].where if sinks else "", None, counts=True, now=now, sinks=tuple(sinks))


def _facts(view: OpenView, status: PipelineStatus) -> PipelineFacts | None:
    """Return what there is to count of a mailbox; None while it is still being counted, which takes longer than a page may."""
    shown, now = view.shown, view.now
    tally = tuple((one.where, one.held, one.size) for one in status.sinks)
    state: Hashable = (tally, status.last_run, status.tries, int(now.timestamp()) // _STALE)

    def count() -> PipelineFacts:
        with shown.open() as own:
            return pipeline_facts(own.ledger, status, now)

    return shown.remembered.soon(f"facts {_key(status)}", state, count, _WAIT)


PAGE = Page("/", _answer, "overview.html")
