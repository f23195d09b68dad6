"""What the tests of the file sinks share: archives to open, and failures at every step of the way to disk."""

from __future__ import annotations

import errno
import mailbox
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from archipec.contract import ContentKey, Item, Receipt, Sink, SinkType, SupportsIterate
from archipec.testing import UnderTest, configure, make_context, make_item
from archipec.testing.base import only_archipec_errors
from archipec_plugins.mbox import MBOX_SINK

CHANGES = ("open", "write", "mkdir", "rename", "ftruncate", "fsync", "utime", "unlink", "rmdir")
GROWING = ("open", "write", "mkdir")
FLUSHES = (
    ("archipec.inventory", "sync_file"),
    ("archipec.inventory", "sync_directory"),
    ("archipec_plugins.files.tree", "sync_files"),
    ("archipec_plugins.files.tree", "sync_directories"),
    ("archipec_plugins.mbox.file", "sync_file"),
    ("archipec_plugins.mbox.file", "sync_directory"),
    ("archipec_plugins.files.indexed", "sync_files"),
    ("archipec_plugins.zip.writer", "sync_file"),
    ("archipec_plugins.zip.writer", "sync_directory"),
    ("archipec_plugins.zip.sink", "sync_files"),
)


class Killed(BaseException):
    """The program ends here, and nothing that stands after it is done."""


