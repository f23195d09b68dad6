"""What a source of files does not take is counted and said, and makes exit code 3 where it is a message, or may be."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from testbed.command import Archipec

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="links and pipes need privileges there, or are none"
)


def mail(number: int) -> bytes:
    return b"From: a@pec.example.it\r\nTo: b@pec.example.it\r\nSubject: %d\r\n\r\ntext\r\n" % number


def archive(tmp_path: Path, source: str, expect: int) -> dict[str, Any]:
    """Archive twice: what is passed over is said by every run."""
    command = Archipec(tmp_path / "state")
    arguments = ("archive", "--from", source, "--to", f"maildir:{tmp_path / 'A'}", "--no-seals", "--json")
    report = command(*arguments, expect=expect, timeout=60).object
    again = command(*arguments, expect=expect, timeout=60).object
    assert again["stored"] == 0
    assert (again["skipped"], again["skipped_count"]) == (report["skipped"], report["skipped_count"])
    assert report["skipped_count"] == len(report["skipped"])
    return report


def kept(tmp_path: Path) -> Counter[str]:
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "A").rglob("cur/*"))


def of(*numbers: int) -> Counter[str]:
    return Counter(hashlib.sha256(mail(number)).hexdigest() for number in numbers)


def skipped(report: dict[str, Any]) -> dict[str, bool]:
    return {one["name"]: one["message"] for one in report["skipped"]}


@pytest.mark.filterwarnings("ignore:Duplicate name")
class TestZips:
    def test_three_messages_of_one_name_are_three(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "d.zip", "w") as file:
            for number in range(3):
                file.writestr("mail.eml", mail(number))
        archive(tmp_path, f"zip:{tmp_path / 'd.zip'}", 0)
        assert kept(tmp_path) == of(0, 1, 2)

    def test_names_never_become_paths_and_never_cost_a_message(self, tmp_path: Path) -> None:
        names = (
            *(
                "tmp/a.eml",
                "mail/tmp/b.eml",
                "..\\..\\c.eml",
                "../../d.eml",
                "/etc/e.eml",
                "C:\\f.eml",
                "//x/y/g.eml",
            ),
            *(
                "n" * 3000 + "/h.eml",
                "i" * 4000 + ".eml",
                ".hidden.eml",
                "CON/aux.eml",
                "a:b/j.eml",
                " /k.eml",
                "./l.eml",
            ),
            "\u202ekcab.eml",
        )
        with zipfile.ZipFile(tmp_path / "d.zip", "w") as file:
            for number, name in enumerate(names):
                file.writestr(zipfile.ZipInfo(name), mail(number))
        data = (tmp_path / "d.zip").read_bytes().replace(b"a:b/j.eml", b"a\0b/j.eml")
        (tmp_path / "d.zip").write_bytes(data)
        before = set(tmp_path.parent.iterdir())
        archive(tmp_path, f"zip:{tmp_path / 'd.zip'}", 0)
        assert kept(tmp_path) == of(*range(len(names)))
        assert set(tmp_path.parent.iterdir()) == before
        assert not list(tmp_path.rglob("c.eml"))

    def test_what_can_not_be_read_is_said(self, tmp_path: Path) -> None:
        inner = tmp_path / "inner.zip"
        with zipfile.ZipFile(inner, "w") as file:
            file.writestr("x.eml", mail(9))
        link = zipfile.ZipInfo("link.eml")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "d.zip", "w") as file:
            file.writestr("good.eml", mail(0))
            file.writestr("secret.eml", mail(1))
            file.writestr(zipfile.ZipInfo("odd.eml"), mail(2), zipfile.ZIP_LZMA)
            file.writestr("more.zip", inner.read_bytes())
            file.writestr("empty.eml", b"")
            file.writestr(link, b"/etc/passwd")
            file.writestr("Maildir/cur/1700000000.M1.host:2,S", mail(3))
            file.writestr("Maildir/tmp/1700000001.M2.host", mail(4))
            file.writestr("invoice.pdf", b"%PDF-1.4")
            file.writestr("Maildir/dovecot-uidlist", b"3 V1 N1")
        data = bytearray((tmp_path / "d.zip").read_bytes())
        at = data.rfind(b"secret.eml") - 46
        struct.pack_into("<H", data, at + 8, 1)
        (tmp_path / "d.zip").write_bytes(data)
        report = archive(tmp_path, f"zip:{tmp_path / 'd.zip'}", 3)
        assert kept(tmp_path) == of(0, 3)
        assert skipped(report) == {
            "d.zip: secret.eml": True,
            "d.zip: odd.eml": True,
            "d.zip: more.zip": True,
            "d.zip: empty.eml": True,
            "d.zip: link.eml": True,
            "d.zip: Maildir/tmp/1700000001.M2.host": True,
            "d.zip: invoice.pdf": False,
            "d.zip: Maildir/dovecot-uidlist": False,
        }

    def test_a_folder_of_zips(self, tmp_path: Path) -> None:
        root = tmp_path / "zips"
        (root / "sub").mkdir(parents=True)
        for number, name in enumerate(("a.zip", "sub/b.zip", "../c.zip")):
            with zipfile.ZipFile(root / name, "w") as file:
                file.writestr("mail.eml", mail(number))
        (root / "c.zip").symlink_to(tmp_path / "c.zip")
        (root / "d.eml").write_bytes(mail(7))
        os.mkfifo(root / "e.zip")
        report = archive(tmp_path, f"zip:{root}", 3)
        assert kept(tmp_path) == of(0)
        assert skipped(report) == {"sub/b.zip": True, "c.zip": True, "d.eml": True, "e.zip": False}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.eml").write_bytes(mail(99))
    return tmp_path / "elsewhere"


class TestFolders:
    def test_eml(self, tmp_path: Path, secret: Path) -> None:
        root = tmp_path / "mail"
        root.mkdir()
        (root / "good.eml").write_bytes(mail(0))
        (root / "p.eml").symlink_to(secret / "secret.eml")
        (root / "again.eml").symlink_to(root / "good.eml")
        (root / "away").symlink_to(secret)
        (root / "circle").symlink_to(root)
        (root / "dangling.eml").symlink_to(root / "nothing")
        (root / "empty.eml").write_bytes(b"")
        (root / "invoice.pdf").write_bytes(b"%PDF-1.4")
        os.mkfifo(root / "pipe.eml")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(root / "s"))
            report = archive(tmp_path, f"eml:{root}", 3)
        assert kept(tmp_path) == of(0)
        assert skipped(report) == {
            "p.eml": True,
            "again.eml": False,
            "away": True,
            "circle": False,
            "dangling.eml": True,
            "empty.eml": True,
            "invoice.pdf": False,
            "pipe.eml": False,
            "s": False,
        }

    def test_only_what_is_no_message_is_no_reason_for_attention(self, tmp_path: Path) -> None:
        root = tmp_path / "mail"
        root.mkdir()
        (root / "good.eml").write_bytes(mail(0))
        (root / "invoice.pdf").write_bytes(b"%PDF-1.4")
        assert skipped(archive(tmp_path, f"eml:{root}", 0)) == {"invoice.pdf": False}

    def test_maildir(self, tmp_path: Path, secret: Path) -> None:
        root = tmp_path / "mail"
        for folder in ("cur", "new", "tmp", "tmp/cur", ".Sent/cur", "sub/tmp/cur"):
            (root / folder).mkdir(parents=True)
        (root / "cur" / "1700000000.M1.host:2,S").write_bytes(mail(0))
        (root / "sub/tmp/cur" / "1700000000.M2.host:2,S").write_bytes(mail(1))
        (root / "cur" / "1700000000.M3.host:2,S").symlink_to(secret / "secret.eml")
        (root / "cur" / "1700000000.M4.host:2,S").write_bytes(b"")
        (root / "tmp" / "1700000000.M5.host").write_bytes(mail(2))
        (root / "saved.eml").write_bytes(mail(3))
        (root / ".Away").symlink_to(secret)
        os.mkfifo(root / "new" / "1700000000.M6.host")
        report = archive(tmp_path, f"maildir:{root}", 3)
        assert kept(tmp_path) == of(0, 1)
        assert skipped(report) == {
            "INBOX/cur/1700000000.M3.host:2,S": True,
            "INBOX/cur/1700000000.M4.host:2,S": True,
            "INBOX/new/1700000000.M6.host": False,
            "tmp/1700000000.M5.host": True,
            "tmp/cur": True,
            "saved.eml": True,
            ".Away": True,
        }

    def test_mbox(self, tmp_path: Path, secret: Path) -> None:
        root = tmp_path / "mail"
        root.mkdir()
        line = b"From MAILER-DAEMON Sat Nov 21 20:00:00 2026\n"
        (root / "INBOX").write_bytes(line + mail(0).replace(b"\r\n", b"\n") + b"\n")
        (secret / "box").write_bytes(line + mail(5) + b"\n")
        (root / "link").symlink_to(secret / "box")
        (root / "away").symlink_to(secret)
        (root / "broken.mbox").write_bytes(b"nothing of the kind")
        (root / "notes.txt").write_bytes(b"notes")
        os.mkfifo(root / "pipe")
        report = archive(tmp_path, f"mbox:{root}", 3)
        assert report["stored"] == 1
        assert skipped(report) == {
            "link": True,
            "away": True,
            "broken.mbox": True,
            "notes.txt": False,
            "pipe": False,
        }

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    @pytest.mark.parametrize("scheme", ["eml", "maildir", "mbox"])
    def test_what_may_not_be_read(self, tmp_path: Path, scheme: str) -> None:
        root = tmp_path / "mail"
        (root / "cur").mkdir(parents=True)
        (root / "closed").mkdir()
        (root / "cur" / "1700000000.M1.host:2,S").write_bytes(mail(0))
        (root / "closed").chmod(0)
        try:
            report = archive(tmp_path, f"{scheme}:{root}", 3)
        finally:
            (root / "closed").chmod(0o700)
        assert skipped(report)["closed"] is True
