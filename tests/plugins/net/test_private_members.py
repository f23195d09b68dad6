"""What the IMAP and POP3 sessions use of libraries without being promised it: that it is there and does what is relied on.

imapclient and the standard library may change their private members in any release; this says so before a mailbox does.
"""

from __future__ import annotations

import imaplib
import inspect
import logging
import poplib
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import imapclient
import pytest

from archipec_plugins.imap import login as imap_login
from archipec_plugins.pop3 import session as pop3_session

PASSWORD = "secret that nobody logs"


class ScriptedConnection:
    """As much of `net.connection.Connection` as logins use: answers from a script, keeps what is sent. Nothing else is there."""

    host, port, secure = "mail.example.it", 993, False

    def __init__(self, *answers: bytes) -> None:
        self.socket, self._other = socket.socketpair()
        self.socket.settimeout(5)
        self.sent: list[bytes] = []
        self._answers = deque(answers)
        self._tag = b""

    def close(self) -> None:
        self.socket.close()
        self._other.close()

    def send(self, data: bytes) -> None:
        self.sent.append(bytes(data))
        self._tag = bytes(data).split(b" ")[0]

    def readline(self) -> bytes:
        return self._answers.popleft().replace(b"TAG", self._tag)

    greeting = readline


@contextmanager
def scripted(*answers: bytes) -> Iterator[ScriptedConnection]:
    connection = ScriptedConnection(*answers)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (imapclient.IMAPClient, "_create_IMAP4", ["self"]),
        (imaplib.IMAP4, "_get_capabilities", ["self"]),
        (imaplib.IMAP4, "open", ["self", "host", "port", "timeout"]),
        (imaplib.IMAP4, "read", ["self", "size"]),
        (imaplib.IMAP4, "readline", ["self"]),
        (imaplib.IMAP4, "send", ["self", "data"]),
        (imaplib.IMAP4, "shutdown", ["self"]),
        (poplib.POP3, "_create_socket", ["self", "timeout"]),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_is_overridden_is_there(owner: type, name: str, parameters: list[str]) -> None:
    """A method under another name, or with other parameters, would be overridden by nobody and connect by itself."""
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def imap_client(connection: ScriptedConnection, *, greeted: bool = False) -> imapclient.IMAPClient:
    return imap_login._Client(connection, deque([b""], maxlen=1), greeted=greeted)  # type: ignore[arg-type]


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> socket.socket:
        raise AssertionError("the library connects by itself")

    monkeypatch.setattr(socket, "create_connection", refuse)


class TestImapclient:
    def test_it_uses_the_connection_that_it_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        no_network(monkeypatch)
        with scripted(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n") as connection:
            client = imap_client(connection)
            assert isinstance(client._imap, imap_login._Imap4)
            assert client.socket() is connection.socket

    def test_capabilities_of_the_greeting_save_a_round_trip(self) -> None:
        with scripted(b"* OK [CAPABILITY IMAP4rev1 auth=plain] ready\r\n") as connection:
            assert imap_client(connection).capabilities() == (b"IMAP4REV1", b"AUTH=PLAIN")
            assert connection.sent == []

    def test_without_them_imaplib_asks(self) -> None:
        with scripted(b"* OK ready\r\n", b"* CAPABILITY IMAP4rev1 ID\r\n", b"TAG OK done\r\n") as connection:
            assert imap_client(connection).capabilities() == (b"IMAP4REV1", b"ID")
            assert [line.split()[1] for line in connection.sent] == [b"CAPABILITY"]

    def test_after_starttls_it_gets_a_greeting_that_nobody_sent(self) -> None:
        with scripted(b"* CAPABILITY IMAP4rev1\r\n", b"TAG OK done\r\n") as connection:
            assert imap_client(connection, greeted=True).capabilities() == (b"IMAP4REV1",)

    def test_new_capabilities_after_the_login_are_taken(self) -> None:
        answers = (b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n", b"TAG OK [CAPABILITY IMAP4rev1 UIDPLUS] in\r\n")
        with scripted(b"* OK [CAPABILITY IMAP4rev1] ready\r\n", *answers) as connection:
            client = imap_client(connection)
            client.login("user", PASSWORD)
            assert b"UIDPLUS" in client.capabilities()
            assert [line.split()[1] for line in connection.sent] == [b"LOGIN"]

    @pytest.mark.parametrize(("silent", "lines"), [(True, False), (False, True)])
    def test_it_logs_every_line_unless_told_not_to(
        self, caplog: pytest.LogCaptureFixture, *, silent: bool, lines: bool
    ) -> None:
        """`_imap.debug` is what tells it; were it not, making the lines for the log would cost more than the login."""
        caplog.set_level(logging.DEBUG)
        with scripted(b"* OK [CAPABILITY IMAP4rev1] ready\r\n", b"TAG OK in\r\n") as connection:
            client = imap_client(connection)
            assert client._imap.debug == 0
            if not silent:
                client._imap.debug = 5
            client.login("user", PASSWORD)
        assert any("LOGIN" in record.getMessage() for record in caplog.records) is lines
        if silent:
            assert PASSWORD not in caplog.text


class TestPoplib:
    def test_it_uses_the_connection_that_it_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a socket and its file, only what `_Socket` has: anything more would be an AttributeError."""
        no_network(monkeypatch)
        list_of_names = (b"+OK names\r\n", b"UIDL\r\n", b"PIPELINING\r\n", b".\r\n")
        with scripted(b"+OK ready\r\n", b"+OK\r\n", b"+OK in\r\n", *list_of_names) as connection:
            client = pop3_session._Pop3(connection)  # type: ignore[arg-type]
            assert client.getwelcome() == b"+OK ready"
            assert client.user("user") == b"+OK" and client.pass_(PASSWORD) == b"+OK in"
            assert set(client.capa()) == {"UIDL", "PIPELINING"}
            assert connection.sent == [b"USER user\r\n", f"PASS {PASSWORD}\r\n".encode(), b"CAPA\r\n"]

    def test_a_refusal_is_its_error_with_the_line(self) -> None:
        with (
            scripted(b"-ERR too many connections\r\n") as connection,
            pytest.raises(poplib.error_proto, match="too many connections"),
        ):
            pop3_session._Pop3(connection)  # type: ignore[arg-type]


def test_what_is_relied_on_is_what_is_used() -> None:
    """Every private member of these libraries that the sessions name is one that a test above is about."""
    import ast

    known = {"_create_IMAP4", "_get_capabilities", "_imap", "_create_socket"}
    for module, owners in (
        (imap_login, (imaplib.IMAP4, imapclient.IMAPClient)),
        (pop3_session, (poplib.POP3,)),
    ):
        tree = ast.parse(inspect.getsource(module))
        named = {one.attr for one in ast.walk(tree) if isinstance(one, ast.Attribute)}
        named |= {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
        theirs = {
            name for owner in owners for name in (*dir(owner), "_imap", "_mesg", "_cached_capabilities")
        }
        private = {name for name in named & theirs if name.startswith("_") and not name.startswith("__")}
        assert private <= known, private - known
