"""The connection to a POP3 server: the IMAP source's, read as far as bytes have come."""

from __future__ import annotations

import ssl
from typing import Final

from archipec.errors import PermanentError, TransientError
from archipec_plugins.sources.imap.wire import Wire as ImapWire
from archipec_plugins.sources.imap.wire import connect as imap_connect
from archipec_plugins.sources.imap.wire import printable

__all__ = ["Wire", "connect"]

_CHUNK: Final = 64 * 1024


class Wire(ImapWire):
    """A connection; see `archipec_plugins.sources.imap.wire.Wire`."""

    def read_some(self) -> bytes:
        """Return what has come, waiting until that is at least one byte.

        Raises:
            TransientError: the connection is cut or silent.
        """
        try:
            data = self._reader.read1(_CHUNK)
        except (OSError, ValueError) as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost()
        return data

    def garbled(self, data: bytes) -> TransientError:
        """Close the connection and return the error for bytes that have no place in the protocol."""
        return self.fail(f'{self} sent what is no POP3: "{printable(data)}"')

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on over TLS; raises as its base does."""
        try:
            super().start_tls(context)
        except PermanentError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise
            hint = "check the port: 995 for pop3s, 110 for pop3"
            raise PermanentError(error.message, hint=hint) from error.__cause__


def connect(host: str, port: int, timeout: float) -> Wire:
    """Connect, in the clear so far.

    Args:
        timeout: seconds, for connecting and then for each wait.

    Raises:
        TransientError: the host is unknown or can't be reached.
    """
    return Wire(imap_connect(host, port, timeout).socket, host, port)
