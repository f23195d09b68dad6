"""Killed at any moment of archive + prune: each message is on the server, or readable in every required archive."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import mailbox
from testbed.command import Archipec
from testbed.dovecot import PASSWORD, Dovecot
from testbed.killed import PRUNE_POINTS
from testbed.requirements import require

pytestmark = pytest.mark.real

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
MESSAGES = 700 if FULL else 60
RANDOM_KILLS = 25 if FULL else 2
# Orders are given in batches of 500, marked 250 at a time.
PASSES = (1, 2) if FULL else (1,)
REDUCED = ("after-orders", "between-mark-and-expunge", "before-outcomes", "before-quit")
SUPPORT = Path(__file__).parent.parent / "support"
NOW = datetime.now(UTC)

_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    require("dovecot", "dovecot-pop3")
    users = {f"casella/{number}@pec.example.it": PASSWORD for number in range(100)}
    with Dovecot(users=users) as running:
        yield running


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    # Over POP3 only the provider's stamp, or a Received field, says when a message came.
    stamp = b"Received: from a by b; Mon, 5 Jan 2015 10:00:00 +0100\r\n"
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC)
    return [stamp + one.raw for one in mailbox(MESSAGES, seed=71, size=4000, start=start, end=end)]


class Case:
    """A mailbox of one's own, two archives, and a pipeline that prunes at the end of each run."""

    def __init__(self, server: Dovecot, messages: list[bytes], folder: Path, source: str = "imap") -> None:
        folder.mkdir(parents=True)
        self._server = server
        self._user = f"casella/{next(_numbers)}@pec.example.it"
        self._folder = folder
        self._expected = {hashlib.sha256(raw).hexdigest() for raw in messages}
        server.fill("INBOX", [(raw, NOW - timedelta(days=900)) for raw in messages], user=self._user)
        self._config = folder / "archipec.toml"
        sinks = "".join(
            f'[[pipeline.sink]]\ntype = "maildir"\nname = "{name}"\npath = {json.dumps(str(folder / name))}\n'
            for name in "AB"
        )
        port = server.port if source == "imap" else server.pop3_port
        self._config.write_text(
            f'[[pipeline]]\nname = "studio"\nseals = false\n[pipeline.source]\ntype = "{source}"\n'
            f'user = "{self._user}"\nhost = "127.0.0.1"\nport = {port}\npassword = "env:PEC_PASSWORD"\n'
            f"ca_file = {json.dumps(str(server.ca_file))}\n{sinks}"
            '[pipeline.prune]\nolder_than = "1y"\nmax_share = "100%"\nauto = true\n'
        )
        self._command = Archipec(folder / "state", {"PEC_PASSWORD": PASSWORD})
        self._arguments = ("--config", self._config, "archive", "--json")

    def mark_as_another_program_does(self) -> set[int]:
        """Mark a message that no rule lets go: it is flagged; return its number."""
        uid = min(uid for uid, _, _ in self._server.snapshot(self._user)["INBOX"])
        self._server.flag("INBOX", [uid], "\\Deleted", user=self._user)
        self._server.flag("INBOX", [uid], "\\Flagged", user=self._user)
        return {uid}

    def marked(self) -> set[int]:
        """The numbers of messages that are marked for deletion."""
        return {uid for uid, flags, _ in self._server.snapshot(self._user)["INBOX"] if "\\Deleted" in flags}

    def run(self, command: str) -> None:
        """Run a command that deletes nothing by itself."""
        rules = self._config.read_text().replace("auto = true", "auto = false")
        self._config.write_text(rules)
        self._command("--config", self._config, command, "--json")

    def start(self) -> subprocess.Popen[str]:
        return self._command.start(*self._arguments)

    def start_trapped(self, point: str, reached: Path) -> subprocess.Popen[str]:
        env = self._command.env | {
            "KILL_AT": point,
            "KILL_REACHED": str(reached),
            "PYTHONPATH": str(SUPPORT),
        }
        argv = [sys.executable, "-m", "testbed.killed", *self._command.argv(*self._arguments)[3:]]
        return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def check(self) -> set[str]:
        """The invariant; return what is still on the server."""
        on_server = {
            hashlib.sha256(raw).hexdigest() for raw in self._server.raw_fetch("INBOX", self._user).values()
        }
        for name in "AB":
            assert self._expected - on_server <= self._readable(name), (
                f"lost: neither on the server nor in {name}"
            )
        return on_server

    def _readable(self, name: str) -> set[str]:
        """What an archive holds, by the bytes of its files."""
        return {
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (self._folder / name).rglob("*")
            if path.is_file() and path.parent.name in {"new", "cur"}
        }

    def complete(self) -> dict[str, Any]:
        report = self._command(*self._arguments).object
        assert not self.check(), "not everything that may go is gone"
        for name in "AB":
            verified = self._command(
                "verify", "--to", f"maildir:{self._folder / name}", "--no-seals", "--json"
            )
            assert (verified.object["checked"], verified.object["ok"]) == (len(self._expected),) * 2
        again = self._command(*self._arguments).object
        assert (again["listed"], again["prune"]["deleted"]) == (0, 0)
        return report


def named() -> Iterator[tuple[str, str]]:
    for point in PRUNE_POINTS:
        over = "pop3" if "quit" in point else "imap"
        passes = PASSES if over == "imap" else (1,)
        yield from ((f"{point}:{number}", over) for number in passes if FULL or point in REDUCED)


@pytest.mark.parametrize(("point", "source"), list(named()))
def test_killed_at_a_named_point(
    server: Dovecot, messages: list[bytes], tmp_path: Path, point: str, source: str
) -> None:
    case = Case(server, messages, tmp_path / "case", source)
    reached = tmp_path / "reached"
    process = case.start_trapped(point, reached)
    _, err = process.communicate(timeout=120)
    assert reached.exists(), f"{point} was never reached: {err}"
    assert process.returncode == -signal.SIGKILL
    left = case.check()
    if point in ("before-quit:1", "between-mark-and-expunge:1", "after-orders:1"):
        assert len(left) == len(messages), "deleted before it was told to"
    case.complete()


def test_killed_at_random_moments(server: Dovecot, messages: list[bytes], tmp_path: Path) -> None:
    whole = Case(server, messages, tmp_path / "whole")
    started = time.monotonic()
    with whole.start() as process:
        process.communicate(timeout=120)
    duration = time.monotonic() - started
    assert not whole.check()
    moments = random.Random(29)
    killed = 0
    for number in range(RANDOM_KILLS):
        case = Case(server, messages, tmp_path / str(number), ("imap", "pop3")[number % 2])
        for _ in range(2):  # the run that goes on is killed too
            with case.start() as process:
                try:
                    process.communicate(timeout=moments.uniform(duration / 3, duration))
                except subprocess.TimeoutExpired:
                    process.kill()
                    killed += 1
            case.check()
        case.complete()
    assert killed, "every run had ended before it was killed"


@pytest.mark.parametrize("command", ["archive", "prune"])
def test_marks_that_a_killed_run_left_are_taken_back(
    server: Dovecot, messages: list[bytes], tmp_path: Path, command: str
) -> None:
    """Ours alone: one that another program set stays."""
    case = Case(server, messages, tmp_path / "case")
    reached = tmp_path / "reached"
    theirs = case.mark_as_another_program_does()
    process = case.start_trapped("between-mark-and-expunge:2", reached)
    _, err = process.communicate(timeout=120)
    assert reached.exists(), err
    assert len(case.marked()) > len(theirs), "the run left no marks"
    case.run(command)
    assert case.marked() == theirs
    assert case.check()
