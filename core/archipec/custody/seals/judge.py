"""The seals of what is stored: an analysis, whose answers are verdicts. (What judges is in `analyzer`.)

Storing never waits for it, and what an interrupted run left unjudged the next one judges.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from archipec.config.pipeline import Pipeline
from archipec.contract import Sink
from archipec.custody.analysis.analyzer import Analysis, Analyzer, Answer
from archipec.custody.analysis.pool import AnalysisPool
from archipec.custody.analysis.stored import analyze_stored, read_messages
from archipec.custody.ledger import Copy, Ledger
from archipec.custody.ledger.unsealed import ENVELOPE_MISSING
from archipec.custody.run import Cancellation, Run, now
from archipec.custody.verdict import Verdict
from archipec.durability import make_directory, read_named, write_file
from archipec.errors import from_os_error
from archipec.message import Receipt
from archipec.pec.anchors import Anchors, TrustFiles
from archipec.pec.seal import Status

__all__ = ["Judges", "SealAnalysis"]

_LISTS = "lists"
_LARGEST_LIST = 64 << 20  # bytes; larger ones were refused when they were read
_UNDONE = "the message can't be judged: the program that tried failed at it, ended or took too long"


class _Judging(Analysis):
    """Verdicts by the roots of PEC and what the user trusts besides.

    Args:
        on_verdict: called with the status of each seal, by any thread, one at a time.
    """

    undone = "the seals can't be judged"

    def __init__(self, trust: TrustFiles, on_verdict: Callable[[str], None]) -> None:
        self._trust = trust
        self._on_verdict = on_verdict

    def prepare(self) -> Analyzer:
        """Read whom to trust."""
        return Analyzer(factory="archipec.custody.seals.analyzer:make_judge", settings=self._load())

    def _load(self) -> Anchors:
        return self._trust.load()

    def record(self, answers: Sequence[Answer]) -> None:
        """Count the verdicts."""
        for _, answer in answers:
            self._on_verdict(_verdict(answer).status)


class SealAnalysis(_Judging):
    """Verdicts on what a ledger's archives hold, recorded in the ledger.

    Args:
        state: the folder in which the lists are kept that verdicts rest on.
    """

    def __init__(
        self, trust: TrustFiles, ledger: Ledger, state: Path, on_verdict: Callable[[str], None]
    ) -> None:
        super().__init__(trust, on_verdict)
        self._ledger = ledger
        self._state = state

    def _load(self) -> Anchors:
        anchors = super()._load()
        _keep_lists(self._trust, anchors, self._state)
        return anchors

    def record(self, answers: Sequence[Answer]) -> None:
        """Record the verdicts, and count them."""
        verdicts = [(content, _verdict(answer)) for content, answer in answers]
        self._ledger.verdicts.record(_completed(verdicts, self._ledger), now())
        for _, verdict in verdicts:
            self._on_verdict(verdict.status)

    def lacking(self, sink: int, after: int, limit: int) -> list[Copy]:
        """Return what has no verdict."""
        return self._ledger.verdicts.unjudged(sink, after, limit)


class _SealsAgain(SealAnalysis):
    """Verdicts on everything, whatever is recorded: each message once."""

    def __init__(
        self, trust: TrustFiles, ledger: Ledger, state: Path, on_verdict: Callable[[str], None]
    ) -> None:
        super().__init__(trust, ledger, state, on_verdict)
        self._sinks: list[int] = []

    def begin(self) -> None:
        """Begin with other archives."""
        self._sinks.clear()

    def lacking(self, sink: int, after: int, limit: int) -> list[Copy]:
        """Return what none of the sinks holds that were asked about before."""
        if sink not in self._sinks:
            self._sinks.append(sink)
        before = self._sinks[: self._sinks.index(sink)]
        return self._ledger.verdicts.held_first(sink, before, after, limit)


class Judges:
    """Workers that judge one archive after the other, for as long as these trust the same: to start them takes longer
    than to judge hundreds of messages.

    A context: no worker outlives it. One thread uses it.
    """

    def __init__(self, stop: Cancellation) -> None:
        self._stop = stop
        self._trust: TrustFiles | None = None
        self._analysis: _Judging | None = None
        self._pool: AnalysisPool | None = None
        self._on_verdict: Callable[[str], None] = _uncounted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._dismiss()

    def judge_again(self, pipeline: Pipeline, run: Run[Any], on_verdict: Callable[[str], None]) -> None:
        """Judge everything held by the pipeline's archives, once, whatever verdict is recorded.

        A recorded verdict gives way to the new one unless it is "valid": what was proven once stays proven.

        Args:
            on_verdict: called with the status of each seal.

        Raises:
            ArchipecError: a certificate to trust can't be read, a sink can't be opened, there is no worker process.
        """
        analysis, pool = self._with(
            pipeline.trust,
            lambda count: _SealsAgain(pipeline.trust, run.ledger, run.state, count),
            on_verdict,
        )
        assert isinstance(analysis, _SealsAgain)
        analysis.begin()
        analyze_stored([analysis], pool, pipeline.archives, run)
        self._raise_first(pool)

    def judge_archive(
        self,
        sink: Sink,
        receipts: Iterable[Receipt],
        temp: Path,
        trust: TrustFiles,
        on_verdict: Callable[[str], None],
    ) -> None:
        """Judge what an archive holds by its own account, without a ledger. Errors as of `judge_again`."""
        _, pool = self._with(trust, lambda count: _Judging(trust, count), on_verdict)
        pool.feed(read_messages(sink, enumerate(receipts), temp), (0,))
        pool.finish()
        self._raise_first(pool)

    def _with(
        self,
        trust: TrustFiles,
        make: Callable[[Callable[[str], None]], _Judging],
        on_verdict: Callable[[str], None],
    ) -> tuple[_Judging, AnalysisPool]:
        """Return the workers that trust these files: those at hand, or others."""
        if self._analysis is None or self._pool is None or trust != self._trust:
            self._dismiss()
            self._trust = trust
            self._analysis = make(lambda status: self._on_verdict(status))
            self._pool = AnalysisPool([self._analysis], self._stop)
        self._on_verdict = on_verdict
        return self._analysis, self._pool

    def _raise_first(self, pool: AnalysisPool) -> None:
        for error in pool.errors:
            self._dismiss()
            raise error

    def _dismiss(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            with pool:  # whose end is that of its workers
                pass


def _uncounted(_status: str) -> None:
    return None


def _keep_lists(trust: TrustFiles, anchors: Anchors, state: Path) -> None:
    """Keep the lists that verdicts will rest on, so that each can be judged again by the lists of its time.

    They go into ``lists`` in the state folder, each named by the SHA-256 by which `basis` of a verdict names it: the
    trusted lists as they are, the lists of revoked certificates as DER.

    Raises:
        ArchipecError: one can't be read, or kept.
    """
    folder = state / _LISTS
    try:
        for data in (*(read_named(path, _LARGEST_LIST) for path in trust.lists), *anchors.crls):
            kept = folder / hashlib.sha256(data).hexdigest()
            if not kept.exists():
                make_directory(folder)
                write_file(kept, data)
    except OSError as error:
        raise from_os_error(error, error.filename or folder) from error


def _verdict(answer: Any) -> Verdict:
    if answer is not None:
        return Verdict(*answer)
    status = str(Status.MALFORMED)
    return Verdict.of(status, "unknown", None, {"seal": {"status": status, "reason": _UNDONE}})


def _completed(verdicts: Sequence[tuple[int, Verdict]], ledger: Ledger) -> Iterator[tuple[int, Verdict]]:
    """Give the reason a message alone can't know: that its seal stayed behind with its envelope."""
    loose = ledger.unsealed.among([content for content, _ in verdicts])
    for content, verdict in verdicts:
        if content in loose and verdict.status == Status.UNSIGNED:
            record = json.loads(verdict.record)
            record["seal"]["reason"] = ENVELOPE_MISSING
            yield content, verdict._replace(record=json.dumps(record))
        else:
            yield content, verdict
