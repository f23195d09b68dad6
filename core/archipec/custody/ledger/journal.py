"""When pipelines and their post-steps ran, and with what outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from archipec.custody.ledger.database import Database
from archipec.message import Json, Quota

__all__ = ["Journal", "Run"]


class Run(NamedTuple):
    """A finished run: ``started`` in Unix seconds, ``report`` as ``archive --json`` printed it."""

    pipeline: str
    source: str
    started: int
    report: dict[str, Any]


class Journal(Database):
    """The part of the ledger that tells of runs."""

    def record_run(
        self, pipeline: str, source: int, started: int, report: Mapping[str, Json], quota: Quota | None
    ) -> None:
        """Keep the report of a finished run, and how full the source then was."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO run (pipeline, source, started, report, quota_used, quota_limit)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    pipeline,
                    source,
                    started,
                    json.dumps(report),
                    None if quota is None else quota.used,
                    None if quota is None else quota.limit,
                ),
            )

    def last_runs(self) -> list[Run]:
        """Return the last run of each pipeline, by name."""
        rows = self._rows(
            "SELECT r.pipeline, s.place, r.started, r.report FROM run r JOIN source s ON s.id = r.source"
            " WHERE r.id IN (SELECT max(id) FROM run GROUP BY pipeline, source) ORDER BY r.pipeline"
        )
        return [Run(name, place, started, json.loads(report)) for name, place, started, report in rows]

    def last_quota(self, source: int) -> tuple[int, Quota] | None:
        """Return how full a source was when it last told, and when that was."""
        rows = self._rows(
            "SELECT started, quota_used, quota_limit FROM run"
            " WHERE source = ? AND quota_limit IS NOT NULL ORDER BY id DESC LIMIT 1",
            (source,),
        )
        return (int(rows[0][0]), Quota(rows[0][1], rows[0][2])) if rows else None

    def step_done(self, pipeline: str, step: str) -> int:
        """Return when the run began that a post-step last succeeded after, 0 when it never did."""
        rows = self._rows("SELECT done FROM step WHERE pipeline = ? AND place = ?", (pipeline, step))
        return int(rows[0][0]) if rows else 0

    def record_step(self, pipeline: str, step: str, done: int) -> None:
        """Put on record that a post-step succeeded."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO step (pipeline, place, done) VALUES (?, ?, ?)"
                " ON CONFLICT (pipeline, place) DO UPDATE SET done = excluded.done",
                (pipeline, step, done),
            )
