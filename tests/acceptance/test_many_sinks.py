"""One download goes to every shape of archive, each read back by a program that isn't ours; and one may fail."""

from __future__ import annotations

import hashlib
import mailbox
import os
import re
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import mailbox as simulated
from archipec.testing import nasty_messages
from testbed.command import Archipec, imap_url
from testbed.dovecot import PASSWORD, Dovecot
from testbed.requirements import require
from testbed.thunderbird import Thunderbird, new_profile

pytestmark = pytest.mark.real

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
MESSAGES = 2000 if FULL else 150
FOLDERS = ("INBOX", "Posta inviata", "2026/11", "Città & co")
# What Dovecot keeps as it is.
NASTY = [
    raw
    for raw in nasty_messages().values()
    if raw and b"\0" not in raw and b"\n" not in raw.replace(b"\r\n", b"") and not raw.endswith(b"\r")
]
_SINKS = ("maildir", "mbox", "eml", "zip")
_OWN_LINES = re.compile(rb"(?:X-Mozilla-[^\n]*\n)+")


@pytest.fixture(scope="module")
def source() -> Iterator[Dovecot]:
    require("dovecot", "unzip", "sha256sum")
    with Dovecot() as server:
        raws = [sample.raw for sample in simulated(MESSAGES - len(NASTY), seed=31, size=3000)] + NASTY
        for number, folder in enumerate(FOLDERS):
            server.fill(folder, raws[number :: len(FOLDERS)])
        yield server


@pytest.fixture(scope="module")
def expected(source: Dovecot) -> Counter[str]:
    return Counter(
        hashlib.sha256(raw).hexdigest()
        for folder in source.folders()
        for raw in source.raw_fetch(folder).values()
    )


@pytest.fixture
def archipec(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": PASSWORD})


def url(server: Dovecot) -> str:
    return imap_url(server, port=server.port, ca_file=server.ca_file)


def bodies_sent(server: Dovecot) -> int:
    """How many bodies a server has sent since it was made, by its own count; it is restarted to have it counted."""
    server.stop()
    server.start()
    return sum(map(int, re.findall(r"body_count=(\d+)", server.log())))


def hashes(raws: Iterator[bytes]) -> Counter[str]:
    return Counter(hashlib.sha256(raw).hexdigest() for raw in raws)


def in_maildirs(root: Path) -> Iterator[bytes]:
    for path in {path.parent for path in root.rglob("cur")}:
        box = mailbox.Maildir(path, create=False)
        yield from (box.get_bytes(key) for key in box.iterkeys())


def in_mboxes(root: Path) -> Iterator[bytes]:
    for path in root.glob("*.mbox"):
        box = mailbox.mbox(path, create=False)
        for key in box.iterkeys():
            yield re.sub(rb"(?m)^>(>*From )", rb"\1", box.get_bytes(key))
        box.close()


def in_zips(root: Path) -> Iterator[bytes]:
    for path in root.glob("*.zip"):
        subprocess.run(["unzip", "-tqq", path], check=True)
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist() if name.endswith(".eml"))


def in_mailbox(server: Dovecot) -> Iterator[bytes]:
    for folder in server.folders():
        yield from server.raw_fetch(folder).values()


def done(report: dict[str, Any]) -> dict[str, int]:
    """How many messages each sink took in a run; a zip is finished when the run ends."""
    return {name: counts["stored"] + counts["pending"] for name, counts in report["sinks"].items()}


def check_sums(root: Path) -> int:
    """Have coreutils check an archive's manifest; return how many files it names."""
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=root, check=True, capture_output=True
    )
    return len(checked.stdout.splitlines())


def without_final_newline(raws: Iterator[bytes]) -> Counter[bytes]:
    """An mbox doesn't tell whether the last line of a message was ended: only our table of contents does."""
    return Counter(raw.removesuffix(b"\n").removesuffix(b"\r") for raw in raws)


def test_one_download_fills_every_archive(
    source: Dovecot, expected: Counter[str], archipec: Archipec, tmp_path: Path
) -> None:
    profile = new_profile(tmp_path / "profile")
    before = bodies_sent(source)
    with Dovecot(user="archivio@example.it") as target:
        urls = [f"{sink}:{tmp_path / sink}" for sink in _SINKS] + [url(target), f"thunderbird:{profile}"]
        sinks = [argument for one in urls for argument in ("--to", one)]
        report = archipec("archive", "--from", url(source), *sinks, "--json").object
        assert (report["stored"], report["failed"], report["left"]) == (MESSAGES, 0, 0)
        assert done(report) == dict.fromkeys((*_SINKS, "imap", "thunderbird"), MESSAGES)
        assert bodies_sent(source) - before == MESSAGES

        assert hashes(in_maildirs(tmp_path / "maildir")) == expected
        assert hashes(path.read_bytes() for path in (tmp_path / "eml").rglob("*.eml")) == expected
        assert hashes(in_zips(tmp_path / "zip")) == expected
        assert hashes(in_mailbox(target)) == expected
        assert without_final_newline(in_mboxes(tmp_path / "mbox")) == without_final_newline(
            in_mailbox(source)
        )
        assert check_sums(tmp_path / "maildir") == check_sums(tmp_path / "eml") == MESSAGES
        verified = archipec("verify", "--from", url(source), *sinks, "--json").object
        assert (verified["checked"], verified["ok"]) == (5 * MESSAGES, 5 * MESSAGES)
        assert verified["views"] == ["thunderbird"]
    if FULL:
        require("thunderbird")
        with Thunderbird(profile) as thunderbird:
            shown = [
                _OWN_LINES.sub(b"", raw, count=1)
                for folder in thunderbird.folders()
                if folder.name.startswith("archipec/") and folder.messages
                for raw in thunderbird.messages(folder.name)
            ]
        # Of what is no proper message it makes what it likes: lines that begin with "From " among the headers.
        assert Counter(in_mailbox(source)) - Counter(NASTY) <= Counter(shown)
        assert len(shown) == MESSAGES


def test_a_failing_sink_stops_no_other_and_completes_later(
    source: Dovecot, expected: Counter[str], archipec: Archipec, tmp_path: Path
) -> None:
    size = sum(map(len, in_mailbox(source)))
    with Dovecot(user="archivio@example.it", quota=f"{size // 1024 + 300}K") as target:
        target.fill("Zavorra", [b"Subject: ballast\r\n\r\n" + b"0123456789abcde\r\n" * (size // 30)])
        urls = [f"{sink}:{tmp_path / sink}" for sink in _SINKS] + [url(target)]
        sinks = [argument for one in urls for argument in ("--to", one)]
        arguments = ("archive", "--from", url(source), *sinks, "--json")
        failed = archipec(*arguments, expect=5)
        assert "is full" in failed.err
        assert done(failed.object) == dict.fromkeys(_SINKS, MESSAGES) | {"imap": failed.object["stored"]}
        assert failed.object["failed"] == MESSAGES - failed.object["stored"]
        target.remove("Zavorra")
        held = hashes(in_mailbox(target))
        assert held <= expected
        assert held.total() < MESSAGES
        assert hashes(path.read_bytes() for path in (tmp_path / "eml").rglob("*.eml")) == expected

        before = bodies_sent(source)
        report = archipec(*arguments).object
        assert done(report) == dict.fromkeys(_SINKS, 0) | {"imap": MESSAGES - failed.object["stored"]}
        assert bodies_sent(source) - before == MESSAGES - failed.object["stored"]
        assert hashes(in_mailbox(target)) == expected
        assert hashes(path.read_bytes() for path in (tmp_path / "eml").rglob("*.eml")) == expected
