"""What comes before the first listing: a sink that is the source itself is refused, half-done deletions are finished."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from archipec.config.endpoint import Endpoint, reads_of, root_of
from archipec.config.pipeline import Pipeline
from archipec.contract import SinkType
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.sink_worker import SinkWorker
from archipec.custody.run import Run, now
from archipec.errors import ArchipecError, AuthError, ConfigError, TransientError
from archipec.language import _

__all__ = ["finish_deletions", "refuse_same_folders", "refuse_same_store"]


def refuse_same_folders(pipeline: Pipeline) -> None:
    """Check whether the folder of a sink is that of another sink, or lies in one that the source reads.

    The configuration was checked by path. One folder may have several: a link, a mount, letters of other case.

    Raises:
        ConfigError: it is.
    """
    read = {identity: path for path in reads_of(pipeline.source) if (identity := _identity(path))}
    roots: dict[tuple[int, int] | Path, str] = {}
    for sink in pipeline.sinks:
        root = root_of(sink)
        if root is None:
            continue
        # Not where ".." leads: what a link leads to has other parents.
        resolved = Path(os.path.realpath(root))
        for folder in (resolved, *resolved.parents):
            if (source := read.get(_identity(folder) or (0, 0))) is not None:
                raise ConfigError(
                    _(
                        "the source {source} would read what the sink {sink} writes: {folder} and {other} are "
                        "one folder"
                    ).format(source=pipeline.source.where, sink=sink.where, folder=folder, other=source),
                    hint=_("let the archive be kept in a folder that the source does not read"),
                )
        key = _identity(resolved) or resolved
        if key in roots:
            raise ConfigError(
                _("{other} and {where} have their files in one folder").format(
                    other=roots[key], where=sink.where
                ),
                hint=_("give each archive a folder of its own"),
            )
        roots[key] = sink.where


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what a file or folder is known by whatever its path, None where it can't be inspected."""
    try:
        status = path.stat()
    except OSError:
        return None  # opening it will say why
    return (status.st_dev, status.st_ino) if status.st_ino else None


def refuse_same_store(pipeline: Pipeline, workers: Sequence[SinkWorker], run: Run[Any]) -> None:
    """Check once for each pair of source and sink on servers whether they are one mailbox by two names.

    Raises:
        ConfigError: they are.
        ArchipecError: the source can't be used.
    """
    ledger = run.ledger
    source = ledger.sources.number(pipeline.source.where)
    unknown = [
        (sink, worker)
        for sink, worker in zip(pipeline.sinks, workers, strict=True)
        if sink.record.root(sink.config) is None
        and worker.error is None
        and (
            not ledger.deletions.is_independent(source, worker.number)
            or ledger.deletions.probe(worker.number)
        )
    ]
    if not unknown:
        return
    # Slow to import, and most pipelines have no such sink, or are known.
    from archipec.custody.independence import same_store

    failed = set[int]()
    for sink, worker in unknown:

        def note(_sink: Endpoint[SinkType[Any]], error: ArchipecError, worker: SinkWorker = worker) -> None:
            failed.add(worker.number)
            if isinstance(error, AuthError):  # never tried twice
                worker.error = error

        try:
            reason = same_store(pipeline.source, [sink], run, note)
        except TransientError:
            continue  # the run itself tries again, and the next one checks
        if reason:
            raise ConfigError(reason, hint=_("an archive must be kept somewhere else than in the mailbox"))
        if worker.number not in failed:
            ledger.deletions.record_independent(source, worker.number, now())


def finish_deletions(
    pipeline: Pipeline, workers: Sequence[SinkWorker], run: Run[Any], report: ArchiveReport
) -> None:
    """Finish what a prune that was killed left half-done; what stands in the way is put into the report."""
    if not run.ledger.deletions.unfinished_deletions(run.ledger.sources.number(pipeline.source.where)):
        return
    from archipec.custody.pruning.leftovers import Guard, finish_interrupted
    from archipec.custody.pruning.rules import required_sinks

    wanted = {sink.where for sink in required_sinks(pipeline)}
    required = [
        (sink, worker) for sink, worker in zip(pipeline.sinks, workers, strict=True) if sink.where in wanted
    ]
    guard = Guard(pipeline, [(sink, worker.number) for sink, worker in required], run)
    try:
        finish_interrupted(
            guard,
            with_archives=lambda: bool(required) and all(worker.error is None for _, worker in required),
        )
    except ArchipecError as error:
        report.errors.append(error)
