"""Archives of zips through the command line: others open them, they grow, and no kill breaks what is stored."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from testbed.command import Archipec
from testbed.dovecot import Dovecot
from testbed.zips import assert_clean, members, seen

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
# Batches are of 1,000 messages: some of the first and some of the second are on their way.
POINTS = (
    *("after-write:700", "after-table:1", "before-end:1", "after-end:1"),
    *("after-write:1", "after-write:1000", "after-write:1100", "before-table:1", "before-table:2"),
    *("after-table:2", "after-finish:1", "after-commit:1", "after-commit:2", "before-receipts:3"),
    *("before-directory-sync:1", "before-sync:1", "after-sync:2", "after-put:1150"),
    *("before-inventory:1", "after-inventory:2", "before-inventory-end:1", "after-inventory-end:1"),
)
RANDOM_KILLS = 4 if FULL else 1
EARLIER, LATER = 60, 1200

SUPPORT = Path(__file__).parent.parent / "support"


def digests(raws: Iterable[bytes]) -> list[str]:
    return sorted(hashlib.sha256(raw).hexdigest() for raw in raws)


@pytest.mark.real
@pytest.mark.parametrize("options", ["", "?compress=deflated", "?inside=maildir&split=month", "?inside=mbox"])
def test_a_mailbox_in_zips(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path, options: str
) -> None:
    samples = [sample.raw for sample in mailbox(90, seed=29, size=9_000)]
    dovecot.fill("INBOX", samples[:60])
    arguments = ("--from", url(), "--to", f"zip:{tmp_path / 'A'}{options}")
    first = archipec("archive", *arguments, "--json").object
    assert first["sinks"]["zip"] == {"stored": 60, "pending": 0, "failed": 0}
    assert first["settled"]["zip"] == {"stored": 60, "rejected": 0, "pending": 0, "reasons": {}}
    paths = sorted((tmp_path / "A").glob("*.zip"))
    assert_clean(*paths)
    before = {path: path.read_bytes() for path in paths}
    dovecot.fill("INBOX", samples[60:])
    assert archipec("archive", *arguments, "--json").object["stored"] == 30
    for path, content in before.items():
        assert path.read_bytes().startswith(content), "what was stored was changed"
    paths = sorted((tmp_path / "A").glob("*.zip"))
    assert_clean(*paths)
    kept = dovecot.raw_fetch("INBOX").values()
    if "mbox" not in options:
        assert digests(seen(tmp_path / "A")) == digests(kept)
    assert archipec("verify", *arguments, "--json").object["ok"] == 90
    assert archipec("verify", "--to", arguments[3], "--json").object["ok"] == 90
    back = ("--from", f"zip:{tmp_path / 'A'}", "--to", f"maildir:{tmp_path / 'B'}")
    assert archipec("archive", *back, "--json").object["stored"] == 90
    assert digests(path.read_bytes() for path in (tmp_path / "B").rglob("cur/*")) == digests(kept)


@pytest.mark.real
def test_a_flipped_byte_is_found_and_mended(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(9, seed=29, size=9_000)])
    arguments = ("--from", url(), "--to", f"zip:{tmp_path / 'A'}")
    archipec("archive", *arguments)
    path = tmp_path / "A" / "archive.zip"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = archipec("verify", *arguments, "--json", expect=7).object
    assert (report["checked"], report["ok"], report["altered"]) == (9, 8, 1)
    assert archipec("archive", *arguments, "--json").object["stored"] == 1
    assert archipec("verify", *arguments, "--json").object["ok"] == 9
    assert path.read_bytes().startswith(data), "the damaged copy was replaced"


@pytest.mark.real
def test_a_damaged_directory_is_told(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(3, seed=29, size=9_000)])
    arguments = ("--from", url(), "--to", f"zip:{tmp_path / 'A'}")
    archipec("archive", *arguments)
    path = tmp_path / "A" / "archive.zip"
    data = bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(data)
    for command in (arguments, arguments[2:]):
        result = archipec("verify", *command, "--json", expect=7)
        assert result.object["ok"] == 3
        assert "archive.zip: its directory is not the one that was written" in result.err


class Case:
    """An archive of zips with some messages in it, and more on the way, to be killed and completed."""

    def __init__(self, folder: Path, options: str) -> None:
        self.folder = folder
        source = folder / "source"
        source.mkdir(parents=True)
        self.messages = [
            b"From: a@pec.example.it\r\nSubject: %d\r\n\r\n" % n + b"%d\r\n" % n * 500 for n in range(EARLIER)
        ]
        self.archipec = Archipec(folder / "state")
        self.arguments = ("--from", f"eml:{source}", "--to", f"zip:{folder / 'A'}{options}")
        self._write(self.messages)
        self.archipec("archive", *self.arguments)
        self.before = {path: path.read_bytes() for path in (folder / "A").glob("*.zip")}
        more = [
            b"From: a@pec.example.it\r\nSubject: later %d\r\n\r\n" % n + b"%d\r\n" % n * 500
            for n in range(LATER)
        ]
        self._write(more)
        self.messages += more

    def _write(self, messages: Iterable[bytes]) -> None:
        for raw in messages:
            (self.folder / "source" / f"{hashlib.sha256(raw).hexdigest()}.eml").write_bytes(raw)

    def start_trapped(self, point: str, reached: Path) -> subprocess.Popen[str]:
        env = self.archipec.env | {
            "KILL_AT": point,
            "KILL_REACHED": str(reached),
            "PYTHONPATH": str(SUPPORT),
        }
        argv = [
            sys.executable,
            "-m",
            "testbed.killed",
            *self.archipec.argv("archive", *self.arguments)[3:],
        ]
        return subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True)

    def check_torn(self) -> None:
        """Right after the kill: what was stored stands where it stood."""
        for path, content in self.before.items():
            assert path.read_bytes().startswith(content)

    def complete(self) -> None:
        report = self.archipec("archive", *self.arguments, "--json").object
        assert report["failed"] == report["left"] == 0
        assert all(sink["pending"] == 0 for sink in report.get("settled", {}).values())
        paths = sorted((self.folder / "A").glob("*.zip"))
        assert_clean(*paths)
        if any(name.endswith(".mbox") for path in paths for name in members(path)):
            assert len(seen(self.folder / "A")) == len(self.messages)
        else:
            assert digests(seen(self.folder / "A")) == digests(self.messages), "lost, torn or double"
        verified = self.archipec("verify", "--to", self.arguments[3], "--json").object
        assert (verified["checked"], verified["ok"]) == (len(self.messages), len(self.messages))
        again = self.archipec("archive", *self.arguments, "--json").object
        assert (again["listed"], again["stored"]) == (0, 0)


@pytest.mark.parametrize("point", POINTS if FULL else POINTS[:4])
def test_killed_at_a_named_point(tmp_path: Path, point: str) -> None:
    options = random.Random(point).choice(["", "?compress=deflated", "?inside=maildir&split=1MB"])
    case = Case(tmp_path / "case", "?inside=mbox" if point == "after-end:1" else options)
    reached = tmp_path / "reached"
    process = case.start_trapped(point, reached)
    _, err = process.communicate(timeout=120)
    assert reached.exists(), f"{point} was never reached: {err}"
    assert process.returncode == -signal.SIGKILL
    case.check_torn()
    case.complete()


def test_killed_at_random_moments(tmp_path: Path) -> None:
    whole = Case(tmp_path / "whole", "")
    started = time.monotonic()
    whole.archipec("archive", *whole.arguments)
    duration = time.monotonic() - started
    moments = random.Random(31)
    killed = 0
    for number in range(RANDOM_KILLS):
        case = Case(tmp_path / str(number), "")
        for _ in range(2):  # the run that goes on is killed too
            with case.archipec.start("archive", *case.arguments) as process:
                try:
                    process.wait(moments.uniform(0.3, 0.8) * duration)
                except subprocess.TimeoutExpired:
                    process.kill()
                    killed += 1
            case.check_torn()
        case.complete()
    assert killed, "every run had ended before it was killed"


# Another program, between the first batch and the second: archipec itself knows nothing of it.
MEDDLING = """
import sys
from archipec_plugins.{module} import {owner}
act, path = {owner}.{name}, {path!r}

