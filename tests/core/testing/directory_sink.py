"""A correct sink in a directory: a file for each message, named by its key, in a folder for each year.

Files are staged as ``*.part`` beside their place and renamed by commit. A copy that was damaged stays; the
intact one stands beside it under the next number.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from archipec.contract import (
    ContentKey,
    Context,
    Item,
    Option,
    Receipt,
    Sink,
    SinkType,
    State,
    choice,
    file_path,
)
from archipec.durability import open_regular, sync_directories, sync_files
from archipec.errors import ConfigError, IntegrityError, MissingCopy, PermanentError, from_os_error
from archipec.hookspecs import hookimpl

_PIECE = 2**16


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a sink."""

    path: Path
    layout: str


OPTIONS = (
    Option(name="path", help="directory of the archive", required=True, part="path", convert=file_path),
    Option(
        name="layout", help="one folder, or one for each year", default="year", convert=choice("flat", "year")
    ),
)


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration, naming every problem."""
    path: Path = values["path"]
    problems = [f'"path" must not contain {word!r}: {path}' for word in ("*", "?") if word in path.name]
    if problems:
        raise ConfigError(problems)
    return Config(path=Path(os.path.normpath(path)), layout=values["layout"])


def where(config: Config) -> str:
    """Return the identity."""
    return f"directory:{config.path.as_posix()}"


class DirectorySink:
    """An archive in a directory. A token is the path of the file below it."""

    def __init__(self, config: Config, context: Context) -> None:
        self.context = context
        self.root = config.path
        self.layout = config.layout
        self.staged: list[tuple[ContentKey, Path]] = []
        self.copies: dict[ContentKey, list[Path]] = {}
        for path in sorted(self.root.rglob("*.eml")):
            self.copies.setdefault(self.recorded(path), []).append(path)

    def put(self, item: Item) -> None:
        """Write a file beside its place."""
        folder = self.root / self.folder_of(item)
        part = folder / f"{len(self.staged)}.part"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = self.copy(item, part)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise from_os_error(error, part) from error
        if key != item.key:
            part.unlink()
            raise IntegrityError(f"the bytes given are not those of {item.key}")
        self.staged.append((item.key, part))

    def folder_of(self, item: Item) -> str:
        """Return the folder for an item, by nothing that comes from outside as it stands."""
        return "" if self.layout == "flat" else f"{item.date.year:04}"

    def copy(self, item: Item, part: Path) -> ContentKey:
        """Write the bytes and return their key."""
        digest, size = hashlib.sha256(), 0
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        with open(descriptor, "wb") as file, item.open() as reader:
            while piece := reader.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                file.write(piece)
        return ContentKey(digest.hexdigest(), size)

    def commit(self) -> Sequence[Receipt]:
        """Make the files durable, then give them their names."""
        staged, self.staged = self.staged, []
        receipts = []
        sync_files(self.root, [part for _, part in staged])
        for key, part in staged:
            receipt = self.find(key)
            if receipt is None:
                path = part.replace(self.place(key, part.parent))
                self.copies.setdefault(key, []).append(path)
                receipt = self.receipt(key, path)
            part.unlink(missing_ok=True)
            receipts.append(receipt)
        sync_directories({self.root, *(part.parent for _, part in staged)})
        return receipts

    def place(self, key: ContentKey, folder: Path) -> Path:
        """Return a path that nothing stands at."""
        number = 0
        while (path := folder / f"{key.sha256}-{key.size}-{number}.eml").exists():
            number += 1
        return path

    def find(self, key: ContentKey) -> Receipt | None:
        """Look for an intact copy."""
        intact = (
            path
            for path in self.copies.get(key, [])
            if not path.is_symlink() and ContentKey.of(path.read_bytes()) == key
        )
        path = next(intact, None)
        return None if path is None else self.receipt(key, path)

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Give the copy back."""
        path = self.root / str(receipt.token)
        if self.recorded(path) != receipt.key or not path.exists():
            raise MissingCopy(f"no copy of {receipt.key} at {receipt.token}")
        try:
            return open(open_regular(path, os.O_RDONLY), "rb")
        except OSError as error:
            raise IntegrityError(f"{path} is no copy: {error.strerror}") from error

    def iterate(self) -> Iterator[Receipt]:
        """Yield everything held, the copy made last where there are several."""
        for key, paths in self.copies.items():
            yield self.receipt(key, paths[-1])

    def recorded(self, path: Path) -> ContentKey:
        """Return the key in a file's name."""
        digest, size, _ = path.stem.split("-")
        return ContentKey(digest, int(size))

    def receipt(self, key: ContentKey, path: Path) -> Receipt:
        """Return the receipt of the copy at a path."""
        return Receipt(key, State.STORED, path.relative_to(self.root).as_posix())

    def close(self) -> None:
        """Drop what was staged and never committed."""
        for _, part in self.staged:
            part.unlink(missing_ok=True)


def opener(sink: type[DirectorySink]) -> Callable[[Config, Context], AbstractContextManager[Sink]]:
    """Return what the record's ``open`` is."""

    @contextmanager
    def open_sink(config: Config, context: Context) -> Iterator[Sink]:
        if not config.path.is_dir():
            raise PermanentError(f"{config.path} is no directory", hint="check the path")
        opened = sink(config, context)
        try:
            yield opened
        finally:
            opened.close()

    return open_sink


def root(config: Config) -> Path:
    """Return the directory."""
    return config.path


DIRECTORY_SINK = SinkType(
    api=1,
    name="directory",
    summary="a directory with a file for each message",
    schemes=("directory",),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=opener(DirectorySink),
    root=root,
)


@hookimpl
def archipec_sinks() -> Iterator[SinkType[Config]]:
    """Yield the record."""
    yield DIRECTORY_SINK
