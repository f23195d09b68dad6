"""The IMAP sink and servers that refuse, change, or can do little."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from archipec.contract import ContentKey, Item, Receipt, State
from archipec.errors import MissingCopy, PermanentError, TransientError
from archipec.testing import configure, make_context, make_item
from archipec.testing.messages import small_messages
from archipec_plugins.imap import IMAP_SINK
from archipec_plugins.imap.commands import CommandChannel
from archipec_plugins.imap.folder_names import levels, plain_levels
from archipec_plugins.imap.folders import encode_name
from archipec_plugins.imap.session import ImapSession
from archipec_plugins.imap.sink import ImapSink
from archipec_plugins.net import account
from archipec_plugins.net.connection import Connection

from .mail_server import MailServer

Open: TypeAlias = Callable[..., AbstractContextManager[ImapSink]]

ALL = "NAMESPACE MULTIAPPEND LITERAL+ UIDPLUS"
RAWS = small_messages(5)


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a sink on a server, past its login."""

    @contextmanager
    def opened(server: MailServer, capabilities: str = ALL, **table: object) -> Iterator[ImapSink]:
        table = {"user": "u", "host": "imap.example.it", **table}
        with server.connected() as sock:
            connection = Connection(sock, "imap.example.it", 993, account.IMAP)
            session = ImapSession(connection, CommandChannel(connection), frozenset(capabilities.split()))
            try:
                yield ImapSink(session, configure(IMAP_SINK, table), make_context(tmp_path))
            finally:
                session.close()

    return opened


def keep(sink: ImapSink, *messages: bytes | Item) -> list[Receipt]:
    for message in messages:
        sink.put(make_item(message) if isinstance(message, bytes) else message)
    return list(sink.commit())


def read(sink: ImapSink, receipt: Receipt) -> bytes:
    with sink.read(receipt) as stream:
        return stream.read()


def states(receipts: Sequence[Receipt]) -> list[str]:
    return [receipt.state.value for receipt in receipts]


@pytest.mark.parametrize("tells_uids", [True, False], ids=["uidplus", "no-uidplus"])
@pytest.mark.parametrize("capabilities", ["", "LITERAL-", "LITERAL+", "MULTIAPPEND", "MULTIAPPEND LITERAL+"])
def test_whatever_a_server_can(opened: Open, capabilities: str, tells_uids: bool) -> None:
    large = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 1000
    server = MailServer(tells_uids=tells_uids)
    with opened(server, capabilities) as sink:
        receipts = keep(sink, *RAWS, large, RAWS[0])
        assert states(receipts) == ["stored"] * 7
        assert [read(sink, receipt) for receipt in receipts] == [*RAWS, large, RAWS[0]]
    assert server.folders[b"INBOX"] == [*RAWS, large]
    with opened(server, capabilities) as sink:
        assert keep(sink, *RAWS) == receipts[:5]
        assert sink.find(ContentKey.of(large)) == receipts[5]
    assert len(server.folders[b"INBOX"]) == 6
    appends = sum(command.startswith(b"APPEND") for command in server.commands)
    assert appends == (1 if "MULTIAPPEND" in capabilities else 6)


def test_no_message_is_ever_taken_for_commands(opened: Open) -> None:
    """A server that refuses the line of an APPEND reads on where the line ends: nothing may be on its way there."""
    trap = b"Subject: x\r\n\r\nA9 DELETE INBOX\r\n"
    server = MailServer()
    server.refuse_line = lambda line: b"BAD what is that" if b"strange" in line else b""
    with opened(server) as sink:
        keep(sink, RAWS[0])
        with pytest.raises(PermanentError, match="what is that"):
            keep(sink, RAWS[1], make_item(trap, flags=("strange",)))
    assert not [command for command in server.commands if b"DELETE" in command]
    appends = [command for command in server.commands if command.startswith(b"APPEND")]
    assert [command.endswith(b"+}") for command in appends] == [False, True]


