"""Seals are judged by worker processes while the download goes on, and whatever happens to these, once each."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import mailbox, shared_authority
from testbed.analyzers import message
from testbed.command import Archipec, imap_url
from testbed.dovecot import Dovecot
from testbed.killed import ANALYSIS_POINTS
from testbed.requirements import require

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
# Each is a batch or more: some are judged while others arrive.
MESSAGES = 4000 if FULL else 1300
PASSES = (1, 2, 3) if FULL else (1,)
SUPPORT = Path(__file__).parent.parent / "support"

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    require("dovecot")
    with Dovecot() as running:
        raws = [sample.raw for sample in mailbox(MESSAGES, seed=19, size=7000)]
        raws.append(raws[0].replace(b"\r\n\r\n", b"\r\n\r\n" + b"a large one\r\n" * 200_000, 1))
        running.fill("INBOX", raws)
        yield running


@pytest.fixture(scope="module")
def root_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trust") / "root.pem"
    path.write_text(shared_authority().root_pem)
    return path


@pytest.fixture(scope="module")
def alone(server: Dovecot, root_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The status of each seal, by the message's SHA-256, as a command judges it that is given the file."""
    folder = tmp_path_factory.mktemp("alone")
    files = []
    for uid, raw in server.raw_fetch("INBOX").items():
        files.append(folder / f"{uid}.eml")
        files[-1].write_bytes(raw)
    command = Archipec(folder / "state")
    objects = command("inspect", *files, "--trust", root_file, "--json", expect=None).objects
    return {one["sha256"]: one["seal"]["status"] for one in objects}


class Case:
    """A mailbox that is archived, and what the ledger says of its seals."""

    def __init__(
        self, server: Dovecot, folder: Path, *options: object, sinks: tuple[str, ...] = ("maildir:A",)
    ) -> None:
        self.command = Archipec(folder / "state", {"PEC_PASSWORD": server.password})
        to = [
            word
            for sink in sinks
            for word in ("--to", f"{sink.partition(':')[0]}:{folder / sink.partition(':')[2]}")
        ]
        source = imap_url(server, port=server.port, ca_file=server.ca_file)
        self.arguments = ("--from", source, *to, *map(str, options))

    def archive(self, *options: str) -> dict[str, Any]:
        return self.command("archive", *self.arguments, *options, "--json").object

    def run(self, module: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Archive by a program that runs the command line with something done to it."""
        argv = [
            sys.executable,
            "-m",
            module,
            *self.command.argv("archive", *self.arguments, "--json")[3:],
        ]
        env = self.command.env | {"PYTHONPATH": str(SUPPORT)} | env
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=240, check=False)

    def seals(self) -> dict[str, str]:
        with closing(sqlite3.connect(self.command.state / "ledger.sqlite3")) as ledger:
            rows = ledger.execute("SELECT sha256, seal FROM verdict JOIN content ON content = id").fetchall()
        assert len(rows) == len(dict(rows))
        return dict(rows)


def tally(seals: dict[str, str]) -> dict[str, int]:
    return {status: list(seals.values()).count(status) for status in sorted(set(seals.values()))}


@pytest.mark.parametrize(
    "sinks", [("maildir:A",), ("maildir:A", "mbox:B", "zip:C", "eml:D", "maildir:E")], ids=["one", "five"]
)
def test_every_seal_is_judged_when_the_run_ends_as_by_itself(
    server: Dovecot, alone: dict[str, str], root_file: Path, tmp_path: Path, sinks: tuple[str, ...]
) -> None:
    case = Case(server, tmp_path, "--trust", root_file, sinks=sinks)
    report = case.archive()
    assert (report["stored"], report["failed"]) == (len(alone), 0)
    assert case.seals() == alone
    assert report["seals"] == tally(alone)
    assert case.archive()["seals"] == {}, "nothing is judged twice"


def test_what_there_was_no_room_for_is_judged_at_the_end(
    server: Dovecot, alone: dict[str, str], root_file: Path, tmp_path: Path
) -> None:
    case = Case(server, tmp_path, "--trust", root_file)
    done = case.run("testbed.analyzers", HARM="no-room")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seals"] == tally(alone)
    assert case.seals() == alone


def test_workers_that_are_killed_cost_no_verdict(
    server: Dovecot, alone: dict[str, str], root_file: Path, tmp_path: Path
) -> None:
    case = Case(server, tmp_path, "--trust", root_file)
    done = case.run("testbed.analyzers", HARM="killed")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seals"] == tally(alone)
    assert case.seals() == alone


@pytest.mark.parametrize("point", [f"{point}:{number}" for point in ANALYSIS_POINTS for number in PASSES])
def test_killed_at_a_named_point_the_next_run_completes(
    server: Dovecot, alone: dict[str, str], root_file: Path, tmp_path: Path, point: str
) -> None:
    case = Case(server, tmp_path, "--trust", root_file)
    reached = tmp_path / "reached"
    done = case.run("testbed.killed", KILL_AT=point, KILL_REACHED=str(reached))
    assert reached.exists(), f"{point} was never reached: {done.stderr}"
    assert done.returncode == -signal.SIGKILL
    before = case.seals()
    report = case.archive()
    assert (report["failed"], report["left"]) == (0, 0)
    assert case.seals() == alone
    assert sum(report["seals"].values()) == len(alone) - len(before)
    assert case.archive()["seals"] == {}


def test_a_hostile_message_harms_itself_alone(root_file: Path, tmp_path: Path) -> None:
    """One ends the worker, one stalls it, one makes the judge fail: they are stored, and so judged."""
    require("dovecot")
    harmful = [message(number, f"X-{kind}: seal") for number, kind in enumerate(("Die", "Hang", "Fail"))]
    others = [sample.raw for sample in mailbox(300, seed=19, size=7000)]
    with Dovecot() as server:
        server.fill("INBOX", [*others[:150], *harmful, *others[150:]])
        case = Case(server, tmp_path, "--trust", root_file)
        done = case.run("testbed.analyzers", HARM="messages")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["stored"] == 303
        seals = case.seals()
        harmed = {hashlib.sha256(raw).hexdigest() for raw in harmful}
        assert {seals[one] for one in harmed} == {"malformed"}
        assert "malformed" not in {status for one, status in seals.items() if one not in harmed}
        assert len(seals) == 303
        assert case.archive()["seals"] == {}


def test_no_worker_is_started_when_nothing_is_new(server: Dovecot, tmp_path: Path) -> None:
    case = Case(server, tmp_path)
    case.archive()
    watch = (
        "import atexit, sys; from archipec.cli import main;"
        " atexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr)); main()"
    )
    argv = [sys.executable, "-Ic", watch, *case.command.argv("archive", *case.arguments, "--json")[3:]]
    done = subprocess.run(
        argv, env=case.command.env, capture_output=True, text=True, timeout=120, check=False
    )
    assert json.loads(done.stdout)["listed"] == 0
    loaded = done.stderr.split()
    assert "archipec.custody.archiving.run" in loaded
    assert not {"archipec.custody.analysis.pool", "archipec.custody.seals", "archipec.pec.inspection"} & set(
        loaded
    )
