"""The hooks a plugin may implement, and the marker it implements them with. Nothing else is called by name.

Each hook takes no arguments and yields records (`archipec.contract`). The host calls every implementation
by itself: one that raises is reported with its distribution and version, the others go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from archipec.contract import PostStepType, SinkType, SourceType

__all__ = ["archipec_poststeps", "archipec_sinks", "archipec_sources", "hookimpl"]

hookspec = pluggy.HookspecMarker("archipec")
hookimpl = pluggy.HookimplMarker("archipec")


@hookspec
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the places this plugin can take messages from.

    Example::

        @hookimpl
        def archipec_sources():
            yield SourceType(api=1, name="imap", schemes=("imaps", "imap"), ...)
    """
    return ()


@hookspec
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the places this plugin can keep copies in.

    Example::

        @hookimpl
        def archipec_sinks():
            yield SinkType(api=1, name="maildir", schemes=("maildir",), ...)
    """
    return ()


@hookspec
def archipec_poststeps() -> Iterable[PostStepType[Any]]:
    """Yield what this plugin can do after a pipeline has archived.

    Example::

        @hookimpl
        def archipec_poststeps():
            yield PostStepType(api=1, name="quota", ...)
    """
    return ()
