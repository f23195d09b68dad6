"""The report as one HTML page: it opens from the disk, has no script, and asks nothing of the network.

Its policy allows the page's own style sheet, by its hash, and nothing else. Everything that comes from mail is escaped,
isolated from the direction of the text around it, and cut where it is longer than a person reads. Charts escape by themselves.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from archipec import __version__
from archipec.errors import PermanentError
from archipec.language import _, current, translation, written
from archipec.pec.transactions import Outcome
from archipec.report import charts
from archipec.report.facts import PipelineFacts
from archipec.report.mailbox import moment_of, oldest_success, period_of, shown_mailbox, sum_of
from archipec.report.words import (
    outcome_label,
)

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = ["as_html", "check_installed"]

_LONGEST: Final = 300  # characters of a text out of a message


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
    boxes = [shown_mailbox(facts) for facts in found]
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
        period=period_of(found),
        bounded=any(facts.span != (None, None) for facts in found),
        freshest=oldest_success(found),
        total=sum_of([facts.total for facts in found]),
        archived=sum_of([facts.archived for facts in found]),
        sent=sum(sent.values()),
        delivered=sent.get(Outcome.DELIVERED, 0),
        problems=sum(len(facts.matters) for facts in found),
        boxes=boxes,
        made=moment_of(now),
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
        number=written, size=charts.size, text=_text, moment=moment_of, outcome=lambda one: outcome_label(one)
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