def test_flags_and_dates_are_carried_over(opened: Open) -> None:
    server = MailServer()
    flags = (
        "\\Seen",
        "\\recent",
        "\\DELETED",
        "\\flagged",
        "$Forwarded",
        "Prot-2026",
        "a b\n",
        "\\Bogus",
        "x" * 60,
    )
    received = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
    with opened(server) as sink:
        keep(sink, make_item(RAWS[0], flags=flags, received=received))
        keep(sink, make_item(RAWS[1], received=None, date=datetime.min.replace(tzinfo=UTC)))
    first, second = (command for command in server.commands if command.startswith(b"APPEND"))
    assert b'(\\Flagged \\Seen $Forwarded Prot-2026) " 3-Feb-2024 04:05:06 +0000"' in first
    assert b'() " 1-Jan-1970 00:00:00 +0000"' in second


def test_bytes_that_no_server_keeps_are_not_sent(opened: Open) -> None:
    server = MailServer()
    with opened(server, f"{ALL} APPENDLIMIT=100000") as sink:
        receipts = keep(sink, b"", b"a\0b", b"a\nb\r\n", b"\n", b"a\r\n" * 50_000, RAWS[0])
    assert states(receipts) == ["rejected"] * 5 + ["stored"]
    for receipt, word in zip(receipts, ("without any bytes", "NUL", "CRLF", "CRLF", "100000"), strict=False):
        assert word in receipt.reason
    assert server.folders[b"INBOX"] == [RAWS[0]]


@pytest.mark.parametrize("tells_uids", [True, False], ids=["uidplus", "no-uidplus"])
@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b"\xe8", b"X"),
        lambda raw: b"X-Scanned: yes\r\n" + raw if b"\xe8" in raw else raw,
    ],
    ids=["in-place", "longer"],
)
def test_what_a_server_changes_is_rejected(
    opened: Open, change: Callable[[bytes], bytes], tells_uids: bool
) -> None:
    server = MailServer(tells_uids=tells_uids)
    server.keep = change
    accented = b"Subject: x\r\n\r\nperch\xe8\r\n"
    with opened(server) as sink:
        receipts = keep(sink, RAWS[0], accented, RAWS[1])
        assert states(receipts) == ["stored", "rejected", "stored"]
        assert "changed" in receipts[1].reason
        assert "INBOX" in receipts[1].reason
        assert sink.find(ContentKey.of(accented)) is None
    assert server.folders[b"INBOX"] == [RAWS[0], change(accented), RAWS[1]]


def test_a_plain_message_that_grew_is_rejected(opened: Open) -> None:
    server = MailServer()
    server.keep = lambda raw: raw + b"-- \r\nscanned\r\n" if raw == RAWS[1] else raw
    with opened(server) as sink:
        assert states(keep(sink, RAWS[0], RAWS[1])) == ["stored", "rejected"]
        assert sink.find(ContentKey.of(RAWS[1])) is None


@pytest.mark.parametrize("capabilities", [ALL, "UIDPLUS", "UIDPLUS LITERAL+"])
def test_one_refused_message_leaves_the_others_alone(opened: Open, capabilities: str) -> None:
    server = MailServer()
    server.refuse = lambda folder, raws: b"NO message contains invalid header" if RAWS[0] in raws else b""
    with opened(server, capabilities) as sink:
        receipts = keep(sink, *RAWS)
    assert states(receipts) == ["rejected", *["stored"] * 4]
    assert "invalid header" in receipts[0].reason
    assert server.folders[b"INBOX"] == RAWS[1:]


def test_where_every_message_is_refused_none_is_to_blame(opened: Open) -> None:
    server = MailServer()
    server.refuse = lambda folder, raws: b"NO not today"
    with opened(server) as sink, pytest.raises(PermanentError, match="not today"):
        keep(sink, *RAWS)


def test_a_message_too_big_is_to_blame_by_itself(opened: Open) -> None:
    server = MailServer()
    server.refuse = lambda folder, raws: b"NO [TOOBIG] too big"
    with opened(server) as sink:
        (receipt,) = keep(sink, RAWS[0])
    assert (receipt.state, "too big" in receipt.reason) == (State.REJECTED, True)


