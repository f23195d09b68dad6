"""Whether an archive fits its own record: one that doesn't proves nothing, for nobody knows what else it lost."""

from __future__ import annotations

from archipec.contract import Sink, SupportsCheck
from archipec.custody.ledger import Ledger
from archipec.errors import ArchipecError, IntegrityError, MissingCopy, UnfitRecord

__all__ = ["check_whole"]


def check_whole(sink: Sink, where: str, ledger: Ledger) -> None:
    """Compare an archive with its own record before any copy in it counts.

    A copy that is missing while a mailbox has the message still is no reason: that message stays by itself.

    Raises:
        IntegrityError: the archive doesn't fit its record.
        ArchipecError: it can't tell now.
    """
    if not isinstance(sink, SupportsCheck):
        return
    for problem in sink.check():
        if _is_misfit(problem, ledger):
            raise IntegrityError(
                f"{where} does not fit its own record, so no copy in it proves anything: {problem.message}",
                hint=problem.hint or "`archipec verify` says more",
            )


def _is_misfit(problem: ArchipecError, ledger: Ledger) -> bool:
    if isinstance(problem, MissingCopy):
        return problem.key is None or not ledger.copies.is_in_a_mailbox(problem.key)
    return isinstance(problem, UnfitRecord)
