"""`archipec_plugins.mbox.toc`: the table of contents, and what is left of it when it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.errors import PermanentError
from archipec_plugins.mbox.toc import (
    FIRST_LINE,
    MboxEntry,
    MboxToc,
    is_in_order,
    mark_line,
    message_line,
    toc_path,
)

ENTRIES = [MboxEntry(49 + 100 * n, 45 + n, 45, f"{n:064x}") for n in range(3)]
LINES = [message_line(entry) for entry in ENTRIES]
OPEN = FIRST_LINE + mark_line("A", 0)
SIZE = 1000


def read(path: Path, content: bytes, size: int = SIZE) -> tuple[list[MboxEntry], MboxToc]:
    path.write_bytes(content)
    toc = MboxToc(str(path), size)
    return list(toc), toc


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / toc_path("archive.mbox")


def test_lines_are_for_people_too() -> None:
    assert LINES[1] == b"M 149 46 45 %064x 1061325f\n" % 1
    assert OPEN == b"V 1 532aaf88\nA 0 3d442aeb\n"


def test_reads_back(path: Path) -> None:
    entries, toc = read(path, OPEN + b"".join(LINES) + mark_line("Z", 300))
    assert entries == ENTRIES
    assert (toc.end, toc.reach, toc.appending) == (path.stat().st_size, 249 + 47, None)


def test_one_that_is_not_there_is_empty(path: Path) -> None:
    toc = MboxToc(str(path), SIZE)
    assert list(toc) == []
    assert (toc.end, toc.reach, toc.appending) == (0, 0, None)


def test_a_run_that_did_not_end_is_known_with_its_beginning(path: Path) -> None:
    _, toc = read(path, OPEN + LINES[0] + mark_line("Z", 96) + mark_line("A", 130) + LINES[1])
    assert toc.appending == 130


@pytest.mark.parametrize("left", range(len(LINES[2])))
def test_a_torn_line_is_none(path: Path, left: int) -> None:
    whole = OPEN + LINES[0] + LINES[1]
    entries, toc = read(path, whole + LINES[2][:left])
    assert entries == ENTRIES[:2]
    assert toc.end == len(whole)


@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"\n", b"x\n" * 3, b"\xff" * 256 + b"\n"])
def test_garbage_at_the_end_is_passed_over(path: Path, garbage: bytes) -> None:
    entries, toc = read(path, OPEN + LINES[0] + garbage)
    assert entries == ENTRIES[:1]
    assert toc.end == len(OPEN + LINES[0])


@given(at=st.integers(0, len(LINES[1]) - 1), bit=st.integers(0, 7))
def test_an_altered_line_is_lost_alone(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    line = bytearray(LINES[1])
    line[at] ^= 1 << bit
    content = OPEN + LINES[0] + bytes(line) + LINES[2]
    if line[at] == 0x0A:
        content = content.replace(b"\n\n", b"\n")
    entries, toc = read(tmp_path_factory.mktemp("toc") / "archive.mbox.toc", content)
    assert entries in ([ENTRIES[0], ENTRIES[2]], [ENTRIES[0]])  # the next goes too when its beginning is lost
    assert ENTRIES[2] in entries or at == len(LINES[1]) - 1
    assert toc.reach == (249 + 47 if ENTRIES[2] in entries else 49 + 45)


def test_messages_beyond_the_end_of_the_mbox_are_void_and_so_is_what_is_said_after_them(path: Path) -> None:
    whole = OPEN + LINES[0]
    entries, toc = read(path, whole + LINES[1] + LINES[2] + mark_line("Z", 300), size=120)
    assert entries == ENTRIES[:1]
    assert (toc.end, toc.reach, toc.appending) == (len(whole), 94, 0)


def test_a_later_version_is_refused(path: Path) -> None:
    from zlib import crc32

    with pytest.raises(PermanentError, match="later version"):
        read(path, b"V 2 extra %08x\n" % crc32(b"V 2 extra") + LINES[0])


@pytest.mark.parametrize(
    ("end", "size", "in_order"),
    [
        (mark_line("Z", 300), 300, True),
        (mark_line("Z", 300), 9999, True),
        (mark_line("Z", 300), 299, False),
        (mark_line("Z", 300)[:-1], 300, False),
        (mark_line("Z", 300) + b"M 4", 300, False),
        (mark_line("Z", 300).replace(b"Z", b"Y"), 300, False),
        (mark_line("A", 300), 300, False),
        (LINES[2], 300, False),
    ],
)
def test_a_table_in_order_needs_no_reading(path: Path, end: bytes, size: int, in_order: bool) -> None:
    for content in (OPEN + b"".join(LINES) + end, end):
        path.write_bytes(content)
        assert is_in_order(str(path), size) == in_order


def test_an_empty_table_is_not_in_order(path: Path) -> None:
    path.write_bytes(b"")
    assert not is_in_order(str(path), 0)
