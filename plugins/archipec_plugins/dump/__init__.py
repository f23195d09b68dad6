"""A dump of whatever format: finds out which, and reads it by the source made for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archipec.contract import SourceType, deferred
from archipec.hookspecs import hookimpl
from archipec.language import N_
from archipec_plugins.files.records import directory_url, path_option, paths_of
from archipec_plugins.files.unsealed import LOOSE
from archipec_plugins.mbox import DIALECT


@dataclass(frozen=True, slots=True)
class DumpConfig:
    """What to read; ``dialect`` and ``loose`` are as the sources that read it have them."""

    path: Path
    dialect: str
    loose: bool


def _parse(values: Mapping[str, Any]) -> DumpConfig:
    return DumpConfig(values["path"], values["dialect"], values["loose"])


DUMP = SourceType(
    api=1,
    name="dump",
    summary="a download or export of mail, in whatever format it is",
    schemes=("dump",),
    options=(path_option(N_("the file or folder")), DIALECT, LOOSE),
    parse=_parse,
    where=directory_url("dump"),
    open=deferred("archipec_plugins.dump.detect:open_source"),
    reads=paths_of,
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the source that finds out the format of a dump."""
    yield DUMP
