"""What a source passes over, and what an archive that is read as one has lost: said in the report of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from archipec.contract import Source, SupportsCheck, SupportsSkipped
from archipec.errors import ArchipecError, IntegrityError, MissingCopy
from archipec.message import Json, Skipped

__all__ = ["Omissions", "omissions_of"]

_SHOWN = 1000
_PROBLEMS_SHOWN = 20


@dataclass(slots=True)
class Omissions:
    """What is not read.

    Attributes:
        count: things passed over; messages: those of them that are messages, or may be.
        shown: the first of them, messages before others.
        missing: messages that the source, an archive, has on its record and not among its files.
        problems: what is wrong with it, a bounded number.
    """

    count: int = 0
    messages: int = 0
    shown: list[Skipped] = field(default_factory=list)
    missing: int = 0
    problems: list[ArchipecError] = field(default_factory=list)

    def as_json(self) -> dict[str, Json]:
        """Return this part of the JSON object of ``archive --json``."""
        return {
            "skipped": [one._asdict() for one in self.shown],
            "skipped_count": self.count,
            **({"missing": self.missing} if self.missing else {}),
        }


def omissions_of(source: Source) -> Omissions:
    """Ask a source, after everything was read, what it passed over and whether it is whole.

    Raises:
        ArchipecError: it can't tell.
    """
    found = Omissions()
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
            if isinstance(problem, MissingCopy):
                found.missing += problem.copies
            if len(found.problems) < _PROBLEMS_SHOWN:
                found.problems.append(problem)
    if found.missing > 1:
        found.problems.append(
            IntegrityError(
                f"{found.missing} messages that this archive has on record are missing",
                hint="what is there is archived; bring back the rest from another copy",
            )
        )
    return found
