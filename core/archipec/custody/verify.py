"""Reads every stored copy back and compares it with the ledger, or with the archive's own record.

A copy found missing or damaged no longer counts as held: the next run fetches it again while the source has it.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.contract import Sink, SinkType, SupportsCheck, SupportsFinish, SupportsIterate
from archipec.custody.ledger.schema import PROMISED
from archipec.custody.readahead import read_back_each
from archipec.custody.readback import MISSING, OK, Medium
from archipec.custody.run import Cancellation, Run, now, open_endpoint
from archipec.custody.standalone import open_standalone
from archipec.errors import (
    ArchipecError,
    IntegrityError,
    MissingCopy,
    Unsupported,
    exit_code,
    from_os_error,
)
from archipec.inventory import NAME, last_summary
from archipec.language import _
from archipec.message import ContentKey, Json, Receipt, State
from archipec.pec.anchors import TrustFiles

# Slow to import, and not every verification judges.
if TYPE_CHECKING:
    from archipec.custody.seals.judge import Judges

__all__ = ["Finding", "VerifyReport", "verify", "verify_archive"]

T = TypeVar("T")

_PAGE = 1000


class Finding(NamedTuple):
    """A copy that is not what it should be."""

    sink: str
    key: ContentKey
    verdict: str
    reason: str


@dataclass(slots=True)
class VerifyReport:
    """The outcome of ``verify``, in copies: checked = ok + missing + altered + confirmed.

    Attributes:
        expected: copies to be checked, as far as known; ``expected_size``: their bytes; ``size``: bytes of those checked.
        seals: messages per status of their seal.
        views: names of the views, whose copies other programs may change: they are not verified.
        notes: what else the user should know of an archive, and is no damage.
    """

    pipeline: str
    expected: int = 0
    expected_size: int = 0
    size: int = 0
    checked: int = 0
    ok: int = 0
    missing: int = 0
    altered: int = 0
    confirmed: int = 0
    seals: Counter[str] = field(default_factory=Counter)
    views: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[ArchipecError] = field(default_factory=list)
    _missing: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def exit_code(self) -> int:
        """The exit code this outcome means."""
        lost = IntegrityError.exit_code if self.missing or self.altered else 0
        return exit_code([lost, *(error.exit_code for error in self.errors)])

    @property
    def counts(self) -> dict[str, int]:
        """What was done, in copies."""
        return {"checked": self.checked, "missing": self.missing, "altered": self.altered}

    def count(self, sink: str, key: ContentKey, verdict: str, reason: str) -> None:
        """Count a copy that was read back."""
        with self._lock:
            self.checked += 1
            self.size += key.size
            if verdict == OK:
                self.ok += 1
                return
            if verdict == MISSING:
                self.missing += 1
                self._missing[sink].add(key.sha256)
            else:
                self.altered += 1
            self.findings.append(Finding(sink, key, verdict, reason))

    def count_problem(self, sink: str, problem: ArchipecError) -> None:
        """Count what an archive says is wrong with it as a whole: a copy it lost, unless that is counted already."""
        with self._lock:
            if not isinstance(problem, MissingCopy):
                self.errors.append(problem)
            elif problem.key is None:
                self.errors.append(problem)
                self.checked += problem.copies
                self.missing += problem.copies
            elif problem.key.sha256 not in self._missing[sink]:
                self.checked += 1
                self.missing += 1
                self.findings.append(Finding(sink, problem.key, MISSING, problem.message))

    def count_confirmed(self, receipt: Receipt) -> None:
        """Count a copy that its keeper confirmed and can't give back.

        Raises:
            Unsupported: it was never confirmed.
        """
        if receipt.state is not State.STORED:
            raise Unsupported(_("{key} can't be read back, and is not confirmed").format(key=receipt.key))
        with self._lock:
            self.checked += 1
            self.size += receipt.key.size
            self.confirmed += 1

    def count_seal(self, status: str) -> None:
        """Count the verdict on a message."""
        self.seals[status] += 1

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``verify --json``."""
        return {
            "pipeline": self.pipeline,
            "checked": self.checked,
            "ok": self.ok,
            "missing": self.missing,
            "altered": self.altered,
            **({"confirmed": self.confirmed} if self.confirmed else {}),
            "seals": dict(sorted(self.seals.items())),
            "views": self.views,
            "findings": [
                {"sink": one.sink, "sha256": one.key.sha256, "verdict": one.verdict, "reason": one.reason}
                for one in self.findings
            ],
            **({"notes": self.notes} if self.notes else {}),
        }


