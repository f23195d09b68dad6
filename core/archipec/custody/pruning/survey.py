"""Looks at a mailbox as it is now: what its folders hold, how full it is, where its trash is. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from archipec.config.pipeline import Pipeline
from archipec.contract import Context, Source, SupportsDelete, SupportsQuota, SupportsTrash
from archipec.custody.run import Backoff, Cancellation
from archipec.errors import Interrupted, Refused, TransientError
from archipec.message import Listed, Quota
from archipec.plugins.boundary import plugin_boundary

__all__ = ["MailboxSurvey", "quota_by", "survey_mailbox", "trash_of"]


@dataclass(frozen=True, slots=True)
class MailboxSurvey:
    """A mailbox as it is.

    Attributes:
        folders: messages by folder, in listing order.
        quota: None when neither the server nor the policy tells. Less the trash where ``only_moves``.
        only_moves: what is deleted goes into the trash and frees nothing.
    """

    folders: dict[str, Sequence[Listed]] = field(default_factory=dict)
    quota: Quota | None = None
    only_moves: bool = False


def survey_mailbox(pipeline: Pipeline, context: Context, stop: Cancellation) -> MailboxSurvey:
    """List every folder in scope from its start, trying again where that may help.

    Raises:
        Refused: the source can't delete.
        ArchipecError: not everything could be listed.
    """
    retry = Backoff(stop, context.log)
    source = pipeline.source
    while True:
        try:
            with plugin_boundary(source.record), source.record.open(source.config, context) as opened:
                return _look(pipeline, opened, context)
        except TransientError as error:
            if not retry.wait(error):
                raise


def _look(pipeline: Pipeline, source: Source, context: Context) -> MailboxSurvey:
    if not isinstance(source, SupportsDelete):
        raise Refused(f'a "{pipeline.source.record.name}" source can\'t delete messages')
    selections = (pipeline.selection, *pipeline.prune.selections)
    wanted = [
        folder.name
        for folder in source.folders()
        if all(selection.wants_folder(folder.name) for selection in selections)
    ]
    folders: dict[str, Sequence[Listed]] = {}
    for name in wanted:
        folders[name] = list(source.scan(name, None))
        if context.cancelled():
            raise Interrupted("stopped as asked", hint="nothing was deleted")
    told = source.quota() if isinstance(source, SupportsQuota) else None
    used = sum(listed.size or 0 for listing in folders.values() for listed in listing)
    quota = quota_by(told, pipeline.prune.quota, used)
    moves = isinstance(source, SupportsTrash) and source.only_moves()
    if moves and told is not None and quota is not None:
        # Else a rule by size would move more at every run, for what is in the trash fills the mailbox still.
        in_trash = sum(listed.size or 0 for listed in source.scan(trash_of(source), None))
        quota = Quota(max(0, quota.used - in_trash), quota.limit)
    return MailboxSurvey(folders, quota, moves)


def quota_by(told: Quota | None, configured: int | None, listed: int) -> Quota | None:
    """Return a mailbox's quota: as the server tells; its size as configured, its use then at least as listed.

    Args:
        configured: bytes, or None.
        listed: bytes of the messages known.
    """
    if configured is None:
        return told
    return Quota(listed if told is None else told.used, configured)


def trash_of(source: Source) -> str:
    """Return the name of the folder for what was deleted.

    Raises:
        Refused: it isn't known.
    """
    folder = source.trash() if isinstance(source, SupportsTrash) else None
    if folder is None:
        raise Refused("the mailbox has no folder that is known to be its trash")
    return folder