def meddle(self, *given):
    {owner}.{name} = act
    result = act(self, *given)
    {deed}
    return result

{owner}.{name} = meddle
from archipec.cli import main
main()
"""
ADD = "open(path, 'ab').write(b'added by another program')"
CUT = "import os; os.truncate(path, os.path.getsize(path) - 30)"


@pytest.mark.parametrize("table", ["", ".toc"])
@pytest.mark.parametrize("deed", [ADD, CUT])
@pytest.mark.parametrize("archive", ["zip", "mbox"])
def test_another_program_changes_the_archive_between_two_batches(
    tmp_path: Path, archive: str, table: str, deed: str
) -> None:
    mail, root = tmp_path / "mail", tmp_path / "A"
    mail.mkdir()
    messages = [b"Subject: %d\r\n\r\nbody %d\r\n" % (n, n) for n in range(600)]
    for number, raw in enumerate(messages):
        (mail / f"{number}.eml").write_bytes(raw)
    path = root / f"archive.{archive}{table}"
    module, owner, name = (
        ("zip.writer", "ZipWriter", "committed") if archive == "zip" else ("mbox.file", "MboxFile", "append")
    )
    code = MEDDLING.format(module=module, owner=owner, name=name, path=str(path), deed=deed)
    archipec = Archipec(tmp_path / "state")
    pair = ("--from", f"eml:{mail}", "--to", f"{archive}:{root}", "--no-seals")
    argv = [sys.executable, "-Ic", code, *archipec.argv("archive", *pair)[3:]]
    done = subprocess.run(argv, env=archipec.env, capture_output=True, text=True, timeout=120, check=False)
    if archive == "mbox" and not table and deed is ADD:
        # Mail programs do append to an mbox: that is no damage, and stays.
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 7, done.stderr
        assert str(path) in done.stderr and "another program" in done.stderr
    archipec("archive", *pair, expect=None)
    if deed is ADD and not table:
        assert b"added by another program" in path.read_bytes(), "what is not ours is never cut off"
    archipec("verify", "--from", f"eml:{mail}", "--to", f"{archive}:{root}", "--no-seals", expect=None)
    archipec("archive", *pair, expect=None)
    held = [(raw, path) for path in root.iterdir() for raw in [path.read_bytes()]]
    assert all(any(raw[11:] in whole for whole, _ in held) for raw in messages)
