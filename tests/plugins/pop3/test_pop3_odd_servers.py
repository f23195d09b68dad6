"""The POP3 source on servers as they are: slow, sparing, wrong, hostile. Made up here, over real TLS."""

from __future__ import annotations

import itertools
import math
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.contract import ContentKey, DeletionOrder, SupportsCount, SupportsHeaders
from archipec.errors import ArchipecError, AuthError, ConfigError, PermanentError, Refused, TransientError
from archipec.testing import configure, make_context
from archipec_plugins.net import account
from archipec_plugins.net.connection import Connection
from archipec_plugins.pop3 import POP3
from archipec_plugins.pop3.commands import Pop3Channel
from archipec_plugins.pop3.maildrop import Maildrop, parse_unique_ids
from archipec_plugins.pop3.source import Pop3Source
from testbed.certificates import Authority, ServerCertificate, self_signed

PASSWORD = "segreto di prova"
USUAL_CAPABILITIES = ("PIPELINING", "TOP", "UIDL")


class FakeServer:
    """A POP3 server of 30 lines, wrong wherever a test wants it to be.

    `replies` go before what it would answer: by the first word of a command, or by the whole command.
    """

    def __init__(self, messages: list[bytes], capabilities: tuple[str, ...] = USUAL_CAPABILITIES) -> None:
        self.messages = messages
        self.unique_ids = [f"id-{number}" for number in range(1, len(messages) + 1)]
        self.sizes = [len(raw) for raw in messages]
        self.capabilities = capabilities
        self.greeting = b"+OK ready\r\n"
        self.replies: dict[str, bytes] = {}
        self.commands: list[str] = []
        self.marked: set[int] = set()
        self.deleted: set[int] = set()
        self.most_at_once = 0

    def serve(self, connection: socket.socket) -> None:
        connection.sendall(self.greeting)
        waiting = b""
        while data := connection.recv(65536):
            *lines, waiting = (waiting + data).split(b"\r\n")
            self.most_at_once = max(self.most_at_once, len(lines))
            for line in lines:
                self.commands.append(line.decode())
                reply = self.answer(line.decode())
                connection.sendall(reply)
                if line == b"QUIT" or not reply:
                    return

    def answer(self, command: str) -> bytes:
        word, _, argument = command.partition(" ")
        for key in (command, word):
            if key in self.replies:
                return self.replies[key]
        number = int(argument.split()[0]) if argument and word not in ("USER", "PASS") else 0
        match word:
            case "CAPA":
                return _listing(self.capabilities)
            case "UIDL":
                return _listing(f"{n} {one}" for n, one in enumerate(self.unique_ids, start=1))
            case "STAT":
                return b"+OK %d %d\r\n" % (len(self.sizes), sum(self.sizes))
            case "LIST":
                return _listing(f"{n} {one}" for n, one in enumerate(self.sizes, start=1))
            case "RETR":
                return b"+OK\r\n" + stuffed(self.messages[number - 1])
            case "TOP":
                return b"+OK\r\n" + stuffed(self.messages[number - 1].partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            case "DELE":
                self.marked.add(number)
            case "RSET":
                self.marked.clear()
            case "QUIT":
                self.deleted |= self.marked
        return b"+OK\r\n"


def _listing(lines: Any) -> bytes:
    return b"+OK\r\n" + "".join(f"{line}\r\n" for line in lines).encode() + b".\r\n"


def stuffed(raw: bytes) -> bytes:
    """As RFC 1939 §3 sends it, line by line."""
    lines = raw.split(b"\r\n")
    if lines[-1] == b"":
        lines.pop()
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> ServerCertificate:
    return authority.issue()


Open = Callable[..., AbstractContextManager[Pop3Source]]


@pytest.fixture
def opened(certificate: ServerCertificate, tmp_path: Path) -> Open:
    """Runs a fake server for one connection and opens it."""

    @contextmanager
    def open_(
        server: FakeServer,
        *,
        presents: ServerCertificate = certificate,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        **table: Any,
    ) -> Iterator[Pop3Source]:
        with _listening(server, presents, stls=table.get("scheme") == "pop3") as port:
            settings = {"host": "127.0.0.1", "port": port, "user": "studio@pec.it", "password": PASSWORD}
            settings |= {"ca_file": str(certificate.ca_file), "timeout": 10, **table}
            with POP3.open(configure(POP3, settings), make_context(tmp_path, now=now)) as source:
                assert isinstance(source, Pop3Source)
                yield source

    return open_


@contextmanager
def _listening(server: FakeServer, certificate: ServerCertificate, *, stls: bool) -> Iterator[int]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.cert_file, certificate.key_file)

    def take_one() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                if stls:
                    connection.sendall(server.greeting)
                    if connection.recv(100) != b"STLS\r\n":
                        return
                    reply = server.replies.get("STLS", b"+OK\r\n")
                    connection.sendall(reply)
                    server.greeting = b""
                    if not reply.startswith(b"+OK"):
                        return
                with tls.wrap_socket(connection, server_side=True) as secure:
                    server.serve(secure)
        except OSError:
            pass  # the client does not like what it sees and leaves

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        thread = threading.Thread(target=take_one)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(20)
            assert not thread.is_alive(), "the fake server hangs"