def verify(pipeline: Pipeline, run: Run[VerifyReport], judges: Judges | None = None) -> VerifyReport:
    """Read back every copy the pipeline's archives should hold, the sinks side by side, and record what was found.

    Args:
        judges: judge then, if the pipeline judges seals, those of everything held, each message once; None: don't.
    """
    report = VerifyReport(pipeline.name)
    report.views = [sink.name for sink in pipeline.sinks if sink.record.view]
    with ExitStack() as held:
        threads = []
        for sink in pipeline.archives:
            try:
                number = run.claim(sink, held)
                spooled = held.enter_context(run.spool(sink.where))
            except ArchipecError as error:
                report.errors.append(error)
                continue
            for state, (copies, size) in run.ledger.copies.holdings(number).items():
                if state in PROMISED:
                    report.expected += copies
                    report.expected_size += size
            threads.append(
                threading.Thread(
                    target=_check_sink,
                    args=(sink, number, spooled, report),
                    name=f"verify-{sink.name}",
                    daemon=True,
                )
            )
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if judges is not None and pipeline.seals and threads and not run.stop.is_set():
            try:
                spooled = held.enter_context(run.spool(f"judging {pipeline.source.where}"))
                judges.judge_again(pipeline, spooled, report.count_seal)
            except ArchipecError as error:
                report.errors.append(error)
    return report


def _check_sink(
    endpoint: Endpoint[SinkType[Any]], number: int, run: Run[VerifyReport], report: VerifyReport
) -> None:
    """Compare one sink with the ledger; runs in a thread of its own."""
    try:
        with open_endpoint(endpoint, replace(run.context(endpoint), compares=True)) as sink:
            _check_copies(endpoint, sink, number, run, report)
            _check_whole(endpoint, sink, run.stop, report)
    except ArchipecError as error:
        report.errors.append(error)


def _check_copies(
    endpoint: Endpoint[SinkType[Any]], sink: Sink, number: int, run: Run[VerifyReport], report: VerifyReport
) -> None:
    last, medium = 0, Medium()
    while copies := run.ledger.copies.in_states(number, PROMISED, last, _PAGE):
        last = copies[-1].content
        contents = {copy.receipt.key: copy.content for copy in copies}
        verdicts = []
        receipts = _until(run.stop, (copy.receipt for copy in copies))
        with closing(read_back_each(sink, receipts, medium)) as found:
            for receipt, each in found:
                if isinstance(each, Unsupported):
                    report.count_confirmed(receipt)
                    continue
                report.count(endpoint.name, receipt.key, each.verdict, each.reason)
                verdicts.append((contents[receipt.key], each.verdict))
        run.ledger.copies.record_verified(number, verdicts, now())
        run.observe(report)
        if run.stop.is_set():
            return


def verify_archive(
    sink: Endpoint[SinkType[Any]],
    temp: Path,
    stop: Cancellation,
    observe: Callable[[VerifyReport], None],
    *,
    judges: Judges | None = None,
    trust: TrustFiles = TrustFiles(),  # noqa: B008 - frozen
) -> VerifyReport:
    """Read back everything an archive holds and compare it with the archive's own record. No ledger is needed.

    Args:
        judges: judge the seals then; None: don't. ``trust``: files that say whom to trust besides the roots of PEC.
    """
    report = VerifyReport(sink.name)
    try:
        with open_standalone(sink, temp, stop, report.errors.append, "verify") as store:
            assert isinstance(store, SupportsIterate)
            with closing(read_back_each(store, _until(stop, store.iterate()), Medium())) as found:
                for receipt, each in found:
                    if isinstance(each, Unsupported):
                        report.count_confirmed(receipt)
                    else:
                        report.count(sink.name, receipt.key, each.verdict, each.reason)
                    observe(report)
            _check_whole(sink, store, stop, report)
            if judges is not None and not stop.is_set():
                judges.judge_archive(store, store.iterate(), temp, trust, report.count_seal)
    except ArchipecError as error:
        report.errors.append(error)
    return report


def _check_whole(
    endpoint: Endpoint[SinkType[Any]], sink: Sink, stop: Cancellation, report: VerifyReport
) -> None:
    if not isinstance(sink, SupportsCheck) or stop.is_set():
        return
    for problem in _until(stop, sink.check()):
        report.count_problem(endpoint.name, problem)
    root = endpoint.record.root(endpoint.config)
    if root is None or not isinstance(sink, SupportsFinish):
        return
    try:
        exists, summary = last_summary(root)
    except OSError as error:
        raise from_os_error(error, error.filename or root) from error
    if not exists:
        report.notes.append(
            _(
                "{root} has no inventory ({name}), by which lost files are noticed; the next `archipec "
                "archive` into it makes one"
            ).format(root=root, name=NAME)
        )
    elif summary is None:
        report.notes.append(
            _("{root}: the last run was interrupted; the next one completes {name}").format(
                root=root, name=NAME
            )
        )


def _until(stop: Cancellation, things: Iterable[T]) -> Iterator[T]:
    for each in things:
        if stop.is_set():
            return
        yield each
