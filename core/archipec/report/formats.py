"""The formats in which a report is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from archipec.errors import ConfigError
from archipec.language import _
from archipec.options import nearest
from archipec.report.facts import PipelineFacts

__all__ = ["FORMATS", "compose"]


def _html(found: Sequence[PipelineFacts], now: datetime) -> bytes:
    # Jinja is slow to import, and not there without the extra.
    from archipec.report.page import as_html

    return as_html(found, now)


def _csv(found: Sequence[PipelineFacts], _now: datetime) -> bytes:
    from archipec.report.shape import as_table

    return as_table(found)


def _pdf(found: Sequence[PipelineFacts], now: datetime) -> bytes:
    from archipec.report.printed import as_pdf

    return as_pdf(found, now)


def _json(found: Sequence[PipelineFacts], _now: datetime) -> bytes:
    from archipec.report.shape import as_json

    return "".join(f"{json.dumps(as_json(one))}\n" for one in found).encode()


FORMATS: Final[Mapping[str, Callable[[Sequence[PipelineFacts], datetime], bytes]]] = MappingProxyType(
    {"html": _html, "pdf": _pdf, "csv": _csv, "json": _json}
)
"""By name: makes a document of the facts of pipelines, and of the time at which it is made (aware)."""


def compose(name: str, found: Sequence[PipelineFacts], now: datetime) -> bytes:
    """Make a report.

    Args:
        name: of a format, one of `FORMATS`.
        now: aware.

    Raises:
        ConfigError: there is no such format.
        PermanentError: a package that the format needs is not installed.
    """
    make = FORMATS.get(name)
    if make is None:
        raise ConfigError(
            _('there is no report as "{name}"{guess}').format(name=name, guess=nearest(name, FORMATS)),
            hint=_("there are {formats}").format(formats=", ".join(FORMATS)),
        )
    return make(found, now)
