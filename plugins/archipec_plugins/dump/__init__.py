"""A dump of whatever format: recognises it, and reads it by the source made for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from archipec.contract import Context, Source, SourceType
from archipec.hookspecs import hookimpl
from archipec_plugins.dump.config import OPTIONS, Config, parse, where

__all__ = ["DUMP", "archipec_sources"]


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Source]:
    from archipec_plugins.dump.source import open_source

    with open_source(config, context) as source:
        yield source


DUMP = SourceType(
    api=1,
    name="dump",
    summary="a download or export of mail, in whatever format it is",
    schemes=("dump",),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=_open,
    reads=lambda config: (config.path,),
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the source that recognises dumps."""
    yield DUMP
