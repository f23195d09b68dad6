"""`archipec.pec.extract`: files out of a message, none of them anywhere else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from archipec.errors import ArchipecError, IntegrityError, PermanentError
from archipec.pec.extract import extract
from archipec.pec.structure import parse_structure
from archipec.simulator import LEGALMAIL_2018, Attachment, Provider, compose

PDF = Attachment("contratto.pdf", b"%PDF-1.7 " + bytes(range(256)))


def files_of(message: bytes, folder: Path) -> list[Path]:
    written: list[Path] = []
    for outcome in extract(parse_structure(message), folder):
        assert isinstance(outcome, Path), outcome
        written.append(outcome)
    return written


def test_the_original_its_attachments_and_the_certification_data(tmp_path: Path) -> None:
    provider = Provider(style=LEGALMAIL_2018)
    sending = provider.accept(compose(attachments=[PDF, PDF]))
    folder = tmp_path / "a" / "out"
    written = files_of(provider.envelope(sending), folder)
    assert [path.relative_to(folder).as_posix() for path in written] == [
        "daticert.xml",
        "postacert.eml",
        "attachments/contratto.pdf",
        "attachments/contratto-2.pdf",
    ]
    assert written[1].read_bytes() == sending.postacert
    assert written[2].read_bytes() == written[3].read_bytes() == PDF.content
    assert written[0].read_bytes().startswith(b"<?xml")
    if sys.platform != "win32":
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "attachments").stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in written)


def test_nothing_that_is_there_is_replaced(tmp_path: Path) -> None:
    message = Provider().envelope(compose(attachments=[PDF]))
    first = files_of(message, tmp_path)
    kept = {path: path.read_bytes() for path in first}
    first[0].write_bytes(b"mine")
    second = files_of(message, tmp_path)
    assert not set(first) & set(second)
    assert first[0].read_bytes() == b"mine"
    assert [path.read_bytes() for path in second] == list(kept.values())


def original_with(*headers: bytes) -> bytes:
    parts = b"".join(b"--x\r\n" + header + b"\r\n\r\ncontent\r\n" for header in headers)
    return (
        compose().partition(b"MIME-Version")[0]
        + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
        + parts
        + b"--x--\r\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        b"../../escaped.txt",
        b"/etc/escaped",
        b"..\\..\\escaped",
        b"C:\\escaped",
        b"a\x00b\x1b[31m.txt",
        b"..",
        b".",
        b"....//....//x",
        b"CON",
        b"nul.txt",
        b"file:stream",
        b" .bashrc",
        b"x" * 5000 + b".pdf",
        b"\xe8\xff.pdf",
        b"=?utf-8?q?=2E=2E=2Fescaped?=",
        "allegato\u202efdp.exe".encode(),
        b"-rf",
    ],
)
def test_names_never_escape(name: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    original = original_with(
        b'Content-Disposition: attachment; filename="' + name.replace(b"\\", b"\\\\") + b'"'
    )
    (path,) = files_of(Provider().envelope(original), folder)[2:]
    assert path.parent == folder / "attachments"
    assert path.resolve().parent == (folder / "attachments").resolve()
    assert path.read_bytes() == b"content"
    assert path.name.isprintable()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "attachments",
        "daticert.xml",
        "postacert.eml",
    ]


def test_links_that_are_there_lead_nowhere(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    folder.mkdir()
    try:
        (folder / "attachments").symlink_to(outside, target_is_directory=True)
        (folder / "daticert.xml").symlink_to(outside / "new")
    except OSError:
        pytest.skip("this system lets nobody make links")
    written = files_of(Provider().envelope(compose(attachments=[PDF])), folder)
    assert list(outside.iterdir()) == []
    assert [path.relative_to(folder).as_posix() for path in written] == [
        "daticert-2.xml", "postacert.eml", "attachments-2/contratto.pdf",
    ]  # fmt: skip


def test_attached_messages_are_saved_and_not_entered(tmp_path: Path) -> None:
    inner = Provider(seed=2).envelope(compose(attachments=[PDF]))
    original = compose().partition(b"MIME-Version")[0] + (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n" + inner
        + b"\r\n--x\r\nContent-Type: text/plain\r\n\r\ntesto\r\n--x\r\nContent-Type: image/png\r\n"
        b"Content-Disposition: attachment\r\n\r\nz\r\n--x--\r\n"
    )  # fmt: skip
    written = files_of(Provider().envelope(original), tmp_path)[2:]
    assert [path.name for path in written] == ["message.eml", "attachment.bin"]
    assert written[0].read_bytes() == inner


def test_what_can_not_be_decoded_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    broken = b"Content-Type: a/b; name=rotto.bin\r\nContent-Transfer-Encoding: base64\r\nX: y"
    original = original_with(broken, b"Content-Type: a/b; name=sano.bin").replace(
        b"\r\n\r\ncontent", b"\r\n\r\nconte", 1
    )
    outcomes = list(extract(parse_structure(Provider().envelope(original)), tmp_path))
    assert isinstance(outcomes[2], IntegrityError)
    assert outcomes[2].message == "rotto.bin: a part of the message is not readable base64"
    assert isinstance(outcomes[3], Path) and outcomes[3].name == "sano.bin"


def test_a_receipt_without_the_original(tmp_path: Path) -> None:
    assert [path.name for path in files_of(Provider().acceptance(compose()), tmp_path)] == ["daticert.xml"]
    assert files_of(compose(), tmp_path / "other") == []


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PermanentError):
        list(extract(parse_structure(b""), tmp_path / "file"))


def test_multiparts_in_multiparts_end_somewhere(tmp_path: Path) -> None:
    deep = b"".join(b"Content-Type: multipart/x; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(3000))
    outcomes = list(extract(parse_structure(Provider().envelope(b"Subject: x\r\n" + deep)), tmp_path))
    assert not any(isinstance(one, ArchipecError) for one in outcomes)
