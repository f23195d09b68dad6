"""A dump is recognised by what is there."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.errors import PermanentError
from archipec.plugins.registry import Registry
from archipec_plugins.dump import detect as module

FORMATS = [source for source in Registry.load(strict=True).sources if source.detects]


def detect(path: Path) -> str:
    return module.detect(path, FORMATS).name


RAW = b"Subject: x\r\n\r\nbody\r\n"
MBOX = b"From a@b.it Sat Nov 21 20:00:00 2026\n" + RAW + b"\n"


def maildir(root: Path) -> None:
    (root / "a" / ".Sent" / "cur").mkdir(parents=True)


def mbox(root: Path) -> None:
    (root / "export").write_bytes(MBOX)
    (root / "archive.mbox.toc").write_bytes(b"V 1 83dcefb7\n")
    (root / "readme.txt").write_bytes(b"From here on\n")


def eml(root: Path) -> None:
    (root / "2026").mkdir()
    (root / "2026" / "1.EML").write_bytes(RAW)
    (root / "2026" / "smime.p7s").write_bytes(b"0")


def zips(root: Path) -> None:
    with zipfile.ZipFile(root / "a.zip", "w") as file:
        file.writestr("1.eml", RAW)


def profile(root: Path) -> None:
    (root / "Mail" / "Local Folders" / "A.sbd").mkdir(parents=True)
    (root / "Mail" / "Local Folders" / "A").write_bytes(MBOX)
    (root / "Mail" / "Local Folders" / "attachment.zip").write_bytes(b"PK")


@pytest.mark.parametrize(
    ("make", "kind"),
    [(maildir, "maildir"), (mbox, "mbox"), (eml, "eml"), (zips, "zip"), (profile, "thunderbird")],
)
def test_folders(make: Callable[[Path], None], kind: str, tmp_path: Path) -> None:
    make(tmp_path)
    assert detect(tmp_path) == kind


def test_files(tmp_path: Path) -> None:
    zips(tmp_path)
    (tmp_path / "x").write_bytes(b"\n" + MBOX)
    (tmp_path / "1.eml").write_bytes(RAW)
    assert [detect(tmp_path / name) for name in ("a.zip", "x", "1.eml")] == ["zip", "mbox", "eml"]


def test_several_formats_are_named(tmp_path: Path) -> None:
    zips(tmp_path)
    eml(tmp_path)
    with pytest.raises(PermanentError, match="several formats: eml, zip") as caught:
        detect(tmp_path)
    assert caught.value.hint == "say which: --from eml:DIR or --from zip:DIR"


def test_nothing(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(MBOX)
    (tmp_path / "doc.pdf").write_bytes(b"%PDF")
    with pytest.raises(PermanentError, match="there is no mail in"):
        detect(tmp_path)
