"""The report as a PDF: what the page shows, on paper. The figures lie in it as JSON, for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import unescape
from typing import Final

from archipec.language import _, current, written
from archipec.pec.transactions import Outcome
from archipec.report import charts
from archipec.report.facts import PipelineFacts
from archipec.report.mailbox import (
    ShownMailbox,
    ShownRow,
    oldest_success,
    period_of,
    shown_mailbox,
    sum_of,
)
from archipec.report.pdf.document import (
    Block,
    Box,
    Embedded,
    FactList,
    Heading,
    PdfDocument,
    Picture,
    Table,
    Value,
    fixed,
    page_of,
)
from archipec.report.pdf.text import moment, one_line
from archipec.report.pdf.typesetting import typeset
from archipec.report.shape import as_json
from archipec.report.words import outcome_label

__all__ = ["as_pdf"]

_SAID: Final = re.compile("<title>(.*?)</title><desc>(.*?)</desc>", re.DOTALL)
_FONT: Final = 'font-family="sans-serif"'
_MOST_RECIPIENTS: Final = 3


def as_pdf(found: Sequence[PipelineFacts], now: datetime) -> bytes:
    """Return the report as PDF/A-3, in the language that is spoken.

    Args:
        found: of each pipeline, in the order in which they are shown.
        now: when it is made; aware.

    Raises:
        PermanentError: typst is not installed.
    """
    boxes = [shown_mailbox(facts) for facts in found]
    several = len(boxes) > 1
    title = (
        _("{number} mailboxes").format(number=written(len(boxes))) if several or not boxes else boxes[0].name
    )
    figures = "".join(f"{json.dumps(as_json(one))}\n" for one in found).encode()
    blocks = [*_overview(found, boxes), *(_mailboxes(boxes) if several else ())]
    for number, box in enumerate(boxes, 1):
        if several:
            blocks.append(Heading(one_line(box.name), 2, f"box-{number}"))
        blocks += _mailbox(box)
    if not boxes:
        blocks.append(Box([_("Nothing has been archived yet.")]))
    return typeset(
        PdfDocument(
            title=one_line(f"{_('Archive of certified mail')}: {title}"),
            subtitle=period_of(found),
            date=now,
            language=current(),
            blocks=blocks,
            embedded=[
                Embedded(
                    name="report.json",
                    size=len(figures),
                    read=lambda: figures,
                    description=_("The figures of this report, for programs"),
                    media_type="application/json",
                    relationship="data",
                )
            ],
        )
    )


def _overview(found: Sequence[PipelineFacts], boxes: Sequence[ShownMailbox]) -> Iterator[Block]:
    """The figures of all mailboxes, and what needs attention."""
    total, archived = sum_of([one.total for one in found]), sum_of([one.archived for one in found])
    outcomes = [one.sendings.outcomes for one in found]
    sent = sum(one.total() for one in outcomes)
    rows: list[tuple[str, Value]] = [
        (_("Messages in the archives"), _amount(total.messages, total.size)),
        (_("Archived in this period"), _amount(archived.messages, archived.size)),
        (_("Sent by certified mail"), written(sent)),
    ]
    if sent:
        delivered = sum(one[Outcome.DELIVERED] for one in outcomes)
        rows.append((outcome_label(Outcome.DELIVERED), written(delivered)))
    rows.append((_("Last success"), oldest_success(found)))
    yield FactList(rows)
    lines: list[Value] = []
    for box in boxes:
        name = f"{one_line(box.name, 80)}: " if len(boxes) > 1 else ""
        lines += [f"{name}{one_line(one, 300)}" for one in box.attention]
    if lines:
        yield Heading(_("What needs attention"))
        yield Box(lines, "bad")
    elif boxes:
        yield Box([_("nothing needs attention")], "good")


def _amount(messages: int, size: int) -> str:
    return f"{written(messages)}, {charts.size(size)}" if size else written(messages)


def _mailboxes(boxes: Sequence[ShownMailbox]) -> Iterator[Block]:
    yield Heading(_("Mailboxes"))
    yield Table(
        columns=(6, 2, 2, 4, 2, 2, 0),
        header=[
            *(_("Mailbox"), _("Messages"), _("Bytes"), _("Last success"), _("Mailbox full")),
            *(_("Needs attention"), _("Page")),
        ],
        rows=[
            [
                one_line(box.name, 120),
                written(box.facts.total.messages),
                charts.size(box.facts.total.size),
                moment(box.facts.status.last_success) or _("never"),
                box.full,
                written(len(box.facts.matters)) if box.attention else "–",
                page_of(f"box-{number}"),
            ]
            for number, box in enumerate(boxes, 1)
        ],
        right=(1, 2, 4, 5, 6),
    )


def _mailbox(box: ShownMailbox) -> Iterator[Block]:
    yield FactList(_facts(box))
    if box.facts.total.messages:
        yield Heading(_("What is archived"), 3)
        yield _picture(box.charts["months"])
        yield from _rows(_("Kind"), box.kinds)
        yield from _rows(_("Verdict"), box.seals, with_bytes=False)
        yield from _rows(_("Folder"), box.folders)
    if box.facts.arrivals:
        yield Heading(_("When it was archived"), 3)
        yield _picture(box.charts["arrivals"])
    if box.charts["quota"]:
        yield Heading(_("How full the mailbox is"), 3)
        yield _picture(box.charts["quota"])
    yield from _sendings(box)
    yield from _problems(box)


def _facts(box: ShownMailbox) -> list[tuple[str, Value]]:
    status = box.facts.status
    rows: list[tuple[str, Value]] = [
        (_("Mailbox"), fixed(one_line(box.source))),
        (_("Last success"), moment(status.last_success) or _("never")),
    ]
    if box.dates:
        rows.append((_("Messages from"), box.dates))
    if box.quota:
        rows.append((_("How full the mailbox is"), f"{box.full} ({box.quota})"))
    for sink in status.sinks:
        lines = [fixed(one_line(sink.where)), _amount(sink.held, sink.size)]
        rows.append((_("Archive"), [*lines, one_line(sink.problem)] if sink.problem else lines))
    return rows


def _picture(svg: str) -> Picture:
    said = _SAID.search(svg)
    assert said is not None
    # The fonts are those inside typst, which knows no "sans-serif".
    drawn = svg.replace(_FONT, 'font-family="Libertinus Serif"')
    return Picture(drawn, unescape(f"{said[1]}. {said[2]}"))


def _rows(first: str, rows: Sequence[ShownRow], *, with_bytes: bool = True) -> Iterator[Block]:
    if not rows:
        return
    yield Table(
        columns=(6, 2, 2) if with_bytes else (8, 2),
        header=[first, _("Messages"), *([_("Bytes")] if with_bytes else [])],
        rows=[
            [one_line(one.label, 120), written(one.messages), *([one.value] if with_bytes else [])]
            for one in rows
        ],
        right=(1, 2),
    )


def _sendings(box: ShownMailbox) -> Iterator[Block]:
    if not box.outcomes:
        return
    yield Heading(_("What was sent, and its receipts"), 3)
    yield _picture(box.charts["sendings"])
    yield from _rows(_("Outcome"), box.outcomes, with_bytes=False)
    shown = box.facts.sendings.shown
    if not shown:
        return
    yield Heading(_("Sent messages that need a look"), 3)
    if box.facts.sendings.attention > len(shown):
        said = _("the newest {shown} of {all}").format(
            shown=written(len(shown)), all=written(box.facts.sendings.attention)
        )
        yield Box([said])
    rows: list[list[Value]] = []
    for one in shown:
        people = [one_line(who.address, 120) for who in one.recipients[:_MOST_RECIPIENTS]]
        if (more := len(one.recipients) - len(people)) > 0:
            people.append(_("and {number} more").format(number=written(more)))
        subject = one_line(one.oggetto, 160) or _("(no subject)")
        rows.append([moment(one.date) or _("unknown"), subject, people or "–", outcome_label(one.status)])
    yield Table((3, 5, 5, 3), [_("Date"), _("Subject"), _("To"), _("State")], rows)


def _problems(box: ShownMailbox) -> Iterator[Block]:
    """What waits, what was deleted, what failed."""
    facts = box.facts
    if box.waiting:
        yield Heading(_("Deposits that are not confirmed"), 3)
        yield Table(
            (5, 6, 2),
            [_("Archive"), _("Reason"), _("Messages")],
            [
                [one_line(where), one_line(reason, 300), written(copies)]
                for where, reason, copies in box.waiting
            ],
            (2,),
        )
    if facts.freed:
        yield Heading(_("What was deleted from the mailbox, and why"), 3)
        yield Table(
            (2, 6, 2, 3),
            [_("Month"), _("Rule"), _("Messages"), _("Freed")],
            [
                [
                    one.month,
                    one_line(one.rule, 300) or _("not recorded"),
                    written(one.messages),
                    charts.size(one.size) if one.state == "deleted" else _("moved to the trash"),
                ]
                for one in facts.freed
            ],
            (2, 3),
        )
    if facts.failed_messages:
        yield Heading(_("Messages that are not archived; each run tries again"), 3)
        yield Table(
            (6, 5, 2),
            [_("Reason"), _("The first one"), _("Messages")],
            [
                [one_line(one.reason, 300), one_line(f"{one.folder} {one.ref}", 120), written(one.messages)]
                for one in facts.failed_messages
            ],
            (2,),
        )
    if facts.runs.failures:
        yield Heading(_("Runs that failed, the newest first"), 3)
        rows: list[list[Value]] = []
        for run in facts.runs.failures:
            why = [one_line(line, 300) for error in run.errors for line in error["error"]]
            rows.append([moment(run.started), one_line(run.command, 80), why or "–"])
        yield Table((3, 2, 8), [_("Begun"), _("Command"), _("Why")], rows)
