"""Judges messages, in the workers: an analyzer (`archipec.custody.analysis`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from archipec.custody.analysis.inspections import Inspector
from archipec.custody.verdict import Verdict
from archipec.pec.anchors import Anchors
from archipec.pec.buffer import Octets
from archipec.pec.inspection import record
from archipec.sqlite_file import unix_seconds

if TYPE_CHECKING:
    from archipec.custody.analysis.analyzer import Analyze
    from archipec.message import Json

__all__ = ["make_judge"]


def make_judge(anchors: Anchors) -> Analyze:
    """Return the function that gives a verdict, as the fields of `archipec.custody.verdict.Verdict`."""
    return partial(_judge, Inspector(anchors))


def _judge(inspector: Inspector, raw: Octets) -> Json:
    found = inspector.inspect(raw).inspection
    status, certified = str(found.seal.status), unix_seconds(found.date)
    return list(Verdict.of(status, found.kind, certified, record(raw, found)))
