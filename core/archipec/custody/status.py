"""What the ledger has of each pipeline: its last try and last success, its mailbox as last seen, its archives.

No server is contacted. Whether an archive's folder is in its place is checked where it is on this machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from archipec.config.pipeline import AD_HOC, Pipeline
from archipec.custody.attempts import is_running, places_of
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.copies import Overdue
from archipec.custody.ledger.runs import Attempt, RunRecord
from archipec.custody.ledger.schema import HELD
from archipec.custody.ledger.unsealed import UnsealedOriginal
from archipec.custody.marker import MARKER, read_marker
from archipec.errors import ATTENTION, DONE, PermanentError, counted, exit_code
from archipec.language import N_, _
from archipec.message import Json, Quota

__all__ = [
    "FULL",
    "MAX_AGE",
    "PENDING_AGE",
    "PipelineStatus",
    "SinkStatus",
    "Trouble",
    "Try",
    "fullness",
    "in_words",
    "statuses",
]

MAX_AGE: Final = 7 * 86_400
"""Seconds after which the last success of a pipeline that should run regularly is too old."""
PENDING_AGE: Final = 14 * 86_400
"""Seconds after which a deposit without a confirmation needs attention."""
FULL: Final = (90, 70)
"""Percent of a quota from which on the user is warned."""

_LOST = ("missing", "altered", "rejected", "failed")
_COUNTED = ("archive", "prune --yes", "verify", "settle")
"""Commands whose last failure counts until they succeed. Those that only look count as the very last try."""
_WITHOUT_END = N_("it did not end by itself: it was killed, or the machine stopped")


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """An archive, by the ledger.

    Attributes:
        held: messages that count as archived; size: their bytes. confirmed: those of them that are not pending.
        others: messages per other state: pending (also in ``held``), missing, altered, rejected, failed.
        reasons: copies that are pending or rejected, by why.
        pending_since: when the oldest pending copy was deposited, in Unix seconds.
        problem: why its folder is not what it was, empty when it is, or is on no disk of this machine.
        current: whether the pipeline still stores into it.
        overdue: what needs the user's attention, or a report that should have come.
    """

    where: str
    held: int
    size: int
    others: dict[str, int]
    reasons: dict[str, int]
    pending_since: int | None = None
    problem: str = ""
    current: bool = True
    overdue: tuple[Overdue, ...] = ()
    confirmed: int = 0
    confirmed_size: int = 0


class Trouble(NamedTuple):
    """What needs attention: ``kind`` for a program, ``about`` an archive's ``where`` or empty, ``since`` in Unix seconds."""

    kind: str
    about: str
    text: str
    since: int | None = None


