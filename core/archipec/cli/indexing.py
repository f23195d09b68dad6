"""What a command that archives does for the index. It never fails by that: it says what is wrong, and what puts it right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from archipec.config.pipeline import Pipeline
from archipec.custody.analysis.analyzer import Analysis
from archipec.custody.run import Run
from archipec.errors import ArchipecError, counted
from archipec.language import _
from archipec.terminal import say

__all__ = ["indexing"]


@contextmanager
def indexing(pipeline: Pipeline, run: Run[Any]) -> Iterator[Sequence[Analysis]]:
    """Yield what puts into the index what a run stores; nothing where that is not wanted, or there can be no index."""
    if not pipeline.index:
        yield ()
        return
    from archipec.index.database import index_path, open_index
    from archipec.index.filling import LedgerIndexing

    try:
        index = open_index(index_path(run.state))
    except ArchipecError as error:
        _warn(pipeline, error.message)
        yield ()
        return
    with index:
        analysis = LedgerIndexing(index, pipeline, run.ledger)
        yield (analysis,)
        lacking = 0
        if analysis.found_new or analysis.indexed:
            lacking = analysis.settle(run.ledger.copies.sink_number(sink.where) for sink in pipeline.archives)
        if analysis.error is not None:
            _warn(pipeline, analysis.error.message)
        elif lacking and not run.stop.is_set():
            _warn(pipeline, _("the index lacks {messages}").format(messages=counted(lacking, "message")))


def _warn(pipeline: Pipeline, why: str) -> None:
    say(_("warning: {name}: not everything can be searched: {why}").format(name=pipeline.name, why=why))
    say(_("hint: what was archived is safe; `archipec index` makes it searchable"))
