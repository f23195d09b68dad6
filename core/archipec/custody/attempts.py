"""Records every try of a pipeline before it begins, and its outcome, also when there is none.

An attempt that was killed stays without an end. Whether it is still running shows in a lock of its own, that the
operating system drops with the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from archipec.config.endpoint import Endpoint, root_of
from archipec.contract import SinkType
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.runs import Attempt, AttemptSink, AttemptSubject
from archipec.custody.locks import hold
from archipec.custody.run import now
from archipec.errors import BUG, ArchipecError, ConfigError, Interrupted, TransientError, from_os_error
from archipec.language import _
from archipec.message import Json

__all__ = [
    "AttemptSubject",
    "CommandReport",
    "error_shape",
    "is_running",
    "places_of",
    "record_attempt",
    "record_failure",
]


class CommandReport(Protocol):
    """What the report of every command can say."""

    errors: list[ArchipecError]

    @property
    def exit_code(self) -> int:
        """The exit code it means."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What was done, in numbers, for the history of runs."""


T = TypeVar("T", bound=CommandReport)


def places_of(sinks: Iterable[Endpoint[SinkType[Any]]]) -> list[AttemptSink]:
    """Return sinks as the ledger records them."""
    places = []
    for sink in sinks:
        root = root_of(sink)
        places.append(AttemptSink(sink.name, sink.where, None if root is None else str(root.absolute())))
    return places


def error_shape(error: ArchipecError) -> dict[str, Json]:
    """Return an error as JSON and the ledger have it."""
    problems = error.problems if isinstance(error, ConfigError) else (error.message,)
    return {"error": list(problems), "hint": error.hint, "exit_code": error.exit_code}


def record_attempt(
    ledger: Ledger,
    state: Path,
    subject: AttemptSubject,
    command: str,
    act: Callable[[], T],
    errors: Callable[[T], Iterable[ArchipecError]] = lambda report: report.errors,
) -> T:
    """Try something, and record that it was tried and its outcome.

    Args:
        errors: finds all errors in what ``act`` returns.

    Raises:
        whatever ``act`` raises, once that is recorded.
    """
    with _lock(state) as lock:
        number = ledger.runs.begin_attempt(subject, command, now(), lock)
        try:
            report = act()
        except BaseException as error:
            shape, code = _ending(error)
            try:
                ledger.runs.end_attempt(number, now(), code, [shape])
            except ArchipecError as second:
                error.add_note(_("this could not be recorded either: {second}").format(second=second))
            raise
        shapes = [error_shape(error) for error in errors(report)]
        try:
            but_settling = getattr(report, "but_settling", None)
            ledger.runs.end_attempt(number, now(), report.exit_code, shapes, but_settling, report.counts)
        except ArchipecError as error:
            report.errors.append(error)
        return report


def record_failure(ledger: Ledger, subject: AttemptSubject, command: str, error: ArchipecError) -> None:
    """Record that something was to be tried and could not even begin."""
    number = ledger.runs.begin_attempt(subject, command, now())
    ledger.runs.end_attempt(number, now(), error.exit_code, [error_shape(error)])


def _ending(error: BaseException) -> tuple[dict[str, Json], int]:
    if isinstance(error, ArchipecError):
        return error_shape(error), error.exit_code
    if isinstance(error, Exception):
        text = _("bug: {name}: {error}").format(name=type(error).__name__, error=error)
        return {
            "error": [text],
            "hint": _("run again with -v and report what it shows"),
            "exit_code": BUG,
        }, BUG
    code = Interrupted.exit_code
    return {"error": ["interrupted"], "hint": "", "exit_code": code}, code


def is_running(attempt: Attempt, state: Path) -> bool:
    """Return whether an attempt without an end is still running; what a killed one left of its lock is removed."""
    path = state / "locks" / attempt.lock
    if attempt.ended is not None or not attempt.lock or not path.exists():
        return False
    try:
        with hold(path, attempt.pipeline):
            pass
    except TransientError:
        return True
    path.unlink(missing_ok=True)
    return False


@contextmanager
def _lock(state: Path) -> Iterator[str]:
    """Hold a lock that no other process waits for; yield its name."""
    name = f"attempt-{os.urandom(16).hex()}.lock"
    path = state / "locks" / name
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, path.parent) from error
    try:
        with hold(path, name):
            yield name
    finally:
        # Windows removes no open file, and a plugin that was left behind keeps this one open.
        with suppress(PermissionError):
            path.unlink(missing_ok=True)
