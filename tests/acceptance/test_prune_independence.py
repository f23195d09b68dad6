"""A copy that is the original proves nothing: one mailbox by two names, through the command line, on a real server."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import testbed
from testbed.command import Archipec
from testbed.dovecot import PASSWORD, Dovecot
from testbed.requirements import require

pytestmark = pytest.mark.real

OLD = datetime.now(UTC) - timedelta(days=900)
STAMP = b"Received: from a by b; Mon, 5 Jan 2015 10:00:00 +0100\r\n"
MESSAGES = [STAMP + b"Subject: %d\r\n\r\nbody %d\r\n" % (n, n) for n in range(12)]
RULES = ("--older-than", "1y", "--allow-large")
OTHER = "altra@pec.example.it"


@pytest.fixture
def server() -> Iterator[Dovecot]:
    require("dovecot", "dovecot-pop3")
    with Dovecot(users={OTHER: PASSWORD}, config="auth_username_format = %Lu\n") as running:
        running.fill("INBOX", [(raw, OLD) for raw in MESSAGES])
        yield running


@pytest.fixture
def archipec(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": PASSWORD})


def url(server: Dovecot, scheme: str, user: str, port: int, path: str = "", host: str = "127.0.0.1") -> str:
    ca_file = quote(str(server.ca_file), safe="")
    return (
        f"{scheme}://{quote(user, safe='@')}@{host}:{port}{path}?password=env:PEC_PASSWORD&ca_file={ca_file}"
    )


def left(server: Dovecot) -> list[bytes]:
    return sorted(server.raw_fetch("INBOX").values())


def names(server: Dovecot) -> dict[str, tuple[str, str]]:
    """Source and sink that are one mailbox."""
    tls = url(server, "imaps", server.user, server.port)
    starttls = url(server, "imap", server.user, server.plain_port)
    return {
        "imaps and STARTTLS": (tls, starttls),
        "a login in other case": (tls, url(server, "imap", server.user.upper(), server.plain_port)),
        "a folder inside": (tls, url(server, "imap", server.user, server.plain_port, "/Archivio")),
        "two names of its computer": (tls, url(server, "imaps", server.user, server.port, host="localhost")),
        "POP3 and IMAP": (url(server, "pop3s", server.user, server.pop3_port), tls),
    }


@pytest.mark.parametrize(
    "case",
    [
        "imaps and STARTTLS",
        "a login in other case",
        "a folder inside",
        "two names of its computer",
        "POP3 and IMAP",
    ],
)
def test_one_mailbox_by_two_names(server: Dovecot, archipec: Archipec, case: str) -> None:
    source, sink = names(server)[case]
    pair = ("--from", source, "--to", sink)
    archived = archipec("archive", *pair, "--no-seals", expect=None)
    assert archived.code == 4, archived.err
    assert "under another name" in archived.err
    for options in ((), ("--yes",)):
        refused = archipec("prune", *pair, *RULES, *options, "--json", expect=None)
        assert (refused.code, refused.object["deleted"]) == (8, 0), refused.err
        assert "under another name" in refused.object["refused"] + refused.err, (
            "told before anything is deleted"
        )
    assert left(server) == sorted(MESSAGES)


def probes(server: Dovecot) -> dict[str, int]:
    """The folders that archipec made to see whose mailbox it is, with the number of messages in them."""
    return {
        name: len(messages)
        for name, messages in server.snapshot().items()
        if name.rpartition("/")[2].startswith("archipec-")
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("filled", [False, True])
def test_a_run_killed_while_it_looks_whose_mailbox_it_is(
    server: Dovecot, archipec: Archipec, tmp_path: Path, filled: bool
) -> None:
    """The folder that it made is taken away by the next run, unless somebody has put something into it."""
    source, sink = names(server)["imaps and STARTTLS"]
    arguments = ("archive", "--from", source, "--to", sink, "--no-seals")
    reached = tmp_path / "reached"
    env = archipec.env | {
        "KILL_AT": "after-probe:1",
        "KILL_REACHED": str(reached),
        "PYTHONPATH": str(Path(testbed.__file__).parents[1]),
    }
    argv = [sys.executable, "-m", "testbed.killed", *archipec.argv(*arguments)[3:]]
    killed = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert reached.exists(), killed.stderr
    (made,) = probes(server)
    if filled:
        server.append(made, MESSAGES[0], OLD)
    assert "under another name" in archipec(*arguments, expect=4).err
    assert probes(server) == ({made: 1} if filled else {})


def test_two_mailboxes_of_one_server_are_two(server: Dovecot, archipec: Archipec) -> None:
    source = url(server, "imaps", server.user, server.port)
    sink = url(server, "imaps", OTHER, server.port)
    pair = ("--from", source, "--to", sink)
    archipec("archive", *pair, "--no-seals")
    done = archipec("prune", *pair, *RULES, "--yes", "--json").object
    assert (done["deleted"], left(server)) == (len(MESSAGES), [])
    assert sorted(server.raw_fetch("INBOX", OTHER).values()) == sorted(MESSAGES)
    assert not [name for name in server.snapshot(OTHER) if name.startswith("archipec-")]


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name in ("cur", "new"))


def test_the_maildir_that_the_server_serves(tmp_path: Path, archipec: Archipec) -> None:
    """No comparison of names shows it: the first deletion does, and the message is put back."""
    require("dovecot")
    with Dovecot(storage="maildir", config="mail_save_crlf = yes\n") as server:
        server.fill("INBOX", [(raw, OLD) for raw in MESSAGES])
        source = url(server, "imaps", server.user, server.port)
        archive = tmp_path / "A"
        archipec("archive", "--from", source, "--to", f"maildir:{archive}", "--no-seals")
        # The archive's files become the server's own, by symbolic link of the folder that holds both.
        for copy in files_of(archive):
            raw = copy.read_bytes()
            (own,) = [path for path in files_of(server.root) if path.read_bytes() == raw]
            copy.unlink()
            copy.symlink_to(own)
        before = left(server)
        report = archipec(
            "prune", "--from", source, "--to", f"maildir:{archive}", *RULES, "--yes", "--json", expect=7
        ).object
        assert (report["deleted"], left(server)) == (0, before), "a link out of the archive passed for a copy"


def test_an_archive_that_loses_with_the_mailbox(tmp_path: Path, archipec: Archipec) -> None:
    require("dovecot")
    with Dovecot(storage="maildir", config="mail_save_crlf = yes\n") as server:
        server.fill("INBOX", [(raw, OLD) for raw in MESSAGES])
        source = url(server, "imaps", server.user, server.port)
        archive = tmp_path / "A"
        pair = ("--from", source, "--to", f"maildir:{archive}")
        archipec("archive", *pair, "--no-seals")
        before = left(server)
        inbox = files_of(server.root)[0].parent.parent / "cur"
        folder = files_of(archive)[0].parent
        rename_as_in(folder, inbox)
        archipec("archive", *pair, "--no-seals")  # a renamed message has another number
        report = prune_over_one_folder(archipec, pair, folder, inbox)
        assert (report["deleted"], report["kept"].get("put-back")) == (0, 1), report
        assert "the same store" in report["refused"]
        assert left(server) == before
        assert not list((archipec.state / "rescued").iterdir())


def test_a_twin_in_the_mailbox_is_no_copy(tmp_path: Path, archipec: Archipec) -> None:
    """Every message is there twice, so that whichever goes first, the archive still shows one."""
    require("dovecot")
    with Dovecot(storage="maildir", config="mail_save_crlf = yes\n") as server:
        server.fill("INBOX", [(raw, OLD) for raw in MESSAGES[:3] * 2])
        source = url(server, "imaps", server.user, server.port)
        archive = tmp_path / "A"
        pair = ("--from", source, "--to", f"maildir:{archive}")
        archipec("archive", *pair, "--no-seals")
        inbox = files_of(server.root)[0].parent.parent / "cur"
        folder = files_of(archive)[0].parent
        rename_as_in(folder, inbox)
        archipec("archive", *pair, "--no-seals")
        report = prune_over_one_folder(archipec, pair, folder, inbox)
        assert (report["deleted"], report["kept"].get("put-back")) == (0, 2), report
        assert left(server) == sorted(MESSAGES[:3] * 2)


def rename_as_in(folder: Path, inbox: Path) -> None:
    """Give the server's files the names that the archive's have."""
    by_bytes = {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in folder.iterdir()}
    for path in files_of(inbox.parent):
        name = by_bytes.pop(hashlib.sha256(path.read_bytes()).hexdigest(), None)
        if name is not None:
            path.rename(inbox / name)


def prune_over_one_folder(
    archipec: Archipec, pair: tuple[str, ...], folder: Path, inbox: Path
) -> dict[str, Any]:
    """Bind the server's folder over the archive's."""
    if os.geteuid() != 0:
        pytest.skip("only root binds folders")
    bound = subprocess.run(["mount", "--bind", str(inbox), str(folder)], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip(f"this system binds no folders: {bound.stderr.decode()}")
    try:
        return archipec("prune", *pair, *RULES, "--yes", "--json", expect=8).object
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_two_archives_that_are_one_by_hard_links(server: Dovecot, archipec: Archipec, tmp_path: Path) -> None:
    source = url(server, "imaps", server.user, server.port)
    a, b = tmp_path / "A", tmp_path / "B"
    pair = ("--from", source, "--to", f"maildir:{a}", "--to", f"maildir:{b}")
    archipec("archive", *pair, "--no-seals")
    for copy in files_of(b):
        copy.unlink()
        os.link(a / copy.relative_to(b), copy)
    report = archipec("prune", *pair, *RULES, "--yes", "--json").object
    assert (report["deleted"], report["kept"]) == (0, {"one-file": len(MESSAGES)})
    assert left(server) == sorted(MESSAGES)
