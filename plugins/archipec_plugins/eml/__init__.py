"""A directory tree of messages as webmails let people download them: one file, one message, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archipec.contract import Context, Option, Source, SourceType, file_path
from archipec.hookspecs import hookimpl
from archipec_plugins.files.unsealed import LOOSE

__all__ = ["EML", "Config", "archipec_sources"]


@dataclass(frozen=True, slots=True)
class Config:
    """The folder or file to read; ``loose``: also take messages that lack their envelope."""

    path: Path
    loose: bool


def _parse(values: Mapping[str, Any]) -> Config:
    return Config(values["path"], values["loose"])


def _where(config: Config) -> str:
    """Return ``eml:/path``: symbolic links resolved, only what no address may hold written as %XX."""
    from archipec_plugins.files.escape import url_path

    return f"eml:{url_path(config.path)}"


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Source]:
    from archipec_plugins.eml.source import open_source

    with open_source(config.path, context, loose=config.loose) as source:
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
        LOOSE,
    ),
    parse=_parse,
    where=_where,
    open=_open,
    reads=lambda config: (config.path,),
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the source for downloaded messages."""
    yield EML
