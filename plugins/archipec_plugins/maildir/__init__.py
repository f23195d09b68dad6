"""Maildirs (https://cr.yp.to/proto/maildir.html): a file for each message, exactly as it came.

The source reads those of mail servers, of webmail downloads, and archipec's own archives. In an archive, messages go to
``cur``, with the flags they had: nothing in it is new mail, and mail programs (mutt, Dovecot, Thunderbird) show what is
there without renaming it. See `names` for the files' names; the directories' are those of `archipec_plugins.files.layout`.
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
from archipec_plugins.files.records import (
    ARCHIVE_DIRECTORY,
    directory_url,
    parse_path,
    path_of,
    path_option,
    paths_of,
)
from archipec_plugins.files.timestamps import Timestamps


@dataclass(frozen=True, slots=True)
class MaildirSinkConfig:
    """Where the archive is, and what its Maildirs are: the source's folders, or days."""

    path: Path
    layout: Literal["folder", "date"]
    timestamps: Timestamps


def _parse_sink(values: Mapping[str, Any]) -> MaildirSinkConfig:
    return MaildirSinkConfig(values["path"], values["layout"], Timestamps.of(values))


def _detects(sample: DumpSample) -> Claim:
    return Claim.PART if {"cur/", "new/"} & sample.names else Claim.NONE


MAILDIR_SOURCE = SourceType(
    api=1,
    name="maildir",
    summary="a Maildir with its subfolders, or a folder of Maildirs",
    schemes=("maildir",),
    options=(path_option(N_("the Maildir, or a folder that holds Maildirs")),),
    parse=parse_path,
    where=directory_url("maildir"),
    open=deferred("archipec_plugins.maildir.source:open_source"),
    reads=paths_of,
    detects=_detects,
)

MAILDIR_SINK = SinkType(
    api=1,
    name="maildir",
    summary="Maildirs, a file for each message, by folder or by day",
    schemes=("maildir",),
    options=(
        ARCHIVE_DIRECTORY,
        Option(
            name="layout",
            help="a Maildir for each folder of the mailbox, or for each day (year/month/day): folder or date",
            default="folder",
            convert=choice("folder", "date"),
        ),
        *TSA_OPTIONS,
    ),
    parse=_parse_sink,
    where=directory_url("maildir", ascii_only=True),
    open=deferred("archipec_plugins.maildir.index:open_sink"),
    root=path_of,
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the Maildir source."""
    yield MAILDIR_SOURCE


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the Maildir sink."""
    yield MAILDIR_SINK
