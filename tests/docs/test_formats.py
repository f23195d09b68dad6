"""``docs/formats.md`` is enough to read an archive: its examples are read by what it says, and so are real archives.

Nothing of archipec reads archives here: what does was written from the page alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from archipec_plugins.files.layout import safe_part
from testbed.command import Archipec
from testbed.pages import blocks, page, section

PAGE = page("formats.md")
EXAMPLES = {block.name: block.text for block in blocks(PAGE) if block.name}
IDENTITY = "4c0e1d8e-6a0c-4b8f-9a52-6d5f3b1f0c11"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

MESSAGES = (
    b"""Received: from mx.example.it by imaps.example.it; Sat, 21 Nov 2026 10:33:05 +0100
From: anna@example.it
To: studio@example.it
Date: Sat, 21 Nov 2026 10:33:00 +0100
Message-ID: <1@example.it>
Subject: Prova: 1/2

Ciao,
From Roma with love.
>From Milano
""".replace(b"\n", b"\r\n"),
    b"""Received: from mx.example.it by imaps.example.it; Sun, 22 Nov 2026 08:00:00 +0100
From: anna@example.it
Date: Sun, 22 Nov 2026 08:00:00 +0100
Subject: no line end

fine""".replace(b"\n", b"\r\n"),
)
HASHES = {hashlib.sha256(message).hexdigest(): message for message in MESSAGES}

CONFIGURATION = """
[[pipeline]]
name = "example"
[pipeline.source]
type = "eml"
path = "mail"
[[pipeline.sink]]
type = "maildir"
path = "maildir"
[[pipeline.sink]]
type = "eml"
path = "eml"
[[pipeline.sink]]
type = "mbox"
path = "mbox"
[[pipeline.sink]]
type = "zip"
path = "zip"
[[pipeline.sink]]
type = "zip"
name = "zip-mbox"
path = "zip-mbox"
inside = "mbox"
split = "month"
[[pipeline.sink]]
type = "conservation-directory"
path = "provider"
outbox = "outbox"
holder = "studio@example.it"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archives of the examples, made by archipec."""
    root = tmp_path_factory.mktemp("formats")
    (root / "mail" / "INBOX").mkdir(parents=True)
    (root / "provider").mkdir()
    for number, message in enumerate(MESSAGES):
        (root / "mail" / "INBOX" / f"{number}.eml").write_bytes(message)
    (root / "archipec.toml").write_text(CONFIGURATION)
    archipec = Archipec(root / "state", {"ARCHIPEC_CONFIG": str(root / "archipec.toml")})
    assert archipec("archive", "--json").object["stored"] == 2
    return root


# -- a reader, by the page ---------------------------------------------------------------------------


def checked(data: bytes) -> Iterator[list[str]]:
    """Yield the words of each line, the CRC-32 left out."""
    assert data.endswith(b"\n")
    for line in data[:-1].split(b"\n"):
        text, _, crc = line.rpartition(b" ")
        assert int(crc, 16) == crc32(text) and len(crc) == 8, line
        yield text.decode().split(" ")


def listed(inventory: bytes) -> dict[str, tuple[int, str]]:
    """Return (bytes, place) by hash of what an inventory lists; its totals and digests are compared on the way."""
    found: dict[str, tuple[int, str]] = {}
    above, total = b"", 0
    for number, words in enumerate(checked(inventory)):
        match words:
            case ["V", "1", identity]:
                assert number == 0 and UUID.fullmatch(identity)
            case ["A"]:
                pass
            case ["M", digest, size, *place]:
                found[digest] = int(size), " ".join(place)
                total += int(size)
            case ["C" | "Z", messages, size, digest]:
                assert (int(messages), int(size)) == (len(found), total)
                assert digest == hashlib.sha256(above).hexdigest()
            case _:
                pytest.fail(f"the page does not say what {words} means")
        above += inventory.splitlines(keepends=True)[number]
    assert words[0] == "Z"
    return found


def unquoted(stored: bytes) -> bytes:
    return re.sub(rb"^>(>*From )", rb"\1", stored, flags=re.MULTILINE)


def in_mbox(mbox: bytes, toc: bytes) -> list[bytes]:
    messages = []
    for words in checked(toc):
        match words:
            case ["V", "1"] | ["A", _]:
                pass
            case ["M", offset, stored, size, digest]:
                start, end = int(offset), int(offset) + int(stored)
                separator = mbox[:start].splitlines(keepends=True)[-1]
                assert re.fullmatch(
                    rb"From archipec@localhost \w{3} \w{3} [ 1-3]\d [0-9:]{8} \d{4}\n", separator
                )
                message = unquoted(mbox[start:end])
                assert (len(message), hashlib.sha256(message).hexdigest()) == (int(size), digest)
                # A blank line after it, and a line end before that where the message has none.
                assert mbox[end:].startswith(b"\n" if message.endswith(b"\n") else b"\n\n")
                messages.append(message)
            case ["Z", end_of_file]:
                assert int(end_of_file) == len(mbox)
            case _:
                pytest.fail(f"the page does not say what {words} means")
    return messages


def in_zip(path: Path, toc: bytes) -> list[bytes]:
    data, messages = path.read_bytes(), []
    with zipfile.ZipFile(path) as opened:
        for words in checked(toc):
            match words:
                case ["V", "1", "eml" | "maildir" | "mbox"] | ["A", _]:
                    pass
                case ["M", offset, stored, size, digest, method, crc, unpacked, dos, *name]:
                    member = opened.getinfo(" ".join(name))
                    assert (member.header_offset, member.compress_size, member.CRC) == (
                        int(offset),
                        int(stored),
                        int(crc, 16),
                    )
                    assert (member.compress_type, member.file_size) == (int(method), int(unpacked))
                    day = member.date_time
                    assert int(dos) >> 16 == (day[0] - 1980) << 9 | day[1] << 5 | day[2]
                    message = opened.read(member)
                    assert (len(message), hashlib.sha256(message).hexdigest()) == (int(size), digest)
                    messages.append(message)
                case ["P", offset, stored, size, digest, "0", crc, unpacked, _dos, *name]:
                    whole = opened.read(" ".join(name))
                    assert crc32(whole[: int(unpacked)]) == int(crc, 16)
                    record = data[int(offset) : int(offset) + int(stored)]
                    assert record.startswith(b"From archipec@localhost ")
                    message = unquoted(record.partition(b"\n")[2])[: int(size)]
                    assert hashlib.sha256(message).hexdigest() == digest
                    messages.append(message)
                case ["E", directory, end, crc]:
                    assert data[int(directory) :].startswith(b"PK\x01\x02") and int(end) == len(data)
                    assert crc32(data[int(directory) :]) == int(crc, 16)
                case _:
                    pytest.fail(f"the page does not say what {words} means")
    return messages


def files(root: Path) -> list[str]:
    # Windows allows no colon.
    found = (
        path.relative_to(root).as_posix().replace(";2,", ":2,") for path in root.rglob("*") if path.is_file()
    )
    return sorted(found)


def with_identity(inventory: bytes) -> bytes:
    """Return an inventory as it would be with the identity of the page's examples."""
    above = b""
    for words in checked(inventory):
        match words:
            case ["V", version, _]:
                words = ["V", version, IDENTITY]
            case ["C" | "Z" as mark, messages, size, _]:
                words = [mark, messages, size, hashlib.sha256(above).hexdigest()]
        text = " ".join(words).encode()
        above += b"%b %08x\n" % (text, crc32(text))
    return above


