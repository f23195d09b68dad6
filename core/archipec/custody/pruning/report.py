"""What a run of prune would delete, deleted and kept, message by message."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from archipec.custody.pruning.proof import Proof
from archipec.custody.pruning.rules import Candidate, KeepReason, percent
from archipec.errors import ATTENTION, ArchipecError, IntegrityError, Refused, exit_code
from archipec.message import ContentKey, Json, Listed, Quota

__all__ = ["PlanEntry", "PruneReport"]

_LOST = (KeepReason.MISSING, KeepReason.ALTERED)
_ORDERED = (KeepReason.PUT_BACK, KeepReason.RESCUED)
_NOT_DONE = (*_ORDERED, KeepReason.REFUSED, KeepReason.CHANGED, KeepReason.UNCONFIRMED)


@dataclass(slots=True)
class PlanEntry:
    """A message of the mailbox and what becomes of it.

    Attributes:
        action: ``delete`` (so it would be), ``deleted``, ``moved`` (to the trash, freeing nothing), ``gone`` (before it
            was to be deleted, and not by this run), ``keep``, or ``unknown`` (the server was told and has not answered).
        kept: why it isn't deleted; reason: the same in words, with what is particular to this message.
        candidate: None unless the rules let it go.
    """

    listed: Listed
    key: ContentKey | None
    action: str = "keep"
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
        """Why it is kept, in words."""
        if self.kept is None:
            return ""
        return f"{self.kept.words}: {self.detail}" if self.detail else self.kept.words

    @property
    def touched(self) -> bool:
        """Whether it was ordered to be deleted, or was gone before that."""
        return self.action in ("deleted", "moved", "gone", "unknown") or self.kept in _ORDERED

    def gone(self) -> None:
        """Say that somebody else deleted or moved it before it was to be deleted."""
        self.action, self.kept, self.detail = "gone", KeepReason.GONE, ""

    def keep(self, why: KeepReason, detail: str = "") -> None:
        """Say that it is not deleted, and why."""
        self.action = "unknown" if why is KeepReason.UNCONFIRMED else "keep"
        self.kept, self.detail = why, detail

    def as_json(self) -> dict[str, Json]:
        """Return its entry in the plan."""
        return {
            "folder": self.listed.folder,
            "ref": self.listed.ref,
            "sha256": None if self.key is None else self.key.sha256,
            "size": self.size,
            "action": self.action,
            "proofs": list(self.proof.evidence) if self.proof and self.proof.doubt is None else [],
            "reason": self.reason,
        }


@dataclass(slots=True)
class PruneReport:
    """The outcome of ``prune`` for one pipeline: its messages = deleted (or to be deleted) + those kept.

    Attributes:
        carried_out: whether it was more than a plan.
        quota: of the mailbox before, None when unknown.
        plan: the id of a plan that deletes something; empty for one that was carried out.
        note: why there is nothing to do, where the rules as a whole say so.
        refusal: why nothing was deleted, or no more; empty when nothing stood in the way.
        vanished: messages that are gone since the plan was made and that nobody here ordered to be deleted, by folder.
        errors: what went wrong.
    """

    pipeline: str
    carried_out: bool
    rows: list[PlanEntry] = field(default_factory=list)
    quota: Quota | None = None
    plan: str = ""
    note: str = ""
    refusal: str = ""
    vanished: dict[str, int] = field(default_factory=dict)
    errors: list[ArchipecError] = field(default_factory=list)

    @property
    def candidates(self) -> int:
        """Messages that the rules let go."""
        return sum(row.candidate is not None for row in self.rows)

    @property
    def proven(self) -> int:
        """Candidates whose every required copy was read back intact."""
        return sum(row.proof is not None and row.proof.doubt is None for row in self.rows)

    @property
    def kept(self) -> Counter[KeepReason]:
        """Messages that stay, by reason."""
        return Counter(row.kept for row in self.rows if row.kept is not None)

    @property
    def exit_code(self) -> int:
        """The exit code this outcome means."""
        codes = [error.exit_code for error in self.errors]
        codes += [Refused.exit_code] if self.refusal else []
        kept = self.kept
        codes += [IntegrityError.exit_code for reason in _LOST if kept[reason]]
        codes += [Refused.exit_code for reason in _NOT_DONE if kept[reason]]
        codes += [ATTENTION] if self.vanished else []
        return exit_code(codes)

    def actions(self, *actions: str) -> list[PlanEntry]:
        """Return the rows with one of these actions."""
        return [row for row in self.rows if row.action in actions]

    def refuse(self, error: ArchipecError) -> None:
        """Say that nothing is deleted, or no more: what would have been is kept."""
        done = [row for row in self.rows if row.touched]
        for row in self.rows:
            if row.action == "delete" or (row.action == "keep" and row.kept is None):
                row.keep(KeepReason.STOPPED if done else KeepReason.REFUSED)
        self.errors.append(error)
        was_not = "no more was deleted" if done else "nothing was deleted"
        self.refusal = error.message if isinstance(error, Refused) else f"{was_not}: {error.message}"

    def as_json(self, *, plan: bool = True) -> dict[str, Json]:
        """Return the JSON object of ``prune --json``; without the ``plan`` for the record of a run."""
        done = self.actions("deleted", "moved")
        quota = self.quota
        shape: dict[str, Json] = {
            "pipeline": self.pipeline,
            "candidates": self.candidates,
            "proven": self.proven,
            "deleted": len(self.actions("deleted")),
            "moved": len(self.actions("moved")),
            "gone": len(self.actions("gone")),
            "bytes": sum(row.size for row in (done if self.carried_out else self.actions("delete"))),
            "kept": {str(reason): number for reason, number in sorted(self.kept.items())},
            "quota": None if quota is None else {"used": quota.used, "limit": quota.limit},
            "plan_id": self.plan or None,
            "note": self.note,
            "refused": self.refusal,
            **({"vanished": dict(sorted(self.vanished.items()))} if self.vanished else {}),
        }
        if plan:
            shape["plan"] = [row.as_json() for row in self.rows]
        return shape

    @property
    def fullness(self) -> str:
        """How full the mailbox is, in words; empty when unknown."""
        return "" if self.quota is None else f"{percent(self.quota):.0f} % full"
