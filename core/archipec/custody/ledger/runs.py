"""When pipelines and their post-steps ran, and with what outcome."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from archipec.custody.ledger.database import LedgerTable
from archipec.custody.ledger.schema import UNSETTLED
from archipec.errors import ATTENTION, DONE
from archipec.message import ContentKey, Json, Quota

__all__ = ["Attempt", "AttemptSink", "AttemptSubject", "RunRecord", "Runs"]

_ATTEMPT = (
    "SELECT id, pipeline, source, command, started, ended, exit_code, errors, sinks, urls, lock, but_settling,"
    " counts FROM attempt"
)
_ATTEMPT_COLUMNS = "integer text text text time time? integer? text text text? text integer? text"
_ERRORS = [{"error": [str], "hint": str}]
_REPORT = dict.fromkeys(("stored", "failed", "left"), int)


class RunRecord(NamedTuple):
    """A finished run: ``started`` in Unix seconds, ``report`` as ``archive --json`` printed it."""

    pipeline: str
    source: str
    started: int
    report: dict[str, Any]


class AttemptSink(NamedTuple):
    """A sink as an attempt was given it; ``root`` is its directory on this machine, None where it has none."""

    name: str
    where: str
    root: str | None


class AttemptSubject(NamedTuple):
    """What is tried. ``urls``: as typed, of an ad hoc run."""

    pipeline: str
    source: str
    sinks: Sequence[AttemptSink] = ()
    urls: Mapping[str, Sequence[str]] | None = None


class Attempt(NamedTuple):
    """A try of a pipeline, whatever came of it.

    Attributes:
        source: its ``where``, empty when the configuration did not tell.
        command: ``archive``, ``prune --yes``, ...
        started, ended: in Unix seconds; ``ended`` is None while it runs, and for ever when it was killed.
        exit_code: None until it ended.
        errors: ``{"error": [LINE...], "hint", "exit_code"}`` each.
        urls: of an ad hoc run, its options as they were typed: ``{"from": [URL], "to": [URL...]}``.
        lock: name of the lock file that is held while it runs.
        but_settling: the exit code but for what sinks had still to confirm, None where there is no such thing.
        counts: what it did, in numbers: ``stored``, ``failed``, ...
    """

    id: int
    pipeline: str
    source: str
    command: str
    started: int
    ended: int | None
    exit_code: int | None
    errors: list[dict[str, Any]]
    sinks: list[AttemptSink]
    urls: dict[str, list[str]] | None
    lock: str
    but_settling: int | None
    counts: dict[str, int]

    @property
    def done(self) -> bool:
        """Whether it reached its end: what then needs the user's attention is no failure of the run."""
        return self.exit_code in {DONE, ATTENTION}