class Steps:
    """The calls by which a sink changes its disk, counted, and something going wrong at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []
        self._at: int | None = None
        self._how = ""
        self._dead = False
        self._descriptors: list[int] = []

    @contextmanager
    def struck(self, at: int | None = None, how: str = "") -> Iterator[None]:
        """Let a step of the block go wrong.

        Args:
            at: the number of the step, None for none.
            how: "before" and "after" end the program there, "after" with half of the bytes written; "full" is a
                disk that is full from there to the end of the block; "broken" a disk that fails that once.
        """
        self.count, self.names, self._dead, self._at, self._how = 0, [], False, at, how
        with pytest.MonkeyPatch.context() as patch:
            for name in CHANGES:
                patch.setattr(os, name, self._step(name, getattr(os, name)))
            for module, name in FLUSHES:
                # The kernel outlives what goes wrong here: only the order of the steps is looked at.
                patch.setattr(f"{module}.{name}", self._step(name, lambda *_: None))
            try:
                yield
            except Killed:
                assert self._dead
        for descriptor in self._descriptors if self._dead else ():
            with suppress(OSError):
                os.close(descriptor)
        self._descriptors.clear()

    def _step(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return call(*arguments, **options)
            number, self.count = self.count, self.count + 1
            self.names.append(name)
            if self._dead:
                raise Killed
            if self._at is not None and number >= self._at:
                arguments = self._strike(name, number - self._at, arguments)
            result = call(*arguments, **options)
            if name == "open":
                self._descriptors.append(result)
            if self._dead:
                raise Killed
            return result

        return step

    def _strike(self, name: str, later: int, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Do the harm, or return the arguments to go on with; ``later`` is how many steps ago it began."""
        if self._how == "full" and name in GROWING and (later or name != "write"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._how == "broken" and later == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self._how in ("before", "after"):
            self._dead = True
        if self._how == "before":
            raise Killed
        if name == "write" and later == 0:
            return arguments[0], arguments[1][: len(arguments[1]) // 2]
        return arguments


class Archive:
    """An archive under test, and what the host does with it."""

    def __init__(self, under_test: UnderTest[Sink]) -> None:
        self._under_test = under_test

    @property
    def root(self) -> Path:
        """Its directory."""
        path: Path = self._under_test.config.path
        return path

    @contextmanager
    def open(self) -> Iterator[Sink]:
        """Open the sink; any error but one of archipec's is a failure."""
        with (
            only_archipec_errors(),
            self._under_test.record.open(self._under_test.config, self._under_test.context) as sink,
        ):
            yield cast("Sink", sink)

    def files(self) -> dict[str, bytes]:
        """Return all files in it, by their paths, but for the manifest and the inventory."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.name not in ("SHA256SUMS", "archipec.toc")
        }

    @staticmethod
    def keep(sink: Sink, *messages: bytes | Item) -> dict[ContentKey, Receipt]:
        """Put messages, commit, and return the receipts by key."""
        for message in messages:
            sink.put(make_item(message) if isinstance(message, bytes) else message)
        return {receipt.key: receipt for receipt in sink.commit()}

    @staticmethod
    def read(sink: Sink, receipt: Receipt) -> bytes:
        """Read a copy back."""
        with sink.read(receipt) as stream:
            return stream.read()

    def held(self, sink: Sink) -> list[bytes]:
        """Return all messages by the archive's own record, sorted."""
        assert isinstance(sink, SupportsIterate)
        return sorted(self.read(sink, receipt) for receipt in sink.iterate())

    def keep_missing(self, sink: Sink, *messages: bytes) -> None:
        """Do what the host does after a failure: ask for each message, and put those that aren't there."""
        self.keep(sink, *[raw for raw in messages if sink.find(ContentKey.of(raw)) is None])


class MboxArchive(Archive):
    """An archive of mbox files under test; where no file is named, its only one is meant."""

    inventory: bytes | None = None

    def seen(self, name: str = "archive.mbox") -> list[bytes]:
        """Return the messages that Python's mailbox sees in a file, quoted as they are."""
        box = mailbox.mbox(self.root / name, create=False)
        try:
            return [box.get_bytes(key) for key in box.iterkeys()]
        finally:
            box.close()

    def append(self, content: bytes) -> None:
        """Do what a mail program does that adds a message."""
        with (self.root / "archive.mbox").open("ab") as file:
            file.write(content)

    def restore(self, files: dict[str, bytes]) -> None:
        """Give files another content; after `killed`, the inventory the one that it had then."""
        if self.inventory is not None:
            (self.root / "archipec.toc").write_bytes(self.inventory)
        for name, content in files.items():
            (self.root / name).write_bytes(content)

    def killed(self, first: Sequence[bytes], torn: Sequence[bytes]) -> tuple[dict[str, bytes], bytes]:
        """Be as after a run that was killed when a second batch was written, and its table didn't tell of it yet.

        Returns:
            the files as they were after the first batch, and the table after the second.
        """
        table = "archive.mbox.toc"
        with self.open() as sink:
            self.keep(sink, *first)
            between, path = self.files(), self.root / "archipec.toc"
            # The inventory learns of a batch after the table.
            self.inventory = path.read_bytes() if path.exists() else b""
            self.keep(sink, *torn)
            after = self.files()
        self.restore(after | {table: between[table]})
        return between, after[table]


@pytest.fixture
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk in tests of many archives, which no power cut will ever meet."""
    for module, name in FLUSHES:
        monkeypatch.setattr(f"{module}.{name}", lambda *_: None)


@pytest.fixture
def steps() -> Steps:
    """Failures at every step."""
    return Steps()


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Archive]:
    """Make archives: called with a record, options, and a name where a test has several."""

    def make(record: SinkType[Any], name: str = "archive", **options: object) -> Archive:
        return Archive(_under_test(record, tmp_path, name, options))

    return make


@pytest.fixture
def mboxes(tmp_path: Path) -> Callable[..., MboxArchive]:
    """Make archives of mbox files: called with options, and a name where a test has several."""

    def make(name: str = "archive", **options: object) -> MboxArchive:
        return MboxArchive(_under_test(MBOX_SINK, tmp_path, name, options))

    return make


@pytest.fixture
def mbox(mboxes: Callable[..., MboxArchive]) -> MboxArchive:
    """An archive of a single mbox file."""
    return mboxes()


def _under_test(
    record: SinkType[Any], tmp_path: Path, name: str, options: dict[str, object]
) -> UnderTest[Any]:
    (tmp_path / name).mkdir(mode=0o700)
    config = configure(record, {"path": str(tmp_path / name), **options})
    return UnderTest(record=record, config=config, context=make_context(tmp_path / f"{name}-context"))
