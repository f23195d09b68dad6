"""A mailbox as an archive: migration, restoring, and everything that can go wrong with the server."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from testbed.command import Archipec, imap_url
from testbed.dovecot import ITALIAN_FOLDERS, PASSWORD, Dovecot
from testbed.proxy import Proxy
from testbed.requirements import require

pytestmark = pytest.mark.real

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
MESSAGES = 2000 if FULL else 150
SUPPORT = Path(__file__).parent.parent / "support"
TARGET = "archivio@example.it"


@pytest.fixture(scope="module")
def source() -> Iterator[Dovecot]:
    require("dovecot")
    with Dovecot(special=ITALIAN_FOLDERS) as server:
        samples = list(mailbox(MESSAGES, seed=5, size=3000))
        server.fill("INBOX", samples[::3])
        server.fill("Posta inviata", samples[1::3], ("\\Seen",))
        server.fill("2026/Città & co", samples[2::3], ("\\Flagged", "$Forwarded"))
        yield server


@pytest.fixture
def target() -> Iterator[Dovecot]:
    require("dovecot")
    with Dovecot(user=TARGET) as server:
        yield server


@pytest.fixture
def archipec(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": PASSWORD})


def url(server: Dovecot, path: str = "", port: int | None = None) -> str:
    return imap_url(server, port=port or server.port, ca_file=server.ca_file, path=path)


def contents(server: Dovecot) -> dict[str, Counter[bytes]]:
    """Every folder's messages, by plain imaplib."""
    return {name: Counter(raws.values()) for name in server.folders() if (raws := server.raw_fetch(name))}


def details(server: Dovecot) -> Counter[tuple[bytes, ...]]:
    """Date of arrival and flags of every message, as the server tells them."""
    found: Counter[tuple[bytes, ...]] = Counter()
    for name in server.folders():
        with server.client() as client:
            client.select(f'"{name}"' if name.isascii() else '"2026/Citt&AOA- &- co"', readonly=True)
            for line in (
                client.fetch("1:*", "(INTERNALDATE FLAGS RFC822.SIZE)")[1] if server.raw_fetch(name) else ()
            ):
                assert isinstance(line, bytes)
                _, _, data = line.replace(b" \\Recent", b"").replace(b"\\Recent", b"").partition(b"(")
                found[tuple(sorted(data.split(b" ")))] += 1
    return found


def test_a_mailbox_moves_to_another_server(source: Dovecot, target: Dovecot, archipec: Archipec) -> None:
    before = source.snapshot()
    arguments = ("archive", "--from", url(source), "--to", url(target), "--json")
    report = archipec(*arguments).object
    assert (report["stored"], report["failed"], report["left"]) == (MESSAGES, 0, 0)
    assert contents(target) == contents(source)
    assert details(target) == details(source)
    assert source.snapshot() == before
    verified = archipec("verify", *arguments[1:]).object
    assert (verified["checked"], verified["ok"]) == (MESSAGES, MESSAGES)
    arrived = b"Subject: new\r\n\r\nnew\r\n"
    source.append("INBOX", arrived)
    try:
        assert archipec(*arguments).object["stored"] == 1
    finally:
        source.expunge("INBOX", [uid for uid, raw in source.raw_fetch("INBOX").items() if raw == arrived])
    assert contents(target)["INBOX"] - contents(source)["INBOX"] == Counter([arrived])


def test_a_lost_ledger_doubles_nothing(source: Dovecot, target: Dovecot, archipec: Archipec) -> None:
    target.fill("Vecchia copia", list(source.raw_fetch("INBOX").values()))
    arguments = ("archive", "--from", url(source), "--to", url(target, "Archivio"), "--json")
    assert archipec(*arguments).object["stored"] == MESSAGES
    expected = contents(target)
    assert set(expected) == {"Vecchia copia", "Archivio/Posta inviata", "Archivio/2026/Città & co"}
    other = Archipec(archipec.state.with_name("other"), {"PEC_PASSWORD": PASSWORD})
    assert other(*arguments).object["stored"] == MESSAGES
    assert contents(target) == expected


def test_an_archive_is_restored_into_a_mailbox(
    source: Dovecot, target: Dovecot, archipec: Archipec, tmp_path: Path
) -> None:
    archive = f"maildir:{tmp_path / 'archive'}"
    archipec("archive", "--from", url(source), "--to", archive)
    kept = source.raw_fetch("INBOX")
    target.fill("INBOX", list(kept.values())[:10])  # what was not lost
    restored = archipec("archive", "--from", archive, "--to", url(target), "--json").object
    assert (restored["stored"], restored["failed"]) == (MESSAGES, 0)
    everything = sum(contents(source).values(), Counter())
    assert sum(contents(target).values(), Counter()) == everything
    assert contents(target)["INBOX"] == contents(source)["INBOX"]


def test_a_mailbox_is_no_archive_of_itself(source: Dovecot, archipec: Archipec) -> None:
    result = archipec("archive", "--from", url(source), "--to", url(source, "Archivio"), expect=4)
    assert "source and sink are the same" in result.err


def test_a_wrong_password(source: Dovecot, target: Dovecot, archipec: Archipec, tmp_path: Path) -> None:
    archipec.env["WRONG"] = "sbagliata"
    to = url(target).replace("env:PEC_PASSWORD".replace(":", "%3A"), "env%3AWRONG")
    assert "WRONG" in to
    also = f"maildir:{tmp_path / 'archive'}"
    result = archipec("archive", "--from", url(source), "--to", to, "--to", also, "--json", expect=6)
    assert "refused the login" in result.err
    assert "sbagliata" not in result.err + result.out
    assert target.log().count("imap-login: Info: Disconnected") + target.log().count("auth failed") >= 1
    assert result.object["sinks"]["maildir"]["stored"] == MESSAGES


