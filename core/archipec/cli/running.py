"""Runs pipelines for a command: one after the other or side by side, recorded, and what came of each said."""

from __future__ import annotations

import gc
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import click

from archipec.cli import Settings
from archipec.cli.pipelines import running_command
from archipec.config.endpoint import reads_of
from archipec.config.pipeline import Pipeline
from archipec.custody.attempts import (
    AttemptSubject,
    CommandReport,
    error_shape,
    places_of,
    record_attempt,
    record_failure,
)
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation
from archipec.custody.side_by_side import Abandoned, Work, side_by_side
from archipec.errors import DONE, ArchipecError, ConfigError, counted, exit_code
from archipec.language import _
from archipec.message import Json
from archipec.terminal import JOURNAL, json_line, printable, say, say_error

__all__ = ["as_json", "run_each", "run_one", "say_failed"]

T = TypeVar("T", bound=CommandReport)


def run_each(
    settings: Settings,
    pipelines: Iterable[Pipeline],
    ledger: Ledger,
    stop: Cancellation,
    act: Callable[[Pipeline, Cancellation], T],
    show: Callable[[T], None],
    errors: Callable[[T], Iterable[ArchipecError]] = lambda report: report.errors,
    *,
    secrets: bool = False,
    jobs: int = 1,
) -> list[int]:
    """Run pipelines, record each and say how it ended, in their order. What stops one does not stop the others.

    Args:
        act: runs one, until the `Cancellation` that it is given is set.
        show: says what came of a pipeline.
        errors: finds all errors in a report.
        secrets: fetch the secrets of all pipelines before the first is run: a person who is asked can then go away.
        jobs: how many run at once, in threads; those that share a mailbox or an archive run one after the other.

    Returns:
        the exit codes.
    """
    work = list(pipelines)
    refused: dict[str, ArchipecError] = {}
    for pipeline in work if secrets else ():
        try:
            pipeline.reveal_secrets()
        except ArchipecError as error:
            refused[pipeline.name] = error

    def tried(pipeline: Pipeline, stopping: Cancellation) -> T:
        if pipeline.name in refused:
            raise refused[pipeline.name]
        return act(pipeline, stopping)

    urls = _urls() or None
    runner = _Runner(settings, ledger, running_command(), show, errors)
    subjects = [AttemptSubject(one.name, one.source.where, places_of(one.sinks), urls) for one in work]
    codes: dict[int, int] = {}
    # What is loaded by now stays: the collector is not to go through it again and again while messages pass.
    gc.freeze()
    if jobs > 1 and len(work) > 1:
        pieces = [
            Work(_uses(pipeline), partial(_run_until, runner, subject, partial(tried, pipeline)))
            for pipeline, subject in zip(work, subjects, strict=True)
        ]
        # Closed at once, also by a bug: nobody is at the ledger any more when that is closed.
        with closing(side_by_side(pieces, jobs, stop)) as ended:
            codes |= _in_order(ended, runner, subjects)
    else:
        for number, (pipeline, subject) in enumerate(zip(work, subjects, strict=True)):
            if stop.is_set():
                break
            outcome = runner.run(subject, partial(tried, pipeline, stop))
            codes[number] = runner.say(subject.pipeline, outcome)
    if len(work) > 1 and any(codes.values()) and not _as_json():
        say(_summary([one.name for one in work], codes))
    return list(codes.values())


def run_one(
    settings: Settings,
    ledger: Ledger,
    subject: AttemptSubject,
    act: Callable[[], T],
    show: Callable[[T], None],
) -> int:
    """Run one thing, record it, report the outcome, and return its exit code."""
    runner = _Runner(settings, ledger, running_command(), show, lambda report: report.errors)
    return runner.say(subject.pipeline, runner.run(subject, act))


