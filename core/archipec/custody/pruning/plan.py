"""Makes the plan of a deletion: which messages the rules let go, and for each the proof that it is kept elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from archipec.config.pipeline import Pipeline
from archipec.contract import Source
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.deletions import PlannedMessage
from archipec.custody.pruning.freeable import rules_now
from archipec.custody.pruning.proof import Prover
from archipec.custody.pruning.recheck import fetch_keys
from archipec.custody.pruning.report import PlanEntry, PruneReport
from archipec.custody.pruning.rules import Candidate, KeepReason, bytes_to_free
from archipec.custody.pruning.survey import MailboxSurvey, trash_of
from archipec.errors import Refused

__all__ = ["Planner"]

_BATCH: Final = 500
_MENDED: Final = "found so when it was last read back; `archipec archive` stores it again"


class Planner:
    """Puts rows into a report: those to delete have the action ``delete`` and a good proof.

    Args:
        sinks: the ledger's numbers of the required sinks.
        observe: called when something was proven.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sinks: list[int],
        ledger: Ledger,
        prover: Prover,
        report: PruneReport,
        observe: Callable[[PruneReport], None],
    ) -> None:
        self._pipeline = pipeline
        self._policy = pipeline.prune
        self._sinks = sinks
        self._ledger = ledger
        self._prover = prover
        self._report = report
        self._observe = observe

    def plan(
        self, mailbox: MailboxSurvey, limit: int | None, shown: frozenset[PlannedMessage] | None = None
    ) -> None:
        """Find what the rules let go and prove it, oldest first, until there is enough of it.

        Args:
            limit: messages to delete at most.
            shown: the messages of a plan that was shown, the only ones that may go; how full the mailbox is now has
                no say in it then.

        Raises:
            Refused: a rule asks how full the mailbox is, and nobody knows.
            ArchipecError: an archive can't tell now what it holds.
        """
        rules = rules_now(self._pipeline, self._sinks, self._ledger)
        source = self._ledger.sources.number(self._pipeline.source.where)
        known = {name: number for number, name, _ in self._ledger.sources.folders(source)}
        for name, listing in mailbox.folders.items():
            held = self._ledger.deletions.held_of(known[name], self._sinks) if name in known else {}
            for listed in listing:
                its = held.get(listed.ref)
                row = PlanEntry(listed, None if its is None else its.key)
                match rules.judge(listed, its):
                    case Candidate() if not _is_shown(row, shown):
                        row.keep(KeepReason.NOT_PLANNED)
                    case Candidate() as candidate:
                        row.candidate = candidate
                    case KeepReason() as why:
                        row.keep(why, _MENDED if why in (KeepReason.MISSING, KeepReason.ALTERED) else "")
                self._report.rows.append(row)
        chosen = [row for row in self._report.rows if row.candidate is not None]
        self._prove(chosen, self._room() if shown is None else None, limit)

    def _room(self) -> int | None:
        """Return how many bytes are to be freed: None for all there are."""
        if self._policy.free_to is None and self._policy.when_above is None:
            return None
        if self._report.quota is None:
            raise Refused(
                "the server doesn't tell how full the mailbox is, and a rule asks for it",
                hint='say how large it is: quota = "2 GB" in [pipeline.prune], or --quota',
            )
        room = bytes_to_free(self._policy, self._report.quota)
        self._report.note = room.note
        return room.size

    def _prove(self, rows: Iterable[PlanEntry], room: int | None, limit: int | None) -> None:
        """Prove rows, oldest first, until enough bytes and messages are: those may be deleted."""
        freed, proven = 0, len(self._report.actions("delete", "deleted", "moved"))
        waiting = iter(sorted(rows, key=lambda row: row.candidate.date if row.candidate else 0))
        while batch := list(islice(waiting, _BATCH)):
            enough = (room is not None and freed >= room) or (limit is not None and proven >= limit)
            proofs = (
                {} if enough else self._prover.prove(row.candidate.held for row in batch if row.candidate)
            )
            for row in batch:
                assert row.candidate is not None
                row.proof = proofs.get(row.candidate.held.content)
                if row.proof is not None and row.proof.doubt is not None:
                    row.keep(row.proof.doubt, row.proof.detail)
                elif room is not None and freed >= room:
                    row.keep(KeepReason.ENOUGH_ROOM)
                elif limit is not None and proven >= limit:
                    row.keep(KeepReason.LIMIT)
                else:
                    row.action = "delete"
                    freed += row.size
                    proven += 1
            self._observe(self._report)

    def guard_share(self, mailbox: MailboxSurvey) -> None:
        """Refuse a plan that takes too much of any folder.

        Raises:
            Refused: it does.
        """
        going = Counter(row.listed.folder for row in self._report.actions("delete"))
        for folder, number in going.items():
            share = 100 * number / len(mailbox.folders[folder])
            if share > self._policy.max_share:
                raise Refused(
                    f'the plan takes {share:.0f} % of the messages of folder "{folder}",'
                    f" more than {self._policy.max_share} %",
                    hint="if that is meant: --allow-large, or max_share in [pipeline.prune]",
                )

    def plan_trash(
        self, source: Source, limit: int | None, shown: frozenset[PlannedMessage] | None = None
    ) -> None:
        """Find what of the trash may go: by its bytes, for its references are not those of the ledger.

        Raises:
            Refused: it isn't known which folder it is.
            ArchipecError: it can't be read.
        """
        own = None
        if self._policy.trash == "own":
            own = self._ledger.deletions.deleted_keys(
                self._ledger.sources.number(self._pipeline.source.where)
            )
        sizes = None if own is None else {key.size for key in own}
        folder = trash_of(source)
        listing = [
            one for one in source.scan(folder, None) if sizes is None or one.size is None or one.size in sizes
        ]
        keys = fetch_keys(source, folder, [one.ref for one in listing])
        held = self._ledger.deletions.held_by_key((key for key in keys.values() if key), self._sinks)
        rules = rules_now(self._pipeline, self._sinks, self._ledger)
        rows = []
        for listed in listing:
            key = keys.get(listed.ref)
            if listed.ref not in keys or (own is not None and key not in own):
                continue
            its = held.get(key) if key else None
            row = PlanEntry(listed, key)
            why = rules.blocking_reason(listed, its)
            if why is not None or its is None:
                row.keep(why or KeepReason.NOT_ARCHIVED)
            elif not _is_shown(row, shown):
                row.keep(KeepReason.NOT_PLANNED)
            else:
                row.candidate = Candidate(listed, its, 0)
                rows.append(row)
            self._report.rows.append(row)
        self._prove(rows, None, limit)


def _is_shown(row: PlanEntry, shown: frozenset[PlannedMessage] | None) -> bool:
    if shown is None:
        return True
    return row.key is not None and (row.listed.folder, row.listed.ref, row.key.sha256) in shown
