"""What Thunderbird writes in front of messages is not part of them, and is heeded."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from archipec.testing.factories import make_context
from archipec_plugins.files.folders import HeaderSource
from archipec_plugins.files.records import PathConfig
from archipec_plugins.mbox.mozilla_status import MozillaStatus
from archipec_plugins.thunderbird.source import open_source

RAW = b"Subject: x\r\n\r\nbody\r\n"
FROM = b"From - Sat Nov 21 18:48:43 2026\r\n"
POP = b"X-Account-Key: account1\r\nX-UIDL: 000a\r\n"


def status(flags: int, keys: bytes = b"") -> bytes:
    return b"X-Mozilla-Status: %04x\r\nX-Mozilla-Status2: 00000000\r\nX-Mozilla-Keys: %-20b\r\n" % (
        flags,
        keys,
    )


def read(source: HeaderSource, folder: str, refs: list[str]) -> list[bytes]:
    return [b"".join(one.chunks) for one in source.fetch(folder, iter(refs))]


@pytest.mark.parametrize(
    ("lines", "flags"),
    [
        (status(0x0001), ("\\Seen",)),
        (
            POP + status(0x1007, b"$label1 urgente"),
            ("\\Seen", "\\Answered", "\\Flagged", "$Forwarded", "$label1", "urgente"),
        ),
        (POP, ()),
        (status(0x0009), None),
        (status(0x0400), None),
    ],
)
def test_lines_in_front(lines: bytes, flags: tuple[str, ...] | None) -> None:
    status = MozillaStatus()
    assert status.skip(lines + RAW) == len(lines)
    assert status.flags(lines) == flags


@pytest.mark.parametrize(
    "raw", [RAW, b"X-UIDL: of the server\r\n" + RAW, b"Received: x\r\nX-Mozilla-Status: 0001\r\n" + RAW, b""]
)
def test_what_is_the_message(raw: bytes) -> None:
    assert MozillaStatus().skip(raw) == 0


def test_a_change_of_flags_in_place_changes_no_message(tmp_path: Path) -> None:
    account = tmp_path / "pop.example.it"
    account.mkdir()
    (account / "Inbox.msf").write_bytes(b"")
    inbox = account / "Inbox"
    inbox.write_bytes(b"".join(FROM + status(0) + RAW + b"%d\r\n\r\n" % number for number in range(4)))
    with open_source(PathConfig(account), make_context(tmp_path)) as source:
        listed = list(source.scan("Inbox", None))
    raw = inbox.read_bytes()
    inbox.write_bytes(raw.replace(b"Status: 0000", b"Status: 0001", 1))
    with open_source(PathConfig(account), make_context(tmp_path)) as source:
        assert [one.ref for one in source.scan("Inbox", None)] == [one.ref for one in listed]
        assert list(source.scan("Inbox", listed[-1].cursor)) == []
        assert read(source, "Inbox", [one.ref for one in listed]) == [
            RAW + b"%d\r\n" % number for number in range(4)
        ]


def test_deleted_and_partial_messages_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    account = tmp_path / "pop.example.it"
    account.mkdir()
    flags = (0x0001, 0x0009, 0x0400, 0x0000)
    raw = b"".join(FROM + status(flag) + RAW + b"%d\r\n\r\n" % number for number, flag in enumerate(flags))
    (account / "Inbox").write_bytes(raw)
    with (
        caplog.at_level(logging.INFO),
        open_source(PathConfig(account), make_context(tmp_path)) as source,
    ):
        refs = [one.ref for one in source.scan("Inbox", None)]
        assert read(source, "Inbox", refs) == [RAW + b"0\r\n", RAW + b"3\r\n"]
    assert "deleted messages passed over: 1" in caplog.messages
    assert "messages left out because Thunderbird downloaded only their beginning: 1" in caplog.messages


@pytest.mark.parametrize("place", ["", "Mail", "Mail/pop.example.it"])
def test_a_profile_or_a_part_of_it(place: str, tmp_path: Path) -> None:
    account = tmp_path / "profile" / "Mail" / "pop.example.it"
    (account / "A.sbd" / "B.sbd").mkdir(parents=True)
    (tmp_path / "profile" / "prefs.js").write_text("")
    for path in (account / "Inbox", account / "A.sbd" / "B.sbd" / "C"):
        path.write_bytes(FROM + RAW + b"\r\n")
    for name in ("A", "A.sbd/B"):
        (account / name).write_bytes(b"")
    (account / "msgFilterRules.dat").write_text('version="9"')
    prefix = "" if place.endswith(".it") else "pop.example.it/"
    with open_source(PathConfig(tmp_path / "profile" / place), make_context(tmp_path)) as source:
        assert [folder.name for folder in source.folders()] == [f"{prefix}A/B/C", f"{prefix}Inbox"]
