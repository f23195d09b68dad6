"""The outbox itself: what is committed is on the disk before it is on record, and its bytes are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from archipec.conservation import outbox as module
from archipec.conservation.outbox import Outbox
from archipec.durability import sync_directories, sync_files
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
    flush, flush_folders, add = sync_files, sync_directories, outbox.store.add

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
    monkeypatch.setattr(outbox.store, "add", adding)
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
