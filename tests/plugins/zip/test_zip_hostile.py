"""Zips that are broken or meant to harm: each is refused with its reason, and the good messages beside it are read."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.contract import Source
from archipec.errors import ArchipecError, PermanentError, Scope
from archipec.testing.factories import make_context
from archipec_plugins.zip import ZipSourceConfig
from archipec_plugins.zip.source import open_source

GOOD = b"From: a@pec.example.it\r\nSubject: good\r\n\r\nbody\r\n"
BAD = b"From: a@pec.example.it\r\nSubject: bad\r\n\r\nbody\r\n"
SEPARATOR = b"From MAILER-DAEMON Sat Nov 21 20:00:00 2026\n"


def info(name: str, mode: int = 0o100600, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system = 3
    made.external_attr = mode << 16
    made.compress_type = method
    return made


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for member, raw in members:
            file.writestr(member, raw)
    return bytearray(buffer.getvalue())


def record_of(raw: bytearray, name: str) -> int:
    """Return where the directory's record of a member begins."""
    at = raw.find(b"PK\x01\x02")
    while raw[at + 46 : at + 46 + len(name)] != name.encode():
        at = raw.find(b"PK\x01\x02", at + 1)
    return at


def patched(raw: bytearray, name: str, offset: int, form: str, value: int) -> bytearray:
    """Change a field of a member's record in the directory."""
    struct.pack_into(form, raw, record_of(raw, name) + offset, value)
    return raw


def pair() -> bytearray:
    return zipped(("good.eml", GOOD), ("bad.eml", BAD))


def encrypted() -> bytearray:
    return patched(pair(), "bad.eml", 8, "<H", 1)


def overlapping() -> bytearray:
    raw = zipped(("good.eml", GOOD), ("a.eml", GOOD), ("b.eml", BAD))
    (header,) = struct.unpack_from("<L", raw, record_of(raw, "a.eml") + 42)
    return patched(raw, "b.eml", 42, "<L", header)


def damaged_data() -> bytearray:
    raw = zipped(("good.eml", GOOD), ("bad.eml", random.Random(5).randbytes(3000).hex().encode()))
    at = raw.find(b"bad.eml") + 1000
    raw[at : at + 50] = bytes(byte ^ 0xFF for byte in raw[at : at + 50])
    return raw


def two_names() -> bytearray:
    raw = pair()
    at = raw.find(b"bad.eml")
    raw[at : at + 7] = b"evi.eml"
    return raw


def bomb() -> bytearray:
    return zipped(("good.eml", GOOD), ("bad.eml", b"x" * (65 << 20)))


def too_long() -> bytearray:
    raw = zipped(("good.eml", GOOD), ("bad.eml", BAD * 100))
    return patched(raw, "bad.eml", 24, "<L", len(BAD))


def too_short() -> bytearray:
    return patched(pair(), "bad.eml", 24, "<L", len(BAD) + 1)


def stored_cut_off() -> bytearray:
    raw = zipped(("good.eml", GOOD), (info("bad.eml", method=zipfile.ZIP_STORED), BAD))
    patched(raw, "bad.eml", 24, "<L", 1 << 20)
    return patched(raw, "bad.eml", 20, "<L", 1 << 20)


def no_local_header() -> bytearray:
    return patched(pair(), "bad.eml", 42, "<L", 5)


def duplicate() -> bytearray:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped(("good.eml", GOOD), ("good.eml", BAD))


# What is made, whether it shows when listed or when read, and a word of the reason.
MEMBERS: dict[str, tuple[Callable[[], bytearray], str, str]] = {
    "path out of the zip": (lambda: zipped(("good.eml", GOOD), ("../bad.eml", BAD)), "read", ""),
    "path out by backslashes": (
        lambda: zipped(("good.eml", GOOD), ("a\\..\\..\\bad.eml", BAD)),
        "read",
        "",
    ),
    "absolute path": (lambda: zipped(("good.eml", GOOD), ("/etc/bad.eml", BAD)), "read", ""),
    "drive": (lambda: zipped(("good.eml", GOOD), ("C:\\bad.eml", BAD)), "read", ""),
    "link": (
        lambda: zipped(("good.eml", GOOD), (info("bad.eml", 0o120777), b"/etc/passwd")),
        "left out",
        "link",
    ),
    "pipe": (lambda: zipped(("good.eml", GOOD), (info("bad.eml", 0o010600), b"")), "left out", "regular"),
    "device": (lambda: zipped(("good.eml", GOOD), (info("bad.eml", 0o020600), b"")), "left out", "regular"),
    "encrypted": (encrypted, "left out", "encrypted"),
    "unknown compression": (
        lambda: zipped(("good.eml", GOOD), (info("bad.eml", method=zipfile.ZIP_BZIP2), BAD)),
        "left out",
        "method 12",
    ),
    "same name twice": (duplicate, "read", ""),
    "shared bytes": (overlapping, "left out", "shares bytes"),
    "bomb by ratio": (bomb, "left out", "zip bomb"),
    "zip in a zip": (
        lambda: zipped(("good.eml", GOOD), ("bad.zip", bytes(zipped(("x.eml", BAD))))),
        "left out",
        "zip in a zip",
    ),
    "not mail": (lambda: zipped(("good.eml", GOOD), ("bad.pdf", b"%PDF-1.4 ...")), "left out", "PDF"),
    "wrong checksum": (lambda: patched(pair(), "bad.eml", 16, "<L", 7), "unreadable", "checksum"),
    "damaged data": (damaged_data, "unreadable", "damaged"),
    "two names": (two_names, "unreadable", "two names"),
    "longer than it says": (too_long, "unreadable", "longer than"),
    "shorter than it says": (too_short, "unreadable", "ends after"),
    "cut off": (stored_cut_off, "unreadable", "cut off"),
    "no header": (no_local_header, "left out", "shares bytes"),
    "a page called .eml": (
        lambda: zipped(("good.eml", GOOD), ("bad.eml", b"<html><body>login</body>")),
        "unreadable",
        "web page",
    ),
}


