"""Mbox files: exports of mail programs and providers as a source, and archives that mail programs open.

An archive is in the mboxrd format, each file with a table of contents by which every message reads back exactly.
Thunderbird, mutt and Python's `mailbox` open the files. See `mboxrd` for the format and `toc` for the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archipec.contract import Claim, DumpSample, Option, SinkType, SourceType, byte_size, choice, deferred
from archipec.errors import ConfigError
from archipec.hookspecs import hookimpl
from archipec.language import N_, _
from archipec_plugins.files.records import ARCHIVE_DIRECTORY, directory_url, path_of, path_option, paths_of

if TYPE_CHECKING:
    from archipec_plugins.mbox.dialect import Dialect

DIALECT = Option(
    name="dialect",
    help="how lines that begin with From are quoted: auto to find out, mboxrd, mboxo, or mboxcl2 for not at all",
    default="auto",
    convert=choice("auto", "mboxrd", "mboxo", "mboxcl2"),
)


def dialect_of(word: str) -> Dialect | None:
    """Return the dialect that a value of `DIALECT` means."""
    from archipec_plugins.mbox.dialect import Dialect

    return None if word == "auto" else Dialect(word)


@dataclass(frozen=True, slots=True)
class MboxSourceConfig:
    """The file or folder to read; ``dialect`` is None when it is to be found out."""

    path: Path
    dialect: Dialect | None


@dataclass(frozen=True, slots=True)
class MboxSinkConfig:
    """Where the archive is, and what a file of it holds; ``split_size`` in bytes."""

    path: Path
    split: Literal["none", "year", "size"]
    split_size: int


def _parse_source(values: Mapping[str, Any]) -> MboxSourceConfig:
    return MboxSourceConfig(values["path"], dialect_of(values["dialect"]))


def _parse_sink(values: Mapping[str, Any]) -> MboxSinkConfig:
    if values["split_size"] < 1:
        raise ConfigError(_('option "split_size" must be above 0'))
    return MboxSinkConfig(values["path"], values["split"], values["split_size"])


def _detects(sample: DumpSample) -> Claim:
    return Claim.PART if sample.beginning.lstrip(b"\r\n").startswith(b"From ") else Claim.NONE


MBOX_SOURCE = SourceType(
    api=1,
    name="mbox",
    summary="an mbox, or a folder of them",
    schemes=("mbox",),
    options=(path_option(N_("the file, or a folder that holds mbox files")), DIALECT),
    parse=_parse_source,
    where=directory_url("mbox"),
    open=deferred("archipec_plugins.mbox.source:open_source"),
    reads=paths_of,
    detects=_detects,
)

MBOX_SINK = SinkType(
    api=1,
    name="mbox",
    summary="MBOX files, which mail programs open: one, one a year, or of a given size",
    schemes=("mbox",),
    options=(
        ARCHIVE_DIRECTORY,
        Option(
            name="split",
            help="when a new file is begun: none (a single file), year, or size",
            default="none",
            convert=choice("none", "year", "size"),
        ),
        Option(
            name="split_size",
            help="how large a file may grow, with split = size",
            default=2_000_000_000,
            unit="bytes",
            convert=byte_size,
        ),
    ),
    parse=_parse_sink,
    where=directory_url("mbox", ascii_only=True),
    open=deferred("archipec_plugins.mbox.sink:open_sink"),
    root=path_of,
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the mbox source."""
    yield MBOX_SOURCE


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the MBOX sink."""
    yield MBOX_SINK
