"""Sent: what became of every message sent, for each recipient; what needs a person first, and who dealt with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from archipec.config.selection import MessageFacts, Selection, read_selection
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.figures import Archive
from archipec.custody.receipts.query import TransactionFilter, check_short_receipts, find, transactions
from archipec.custody.receipts.summary import concerning
from archipec.errors import ConfigError
from archipec.language import N_, _
from archipec.message import ContentKey
from archipec.pec.transactions import Outcome, Recipient, Transaction
from archipec.view.page import NoSuchPage, Page, PageRequest, SeeOther
from archipec.view.viewed import OpenView, ViewedArchives

__all__ = ["PAGES", "ListPlace", "SentAsked", "SentMessage", "SentPage", "SentRecipient", "sent"]

PAGE: Final = 50
_FIRST: Final = 20  # of those that need a person, before the others
_WAIT: Final = 0.1  # seconds until the page is made of what is known by then
_STALE: Final = 600  # seconds after which what is waiting may have become what is missing
_OF_MESSAGES: Final = 8  # of so many messages about one was sent: how many days are looked at first
_LONGEST_SPAN: Final = 366
_LOOKED_AT: Final = 1000  # sendings, where few fit what is asked for
_LONGEST: Final = 1000  # characters of a field
_ROME: Final = ZoneInfo("Europe/Rome")
_MOST: Final = 5000
"""Sendings that need a person which are listed."""

# How good an outcome is, and what it is in words.
_OUTCOMES: Final[Mapping[Outcome, tuple[str, str]]] = {
    Outcome.DELIVERED: ("good", N_("delivered")),
    Outcome.RECEIVED: ("good", N_("received")),
    Outcome.WAITING: ("warn", N_("no receipt yet")),
    Outcome.ORDINARY: ("warn", N_("accepted for an ordinary mailbox: no legal delivery")),
    Outcome.MISSING: ("bad", N_("missing: no receipt came")),
    Outcome.REFUSED: ("bad", N_("not accepted")),
    Outcome.FAILED: ("bad", N_("not delivered")),
    Outcome.VIRUS: ("bad", N_("not delivered: a virus was found")),
    Outcome.TIMED_OUT: ("bad", N_("not delivered in time")),
    Outcome.UNPROVEN: ("bad", N_("not proven: no valid seal says so")),
}


class SentAsked(NamedTuple):
    """What the form asks for, all of it as typed; ``show``: "attention" for what needs a person alone, "handled" for what was
    dealt with.
    """

    show: str = ""
    party: str = ""
    subject: str = ""
    since: str = ""
    until: str = ""

    def address(self, **changes: str) -> str:
        """Return the address of a page that asks for this, but for some changes."""
        fields = {name: value for name, value in (self._asdict() | changes).items() if value}
        return f"/sent?{urlencode(fields)}" if fields else "/sent"

    def wanted(self) -> TransactionFilter:
        """Return which transactions it means.

        Raises:
            ConfigError: a day is not one.
        """
        days = {name: day for name, day in (("since", self.since), ("until", self.until)) if day}
        return TransactionFilter(
            period=read_selection(days, "sent"), direction="out", party=self.party, subject=self.subject
        )


class ListPlace(NamedTuple):
    """Where a list goes on: with what was sent up to a day, without so many of the newest of it."""

    day: date
    skip: int = 0


class SentRecipient(NamedTuple):
    """What became of a sending for one recipient.

    Attributes:
        tone: good, warn or bad.
        words: what that means.
        receipt: the message that says so, None when it is its absence.
    """

    address: str
    tone: str
    words: str
    date: datetime | None
    receipt: ContentKey | None
    problems: Sequence[str]
    notes: Sequence[str]


class SentMessage(NamedTuple):
    """A message that was sent.

    Attributes:
        tone, words: of all of it.
        markable: something is wrong, and it can be marked as dealt with.
        handled: when it was, and with which note; None when it was not.
        message: to look at: what was sent, or what says most of it; None where nothing is left.
    """

    name: str
    date: datetime | None
    subject: str
    tone: str
    words: str
    attention: bool
    markable: bool
    handled: tuple[datetime, str] | None
    message: ContentKey | None
    acceptance: ContentKey | None
    recipients: Sequence[SentRecipient]
    problems: Sequence[str]
    notes: Sequence[str]


class SentPage(NamedTuple):
    """What the page shows.

    Attributes:
        attention: the sendings that need a person, or were dealt with, and fit, those of this page; None while they are
            looked for.
        attention_count: how many there are; handled_count: how many were dealt with.
        found: the others, the newest first; those that need a person too, while these are looked for.
        looked_back: up to which day was looked, where that was not far enough to fill the page.
        older, newest, more_attention: addresses of other pages; empty where there is nothing more.
    """

    asked: SentAsked
    attention: Sequence[SentMessage] | None
    attention_count: int
    handled_count: int
    found: Sequence[SentMessage]
    looked_back: date | None
    older: str
    newest: str
    more_attention: str


def sent(view: OpenView, asked: SentAsked, place: ListPlace | None = None, start: int = 0) -> SentPage:
    """Return a page of what was sent.

    Args:
        place: where the list goes on, None for its beginning.
        start: how many of those that need a person are left out.

    Raises:
        ConfigError: a day is not one.
        ArchipecError: the ledger can't be read.
    """
    wanted = asked.wanted()
    fitting = _fitting(view, wanted)
    attention, handled = fitting or ([], [])
    counts = {"attention_count": len(attention), "handled_count": len(handled)}
    listed = handled if asked.show == "handled" else attention
    is_first = place is None and not asked.show
    most = PAGE if asked.show else _FIRST if is_first else 0
    end = start + most
    elsewhere = frozenset(one.name for one in attention)
    found, onward = ([], None) if asked.show else _newest(view, wanted, place, elsewhere)
    more = asked.address(show=asked.show or "attention", start=str(end if asked.show else ""))
    return SentPage(
        asked=asked,
        attention=None if fitting is None else [_sending(view, one) for one in listed[start:end]],
        **counts,
        found=[_sending(view, one) for one in found],
        looked_back=onward.day if onward is not None and len(found) < PAGE else None,
        older=""
        if onward is None
        else asked.address(before=onward.day.isoformat(), skip=str(onward.skip or "")),
        newest="" if is_first or (asked.show and not start) else asked.address(),
        more_attention=more if most and len(listed) > end else "",
    )


def _fitting(view: OpenView, wanted: TransactionFilter) -> tuple[list[Transaction], list[Transaction]] | None:
    """Return what is wrong and fits, and what was dealt with, by the marks of now; None while it is looked for."""
    known = view.shown.remembered.soon("sent", _state(view), lambda: _concerning(view.shown), _WAIT)
    if known is None:
        return None
    marks = view.ledger.handled.all()
    attention: list[Transaction] = []
    handled: list[Transaction] = []
    for one in known:
        if not (wanted.wants(one) and _is_of(wanted.period, one)):
            continue
        mark = marks.get((one.direction, one.name))
        if mark is None:
            attention.append(one)
            continue
        marked = replace(one, handled=mark)
        (attention if marked.needs_attention else handled).append(marked)
    return attention, handled


def _state(view: OpenView) -> tuple[object, ...]:
    return (view.ledger.holdings.state(), int(view.now.timestamp()) // _STALE)


def _concerning(shown: ViewedArchives) -> list[Transaction]:
    """Look for all that something is wrong with; in a thread that outlives the page, so that it opens what it reads itself."""
    with shown.open() as view:
        found = concerning(view.ledger, Archive(view.sinks), view.now)
        return list(islice((one for one in found if one.direction == "out"), _MOST))


def _is_of(period: Selection, one: Transaction) -> bool:
    seconds = 0 if one.date is None else int(one.date.timestamp())
    return period.answer(MessageFacts(folder="", date=seconds)) is not False


# -- the newest, without going through all --------------------------------------------------------------------


def _newest(
    view: OpenView, wanted: TransactionFilter, place: ListPlace | None, elsewhere: Collection[str]
) -> tuple[list[Transaction], ListPlace | None]:
    """Return a page of what was sent, the newest first, and where to go on; without those that are listed elsewhere.

    Some weeks are looked at, then more: a transaction belongs to the days that one of its messages is dated to, and to go
    through those of a few weeks is quick however long the list is.
    """
    oldest, newest = _days(view)
    found: list[Transaction] = []
    last = wanted.period.until or newest
    skip = 0
    if place is not None:
        last, skip = min(last, place.day), place.skip
    first = max(wanted.period.since or oldest, oldest)
    messages = view.ledger.holdings.state()[0]
    days = (newest - oldest).days + 1
    span, looked_at = min(max(1, _OF_MESSAGES * PAGE * days // max(messages, 1)), _LONGEST_SPAN), 0
    while last >= first:
        begin = max(first, last - timedelta(days=span - 1))
        # Beyond the first and the last day is what has no date, or a wrong one.
        period = Selection(since=None if begin == oldest else begin, until=None if last == newest else last)
        for number, one in enumerate(_within(view, wanted, period)):
            if number < skip:
                continue
            looked_at += 1
            if not wanted.wants(one) or one.name in elsewhere:
                continue
            if len(found) == PAGE:
                return found, ListPlace(last, number)
            found.append(check_short_receipts(one, view.ledger, None))
        last, skip = begin - timedelta(days=1), 0
        span = min(3 * span, _LONGEST_SPAN)
        if looked_at >= _LOOKED_AT and last >= first:
            return found, ListPlace(last)
    return found, None


def _within(view: OpenView, wanted: TransactionFilter, period: Selection) -> Iterator[Transaction]:
    everything = TransactionFilter(period=period, direction="all")
    return (
        one
        for one in transactions(view.ledger, view.sinks, everything, view.now)
        if one.direction == wanted.direction
    )


def _days(view: OpenView) -> tuple[date, date]:
    """Return the days of the oldest and the newest message that has a date; today where none has."""
    first, last = view.ledger.holdings.dates()
    today = view.now.astimezone(_ROME).date()
    if not last:
        return today, today
    return _day(first), min(_day(last), today)


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, _ROME).date()


# -- how it is shown ------------------------------------------------------------------------------------------


def _sending(view: OpenView, one: Transaction) -> SentMessage:
    tone, words = _OUTCOMES[one.status]
    message = one.sent.record if one.sent is not None else one.acceptance
    if message is None:
        receipts = (receipt for who in one.recipients for receipt in who.receipts)
        message = next(iter((*receipts, *one.unproven)), None)
    return SentMessage(
        one.name,
        one.date,
        one.oggetto,
        "bad" if one.needs_attention else "warn" if tone == "bad" else tone,
        words,
        one.needs_attention,
        view.shown.known and one.needs_attention,
        None if one.handled is None else (one.handled.at, one.handled.note),
        None if message is None else message.key,
        None if one.acceptance is None else one.acceptance.key,
        [_recipient(who) for who in one.recipients],
        [problem.text for problem in one.problems],
        one.notes,
    )


def _recipient(who: Recipient) -> SentRecipient:
    tone, words = _OUTCOMES[who.outcome]
    decisive = who.decisive
    return SentRecipient(
        who.address,
        "bad" if who.problems else tone,
        words,
        None if decisive is None else decisive.date,
        None if decisive is None else decisive.key,
        [problem.text for problem in who.problems],
        who.notes,
    )


# -- the page -------------------------------------------------------------------------------------------------


def _form(value: Callable[[str], str]) -> SentAsked:
    show = value("show")
    return SentAsked(
        show if show in ("attention", "handled") else "",
        *(value(name)[:_LONGEST] for name in ("party", "subject", "since", "until")),
    )


def _answer(asked: PageRequest) -> Mapping[str, Any]:
    return {"page": sent(asked.view, _form(asked.value), _place(asked), _number(asked.value("start")))}


def _place(asked: PageRequest) -> ListPlace | None:
    try:
        day = date.fromisoformat(asked.value("before"))
    except ValueError:
        return None
    return ListPlace(day, _number(asked.value("skip")))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0


def _mark(asked: PageRequest) -> SeeOther:
    """Record that somebody dealt with a sending, or take that back."""
    view = asked.view
    if not view.shown.known:
        raise ConfigError(
            _("what was dealt with is recorded in the ledger, and this archive is shown without one")
        )
    (name, action, note) = (_posted(asked, one) for one in ("name", "action", "note"))
    found = (
        [one for one in find(view.ledger, view.sinks, name, view.now, "out") if one.name == name]
        if name
        else []
    )
    if not found or action not in ("handled", "reopen"):
        raise NoSuchPage(_("there is no such sending"))
    one = check_short_receipts(found[0], view.ledger, None)
    with Ledger(view.shown.ledger_file) as ledger:
        if action == "reopen":
            ledger.handled.take_back(one.direction, one.name)
        elif one.concerns:
            ledger.handled.mark(one.direction, one.name, one.concerns, note, int(view.now.timestamp()))
    return SeeOther(_form(lambda field: _posted(asked, field)).address())


def _posted(asked: PageRequest, name: str) -> str:
    return next(iter(asked.posted(name)), "")[:_LONGEST]


PAGES: Final = (
    Page("/sent", _answer, "sent.html"),
    Page("/sent/marks", _mark, method="POST", tab="/sent"),
)