class Runs(LedgerTable):
    """The part of the ledger that tells of attempts and runs."""

    def begin_attempt(self, subject: AttemptSubject, command: str, started: int, lock: str = "") -> int:
        """Record that a pipeline is tried, and return the attempt's number.

        Args:
            started: Unix seconds.
            lock: name of the lock file that is held while it runs.
        """
        with self._db.transaction() as db:
            return int(
                db.execute(
                    "INSERT INTO attempt (pipeline, source, command, started, sinks, urls, lock)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
                    (
                        subject.pipeline,
                        subject.source,
                        command,
                        started,
                        json.dumps(subject.sinks),
                        None if subject.urls is None else json.dumps(subject.urls),
                        lock,
                    ),
                ).fetchone()[0]
            )

    def end_attempt(
        self,
        number: int,
        ended: int,
        exit_code: int,
        errors: Sequence[Mapping[str, Json]],
        but_settling: int | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Record what came of an attempt.

        Args:
            but_settling: the exit code but for what sinks had still to confirm; None where there is no such thing.
            counts: what it did, in numbers.
        """
        with self._db.transaction() as db:
            db.execute(
                "UPDATE attempt SET ended = ?, exit_code = ?, errors = ?, but_settling = ?, counts = ? WHERE id = ?",
                (ended, exit_code, json.dumps(errors), but_settling, json.dumps(dict(counts or {})), number),
            )

    def attempts(self, pipelines: Collection[str] = (), since: int = 0, limit: int = -1) -> list[Attempt]:
        """Return attempts, the latest first.

        Args:
            pipelines: their names; none for all.
            since: Unix seconds; what began before is left out.
            limit: how many at most; negative for all.
        """
        rows = self._db.rows(
            f"{_ATTEMPT} WHERE started >= ?1 AND (?2 = '[]' OR pipeline IN (SELECT value FROM json_each(?2)))"
            " ORDER BY id DESC LIMIT ?3",
            (since, json.dumps(list(pipelines)), limit),
            _ATTEMPT_COLUMNS,
        )
        return [self._attempt(row) for row in rows]

    def names(self) -> list[str]:
        """Return the name of every pipeline that was ever tried."""
        rows = self._db.rows("SELECT DISTINCT pipeline FROM attempt ORDER BY pipeline", (), "text")
        return [name for (name,) in rows]

    def last_attempts(self) -> list[Attempt]:
        """Return the last attempt by each command of each pipeline and source, in the order in which they ended."""
        rows = self._db.rows(
            f"{_ATTEMPT} WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER"
            " (PARTITION BY pipeline, source, command ORDER BY coalesce(ended, started) DESC, id DESC) AS place"
            " FROM attempt) WHERE place = 1) ORDER BY coalesce(ended, started), id",
            columns=_ATTEMPT_COLUMNS,
        )
        return [self._attempt(row) for row in rows]

    def last_archived(self) -> dict[tuple[str, str], Attempt]:
        """Return, by pipeline and source, the last `archive` that reached its end."""
        rows = self._db.rows(
            f"{_ATTEMPT} WHERE id IN (SELECT max(id) FROM attempt WHERE command = 'archive'"
            f" AND exit_code IN ({DONE}, {ATTENTION}) GROUP BY pipeline, source)",
            columns=_ATTEMPT_COLUMNS,
        )
        return {(one.pipeline, one.source): one for one in map(self._attempt, rows)}

    def ended(
        self, pipeline: str, source: str, span: tuple[float | None, float | None], limit: int
    ) -> tuple[int, int, list[Attempt]]:
        """Return how often `archive` was begun and reached its end, and the newest attempts by any command that did not.

        Args:
            span: first second of their beginning, and the one after the last; None for no limit.
            limit: how many of those that failed.
        """
        first, end = span
        values = (pipeline, source, -(1 << 62) if first is None else first, 1 << 62 if end is None else end)
        which = "pipeline = ?1 AND source IN (?2, '') AND started >= ?3 AND started < ?4"
        done = f"exit_code IN ({DONE}, {ATTENTION})"
        ((begun, succeeded),) = self._db.rows(
            f"SELECT count(*), coalesce(sum(exit_code IS NOT NULL AND {done}), 0) FROM attempt"
            f" WHERE {which} AND command = 'archive'",
            values,
            "integer integer",
        )
        rows = self._db.rows(
            f"{_ATTEMPT} WHERE {which} AND ended IS NOT NULL AND NOT {done} ORDER BY id DESC LIMIT {int(limit)}",
            values,
            _ATTEMPT_COLUMNS,
        )
        return begun, succeeded, [self._attempt(row) for row in rows]

    def roots(self) -> dict[str, str | None]:
        """Return the directory of each sink that was ever tried, by its ``where``; None where it has none."""
        rows = self._db.rows("SELECT sinks FROM attempt GROUP BY sinks ORDER BY max(id)", (), "text")
        return {place.where: place.root for (sinks,) in rows for place in self._sinks(sinks)}

    def _sinks(self, text: str) -> list[AttemptSink]:
        places = self._db.parse_json(text, [[(str, type(None))]])
        return [AttemptSink(*one) for one in self._db.checked(places, "text text text?")]

    def _attempt(self, row: Sequence[Any]) -> Attempt:
        (
            number,
            pipeline,
            source,
            command,
            started,
            ended,
            code,
            errors,
            sinks,
            urls,
            lock,
            settling,
            counts,
        ) = row
        return Attempt(
            number,
            pipeline,
            source,
            command,
            started,
            ended,
            code,
            self._db.parse_json(errors, _ERRORS),
            self._sinks(sinks),
            None if urls is None else self._db.parse_json(urls, {str: [str]}),
            lock,
            settling,
            self._db.parse_json(counts, {str: int}),
        )

    def has_copies(self, where: str) -> bool:
        """Return whether any copy was ever promised by the sink at ``where``; the ledger need not know the sink."""
        return bool(
            self._db.rows(
                "SELECT 1 FROM tally WHERE sink = (SELECT id FROM sink WHERE place = ?) AND messages AND state IN"
                " ('stored', 'pending', 'missing', 'altered')",
                (where,),
            )
        )

    def archives(self) -> dict[str, str]:
        """Return the identity of each archive that was ever seen, by its sink's ``where``."""
        return dict(self._db.rows("SELECT place, archive FROM sink WHERE archive != ''", (), "text text"))

    def pending_since(self, sink: int) -> int | None:
        """Return when the oldest copy was deposited that a sink has not confirmed, in Unix seconds."""
        query = f"SELECT min(stored) FROM copy WHERE sink = ? AND state = 'pending' AND {UNSETTLED}"
        ((since,),) = self._db.rows(query, (sink,), "time?")
        return None if since is None else int(since)

    def kept_since(self, sinks: Sequence[int], contents: Sequence[ContentKey]) -> dict[ContentKey, int]:
        """Return when each content was first stored in any of these sinks, in Unix seconds."""
        rows = self._db.rows(
            "SELECT t.sha256, t.size, min(c.stored) FROM copy c JOIN content t ON t.id = c.content"
            " WHERE c.sink IN (SELECT value FROM json_each(?)) AND c.stored IS NOT NULL"
            " AND t.sha256 IN (SELECT value FROM json_each(?)) GROUP BY t.id",
            (json.dumps(list(sinks)), json.dumps([key.sha256 for key in contents])),
            "sha256 integer time",
        )
        return {ContentKey(digest, size): int(stored) for digest, size, stored in rows}

    def record_run(
        self, pipeline: str, source: int, started: int, report: Mapping[str, Json], quota: Quota | None
    ) -> None:
        """Keep the report of a finished run, and how full the source then was."""
        with self._db.transaction() as db:
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

    def last_runs(self) -> list[RunRecord]:
        """Return the last run of each pipeline, by name."""
        rows = self._db.rows(
            "SELECT r.pipeline, s.place, r.started, r.report FROM run r JOIN source s ON s.id = r.source"
            " WHERE r.id IN (SELECT max(id) FROM run GROUP BY pipeline, source) ORDER BY r.pipeline",
            columns="text text time text",
        )
        return [
            RunRecord(name, place, started, self._db.parse_json(report, _REPORT))
            for name, place, started, report in rows
        ]

    def last_quota(self, source: int) -> tuple[int, Quota] | None:
        """Return how full a source last said it was, and when that was (Unix seconds)."""
        rows = self._db.rows(
            "SELECT started, quota_used, quota_limit FROM run"
            " WHERE source = ? AND quota_limit IS NOT NULL ORDER BY id DESC LIMIT 1",
            (source,),
            "time integer integer",
        )
        return (int(rows[0][0]), Quota(rows[0][1], rows[0][2])) if rows else None

    def step_done(self, pipeline: str, step: str) -> int:
        """Return when the run began that a post-step last succeeded after, 0 when it never did."""
        query = "SELECT done FROM step WHERE pipeline = ? AND place = ?"
        rows = self._db.rows(query, (pipeline, step), "time")
        return int(rows[0][0]) if rows else 0

    def record_step(self, pipeline: str, step: str, done: int) -> None:
        """Record that a post-step succeeded."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO step (pipeline, place, done) VALUES (?, ?, ?)"
                " ON CONFLICT (pipeline, place) DO UPDATE SET done = excluded.done",
                (pipeline, step, done),
            )
