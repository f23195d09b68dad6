"""Plans that were shown: each has an id, so that exactly what was seen is what is deleted later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from archipec.custody.ledger import Ledger
from archipec.custody.ledger.deletions import PlannedMessage
from archipec.custody.pruning.report import PlanEntry
from archipec.custody.run import now
from archipec.errors import Refused

__all__ = ["DAYS", "planned", "save"]

DAYS: Final = 7
"""How long a plan is good for."""
_LENGTH: Final = 12


def save(rows: Iterable[PlanEntry], pipeline: str, source: int, ledger: Ledger) -> str:
    """Keep what a plan would delete; return its id, empty when that is nothing. The same plan has the same id."""
    messages = sorted(
        PlannedMessage(row.listed.folder, row.listed.ref, row.key.sha256) for row in rows if row.key
    )
    if not messages:
        return ""
    words = "\0".join("\0".join(one) for one in messages)
    plan = hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:_LENGTH]
    ledger.deletions.save_plan(plan, pipeline, source, messages, now())
    return plan


def planned(plan: str, pipeline: str, source: int, ledger: Ledger) -> frozenset[PlannedMessage]:
    """Return the messages of a plan that was shown.

    Raises:
        Refused: there is none of that id, or it is too old.
    """
    found = ledger.deletions.plan(plan, pipeline, source)
    if found is None:
        raise Refused(
            f'no plan "{plan}" was shown for this pipeline, or newer ones have taken its place',
            hint="`archipec prune` without --yes shows one, and its id",
        )
    made, messages = found
    if now() - made > DAYS * 86400:
        raise Refused(
            f'plan "{plan}" is older than {DAYS} days',
            hint="`archipec prune` without --yes shows a new one",
        )
    return frozenset(messages)