@pytest.mark.parametrize(
    ("said", "error", "retry"),
    [
        (b"NO [OVERQUOTA] mailbox is full", TransientError, math.inf),
        (b"NO [UNAVAILABLE] later", TransientError, None),
        (b"NO [TRYCREATE] where is it", TransientError, None),
        (b"NO [NOPERM] not you", PermanentError, None),
    ],
)
def test_wide_refusals_put_the_sink_out(
    opened: Open, said: bytes, error: type[PermanentError | TransientError], retry: float | None
) -> None:
    server = MailServer()
    with opened(server) as sink:
        keep(sink, RAWS[0])
        server.refuse = lambda folder, raws: said
        with pytest.raises(error) as caught:
            keep(sink, *RAWS)
    assert said.partition(b"] ")[2].decode() in caught.value.message
    assert getattr(caught.value, "retry_after", None) == retry
    server.refuse = lambda folder, raws: b""
    with opened(server) as sink:
        keep(sink, *RAWS)
    assert server.folders[b"INBOX"] == RAWS


def test_folders_below_a_prefix(opened: Open) -> None:
    server = MailServer(delimiter=b".", prefix=b"INBOX.")
    with opened(server, folder="Archivio/PEC") as sink:
        keep(sink, make_item(RAWS[0], folder="Posta inviata"), make_item(RAWS[1], folder="2026/11"))
    assert set(server.folders) == {
        b"INBOX",
        b"INBOX.Archivio.PEC.Posta inviata",
        b"INBOX.Archivio.PEC.2026.11",
    }
    with opened(server) as sink:
        keep(sink, make_item(RAWS[2], folder="Città & co"), make_item(RAWS[3], folder="INBOX.Vecchia"))
    assert server.folders[b"INBOX.Citt&AOA- &- co"] == [RAWS[2]]
    assert server.folders[b"INBOX.Vecchia"] == [RAWS[3]]
    assert b'SUBSCRIBE "INBOX.Vecchia"' in server.commands


@pytest.mark.parametrize(
    ("below", "folder", "delimiter", "found"),
    [
        ("", "INBOX", "/", ["INBOX"]),
        ("", "inbox/x", "/", ["INBOX", "x"]),
        ("PEC", "INBOX", "/", ["PEC", "INBOX"]),
        ("PEC", "INBOX.Inviata.2026", "/", ["PEC", "INBOX", "Inviata", "2026"]),
        ("INBOX.PEC", "2026/11", ".", ["INBOX", "PEC", "2026", "11"]),
        ("", "2026.11", ".", ["2026", "11"]),
        ("", "2026.11", "/", ["2026.11"]),
        ("", "//a//b/", "/", ["a", "b"]),
        ("", "a/b", "", ["a_b"]),
        ("", "", "/", ["_~"]),
        ("", "a/../b", "/", ["a", "_.~", "b"]),
        ("", "a*b%c", "/", ["a_b_c~"]),
        ("", "~root/#x", "/", ["_root~", "_x~"]),
        ("", "nul\0\r\nA1 LOGOUT", "/", ["nul___A1 LOGOUT~"]),
    ],
)
def test_names_of_folders(below: str, folder: str, delimiter: str, found: list[str]) -> None:
    given = levels(below, folder, delimiter)
    assert [re.sub("_[0-9a-f]{8}$", "~", level) for level in given] == found


@pytest.mark.parametrize("folder", ["x" * 300, "è" * 200, "/".join("d" * 60), "📬" * 99])
def test_long_names_of_folders(folder: str) -> None:
    for spell in (levels, plain_levels):
        given = spell("PEC", folder, "/")
        assert len(given) <= 10
        assert all(len(encode_name(level)) <= 110 for level in given)
        assert given != spell("PEC", f"{folder}x", "/")


