"""The plan of a deletion: every message of the mailbox with what becomes of it, and plans kept by id until they are used.

How an entry may go on, in the order in which a run changes it:

- KEEP: why it stays; or, without a reason, not decided yet. Nothing is ever ordered for it.
- DELETE: it is to be deleted, and proven. From here only back to KEEP, to GONE, or on to UNKNOWN.
- UNKNOWN: it was ordered to be deleted, and the source has not said what came of it.
- DELETED, MOVED, GONE, or KEEP: what the source said. The listing afterwards may take that back: KEEP.
- PUT_BACK, RESCUED: it was deleted, and an archive could not give its copy after that.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from archipec.custody.ledger import Ledger
from archipec.custody.ledger.deletions import PlannedMessage
from archipec.custody.pruning.proof import Proof
from archipec.custody.pruning.rules import Candidate, KeepReason
from archipec.custody.run import now
from archipec.errors import Refused
from archipec.language import _
from archipec.message import ContentKey, Json, Listed

__all__ = ["PLAN_DAYS", "Action", "PlanEntry", "save_plan", "shown_plan"]

PLAN_DAYS: Final = 7
"""How long a plan is good for."""
_ID_LENGTH: Final = 12


class Action(enum.StrEnum):
    """What becomes of a message.

    Attributes:
        DELETE: so it would be. DELETED: done. MOVED: into the trash, freeing nothing.
        GONE: before it was to be deleted, and not by this run.
        KEEP: it stays, or was not decided on yet.
        UNKNOWN: the source was given the order and has not answered.
        PUT_BACK, RESCUED: it was deleted first and alone, and is in the mailbox again, or in the state folder.
    """

    DELETE = "delete"
    DELETED = "deleted"
    MOVED = "moved"
    GONE = "gone"
    KEEP = "keep"
    UNKNOWN = "unknown"
    PUT_BACK = "put-back"
    RESCUED = "rescued"

    @property
    def as_json(self) -> str:
        """Its name in the JSON of a plan, where what could not be deleted for good is kept."""
        return Action.KEEP.value if self in (Action.PUT_BACK, Action.RESCUED) else self.value


_TOUCHED = frozenset(Action) - {Action.KEEP, Action.DELETE}


@dataclass(slots=True)
class PlanEntry:
    """A message of the mailbox and what becomes of it. Only the methods here change that.

    Attributes:
        kept: why it isn't deleted, or was not by this run; detail: what is particular to this message.
        candidate: None unless the rules let it go.
        proof: None until its copies were read back.
    """

    listed: Listed
    key: ContentKey | None
    action: Action = Action.KEEP
    kept: KeepReason | None = None
    detail: str = ""
    candidate: Candidate | None = None
    proof: Proof | None = None

    @property
    def size(self) -> int:
        """Bytes in the mailbox."""
        return self.candidate.size if self.candidate else self.listed.size or 0

    @property
    def reason(self) -> str:
        """Why it is kept, as a text."""
        if self.kept is None:
            return ""
        return f"{self.kept.text}: {self.detail}" if self.detail else self.kept.text

    @property
    def touched(self) -> bool:
        """Whether it was ordered to be deleted, or was gone before that."""
        return self.action in _TOUCHED

    @property
    def is_undecided(self) -> bool:
        """Whether nothing was decided about it yet."""
        return self.action is Action.KEEP and self.kept is None

    # -- transitions -----------------------------------------------------------------------------------

    def keep(self, reason: KeepReason, detail: str = "") -> None:
        """It stays."""
        self._become(Action.KEEP, reason, detail)

    def prove(self, proof: Proof) -> None:
        """Its copies were read back: with a doubt it stays."""
        self.proof = proof
        if proof.doubt is not None:
            self.keep(proof.doubt, proof.detail)

    def choose(self) -> None:
        """It is to be deleted: the rules let it go, and its proof is good."""
        assert self.candidate is not None
        assert self.proof is not None
        assert self.proof.doubt is None
        self._become(Action.DELETE)

    def ordered(self, detail: str = "") -> None:
        """The order is given; what comes of it is unknown until the source says so."""
        self._become(Action.UNKNOWN, KeepReason.UNCONFIRMED, detail)

    def deleted(self, *, only_moved: bool) -> None:
        """The source says that it is done."""
        self._become(Action.MOVED if only_moved else Action.DELETED)

    def gone(self) -> None:
        """Another program deleted or moved it before it was to be deleted."""
        self._become(Action.GONE, KeepReason.GONE)

    def restored(self, detail: str, *, into_mailbox: bool) -> None:
        """It was deleted, and is in the mailbox again, or only in the state folder."""
        if into_mailbox:
            self._become(Action.PUT_BACK, KeepReason.PUT_BACK, detail)
        else:
            self._become(Action.RESCUED, KeepReason.RESCUED, detail)

    def listed_again(self) -> None:
        """The listing afterwards has it: what was said of it isn't so."""
        if self.action in (Action.DELETED, Action.MOVED):
            self.keep(KeepReason.REFUSED, _("the server said that it is deleted, and lists it still"))
        elif self.action is Action.GONE:
            self.keep(KeepReason.CHANGED, _("the server lists it, and did not show it"))

    def _become(self, action: Action, reason: KeepReason | None = None, detail: str = "") -> None:
        self.action, self.kept, self.detail = action, reason, detail

    def as_json(self) -> dict[str, Json]:
        """Return its object in the plan of ``prune --json``."""
        return {
            "folder": self.listed.folder,
            "ref": self.listed.ref,
            "sha256": None if self.key is None else self.key.sha256,
            "size": self.size,
            "action": self.action.as_json,
            "proofs": list(self.proof.evidence) if self.proof and self.proof.doubt is None else [],
            "reason": self.reason,
        }


def save_plan(entries: Iterable[PlanEntry], pipeline: str, source: int, ledger: Ledger) -> str:
    """Keep what a plan would delete; return its id, empty when that is nothing. The same plan has the same id.

    Args:
        source: the ledger's number of it.
    """
    messages = sorted(
        PlannedMessage(entry.listed.folder, entry.listed.ref, entry.key.sha256)
        for entry in entries
        if entry.key
    )
    if not messages:
        return ""
    text = "\0".join("\0".join(one) for one in messages)
    plan = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_ID_LENGTH]
    ledger.deletions.save_plan(plan, pipeline, source, messages, now())
    return plan


def shown_plan(plan: str, pipeline: str, source: int, ledger: Ledger) -> frozenset[PlannedMessage]:
    """Return the messages of a plan that was shown, by its id.

    Raises:
        Refused: no plan has that id, or it is too old.
    """
    found = ledger.deletions.plan(plan, pipeline, source)
    if found is None:
        raise Refused(
            _('no plan "{plan}" was shown for this pipeline, or newer ones have taken its place').format(
                plan=plan
            ),
            hint=_("`archipec prune` without --yes shows one, and its id"),
        )
    made, messages = found
    if now() - made > PLAN_DAYS * 86400:
        raise Refused(
            _('plan "{plan}" is older than {days} days').format(plan=plan, days=PLAN_DAYS),
            hint=_("`archipec prune` without --yes shows a new one"),
        )
    return frozenset(messages)
