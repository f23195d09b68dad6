"""Killed at any moment, a run loses, tears and doubles nothing: the next one completes it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import mailbox
from testbed.command import Archipec, imap_url
from testbed.dovecot import Dovecot
from testbed.killed import POINTS
from testbed.requirements import require

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
MESSAGES = 2000 if FULL else 1200
RANDOM_KILLS = 30 if FULL else 3
PASSES = (1, 2) if FULL else (1,)
# Batches are of 1,000 messages: a put may be any of them, in either sink.
PUTS = (1, 999, 1000, 1001, 2200) if FULL else (1, 1001)

SUPPORT = Path(__file__).parent.parent / "support"


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    require("dovecot")
    with Dovecot() as running:
        running.fill("INBOX", [sample.raw for sample in mailbox(MESSAGES, seed=17, size=4000)])
        yield running


@pytest.fixture(scope="module")
def expected(server: Dovecot) -> set[str]:
    return {hashlib.sha256(raw).hexdigest() for raw in server.raw_fetch("INBOX").values()}


class Case:
    """One archive and one state folder, to be killed and completed."""

    def __init__(self, server: Dovecot, folder: Path) -> None:
        self._folder = folder
        self.command = Archipec(folder / "state", {"PEC_PASSWORD": server.password})
        self._sinks = ("--to", f"maildir:{folder / 'A'}", "--to", f"mbox:{folder / 'B'}")
        source = imap_url(server, port=server.port, ca_file=server.ca_file)
        self.arguments = ("--from", source, *self._sinks)

    def start(self) -> subprocess.Popen[str]:
        return self.command.start("archive", *self.arguments)

    def start_trapped(self, point: str, reached: Path) -> subprocess.Popen[str]:
        env = self.command.env | {
            "KILL_AT": point,
            "KILL_REACHED": str(reached),
            "PYTHONPATH": str(SUPPORT),
        }
        argv = [sys.executable, "-m", "testbed.killed", *self.command.argv("archive", *self.arguments)[3:]]
        return subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True)

    def check_torn(self, expected: set[str]) -> None:
        """Right after the kill: nothing in view that is not a whole message, and no archive says that it lost one."""
        found = self._maildir()
        assert set(found) <= expected, "a torn message is in view"
        for sink in self._sinks[1::2]:
            if (Path(sink.partition(":")[2]) / "archipec.json").exists():
                self.command("verify", "--to", sink, "--no-seals")

    def complete(self, expected: set[str]) -> dict[str, Any]:
        report = self.command("archive", *self.arguments, "--json").object
        assert report["failed"] == report["left"] == 0
        assert self._maildir() == Counter(dict.fromkeys(expected, 1)), "lost or double in the Maildir"
        manifest = (self._folder / "A" / "SHA256SUMS").read_text().splitlines()
        assert Counter(line[:64] for line in manifest) == self._maildir(), (
            "the manifest lacks or repeats a line"
        )
        verified = self.command("verify", *self.arguments, "--json").object
        assert (verified["checked"], verified["ok"]) == (2 * len(expected), 2 * len(expected))
        for sink in self._sinks[1::2]:
            alone = self.command("verify", "--to", sink, "--json").object
            assert (alone["checked"], alone["ok"]) == (len(expected), len(expected)), "lost or double"
            assert "notes" not in alone, "the inventory was not completed"
            marker = json.loads(Path(sink.partition(":")[2], "archipec.json").read_bytes())
            assert marker["record"]["messages"] == len(expected)
        again = self.command("archive", *self.arguments, "--json").object
        assert (again["listed"], again["stored"]) == (0, 0)
        return report

    def _maildir(self) -> Counter[str]:
        return Counter(
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (self._folder / "A").rglob("*")
            if path.is_file() and path.parent.name in {"new", "cur"}
        )


NAMED = [f"{point}:{number}" for point in POINTS for number in (PUTS if point == "after-put" else PASSES)]


@pytest.mark.real
@pytest.mark.parametrize("point", NAMED)
def test_killed_at_a_named_point(server: Dovecot, expected: set[str], tmp_path: Path, point: str) -> None:
    case = Case(server, tmp_path)
    reached = tmp_path / "reached"
    process = case.start_trapped(point, reached)
    _, err = process.communicate(timeout=120)
    assert reached.exists(), f"{point} was never reached: {err}"
    assert process.returncode == -signal.SIGKILL
    case.check_torn(expected)
    case.complete(expected)


@pytest.mark.real
def test_killed_at_random_moments(server: Dovecot, expected: set[str], tmp_path: Path) -> None:
    whole = Case(server, tmp_path / "whole")
    started = time.monotonic()
    with whole.start() as process:
        assert process.wait(120) == 0
    duration = time.monotonic() - started
    moments = random.Random(23)
    killed = 0
    for number in range(RANDOM_KILLS):
        case = Case(server, tmp_path / str(number))
        for _ in range(2):  # the run that goes on is killed too
            with case.start() as process:
                try:
                    process.wait(moments.uniform(0.1, duration))
                except subprocess.TimeoutExpired:
                    process.kill()
                    killed += 1
            case.check_torn(expected)
        case.complete(expected)
    assert killed, "every run had ended before it was killed"
