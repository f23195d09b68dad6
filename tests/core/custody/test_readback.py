"""Copies are compared with their keys by whoever reads them back, whatever the sink itself has looked at."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from archipec.contract import Item
from archipec.custody.readback import ALTERED, OK, Medium, read_back, read_into, read_whole
from archipec.errors import IntegrityError
from archipec.message import ContentKey, Receipt, State

RAW = b"Subject: one\r\n\r\n" + b"body\r\n" * 400_000
RECEIPT = Receipt(ContentKey.of(RAW), State.STORED, None)


class Trusting:
    """A sink that gives what it has and compares nothing."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def put(self, item: Item) -> None:
        raise NotImplementedError

    def commit(self) -> Sequence[Receipt]:
        raise NotImplementedError

    def find(self, key: ContentKey) -> Receipt | None:
        raise NotImplementedError

    @contextmanager
    def read(self, receipt: Receipt) -> Iterator[BinaryIO]:
        yield io.BytesIO(self._raw)


@pytest.mark.parametrize(
    "raw",
    [RAW[:-1] + b"?", b"?" + RAW[1:], RAW[:-1], RAW + b"\n", b""],
    ids=["last", "first", "cut", "more", "none"],
)
def test_other_bytes_are_no_copy(tmp_path: Path, raw: bytes) -> None:
    sink = Trusting(raw)
    assert read_back(sink, RECEIPT, Medium()).verdict == ALTERED
    with pytest.raises(IntegrityError, match="altered"):
        read_whole(sink, RECEIPT)
    with pytest.raises(IntegrityError, match="altered"):
        read_into(sink, RECEIPT, tmp_path / "copy")
    assert not list(tmp_path.iterdir()), "nothing is left of it"


def test_the_same_bytes_are_one(tmp_path: Path) -> None:
    sink = Trusting(RAW)
    found = read_back(sink, RECEIPT, Medium())
    assert (found.verdict, found.head) == (OK, b"Subject: one\r\n\r\n")
    assert read_whole(sink, RECEIPT) == RAW
    read_into(sink, RECEIPT, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == RAW
