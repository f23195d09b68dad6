"""What is written for a filing: nothing that is there is taken for it unless it is the same."""

from __future__ import annotations

from pathlib import Path

from archipec.custody.receipts.export import _put


def test_another_file_of_the_same_size_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "01-inviato.eml").write_bytes(b"mine")
    path, _ = _put(tmp_path, "01-inviato.eml", b"ours")
    assert path.name == "01-inviato-2.eml"
    assert _put(tmp_path, "01-inviato.eml", b"ours")[0] == path, "what is there and equal stays as it is"
    assert sorted(one.read_bytes() for one in tmp_path.iterdir()) == [b"mine", b"ours"]