def with_total(raw: bytearray, size: int) -> bytearray:
    return patched(raw, "bad.eml", 24, "<L", size)


WHOLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut off": (lambda: bytes(pair()[:-30]), "cut off"),
    "directory damaged": (lambda: bytes(pair()).replace(b"PK\x01\x02", b"PK\x01\x03"), "damaged"),
    "directory outside": (lambda: bytes(pair()[60:]), "outside"),
    "wrong count": (lambda: bytes(pair()).replace(b"\x02\x00\x02\x00", b"\x03\x00\x03\x00"), "directory"),
    "volume of several": (
        lambda: bytes(pair()).replace(b"PK\x05\x06\x00\x00", b"PK\x05\x06\x01\x00"),
        "volumes",
    ),
    "bomb in all": (lambda: bytes(with_total(pair(), (2 << 30) - 1)), "zip bomb"),
    "no zip": (lambda: b"hello", "no zip"),
    "empty file": (lambda: b"", "no zip"),
    "zip64 end missing": (
        lambda: bytes(pair()).replace(b"\x02\x00\x02\x00", b"\xff\xff\xff\xff"),
        "zip64",
    ),
    "nothing in it": (lambda: bytes(zipped()), "no mail"),
}


def read_all(source: Source) -> tuple[set[bytes], list[str]]:
    """Return the messages that could be read, and what was told of the others."""
    good, told = set(), []
    for folder in list(source.folders()):
        try:
            refs = [listed.ref for listed in source.scan(folder.name, None)]
        except ArchipecError as error:
            assert error.scope is Scope.FOLDER
            told.append(str(error))
            continue
        for fetched in source.fetch(folder.name, iter(refs)):
            try:
                good.add(b"".join(fetched.chunks))
            except ArchipecError as error:
                assert error.scope is Scope.MESSAGE
                told.append(str(error))
    return good, told


@pytest.mark.parametrize("name", MEMBERS)
def test_a_bad_member_beside_a_good_one(name: str, tmp_path: Path) -> None:
    make, when, reason = MEMBERS[name]
    path = tmp_path / "dump.zip"
    path.write_bytes(make())
    with open_source(ZipSourceConfig(path, None, False), make_context(tmp_path)) as source:
        good, told = read_all(source)
        left_out = [each.reason for each in source.skipped_files]
    assert GOOD in good
    if when == "read":
        assert (good, left_out, told) == ({GOOD, BAD}, [], [])
        return
    assert good == {GOOD}
    found = left_out if when == "left out" else told
    assert any(reason in text for text in found), (left_out, told)


@pytest.mark.parametrize("name", WHOLE)
def test_a_zip_that_is_refused(name: str, tmp_path: Path) -> None:
    make, reason = WHOLE[name]
    (tmp_path / "zips").mkdir()
    path = tmp_path / "zips" / "bad.zip"
    path.write_bytes(make())
    with (
        pytest.raises(PermanentError, match=reason),
        open_source(ZipSourceConfig(path, None, False), make_context(tmp_path)),
    ):
        pass
    if name == "nothing in it":
        return
    (tmp_path / "zips" / "good.zip").write_bytes(zipped(("good.eml", GOOD)))
    with open_source(ZipSourceConfig(tmp_path / "zips", None, False), make_context(tmp_path)) as source:
        good, told = read_all(source)
    assert good == {GOOD}
    assert len(told) == 1
    assert reason in told[0]


def inverted(raw: bytearray) -> None:
    at = len(raw) // 2
    raw[at : at + 200] = bytes(byte ^ 0xA5 for byte in raw[at : at + 200])


def zeroed(raw: bytearray) -> None:
    at = len(raw) // 2
    raw[at : at + 200] = bytes(200)


def checksum(raw: bytearray) -> None:
    patched(raw, "a.mbox", 16, "<L", 7)


