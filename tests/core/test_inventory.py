"""The inventory of an archive: written and read back, torn anywhere, and as anybody may have changed it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from archipec.crc_lines import checked_line
from archipec.inventory import (
    MARKER,
    NAME,
    Entry,
    InventoryReader,
    InventoryWriter,
    Summary,
    claim_of,
    extends,
    last_summary,
    read_marker_file,
)
from archipec.message import ContentKey

ENTRIES = [Entry(ContentKey.of(b"%d" % n), f"archive-{2020 + n % 3}.mbox") for n in range(5)]
ONE_TIME = settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def write(root: Path, *runs: list[Entry]) -> None:
    for run in runs:
        writer = InventoryWriter(root)
        _, summary = last_summary(root)
        if summary is None:
            writer.create("4c0e1d8e-6a0c-4b8f-9a52-6d5f3b1f0c11", None)
        else:
            assert writer.resume(summary, None)
        writer.begin()
        writer.add(run)
        writer.close(complete=True)


def read(root: Path, claim: Summary | None = None) -> tuple[InventoryReader, list[Entry]]:
    reader = InventoryReader(root, claim)
    return reader, list(reader)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    odd = [Entry(ContentKey("a" * 64, 10**17), "2026/11/così – \udcff.eml"), Entry(ContentKey.of(b""), "x y")]
    write(tmp_path, ENTRIES, odd)
    reader, found = read(tmp_path)
    assert found == ENTRIES + odd
    assert (reader.damage, reader.closed, reader.torn) == ("", True, 0)
    exists, summary = last_summary(tmp_path)
    assert exists
    assert summary is not None
    assert (summary.messages, summary.size) == (7, 5 + 10**17)
    assert read(tmp_path, summary)[0].damage == ""
    assert extends(tmp_path, summary)
    assert not extends(tmp_path, summary._replace(sha256="0" * 64))


def test_torn_at_every_byte(tmp_path: Path) -> None:
    """A run that was killed leaves a beginning of what it wrote, or zeros: never damage, never what wasn't there."""
    write(tmp_path, ENTRIES[:3])
    whole = (tmp_path / NAME).read_bytes()
    write(tmp_path, ENTRIES[3:])
    after = (tmp_path / NAME).read_bytes()
    end = after.rindex(b"Z ")
    for size in range(len(whole), len(after)):
        for tail in (b"", b"\0" * 40) if size < end else (b"",):
            (tmp_path / NAME).write_bytes(after[:size] + tail)
            reader, found = read(tmp_path)
            assert reader.damage == ""
            assert found == ENTRIES[: len(found)]
            assert len(found) >= 3
            writer = InventoryWriter(tmp_path)
            writer.recover(reader)
            writer.begin()
            writer.add(ENTRIES[len(found) :])
            writer.close(complete=True)
            reader, found = read(tmp_path)
            assert (reader.damage, reader.closed, reader.torn, found) == ("", True, 0, ENTRIES)


def test_every_flipped_bit_before_the_last_run_is_damage(tmp_path: Path) -> None:
    write(tmp_path, ENTRIES[:3])
    _, claim = last_summary(tmp_path)
    end = len((tmp_path / NAME).read_bytes())
    write(tmp_path, ENTRIES[3:])
    data = (tmp_path / NAME).read_bytes()
    for at in range(end):
        changed = bytearray(data)
        changed[at] ^= 1
        (tmp_path / NAME).write_bytes(changed)
        assert read(tmp_path, claim)[0].damage, at


@ONE_TIME
@given(st.lists(st.sampled_from(["M", "C", "Z", "A", "V", "R", "Q"]), max_size=12), st.data())
def test_lines_in_any_order_with_any_numbers(tmp_path: Path, kinds: list[str], data: st.DataObject) -> None:
    number = st.one_of(st.integers(0, 10**18), st.just(10**30), st.just(-1))
    digest = st.sampled_from(["0" * 64, "f" * 64, "x" * 64])
    lines = []
    for kind in kinds:
        a, b, c = data.draw(st.tuples(number, number, number))
        words = {
            "M": f"M {data.draw(digest)} {a} {data.draw(st.text(max_size=20))}",
            "C": f"C {a} {b} {data.draw(digest)}",
            "Z": f"Z {a} {b} {data.draw(digest)}",
            "R": f"R {a} {b} {c} {data.draw(digest)}",
            "V": "V 1 -",
        }
        text = words.get(kind, kind).replace("\n", "").encode("utf-8", "replace").decode()
        lines.append(checked_line(text))
    (tmp_path / NAME).write_bytes(b"".join(lines))
    reader, found = read(tmp_path)
    assert len(found) == reader.messages <= len(kinds)
    last_summary(tmp_path)


@ONE_TIME
@given(st.binary(max_size=5000))
@example(b"")
@example(b"\n" * 4000)
@example(b"M " * 100_000)
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    reader, found = read(tmp_path)
    assert reader.end + reader.torn == len(content)
    assert not found
    last_summary(tmp_path)


@ONE_TIME
@given(st.binary(max_size=300))
@example(b"[" * 100_000)
@example(b'{"archive": ' * 50_000)
@example(b'{"record": {"messages": ' + b"9" * 5000 + b"}}")
@example(b'{"record": {"messages": -1, "bytes": 0, "length": 0, "sha256": ""}}')
@example(b'{"record": 3}')
@example(b"\xff\xfe")
def test_any_marker(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MARKER).write_bytes(content)
    try:
        claim_of(read_marker_file(tmp_path) or {})
    except ValueError as error:
        assert str(error)


def test_a_marker_is_bounded(tmp_path: Path) -> None:
    with (tmp_path / MARKER).open("wb") as file:
        os.truncate(file.fileno(), 0)
        file.write(b'{"archive": "')
        file.seek(5 << 30)
        file.write(b'"}')
    with pytest.raises(ValueError, match="too large"):
        read_marker_file(tmp_path)


def test_a_claim_survives_json(tmp_path: Path) -> None:
    write(tmp_path, ENTRIES)
    _, summary = last_summary(tmp_path)
    assert summary is not None
    marker = {"record": json.loads(json.dumps(summary.as_json()))}
    assert claim_of(marker) == summary


def test_a_line_taken_out_is_noticed_without_a_marker(tmp_path: Path) -> None:
    write(tmp_path, ENTRIES)
    lines = (tmp_path / NAME).read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if ENTRIES[1].key.sha256.encode() not in line]
    assert len(kept) == len(lines) - 1
    (tmp_path / NAME).write_bytes(b"".join(kept))
    reader, found = read(tmp_path)
    assert found == [ENTRIES[0], *ENTRIES[2:]]
    assert "taken out" in reader.damage
