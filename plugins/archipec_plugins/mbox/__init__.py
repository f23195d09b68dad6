"""Mbox files as a source: exports of mail programs and providers, and archipec's own archives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from archipec.contract import Context, Source, SourceType
from archipec.hookspecs import hookimpl
from archipec_plugins.mbox.config import OPTIONS, Config, parse, where

__all__ = ["MBOX", "archipec_sources"]


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Source]:
    from archipec_plugins.mbox.source import open_source

    with open_source(config, context) as source:
        yield source


MBOX = SourceType(
    api=1,
    name="mbox",
    summary="an mbox, or a folder of them",
    schemes=("mbox",),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=_open,
    reads=lambda config: (config.path,),
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the mbox source."""
    yield MBOX
