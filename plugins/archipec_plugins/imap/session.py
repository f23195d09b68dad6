"""Opens a session: a connection, TLS, and a login (`archipec_plugins.imap.login`)."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from archipec.errors import ConfigError, TransientError
from archipec_plugins.imap.commands import CommandChannel
from archipec_plugins.net.account import IMAP, Account
from archipec_plugins.net.connection import Connection, connect, tls_context
from archipec_plugins.net.masking import Mask


@dataclass(frozen=True, slots=True)
class ImapSession:
    """A connection that is logged in.

    Attributes:
        capabilities: in upper case.
    """

    connection: Connection
    channel: CommandChannel
    capabilities: frozenset[str]

    def close(self) -> None:
        """Log out without waiting for the answer, which would cost a round trip and say nothing."""
        with contextlib.suppress(TransientError):
            self.connection.send(b"Z LOGOUT\r\n")
        self.connection.close()


def open_session(account: Account) -> ImapSession:
    """Connect and log in, once.

    Raises:
        ConfigError: there is no password.
        AuthError: the login is refused.
        PermanentError: no TLS that can be trusted, or no login by password.
        TransientError: the server can't be reached, or is not available now.
    """
    if account.password is None:
        raise ConfigError(f"no password for {account.user}", hint="give it in the option password")
    password = account.password.reveal()
    mask = Mask(account.user, password)
    with ThreadPoolExecutor(2) as pool:
        # The connection is made while the system's certificates are loaded and imapclient is imported: each takes
        # some 25 ms, and none needs another.
        connecting = pool.submit(connect, account.host, account.port, account.timeout, IMAP, mask)
        loading = pool.submit(tls_context, account.ca_file)
        from archipec_plugins.imap.login import ask_for_tls, log_in

        try:
            context = loading.result()
        except BaseException:
            if connecting.exception() is None:
                connecting.result().close()
            raise
    connection = connecting.result()
    try:
        if account.scheme == "imap":
            ask_for_tls(connection)
        connection.start_tls(context)
        capabilities = log_in(connection, account, password)
    except BaseException:
        connection.close()
        raise
    channel = CommandChannel(connection)
    if "ID" in capabilities:
        channel.identify()
    return ImapSession(connection, channel, capabilities)