class Try(NamedTuple):
    """An attempt as ``status`` shows it: ``exit_code`` is None while it runs and when it was killed.

    Attributes:
        but_settling: the exit code but for what sinks had still to confirm, None where there is no such thing.
        sinks: their ``where``.
        urls: of an ad hoc run, its options as they were typed, and the folder ("in").
    """

    command: str
    started: int
    ended: int | None
    running: bool
    exit_code: int | None
    errors: list[dict[str, Any]]
    but_settling: int | None = None
    sinks: frozenset[str] = frozenset()
    urls: dict[str, list[str]] | None = None

    @property
    def lines(self) -> list[str]:
        """What went wrong, a line each."""
        return [line for error in self.errors for line in error["error"]]

    @property
    def code(self) -> int:
        """The exit code it means for ``status``; what was interrupted needs attention, as ``status`` was not."""
        if self.running:
            return DONE
        return ATTENTION if self.exit_code in {None, 130} else self.exit_code or DONE

    def as_json(self) -> dict[str, Json]:
        """Return its JSON object."""
        return {
            "command": self.command,
            "started": _iso(self.started),
            "ended": _iso(self.ended),
            "running": self.running,
            "exit_code": self.exit_code,
            "error": list(self.lines),
            "hint": next((error["hint"] for error in self.errors if error["hint"]), ""),
        }


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """A pipeline, by the ledger.

    Attributes:
        configured: whether archipec.toml has it with this source; None when that does not exist or can't be read.
        counts: whether its failures count: not those of a typing error that was put right, nor of what was replaced.
        tries: the last by each command, the latest last.
        last_success: start of the last `archive` that reached its end, in Unix seconds.
        last_run: when `archive` last made a report, in Unix seconds; None when it never did.
        max_age: seconds after which the last success is too old, None for never.
        quota: as the server last reported it.
        loose: originals kept without the envelope that bears their seal, which has not come since; loose_since:
            when each was stored.
    """

    pipeline: str
    source: str
    configured: bool | None
    counts: bool
    now: int
    tries: tuple[Try, ...] = ()
    last_success: int | None = None
    last_run: int | None = None
    max_age: int | None = None
    stored: int = 0
    failed: int = 0
    left: int = 0
    messages: int = 0
    size: int = 0
    quota: Quota | None = None
    sinks: tuple[SinkStatus, ...] = ()
    loose: tuple[UnsealedOriginal, ...] = ()
    loose_since: dict[Any, int] = field(default_factory=dict)

    @property
    def last_try(self) -> Try | None:
        """The latest try by any command."""
        return self.tries[-1] if self.tries else None

    @property
    def never_worked(self) -> bool:
        """Whether nothing was ever archived from this source, as after a typing error in its address."""
        return self.last_success is None and not self.messages and not any(one.held for one in self.sinks)

    @property
    def failed_tries(self) -> list[Try]:
        """The tries that failed and were not put right since."""
        return [
            one
            for one in self.tries
            if one.code
            and (one is self.last_try or (one.command in _COUNTED and not self._is_put_right(one)))
        ]

    def _is_put_right(self, failed: Try) -> bool:
        """Return whether another command has since done what a failed one didn't: `archive` settles too."""
        archived, settled = (
            next((one for one in self.tries if one.command == command), None)
            for command in ("archive", "settle")
        )
        if failed is settled:
            return archived is not None and archived.code == DONE and archived.started >= failed.started
        if failed is not archived or settled is None or failed.but_settling != DONE:
            return False
        waiting = {one.where for one in self.sinks if one.others.keys() & {"pending", "rejected"}}
        asked = waiting & failed.sinks <= settled.sinks
        return settled.code == DONE and settled.started >= (failed.ended or failed.started) and asked

    @property
    def problems(self) -> list[Trouble]:
        """What needs attention beside failed tries and counts."""
        found = [
            Trouble(
                "archive-gone",
                one.where,
                _("the archive {where} {problem}").format(where=one.where, problem=one.problem),
            )
            for one in self.sinks
            if one.problem and one.current
        ]
        if not self.tries and self.last_run is None:
            found.append(Trouble("never-ran", "", _("it never ran")))
        if self.max_age is not None and self.last_success is not None:
            age = self.now - self.last_success
            if age > self.max_age:
                text = _("its last success is {age} old").format(age=in_words(age))
                found.append(Trouble("long-ago", "", text, self.last_success))
        found += [
            Trouble(
                "no-report",
                one.where,
                _("{where} has waited for a confirmation for {time}").format(
                    where=one.where, time=in_words(self.now - one.pending_since)
                ),
                one.pending_since,
            )
            for one in self.sinks
            if one.pending_since is not None and self.now - one.pending_since > PENDING_AGE
        ]
        return found

    @property
    def needs_attention(self) -> bool:
        """Whether a message is not where it should be, or something else needs attention."""
        return bool(
            self.failed
            or self.left
            or self.loose
            or (self.counts and self.problems)
            or any(set(sink.others) & set(_LOST) or sink.overdue for sink in self.sinks)
        )

    @property
    def exit_code(self) -> int:
        """The exit code of ``status`` for this pipeline: that of what failed last, or 3."""
        codes = [one.code for one in self.failed_tries] if self.counts else []
        return exit_code([*codes, ATTENTION if self.needs_attention else DONE])

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``status --json``."""
        quota, last = self.quota, self.last_try
        return {
            "pipeline": self.pipeline,
            "source": self.source,
            "configured": self.configured,
            "never_worked": self.never_worked,
            "counts": self.counts,
            "last_try": None if last is None else last.as_json(),
            "tries": [one.as_json() for one in self.tries],
            "last_success": _iso(self.last_success),
            "last_success_age": None if self.last_success is None else self.now - self.last_success,
            "exit_code": self.exit_code,
            "error": [line for one in self.failed_tries for line in one.lines],
            "problems": [one.text for one in self.problems],
            "last_run": _iso(self.last_run),
            "stored": self.stored,
            "failed": self.failed,
            "left": self.left,
            "messages": self.messages,
            "bytes": self.size,
            "quota": None if quota is None else {"used": quota.used, "limit": quota.limit},
            "sinks": [_sink_json(sink) for sink in self.sinks],
            "loose": [
                {
                    "sha256": one.key.sha256,
                    "message_id": one.message_id,
                    "folder": one.folder,
                    "ref": one.ref,
                    "since": _iso(self.loose_since.get(one.key)),
                }
                for one in self.loose
            ],
        }


def _sink_json(sink: SinkStatus) -> dict[str, Json]:
    return {
        "where": sink.where,
        "held": sink.held,
        "confirmed": sink.confirmed,
        "bytes": sink.size,
        **sink.others,
        **({"reasons": {**sink.reasons}} if sink.reasons else {}),
        **({"pending_since": _iso(sink.pending_since)} if sink.pending_since is not None else {}),
        **({"overdue": [_overdue_json(one) for one in sink.overdue]} if sink.overdue else {}),
        "problem": sink.problem,
        "current": sink.current,
    }


def _overdue_json(one: Overdue) -> dict[str, Json]:
    return {"count": one.copies, "since": _iso(one.since), "reason": one.reason}


def fullness(quota: Quota | None) -> int:
    """Return which percentage of `FULL` a mailbox has reached, 0 for none."""
    if quota is None or not quota.limit:
        return 0
    return next((one for one in FULL if 100 * quota.used >= one * quota.limit), 0)


def in_words(seconds: int) -> str:
    """Return a span of time in its largest whole unit."""
    if seconds < 60:
        return _("less than a minute")
    if seconds < 3_600:
        return counted(seconds // 60, "minute")
    if seconds < 86_400:
        return counted(seconds // 3_600, "hour")
    return counted(seconds // 86_400, "day")


def _iso(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def statuses(
    ledger: Ledger,
    state: Path,
    configured: Sequence[Pipeline] | None,
    now: int,
    max_age: int | None = None,
) -> list[PipelineStatus]:
    """Return the status of every pipeline that is configured or was ever tried.

    Those configured come first, in their order, then the others by name; what never worked comes last.

    Args:
        state: the folder of the ledger.
        configured: the pipelines of archipec.toml, None when that does not exist or can't be read.
        now: in Unix seconds.
        max_age: seconds after which a last success is too old; None: `MAX_AGE` for those that are configured and for
            servers, never for files, which are often archived once.
    """
    return _Statuses(ledger, state, configured, now, max_age).all()


class _Statuses:
    def __init__(
        self,
        ledger: Ledger,
        state: Path,
        configured: Sequence[Pipeline] | None,
        now: int,
        max_age: int | None,
    ) -> None:
        self._ledger = ledger
        self._state = state
        self._configured = {(one.name, one.source.where): one for one in configured or ()}
        self._is_known = configured is not None
        self._now = now
        self._max_age = max_age
        self._runs = {(run.pipeline, run.source): run for run in ledger.runs.last_runs()}
        self._archived = ledger.runs.last_archived()
        self._tries: defaultdict[tuple[str, str], list[Attempt]] = defaultdict(list)
        self._archives = ledger.runs.archives()
        self._roots = ledger.runs.roots()
        self._collect(ledger.runs.last_attempts())

    def _collect(self, attempts: Iterable[Attempt]) -> None:
        """Sort attempts by pipeline and source; one whose source the configuration did not tell goes by its name."""
        current = dict((*self._runs, *self._archived))
        unplaced = []
        for one in attempts:
            if one.source:
                current[one.pipeline] = one.source
                self._tries[one.pipeline, one.source].append(one)
            else:
                unplaced.append(one)
        current |= dict(self._configured)
        for one in unplaced:
            tries = self._tries[one.pipeline, current.get(one.pipeline, "")]
            # Of one command only the later counts.
            same = [other for other in tries if other.command == one.command]
            tries[:] = [other for other in tries if other.command != one.command]
            tries.append(max([*same, one], key=_at))
        for tries in self._tries.values():
            tries.sort(key=_at)
        for pipeline in self._configured.values():
            self._roots |= {place.where: place.root for place in places_of(pipeline.sinks)}

    def all(self) -> list[PipelineStatus]:
        keys = dict.fromkeys([*self._configured, *sorted({*self._runs, *self._tries})])
        found = [self._status(name, source) for name, source in keys]
        return sorted(
            found, key=lambda one: (not one.configured and one.never_worked, one.configured is False)
        )

    def _status(self, name: str, source: str) -> PipelineStatus:
        pipeline = self._configured.get((name, source))
        run = self._runs.get((name, source))
        success = self._archived.get((name, source))
        configured = None if name == AD_HOC or not self._is_known else pipeline is not None
        tries = tuple(self._try(one) for one in self._tries.get((name, source), ()))
        # A first run that has not ended, or was killed, has no report yet; what it stored is there.
        number = self._ledger.sources.find(source)
        max_age = self._max_age
        if max_age is None and (configured or "://" in source):
            max_age = MAX_AGE
        quota = None if number is None else self._ledger.runs.last_quota(number)
        sinks = [] if number is None else self._sinks_of(number, name, source)
        numbers = [each for each, _ in sinks]
        loose = self._ledger.unsealed.without_envelope(numbers)
        messages, size = (0, 0) if number is None else self._ledger.sources.counts(number)
        return PipelineStatus(
            pipeline=name,
            source=source,
            configured=configured,
            counts=configured is not False and not self._is_corrected(name, success),
            now=self._now,
            tries=tries,
            last_success=None if success is None else success.started,
            max_age=max_age,
            messages=messages,
            size=size,
            quota=None if quota is None else quota[1],
            sinks=tuple(self._sink(each, where, name, source) for each, where in sinks),
            loose=tuple(loose),
            loose_since=self._ledger.runs.kept_since(numbers, [one.key for one in loose]) if loose else {},
            **_counts(run),
        )

    def _is_corrected(self, name: str, success: Attempt | None) -> bool:
        """Return whether an ad hoc source that never worked was a typing error: a later ad hoc run did work."""
        if name != AD_HOC or success is not None:
            return False
        return any(other == AD_HOC for other, _ in self._archived)

    def _try(self, one: Attempt) -> Try:
        running = is_running(one, self._state)
        errors = one.errors
        if one.ended is None and not running:
            errors = [{"error": [_(_WITHOUT_END)], "hint": _("run it again: it goes on where it stopped")}]
        sinks = frozenset(place.where for place in one.sinks)
        return Try(
            one.command,
            one.started,
            one.ended,
            running,
            one.exit_code,
            errors,
            one.but_settling,
            sinks,
            one.urls,
        )

    # -- archives ------------------------------------------------------------------------------

    def _current(self, name: str, source: str) -> set[str]:
        """Return where a pipeline stores now: as configured, or as its last run was given."""
        pipeline = self._configured.get((name, source))
        if pipeline is not None:
            return {sink.where for sink in pipeline.sinks}
        tries = [one for one in self._tries.get((name, source), ()) if one.command == "archive"]
        return {place.where for one in tries[-1:] for place in one.sinks}

    def _sinks_of(self, number: int, name: str, source: str) -> list[tuple[int, str]]:
        """Return the archives of a pipeline: with several pipelines of one source, only its own."""
        sinks = self._ledger.copies.sinks_of(number)
        others = {
            where
            for key in {*self._configured, *self._tries}
            if key[1] == source and key[0] != name
            for where in self._current(*key)
        }
        own = self._current(name, source)
        return [(each, where) for each, where in sinks if where in own or where not in others]

    def _sink(self, number: int, where: str, name: str, source: str) -> SinkStatus:
        holdings = self._ledger.copies.holdings(number)
        own = self._current(name, source)
        problem, moved = self._problem(where)
        return SinkStatus(
            where,
            sum(holdings[state][0] for state in HELD if state in holdings),
            sum(holdings[state][1] for state in HELD if state in holdings),
            {state: holdings[state][0] for state in ("pending", *_LOST) if state in holdings},
            {reason: copies for _, reason, copies in self._ledger.copies.reasons(number) if reason},
            self._ledger.runs.pending_since(number),
            problem,
            (where in own or not own) and not moved,
            tuple(self._ledger.copies.overdue(number, self._now)),
            *holdings.get("stored", (0, 0)),
        )

    def _problem(self, where: str) -> tuple[str, bool]:
        """Say what is wrong with the place of an archive, and whether it was moved to that of another."""
        root, known = self._roots.get(where), self._archives.get(where, "")
        if root is None or not known:
            return "", False
        problem = _problem_at(Path(root), known)
        if problem:
            for other, identity in self._archives.items():
                moved = self._roots.get(other)
                if identity == known and other != where and moved and not _problem_at(Path(moved), known):
                    return _("was moved to {path}").format(path=moved), True
        return problem, False


def _problem_at(root: Path, known: str) -> str:
    try:
        if not root.exists():
            return _("is not there: was it moved or deleted, or is the disk not connected?")
        found = read_marker(root)
    except (OSError, PermanentError) as error:
        return _("can't be read: {error}").format(error=error)
    if not found:
        return _("is not there: {root} has no {marker}").format(root=root, marker=MARKER)
    return "" if found == known else _("is not there: another archive stands in {root}").format(root=root)


def _at(one: Attempt) -> tuple[int, int]:
    return (one.started if one.ended is None else one.ended, one.id)


def _counts(run: RunRecord | None) -> Mapping[str, Any]:
    if run is None:
        return {}
    return {"last_run": run.started} | {name: run.report[name] for name in ("stored", "failed", "left")}
