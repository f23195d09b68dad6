"""New files in a folder: nothing that is there is replaced, nor taken for another unless it is the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from archipec.new_files import write_new_file


def test_another_file_of_the_same_size_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "01-inviato.eml").write_bytes(b"mine")
    path = write_new_file(tmp_path, "01-inviato.eml", b"ours", keep_equal=True)
    assert path.name == "01-inviato-2.eml"
    again = write_new_file(tmp_path, "01-inviato.eml", b"ours", keep_equal=True)
    assert again == path, "what is there and equal stays as it is"
    assert sorted(one.read_bytes() for one in tmp_path.iterdir()) == [b"mine", b"ours"]


def test_an_equal_file_is_another_unless_asked(tmp_path: Path) -> None:
    assert write_new_file(tmp_path, "atto", b"x").name == "atto"
    assert write_new_file(tmp_path, "atto", b"x").name == "atto-2"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x")
    (tmp_path / "atto.pdf").symlink_to(tmp_path / "elsewhere")
    assert write_new_file(tmp_path, "atto.pdf", b"x", keep_equal=True).name == "atto-2.pdf"
