"""Disks that are damaged, full, write-protected or gone in the middle of a run, on loop devices: nothing is lost."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.blockdevice import Disk, disk
from testbed.command import Archipec, Result
from testbed.scripted_imap import Box, ScriptedImap, a_message

COUNT = 24
SINKS = (
    ("maildir", "mbox", "eml", "zip") if os.environ.get("ARCHIPEC_DEPTH") == "full" else ("maildir", "zip")
)


@pytest.fixture
def bad(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "device") as made:
        yield made


@pytest.fixture
def messages() -> list[bytes]:
    # Each fills several blocks of its own, so that one can be damaged without its neighbours.
    return [a_message(number, b"%06d\r\n" % number * 3000) for number in range(COUNT)]


@pytest.fixture
def server(tmp_path: Path, messages: list[bytes]) -> Iterator[ScriptedImap]:
    with ScriptedImap({b"INBOX": Box.of(messages)}, tmp_path / "tls") as running:
        yield running


class Office:
    """A mailbox, an archive on the bad disk and one on a good one."""

    def __init__(self, folder: Path, server: ScriptedImap, bad: Disk, sink: str) -> None:
        self.server = server
        self.good, self.bad = folder / "good", bad.root / "PEC"
        self._command = Archipec(folder / "state", {"PEC_PASSWORD": "x"})
        self._of = ("--from", server.url(), "--to", f"{sink}:{self.bad}", "--to", f"maildir:{self.good}")

    def __call__(self, command: str, *more: object, expect: int | None = 0) -> Result:
        quick = ["--no-seals"] if command in ("archive", "verify") else []
        return self._command(command, *self._of, *quick, "--json", *more, expect=expect)

    def prune(self, *, expect: int | None) -> dict[str, Any]:
        return self("prune", "--older-than", "0d", "--allow-large", "--yes", expect=expect).object

    def on_server(self) -> set[bytes]:
        return set(self.server.boxes[b"INBOX"].messages.values())

    def check(self, messages: list[bytes]) -> None:
        """Each message is on the server, or in both archives."""
        gone = set(messages) - self.on_server()
        for root in (self.good, self.bad):
            there = [path.read_bytes() for path in root.rglob("*") if path.is_file()] if gone else []
            assert not [raw for raw in gone if not any(raw in data for data in there)], f"lost, not in {root}"


@pytest.fixture
def make_office(tmp_path: Path, server: ScriptedImap, bad: Disk) -> Callable[[str], Office]:
    return lambda sink: Office(tmp_path, server, bad, sink)


@pytest.mark.parametrize("sink", SINKS)
def test_a_block_that_is_damaged_after_it_was_stored_proves_nothing(
    make_office: Callable[[str], Office], bad: Disk, messages: list[bytes], sink: str
) -> None:
    office = make_office(sink)
    office("archive")
    bad.damage(messages[7])
    report = office.prune(expect=7)
    assert messages[7] in office.on_server()
    assert (report["deleted"], report["kept"]) == (COUNT - 1, {"altered": 1})
    verified = office("verify", expect=7).object
    assert (verified["altered"], verified["ok"]) == (1, 2 * COUNT - 1)
    office("archive")
    assert office.prune(expect=0)["deleted"] == 1
    office.check(messages)


@pytest.mark.parametrize("sink", SINKS)
def test_a_damaged_block_is_found_by_verify(
    make_office: Callable[[str], Office], bad: Disk, messages: list[bytes], sink: str
) -> None:
    office = make_office(sink)
    office("archive")
    bad.damage(messages[3])
    verified = office("verify", expect=7).object
    assert (verified["altered"], verified["ok"]) == (1, 2 * COUNT - 1)
    assert len(office.on_server()) == COUNT


@pytest.mark.parametrize("sink", SINKS)
def test_a_full_disk_loses_nothing_and_the_run_goes_on_when_there_is_room(
    make_office: Callable[[str], Office], bad: Disk, messages: list[bytes], sink: str
) -> None:
    office = make_office(sink)
    ballast = bad.fill(200_000)
    report = office("archive", expect=5).object
    assert "no room left on the disk" in " ".join(report["error"])
    # What found room may be deleted already.
    early = office("prune", "--older-than", "0d", "--allow-large", "--yes", expect=None).object["deleted"]
    assert early <= report["stored"] < COUNT
    office.check(messages)
    ballast.unlink()
    office("archive")
    assert office("verify").object["ok"] == 2 * COUNT
    assert office.prune(expect=0)["deleted"] == COUNT - early
    office.check(messages)


@pytest.mark.parametrize("sink", SINKS)
def test_a_disk_that_goes_away_in_the_middle(
    make_office: Callable[[str], Office], bad: Disk, messages: list[bytes], sink: str
) -> None:
    office = make_office(sink)

    def fail(_tag: bytes, _name: bytes, uid: int, wanted: bytes) -> None:
        if b"[]" in wanted and uid == COUNT // 2:
            office.server.fetch = None
            bad.fail()

    office.server.fetch = fail
    result = office("archive", expect=5)
    assert re.search(r"input/output error|not in its place|is the disk connected", result.err)
    office("prune", "--older-than", "0d", "--allow-large", "--yes", expect=None)
    assert len(office.on_server()) == COUNT
    bad.disconnect()
    office("archive", expect=5)
    assert not list(bad.root.iterdir()), "something was made in place of the disk"
    bad.connect()
    office("archive")
    assert office("verify").object["ok"] == 2 * COUNT
    assert office.prune(expect=0)["deleted"] == COUNT
    office.check(messages)


@pytest.mark.parametrize("sink", SINKS)
def test_a_disk_that_goes_away_while_it_is_pruned(
    make_office: Callable[[str], Office], bad: Disk, messages: list[bytes], sink: str
) -> None:
    office = make_office(sink)
    office("archive")
    bad.fail()
    report = office.prune(expect=None)
    assert (report["deleted"], len(office.on_server())) == (0, COUNT)
    assert report["exit_code"] != 0
    bad.disconnect()
    bad.connect()
    assert office("verify").object["ok"] == 2 * COUNT
    assert office.prune(expect=0)["deleted"] == COUNT
    office.check(messages)


def test_a_write_protected_disk(
    make_office: Callable[[str], Office], bad: Disk, messages: list[bytes]
) -> None:
    office = make_office("maildir")
    office("archive")
    bad.write_protect()
    late = a_message(COUNT)
    office.server.boxes[b"INBOX"].add(late)
    report = office("archive", expect=None)
    assert report.code in {3, 4, 5} and "read-only" in report.err
    assert late in office.on_server()
    bad.disconnect()
    bad.connect()
    office("archive")
    assert office.prune(expect=0)["deleted"] == COUNT + 1
    office.check([*messages, late])
