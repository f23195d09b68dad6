"""What a run of prune would delete, deleted and kept, message by message."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from archipec.custody.pruning.plan import Action, PlanEntry
from archipec.custody.pruning.rules import KeepReason, percent
from archipec.errors import ATTENTION, ArchipecError, IntegrityError, Refused, exit_code
from archipec.language import _, written
from archipec.message import Json, Quota

__all__ = ["PruneReport"]

_LOST = (KeepReason.MISSING, KeepReason.ALTERED)
_NOT_DONE = (
    KeepReason.PUT_BACK,
    KeepReason.RESCUED,
    KeepReason.REFUSED,
    KeepReason.CHANGED,
    KeepReason.UNCONFIRMED,
)


@dataclass(slots=True)
class PruneReport:
    """The outcome of ``prune`` for one pipeline: its messages = deleted (or to be deleted) + those kept.

    Attributes:
        carried_out: whether it was more than a plan.
        quota: of the mailbox before, None when unknown.
        plan: the id of a plan that deletes something; empty for one that was carried out.
        note: why there is nothing to do, where the rules as a whole say so.
        refusal: why nothing was deleted, or no more; empty when nothing stood in the way.
        vanished: messages that are gone since the plan was made though this run did not order it, by folder.
        errors: what went wrong.
    """

    pipeline: str
    carried_out: bool
    entries: list[PlanEntry] = field(default_factory=list)
    quota: Quota | None = None
    plan: str = ""
    note: str = ""
    refusal: str = ""
    vanished: dict[str, int] = field(default_factory=dict)
    errors: list[ArchipecError] = field(default_factory=list)

    @property
    def candidates(self) -> int:
        """Messages that the rules let go."""
        return sum(entry.candidate is not None for entry in self.entries)

    @property
    def proven(self) -> int:
        """Candidates whose every required copy was read back intact."""
        return sum(entry.proof is not None and entry.proof.doubt is None for entry in self.entries)

    @property
    def kept(self) -> Counter[KeepReason]:
        """Messages that stay, by reason."""
        return Counter(entry.kept for entry in self.entries if entry.kept is not None)

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

    @property
    def counts(self) -> dict[str, int]:
        """What was done, in messages."""
        return {
            "deleted": len(self.with_action(Action.DELETED)),
            "moved": len(self.with_action(Action.MOVED)),
        }

    def with_action(self, *actions: Action) -> list[PlanEntry]:
        """Return the entries with one of these actions."""
        return [entry for entry in self.entries if entry.action in actions]

    def refuse(self, error: ArchipecError) -> None:
        """Say that nothing is deleted, or no more: what would have been is kept."""
        done = any(entry.touched for entry in self.entries)
        for entry in self.entries:
            if entry.action is Action.DELETE or entry.is_undecided:
                entry.keep(KeepReason.STOPPED if done else KeepReason.REFUSED)
        self.errors.append(error)
        was_not = _("no more was deleted") if done else _("nothing was deleted")
        self.refusal = error.message if isinstance(error, Refused) else f"{was_not}: {error.message}"

    def as_json(self, *, plan: bool = True) -> dict[str, Json]:
        """Return the JSON object of ``prune --json``; without the ``plan`` for the record of a run."""
        done = self.with_action(Action.DELETED, Action.MOVED)
        quota = self.quota
        shape: dict[str, Json] = {
            "pipeline": self.pipeline,
            "candidates": self.candidates,
            "proven": self.proven,
            "deleted": len(self.with_action(Action.DELETED)),
            "moved": len(self.with_action(Action.MOVED)),
            "gone": len(self.with_action(Action.GONE)),
            "bytes": sum(
                entry.size for entry in (done if self.carried_out else self.with_action(Action.DELETE))
            ),
            "kept": {str(reason): number for reason, number in sorted(self.kept.items())},
            "quota": None if quota is None else {"used": quota.used, "limit": quota.limit},
            "plan_id": self.plan or None,
            "note": self.note,
            "refused": self.refusal,
            **({"vanished": dict(sorted(self.vanished.items()))} if self.vanished else {}),
        }
        if plan:
            shape["plan"] = [entry.as_json() for entry in self.entries]
        return shape

    @property
    def fullness(self) -> str:
        """How full the mailbox is, as a text; empty when unknown."""
        return (
            "" if self.quota is None else _("{percent} % full").format(percent=written(percent(self.quota)))
        )