def test_a_full_mailbox(source: Dovecot, archipec: Archipec) -> None:
    with Dovecot(user=TARGET, quota="300K") as target:
        arguments = ("archive", "--from", url(source), "--to", url(target), "--json")
        result = archipec(*arguments, expect=5)
        assert "is full" in result.err
        assert result.object["stored"] < MESSAGES
        part = sum(contents(target).values(), Counter())
        everything = sum(contents(source).values(), Counter())
        assert part <= everything
        archipec(*arguments, expect=5)
        assert sum(contents(target).values(), Counter()) <= everything


@pytest.mark.parametrize("point", ["after-put:20", "after-commit:1", "before-receipts:1", "after-receipts:1"])
def test_killed_between_the_server_and_the_ledger(
    source: Dovecot, target: Dovecot, archipec: Archipec, tmp_path: Path, point: str
) -> None:
    """What the server has and the ledger doesn't know of is found, not sent again."""
    reached = tmp_path / "reached"
    arguments = ("archive", "--from", url(source), "--to", url(target), "--json")
    env = archipec.env | {"KILL_AT": point, "KILL_REACHED": str(reached), "PYTHONPATH": str(SUPPORT)}
    argv = [sys.executable, "-m", "testbed.killed", *archipec.argv(*arguments)[3:]]
    killed = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert reached.exists(), killed.stderr
    assert killed.returncode == -signal.SIGKILL
    held = sum(sum(contents(target).values(), Counter()).values())
    assert (held > 0) == ("put" not in point)
    report = archipec(*arguments).object
    assert (report["failed"], report["left"]) == (0, 0)
    assert contents(target) == contents(source)


@pytest.mark.parametrize("after", range(1_500, 3_600, 300) if FULL else [2_400, 3_000])
def test_a_server_that_goes_away_in_the_middle(
    source: Dovecot, target: Dovecot, archipec: Archipec, after: int
) -> None:
    with Proxy(target.port, cut_after=[None, after], reset=bool(after % 400)) as proxy:
        to = url(target, port=proxy.port)
        report = archipec("archive", "--from", url(source), "--to", to, "--json").object
        assert (report["stored"], report["failed"]) == (MESSAGES, 0)
        assert proxy.connections == 3  # to ask, to be cut, to go on: seals are judged out of memory
    assert contents(target) == contents(source)


def test_a_message_that_no_server_keeps_is_reported(
    target: Dovecot, archipec: Archipec, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    good, bad = b"Subject: good\r\n\r\nx\r\n", b"Subject: bad\n\nx\n"
    (tmp_path / "in" / "good.eml").write_bytes(good)
    (tmp_path / "in" / "bad.eml").write_bytes(bad)
    arguments = ("archive", "--from", f"eml:{tmp_path / 'in'}", "--to", url(target), "--json")
    report = archipec(*arguments, expect=3).object
    assert (report["stored"], report["failed"]) == (1, 1)
    (failure,) = report["failures"]
    assert "bad.eml" in failure["ref"] + failure["folder"]
    assert "CRLF" in failure["reason"]
    assert sum(contents(target).values(), Counter()) == Counter([good])


def test_dates_of_arrival_survive_a_second_move(target: Dovecot, archipec: Archipec, tmp_path: Path) -> None:
    received = datetime(2019, 3, 31, 1, 59, 59, tzinfo=UTC)
    raw = b"Subject: old\r\n\r\nx\r\n"
    with Dovecot() as first:
        first.append("INBOX", raw, received, ("\\Answered", "\\Deleted"))
        archipec("archive", "--from", url(first), "--to", url(target))
        assert target.snapshot()["INBOX"] == [(1, ("\\Answered", "\\Recent"), len(raw))]
        with target.client() as client:
            client.select("INBOX", readonly=True)
            answer = client.fetch("1", "(INTERNALDATE)")[1][0]
    assert b'"31-Mar-2019 01:59:59 +0000"' in (answer if isinstance(answer, bytes) else b"")


def test_single_messages_are_put_back_once_whatever_goes_wrong(
    target: Dovecot, archipec: Archipec, tmp_path: Path
) -> None:
    """By ``get``: a refused password, a connection that is cut, and the same again."""
    (tmp_path / "in").mkdir()
    messages = [b"Subject: %d\r\n\r\n%b\r\n" % (number, b"x" * 900) for number in range(6)]
    for number, message in enumerate(messages):
        (tmp_path / "in" / f"{number}.eml").write_bytes(message)
    archipec("archive", "--from", f"eml:{tmp_path / 'in'}", "--to", f"maildir:{tmp_path / 'PEC'}")
    ids = [hashlib.sha256(message).hexdigest() for message in messages]
    stranger = Archipec(archipec.state, {"PEC_PASSWORD": "sbagliata"})
    refused = stranger("get", *ids, "--to", url(target), expect=6)
    assert "sbagliata" not in refused.out + refused.err
    with Proxy(target.port, cut_after=[2_500], reset=True) as proxy:
        archipec("get", *ids, "--to", url(target, port=proxy.port), expect=5)
    done = archipec("get", *ids, "--to", url(target), "--json").objects
    assert {one["outcome"] for one in done} <= {"stored", "already there"}
    assert sum(contents(target).values(), Counter()) == Counter(messages)
    again = archipec("get", *ids, "--to", url(target), "--json").objects
    assert {one["outcome"] for one in again} == {"already there"}
    assert sum(contents(target).values(), Counter()) == Counter(messages)
