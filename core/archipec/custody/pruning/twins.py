"""Chooses what is deleted first: messages whose deletion leaves no other with the same bytes in the mailbox."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from archipec.custody.ledger import Ledger
from archipec.custody.pruning.plan import Action, PlanEntry

__all__ = ["first_ones"]


def first_ones(
    planned: Sequence[PlanEntry],
    entries: Iterable[PlanEntry],
    ledger: Ledger,
    source: int,
    listed_now: Callable[[Sequence[str]], Mapping[str, set[str]]],
) -> tuple[list[list[PlanEntry]], bool]:
    """Return groups of planned entries with the same bytes, in the order in which to try them as the first deletion.

    Where archive and mailbox are one store, a message with the same bytes that stays would be given back as the copy of
    the one that went.

    Args:
        planned: those to delete, all proven.
        entries: everything the mailbox was seen to hold.
        source: the ledger's number of it.
        listed_now: gives the refs of folders as they are now; a folder that can't be listed is left out.

    Returns:
        the groups, fewest and smallest messages first, and whether none of their bytes stay in the mailbox. Where
        every planned message has a twin that stays, each is a group by itself, and False.
    """
    groups: defaultdict[int, list[PlanEntry]] = defaultdict(list)
    for entry in planned:
        if entry.candidate is not None:
            groups[entry.candidate.held.content].append(entry)
    there = {(entry.listed.folder, entry.listed.ref): entry for entry in entries}
    # A folder that was listed holds what was seen; of others the ledger tells what they held.
    seen = {folder for folder, _ in there}
    staying = {
        entry.key for entry in there.values() if entry.action is not Action.DELETE and not entry.touched
    }
    elsewhere: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    for folder, ref, content in ledger.deletions.twins_of(source, groups):
        if folder not in seen:
            elsewhere[folder].add((ref, content))
    doubted = {content for twins in elsewhere.values() for _, content in twins}
    whole = {content: group for content, group in groups.items() if group[0].key not in staying}
    sure = [group for content, group in whole.items() if content not in doubted]
    if not sure and whole and elsewhere:
        now = listed_now(sorted(elsewhere))
        found = {
            content
            for folder, twins in elsewhere.items()
            for ref, content in twins
            if ref in now.get(folder, {ref})
        }
        sure = [group for content, group in whole.items() if content not in found]
    chosen = sure or [[entry] for group in groups.values() for entry in group]
    return sorted(chosen, key=lambda group: (len(group), group[0].size)), bool(sure)
