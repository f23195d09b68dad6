"""Many copies are read back as each by itself would be, in order, and a sink is asked by one thread alone."""

from __future__ import annotations

import io
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from archipec.contract import Item
from archipec.custody import readahead
from archipec.custody.readahead import read_back_each
from archipec.custody.readback import ALTERED, MISSING, OK, Medium, read_back
from archipec.errors import ArchipecError, IntegrityError, MissingCopy, Scope, TransientError, Unsupported
from archipec.message import ContentKey, Receipt, State

SIZES = (0, 1, 300, 70_000, 260_000, 300_000, 1 << 20, 3_000_000)


class Files:
    """A sink whose copies are files, or streams over none.

    Attributes:
        open: how many are open now; most: how many were at once.
    """

    def __init__(self, folder: Path, *, as_files: bool) -> None:
        self._folder = folder
        self._as_files = as_files
        self.errors: dict[str, ArchipecError | OSError] = {}
        self.threads: set[int] = set()
        self.open = self.most = 0

    def keep(self, raw: bytes) -> Receipt:
        key = ContentKey.of(raw)
        (self._folder / key.sha256).write_bytes(raw)
        return Receipt(key, State.STORED, None)

    def put(self, item: Item) -> None:
        raise NotImplementedError

    def commit(self) -> Sequence[Receipt]:
        raise NotImplementedError

    def find(self, key: ContentKey) -> Receipt | None:
        raise NotImplementedError

    @contextmanager
    def read(self, receipt: Receipt) -> Iterator[BinaryIO]:
        self.threads.add(threading.get_ident())
        if receipt.key.sha256 in self.errors:
            raise self.errors[receipt.key.sha256]
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            with open(self._folder / receipt.key.sha256, "rb") as file:
                yield file if self._as_files else io.BytesIO(file.read())
        finally:
            self.open -= 1


@pytest.fixture(params=[True, False], ids=["files", "no-files"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return Files(tmp_path, as_files=request.param)


def kept(sink: Files, count: int = 100) -> list[Receipt]:
    return [sink.keep(b"%d " % number + b"x" * SIZES[number % len(SIZES)]) for number in range(count)]


def test_it_shows_what_each_by_itself_shows(sink: Files, tmp_path: Path) -> None:
    receipts = kept(sink)
    for number, change in ((3, b""), (12, b"y"), (13, None), (31, b"x" * 2_000_000), (64, b"z" * 3_000_003)):
        path = tmp_path / receipts[number].key.sha256
        path.write_bytes(change) if change is not None else path.unlink()
    sink.errors[receipts[20].key.sha256] = MissingCopy("gone")
    sink.errors[receipts[21].key.sha256] = IntegrityError("torn")
    sink.errors[receipts[22].key.sha256] = TransientError("one byte can't be read", scope=Scope.MESSAGE)
    sink.errors[receipts[23].key.sha256] = OSError(5, "Input/output error")
    found = list(read_back_each(sink, receipts, Medium()))
    assert [receipt for receipt, _ in found] == receipts
    for receipt, shown in found:
        alone = read_back(sink, receipt, Medium())
        assert shown == alone._replace(head=b"")
    verdicts = [shown.verdict for _, shown in found if not isinstance(shown, Unsupported)]
    assert (verdicts.count(OK), verdicts[20], verdicts[3], verdicts[13]) == (91, MISSING, ALTERED, ALTERED)
    assert sink.open == 0
    assert sink.threads == {threading.get_ident()}


def test_only_files_are_opened_ahead(tmp_path: Path) -> None:
    for as_files, most in ((True, readahead._OPEN), (False, 1)):
        sink = Files(tmp_path, as_files=as_files)
        assert len(list(read_back_each(sink, kept(sink), Medium()))) == 100
        assert sink.most == most


def test_what_a_store_can_t_give_back_is_told_in_its_place(sink: Files) -> None:
    receipts = kept(sink, 5)
    sink.errors[receipts[2].key.sha256] = Unsupported("this store gives nothing back")
    shown = [each for _, each in read_back_each(sink, receipts, Medium())]
    assert isinstance(shown[2], Unsupported)
    assert [one.verdict for one in shown if not isinstance(one, Unsupported)] == [OK] * 4


def test_an_error_of_all_of_it_comes_after_what_was_read_before(sink: Files) -> None:
    receipts = kept(sink, 50)
    sink.errors[receipts[40].key.sha256] = TransientError("the disk is not connected", scope=Scope.ENDPOINT)
    seen = []
    with pytest.raises(TransientError, match="not connected"):
        for receipt, _ in read_back_each(sink, receipts, Medium()):
            seen.append(receipt)
    assert seen == receipts[:40]
    assert sink.open == 0


def test_who_looks_no_further_leaves_nothing_open(sink: Files) -> None:
    found = read_back_each(sink, kept(sink), Medium())
    next(found)
    found.close()
    assert sink.open == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hash")]


def test_a_small_copy_that_has_grown_is_not_taken_into_memory(tmp_path: Path) -> None:
    sink = Files(tmp_path, as_files=True)
    receipts = kept(sink, 3)
    with (tmp_path / receipts[2].key.sha256).open("ab") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        verdicts = [shown for _, shown in read_back_each(sink, receipts, Medium())]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    grown = verdicts[2]
    assert not isinstance(grown, Unsupported)
    assert (grown.verdict, grown) == (ALTERED, read_back(sink, receipts[2], Medium())._replace(head=b""))
    assert peak < 8 << 20