def test_a_folder_name_that_is_refused_gets_a_plain_one(opened: Open) -> None:
    server = MailServer()
    server.refuse_folder = lambda name: b"NO bad name" if name in (b"cur", b"lost+found") else b""
    with opened(server) as sink:
        keep(sink, make_item(RAWS[0], folder="cur"), make_item(RAWS[1], folder="lost+found"))
    names = sorted(server.folders.keys() - {b"INBOX"})
    assert [name[:-9] for name in names] == [b"cur", b"lost_found"]
    server.refuse_folder = lambda name: b"NO [NOPERM] no folders for you"
    with opened(server) as sink, pytest.raises(PermanentError, match="no folders for you"):
        keep(sink, make_item(RAWS[2], folder="Altra"))


def test_trash_is_no_archive(opened: Open) -> None:
    """What the server may empty doesn't count as kept; what belongs there isn't put there twice."""
    server = MailServer()
    server.folders[b"Trash"] = [RAWS[0]]
    with opened(server) as sink:
        assert sink.find(ContentKey.of(RAWS[0])) is None
        keep(sink, make_item(RAWS[0], folder="Trash"))
        keep(sink, make_item(RAWS[1]))
    assert server.folders == {b"INBOX": [RAWS[1]], b"Trash": [RAWS[0]]}
    with opened(server) as sink:
        keep(sink, make_item(RAWS[0], folder="INBOX"))
    assert server.folders[b"INBOX"] == [RAWS[1], RAWS[0]]


def test_what_is_held_elsewhere_makes_no_folder(opened: Open) -> None:
    server = MailServer()
    server.folders[b"Pratiche"] = [RAWS[0]]
    with opened(server, folder="Archivio") as sink:
        (receipt,) = keep(sink, make_item(RAWS[0], folder="INBOX"))
        assert read(sink, receipt) == RAWS[0]
    assert server.folders == {b"INBOX": [], b"Pratiche": [RAWS[0]]}


def test_messages_of_one_size_are_read_once(opened: Open) -> None:
    """In a mailbox of many messages of one size, every batch would read all of them again."""
    server = MailServer()
    server.folders[b"Pratiche"] = list(RAWS)
    others = [raw.replace(b"message", b"notice!") for raw in RAWS]
    with opened(server) as sink:
        for raw in others:
            keep(sink, raw)
            keep(sink, raw)
    assert server.folders[b"INBOX"] == others
    assert sum(b"BODY.PEEK" in command for command in server.commands) == 1


def test_a_copy_that_was_moved_is_found_again(opened: Open) -> None:
    server = MailServer()
    with opened(server) as sink:
        moved, gone = keep(sink, RAWS[0], RAWS[1])
    server.folders[b"INBOX"] = [None, None]
    server.folders[b"Pratiche"] = [RAWS[2], RAWS[0]]
    with opened(server) as sink:
        assert read(sink, moved) == RAWS[0]
        with pytest.raises(MissingCopy):
            read(sink, gone)


def test_numbers_of_a_folder_that_is_no_more_mean_nothing(opened: Open) -> None:
    server = MailServer()
    with opened(server) as sink:
        receipts = keep(sink, *RAWS[:2])
        server.uidvalidity, server.folders[b"INBOX"] = 8, [RAWS[1], RAWS[0]]
        keep(sink, RAWS[2])
        assert sink.find(receipts[0].key) is not None
    assert server.folders[b"INBOX"] == [RAWS[1], RAWS[0], RAWS[2]]
    with opened(server) as sink:
        assert [read(sink, receipt) for receipt in receipts] == RAWS[:2]


def test_a_folder_that_cannot_be_opened_is_not_counted_on(opened: Open) -> None:
    server = MailServer()
    server.folders[b"Altrui"] = [RAWS[0]]
    examine = server._examine
    server._examine = lambda name: b"<tag> NO [NOPERM] no\r\n" if name == b"Altrui" else examine(name)  # type: ignore[method-assign]
    with opened(server) as sink:
        assert states(keep(sink, *RAWS)) == ["stored"] * 5
    assert server.folders[b"INBOX"] == RAWS
