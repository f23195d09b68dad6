"""The outbox itself: what is committed is on the disk before it is on record, and its bytes are looked at."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from archipec.conservation import outbox as module
from archipec.conservation.outbox import Outbox
from archipec.durability import sync_directories, sync_files
from archipec.errors import IntegrityError
from archipec.message import ContentKey
from archipec.testing import make_item

RAW = b"Subject: one\r\n\r\nbody\r\n"
KEY = ContentKey.of(RAW)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    root = tmp_path / "outbox"
    module.make_private(root)
    opened = Outbox(root)
    yield opened
    opened.close()


def put(outbox: Outbox, *messages: bytes) -> None:
    for raw in messages:
        outbox.stage(make_item(raw))
    outbox.commit(0)


def test_bytes_and_names_are_flushed_before_they_are_on_record(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, set[int]]] = []
    flush, flush_folders, add = sync_files, sync_directories, outbox.database.add

    def flushing(root: str | Path, paths: Sequence[str | Path]) -> None:
        flush(root, paths)
        events.append(("files", {Path(path).stat().st_ino for path in paths}))

    def flushing_folders(folders: set[Path]) -> None:
        names = {path.stat().st_ino for folder in folders for path in folder.iterdir()}
        flush_folders(folders)
        events.append(("names", names))

    def adding(*given: object) -> None:
        events.append(("record", set()))
        add(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "sync_files", flushing)
    monkeypatch.setattr(module, "sync_directories", flushing_folders)
    monkeypatch.setattr(outbox.database, "add", adding)
    put(outbox, RAW, RAW + b"more")
    files = {outbox.path(ContentKey.of(raw).sha256).stat().st_ino for raw in (RAW, RAW + b"more")}
    assert events == [("files", files), ("names", files), ("record", set())]


def test_a_copy_with_other_bytes_of_the_same_size_is_none(outbox: Outbox) -> None:
    put(outbox, RAW)
    assert outbox.find(KEY) is not None
    first = outbox.path(KEY.sha256)
    damaged = RAW.replace(b"body", b"bodY")
    first.write_bytes(damaged)
    assert outbox.find(KEY) is None
    assert outbox.damaged([KEY]) == [KEY]
    put(outbox, RAW)
    assert outbox.path(KEY.sha256) != first
    with outbox.read(KEY) as stream:
        assert stream.read() == RAW
    assert first.read_bytes() == damaged, "what is there and damaged stays there"


def test_bytes_that_are_in_memory_are_taken_and_no_others_read(outbox: Outbox) -> None:
    def unreadable() -> BinaryIO:
        raise AssertionError("the key was computed of the bytes in memory: nothing is read a second time")

    outbox.stage(make_item(RAW)._replace(open=unreadable))
    outbox.commit(0)
    with outbox.read(KEY) as stream:
        assert stream.read() == RAW


@pytest.mark.parametrize("read", [RAW[:-1], RAW + b"x", RAW.replace(b"body", b"bodY")])
def test_bytes_that_are_read_are_compared_with_the_key(outbox: Outbox, read: bytes) -> None:
    with pytest.raises(IntegrityError, match="these are not the bytes"):
        outbox.stage(make_item(RAW, open=lambda: io.BytesIO(read)))
    assert outbox.commit(0) == []
    assert outbox.find(KEY) is None
