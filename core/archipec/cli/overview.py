"""Pipelines at a glance, a line each, and their totals: ``archipec status`` without a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

from archipec.cli.terminal import count, size
from archipec.config.pipeline import AD_HOC
from archipec.custody.outcomes import outcome_words
from archipec.custody.status import PipelineStatus, fullness, in_words
from archipec.errors import ATTENTION, DONE, counted
from archipec.language import _
from archipec.terminal import printable

__all__ = ["overview"]


def overview(found: Sequence[PipelineStatus], remarks: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each pipeline, then one for all.

    Args:
        remarks: by pipeline, what is to be said besides what its status says.
    """
    rows = [_row(one, remarks.get(one.pipeline, "")) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield printable("  ".join((*cells, row[-1])).rstrip())
    if rows:
        yield _totals(found)


def _row(one: PipelineStatus, remark: str) -> tuple[str, str, str, str, str]:
    archives = [sink for sink in one.sinks if sink.current]
    archived = "{messages}, {size}".format(
        messages=counted(max((sink.held for sink in archives), default=0), "message"),
        size=size(max((sink.size for sink in archives), default=0)),
    )
    reasons = [line for each in one.failed_tries for line in each.lines[:1]]
    reasons += [problem.text for problem in one.problems]
    reasons += _counts(one)
    if (quota := one.quota) is not None and fullness(quota) and not remark:
        reasons.append(_("the mailbox is {share} % full").format(share=100 * quota.used // quota.limit))
    return (
        _name(one),
        _state(one, remark),
        _success(one),
        archived,
        "; ".join(filter(None, [*dict.fromkeys(reasons), remark])),
    )


def _name(one: PipelineStatus) -> str:
    # A login's @ is escaped in addresses: nobody reads it so.
    return one.pipeline if one.pipeline != AD_HOC else unquote(one.source) or AD_HOC


def _state(one: PipelineStatus, remark: str) -> str:
    if not one.counts:
        return _("not in use")
    if one.last_try is not None and one.last_try.running:
        return _("running")
    if one.exit_code not in {DONE, ATTENTION}:
        return _("failed ({code})").format(code=one.exit_code)
    return _("warning") if one.exit_code == ATTENTION or remark else _("ok")


def _success(one: PipelineStatus) -> str:
    if one.last_success is None:
        return _("never")
    return _("{time} ago").format(time=in_words(one.now - one.last_success))


def _counts(one: PipelineStatus) -> Iterator[str]:
    """Yield what is not where it should be."""
    others: Counter[str] = Counter({"failed": one.failed, "left": one.left})
    for sink in one.sinks:
        others.update(
            {state: sink.others.get(state, 0) for state in ("pending", "rejected", "missing", "altered")}
        )
    yield from (outcome_words(outcome, number) for outcome, number in others.items() if number)
    if one.loose:
        yield _("{originals} without envelope").format(originals=counted(len(one.loose), "original"))


def _totals(found: Sequence[PipelineStatus]) -> str:
    used = [one for one in found if one.counts]
    failed = sum(one.exit_code not in {DONE, ATTENTION} for one in used)
    warned = sum(one.exit_code == ATTENTION for one in used)
    archives = {sink.where: sink for one in used for sink in one.sinks if sink.current}.values()
    return _("{boxes}: {failed} failed, {warned} with warnings; {copies} in {archives}, {size}").format(
        boxes=counted(len(used), "pipeline"),
        failed=count(failed),
        warned=count(warned),
        copies=counted(sum(one.held for one in archives), "copy"),
        archives=counted(len(archives), "archive"),
        size=size(sum(one.size for one in archives)),
    )
