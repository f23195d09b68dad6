"""Thunderbird: its folders as a source, its local folders to look at what was archived, and its trust in PEC's seals.

The sink is a view, and no archive: messages appear below one folder of their own under "Local Folders" at Thunderbird's
next start, each once: what somebody deletes there stays deleted. Thunderbird rewrites its files, so that nothing there
proves anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archipec.contract import Claim, DumpSample, Option, PostStepType, SinkType, SourceType, boolean, deferred
from archipec.errors import ConfigError
from archipec.hookspecs import hookimpl
from archipec.language import N_, _
from archipec_plugins.files.records import directory_url, parse_path, path_option, paths_of


@dataclass(frozen=True, slots=True)
class ThunderbirdSinkConfig:
    """A profile, and the folder in it that everything goes below."""

    path: Path
    folder: str


def _parse_sink(values: Mapping[str, Any]) -> ThunderbirdSinkConfig:
    folder: str = values["folder"]
    if not folder.isprintable() or "/" in folder or not folder.strip():
        raise ConfigError(
            _('option "folder" must be the name of one folder, not {folder}').format(folder=repr(folder))
        )
    return ThunderbirdSinkConfig(values["path"], folder)


_profile_url = directory_url("thunderbird", ascii_only=True)


def _where_sink(config: ThunderbirdSinkConfig) -> str:
    from urllib.parse import quote

    return f"{_profile_url(config)}?folder={quote(config.folder, safe='')}"


def _detects(sample: DumpSample) -> Claim:
    """A profile has mboxes, Maildirs and zips in it: they are all Thunderbird's."""
    names = {name.removesuffix("/") for name in sample.names}
    is_profile = "prefs.js" in names or any(name.endswith((".msf", ".sbd")) for name in names)
    return Claim.WHOLE if is_profile else Claim.NONE


THUNDERBIRD_SOURCE = SourceType(
    api=1,
    name="thunderbird",
    summary="the folders of Thunderbird, as they lie in a profile",
    schemes=("thunderbird",),
    options=(path_option(N_('the profile, or what is in its "Mail" or "ImapMail"')),),
    parse=parse_path,
    where=directory_url("thunderbird"),
    open=deferred("archipec_plugins.thunderbird.source:open_source"),
    reads=paths_of,
    detects=_detects,
)

THUNDERBIRD_SINK = SinkType(
    api=1,
    name="thunderbird",
    summary="local folders of Thunderbird, to look at what was archived; no archive",
    schemes=("thunderbird",),
    options=(
        path_option(N_("the profile")),
        Option(
            name="folder",
            help='the folder under "Local Folders" to put everything below',
            default="archipec",
        ),
    ),
    parse=_parse_sink,
    where=_where_sink,
    open=deferred("archipec_plugins.thunderbird.view:open_sink"),
    view=True,
)

THUNDERBIRD_STEP = PostStepType[Mapping[str, Any]](
    api=1,
    name="thunderbird",
    summary="looks whether Thunderbird trusts the seals of PEC providers, and can make it",
    schemes=("thunderbird",),
    options=(
        Option(
            name="profile",
            help="a profile's folder or name; by default what Thunderbird opens",
            part="path",
        ),
        Option(
            name="trust",
            help="set what is missing, while Thunderbird is closed, as `thunderbird-profile-tool trust` does",
            default=False,
            convert=boolean,
        ),
    ),
    parse=dict,
    where=lambda config: f"thunderbird:{config['profile'] or 'default'}",
    open=deferred("archipec_plugins.thunderbird.step:open_step"),
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the source for Thunderbird's folders."""
    yield THUNDERBIRD_SOURCE


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the sink for Thunderbird's folders."""
    yield THUNDERBIRD_SINK


@hookimpl
def archipec_poststeps() -> Iterable[PostStepType[Any]]:
    """Yield the Thunderbird step."""
    yield THUNDERBIRD_STEP