@pytest.mark.parametrize("harm", [inverted, zeroed, checksum])
def test_of_a_damaged_part_of_an_mbox_nothing_is_believed(
    harm: Callable[[bytearray], None], tmp_path: Path
) -> None:
    """Unpacked damage may look like messages, and nobody can tell which are."""
    chance = random.Random(7)
    messages = [GOOD + b"%d %s\r\n" % (number, chance.randbytes(800).hex().encode()) for number in range(500)]
    raw = zipped(("a.mbox", b"".join(SEPARATOR + each + b"\n" for each in messages)))
    harm(raw)
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips" / "1.zip").write_bytes(raw)
    last = GOOD + b"of the second part\r\n"
    (tmp_path / "zips" / "2.zip").write_bytes(zipped(("a.mbox", SEPARATOR + last + b"\n")))
    with open_source(ZipSourceConfig(tmp_path / "zips", None, False), make_context(tmp_path)) as source:
        refs = [listed.ref for listed in source.scan("a", None)]
        good, told = read_all(source)
    assert good == {last}
    assert len(told) > 100
    assert all(text.startswith("1.zip: a.mbox: it") for text in told)
    # Nor in a later run, which lists nothing because nothing has changed.
    with open_source(ZipSourceConfig(tmp_path / "zips", None, False), make_context(tmp_path)) as source:
        with pytest.raises(ArchipecError, match=r"1\.zip: a\.mbox: it"):
            list(next(source.fetch("a", iter(refs))).chunks)
        (only,) = source.fetch("a", iter(refs[-1:]))
        assert b"".join(only.chunks) == last


def test_a_message_cut_in_two_by_two_zips(tmp_path: Path) -> None:
    whole = b"".join(SEPARATOR + GOOD + b"%d\r\n" % number + b"\n" for number in range(100))
    (tmp_path / "zips").mkdir()
    for number, part in enumerate((whole[:2000], whole[2000:5001], whole[5001:])):
        # In the order of their numbers: 9, 10, 11.
        (tmp_path / "zips" / f"part{number + 9}.zip").write_bytes(zipped(("INBOX.mbox", part)))
    with open_source(ZipSourceConfig(tmp_path / "zips", None, False), make_context(tmp_path)) as source:
        assert [folder.name for folder in source.folders()] == ["INBOX"]
        good, told = read_all(source)
    assert not told
    assert good == {GOOD + b"%d\r\n" % number for number in range(100)}


def in_code_page_437() -> bytearray:
    return zipped(("citt_/1.eml", GOOD)).replace(b"citt_", b"citt\x85")


def in_an_extra_field() -> bytearray:
    """As Info-ZIP does: ASCII in the header, UTF-8 in a field of its own with the checksum of the former."""
    made, name = info("citt_/1.eml"), "città/1.eml".encode()
    made.extra = struct.pack("<2HBL", 0x7075, 5 + len(name), 1, zlib.crc32(b"citt_/1.eml")) + name
    return zipped((made, GOOD))


def in_utf8_unsaid() -> bytearray:
    return zipped(("citt__/1.eml", GOOD)).replace(b"citt__", "città".encode())


@pytest.mark.parametrize(
    "make", [in_code_page_437, in_an_extra_field, in_utf8_unsaid, lambda: zipped(("città/1.eml", GOOD))]
)
def test_names_in_all_encodings(make: Callable[[], bytearray], tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(make())
    with open_source(ZipSourceConfig(path, None, False), make_context(tmp_path)) as source:
        assert [folder.name for folder in source.folders()] == ["città"]
        assert read_all(source)[0] == {GOOD}


def test_more_members_than_fit_without_zip64(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(66_000):
            file.writestr(f"new/{1_600_000_000 + number}.host", b"%d" % number)
    with open_source(ZipSourceConfig(path, None, False), make_context(tmp_path)) as source:
        listed = list(source.scan("INBOX", None))
        assert len(listed) == 66_000
        (last,) = source.fetch("INBOX", iter([listed[-1].ref]))
        assert b"".join(last.chunks) == b"65999"


def test_any_damage_is_told_by_an_error_of_the_tree(tmp_path: Path) -> None:
    chance = random.Random(11)
    whole = zipped(
        ("cur/1700000000.M1.host:2,S", GOOD),
        (info("a/1.eml", method=zipfile.ZIP_STORED), GOOD),
        ("INBOX.mbox", SEPARATOR + GOOD + b"\n" + SEPARATOR + GOOD + b"2\n\n"),
    )
    path = tmp_path / "a.zip"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(1500):
        raw = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 5))):
            raw[chance.randrange(len(raw))] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        if chance.random() < 0.1:
            del raw[chance.randrange(len(raw)) :]
        path.write_bytes(raw)
        try:
            with open_source(ZipSourceConfig(path, None, False), make_context(tmp_path)) as source:
                read_all(source)
            outcomes["read"] += 1
        except PermanentError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 200
