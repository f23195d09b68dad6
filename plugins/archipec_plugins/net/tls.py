"""TLS on a connected socket, by few large reads.

`ssl.SSLSocket` asks the system twice for every record, once for its header and once for its content, and many servers
send records of 4 KiB. Here the system is asked for as much as has come, and records are decrypted out of memory.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

_T = TypeVar("_T")

_AT_ONCE: Final = 256 * 1024
_RECORD: Final = 16 * 1024


class TlsSocket:
    """As much of `ssl.SSLSocket` as a connection uses, with the same errors and timeouts.

    Args:
        sock: connected, its timeout set; nothing else reads or writes it from here on.
        context: decides what is trusted.
        host: whose certificate it must be.

    Raises:
        OSError: there is no TLS with the other side, or none that can be trusted.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._received = memoryview(bytearray(_AT_ONCE))
        self._ready = False  # there may be something to decrypt
        self._failure: ssl.SSLError | None = None
        try:
            self._carry_out(self._tls.do_handshake)
        except ssl.SSLError:
            # The alert tells the server why.
            with contextlib.suppress(OSError):
                self._flush()
            raise

    def recv_into(self, buffer: memoryview) -> int:
        """Read what has come, as far as the buffer has room; wait until that is at least one byte.

        Returns:
            How many bytes; 0 when the other side has closed the connection.
        """
        began = None
        while not self._ready or (size := self._decrypt(buffer)) is None:
            try:
                self._flush()
                began = self._receive(began)
            except ConnectionError:
                return 0
        return size

    def _decrypt(self, buffer: memoryview) -> int | None:
        """Decrypt the records that are here; return how many bytes: None when more must come first, 0 at the end."""
        if self._failure is not None:
            raise self._failure
        incoming, read = self._incoming, self._tls.read
        filled, room = 0, len(buffer)
        try:
            # With a buffer it returns how many bytes, whatever typeshed says.
            while size := read(room - filled, buffer[filled:]):
                filled += size  # type: ignore[operator]
                if filled == room:
                    break
                if not incoming.pending:
                    # Asked for what is not here, OpenSSL makes an error, which costs more than a record.
                    self._ready = False
                    break
        except ssl.SSLWantReadError:
            self._ready = False
            return filled or None
        except ssl.SSLEOFError:
            pass
        except ssl.SSLError as error:
            # What came before it is whole: the next call raises.
            self._failure = error
            if not filled:
                raise
        return filled

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``, each record within the timeout."""
        view = memoryview(data)
        sent = 0
        while sent < len(view):
            sent += self._carry_out(partial(self._tls.write, view[sent : sent + _RECORD]))

    def _carry_out(self, step: Callable[[], _T]) -> _T:
        """Do a step of TLS; where it needs answers of the other side, they must come within the timeout."""
        began = None
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                began = self._receive(began)
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())

    def _receive(self, began: float | None) -> float:
        """Wait for more. The timeout counts from ``began``, or from now; return from when."""
        now = time.monotonic()
        timeout = self._socket.gettimeout()
        if began is None or timeout is None:
            size = self._socket.recv_into(self._received)
        else:
            left = began + timeout - now
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            try:
                size = self._socket.recv_into(self._received)
            finally:
                self._socket.settimeout(timeout)
        if size:
            self._incoming.write(self._received[:size])
        else:
            self._incoming.write_eof()
        self._ready = True
        return now if began is None else began
