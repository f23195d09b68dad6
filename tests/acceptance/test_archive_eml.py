"""Folders of downloaded messages, archived byte for byte, with what is left out said."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from testbed.command import Archipec

HEAD = b"From: a@pec.example.it\r\nSubject: %s\r\n"
NASTY = {
    "LF only.eml": b"From: a@pec.example.it\nSubject: lf\n\nbody\n",
    "mixed.EML": HEAD % b"mixed" + b"\r\none\ntwo\r\n\rthree\r\n",
    "NUL.eml": HEAD % b"nul" + b"\r\na\0b\r\n",
    "no body.eml": HEAD % b"none" + b"\r\n",
    "no blank line.eml": HEAD % b"headers only",
    "no final newline": HEAD % b"no end" + b"\r\nend",
    "8 bit.txt": b"From: a@pec.example.it\r\nSubject: citt\xe0\r\n\r\n\xff\xfe\r\n",
    "long line.eml": HEAD % b"long" + b"\r\n" + b"x" * (2 << 20),
    "From inside.eml": HEAD % b"from" + b"\r\nFrom me\r\n>From you\r\n",
    "sub/così … 日本.eml": HEAD % b"name" + b"\r\nx\r\n",
}
LEFT_OUT = {
    "empty.eml": b"",
    "page.html": b"<html><body>From: x</body></html>",
    "photo.jpg": b"\xff\xd8\xff\xe0" * 99,
}


def digests(raws: Iterable[bytes]) -> Counter[str]:
    return Counter(hashlib.sha256(raw).hexdigest() for raw in raws)


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    root = tmp_path / "downloads"
    for name, raw in {**NASTY, **LEFT_OUT}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return root


def test_every_byte_of_every_message(downloads: Path, tmp_path: Path) -> None:
    archipec = Archipec(tmp_path / "state")
    sinks = ("--to", f"maildir:{tmp_path / 'A'}", "--to", f"mbox:{tmp_path / 'B'}")
    result = archipec("archive", "--from", f"eml:{downloads}", *sinks, "--json", expect=3)
    assert (result.object["listed"], result.object["stored"]) == (len(NASTY), len(NASTY))
    for name in LEFT_OUT:
        assert name in result.err, "what is left out is said, with its reason"
    stored = digests(path.read_bytes() for path in (tmp_path / "A").rglob("cur/*"))
    assert stored == digests(NASTY.values())
    assert archipec("verify", "--to", f"mbox:{tmp_path / 'B'}", "--json").object["ok"] == len(NASTY)
    back = archipec(
        "archive", "--from", f"mbox:{tmp_path / 'B'}", "--to", f"maildir:{tmp_path / 'C'}", "--json"
    )
    assert back.object["stored"] == len(NASTY)
    assert digests(path.read_bytes() for path in (tmp_path / "C").rglob("cur/*")) == digests(NASTY.values())


def test_another_download_under_the_same_name_is_another_message(tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    archipec = Archipec(tmp_path / "state")
    pipeline = ("--from", f"eml:{downloads}", "--to", f"maildir:{tmp_path / 'A'}", "--json")
    for number in range(3):
        (downloads / "POSTA CERTIFICATA.eml").write_bytes(HEAD % b"one" + b"\r\n%d\r\n" % number)
        assert archipec("archive", *pipeline).object["stored"] == 1
    assert len(list((tmp_path / "A").rglob("cur/*"))) == 3
