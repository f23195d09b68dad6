"""Makes what the host gives a plugin: contexts, items, runs, configurations."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypedDict, Unpack

import archipec
from archipec.contract import (
    ContentKey,
    Context,
    Item,
    Json,
    PostStepType,
    Quota,
    RunView,
    SinkType,
    SourceType,
)
from archipec.custody.marker import LOCK, MARKER
from archipec.errors import MissingCopy
from archipec.options import read_options
from archipec.pec.headers import header_block
from archipec.pec.kind import kind_of

PluginRecord: TypeAlias = SourceType[Any] | SinkType[Any] | PostStepType[Any]

_SUMMER = timezone(timedelta(hours=2), "CEST")
_RECEIVED = datetime(2026, 7, 1, 10, 30, tzinfo=_SUMMER)
_IN_MEMORY = 1 << 20  # the host has larger ones in a file


class PlantedSecret:
    """An `archipec.contract.Secret` whose text is known to the test, which then looks for it everywhere."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret."""
        return self._text

    def __repr__(self) -> str:
        return "***"


def make_context(
    tmp_path: Path,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    log: logging.Logger | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Context:
    """Return a `Context` as the host makes it, its temporary folder in ``tmp_path``."""
    temp = tmp_path / "archipec-temp"
    temp.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Context(
        log=log or logging.getLogger("archipec.testing.plugin"),
        temp=temp,
        now=now,
        cancelled=cancelled,
        version=archipec.__version__,
    )


class ItemFields(TypedDict, total=False):
    """The fields of an `Item`, but ``body``."""

    key: ContentKey
    folder: str
    received: datetime | None
    date: datetime
    flags: tuple[str, ...]
    kind: str
    head: bytes
    open: Callable[[], BinaryIO]


def make_item(raw: bytes, **fields: Unpack[ItemFields]) -> Item:
    """Return the `Item` the host would make of a message.

    Args:
        fields: those that are not as ``raw`` says: the kind and the head of its header, its key, a reader of it; in
            INBOX, received and dated on 1 July 2026, without flags.
    """
    item = Item(
        key=ContentKey.of(raw),
        folder="INBOX",
        received=_RECEIVED,
        date=_RECEIVED,
        flags=(),
        kind=kind_of(raw),
        head=header_block(raw),
        open=lambda: io.BytesIO(raw),
        body=raw if not fields.keys() & {"key", "open"} and len(raw) <= _IN_MEMORY else None,
    )
    return item._replace(**fields)


def key_of(chunks: Iterable[bytes]) -> ContentKey:
    """Return the key of a message that is not held in memory."""
    return ContentKey.of_chunks(chunks)


def option_values(record: PluginRecord, table: Mapping[str, object]) -> dict[str, object]:
    """Return the option values that ``record.parse`` receives for a table, as the host computes them.

    Args:
        table: as in TOML, except that a secret option holds the secret itself (or a `Secret`).

    Raises:
        ConfigError: the table does not fit the record's options.
    """
    secret = {option.name for option in record.options if option.secret}
    given = {
        name: PlantedSecret(value) if name in secret and isinstance(value, str) else value
        for name, value in table.items()
    }
    return read_options(record.options, given, record.name)


def configure(record: PluginRecord, table: Mapping[str, object]) -> Any:
    """Return the configuration ``record`` makes of a table; arguments and errors as in `option_values`."""
    return record.parse(option_values(record, table))


def make_root(record: PluginRecord, config: Any) -> Path | None:
    """Make a sink's directory as the host does before opening it, marker and lock in it; None when it has none."""
    root = record.root(config) if isinstance(record, SinkType) else None
    if root is not None:
        assert root.is_absolute(), f"root must be absolute: {root}"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (MARKER, LOCK):
            (root / name).touch(mode=0o600)
    return root


def make_run(
    messages: Iterable[bytes] = (),
    *,
    pipeline: str = "studio",
    report: Mapping[str, Json] | None = None,
    quota: Quota | None = None,
) -> RunView:
    """Return the view of a run that stored these messages.

    Args:
        report: a run without failures when None.
    """
    kept = {ContentKey.of(raw): raw for raw in messages}
    counts = {"listed": len(kept), "stored": len(kept), "already": 0, "deselected": 0, "failed": 0, "left": 0}
    size = sum(key.size for key in kept)
    sinks = {"archive": {"stored": len(kept), "pending": 0, "failed": 0}}
    usual: dict[str, Json] = {"pipeline": pipeline, **counts, "bytes": size, "seconds": 1.5, "sinks": sinks}
    usual |= {"kinds": {"posta-certificata": len(kept)}, "seals": {}, "failures": []}

    def stored() -> Iterator[ContentKey]:
        yield from kept

    def read(key: ContentKey) -> AbstractContextManager[BinaryIO]:
        if key not in kept:
            raise MissingCopy(f"no sink holds {key}")
        return io.BytesIO(kept[key])

    return RunView(
        pipeline=pipeline,
        report=usual if report is None else report,
        quota=quota,
        stored=stored,
        read=read,
        compose=lambda name: f"the report of {pipeline} as {name}\n".encode(),
    )
