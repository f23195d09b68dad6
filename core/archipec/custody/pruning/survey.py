"""Reads a mailbox as it is now: what its folders hold, how full it is, whether messages are still those that are archived.

Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from archipec.config.pipeline import Pipeline
from archipec.contract import Source, SupportsDelete, SupportsHeaders, SupportsQuota, SupportsTrash
from archipec.custody.pruning.proof import head_digest
from archipec.custody.run import Cancellation, Run
from archipec.errors import ArchipecError, Interrupted, Refused, Scope, TransientError
from archipec.language import _
from archipec.message import ContentKey, Listed, Quota

__all__ = ["Expected", "MailboxSurvey", "Recheck", "fetch_keys", "recheck", "survey_mailbox", "trash_of"]


@dataclass(frozen=True, slots=True)
class MailboxSurvey:
    """A mailbox as it is.

    Attributes:
        folders: messages by folder, in listing order.
        quota: None when neither the server nor the policy says how large it is. Less the trash where ``only_moves``.
        only_moves: what is deleted goes into the trash and frees nothing.
    """

    folders: dict[str, Sequence[Listed]] = field(default_factory=dict)
    quota: Quota | None = None
    only_moves: bool = False


def survey_mailbox(pipeline: Pipeline, run: Run[Any]) -> MailboxSurvey:
    """List every folder in scope from its start, trying again where that may help.

    Raises:
        Refused: the source can't delete.
        ArchipecError: not everything could be listed.
    """
    backoff = run.backoff(pipeline.source)
    while True:
        try:
            with run.open(pipeline.source) as source:
                return _survey(pipeline, source, run.stop)
        except TransientError as error:
            if not backoff.wait(error):
                raise


def _survey(pipeline: Pipeline, source: Source, stop: Cancellation) -> MailboxSurvey:
    if not isinstance(source, SupportsDelete):
        raise Refused(_('a "{name}" source can\'t delete messages').format(name=pipeline.source.record.name))
    selections = (pipeline.selection, *pipeline.prune.selections)
    wanted = [
        folder.name
        for folder in source.folders()
        if all(selection.wants_folder(folder.name) for selection in selections)
    ]
    folders: dict[str, Sequence[Listed]] = {}
    for name in wanted:
        folders[name] = list(source.scan(name, None))
        if stop.is_set():
            raise Interrupted(_("stopped as asked"), hint=_("nothing was deleted"))
    reported = source.quota() if isinstance(source, SupportsQuota) else None
    used = sum(listed.size or 0 for listing in folders.values() for listed in listing)
    quota = pipeline.prune.quota_of(reported, used)
    moves = isinstance(source, SupportsTrash) and source.only_moves()
    if moves and reported is not None and quota is not None:
        # Else a rule by size would move more at every run, for what is in the trash fills the mailbox still.
        in_trash = sum(listed.size or 0 for listed in source.scan(trash_of(source), None))
        quota = Quota(max(0, quota.used - in_trash), quota.limit)
    return MailboxSurvey(folders, quota, moves)


def trash_of(source: Source) -> str:
    """Return the name of the folder for what was deleted.

    Raises:
        Refused: it isn't known.
    """
    folder = source.trash() if isinstance(source, SupportsTrash) else None
    if folder is None:
        raise Refused(_("the mailbox has no folder that is known to be its trash"))
    return folder


@dataclass(frozen=True, slots=True)
class Expected:
    """What a message must still be.

    Attributes:
        head: digest of its header (`head_digest`).
        size: bytes as the source lists them; None when it doesn't say.
    """

    key: ContentKey
    head: bytes
    size: int | None


class Recheck(NamedTuple):
    """Refs whose messages are still the ones, and refs that the source did not answer: gone, as a rule."""

    same: set[str]
    unanswered: set[str]


def recheck(source: Source, folder: str, expected: Mapping[str, Expected]) -> Recheck:
    """Ask a source for messages again.

    Headers are compared where the source gives them. A message with another header or size is read whole: some
    servers show the one or count the other otherwise than it is.

    Raises:
        ArchipecError: wider than one message.
    """
    same, unanswered = set[str](), set[str]()
    if isinstance(source, SupportsHeaders):
        likely = [ref for ref, one in expected.items() if one.size in (None, one.key.size)]
        heads = {ref: head_digest(head) for ref, head in source.headers(folder, likely)}
        same = {ref for ref in likely if heads.get(ref) == expected[ref].head}
    doubtful = [ref for ref in expected if ref not in same]
    if doubtful:
        keys = fetch_keys(source, folder, doubtful)
        unanswered = {ref for ref in doubtful if ref not in keys}
        same |= {ref for ref, key in keys.items() if key == expected[ref].key}
    return Recheck(same, unanswered)


def fetch_keys(source: Source, folder: str, refs: Iterable[str]) -> dict[str, ContentKey | None]:
    """Read messages whole; return their keys by ref, None for one that can't be read. What is gone is left out.

    Raises:
        ArchipecError: wider than one message.
    """
    keys: dict[str, ContentKey | None] = {}
    for fetched in source.fetch(folder, iter(list(refs))):
        try:
            keys[fetched.ref] = ContentKey.of_chunks(fetched.chunks)
        except ArchipecError as error:
            if error.scope > Scope.MESSAGE:
                raise
            keys[fetched.ref] = None
    return keys
