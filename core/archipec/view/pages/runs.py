"""Runs: what was run when, for how long, with what outcome; the latest first, or those that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from archipec.config.pipeline import AD_HOC
from archipec.custody.history import PastRun, history
from archipec.errors import ATTENTION, DONE, Interrupted
from archipec.language import N_, _
from archipec.view.page import NoSuchPage, Page, PageRequest
from archipec.view.viewed import OpenView

__all__ = ["PAGE", "ShownRun", "shown_run"]

_A_PAGE: Final = 50
_LAST_PAGE: Final = 10_000
_LINES: Final = 3  # of what went wrong, before the reader asks for more


class ShownRun(NamedTuple):
    """A run as a page shows it.

    Attributes:
        tone: good, warn or bad; empty for one that runs.
        outcome: a few words, without what it did.
    """

    run: PastRun
    name: str
    tone: str
    outcome: str

    @property
    def first_lines(self) -> Sequence[str]:
        """What went wrong, as far as is shown at once."""
        return self.run.lines[:_LINES]

    @property
    def more_lines(self) -> Sequence[str]:
        """What else went wrong."""
        return self.run.lines[_LINES:]

    @property
    def hint(self) -> str:
        """The way out, empty for none."""
        return next((error["hint"] for error in self.run.errors if error["hint"]), "")


_OUTCOMES: Final[Mapping[int | None, tuple[str, str]]] = {
    DONE: ("good", N_("done")),
    ATTENTION: ("warn", N_("done, something needs a person")),
    Interrupted.exit_code: ("warn", N_("interrupted")),
    None: ("bad", N_("did not end: it was killed, or the machine stopped")),
}


def shown_run(run: PastRun) -> ShownRun:
    """Return how a run is shown."""
    # An ad hoc run has no name of its own.
    name = run.source if run.pipeline == AD_HOC and run.source else run.pipeline
    if run.running:
        return ShownRun(run, name, "", _("running"))
    if run.exit_code in _OUTCOMES:
        tone, words = _OUTCOMES[run.exit_code]
        return ShownRun(run, name, tone, _(words))
    return ShownRun(run, name, "bad", _("failed (exit code {code})").format(code=run.exit_code))


def _answer(asked: PageRequest) -> Mapping[str, Any]:
    view = asked.view
    if not view.shown.known:
        raise NoSuchPage(_("an archive without its ledger does not tell of runs"))
    names = [view.shown.pipeline] if view.shown.pipeline else view.ledger.runs.names()
    chosen = asked.value("pipeline")
    only_failed = asked.value("show") == "failed"
    page = asked.value("page", "1")
    number = int(page) if page.isascii() and page.isdecimal() and 0 < int(page[:9]) <= _LAST_PAGE else 1
    runs = _found(view, [chosen] if chosen in names else names, number, only_failed=only_failed)

    def address(**changes: object) -> str:
        fields = {"pipeline": chosen, "show": "failed" if only_failed else "", "page": ""} | changes
        given = {name: value for name, value in fields.items() if value}
        return f"/runs?{urlencode(given)}" if given else "/runs"

    return {
        "names": names if len(names) > 1 else [],
        "chosen": chosen,
        "only_failed": only_failed,
        "runs": [shown_run(one) for one in runs[:_A_PAGE]],
        "address": address,
        "number": number,
        "is_last": len(runs) <= _A_PAGE,
    }


def _found(view: OpenView, names: Sequence[str], number: int, *, only_failed: bool) -> list[PastRun]:
    """Return the runs of a page, and one of the next."""
    first, end = (number - 1) * _A_PAGE, number * _A_PAGE + 1
    if not names:
        return []
    if only_failed:
        failed = (one for one in history(view.ledger, view.shown.state, names) if one.failed)
        return list(islice(failed, first, end))
    return history(view.ledger, view.shown.state, names, limit=end)[first:]


PAGE = Page("/runs", _answer, "runs.html")
