"""Zip files as a source: a webmail's Maildir download, a provider's archive export in one zip or in several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from archipec.contract import Context, Source, SourceType
from archipec.hookspecs import hookimpl
from archipec_plugins.zip.config import OPTIONS, Config, parse, where

__all__ = ["ZIP", "archipec_sources"]


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Source]:
    from archipec_plugins.zip.source import open_source

    with open_source(config, context) as source:
        yield source


ZIP = SourceType(
    api=1,
    name="zip",
    summary="a zip, or a folder of them, that holds a Maildir, messages (.eml) or an mbox",
    schemes=("zip",),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=_open,
    reads=lambda config: (config.path,),
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the zip source."""
    yield ZIP
