"""The bytes held while one message is deleted alone: the right ones, durable, or none."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from archipec.custody.pruning.rescued import hold, path_of, release
from archipec.message import ContentKey

RAW = b"Subject: one\r\n\r\nbody\r\n"


def test_other_bytes_are_not_held(tmp_path: Path) -> None:
    assert hold(tmp_path, [RAW[:-1] + b"?"], ContentKey.of(RAW)) is None
    assert not list((tmp_path / "rescued").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows flush by other calls")
def test_what_is_held_survives_power_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda one: flushed.append(stat.S_ISDIR(os.fstat(one).st_mode)))
    file = hold(tmp_path, [RAW[:5], RAW[5:]], ContentKey.of(RAW))
    assert file is not None
    assert flushed == [False, True, True], "the file, its folder, and where that was made"
    assert path_of(tmp_path, file).read_bytes() == RAW
    release(tmp_path, file)
    assert not path_of(tmp_path, file).exists()