# -- the examples ------------------------------------------------------------------------------------


def test_the_example_of_an_inventory_is_read_by_what_the_page_says() -> None:
    inventory = EXAMPLES["maildir/archipec.toc"].encode()
    assert listed(inventory) == {digest: (len(message), "INBOX/cur") for digest, message in HASHES.items()}
    marker = json.loads(EXAMPLES["maildir/archipec.json"])
    record = marker["record"]
    before = inventory[: record["length"]]
    assert inventory[record["length"] :].startswith(b"Z ")
    assert hashlib.sha256(before).hexdigest() == record["sha256"]
    assert (record["messages"], record["bytes"]) == (2, sum(map(len, MESSAGES)))
    assert inventory.startswith(f"V 1 {marker['archive']} ".encode())


def test_examples_of_names_are_read_by_what_the_page_says() -> None:
    for line in EXAMPLES["maildir/SHA256SUMS"].splitlines():
        digest, path = line.split("  ", 1)
        name = re.fullmatch(r"INBOX/cur/(\d+)\.([0-9a-f]{64})(?:_\d+)?\.archipec,S=(\d+):2,[DFPRS]*", path)
        assert name and name[2] == digest and int(name[3]) == len(HASHES[digest])
        assert path in EXAMPLES["maildir"].splitlines()
    (folder,) = re.findall(r"`(Fatture_2026~[0-9a-f]{8})`", PAGE)
    assert (
        folder
        == f"Fatture_2026~{hashlib.sha256(b'Fatture:2026').hexdigest()[:8]}"
        == safe_part("Fatture:2026")
    )
    marks = re.findall(r" – ([0-9a-f]{8})\.eml$", EXAMPLES["eml"], re.MULTILINE)
    assert sorted(marks) == sorted(digest[:8] for digest in HASHES)


