"""Makes the plan of a deletion: which messages the rules let go, and for each the proof that it is kept elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from archipec.config.pipeline import Pipeline
from archipec.contract import Source
from archipec.custody.ledger.deletions import ArchivedMessage, PlannedMessage
from archipec.custody.pruning.freeable import rules_now
from archipec.custody.pruning.plan import Action, PlanEntry
from archipec.custody.pruning.proof import Prover
from archipec.custody.pruning.report import PruneReport
from archipec.custody.pruning.rules import Candidate, KeepReason, bytes_to_free
from archipec.custody.pruning.survey import MailboxSurvey, fetch_keys, trash_of
from archipec.custody.run import Run
from archipec.errors import Refused
from archipec.language import N_, _, written
from archipec.message import Listed

__all__ = ["Planner"]

_BATCH: Final = 500
_MENDED: Final = N_("found so when it was last read back; `archipec archive` stores it again")


class Planner:
    """Puts entries into a report: those to delete have the action ``delete`` and a good proof.

    Args:
        sinks: the ledger's numbers of the required sinks.
        run: observed when something was proven.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sinks: list[int],
        run: Run[PruneReport],
        prover: Prover,
        report: PruneReport,
    ) -> None:
        self._pipeline = pipeline
        self._policy = pipeline.prune
        self._sinks = sinks
        self._run = run
        self._ledger = run.ledger
        self._prover = prover
        self._report = report

    def plan(
        self, mailbox: MailboxSurvey, limit: int | None, shown: frozenset[PlannedMessage] | None = None
    ) -> None:
        """Find what the rules let go and prove it, oldest first, until there is enough of it.

        Args:
            limit: messages to delete at most.
            shown: the messages of a plan that was shown, the only ones that may go; how full the mailbox is now
                does not matter then.

        Raises:
            Refused: a rule asks how full the mailbox is, and that is unknown.
            ArchipecError: an archive can't tell now what it holds.
        """
        rules = rules_now(self._pipeline, self._sinks, self._ledger)
        source = self._ledger.sources.number(self._pipeline.source.where)
        known = {name: number for number, name, _ignored in self._ledger.sources.folders(source)}
        for name, listing in mailbox.folders.items():
            for listed, archived in self._known(known.get(name), listing):
                entry = PlanEntry(listed, None if archived is None else archived.key)
                match rules.judge(listed, archived):
                    case Candidate() if not _is_shown(entry, shown):
                        entry.keep(KeepReason.NOT_PLANNED)
                    case Candidate() as candidate:
                        entry.candidate = candidate
                    case KeepReason() as reason:
                        is_damaged = reason in (KeepReason.MISSING, KeepReason.ALTERED)
                        entry.keep(reason, _(_MENDED) if is_damaged else "")
                self._report.entries.append(entry)
        chosen = [entry for entry in self._report.entries if entry.candidate is not None]
        self._prove(chosen, self._bytes_to_free() if shown is None else None, limit)

    def _known(
        self, folder: int | None, listing: Sequence[Listed]
    ) -> Iterator[tuple[Listed, ArchivedMessage | None]]:
        """Yield messages with what the ledger knows of them; of a page of them at a time."""
        for start in range(0, len(listing), _BATCH):
            page = listing[start : start + _BATCH]
            refs = [one.ref for one in page]
            held = {} if folder is None else self._ledger.deletions.held_of(folder, self._sinks, refs)
            for listed in page:
                yield listed, held.get(listed.ref)

    def _bytes_to_free(self) -> int | None:
        """Return how many bytes are to be freed: None for all there are."""
        if self._policy.free_to is None and self._policy.when_above is None:
            return None
        if self._report.quota is None:
            raise Refused(
                _("the server doesn't tell how full the mailbox is, and a rule asks for it"),
                hint=_('say how large it is: quota = "2 GB" in [pipeline.prune], or --quota'),
            )
        size, self._report.note = bytes_to_free(self._policy, self._report.quota)
        return size

    def _prove(self, entries: Iterable[PlanEntry], size: int | None, limit: int | None) -> None:
        """Prove entries, oldest first, until enough bytes and messages are: those may be deleted."""
        freed, proven = 0, len(self._report.with_action(Action.DELETE, Action.DELETED, Action.MOVED))
        waiting = iter(sorted(entries, key=lambda entry: entry.candidate.date if entry.candidate else 0))
        while batch := list(islice(waiting, _BATCH)):
            enough = (size is not None and freed >= size) or (limit is not None and proven >= limit)
            proofs = (
                {} if enough else self._prover.prove(one.candidate.held for one in batch if one.candidate)
            )
            for entry in batch:
                assert entry.candidate is not None
                proof = proofs.get(entry.candidate.held.content)
                if proof is not None:
                    entry.prove(proof)
                if proof is not None and proof.doubt is not None:
                    continue
                if size is not None and freed >= size:
                    entry.keep(KeepReason.ENOUGH_ROOM)
                elif limit is not None and proven >= limit:
                    entry.keep(KeepReason.LIMIT)
                else:
                    entry.choose()
                    freed += entry.size
                    proven += 1
            self._run.observe(self._report)

    def guard_share(self, mailbox: MailboxSurvey) -> None:
        """Refuse a plan that takes too much of any folder.

        Raises:
            Refused: it does.
        """
        going = Counter(entry.listed.folder for entry in self._report.with_action(Action.DELETE))
        for folder, number in going.items():
            share = 100 * number / len(mailbox.folders[folder])
            if share > self._policy.max_share:
                raise Refused(
                    _(
                        'the plan takes {share} % of the messages of folder "{folder}", more than {max_share} %'
                    ).format(share=written(share), folder=folder, max_share=self._policy.max_share),
                    hint=_("if that is meant: --allow-large, or max_share in [pipeline.prune]"),
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
        chosen = []
        for listed in listing:
            key = keys.get(listed.ref)
            if listed.ref not in keys or (own is not None and key not in own):
                continue
            archived = held.get(key) if key else None
            entry = PlanEntry(listed, key)
            reason = rules.blocking_reason(listed, archived)
            if reason is not None or archived is None:
                entry.keep(reason or KeepReason.NOT_ARCHIVED)
            elif not _is_shown(entry, shown):
                entry.keep(KeepReason.NOT_PLANNED)
            else:
                entry.candidate = Candidate(listed, archived, 0)
                chosen.append(entry)
            self._report.entries.append(entry)
        self._prove(chosen, None, limit)


def _is_shown(entry: PlanEntry, shown: frozenset[PlannedMessage] | None) -> bool:
    if shown is None:
        return True
    return entry.key is not None and (entry.listed.folder, entry.listed.ref, entry.key.sha256) in shown
