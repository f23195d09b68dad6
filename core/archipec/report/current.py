"""The report of a pipeline whose run is not over yet: what its post-steps are given."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from archipec.config.pipeline import Pipeline
from archipec.message import Quota

# Slow to import, for what few runs ask for.
if TYPE_CHECKING:
    from archipec.custody.archiving.report import ArchiveReport
    from archipec.custody.run import Run
    from archipec.custody.status import PipelineStatus, Try

__all__ = ["compose_now"]


def compose_now(
    pipeline: Pipeline, run: Run[Any], name: str, report: ArchiveReport, quota: Quota | None
) -> bytes:
    """Make the report of a pipeline, this run included.

    Args:
        name: of a format (`archipec.report.formats.FORMATS`).
        report: of this run, whose steps are all that is left to do.
        quota: as the run found it.

    Raises:
        ArchipecError: there is no such format, a package for it is not installed, the ledger can't be read.
    """
    from archipec.custody.ledger.figures import QuotaSample
    from archipec.custody.ledger.runs import RunRecord
    from archipec.custody.status import statuses
    from archipec.report.facts import pipeline_facts
    from archipec.report.formats import compose

    now = datetime.now(UTC)
    known = statuses(run.ledger, run.state, (pipeline,), int(now.timestamp()))
    name_and_source = (pipeline.name, pipeline.source.where)
    status = next(one for one in known if (one.pipeline, one.source) == name_and_source)
    status = _ended(status, report, quota)
    record = RunRecord(*name_and_source, status.last_run or status.now, report.as_json())
    facts = pipeline_facts(run.ledger, status, now, None, pipeline, record)
    if quota is not None:
        sample = QuotaSample(int(now.timestamp()), quota.used, quota.limit)
        facts = replace(facts, quotas=[*facts.quotas, sample])
    return compose(name, [facts], now)


def _ended(status: PipelineStatus, report: ArchiveReport, quota: Quota | None) -> PipelineStatus:
    """Return a status as it will be when the run ends as it stands."""
    from archipec.errors import ATTENTION, DONE

    tries = tuple(_end(one, status.now, report) if one.running else one for one in status.tries)
    begun = next((one.started for one in status.tries if one.running), status.now)
    return replace(
        status,
        tries=tries,
        last_success=begun if report.exit_code in {DONE, ATTENTION} else status.last_success,
        last_run=begun,
        stored=report.stored,
        failed=report.failed,
        left=report.left,
        quota=status.quota if quota is None else quota,
    )


def _end(one: Try, now: int, report: ArchiveReport) -> Try:
    from archipec.custody.attempts import error_shape

    return one._replace(
        ended=now,
        running=False,
        exit_code=report.exit_code,
        errors=[error_shape(error) for error in report.errors],
    )
