"""What is said before a session begins: STARTTLS, greeting and login, these two by imapclient on a connection that others
go on with.
"""

from __future__ import annotations

import imaplib
import math
import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import imapclient

from archipec.errors import ArchipecError, AuthError, PermanentError, Scope
from archipec_plugins.imap.commands import TRANSIENT_CODES, CommandChannel, response_text
from archipec_plugins.imap.grammar import StatusResponse, parse_status
from archipec_plugins.net.account import Account, crowded, is_crowded
from archipec_plugins.net.connection import Connection

# Bytes that imaplib may read in a session: it keeps all of them.
_BUDGET: Final = 1024 * 1024
# What LOGIN takes as it stands (RFC 9051 §9): imaplib quotes the password, not the user.
_ATOM = re.compile(r"[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]+")
_PRINTABLE = re.compile(r"[ -~]*")
_LOGIN_HINT = (
    "check user and password; many PEC providers want a password made for mail programs,"
    " and IMAP allowed in the webmail's settings"
)


def ask_for_tls(connection: Connection) -> None:
    """STARTTLS (RFC 9051 §6.2.1), before anything else is said."""
    line = connection.greeting()
    greeting = parse_status(connection.mask(line))
    if greeting is None:
        raise connection.wrong_protocol(line)
    if greeting.word == "BYE":
        raise _not_serving(connection, greeting)
    batch = CommandChannel(connection).begin()
    # A server that takes us for logged in already would have us skip TLS: it answers BAD here.
    (tag,) = batch.send(b"STARTTLS")
    for _ in batch.answers(tag, f"{connection} does not offer TLS", Scope.ENDPOINT):
        pass


def log_in(connection: Connection, account: Account, password: str) -> frozenset[str]:
    """Let imapclient greet and log in; return the capabilities there are afterwards."""
    heard: deque[bytes] = deque([b""], maxlen=1)
    try:
        client = _Client(connection, heard, greeted=account.scheme == "imap")
        offered: tuple[bytes, ...] = client.capabilities()
        _authenticate(client, account, password, offered)
        names: tuple[bytes, ...] = client.capabilities()
        if b"ID" in offered:
            names += (b"ID",)
    except ArchipecError:
        raise
    except Exception:  # noqa: BLE001
        # imaplib trusts servers: what they say can make it raise anything, with the words in it.
        raise _failure(connection, account.user, heard[0]) from None
    return frozenset(word.decode("ascii", "replace") for word in names)


def _authenticate(
    client: imapclient.IMAPClient, account: Account, password: str, offered: tuple[bytes, ...]
) -> None:
    login = b"LOGINDISABLED" not in offered
    plain = b"AUTH=PLAIN" in offered
    if not login and not plain:
        raise PermanentError(f"{account.host} takes no passwords", hint="ask the provider for another way in")
    if login and _ATOM.fullmatch(account.user) and _PRINTABLE.fullmatch(password):
        client.login(account.user, password)
    elif plain:
        client.plain_login(account.user, password)
    else:
        raise PermanentError(
            f"{account.host} takes only plain letters, digits and signs in user and password",
            hint="choose such a password",
        )


def _failure(connection: Connection, user: str, line: bytes) -> ArchipecError:
    """Return the error for the line after which imaplib gave up."""
    status = parse_status(connection.mask(line))
    if status is None or status.word not in ("NO", "BAD", "BYE"):
        return connection.wrong_protocol(line)
    if status.tag == b"*":
        return _not_serving(connection, status)
    if status.code in ("LIMIT", "INUSE") or is_crowded(status.text.decode("utf-8", "replace")):
        return crowded(connection, user, response_text(status))
    if status.code in TRANSIENT_CODES:
        return connection.close_with(f"{connection} is not accepting logins now: {response_text(status)}")
    return AuthError(f"{connection} refused the login of {user}: {response_text(status)}", hint=_LOGIN_HINT)


def _not_serving(connection: Connection, status: StatusResponse) -> ArchipecError:
    if is_crowded(status.text.decode("utf-8", "replace")):
        return crowded(connection, "this computer", response_text(status))
    return connection.close_with(f"{connection} is not available now: {response_text(status)}")


class _Imap4(imaplib.IMAP4):
    """imaplib on a connection, by the methods that are there to be overridden (as `imaplib.IMAP4_stream` does)."""

    def __init__(self, connection: Connection, heard: deque[bytes], *, greeted: bool) -> None:
        self._connection = connection
        self._heard = heard
        self._left = _BUDGET
        # There is no second greeting after STARTTLS, but imaplib waits for one.
        self._greeting = b"* OK\r\n" if greeted else b""
        super().__init__(connection.host, connection.port)

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        del timeout
        self.host, self.port, self.sock = host, port, self._connection.socket

    def read(self, size: int) -> bytes:
        self._spend(size)
        return self._connection.read(size)

    def readline(self) -> bytes:
        line = self._greeting or self._connection.readline()
        self._greeting = b""
        self._spend(len(line))
        self._heard.append(line)
        return line

    def send(self, data: Any) -> None:
        self._connection.send(data)

    def shutdown(self) -> None:
        self._connection.close()

    def _get_capabilities(self) -> None:
        # Told in most greetings: that saves a round trip.
        names = self.response("CAPABILITY")[1][-1]
        if isinstance(names, bytes):
            self.capabilities = tuple(names.decode("ascii", "replace").upper().split())
        else:
            super()._get_capabilities()  # type: ignore[misc]  # not in typeshed

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self._connection.close_with(
                f"{self._connection} answers a login with more than {_BUDGET} bytes", retry_after=math.inf
            )


class _Client(imapclient.IMAPClient):  # type: ignore[misc]  # has no types
    """imapclient on a connection."""

    def __init__(self, connection: Connection, heard: deque[bytes], *, greeted: bool) -> None:
        self._make: Callable[[], imaplib.IMAP4] = lambda: _Imap4(connection, heard, greeted=greeted)
        super().__init__(connection.host, timeout=connection.socket.gettimeout())
        # imapclient makes imaplib format and log every line.
        self._imap.debug = 0

    def _create_IMAP4(self) -> imaplib.IMAP4:  # noqa: N802
        return self._make()
