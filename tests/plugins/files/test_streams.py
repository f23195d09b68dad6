"""What the file sinks share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from archipec_plugins.files.streams import CREATE


def test_no_file_that_is_there_is_opened_to_be_made(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    path.write_bytes(b"somebody's")
    with pytest.raises(FileExistsError):
        os.open(path, CREATE, 0o600)
    assert path.read_bytes() == b"somebody's"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_no_link_is_followed_to_make_a_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        os.open(tmp_path / "link", CREATE, 0o600)
    assert not (tmp_path / "elsewhere").exists()
