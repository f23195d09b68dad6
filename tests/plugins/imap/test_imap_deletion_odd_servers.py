"""ImapDeletion on servers that refuse, forget and pretend: what they say, and what they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from archipec.contract import ContentKey, DeletionOrder
from archipec.errors import AlreadyGone, ArchipecError, Refused, Scope, TransientError
from archipec.testing import configure, make_context
from archipec_plugins.imap import IMAP_SOURCE
from archipec_plugins.imap.commands import CommandChannel
from archipec_plugins.imap.session import ImapSession
from archipec_plugins.imap.source import ImapSource
from archipec_plugins.net import account
from archipec_plugins.net.connection import Connection

from .scripted import CLOSE, Reply, ScriptedServer, connected

Open: TypeAlias = Callable[..., AbstractContextManager[tuple[ImapSource, ScriptedServer]]]

SELECTED = (
    b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT 10] next\r\n<tag> OK [READ-WRITE] done\r\n"
)
KEY = ContentKey.of(b"x" * 100)
TRASH = b'* LIST (\\HasNoChildren \\Trash) "/" Cestino\r\n<tag> OK done\r\n'


def shown(*uids: int, flags: bytes = b"", size: int = 100) -> bytes:
    return b"".join(b"* %d FETCH (UID %d RFC822.SIZE %d FLAGS (%b))\r\n" % (n, n, size, flags) for n in uids)


class Twice:
    """Answers a command in one way, and then in another."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)

    def __call__(self, _command: bytes) -> bytes:
        return self._answers.pop(0) + b"<tag> OK done\r\n"


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a source on a scripted server, past its login."""

    @contextmanager
    def opened(
        replies: Mapping[bytes, Reply], capabilities: str = "UIDPLUS MOVE"
    ) -> Iterator[tuple[ImapSource, ScriptedServer]]:
        server = ScriptedServer({**replies, b"SELECT ": replies.get(b"SELECT ", SELECTED)})
        config = configure(IMAP_SOURCE, {"user": "u", "host": "imap.example.it"})
        with connected(server) as sock:
            sock.settimeout(20)
            connection = Connection(sock, "imap.example.it", 993, account.IMAP)
            session = ImapSession(connection, CommandChannel(connection), frozenset(capabilities.split()))
            try:
                yield ImapSource(session, config, make_context(tmp_path)), server
            finally:
                session.close()

    return opened


def orders(*uids: int) -> list[DeletionOrder]:
    expires = datetime.now(UTC) + timedelta(minutes=10)
    return [DeletionOrder("INBOX", f"7/{uid}", KEY, (), expires) for uid in uids]


def outcomes(source: ImapSource, *uids: int) -> list[ArchipecError | None]:
    return [error for _, error in source.delete(iter(orders(*uids)))]


def test_exactly_these_commands(opened: Open) -> None:
    replies = {b"UID FETCH": Twice(shown(1, 2), b"")}
    with opened(replies) as (source, server):
        assert outcomes(source, 1, 2) == [None, None]
        assert server.commands == [
            b'SELECT "INBOX"',
            b"UID FETCH 1:2 (UID RFC822.SIZE FLAGS)",
            b"UID STORE 1:2 +FLAGS.SILENT (\\Deleted)",
            b"UID EXPUNGE 1:2",
            b"UID FETCH 1:2 (UID RFC822.SIZE FLAGS)",
        ]


def test_a_server_that_only_says_that_it_expunged(opened: Open) -> None:
    """The mark is taken back, of those alone that had none before."""
    there = shown(1) + shown(2, flags=b"\\Deleted")
    with opened({b"UID FETCH": Twice(there, there)}) as (source, server):
        found = outcomes(source, 1, 2)
        assert [type(error) for error in found] == [Refused, Refused]
        assert "the server still has it" in str(found[0])
        assert [command for command in server.commands if b"STORE" in command] == [
            b"UID STORE 1 +FLAGS.SILENT (\\Deleted)",
            b"UID STORE 1 -FLAGS.SILENT (\\Deleted)",
        ]


@pytest.mark.parametrize("command", [b"STORE 1 +FLAGS", b"UID EXPUNGE"])
def test_a_command_that_is_refused(opened: Open, command: bytes) -> None:
    replies = {b"UID FETCH": Twice(shown(1), shown(1)), command: b"<tag> NO [NOPERM] not here\r\n"}
    with opened(replies) as (source, server):
        (error,) = outcomes(source, 1)
        assert isinstance(error, Refused)
        assert "[NOPERM] not here" in str(error)
        assert server.commands[-1] == b"UID STORE 1 -FLAGS.SILENT (\\Deleted)"
        assert server.count(b"EXPUNGE") == (0 if b"STORE" in command else 1)


def test_a_folder_that_may_only_be_read(opened: Open) -> None:
    replies = {b"SELECT ": SELECTED.replace(b"READ-WRITE", b"READ-ONLY")}
    with opened(replies) as (source, server):
        found = outcomes(source, 1, 2)
        assert all(isinstance(error, Refused) and error.scope is Scope.FOLDER for error in found)
        assert len(server.commands) == 1


def test_a_folder_without_message_numbers(opened: Open) -> None:
    with opened({b"SELECT ": b"<tag> OK [READ-WRITE] done\r\n"}) as (source, server):
        assert [type(error) for error in outcomes(source, 1)] == [Refused]
        assert len(server.commands) == 1


def test_a_connection_that_breaks_after_the_mark(opened: Open) -> None:
    replies: dict[bytes, Reply] = {b"UID FETCH": Twice(shown(1)), b"EXPUNGE": CLOSE}
    with opened(replies) as (source, _), pytest.raises(TransientError):
        outcomes(source, 1)


def test_another_message_of_that_number(opened: Open) -> None:
    """By its size; then it is read whole, and not marked."""
    raw = b"another message"
    body = b"* 1 FETCH (UID 1 BODY[] {%d}\r\n%b)\r\n<tag> OK done\r\n" % (len(raw), raw)
    replies: dict[bytes, Reply] = {b"BODY.PEEK": body, b"UID FETCH": Twice(shown(1, size=len(raw)))}
    with opened(replies) as (source, server):
        (error,) = outcomes(source, 1)
        assert isinstance(error, Refused)
        assert "it is not the one that was archived" in str(error)
        assert (server.count(b"STORE"), server.count(b"EXPUNGE")) == (0, 0)


def test_a_move_that_takes_only_some(opened: Open) -> None:
    replies: dict[bytes, Reply] = {
        b"LIST": TRASH,
        b"UID FETCH": Twice(shown(1, 2), shown(2)),
        b"UID MOVE": b"<tag> NO [OVERQUOTA] the trash is full\r\n",
    }
    with opened(replies, "MOVE") as (source, server):
        moved, left = outcomes(source, 1, 2)
        assert moved is None
        assert "the trash is full" in str(left)
        assert server.count(b'UID MOVE 1:2 "Cestino"') == 1
        assert (server.count(b"STORE"), server.count(b"EXPUNGE")) == (0, 0)


@pytest.mark.parametrize("capabilities", ["MOVE", ""])
def test_a_server_that_can_do_neither(opened: Open, capabilities: str) -> None:
    with opened({}, capabilities) as (source, server):
        with pytest.raises(Refused, match="can't delete single messages"):
            outcomes(source, 1)
        assert (server.count(b"SELECT"), server.count(b"STORE")) == (0, 0)


def test_the_second_of_a_shared_uid_is_not_deleted_though_it_is_alone_by_now(opened: Open) -> None:
    order = DeletionOrder("INBOX", "7/1 2", KEY, (), orders(1)[0].expires_at)
    with opened({b"UID FETCH": Twice(shown(1), b"")}) as (source, server):
        ((_, error),) = source.delete(iter([order]))
    assert isinstance(error, Refused)
    assert (server.count(b"STORE"), server.count(b"EXPUNGE")) == (0, 0)


def test_what_is_marked_is_told_before(opened: Open) -> None:
    told: list[tuple[list[str], int]] = []
    with opened({b"UID FETCH": Twice(shown(1), b"")}) as (source, server):

        def marking(marked: Sequence[DeletionOrder]) -> None:
            told.append(([order.ref for order in marked], server.count(b"STORE")))

        source._context = replace(source._context, marking=marking)
        assert outcomes(source, 1) == [None]
        assert server.count(b"STORE") == 1
    assert told == [(["7/1"], 0)]


def test_more_gone_than_ordered_ends_it(opened: Open) -> None:
    expunged = b"* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n<tag> OK done\r\n"
    replies: dict[bytes, Reply] = {b"UID FETCH": Twice(shown(1), b""), b"UID EXPUNGE": expunged}
    with opened(replies) as (source, _), pytest.raises(Refused, match="not to be deleted disappeared"):
        outcomes(source, 1)


def test_messages_that_share_a_uid_are_never_deleted_by_it(opened: Open) -> None:
    shared = shown(1) + b"* 2 FETCH (UID 1 RFC822.SIZE 100 FLAGS ())\r\n" + shown(3)
    replies = {b"UID FETCH": Twice(shared, b"")}
    both = [*orders(1, 3), DeletionOrder("INBOX", "7/1 2", KEY, (), orders(1)[0].expires_at)]
    with opened(replies) as (source, server):
        found = {order.ref: error for order, error in source.delete(iter(both))}
    assert found.pop("7/3") is None
    assert all(isinstance(error, Refused) and "another message" in error.message for error in found.values())
    assert server.count(b"UID EXPUNGE") == server.count(b"UID EXPUNGE 3") == 1


@pytest.mark.parametrize(
    "told",
    [b"* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n", b"* VANISHED 1,3\r\n"],
    ids=["EXPUNGE", "VANISHED"],
)
def test_a_server_that_expunges_more_than_it_is_told(opened: Open, told: bytes) -> None:
    """What was ordered is answered first; then it ends."""
    replies: dict[bytes, Reply] = {
        b"UID FETCH": Twice(shown(1), b""),
        b"UID EXPUNGE": told + b"<tag> OK done\r\n",
    }
    with opened(replies) as (source, _):
        answers = source.delete(iter(orders(1)))
        assert next(answers)[1] is None
        with pytest.raises(Refused, match="not to be deleted disappeared"):
            next(answers)


def test_marks_are_told_before_they_are_set(tmp_path: Path, opened: Open) -> None:
    """And only those that are not there already, which another program has set."""
    told: list[list[str]] = []
    there = shown(1) + shown(2, flags=b"\\Deleted")
    with opened({b"UID FETCH": Twice(there, b"")}) as (source, server):
        source._context = replace(
            make_context(tmp_path),
            marking=lambda given: (
                told.append([order.ref for order in given]) if not server.count(b"STORE") else None
            ),
        )
        assert outcomes(source, 1, 2) == [None, None]
    assert told == [["7/1"]]


def test_a_message_that_is_gone_was_not_deleted_here(opened: Open) -> None:
    with opened({b"UID FETCH": Twice(b"")}) as (source, server):
        (error,) = outcomes(source, 1)
        assert isinstance(error, AlreadyGone)
        assert (server.count(b"STORE"), server.count(b"EXPUNGE")) == (0, 0)
