"""Each obstacle has its clear error and its exit code; passwords are never shown."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from testbed.certificates import Authority, self_signed
from testbed.command import Archipec, imap_url
from testbed.dovecot import Dovecot
from testbed.proxy import Proxy
from testbed.small_disk import remount, small_disk

pytestmark = pytest.mark.real


def test_unknown_host(archipec: Archipec, tmp_path: Path) -> None:
    url = "imaps://user@no-such-host.invalid/?password=env:PEC_PASSWORD"
    result = archipec("archive", "--from", url, "--to", f"maildir:{tmp_path / 'A'}", expect=5)
    assert "no-such-host.invalid" in result.err
    assert "Traceback" not in result.err


def test_wrong_password_is_tried_once(dovecot: Dovecot, url: Callable[..., str], tmp_path: Path) -> None:
    command = Archipec(tmp_path / "state", {"PEC_PASSWORD": "wr0ng-s3cret"})
    result = command("archive", "--from", url(), "--to", f"maildir:{tmp_path / 'A'}", expect=6)
    assert "login" in result.err
    assert "wr0ng-s3cret" not in result.err + result.out
    assert dovecot.log().count("auth failed, 1 attempts") == 1


@pytest.mark.parametrize("which", ["expired", "self-signed", "another host"])
def test_bad_certificates_are_refused(tmp_path: Path, which: str) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority = Authority(folder)
    certificate = {
        "expired": authority.expired,
        "self-signed": lambda: self_signed(folder),
        "another host": authority.for_another_host,
    }[which]()
    with Dovecot(certificate=certificate) as server:
        command = Archipec(tmp_path / "state", {"PEC_PASSWORD": server.password})
        source = imap_url(server, port=server.port, ca_file=authority.ca_file)
        result = command("archive", "--from", source, "--to", f"maildir:{tmp_path / 'A'}", expect=4)
        assert "certificate" in result.err
        assert "127.0.0.1" in result.err
        assert server.log().count("(no auth attempts") == 1, (
            "no password goes to a server that is not trusted"
        )


def test_a_server_closing_in_the_middle_of_a_message_is_resumed(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(60, seed=19, size=20_000)])
    with Proxy(dovecot.port, cut_after=[200_000, 300_000, 300_000]) as proxy:
        source = url(port=proxy.port, connections=1)
        report = archipec("archive", "--from", source, "--to", f"maildir:{tmp_path / 'A'}", "--json").object
    assert (report["stored"], report["failed"], report["left"]) == (60, 0, 0)


def test_a_server_that_stays_away_ends_the_run_and_the_next_goes_on(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(60, seed=19, size=20_000)])
    sink = f"maildir:{tmp_path / 'A'}"
    with Proxy(dovecot.port, cut_after=[400_000, *[5_000] * 8]) as proxy:
        source = url(port=proxy.port, connections=1)
        first = archipec("archive", "--from", source, "--to", sink, "--json", expect=3)
        # Another way to the same server is another mailbox to the ledger; so the same port goes on.
        report = first.object
        assert report["stored"] > 0
        # Messages at which every connection broke are left out of this run, and after three the rest of the folder.
        assert report["left"] > 0
        assert report["left"] + report["failed"] == 60 - report["stored"]
        second = archipec("archive", "--from", source, "--to", sink, "--json").object
    assert second["stored"] == 60 - report["stored"]


def test_an_archive_path_that_is_not_writable(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(3, seed=19, size=7000)])
    (tmp_path / "file").write_text("not a directory")
    result = archipec("archive", "--from", url(), "--to", f"maildir:{tmp_path / 'file' / 'A'}", expect=4)
    assert str(tmp_path / "file") in result.err
    assert "hint:" in result.err


@pytest.mark.parametrize("sink", ["maildir", "mbox", "zip"])
def test_a_full_disk_leaves_a_whole_archive_and_the_next_run_goes_on(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path, sink: str
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(900, seed=19, size=9_000)])
    with small_disk(tmp_path / "disk", "size=6m") as disk:
        arguments = ("--from", url(), "--to", f"{sink}:{disk / 'A'}", "--to", f"maildir:{tmp_path / 'B'}")
        result = archipec("archive", *arguments, "--json", expect=5)
        assert "no room left" in result.err
        report = result.object
        assert report["sinks"]["maildir-2" if sink == "maildir" else "maildir"]["stored"] == 900
        held = archipec("verify", "--to", f"{sink}:{disk / 'A'}", "--json").object
        assert held["checked"] == held["ok"]
        remount(disk, "size=60m")
        report = archipec("archive", *arguments, "--json").object
        assert report["listed"] == report["stored"]
        assert archipec("verify", *arguments, "--json").object["ok"] == 2 * 900


def test_a_full_disk_under_the_ledger_loses_nothing_and_is_said_at_once(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(1200, seed=19, size=7_000)])
    with small_disk(tmp_path / "disk", "size=512k") as disk:
        elsewhere = Archipec(disk / "state", archipec.env)
        arguments = ("--from", url(), "--to", f"maildir:{tmp_path / 'A'}")
        result = elsewhere("archive", *arguments, "--json", expect=5)
        assert "no room left on the disk of the ledger" in result.err
        remount(disk, "size=60m")
        report = elsewhere("archive", *arguments, "--json").object
        assert report["left"] == report["failed"] == 0
        held = elsewhere("verify", *arguments, "--json").object
        assert held["ok"] == held["checked"] == 1200
    assert len(list((tmp_path / "A").rglob("cur/*"))) == 1200, "a message was stored twice"


def test_a_ledger_that_a_full_disk_keeps_shut_deletes_nothing(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(20, seed=19, size=7_000)])
    with small_disk(tmp_path / "disk", "size=2m") as disk:
        elsewhere = Archipec(disk / "state", archipec.env)
        arguments = ("--from", url(), "--to", f"maildir:{tmp_path / 'A'}")
        elsewhere("archive", *arguments)
        (disk / "ballast").write_bytes(b"x" * shutil.disk_usage(disk).free)
        prune = ("prune", *arguments, "--older-than", "0d", "--yes", "--allow-large", "--json")
        assert "no room left on the disk of the ledger" in elsewhere(*prune, expect=5).err
        (disk / "ballast").unlink()
        assert elsewhere(*prune).object["deleted"] == 20


def test_a_second_run_at_the_same_time_is_refused(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(40, seed=19, size=20_000)])
    with Proxy(dovecot.port) as proxy:
        arguments = ("--from", url(port=proxy.port), "--to", f"mbox:{tmp_path / 'A'}")
        proxy.stall()
        first = archipec.start("archive", *arguments, "--json")
        wait_for(lambda: (tmp_path / "A" / "archipec.json").exists())
        same = archipec("archive", *arguments, expect=5)
        assert "in use by another run" in same.err
        other_state = Archipec(tmp_path / "other-state", archipec.env)
        other = other_state("archive", "--from", url(), "--to", f"mbox:{tmp_path / 'A'}", expect=5)
        assert "in use by another run" in other.err
        proxy.resume()
        out, err = first.communicate(timeout=60)
        assert first.returncode == 0, err
    assert '"stored": 40' in out
    assert archipec("verify", "--to", f"mbox:{tmp_path / 'A'}", "--json").object["ok"] == 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_being_asked_to_stop_says_how_to_go_on(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path, number: int
) -> None:
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(2500, seed=19, size=7_000)])
    stored = tmp_path / "A" / "archive.mbox"
    with Proxy(dovecot.port, rate=4_000_000) as proxy:
        arguments = ("--from", url(port=proxy.port, connections=1), "--to", f"mbox:{tmp_path / 'A'}")
        process = archipec.start("archive", *arguments, "--json")
        wait_for(lambda: stored.exists() and stored.stat().st_size > 0)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "goes on from here" in err
        assert '"left": 0' not in out
        assert archipec("archive", *arguments, "--json").object["left"] == 0
    assert archipec("verify", *arguments, "--json").object["ok"] == 2500


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for something another process does."""
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen within 20 s")


def test_three_mistakes_in_a_configuration_are_all_named(archipec: Archipec, tmp_path: Path) -> None:
    config = tmp_path / "archipec.toml"
    config.write_text(
        """
[[pipeline]]
name = "studio"
[pipeline.source]
type = "imap"
hots = "imaps.example.it"
user = "studio@pec.example.it"
password = "hunter2-in-clear"
[[pipeline.sink]]
type = "maildri"
path = "PEC"
"""
    )
    result = Archipec(tmp_path / "state", {"ARCHIPEC_CONFIG": str(config)})("archive", expect=4)
    assert 'did you mean "host"?' in result.err
    assert 'did you mean "maildir"?' in result.err
    assert "password" in result.err
    assert "hunter2" not in result.err
    assert result.err.count("error:") >= 3


def test_a_password_never_shows(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
) -> None:
    arguments = ("--from", url(), "--to", f"maildir:{tmp_path / 'A'}")
    result = archipec("-v", "archive", *arguments)
    assert dovecot.password not in result.out + result.err
    for path in archipec.state.rglob("*"):
        if path.is_file():
            assert dovecot.password.encode() not in path.read_bytes()
            assert os.name == "nt" or path.stat().st_mode & 0o077 == 0, path
