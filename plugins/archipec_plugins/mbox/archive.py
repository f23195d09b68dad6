"""An archive of mbox files in the mboxrd format, each with a table of contents by which every message reads back exactly.

Thunderbird, mutt and Python's `mailbox` open the files. See `mboxrd` for the format and `toc` for the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archipec.contract import Context, Option, Sink, SinkType, byte_size, choice
from archipec.errors import ConfigError
from archipec.hookspecs import hookimpl
from archipec_plugins.files.options import DIRECTORY

__all__ = ["MBOX", "Config", "archipec_sinks"]


@dataclass(frozen=True, slots=True)
class Config:
    """Where the archive is, and what a file of it holds; ``split_size`` in bytes."""

    path: Path
    split: Literal["none", "year", "size"]
    split_size: int


def _parse(values: Mapping[str, Any]) -> Config:
    if values["split_size"] < 1:
        raise ConfigError('option "split_size" must be above 0')
    return Config(values["path"], values["split"], values["split_size"])


def _where(config: Config) -> str:
    from archipec_plugins.files.streams import place_url

    return place_url("mbox", config.path)


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Sink]:
    from archipec_plugins.mbox.sink import MboxSink

    sink = MboxSink(str(config.path), config.split, config.split_size, context.log)
    try:
        yield sink
    finally:
        sink.close()


def _root(config: Config) -> Path:
    return config.path


MBOX = SinkType(
    api=1,
    name="mbox",
    summary="MBOX files, which mail programs open: one, one a year, or of a given size",
    schemes=("mbox",),
    options=(
        DIRECTORY,
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
    parse=_parse,
    where=_where,
    open=_open,
    root=_root,
)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the MBOX sink."""
    yield MBOX
