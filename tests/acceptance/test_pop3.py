"""An inbox archived over POP3, from a real Dovecot, through the public command line."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest

from archipec.simulator import mailbox
from testbed.command import Archipec
from testbed.dovecot import Dovecot
from testbed.proxy import Proxy
from testbed.requirements import require

pytestmark = pytest.mark.real

MESSAGES = 5000 if os.environ.get("ARCHIPEC_DEPTH") == "full" else 500


def pop3_url(server: Dovecot, port: int | None = None, **options: object) -> str:
    parameters = {"password": "env:PEC_PASSWORD", "ca_file": str(server.ca_file), **options}
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in parameters.items())
    return f"pop3s://{quote(server.user, safe='@')}@127.0.0.1:{port or server.pop3_port}?{query}"


def stored_hashes(root: Path) -> Counter[str]:
    return Counter(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.parent.name in {"new", "cur"}
    )


def flags_and_sizes(server: Dovecot) -> list[tuple[int, tuple[str, ...], int]]:
    """The inbox without `\\Recent`, which any POP3 session takes away."""
    return [
        (uid, tuple(flag for flag in flags if flag != "\\Recent"), size)
        for uid, flags, size in server.snapshot()["INBOX"]
    ]


def test_first_download_nothing_new_and_ten_arrivals(
    dovecot: Dovecot, archipec: Archipec, tmp_path: Path
) -> None:
    require("dovecot-pop3")
    samples = [sample.raw for sample in mailbox(MESSAGES + 10, seed=31, size=7000)]
    dovecot.fill("INBOX", samples[:MESSAGES])
    pipeline = ("--from", pop3_url(dovecot), "--to", f"maildir:{tmp_path / 'A'}", "--json")
    before = flags_and_sizes(dovecot)
    first = archipec("archive", *pipeline)
    assert (first.object["listed"], first.object["stored"]) == (MESSAGES, MESSAGES)
    assert first.err.count("POP3 sees only the inbox") == 1
    again = archipec("archive", *pipeline).object
    assert (again["listed"], again["stored"]) == (0, 0)
    assert flags_and_sizes(dovecot) == before, "reading changed something on the server"
    dovecot.fill("INBOX", samples[MESSAGES:])
    arrived = archipec("archive", *pipeline).object
    assert (arrived["listed"], arrived["stored"]) == (10, 10)
    assert len(flags_and_sizes(dovecot)) == MESSAGES + 10
    on_server = Counter(hashlib.sha256(raw).hexdigest() for raw in dovecot.raw_fetch("INBOX").values())
    assert stored_hashes(tmp_path / "A") == on_server


def test_a_connection_cut_half_way_is_resumed(dovecot: Dovecot, archipec: Archipec, tmp_path: Path) -> None:
    require("dovecot-pop3")
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(300, seed=33, size=9000)])
    size = sum(size for _, _, size in flags_and_sizes(dovecot))
    with Proxy(dovecot.pop3_port, cut_after=[size // 2]) as proxy:
        arguments = ("--from", pop3_url(dovecot, proxy.port), "--to", f"maildir:{tmp_path / 'A'}", "--json")
        report = archipec("archive", *arguments).object
        assert proxy.connections == 2
    assert (report["listed"], report["stored"], report["failed"]) == (300, 300, 0)
    assert Counter(stored_hashes(tmp_path / "A").values()) == {1: 300}


def test_killed_half_way_and_resumed(dovecot: Dovecot, archipec: Archipec, tmp_path: Path) -> None:
    require("dovecot-pop3")
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(1200, seed=34, size=7000)])
    with Proxy(dovecot.pop3_port) as proxy:
        arguments = ("--from", pop3_url(dovecot, proxy.port), "--to", f"maildir:{tmp_path / 'A'}", "--json")
        proxy.rate = 4_000_000
        process = archipec.start("archive", *arguments)
        pause = threading.Event()
        while not stored_hashes(tmp_path / "A"):
            assert process.poll() is None, process.communicate()
            pause.wait(0.02)
        process.kill()
        process.communicate()
        assert 0 < stored_hashes(tmp_path / "A").total() < 1200
        proxy.rate = None
        report = archipec("archive", *arguments).object
        assert archipec("archive", *arguments).object["listed"] == 0
    assert (report["failed"], report["left"]) == (0, 0)
    assert Counter(stored_hashes(tmp_path / "A").values()) == {1: 1200}


def test_the_same_messages_by_imap_and_by_pop3_are_stored_once(
    dovecot: Dovecot, archipec: Archipec, tmp_path: Path
) -> None:
    require("dovecot-pop3")
    odd = [b"Subject: no final newline\r\n\r\nends here", b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n"]
    dovecot.fill("INBOX", [*odd, *(sample.raw for sample in mailbox(40, seed=35, size=7000))])
    imap = f"imaps://{quote(dovecot.user, safe='@')}@127.0.0.1:{dovecot.port}/INBOX"
    imap += f"?password=env:PEC_PASSWORD&ca_file={dovecot.ca_file}"
    sink = ("--to", f"maildir:{tmp_path / 'A'}", "--json")
    assert archipec("archive", "--from", imap, *sink).object["stored"] == 42
    report = archipec("archive", "--from", pop3_url(dovecot), *sink).object
    assert (report["listed"], report["stored"], report["already"]) == (42, 0, 42)


def test_a_selection_by_kind_reads_headers_first(
    dovecot: Dovecot, archipec: Archipec, tmp_path: Path
) -> None:
    require("dovecot-pop3")
    samples = list(mailbox(60, seed=37, size=7000))
    dovecot.fill("INBOX", samples)
    wanted = sum(sample.kind == "accettazione" for sample in samples)
    pipeline = ("--from", pop3_url(dovecot), "--to", f"maildir:{tmp_path / 'A'}", "--json")
    report = archipec("archive", *pipeline, "--only", "acceptances").object
    assert (report["stored"], report["deselected"]) == (wanted, 60 - wanted)


def test_a_refused_login(dovecot: Dovecot, tmp_path: Path) -> None:
    require("dovecot-pop3")
    command = Archipec(tmp_path / "state", {"PEC_PASSWORD": "wr0ng-s3cret"})
    result = command("archive", "--from", pop3_url(dovecot), "--to", f"maildir:{tmp_path / 'A'}", expect=6)
    assert "refused the login" in result.err
    assert "wr0ng-s3cret" not in result.err + result.out