def test_the_example_of_an_mbox_is_read_by_what_the_page_says() -> None:
    # Line ends inside messages are CRLF, which the page does not show.
    shown, mbox = EXAMPLES["mbox/archive.mbox"], b""
    for line in shown.splitlines():
        outside = not line or line.startswith("From archipec@localhost ") or line == "fine"
        mbox += line.encode() + (b"\n" if outside else b"\r\n")
    mbox = mbox.replace(b"1/2\r\n\n", b"1/2\r\n\r\n").replace(b"line end\r\n\n", b"line end\r\n\r\n")
    assert in_mbox(mbox, EXAMPLES["mbox/archive.mbox.toc"].encode()) == list(MESSAGES)


# -- real archives -----------------------------------------------------------------------------------


def test_the_examples_are_what_archipec_writes(made: Path) -> None:
    for name, example in EXAMPLES.items():
        path = made / name
        if path.is_dir():
            continue
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as opened:
                shown = "".join(f"{one.file_size} {one.filename}\n" for one in opened.infolist())
            assert shown == example, name
        elif path.name == "archipec.json":
            assert json.loads(path.read_text("utf-8")).keys() == json.loads(example).keys()
        else:
            data = path.read_bytes()
            data = (
                with_identity(data)
                if path.name == "archipec.toc"
                else data.translate(None, b"\r").replace(b";2,", b":2,")
            )
            assert data.decode().rstrip("\n") == example.rstrip("\n"), name


def test_every_file_that_archipec_writes_is_on_the_page(made: Path) -> None:
    for name in ("maildir", "eml", "outbox", "provider"):
        written = [UUID.sub(IDENTITY, file) for file in files(made / name)]
        assert written == EXAMPLES[name].splitlines(), name
    assert {UUID.sub("", file) for file in files(made / "state")} >= {"ledger.sqlite3"}
    assert {path.name for path in (made / "state").iterdir()} <= {
        "index.sqlite3",
        "ledger.sqlite3",
        "locks",
        "spool",
    }


def test_every_archive_is_read_by_what_the_page_says(made: Path) -> None:
    for name in ("maildir", "eml", "mbox", "zip", "zip-mbox"):
        inventory = (made / name / "archipec.toc").read_bytes()
        assert {digest: size for digest, (size, _) in listed(inventory).items()} == {
            digest: len(message) for digest, message in HASHES.items()
        }, name
        for _, place in listed(inventory).values():
            assert (made / name / place).exists()
    for name in ("maildir", "eml"):
        for line in (made / name / "SHA256SUMS").read_text("utf-8").splitlines():
            digest, path = line.split("  ", 1)
            assert (made / name / path).read_bytes() == HASHES[digest]
    mbox = made / "mbox" / "archive.mbox"
    assert in_mbox(mbox.read_bytes(), Path(f"{mbox}.toc").read_bytes()) == list(MESSAGES)
    for file in (made / "zip" / "archive.zip", made / "zip-mbox" / "archive-2026-11.zip"):
        assert in_zip(file, Path(f"{file}.toc").read_bytes()) == list(MESSAGES)
    for digest, message in HASHES.items():
        assert (made / "outbox" / "messages" / digest[:2] / f"{digest}.eml").read_bytes() == message


@pytest.mark.skipif(sys.platform != "linux", reason="commands of GNU")
def test_its_commands_do_what_it_says(made: Path) -> None:
    def run(command: str, folder: str) -> str:
        return subprocess.run(
            ["sh", "-euc", command], cwd=made / folder, capture_output=True, text=True, check=True
        ).stdout

    (by_hand,) = [block.text for block in blocks(PAGE) if "head -c LENGTH" in block.text]
    record = json.loads((made / "maildir" / "archipec.json").read_text("utf-8"))["record"]
    said = run(by_hand.replace("LENGTH", str(record["length"])), "maildir").splitlines()
    assert said[0].split()[0] == record["sha256"]
    assert said[1:] == ["2", *sorted(HASHES), *sorted(HASHES)]
    (one,) = [block.text for block in blocks(PAGE) if block.text.startswith("tail -c")]
    assert run(one, "mbox").split()[0] == hashlib.sha256(MESSAGES[0]).hexdigest()
    assert run("sha256sum -c SHA256SUMS", "eml").count("OK") == 2


@pytest.mark.parametrize(
    ("file", "heading"),
    [
        ("state/ledger.sqlite3", "## The state folder and its ledger"),
        ("outbox/outbox.sqlite3", "## Conservation: outbox and packages"),
    ],
)
def test_every_table_of_a_database_is_on_the_page(made: Path, file: str, heading: str) -> None:
    text = section(PAGE, heading)
    db = sqlite3.connect(made / file)
    try:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
    finally:
        db.close()
    missing = {table for table in tables if f"`{table}`" not in text}
    assert not missing
    assert f"0x{application:08X}".replace("X", "x", 1) in text
    if "ledger" in file:
        assert f"`user_version` {version}" in text
        named = {
            word
            for row in re.findall(r"^\| (`[a-z`, ]+`) \| ", text, re.MULTILINE)
            for word in re.findall("[a-z]+", row)
        }
        assert named == tables