def read(source: Pop3Source) -> dict[str, bytes]:
    refs = [listed.ref for listed in source.scan("INBOX", None)]
    return {answer.ref: b"".join(answer.chunks) for answer in source.fetch("INBOX", iter(refs))}


def order(source: Pop3Source, number: int, raw: bytes) -> DeletionOrder:
    ref = list(source.scan("INBOX", None))[number].ref
    return DeletionOrder("INBOX", ref, ContentKey.of(raw), (), datetime.now(UTC) + timedelta(minutes=10))


MESSAGES = [b"Subject: %d\r\n\r\nmessage %d\r\n" % (n, n) for n in range(40)]

# -- texts ---------------------------------------------------------------------------------------


@contextmanager
def piecewise(pieces: list[bytes]) -> Iterator[Pop3Channel]:
    """A channel with a server that sends these pieces, each by itself."""
    waiting = list(pieces)

    def read_into(buffer: memoryview) -> int:
        if not waiting:
            return near.recv_into(buffer)
        piece = waiting.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)

    near, far = socket.socketpair()
    with near, far:
        near.settimeout(1)
        connection = Connection(near, "host", 1, account.POP3)
        connection.inbound.begin_anew(read_into)
        try:
            yield Pop3Channel(connection)
        finally:
            connection.close()


# Made of what texts can be taken apart wrongly at.
_ODD_BYTES = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"x", b"\0", b"+OK"])).map(
    b"".join
)


@given(
    raws=st.lists(_ODD_BYTES, min_size=1, max_size=4),
    cuts=st.sets(st.integers(0, 200) | st.integers(65_530, 65_570)),
)
def test_any_text_comes_back_whatever_pieces_it_comes_in(raws: list[bytes], cuts: set[int]) -> None:
    sent = b"".join(b"+OK\r\n" + stuffed(raw) for raw in raws)
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    pieces = [sent[start:end] for start, end in itertools.pairwise(places)]
    with piecewise(pieces) as channel:
        batch = channel.begin()
        batch.send(*[b"RETR 1"] * len(raws), text=True)
        for raw in raws:
            assert batch.reply() == b"+OK"
            assert b"".join(batch.text(len(raw))) == raw


def test_a_text_left_unread_does_not_harm_what_follows() -> None:
    long = b"x" * 200_000
    with piecewise([b"+OK\r\nabc\r\n.\r\n+OK\r\n" + long, long + b"\r\n.", b"\r\n+OK last\r\n"]) as channel:
        batch = channel.begin()
        batch.send(b"RETR 1", b"RETR 2", text=True)
        batch.send(b"NOOP", text=False)
        batch.reply()
        batch.reply()
        assert long.startswith(next(batch.text(400_002)))
        assert batch.reply() == b"+OK last"


