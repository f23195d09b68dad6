"""``archipec get``: a file counts as written when the disk has given it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from archipec.cli.get import _proven
from archipec.errors import IntegrityError
from archipec.message import ContentKey


def test_a_disk_that_does_not_keep_what_was_written_is_said(tmp_path: Path) -> None:
    key = ContentKey.of(b"sealed")
    (tmp_path / "1.eml").write_bytes(b"sea1ed")
    with pytest.raises(IntegrityError, match=r"1\.eml does not have the bytes"):
        _proven(key, tmp_path / "1.eml", key)
    (tmp_path / "1.eml").write_bytes(b"sealed")
    assert _proven(key, tmp_path / "1.eml", key).sha256 == key.sha256
