"""A directory tree of messages as webmails let people download them: one file, one message, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archipec.contract import Context, Option, Source, SourceType, file_path
from archipec.hookspecs import hookimpl

__all__ = ["EML", "archipec_sources"]


def _parse(values: Mapping[str, Any]) -> Path:
    path: Path = values["path"]
    return path


def _where(path: Path) -> str:
    """Return ``eml:/path``: symbolic links resolved, only what no address may hold written as %XX."""
    from archipec_plugins.sources.eml.names import url_path

    return f"eml:{url_path(path)}"


@contextmanager
def _open(path: Path, context: Context) -> Iterator[Source]:
    from archipec_plugins.sources.eml.source import open_source

    with open_source(path, context) as source:
        yield source


EML = SourceType(
    api=1,
    name="eml",
    summary="a folder of downloaded messages (.eml), subfolders included",
    schemes=("eml",),
    options=(
        Option(
            name="path",
            help="the folder, or one file",
            required=True,
            part="path",
            convert=file_path,
        ),
    ),
    parse=_parse,
    where=_where,
    open=_open,
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the source for downloaded messages."""
    yield EML
