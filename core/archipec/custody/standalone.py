"""Opens an archive by its own record, where there is no ledger: a copied disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from archipec.config.endpoint import Endpoint
from archipec.contract import Sink, SinkType, SupportsIterate
from archipec.custody.locks import hold
from archipec.custody.marker import LOCK, MARKER, marker_is_gone, read_marker
from archipec.custody.run import Cancellation, make_context
from archipec.errors import ArchipecError, PermanentError, Unsupported, from_os_error
from archipec.inventory import last_summary
from archipec.language import _
from archipec.plugins.boundary import plugin_boundary

__all__ = ["open_standalone"]


@contextmanager
def open_standalone(
    sink: Endpoint[SinkType[Any]],
    temp: Path,
    stop: Cancellation,
    note: Callable[[ArchipecError], None],
    purpose: str,
) -> Iterator[Sink]:
    """Open an archive for reading, and hold it against every run that would write it.

    Args:
        temp: a private folder.
        note: called with what is wrong with the archive though it can be read.
        purpose: what can't be done with copies that are for looking at: ``verify``.

    Returns:
        whose copies the caller compares with their keys; a sink that also `SupportsIterate`.

    Raises:
        Unsupported: it does not say what it holds.
        PermanentError: there is no archive.
        ArchipecError: it can't be opened, or is in use.
    """
    with ExitStack() as held, plugin_boundary(sink.record):
        if sink.record.view:
            raise Unsupported(
                _('copies in "{name}" are for looking at: there is nothing to {purpose}').format(
                    name=sink.record.name, purpose=purpose
                )
            )
        _hold(sink, held, note)
        context = replace(make_context(sink.name, temp, stop), compares=True)
        opened = held.enter_context(sink.record.open(sink.config, context))
        if not isinstance(opened, SupportsIterate):
            raise Unsupported(
                _('a "{name}" archive keeps no record of its own').format(name=sink.record.name)
            )
        yield opened


def _hold(sink: Endpoint[SinkType[Any]], held: ExitStack, note: Callable[[ArchipecError], None]) -> None:
    root = sink.record.root(sink.config)
    if root is None:
        return
    try:
        if not read_marker(root):
            if not last_summary(root)[0]:
                raise PermanentError(
                    _("no archive of archipec at {root}: {marker} is missing").format(
                        root=root, marker=MARKER
                    ),
                    hint=_("check the path"),
                )
            note(marker_is_gone(root))
    except OSError as error:
        raise from_os_error(error, error.filename or root) from error
    try:
        held.enter_context(hold(root / LOCK, str(root)))
    except PermanentError:
        # Nobody else can write where this one may not either: a read-only medium needs no lock.
        if os.access(root, os.W_OK):
            raise
