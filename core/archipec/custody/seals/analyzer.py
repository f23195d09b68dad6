"""Judges messages, in the workers: an analyzer (`archipec.custody.analysis`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from archipec.pec.anchors import Anchors
from archipec.pec.buffer import Octets
from archipec.pec.inspection import inspect_message, record
from archipec.sqlite_file import unix_seconds

if TYPE_CHECKING:
    from archipec.custody.analysis.analyzer import Analyze
    from archipec.message import Json

__all__ = ["make_judge"]


def make_judge(anchors: Anchors) -> Analyze:
    """Return the function that gives a verdict: the fields of `archipec.custody.verdict.Verdict`."""
    return partial(_judge, anchors)


def _judge(anchors: Anchors, raw: Octets) -> Json:
    judgement = inspect_message(raw, anchors)
    certified = unix_seconds(judgement.date)
    return [str(judgement.seal.status), judgement.kind, certified, record(raw, judgement)]
