"""Killed at any moment, what fills the index leaves it whole: the next run completes it, nothing double, nothing missing."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from archipec.index.database import IndexFile, index_path
from archipec.simulator import mailbox
from testbed.command import Archipec
from testbed.killed import INDEX_POINTS

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
MESSAGES = 3000 if FULL else 1100
RANDOM_KILLS = 20 if FULL else 2
SUPPORT = Path(__file__).parent.parent / "support"


@pytest.fixture(name="mail", scope="module")
def _mail(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    folder = tmp_path_factory.mktemp("mail")
    digests = set()
    for number, sample in enumerate(mailbox(MESSAGES, seed=29, size=2500)):
        (folder / f"{number:05}.eml").write_bytes(sample.raw)
        digests.add(hashlib.sha256(sample.raw).hexdigest())
    return folder, digests


class Case:
    """An archive and a state folder whose index is to be killed and completed."""

    def __init__(self, mail: Path, folder: Path) -> None:
        self.command = Archipec(folder / "state")
        self.places = ("--from", f"eml:{mail}", "--to", f"maildir:{folder / 'PEC'}")

    def start(self, *words: str, point: str = "", reached: Path | None = None) -> subprocess.Popen[str]:
        argv = self.command.argv(*words, *self.places)
        env = self.command.env
        if point:
            argv = [sys.executable, "-m", "testbed.killed", *argv[3:]]
            env = env | {"KILL_AT": point, "KILL_REACHED": str(reached), "PYTHONPATH": str(SUPPORT)}
        return subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def check_whole(self) -> None:
        """Right after the kill: what is in the index is found, and nothing in it is torn."""
        if index_path(self.command.state).exists():
            with IndexFile(index_path(self.command.state)) as index:
                self._check(index)

    def complete(self, expected: set[str], *words: str) -> None:
        done = self.command(*words, *self.places, "--json")
        assert "warning" not in done.err
        with IndexFile(index_path(self.command.state)) as index:
            self._check(index)
            rows = index.rows("SELECT sha256 FROM message")
            assert Counter(digest for (digest,) in rows) == Counter(dict.fromkeys(expected, 1))
            (found,) = index.rows(
                "SELECT count(*) FROM words WHERE words MATCH 'messaggio OR si OR a OR di OR e OR studio'"
            )[0]
            assert found
        assert self.command("index", *self.places, "--json").object["indexed"] == 0

    @staticmethod
    def _check(index: IndexFile) -> None:
        assert index.damage() == ""
        with index.transaction() as db:  # FTS5 compares what it finds by with the texts that are recorded
            db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
        for table, column in (("record", "id"), ("identifier", "message"), ("attachment", "message")):
            (stray,) = index.rows(
                f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT id FROM message)"
            )[0]
            assert stray == 0, table


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("command", [["archive"], ["index"], ["index", "--full"]], ids=" ".join)
@pytest.mark.parametrize(
    "point", [f"{point}:{number}" for point in INDEX_POINTS for number in ((1, 2) if FULL else (1,))]
)
def test_killed_at_a_named_point(
    mail: tuple[Path, set[str]], tmp_path: Path, command: list[str], point: str
) -> None:
    folder, expected = mail
    case = Case(folder, tmp_path)
    if command != ["archive"]:
        case.command("archive", *case.places, "--no-index")
    if point.endswith("progress:2"):
        pytest.skip("it is passed once")
    if point.startswith("amid"):
        point = "amid-index:700"
    reached = tmp_path / "reached"
    process = case.start(*command, point=point, reached=reached)
    _, err = process.communicate(timeout=300)
    assert reached.exists(), f"{point} was never reached: {err}"
    assert process.returncode == -signal.SIGKILL
    case.check_whole()
    case.complete(expected, *(["archive"] if command == ["archive"] else ["index"]))


@pytest.mark.parametrize("command", ["archive", "index"])
def test_killed_at_random_moments(mail: tuple[Path, set[str]], tmp_path: Path, command: str) -> None:
    folder, expected = mail
    whole = Case(folder, tmp_path / "whole")
    started = time.monotonic()
    with whole.start("archive") as process:
        process.communicate(timeout=300)
    duration = time.monotonic() - started
    moments = random.Random(31)
    killed = 0
    for number in range(RANDOM_KILLS):
        case = Case(folder, tmp_path / str(number))
        if command == "index":
            case.command("archive", *case.places, "--no-index")
        for _ in range(2):
            with case.start(command) as process:
                try:
                    process.wait(moments.uniform(0.2, duration))
                except subprocess.TimeoutExpired:
                    process.kill()
                    killed += 1
            case.check_whole()
        case.complete(expected, command)
    assert killed, "every run had ended before it was killed"
