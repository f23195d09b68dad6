"""Both sinks on a real disk that is really full."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archipec.contract import ContentKey, SinkType
from archipec.errors import TransientError
from archipec_plugins.eml import EML_SINK
from archipec_plugins.maildir import MAILDIR_SINK
from archipec_plugins.mbox import MBOX_SINK
from testbed.small_disk import small_disk

if TYPE_CHECKING:
    from tests.plugins.conftest import Archive

MESSAGES = [random.Random(n).randbytes(30_000) for n in range(60)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "size=1m") as folder:
        yield folder


@pytest.mark.parametrize("record", [MAILDIR_SINK, EML_SINK, MBOX_SINK], ids=lambda record: record.name)
def test_full_and_then_given_room(disk: Path, archive: Callable[..., Archive], record: SinkType[Any]) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * 600_000)
    full = archive(record, "disk/archive")
    kept: list[bytes] = []
    with full.open() as sink:
        with pytest.raises(TransientError, match="no room left") as caught:
            for start in range(0, len(MESSAGES), 4):
                batch = MESSAGES[start : start + 4]
                full.keep(sink, *batch)
                kept += batch
        assert "run the same command again" in caught.value.hint
        assert 4 <= len(kept) < 20
        assert full.held(sink) == sorted(kept)
        assert all(sink.find(ContentKey.of(raw)) is None for raw in MESSAGES[len(kept) :])
    names = list(full.files())
    assert not any(name.startswith(".archipec.tmp") for name in names)
    assert record is MBOX_SINK or len(names) == len(kept)
    ballast.unlink()
    with full.open() as sink:
        full.keep_missing(sink, *MESSAGES[: len(kept) + 8])
        assert full.held(sink) == sorted(MESSAGES[: len(kept) + 8])
