"""Zip files: a webmail's Maildir download or a provider's export in one zip or several, and archives of zips.

An archive holds zips of ``.eml`` files, of an mbox each, or of a Maildir each, which every system opens.

Nothing is compressed unless asked for. PEC is base64 for the most part, of which deflate saves a quarter: measured on
3,000 messages of 27 MB, it makes 0.54 s of CPU out of 0.16, where a Maildir of the same takes 0.48.

A message is stored, and can be read back, when its batch is committed; other programs see it when the run has ended and
the zip's directory is written. See `writer` for how a zip grows and `toc` for the table beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archipec.contract import Claim, DumpSample, Option, SinkType, SourceType, byte_size, choice, deferred
from archipec.hookspecs import hookimpl
from archipec.language import N_, _
from archipec_plugins.files.records import ARCHIVE_DIRECTORY, directory_url, path_of, path_option, paths_of
from archipec_plugins.files.unsealed import LOOSE
from archipec_plugins.mbox import DIALECT, dialect_of

if TYPE_CHECKING:
    from archipec_plugins.mbox.dialect import Dialect


@dataclass(frozen=True, slots=True)
class ZipSourceConfig:
    """The zip or folder of zips to read.

    Attributes:
        dialect: of an mbox in it, None to find out.
        loose: also take messages that lack their envelope.
    """

    path: Path
    dialect: Dialect | None
    loose: bool


@dataclass(frozen=True, slots=True)
class ZipSinkConfig:
    """Where the archive is and what its zips hold.

    Attributes:
        split: bytes of a zip at most, except for a message that is larger; or the time that each is for.
        deflate: whether messages are compressed.
    """

    path: Path
    inside: Literal["eml", "mbox", "maildir"] = "eml"
    split: int | Literal["year", "month"] = 2_000_000_000
    deflate: bool = False


def _split(value: object) -> int | str:
    if value in ("year", "month"):
        return str(value)
    try:
        size = byte_size(value)
    except ValueError:
        size = 0
    if not size:
        raise ValueError(_('must be year, month or a size such as "2 GB"'))
    return size


def _parse_source(values: Mapping[str, Any]) -> ZipSourceConfig:
    return ZipSourceConfig(values["path"], dialect_of(values["dialect"]), values["loose"])


def _parse_sink(values: Mapping[str, Any]) -> ZipSinkConfig:
    return ZipSinkConfig(values["path"], values["inside"], values["split"], values["compress"] == "deflated")


def _detects(sample: DumpSample) -> Claim:
    """Only the zips of the top are looked into."""
    is_zip = sample.beginning.lstrip(b"\r\n").startswith(b"PK") or (
        not sample.beginning and sample.name.lower().endswith(".zip")
    )
    return Claim.PART if is_zip and "/" not in sample.path else Claim.NONE


ZIP_SOURCE = SourceType(
    api=1,
    name="zip",
    summary="a zip, or a folder of them, that holds a Maildir, messages (.eml) or an mbox",
    schemes=("zip",),
    options=(path_option(N_("the zip file, or a folder that holds zip files")), DIALECT, LOOSE),
    parse=_parse_source,
    where=directory_url("zip"),
    open=deferred("archipec_plugins.zip.source:open_source"),
    reads=paths_of,
    detects=_detects,
)

ZIP_SINK = SinkType(
    api=1,
    name="zip",
    summary="zips of .eml files, of an MBOX each or of a Maildir each, by size, year or month",
    schemes=("zip",),
    options=(
        ARCHIVE_DIRECTORY,
        Option(
            name="inside",
            help="what a zip holds: eml, maildir, or mbox (one, of one run)",
            default="eml",
            convert=choice("eml", "mbox", "maildir"),
        ),
        Option(
            name="split",
            help="how large a zip may grow, or year or month: one for each",
            default=2_000_000_000,
            unit="bytes",
            convert=_split,
        ),
        Option(
            name="compress",
            help="stored (fast) or deflated (a quarter smaller)",
            default="stored",
            convert=choice("stored", "deflated"),
        ),
    ),
    parse=_parse_sink,
    where=directory_url("zip", ascii_only=True),
    open=deferred("archipec_plugins.zip.sink:open_sink"),
    root=path_of,
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the zip source."""
    yield ZIP_SOURCE


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the zip sink."""
    yield ZIP_SINK
