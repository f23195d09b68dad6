"""A mailbox archived end to end, from a real Dovecot into Maildir and MBOX, through the public command line."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from testbed.command import Archipec
from testbed.dovecot import Dovecot

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
DATE_FOLDERS = 3000 if FULL else 200
ATTACHMENT = (60 if FULL else 12) << 20

HEAD = b"From: a@pec.example.it\r\nSubject: nasty\r\n"
NASTY = {
    "no body": HEAD + b"\r\n",
    "no final newline": HEAD + b"\r\nends here",
    "bare CR": HEAD + b"\r\none\rtwo\r\n",
    "8-bit header": b"From: a@pec.example.it\r\nSubject: citt\xe0 \xc3\xa0\r\n\r\nx\r\n",
    "From lines": HEAD + b"\r\nFrom here on\r\n>From there\r\n>>From x\r\n\r\nFrom \r\n",
    "first line From": HEAD + b"\r\nFrom the start\r\n",
    "lone dots": HEAD + b"\r\n.\r\n..\r\n.x\r\n",
    "blank end": HEAD + b"\r\nx\r\n\r\n\r\n\r\n",
    "a line of 2 MB": HEAD + b"\r\n" + b"y" * (2 << 20) + b"\r\n",
    "large attachment": HEAD + b"\r\n" + b"QUJD" * 19 + b"\r\n" + bytes(range(48, 112)) * (ATTACHMENT // 64),
}
FOLDERS = ("Posta inviata", 'Città & "Co"', "2026/11", "back\\slash", "a*b%c", "così … 日本")


def hashes_below(folder: Path, pattern: str = "*") -> Counter[str]:
    return Counter(
        hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob(pattern) if path.is_file()
    )


def maildir_hashes(root: Path) -> Counter[str]:
    return Counter(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.parent.name in {"new", "cur"}
    )


def mbox_messages(root: Path) -> Counter[str]:
    """Read mboxrd by its definition alone: split at From lines after a blank line, take one quote off."""
    found: Counter[str] = Counter()
    for path in root.glob("*.mbox"):
        for part in re.split(rb"(?:\A|(?<=\n)\r?\n)From [^\n]*\n", path.read_bytes() + b"From the end\n")[
            1:-1
        ]:
            raw = re.sub(rb"(?m)^>(>*From )", rb"\1", part)
            found[hashlib.sha256(raw).hexdigest()] += 1
    return found


@pytest.mark.real
def test_every_message_once_and_byte_identical(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    for folder in FOLDERS:
        dovecot.create(folder)
    for number in range(DATE_FOLDERS):
        dovecot.create(f"Archivio/{2000 + number // 365}/{number % 365:03d}")
    dovecot.fill("INBOX", NASTY.values())
    for number, sample in enumerate(mailbox(40, seed=3, size=9000)):
        dovecot.append(FOLDERS[number % len(FOLDERS)], sample.raw, sample.received, ("\\Flagged",))
    dovecot.append("Archivio/2000/001", NASTY["lone dots"])
    before = dovecot.snapshot()
    raws = [raw for folder in dovecot.folders() for raw in dovecot.raw_fetch(folder).values()]
    on_server = Counter(hashlib.sha256(raw).hexdigest() for raw in raws)

    sinks = ("--to", f"maildir:{tmp_path / 'A'}", "--to", f"mbox:{tmp_path / 'B'}")
    report = archipec("archive", "--from", url(), *sinks, "--json").object

    assert report["listed"] == on_server.total() == len(NASTY) + 41
    assert report["stored"] == len(on_server) == len(NASTY) + 40
    assert report["already"] == 1
    assert maildir_hashes(tmp_path / "A") == Counter(dict.fromkeys(on_server, 1))
    assert dovecot.snapshot() == before, "reading changed something on the server"
    again = archipec("archive", "--from", url(), *sinks, "--json").object
    assert (again["listed"], again["stored"], again["failed"], again["left"]) == (0, 0, 0, 0)
    verified = archipec("verify", "--from", url(), *sinks, "--json").object
    assert (verified["checked"], verified["ok"]) == (2 * len(on_server), 2 * len(on_server))
    for sink in ("maildir:" + str(tmp_path / "A"), "mbox:" + str(tmp_path / "B")):
        alone = archipec("verify", "--to", sink, "--json").object
        assert (alone["checked"], alone["ok"]) == (len(on_server), len(on_server))
    # Without the index nobody can see whether a message ended in a newline; all others must come out whole.
    seen = mbox_messages(tmp_path / "B")
    assert seen.total() == len(on_server)
    assert {hashlib.sha256(raw).hexdigest() for raw in raws if raw.endswith(b"\n")} <= seen.keys()


@pytest.mark.real
@pytest.mark.parametrize("sink", ["maildir", "mbox"])
def test_a_flipped_byte_is_found_and_mended(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path, sink: str
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(12, seed=5, size=7000)])
    root = tmp_path / "archive"
    pipeline = ("--from", url(), "--to", f"{sink}:{root}")
    archipec("archive", *pipeline)
    victim = max(
        (path for path in root.rglob("*") if path.is_file() and path.parent.name in {"cur", "new"}),
        default=root / "archive.mbox",
    )
    raw = bytearray(victim.read_bytes())
    raw[len(raw) // 2] ^= 1
    victim.write_bytes(raw)
    found = archipec("verify", *pipeline, "--json", expect=7).object
    assert (found["checked"], found["ok"], found["altered"]) == (12, 11, 1)
    assert archipec("verify", "--to", f"{sink}:{root}", "--json", expect=7).object["altered"] == 1
    mended = archipec("archive", *pipeline, "--json").object
    assert (mended["listed"], mended["stored"]) == (1, 1)
    assert archipec("verify", *pipeline, "--json").object["ok"] == 12
    assert victim.read_bytes().startswith(raw), "what was there is left as it was"


@pytest.mark.real
def test_resuming_changes_of_the_mailbox(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    samples = [sample.raw for sample in mailbox(30, seed=7, size=7000)]
    dovecot.fill("INBOX", samples[:10])
    pipeline = ("--from", url(), "--to", f"maildir:{tmp_path / 'A'}", "--json")
    assert archipec("archive", *pipeline).object["stored"] == 10
    dovecot.fill("INBOX", samples[10:15])
    assert archipec("archive", *pipeline).object["stored"] == 5
    dovecot.create("Altro")
    dovecot.fill("Altro", samples[:20])
    report = archipec("archive", *pipeline).object
    assert (report["listed"], report["stored"], report["already"]) == (20, 5, 15)
    dovecot.remove("Altro")
    dovecot.create("Altro")  # a new UIDVALIDITY: everything is listed again, nothing stored again
    dovecot.fill("Altro", samples[:20])
    report = archipec("archive", *pipeline).object
    assert (report["listed"], report["stored"], report["already"]) == (20, 0, 20)
    assert maildir_hashes(tmp_path / "A").total() == 20


@pytest.mark.real
def test_losing_the_state_folder_loses_nothing(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(20, seed=9, size=7000)])
    pipeline = (
        "--from",
        url(),
        "--to",
        f"maildir:{tmp_path / 'A'}",
        "--to",
        f"mbox:{tmp_path / 'B'}",
        "--json",
    )
    archipec("archive", *pipeline)
    files = hashes_below(tmp_path / "A")
    archipec.state.rename(tmp_path / "lost")
    report = archipec("archive", *pipeline).object
    assert (report["listed"], report["stored"], report["already"]) == (20, 0, 20)
    assert hashes_below(tmp_path / "A") == files
    assert archipec("verify", *pipeline).object["ok"] == 40


@pytest.mark.real
def test_a_dry_run_shows_kinds_and_years_and_stores_nothing(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    samples = list(mailbox(25, seed=11, size=7000))
    dovecot.fill("INBOX", samples)
    pipeline = ("--from", url(), "--to", f"maildir:{tmp_path / 'A'}", "--json")
    report = archipec("archive", *pipeline, "--dry-run").object
    expected = Counter((sample.kind, sample.received.year) for sample in samples)
    assert {(one["kind"], one["year"]): one["count"] for one in report["preview"]} == dict(expected)
    assert sum(one["bytes"] for one in report["preview"]) == sum(len(sample.raw) for sample in samples)
    assert not (tmp_path / "A").exists()
    assert archipec("archive", *pipeline).object["stored"] == 25


@pytest.mark.real
def test_a_selection_by_kind(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    samples = list(mailbox(40, seed=13, size=7000))
    dovecot.fill("INBOX", samples)
    pipeline = ("--from", url(), "--to", f"maildir:{tmp_path / 'A'}", "--json")
    report = archipec("archive", *pipeline, "--only", "acceptances").object
    wanted = sum(sample.kind == "accettazione" for sample in samples)
    assert 0 < wanted < 40
    assert (report["stored"], report["deselected"]) == (wanted, 40 - wanted)
    assert report["kinds"] == {"accettazione": wanted}
    assert archipec("archive", *pipeline).object["stored"] == 40 - wanted
