"""The dump source at work: opens the source that reads what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archipec.contract import Context, Fetched, Folder, Json, Listed, Source, SourceType
from archipec_plugins.sources.dump.boxes import failing
from archipec_plugins.sources.dump.config import Config
from archipec_plugins.sources.dump.loose import envelope_is_missing, is_loose
from archipec_plugins.sources.dump.recognise import recognise
from archipec_plugins.sources.eml.names import unescape
from archipec_plugins.sources.eml.source import TOP, EmlSource
from archipec_plugins.sources.eml.source import open_source as open_eml
from archipec_plugins.sources.maildir import MAILDIR
from archipec_plugins.sources.mbox import MBOX
from archipec_plugins.sources.thunderbird import THUNDERBIRD
from archipec_plugins.sources.zip import ZIP

__all__ = ["open_source"]

_RECORDS: dict[str, SourceType[Any]] = {record.name: record for record in (MAILDIR, MBOX, THUNDERBIRD, ZIP)}


@contextmanager
def open_source(config: Config, context: Context) -> Iterator[Source]:
    """Open whatever it is.

    Raises:
        PermanentError: nobody reads it, or several would.
    """
    kind = recognise(config.path)
    context.log.info("%s is read as %s", config.path, kind)
    if kind == "eml":
        with open_eml(config.path, context) as source:
            yield source if config.loose else _Sealed(source, config.path)
        return
    record = _RECORDS[kind]
    values = {"path": config.path, "dialect": config.dialect, "loose": config.loose}
    parsed = record.parse({option.name: values[option.name] for option in record.options})
    with record.open(parsed, context) as opened:
        yield opened


class _Sealed:
    """The source of .eml files, but for messages without their envelope: those are listed, and refused."""

    def __init__(self, source: EmlSource, path: Path) -> None:
        self._source = source
        self._top = path if path.is_dir() else path.parent
        self._beside: tuple[str, set[str]] = ("", set())

    def folders(self) -> Iterable[Folder]:
        """See `archipec.contract.Source.folders`."""
        return self._source.folders()

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """See `archipec.contract.Source.scan`."""
        return self._source.scan(folder, after)

    def headers(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """See `archipec.contract.SupportsHeaders.headers`."""
        return self._source.headers(folder, refs)

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        """See `archipec.contract.Source.fetch`."""
        refused: list[str] = []

        def wanted() -> Iterator[str]:
            for ref in refs:
                if self._is_loose(folder, ref):
                    refused.append(ref)
                else:
                    yield ref

        for fetched in self._source.fetch(folder, wanted()):
            yield fetched
            yield from self._refuse(folder, refused)
        yield from self._refuse(folder, refused)

    def _refuse(self, folder: str, refused: list[str]) -> Iterator[Fetched]:
        while refused:
            ref = refused.pop()
            name = ref.partition(":")[0]
            yield Fetched(ref, failing(envelope_is_missing(name if folder == TOP else f"{folder}/{name}")))

    def _is_loose(self, folder: str, ref: str) -> bool:
        if self._beside[0] != folder:
            parts = [] if folder == TOP else [unescape(part) for part in folder.split("/")]
            try:
                names = {entry.name.lower() for entry in self._top.joinpath(*parts).iterdir()}
            except OSError:
                names = set()
            self._beside = folder, names
        return is_loose(ref.partition(":")[0], self._beside[1])