# Around what is given at a time, at once or in two.
@pytest.mark.parametrize("size", [*range(131_067, 131_079), 262_144])
@pytest.mark.parametrize("line", [b"x" * 70 + b"\r\n", b".\r\n", b"..", b"\r\n"])
@pytest.mark.parametrize("cut", [3, 10])
def test_a_long_text_comes_back(size: int, line: bytes, cut: int) -> None:
    raw = (line * (size // len(line) + 1))[: size - 2] + b"\r\n"
    sent = b"+OK\r\n" + stuffed(raw)
    pieces = [sent[at : at + 200_000] for at in range(0, len(sent) - cut, 200_000)]
    pieces[-1] = pieces[-1][: len(sent) - cut - 200_000 * (len(pieces) - 1)]
    with piecewise([*pieces, sent[-cut:] + b"+OK last\r\n"]) as channel:
        batch = channel.begin()
        batch.send(b"RETR 1", text=True)
        batch.send(b"NOOP", text=False)
        batch.reply()
        assert b"".join(batch.text(len(raw))) == raw
        assert batch.reply() == b"+OK last"


def test_a_dot_that_is_not_stuffed_is_taken_off_all_the_same() -> None:
    with piecewise([b"+OK\r\n.x\r\n.\r\n"]) as channel:
        batch = channel.begin()
        batch.send(b"RETR 1", text=True)
        batch.reply()
        assert b"".join(batch.text()) == b"x\r\n"


def test_an_earlier_iterator_can_not_be_used_any_more() -> None:
    with piecewise([b"+OK\r\n"]) as channel:
        first = channel.begin()
        channel.begin()
        with pytest.raises(RuntimeError, match="later call"):
            first.reply()


@pytest.mark.parametrize(
    "sent", [b"* OK IMAP\r\n", b"x" * 100_000, b"+", b"\r\n"], ids=["imap", "endless", "cut", "empty"]
)
def test_what_is_no_reply_ends_the_connection(sent: bytes) -> None:
    with piecewise([sent]) as channel:
        batch = channel.begin()
        batch.send(b"NOOP", text=False)
        for _ in range(2):
            with pytest.raises(TransientError):
                batch.reply()


# -- reading -------------------------------------------------------------------------------------


def test_a_server_that_takes_one_command_at_a_time(opened: Open) -> None:
    server = FakeServer(MESSAGES, ("TOP",))
    with opened(server) as source:
        assert list(read(source).values()) == MESSAGES
    assert server.most_at_once == 1
    assert server.commands[-2:] == ["RSET", "QUIT"], "nothing is marked as read"


def test_a_server_that_takes_many_is_not_waited_for(opened: Open) -> None:
    server = FakeServer(MESSAGES * 30)
    with opened(server) as source:
        assert list(read(source).values()) == server.messages
    assert server.most_at_once > 100
    assert not [command for command in server.commands if command.startswith("DELE")]


def test_large_messages_are_not_asked_for_all_at_once(opened: Open) -> None:
    server = FakeServer(MESSAGES * 3)
    server.sizes = [10_000_000] * len(server.messages)
    pulled = []
    with opened(server) as source:
        refs = [listed.ref for listed in source.scan("INBOX", None)]
        answers = source.fetch("INBOX", (pulled.append(ref) or ref for ref in refs))  # type: ignore[func-returns-value]
        next(answers)
        assert len(pulled) == 2


def test_a_server_without_capabilities(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.replies["CAPA"] = b"-ERR what?\r\n"
    with opened(server) as source:
        assert not isinstance(source, SupportsHeaders)
        assert len(read(source)) == 40
    assert server.most_at_once == 1


def test_capabilities_that_no_one_can_read(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.replies["CAPA"] = b"+OK\r\nTOP\r\n\r\nX \xff\r\n.\r\n"
    with opened(server) as source:
        assert len(read(source)) == 40


def test_a_server_without_unique_ids(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.replies["UIDL"] = b"-ERR not implemented.\r\n"
    with opened(server) as source, pytest.raises(PermanentError, match=r"UIDL.*not implemented$") as caught:
        source.folders()
    assert "IMAP" in caught.value.hint


@pytest.mark.parametrize("line", ["x id", "1 id\r\n1 other", "0 id"])
def test_unique_ids_that_can_not_be_read(opened: Open, line: str) -> None:
    server = FakeServer(MESSAGES)
    server.replies["UIDL"] = _listing([line])
    with opened(server) as source, pytest.raises(PermanentError):
        source.folders()


@pytest.mark.parametrize("unique_id", ["x" * 1000, "a b", "a\x01b"])
def test_unique_ids_that_no_standard_allows_are_told_apart(opened: Open, unique_id: str) -> None:
    server = FakeServer(MESSAGES[:2])
    server.replies["UIDL"] = _listing([f"1 {unique_id}", f"2 {unique_id}y"])
    with opened(server) as source:
        found = read(source)
    assert list(found.values()) == MESSAGES[:2]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", ref) for ref in found)


@pytest.mark.parametrize("unique_id", ["!", "~" * 70, "x" * 71, "\xe8", "../..", "%41"])
def test_unique_ids_of_any_kind(opened: Open, unique_id: str) -> None:
    server = FakeServer(MESSAGES[:1])
    server.replies["UIDL"] = b"+OK\r\n1 " + unique_id.encode("latin-1") + b" \r\n.\r\n"
    with opened(server) as source:
        assert read(source) == {unique_id: MESSAGES[0]}


def test_nothing_new_asks_for_no_sizes(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    with opened(server) as source:
        last = list(source.scan("INBOX", None))[-1].cursor
        assert "LIST" in server.commands
    again = FakeServer(MESSAGES)
    with opened(again) as source:
        source.folders()
        assert list(source.scan("INBOX", last)) == []
    assert [command for command in again.commands if command[:4] not in ("USER", "PASS")] == [
        "CAPA",
        "STAT",
        "UIDL",
        "QUIT",
    ]


def test_a_unique_id_given_to_another_message_is_listed_again(opened: Open) -> None:
    """Servers that number anew: the same unique ids in the same order, other messages."""
    server = FakeServer(MESSAGES[:3])
    with opened(server) as source:
        last = list(source.scan("INBOX", None))[-1].cursor
    others = [b"Subject: another\r\n\r\n%d\r\n" % number for number in range(3)]
    again = FakeServer(others)
    with opened(again) as source:
        assert [one.size for one in source.scan("INBOX", last)] == [len(raw) for raw in others]
    more = FakeServer([*others, MESSAGES[3]])
    more.replies["STAT"] = b"-ERR no\r\n"
    with opened(more) as source:
        assert len(list(source.scan("INBOX", last))) == 4
    unchanged = FakeServer(MESSAGES[:4])
    with opened(unchanged) as source:
        assert [one.ref for one in source.scan("INBOX", last)] == ["id-4"]


@pytest.mark.parametrize(
    ("stat", "count"),
    [
        (b"+OK 7 320\r\n", 7),
        (b"+OK 7\r\n", 7),
        (b"+OK\r\n", None),
        (b"-ERR no\r\n", None),
        (b"+OK seven messages\r\n", None),
    ],
)
@pytest.mark.parametrize("capabilities", [USUAL_CAPABILITIES, ("TOP", "UIDL")])
def test_the_count_is_what_stat_tells(
    opened: Open, stat: bytes, count: int | None, capabilities: tuple[str, ...]
) -> None:
    server = FakeServer(MESSAGES[:7], capabilities)
    server.replies["STAT"] = stat
    with opened(server) as source:
        assert isinstance(source, SupportsCount)
        assert len(list(source.scan("INBOX", None))) == 7
        assert (source.count("INBOX"), source.count("Sent")) == (count, None)


@pytest.mark.parametrize("capabilities", [USUAL_CAPABILITIES, ("UIDL",), ()])
@pytest.mark.parametrize("left_out", ["no line", "no unique id"])
def test_messages_without_unique_id_are_named_by_their_header(
    opened: Open, left_out: str, capabilities: tuple[str, ...]
) -> None:
    def without(messages: list[bytes], *numbers: int) -> FakeServer:
        server = FakeServer(messages, capabilities)
        lines = [
            (f"{n}" if n in numbers else f"{n} {one}")
            for n, one in enumerate(server.unique_ids, start=1)
            if n not in numbers or left_out == "no unique id"
        ]
        server.replies["UIDL"] = _listing(lines)
        return server

    server = without(MESSAGES[:5], 2, 5)
    with opened(server) as source:
        found = read(source)
        assert source.count("INBOX") == 5
    assert list(found.values()) == MESSAGES[:5]
    nameless = [ref for ref in found if " " in ref]
    assert len(nameless) == 2
    # Wherever it stands, the name is the same.
    with opened(without([MESSAGES[4], MESSAGES[0]], 1)) as source:
        assert read(source) == {nameless[1]: MESSAGES[4], "id-2": MESSAGES[0]}


def test_a_message_without_unique_id_and_without_header_is_counted(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    server = FakeServer(MESSAGES[:3])
    server.replies |= {"UIDL": _listing(["1 a", "2 b"]), "TOP 3 0": b"-ERR what\r\n"}
    with opened(server) as source:
        assert list(read(source)) == ["a", "b"]
        assert source.count("INBOX") == 3
    assert "can't be archived over POP3" in caplog.text


def test_messages_that_share_a_unique_id_are_all_read(opened: Open) -> None:
    server = FakeServer(MESSAGES[:4])
    server.unique_ids = ["a", "b", "a", "a"]
    with opened(server) as source:
        assert read(source) == dict(zip(["a", "b", "a 2", "a 3"], MESSAGES, strict=False))
        wanted = [order(source, number, MESSAGES[number]) for number in range(4)]
        outcome = list(source.delete(iter(wanted)))
    assert [error for one, error in outcome if one.ref == "b"] == [None]
    assert sum(isinstance(error, Refused) for _, error in outcome) == 3
    assert server.deleted == {2}


def test_sizes_that_are_not_exact_change_no_message(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.sizes = [len(raw) - 1 for raw in MESSAGES[:20]] + [len(raw) * 2 for raw in MESSAGES[20:]]
    with opened(server) as source:
        assert list(read(source).values()) == MESSAGES


def test_a_server_without_sizes(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.replies["LIST"] = b"-ERR no\r\n"
    with opened(server) as source:
        assert {listed.size for listed in source.scan("INBOX", None)} == {None}
        assert list(read(source).values()) == MESSAGES


def test_one_message_that_is_refused_leaves_the_others(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.replies |= {"RETR 2": b"-ERR corrupted\r\n", "RETR 3": b"-ERR [SYS/TEMP] busy\r\n"}
    found: list[object] = []
    with opened(server) as source:
        refs = [listed.ref for listed in source.scan("INBOX", None)]
        for answer in source.fetch("INBOX", iter(refs)):
            try:
                found.append(b"".join(answer.chunks))
            except ArchipecError as error:
                found.append((type(error), error.scope.name, str(error)))
    assert found[1] == (PermanentError, "MESSAGE", "message id-2 can't be read: corrupted")
    assert found[2] == (TransientError, "MESSAGE", "message id-3 can't be read: [SYS/TEMP] busy")
    assert [found[0], *found[3:]] == [MESSAGES[0], *MESSAGES[3:]]


def test_headers_that_are_refused_are_empty(opened: Open) -> None:
    server = FakeServer(MESSAGES[:2])
    server.replies["TOP 1 0"] = b"-ERR no\r\n"
    with opened(server) as source:
        assert isinstance(source, SupportsHeaders)
        refs = [listed.ref for listed in source.scan("INBOX", None)]
        assert [head for _, head in source.headers("INBOX", iter(refs))] == [b"", b"Subject: 1\r\n\r\n"]
    assert "RSET" not in server.commands


def test_many_unique_ids_are_read_fast_and_cursors_hold() -> None:
    text = b"".join(b"%d %016x\r\n" % (n, n) for n in range(1, 50_001))
    unique_ids = parse_unique_ids(text)
    assert unique_ids is not None
    maildrop = Maildrop(unique_ids)
    cursors = dict(maildrop.after(0))
    assert maildrop.covered(cursors[f"{50_000:016x}"]) == 50_000
    assert maildrop.covered(cursors[f"{777:016x}"]) == 777
    assert Maildrop(unique_ids[1:]).covered(cursors[f"{777:016x}"]) == 0


# -- logging in ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"-ERR no\r\n", AuthError),
        (b"-ERR [AUTH] bad password " + PASSWORD.encode() + b"\r\n", AuthError),
        (b"-ERR [IN-USE] locked\r\n", TransientError),
        (b"-ERR [SYS/TEMP] later\r\n", TransientError),
        (b"-ERR [SYS/PERM] never\r\n", PermanentError),
        (b"HTTP/1.1 400 Bad Request\r\n", TransientError),
        (b"", TransientError),
    ],
)
def test_a_login_that_is_not_accepted(opened: Open, reply: bytes, kind: type[ArchipecError]) -> None:
    server = FakeServer(MESSAGES)
    server.replies["PASS"] = reply
    with pytest.raises(kind) as caught, opened(server):
        pytest.fail("it opened")
    assert type(caught.value) is kind
    assert PASSWORD not in f"{caught.value} {caught.value.hint}"
    assert sum(command.startswith("PASS") for command in server.commands) == 1


def test_a_pause_between_logins_is_not_this_run(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.replies["PASS"] = b"-ERR [LOGIN-DELAY] minimum 10 minutes\r\n"
    with pytest.raises(TransientError) as caught, opened(server):
        pytest.fail("it opened")
    assert caught.value.retry_after == math.inf


def test_a_server_that_does_not_serve_now(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.greeting = b"-ERR too many connections\r\n"
    with (
        pytest.raises(TransientError, match="no further connection now: too many connections"),
        opened(server),
    ):
        pytest.fail("it opened")
    assert server.commands == []


def test_stls_before_anything_else(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    with opened(server, scheme="pop3") as source:
        assert len(read(source)) == 40
    assert server.commands[0] == "USER studio@pec.it"


def test_without_stls_no_password_is_sent(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.replies["STLS"] = b"-ERR unknown\r\n"
    with pytest.raises(PermanentError, match="does not offer TLS"), opened(server, scheme="pop3"):
        pytest.fail("it opened")
    assert server.commands == []


def test_what_is_said_before_tls_is_not_believed(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.replies["STLS"] = b"+OK\r\n+OK user\r\n+OK pass\r\n"
    server.replies["PASS"] = b"-ERR wrong\r\n"
    with pytest.raises(AuthError), opened(server, scheme="pop3"):
        pytest.fail("it opened")


def test_bad_certificates_are_refused(opened: Open, authority: Authority, tmp_path: Path) -> None:
    for bad in (authority.expired(), authority.for_another_host(), self_signed(tmp_path)):
        server = FakeServer(MESSAGES)
        with pytest.raises(PermanentError, match="certificate"), opened(server, presents=bad):
            pytest.fail("it opened")
        assert server.commands == []


def test_a_port_that_speaks_no_tls(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = {"host": "127.0.0.1", "port": listener.getsockname()[1], "user": "x", "password": "y"}

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"+OK plain POP3 here, no TLS at all\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        with (
            pytest.raises(PermanentError) as caught,
            POP3.open(configure(POP3, settings), make_context(tmp_path)),
        ):
            pytest.fail("it opened")
        thread.join(20)
    assert "use pop3:// in place of pop3s://" in caught.value.hint


@pytest.mark.parametrize("password", ["a\r\nDELE 1", "a\0b", "a\nb"])
def test_a_password_that_would_be_a_command(opened: Open, password: str) -> None:
    settings = {"host": "127.0.0.1", "user": "x", "password": password}
    with pytest.raises(PermanentError) as caught, POP3.open(configure(POP3, settings), make_context(Path())):
        pytest.fail("it opened")
    assert password not in str(caught.value)


def test_a_server_that_never_stops_telling_capabilities(opened: Open) -> None:
    server = FakeServer(MESSAGES)
    server.replies["CAPA"] = b"+OK\r\n" + b"X" * 2000 + (b"\r\n" + b"X" * 2000) * 1000
    with pytest.raises(TransientError), opened(server):
        pytest.fail("it opened")


def test_settings_that_are_wrong_are_all_told() -> None:
    with pytest.raises(ConfigError) as caught:
        configure(POP3, {"host": "a b", "user": "a\r\nb"})
    assert len(caught.value.problems) == 2


# -- deleting ------------------------------------------------------------------------------------


def test_a_server_that_counts_badly_is_read_again_before_it_deletes(opened: Open) -> None:
    server = FakeServer(MESSAGES[:3])
    server.sizes = [1, 2, 3]
    with opened(server) as source:
        wanted = [order(source, 0, MESSAGES[0]), order(source, 1, b"another message")]
        outcome = dict(source.delete(iter(wanted)))
    assert outcome[wanted[0]] is None
    assert isinstance(outcome[wanted[1]], Refused)
    assert server.deleted == {1}


@pytest.mark.parametrize("reply", [b"-ERR some messages not removed\r\n", b"garbage\r\n", b""])
def test_a_quit_that_is_not_good_deletes_nothing_for_sure(opened: Open, reply: bytes) -> None:
    server = FakeServer(MESSAGES[:3])
    server.replies["QUIT"] = reply
    with opened(server) as source:
        wanted = [order(source, number, MESSAGES[number]) for number in (0, 2)]
        outcome = list(source.delete(iter(wanted)))
    assert [one for one, _ in outcome] == wanted
    assert all("not confirmed" in str(error) for _, error in outcome)


def test_a_dele_that_is_refused(opened: Open) -> None:
    server = FakeServer(MESSAGES[:3])
    server.replies["DELE 2"] = b"-ERR no\r\n"
    with opened(server) as source:
        wanted = [order(source, number, MESSAGES[number]) for number in range(3)]
        outcome = dict(source.delete(iter(wanted)))
    assert [outcome[one] is None for one in wanted] == [True, False, True]
    assert server.deleted == {1, 3}


def test_orders_left_half_way_are_never_quit(opened: Open) -> None:
    server = FakeServer(MESSAGES[:3])
    server.replies["DELE 1"] = b"-ERR no\r\n"
    with opened(server) as source:
        wanted = [order(source, number, MESSAGES[number]) for number in range(3)]
        outcomes = source.delete(iter(wanted))
        next(outcomes)
    assert "QUIT" not in server.commands
    assert server.deleted == set()


@pytest.mark.parametrize(
    "words", ["maildrop already locked", "unable to lock maildrop", "mailbox is in use by another session"]
)
def test_a_mailbox_in_use_told_in_words(opened: Open, words: str) -> None:
    server = FakeServer(MESSAGES)
    server.replies["PASS"] = f"-ERR {words}\r\n".encode()
    with pytest.raises(TransientError, match=words), opened(server):
        pass
    # The account may be locked: another try makes that worse.
    server.replies["PASS"] = b"-ERR your account is locked\r\n"
    with pytest.raises(AuthError), opened(server):
        pass
