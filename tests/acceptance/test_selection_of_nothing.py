"""A selection that no message matches: said on standard error, and no archive is made for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.command import Archipec
from testbed.scripted_imap import Box, ScriptedImap, a_message

NOTHING = [
    pytest.param(("--since", "2030"), 0, "since 2030-01-01", id="since"),
    pytest.param(("--until", "2001"), 0, "until 2001-12-31", id="until"),
    pytest.param(("--only", "receipts"), 0, "only receipts", id="only"),
    pytest.param(("--except", "uncertified"), 0, "without uncertified", id="except"),
    pytest.param(("--folder", "NOPE"), 4, "", id="folder"),
    pytest.param(("--message-id", "<nope@x>"), 3, "", id="message-id"),
]


@pytest.fixture
def command(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})


@pytest.mark.parametrize("scheme", ["maildir", "mbox", "eml", "zip"])
def test_no_archive_is_made(command: Archipec, tmp_path: Path, scheme: str) -> None:
    to = f"{scheme}:{tmp_path / 'new' / 'A'}"
    with ScriptedImap({b"INBOX": Box.of([a_message(1), a_message(2)])}, tmp_path / "tls") as server:
        for _ in range(2):
            command("archive", "--from", server.url(), "--to", to, "--since", "2030")
            assert not (tmp_path / "new" / "A").exists()
        command("archive", "--from", server.url(), "--to", to)
        command("archive", "--from", server.url(), "--to", to, "--since", "2030")
        command("verify", "--to", to)


@pytest.mark.parametrize(("selection", "code", "words"), NOTHING)
def test_it_is_said(
    command: Archipec, tmp_path: Path, selection: tuple[str, ...], code: int, words: str
) -> None:
    arguments = ("archive", "--to", f"maildir:{tmp_path / 'A'}", *selection)
    with ScriptedImap({b"INBOX": Box.of([a_message(1), a_message(2)])}, tmp_path / "tls") as server:
        for more in (), ("--json",):
            result = command(*arguments, "--from", server.url(), *more, expect=code)
            assert (f"no message matches the selection: {words}" in result.err) == bool(words), result.err
            assert not (tmp_path / "A").exists()
        assert words in result.object["remark"]
        result = command(*arguments, "--from", server.url(), "--dry-run", expect=None)
        assert f"no message matches the selection: {words}" in result.err or code == 4
        assert not (tmp_path / "A").exists()


def test_it_is_not_said_where_earlier_runs_took_what_matches(command: Archipec, tmp_path: Path) -> None:
    box = Box.of([a_message(1), a_message(2)])
    box.dates[1] = b"03-Mar-2020 10:00:00 +0100"
    with ScriptedImap({b"INBOX": box}, tmp_path / "tls") as server:
        arguments = ("archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}")
        for _ in range(2):
            assert not command(*arguments, "--since", "2025").err
        command(*arguments)
        assert not command(*arguments, "--until", "2020").err
        assert "no message matches" in command(*arguments, "--since", "2030").err


def test_it_is_not_said_of_an_empty_mailbox(command: Archipec, tmp_path: Path) -> None:
    with ScriptedImap({b"INBOX": Box.of([])}, tmp_path / "tls") as server:
        arguments = ("archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}")
        assert not command(*arguments, "--since", "2030").err
