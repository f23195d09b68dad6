"""What a source passes over, and what an archive that is read as one has lost: said in the report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from archipec.contract import ContentKey, Source, SupportsCheck, SupportsSkipped
from archipec.errors import ArchipecError, IntegrityError, MissingCopy, TransientError, UnfitRecord, counted
from archipec.language import _
from archipec.message import Json, Skipped

__all__ = ["Omissions", "omissions_of"]

_SHOWN = 1000
_PROBLEMS_SHOWN = 20
_KEYS = 100_000  # of messages that seem to be missing, which are looked for among those archived


@dataclass(slots=True)
class Omissions:
    """What is not read.

    Attributes:
        count: things passed over; messages: those of them that are messages, or may be.
        shown: the first of them, messages before others.
        missing: messages that the source, an archive, has in its record and not among its files.
    """

    count: int = 0
    messages: int = 0
    shown: list[Skipped] = field(default_factory=list)
    missing: int = 0
    _lost: dict[str, list[ContentKey]] = field(default_factory=dict)
    _number_lost: Counter[str] = field(default_factory=Counter)
    _problems: list[ArchipecError] = field(default_factory=list)

    def note(self, problem: ArchipecError) -> None:
        """Take in what is wrong with the source, an archive."""
        if isinstance(problem, MissingCopy):
            self.missing += problem.copies
            known = problem.message in self._number_lost
            self._number_lost[problem.message] += problem.copies
            if problem.key is not None and self._number_lost.total() <= _KEYS:
                self._lost.setdefault(problem.message, []).append(problem.key)
            if known:
                return
        elif isinstance(problem, UnfitRecord) and problem.sums_up:
            self._problems = [one for one in self._problems if one.message != problem.sums_up]
        if len(self._problems) < _PROBLEMS_SHOWN:
            self._problems.append(problem)

    def forget_archived(self, archived: Callable[[Sequence[ContentKey]], Collection[ContentKey]]) -> None:
        """Forget what only seemed to be missing: its bytes were read all the same, and are in the archives now.

        Args:
            archived: returns those of some messages that every archive of the run holds.
        """
        for reason, keys in self._lost.items():
            if len(keys) == self._number_lost[reason] and len(archived(keys)) == len(set(keys)):
                self.missing -= self._number_lost.pop(reason)
                self._problems = [one for one in self._problems if not _is_about(one, reason)]

    def problems(self) -> list[ArchipecError]:
        """Return what is wrong with the source, an archive: a bounded number of lines."""
        if len(self._number_lost) < 2:
            return self._problems
        lost = counted(self.missing, "message")
        return [
            *self._problems,
            IntegrityError(
                _("{lost} of this archive's own record are missing").format(lost=lost),
                hint=_("what is there is archived; bring back the rest from another copy"),
            ),
        ]

    def as_json(self) -> dict[str, Json]:
        """Return this part of the JSON object of ``archive --json``."""
        return {
            "skipped": [one._asdict() for one in self.shown],
            "skipped_count": self.count,
            **({"missing": self.missing} if self.missing else {}),
        }


def _is_about(problem: ArchipecError, reason: str) -> bool:
    return reason in (problem.message, problem.sums_up if isinstance(problem, UnfitRecord) else "")


def omissions_of(source: Source) -> Omissions:
    """Ask a source, after everything was read, what it passed over and whether it is whole.

    That it can't answer is a problem of the run: it is unknown then what is missing.

    Raises:
        TransientError: it may answer later.
    """
    found = Omissions()
    try:
        _ask(source, found)
    except TransientError:
        raise
    except ArchipecError as error:
        found.note(error)
    return found


def _ask(source: Source, found: Omissions) -> None:
    if isinstance(source, SupportsSkipped):
        others: list[Skipped] = []
        for one in source.skipped():
            found.count += 1
            found.messages += one.message
            kept = found.shown if one.message else others
            if len(kept) < _SHOWN:
                kept.append(one)
        found.shown = [*found.shown, *others][:_SHOWN]
    if isinstance(source, SupportsCheck):
        for problem in source.check():
            found.note(problem)
