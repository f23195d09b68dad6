"""Thunderbird's own folders as a source: a profile's mail, whether in mbox files or in Maildirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archipec.contract import Context, Option, Source, SourceType, file_path
from archipec.hookspecs import hookimpl

__all__ = ["THUNDERBIRD", "archipec_sources"]


def _parse(values: Mapping[str, Any]) -> Path:
    path: Path = values["path"]
    return path


def _where(path: Path) -> str:
    from archipec_plugins.files.escape import url_path

    return f"thunderbird:{url_path(path)}"


@contextmanager
def _open(path: Path, context: Context) -> Iterator[Source]:
    from archipec_plugins.thunderbird.source import open_source

    with open_source(path, context) as source:
        yield source


THUNDERBIRD = SourceType(
    api=1,
    name="thunderbird",
    summary="the folders of Thunderbird, as they lie in a profile",
    schemes=("thunderbird",),
    options=(
        Option(
            name="path",
            help='the profile, or what is in its "Mail" or "ImapMail"',
            required=True,
            part="path",
            convert=file_path,
        ),
    ),
    parse=_parse,
    where=_where,
    open=_open,
    reads=lambda path: (path,),
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the source for Thunderbird's folders."""
    yield THUNDERBIRD
