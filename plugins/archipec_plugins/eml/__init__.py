"""Messages as files of their own (``.eml``): what webmails let people download, and archives with names to read.

The source reads a directory tree, one file, one message, byte for byte. The sink keeps an archive for those who file by
hand: by day, by folder or by kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archipec.contract import Claim, DumpSample, Option, SinkType, SourceType, choice, deferred
from archipec.hookspecs import hookimpl
from archipec.language import N_
from archipec.timestamp import TSA_OPTIONS
from archipec_plugins.files.records import ARCHIVE_DIRECTORY, directory_url, path_of, path_option, paths_of
from archipec_plugins.files.timestamps import Timestamps
from archipec_plugins.files.unsealed import LOOSE


@dataclass(frozen=True, slots=True)
class EmlSourceConfig:
    """The folder or file to read; ``loose``: also take messages that lack their envelope."""

    path: Path
    loose: bool


@dataclass(frozen=True, slots=True)
class EmlSinkConfig:
    """Where the archive is, and what its directories are."""

    path: Path
    layout: Literal["date", "folder", "kind"]
    timestamps: Timestamps


def _parse_source(values: Mapping[str, Any]) -> EmlSourceConfig:
    return EmlSourceConfig(values["path"], values["loose"])


def _parse_sink(values: Mapping[str, Any]) -> EmlSinkConfig:
    return EmlSinkConfig(values["path"], values["layout"], Timestamps.of(values))


def _detects(sample: DumpSample) -> Claim:
    by_name = not sample.beginning and sample.name.lower().endswith(".eml")
    return Claim.PART if by_name else Claim.NONE


EML_SOURCE = SourceType(
    api=1,
    name="eml",
    summary="a folder of downloaded messages (.eml), subfolders included",
    schemes=("eml",),
    options=(path_option(N_("the folder, or one file")), LOOSE),
    parse=_parse_source,
    where=directory_url("eml"),
    open=deferred("archipec_plugins.eml.source:open_source"),
    reads=paths_of,
    detects=_detects,
)

EML_SINK = SinkType(
    api=1,
    name="eml",
    summary=".eml files with readable names, by day, by folder or by kind",
    schemes=("eml",),
    options=(
        ARCHIVE_DIRECTORY,
        Option(
            name="layout",
            help="a directory for each day (year/month/day), for each folder of the mailbox, or for each kind of"
            " message: date, folder or kind",
            default="date",
            convert=choice("date", "folder", "kind"),
        ),
        *TSA_OPTIONS,
    ),
    parse=_parse_sink,
    where=directory_url("eml", ascii_only=True),
    open=deferred("archipec_plugins.eml.index:open_sink"),
    root=path_of,
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the source for downloaded messages."""
    yield EML_SOURCE


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the .eml sink."""
    yield EML_SINK
