"""Maildirs and Maildir++ as a source: those of mail servers, of webmail downloads, and archipec's own archives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archipec.contract import Context, Option, Source, SourceType, file_path
from archipec.hookspecs import hookimpl

__all__ = ["MAILDIR", "archipec_sources"]


def _parse(values: Mapping[str, Any]) -> Path:
    path: Path = values["path"]
    return path


def _where(path: Path) -> str:
    from archipec_plugins.files.escape import url_path

    return f"maildir:{url_path(path)}"


@contextmanager
def _open(path: Path, context: Context) -> Iterator[Source]:
    from archipec_plugins.maildir.source import open_source

    with open_source(path, context) as source:
        yield source


MAILDIR = SourceType(
    api=1,
    name="maildir",
    summary="a Maildir with its subfolders, or a folder of Maildirs",
    schemes=("maildir",),
    options=(
        Option(
            name="path",
            help="the Maildir, or a folder that holds Maildirs",
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
    """Yield the Maildir source."""
    yield MAILDIR