class _Runner(Generic[T]):
    """Runs pipelines for a command, and says what came of them."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        command: str,
        show: Callable[[T], None],
        errors: Callable[[T], Iterable[ArchipecError]],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._command = command
        self._show = show
        self._errors = errors

    def run(self, subject: AttemptSubject, act: Callable[[], T]) -> T | ArchipecError:
        """Run one and record it; any thread may call. What stopped it is returned."""
        JOURNAL.info("%s: %s", subject.pipeline, self._command)
        try:
            return record_attempt(
                self._ledger, self._settings.state, subject, self._command, act, self._errors
            )
        except ArchipecError as error:
            return error

    def abandon(self, subject: AttemptSubject, error: ArchipecError) -> ArchipecError:
        """Record that one was given up, whose thread records nothing any more."""
        try:
            record_failure(self._ledger, subject, self._command, error)
        except ArchipecError as second:
            error.add_note(_("this could not be recorded either: {second}").format(second=second))
        return error

    def say(self, pipeline: str, outcome: T | ArchipecError) -> int:
        """Say what came of one, and return its exit code."""
        if isinstance(outcome, ArchipecError):
            say_failed(pipeline, [outcome], with_error=True)
        elif not (self._settings.quiet and outcome.exit_code == DONE) or _as_json():
            self._show(outcome)
        code = outcome.exit_code
        counts = {} if isinstance(outcome, ArchipecError) else outcome.counts
        JOURNAL.info(
            "%s: %s ended with exit code %d: %s", pipeline, self._command, code, json.dumps({**counts})
        )
        return code


def _run_until(
    runner: _Runner[T], subject: AttemptSubject, act: Callable[[Cancellation], T], stop: Cancellation
) -> T | ArchipecError:
    return runner.run(subject, partial(act, stop))


def _uses(pipeline: Pipeline) -> frozenset[str]:
    """Return what a pipeline locks or reads: its mailbox, its archives, and the folders of these, however they are named."""
    places = places_of(pipeline.sinks)
    folders: list[str | Path] = [one.root for one in places if one.root]
    with suppress(ArchipecError):  # of its plugin: the run will say it
        folders += reads_of(pipeline.source)
    return frozenset((pipeline.source.where, *(one.where for one in places), *map(os.path.realpath, folders)))


def _in_order(
    ended: Iterable[tuple[int, T | ArchipecError | Abandoned]],
    runner: _Runner[T],
    subjects: Sequence[AttemptSubject],
) -> Iterator[tuple[int, int]]:
    """Say what came of pipelines that run side by side, in their own order; yield (which, exit code)."""
    early: dict[int, T | ArchipecError] = {}
    turn = 0
    for number, outcome in ended:
        if isinstance(outcome, Abandoned):
            early[number] = runner.abandon(subjects[number], outcome.error)
        else:
            early[number] = outcome
        while turn in early:
            yield turn, runner.say(subjects[turn].pipeline, early.pop(turn))
            turn += 1
    # Before them are some that were not begun, as the user asked to stop.
    for number in sorted(early):
        yield number, runner.say(subjects[number].pipeline, early[number])


def _as_json() -> bool:
    return bool(click.get_current_context().params.get("as_json"))


def _summary(names: Sequence[str], codes: Mapping[int, int]) -> str:
    """Say which of several pipelines ended how."""
    by_code: defaultdict[int, list[str]] = defaultdict(list)
    for number, code in codes.items():
        by_code[code].append(names[number])
    done = counted(len(by_code.pop(DONE, ())), "pipeline")
    words = [_("{pipelines} done").format(pipelines=done)]
    words += [
        _("exit code {code}: {names}").format(code=code, names=", ".join(ended))
        for code, ended in sorted(by_code.items())
    ]
    if not_begun := [name for number, name in enumerate(names) if number not in codes]:
        words.append(_("not begun: {names}").format(names=", ".join(not_begun)))
    return "; ".join(words)


def as_json(shape: Mapping[str, Json], report: CommandReport, errors: Iterable[ArchipecError]) -> str:
    """Return a report as its line of JSON, with its errors and exit code."""
    lines = [line for error in errors for line in error_lines(error)]
    return json_line({**shape, "error": lines, "exit_code": report.exit_code})


def error_lines(error: ArchipecError) -> Sequence[str]:
    """Return what is wrong, a line each."""
    return error.problems if isinstance(error, ConfigError) else (error.message,)


def say_failed(pipeline: str, errors: Sequence[ArchipecError], *, with_error: bool = False) -> None:
    """Say on stdout that a pipeline failed; its errors are on stderr.

    Args:
        with_error: print the errors too; with --json, an object of the pipeline in place of its report.
    """
    code = exit_code(error.exit_code for error in errors)
    if not click.get_current_context().params.get("as_json"):
        click.echo(
            printable(
                _("{pipeline}: failed: {reason} (exit code {code})").format(
                    pipeline=pipeline, reason=errors[0].message, code=code
                )
            )
        )
    elif with_error:
        shapes = [error_shape(error) for error in errors]
        click.echo(json_line({"pipeline": pipeline} | shapes[0] | {"exit_code": code}))
    for error in errors if with_error else ():
        say_error(error, pipeline)


def _urls() -> dict[str, list[str]]:
    """Return what was typed of an ad hoc run. Secrets in it are references, or it would not have become one."""
    given = click.get_current_context().params
    if given.get("from_url") is None:
        return {}
    return {
        "from": [str(given["from_url"])],
        "to": [str(url) for url in given["to_urls"]],
        "in": [str(Path.cwd())],
    }
