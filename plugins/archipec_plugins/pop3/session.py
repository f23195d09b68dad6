"""Opens a session: TLS, greeting and login, by poplib on a wire that others go on with."""

from __future__ import annotations

import contextlib
import math
import poplib
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final, cast

from archipec.errors import ArchipecError, AuthError, ConfigError, PermanentError, TransientError
from archipec_plugins.net.account import POP3, Account, crowded, is_crowded
from archipec_plugins.net.connection import Wire, connect, tls_context
from archipec_plugins.net.masking import Mask
from archipec_plugins.pop3.commands import Dialogue, response_code, words

__all__ = ["Session", "open_session"]

# Bytes that a server may say until the login is done: poplib keeps all of them.
_BUDGET: Final = 1024 * 1024
# How servers without response codes say [IN-USE].
_IN_USE: Final = re.compile(
    r"(maildrop|mail drop|mailbox|mail box|mailfile|spool)\b.*\b(lock|locked|in use|busy|open)\b"
    r"|\block\w*\b.*(maildrop|mail drop|mailbox|mail box)",
    re.IGNORECASE,
)
_LOGIN_HINT: Final = (
    "check user and password; many PEC providers want a password made for mail programs,"
    " and POP3 allowed in the webmail's settings"
)


@dataclass(frozen=True, slots=True)
class Session:
    """A connection that is logged in.

    Attributes:
        capabilities: names in upper case, without arguments; empty when the server doesn't tell.
    """

    wire: Wire
    dialogue: Dialogue
    capabilities: frozenset[str]

    def leave(self) -> None:
        """Take leave, and don't wait for the answer: it costs a round trip and tells nothing.

        Not for a session that has marked messages for deletion: QUIT is what deletes them.
        """
        with contextlib.suppress(TransientError):
            self.wire.send(b"QUIT\r\n")
        self.wire.close()


def open_session(account: Account) -> Session:
    """Connect and log in, once.

    Raises:
        ConfigError: there is no password.
        AuthError: the login is refused.
        PermanentError: no TLS that can be trusted, or a password that POP3 can't carry.
        TransientError: the server can't be reached, doesn't serve now, or the mailbox is in use.
    """
    context = tls_context(account.ca_file)
    if account.password is None:
        raise ConfigError(f"no password for {account.user}", hint="give it in the option password")
    password = account.password.reveal()
    if not password.isprintable():
        raise PermanentError(
            f"the password of {account.user} holds what no password can: a control character"
        )
    wire = connect(account.host, account.port, account.timeout, POP3, Mask(account.user, password))
    try:
        if account.scheme == "pop3":
            client = _greeted(wire)
            _ask_for_tls(wire)
            wire.start_tls(context)
        else:
            wire.start_tls(context)
            client = _greeted(wire)
        _log_in(wire, client, account.user, password)
        capabilities = _capabilities(client)
    except BaseException:
        wire.close()
        raise
    return Session(wire, Dialogue(wire), capabilities)


def _greeted(wire: Wire) -> poplib.POP3:
    try:
        return _Pop3(wire)
    except poplib.error_proto as error:
        line = _said(error)
        if not line.startswith(b"-ERR"):
            raise wire.misplaced(line) from None
        if is_crowded(words(line)):
            raise crowded(wire, "this computer", words(wire.mask(line))) from None
        raise wire.fail(f"{wire} doesn't serve now: {words(wire.mask(line))}") from None


def _ask_for_tls(wire: Wire) -> None:
    """STLS (RFC 2595 §4), before anything else is said."""
    wire.send(b"STLS\r\n")
    line = wire.readline()
    if not line.startswith(b"+OK"):
        raise PermanentError(f"{wire} offers no TLS: {words(wire.mask(line))}")


def _log_in(wire: Wire, client: poplib.POP3, user: str, password: str) -> None:
    steps: tuple[Callable[[], bytes], ...] = (lambda: client.user(user), lambda: client.pass_(password))
    for step in steps:
        try:
            step()
        except poplib.error_proto as error:
            raise _refused(wire, user, wire.mask(_said(error))) from None


def _refused(wire: Wire, user: str, line: bytes) -> ArchipecError:
    """Return the error for a login that was not answered +OK."""
    if not line.startswith(b"-ERR"):
        return wire.garbled(line)
    reason = words(line)
    match response_code(line):
        case "IN-USE":
            return _in_use(wire, user, reason)
        case "LOGIN-DELAY":
            return TransientError(f"{wire} wants a pause between logins: {reason}", retry_after=math.inf)
        case "SYS/TEMP":
            return TransientError(f"{wire} takes no login now: {reason}")
        case "SYS/PERM":
            return PermanentError(f"{wire} takes no login of {user}: {reason}", hint="ask the provider")
    if is_crowded(reason):
        return crowded(wire, user, reason)
    if _IN_USE.search(reason):
        return _in_use(wire, user, reason)
    return AuthError(f"{wire} refused the login of {user}: {reason}", hint=_LOGIN_HINT)


def _in_use(wire: Wire, user: str, reason: str) -> TransientError:
    return TransientError(
        f"{wire}: the mailbox of {user} is in use: {reason}",
        hint="another program has it open over POP3: many servers let in one at a time",
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
    """poplib on a wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(wire.host, wire.port)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        del timeout
        return cast("socket.socket", _Socket(self._wire))


class _Socket:
    """As much of a socket and its file as poplib uses."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._left = _BUDGET
        self._first = not isinstance(wire.socket, ssl.SSLSocket)

    def makefile(self, mode: str) -> IO[bytes]:
        del mode
        return cast("IO[bytes]", self)

    def readline(self, limit: int) -> bytes:
        del limit
        # In the clear, the first line is the greeting.
        line = self._wire.greeting() if self._first else self._wire.readline()
        self._first = False
        self._left -= len(line)
        if self._left < 0:
            raise self._wire.fail(
                f"{self._wire} answers a login with more than {_BUDGET} bytes", retry_after=math.inf
            )
        return line

    def sendall(self, data: Any) -> None:
        self._wire.send(data)
