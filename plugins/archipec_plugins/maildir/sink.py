"""An archive of Maildirs (https://cr.yp.to/proto/maildir.html): a file for each message, exactly as it came.

Messages go to ``cur``, with the flags they had: nothing in an archive is new mail, and mail programs (mutt, Dovecot,
Thunderbird) show what is there without renaming it. See `names` for the files' names; the directories' are those of
`archipec_plugins.files.layout`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archipec.contract import Context, Option, Sink, SinkType, choice
from archipec.hookspecs import hookimpl
from archipec.timestamp import TSA_OPTIONS
from archipec_plugins.files.options import DIRECTORY
from archipec_plugins.files.timestamps import Timestamps

if TYPE_CHECKING:
    from archipec_plugins.files.tree import TreeSink

__all__ = ["MAILDIR", "Config", "archipec_sinks", "open_to_check"]


@dataclass(frozen=True, slots=True)
class Config:
    """Where the archive is, and what its Maildirs are: the source's folders, or days."""

    path: Path
    layout: Literal["folder", "date"]
    timestamps: Timestamps


def _parse(values: Mapping[str, Any]) -> Config:
    return Config(values["path"], values["layout"], Timestamps.of(values))


def _where(config: Config) -> str:
    from archipec_plugins.files.streams import place_url

    return place_url("maildir", config.path)


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Sink]:
    from archipec_plugins.files import layout as folders
    from archipec_plugins.files.manifest import Manifest
    from archipec_plugins.files.tree import TreeSink
    from archipec_plugins.maildir.index import MaildirIndex

    root = str(config.path)
    maildir_of = folders.by_date if config.layout == "date" else folders.by_folder(root)
    manifest = Manifest(root)
    sink = TreeSink(root, MaildirIndex(root, maildir_of, manifest), manifest, config.timestamps, context)
    try:
        yield sink
    finally:
        sink.close()


def open_to_check(root: Path, context: Context) -> TreeSink:
    """Return the sink of an archive that is only read: `TreeSink.check_record` says whether it is whole."""
    from archipec.timestamp import Authority
    from archipec_plugins.files import layout as folders
    from archipec_plugins.files.manifest import Manifest
    from archipec_plugins.files.tree import TreeSink
    from archipec_plugins.maildir.index import MaildirIndex

    manifest = Manifest(str(root))
    index = MaildirIndex(str(root), folders.by_date, manifest)
    return TreeSink(str(root), index, manifest, Timestamps(Authority()), context)


def _root(config: Config) -> Path:
    return config.path


MAILDIR = SinkType(
    api=1,
    name="maildir",
    summary="Maildirs, a file for each message, by folder or by day",
    schemes=("maildir",),
    options=(
        DIRECTORY,
        Option(
            name="layout",
            help="a Maildir for each folder of the mailbox, or for each day (year/month/day): folder or date",
            default="folder",
            convert=choice("folder", "date"),
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
    """Yield the Maildir sink."""
    yield MAILDIR
