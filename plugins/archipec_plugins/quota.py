"""Warns when a mailbox fills up, and says what prune would free. A full PEC mailbox bounces what is served to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from archipec.contract import Context, PostStep, PostStepType, RunView
from archipec.hookspecs import hookimpl
from archipec.language import N_, _

_LEVELS: Final = {90: N_("what arrives may soon be refused"), 70: N_("it is filling up")}
"""Percent of the quota, the highest first, and what it means."""


class QuotaStep:
    """An `archipec.contract.PostStep` that only looks."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def run(self, run: RunView) -> None:
        """Warn from 70 % and from 90 % of the quota on."""
        quota = run.quota
        if quota is None or not quota.limit:
            self._log.info("the mailbox of %s does not tell how full it is", run.pipeline)
            return
        share = 100 * quota.used / quota.limit
        meaning = next((words for level, words in _LEVELS.items() if share >= level), None)
        if meaning is None:
            return
        freeable = (
            _("no rule in [pipeline.prune] frees any of it")
            if run.freeable is None
            else _("`archipec prune` would free {megabytes}").format(megabytes=_megabytes(run.freeable))
        )
        self._log.warning(
            _("the mailbox of %s is %.0f %% full (%s of %s): %s; %s"),
            run.pipeline,
            share,
            _megabytes(quota.used),
            _megabytes(quota.limit),
            meaning,
            freeable,
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


@contextmanager
def _open(_config: Mapping[str, Any], context: Context) -> Iterator[PostStep]:
    yield QuotaStep(context.log)


QUOTA = PostStepType[Mapping[str, Any]](
    api=1,
    name="quota",
    summary="warns when the mailbox is 70 % and 90 % full, and says what prune would free",
    schemes=("quota",),
    parse=dict,
    where=lambda _config: "quota:mailbox",
    open=_open,
)


@hookimpl
def archipec_poststeps() -> Iterable[PostStepType[Any]]:
    """Yield the quota step."""
    yield QUOTA
