"""Opens a session: TLS, greeting and login, by poplib on a connection that others go on with."""

from __future__ import annotations

import contextlib
import math
import poplib
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final, cast

from archipec.errors import ArchipecError, AuthError, ConfigError, PermanentError, TransientError
from archipec.language import N_, _
from archipec_plugins.net.account import POP3, Account, crowded, is_crowded
from archipec_plugins.net.connection import Connection, connect, tls_context
from archipec_plugins.net.masking import Mask
from archipec_plugins.pop3.commands import Pop3Channel, response_code, response_text

# Bytes that a server may say until the login is done: poplib keeps all of them.
_BUDGET: Final = 1024 * 1024
# How servers without response codes say [IN-USE].
_IN_USE: Final = re.compile(
    r"(maildrop|mail drop|mailbox|mail box|mailfile|spool)\b.*\b(lock|locked|in use|busy|open)\b"
    r"|\block\w*\b.*(maildrop|mail drop|mailbox|mail box)",
    re.IGNORECASE,
)
_LOGIN_HINT: Final = N_(
    "check user and password; many PEC providers want a password made for mail programs, and "
    "POP3 allowed in the webmail's settings"
)


@dataclass(frozen=True, slots=True)
class Pop3Session:
    """A connection that is logged in.

    Attributes:
        capabilities: names in upper case, without arguments; empty when the server doesn't tell.
    """

    connection: Connection
    channel: Pop3Channel
    capabilities: frozenset[str]

    def leave(self) -> None:
        """Quit without waiting for the answer, which would cost a round trip and say nothing.

        Not for a session that has marked messages for deletion: QUIT is what deletes them.
        """
        with contextlib.suppress(TransientError):
            self.connection.send(b"QUIT\r\n")
        self.connection.close()


def open_session(account: Account) -> Pop3Session:
    """Connect and log in, once.

    Raises:
        ConfigError: there is no password.
        AuthError: the login is refused.
        PermanentError: no TLS that can be trusted, or a password that POP3 can't carry.
        TransientError: the server can't be reached, is not available now, or the mailbox is in use.
    """
    context = tls_context(account.ca_file)
    if account.password is None:
        raise ConfigError(
            _("no password for {user}").format(user=account.user), hint=_("give it in the option password")
        )
    password = account.password.reveal()
    if not password.isprintable():
        raise PermanentError(
            _("the password of {user} holds what no password can: a control character").format(
                user=account.user
            )
        )
    connection = connect(account.host, account.port, account.timeout, POP3, Mask(account.user, password))
    try:
        if account.scheme == "pop3":
            client = _greeted(connection)
            _ask_for_tls(connection)
            connection.start_tls(context)
        else:
            connection.start_tls(context)
            client = _greeted(connection)
        _log_in(connection, client, account.user, password)
        capabilities = _capabilities(client)
    except BaseException:
        connection.close()
        raise
    return Pop3Session(connection, Pop3Channel(connection), capabilities)


def _greeted(connection: Connection) -> poplib.POP3:
    try:
        return _Pop3(connection)
    except poplib.error_proto as error:
        line = _said(error)
        if not line.startswith(b"-ERR"):
            raise connection.wrong_protocol(line) from None
        if is_crowded(response_text(line)):
            raise crowded(connection, _("this computer"), response_text(connection.mask(line))) from None
        raise connection.close_with(
            _("{connection} is not available now: {answer}").format(
                connection=connection, answer=response_text(connection.mask(line))
            )
        ) from None


def _ask_for_tls(connection: Connection) -> None:
    """STLS (RFC 2595 §4), before anything else is said."""
    connection.send(b"STLS\r\n")
    line = connection.readline()
    if not line.startswith(b"+OK"):
        raise PermanentError(
            _("{connection} does not offer TLS: {answer}").format(
                connection=connection, answer=response_text(connection.mask(line))
            )
        )


def _log_in(connection: Connection, client: poplib.POP3, user: str, password: str) -> None:
    steps: tuple[Callable[[], bytes], ...] = (lambda: client.user(user), lambda: client.pass_(password))
    for step in steps:
        try:
            step()
        except poplib.error_proto as error:
            raise _refused(connection, user, connection.mask(_said(error))) from None


def _refused(connection: Connection, user: str, line: bytes) -> ArchipecError:
    """Return the error for a login that was not answered +OK."""
    if not line.startswith(b"-ERR"):
        return connection.protocol_error(line)
    reason = response_text(line)
    match response_code(line):
        case "IN-USE":
            return _in_use(connection, user, reason)
        case "LOGIN-DELAY":
            return TransientError(
                _("{connection} wants a pause between logins: {reason}").format(
                    connection=connection, reason=reason
                ),
                retry_after=math.inf,
            )
        case "SYS/TEMP":
            return TransientError(
                _("{connection} is not accepting logins now: {reason}").format(
                    connection=connection, reason=reason
                )
            )
        case "SYS/PERM":
            return PermanentError(
                _("{connection} does not accept the login of {user}: {reason}").format(
                    connection=connection, user=user, reason=reason
                ),
                hint=_("ask the provider"),
            )
    if is_crowded(reason):
        return crowded(connection, user, reason)
    if _IN_USE.search(reason):
        return _in_use(connection, user, reason)
    return AuthError(
        _("{connection} refused the login of {user}: {reason}").format(
            connection=connection, user=user, reason=reason
        ),
        hint=_LOGIN_HINT,
    )


def _in_use(connection: Connection, user: str, reason: str) -> TransientError:
    return TransientError(
        _("{connection}: the mailbox of {user} is in use: {reason}").format(
            connection=connection, user=user, reason=reason
        ),
        hint=_("another program has it open over POP3: many servers let in one at a time"),
    )


def _capabilities(client: poplib.POP3) -> frozenset[str]:
    """What the server offers now that the user is known (RFC 2449 §5)."""
    try:
        return frozenset(name.upper() for name in client.capa())
    except (poplib.error_proto, UnicodeDecodeError, IndexError):
        # No CAPA, or a list that poplib can't read: what is not offered isn't used.
        return frozenset()


def _said(error: poplib.error_proto) -> bytes:
    what = error.args[0] if error.args else b""
    return what if isinstance(what, bytes) else str(what).encode()


class _Pop3(poplib.POP3):
    """poplib on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        super().__init__(connection.host, connection.port)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        del timeout
        return cast("socket.socket", _Socket(self._connection))


class _Socket:
    """As much of a socket and its file as poplib uses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._left = _BUDGET
        self._first = not connection.secure

    def makefile(self, mode: str) -> IO[bytes]:
        del mode
        return cast("IO[bytes]", self)

    def readline(self, limit: int) -> bytes:
        del limit
        # In the clear, the first line is the greeting.
        line = self._connection.greeting() if self._first else self._connection.readline()
        self._first = False
        self._left -= len(line)
        if self._left < 0:
            raise self._connection.close_with(
                _("{connection} answers a login with more than {budget} bytes").format(
                    connection=self._connection, budget=_BUDGET
                ),
                retry_after=math.inf,
            )
        return line

    def sendall(self, data: Any) -> None:
        self._connection.send(data)
