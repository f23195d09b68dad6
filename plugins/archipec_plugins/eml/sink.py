"""An archive of .eml files with names that people read, for those who file by hand: by day, by folder or by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archipec.contract import Context, Item, Option, Sink, SinkType, choice
from archipec.hookspecs import hookimpl
from archipec.timestamp import TSA_OPTIONS
from archipec_plugins.files.options import DIRECTORY
from archipec_plugins.files.timestamps import Timestamps

if TYPE_CHECKING:
    from archipec_plugins.files.tree import TreeSink

__all__ = ["EML", "Config", "archipec_sinks", "open_to_check"]


@dataclass(frozen=True, slots=True)
class Config:
    """Where the archive is, and what its directories are."""

    path: Path
    layout: Literal["date", "folder", "kind"]
    timestamps: Timestamps


def _parse(values: Mapping[str, Any]) -> Config:
    return Config(values["path"], values["layout"], Timestamps.of(values))


def _where(config: Config) -> str:
    from archipec_plugins.files.streams import place_url

    return place_url("eml", config.path)


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Sink]:
    from archipec_plugins.eml.index import EmlIndex
    from archipec_plugins.files.manifest import Manifest
    from archipec_plugins.files.tree import TreeSink

    root = str(config.path)
    manifest = Manifest(root)
    index = EmlIndex(root, _folder_of(root, config.layout), manifest)
    sink = TreeSink(root, index, manifest, config.timestamps, context)
    try:
        yield sink
    finally:
        sink.close()


def _folder_of(root: str, layout: str) -> Callable[[Item], str]:
    from archipec_plugins.eml.names import kind_folder
    from archipec_plugins.files import layout as folders

    if layout == "folder":
        return folders.by_folder(root)
    return folders.by_date if layout == "date" else lambda item: kind_folder(item.kind)


def open_to_check(root: Path, context: Context) -> TreeSink:
    """Return the sink of an archive that is only read: `TreeSink.check_record` says whether it is whole."""
    from archipec.timestamp import Authority
    from archipec_plugins.eml.index import EmlIndex
    from archipec_plugins.files import layout as folders
    from archipec_plugins.files.manifest import Manifest
    from archipec_plugins.files.tree import TreeSink

    manifest = Manifest(str(root))
    index = EmlIndex(str(root), folders.by_date, manifest)
    return TreeSink(str(root), index, manifest, Timestamps(Authority()), context)


def _root(config: Config) -> Path:
    return config.path


EML = SinkType(
    api=1,
    name="eml",
    summary=".eml files with readable names, by day, by folder or by kind",
    schemes=("eml",),
    options=(
        DIRECTORY,
        Option(
            name="layout",
            help="a directory for each day (year/month/day), for each folder of the mailbox, or for each kind of"
            " message: date, folder or kind",
            default="date",
            convert=choice("date", "folder", "kind"),
        ),
        *TSA_OPTIONS,
    ),
    parse=_parse,
    where=_where,
    open=_open,
    root=_root,
)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the .eml sink."""
    yield EML
