"""What the names and the places of files in a Maildir tell, and what is no message there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archipec.errors import ArchipecError, PermanentError
from archipec.testing.factories import make_context
from archipec_plugins.files.folders import HeaderSource
from archipec_plugins.files.records import PathConfig
from archipec_plugins.maildir.names import folder_name, parse_found
from archipec_plugins.maildir.source import open_source, received

RAW = b"Subject: x\r\n\r\nbody\r\n"


@contextmanager
def opened(path: Path) -> Iterator[HeaderSource]:
    with open_source(PathConfig(path), make_context(path.parent)) as source:
        yield source


def put(maildir: Path, name: str, raw: bytes = RAW, directory: str = "cur") -> Path:
    (maildir / directory).mkdir(parents=True, exist_ok=True)
    (maildir / directory / name).write_bytes(raw)
    return maildir / directory / name


def refs(source: HeaderSource, folder: str = "INBOX") -> list[str]:
    return [listed.ref for listed in source.scan(folder, None)]


def read(source: HeaderSource, found: list[str], folder: str = "INBOX") -> list[bytes]:
    return [b"".join(fetched.chunks) for fetched in source.fetch(folder, iter(found))]


@pytest.mark.parametrize("separator", [":", ";", "!"])
def test_flags_after_every_separator(separator: str) -> None:
    name = parse_found(f"1700000000.M1P2.host,S=10{separator}2,FRSTab")
    assert name.base == "1700000000.M1P2.host,S=10"
    assert name.time == 1_700_000_000
    assert name.flags == ("\\Flagged", "\\Answered", "\\Seen", "\\Deleted")


@pytest.mark.parametrize(
    "file", ["x", "1.eml", "notatime.host", "12345678901234.x", ":2,", "1700000000.a:1,S"]
)
def test_any_name_can_be_taken_apart(file: str) -> None:
    name = parse_found(file)
    assert file.startswith(name.base)
    assert name.flags == ()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", "INBOX"),
        (".Sent.2026", "Sent/2026"),
        (".Posta inviata", "Posta inviata"),
        (".Citt&AOA-", "Città"),
        (".bad&utf7", "bad&utf7"),
        ("Maildir/.Sent", "Maildir/Sent"),
        ("2026/11/21", "2026/11/21"),
        ("a&-b", "a&-b"),
        ("..", "INBOX"),
    ],
)
def test_names_of_folders(path: str, name: str) -> None:
    assert folder_name(path) == name


def test_the_earlier_time_is_the_delivery() -> None:
    delivery = datetime.fromtimestamp(1_600_000_000, UTC)
    assert received(1_600_000_000, 1_700_000_000.5) == delivery  # copied later
    assert received(1_700_000_000, 1_600_000_000.5) == delivery  # migrated later
    assert received(0, 1_600_000_000.5) == delivery
    assert received(0, -1.0) is None
    assert received(0, 1e15) is None


def test_oldest_first_and_only_messages(tmp_path: Path) -> None:
    root = tmp_path / "mail"
    for time in (1_700_000_003, 1_700_000_001, 1_700_000_002):
        put(root, f"{time}.M1.host:2,S", RAW + b"%d" % time)
    put(root, ".nfs0001")
    put(root, "1600000000.partial", directory="tmp")
    with opened(root) as source:
        assert [ref[:10] for ref in refs(source)] == ["1700000001", "1700000002", "1700000003"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_and_pipes_are_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "mail"
    victim = put(root, "1700000000.M1.host")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "cur" / "1700000001.M2.host").symlink_to(tmp_path / "secret")
    (root / ".Loop").symlink_to(root)
    os.mkfifo(root / "cur" / "1700000002.M3.host")
    with opened(root) as source:
        assert [folder.name for folder in source.folders()] == ["INBOX"]
        found = refs(source)
        assert read(source, found) == [RAW]
        assert {(reason, message) for _, reason, message in source.skipped_files} == {
            ("it is a link", True),
            ("it is a link to a folder", False),
            ("it is no regular file", False),
        }
        # Put in the place of a message after it was listed.
        victim.unlink()
        victim.symlink_to(tmp_path / "secret")
        assert read(source, found) == []


def test_a_message_renamed_since_it_was_listed(tmp_path: Path) -> None:
    root = tmp_path / "mail"
    path = put(root, "1700000000.M1.host", directory="new")
    other = put(root, "1700000001.M2.host:2,")
    with opened(root) as source:
        found = refs(source)
        assert read(source, found) == [RAW, RAW]
        path.rename(root / "cur" / "1700000000.M1.host:2,S")
        other.rename(other.with_name("1700000001.M2.host:2,FS"))
        assert read(source, found) == [RAW, RAW]
    with opened(root) as source:
        assert refs(source) == found


def test_another_message_under_the_same_name(tmp_path: Path) -> None:
    root = tmp_path / "mail"
    path = put(root, "1700000000.M1.host")
    with opened(root) as source:
        found = refs(source)
        cursor = list(source.scan("INBOX", None))[-1].cursor
        path.write_bytes(RAW + b"other")
        assert read(source, found) == []
        assert len(list(source.scan("INBOX", cursor))) == 1


def test_a_message_twice_after_a_crash(tmp_path: Path) -> None:
    root = tmp_path / "mail"
    put(root, "1700000000.M1.host", directory="new")
    put(root, "1700000000.M1.host:2,S")
    with opened(root) as source:
        found = refs(source)
        assert len(set(found)) == 2
        assert read(source, found) == [RAW, RAW]


def test_two_folders_of_one_name(tmp_path: Path) -> None:
    root = tmp_path / "mail"
    put(root, "1700000000.M1.host")
    put(root / "INBOX", "1700000001.M1.host", RAW + b"2")
    with opened(root) as source:
        assert [folder.name for folder in source.folders()] == ["INBOX", "INBOX (2)"]
        assert read(source, refs(source, "INBOX (2)"), "INBOX (2)") == [RAW + b"2"]


def test_a_folder_that_vanished_is_not_an_empty_one(tmp_path: Path) -> None:
    root = tmp_path / "mail"
    path = put(root, "1700000000.M1.host")
    with opened(root) as source:
        found = refs(source)
        path.unlink()
        path.parent.rmdir()
        root.rmdir()
        with pytest.raises(ArchipecError):
            list(source.fetch("INBOX", iter(found)))


def test_no_maildir(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    with pytest.raises(PermanentError, match="there is no Maildir in"), opened(tmp_path / "mail"):
        pass
