"""One connection to a server: bytes in lines and counted blocks, over TLS, and what can go wrong with it."""

from __future__ import annotations

import math
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from archipec.durability import read_named
from archipec.errors import ArchipecError, PermanentError, TransientError, from_os_error
from archipec.language import _
from archipec_plugins.net.account import MailProtocol
from archipec_plugins.net.inbound import Inbound
from archipec_plugins.net.masking import Mask
from archipec_plugins.net.pace import Chatter, Pace, PacedReader, TooSlow
from archipec_plugins.net.tls import TlsSocket

MAX_LINE = 64 * 1024
"""Bytes of the longest line a server may send: no answer to what is asked here comes near it."""

GREETING_PATIENCE = 3.0
"""Seconds without a greeting after which a server is asked whether it waits for TLS."""

_AT_ONCE = 128 * 1024
_SHOWN = 120
_PROBE = 5.0
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
)
_NO_TIMEOUT = 86400.0
_OTHERS = (
    (re.compile(rb"\+OK\b"), "POP3"),
    (re.compile(rb"\* (?:OK|BYE|PREAUTH)\b"), "IMAP"),
    (re.compile(rb"220[ -].*SMTP", re.IGNORECASE), "SMTP"),
)


def printable(data: bytes) -> str:
    """Return what a server said as one short line that is safe to show."""
    text = data.strip().decode("utf-8", "replace")
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


class Connection:
    """The connection. Once it has failed it is closed, and every further call raises the same again.

    Args:
        sock: connected, its timeout set.
        host: the server's name, for TLS and for messages.
        port: for messages.
        protocol: that is spoken; for messages.
        pace: how long to wait for what; the socket's timeout, unless given.

    Attributes:
        mask: hides secrets in what the server says before it is shown.
        inbound: what has come and is not used up yet.
        secure: TLS has begun.
    """

    def __init__(
        self, sock: socket.socket, host: str, port: int, protocol: MailProtocol, pace: Pace | None = None
    ) -> None:
        self.mask = Mask("", "")
        self.pace = pace or Pace(sock.gettimeout() or _NO_TIMEOUT)
        self.host = host
        self.port = port
        self.protocol = protocol
        self.socket = sock
        self.secure = False
        self.inbound = Inbound(PacedReader(sock, sock.recv_into, self.pace))
        self._send: Callable[[bytes], None] = sock.sendall
        self._failure: TransientError | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def readline(self) -> bytes:
        """Return the next line, CRLF included.

        Raises:
            TransientError: the connection is cut or silent, or the line never ends.
        """
        inbound = self.inbound
        looked_through = 0
        while (end := inbound.data.find(b"\n", inbound.at + looked_through, inbound.end)) < 0:
            looked_through = inbound.end - inbound.at
            if looked_through >= MAX_LINE:
                raise self.protocol_error(inbound.take(MAX_LINE))
            self.more()
        line = inbound.take(end + 1 - inbound.at)
        if line.endswith(b"\r\n") and len(line) <= MAX_LINE:
            return line
        raise self.protocol_error(line[:MAX_LINE])

    def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes.

        Raises:
            TransientError: the connection is cut or silent.
        """
        if size > _AT_ONCE:
            return b"".join(self.read(min(_AT_ONCE, size - at)) for at in range(0, size, _AT_ONCE))
        inbound = self.inbound
        while inbound.end - inbound.at < size:
            self.more()
        return inbound.take(size)

    def more(self) -> None:
        """Wait until more is in `inbound`.

        Raises:
            TransientError: the connection is cut or silent.
        """
        try:
            size = self.inbound.more()
        except (OSError, ValueError) as error:
            raise self._lost(error) from error
        if not size:
            raise self._lost()

    def send(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            TransientError: the connection is cut or stuck.
        """
        try:
            self.pace.begin()
            self._send(data)
        except (OSError, ValueError) as error:
            raise self._lost(error) from error

    def greeting(self, *, patience: float | None = None) -> bytes:
        """Return the first line, the server's greeting on a connection in the clear.

        A server that waits for TLS to begin says nothing: after a few seconds without a word, another connection asks
        it for TLS.

        Args:
            patience: seconds until then; `GREETING_PATIENCE`, unless given.

        Raises:
            PermanentError: the server speaks TLS on this port from the start.
            TransientError: the connection is cut or silent.
        """
        patience = min(GREETING_PATIENCE if patience is None else patience, self.pace.timeout / 2)
        self.socket.settimeout(patience)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            if speaks_tls(self.host, self.port, min(self.pace.timeout, _PROBE)):
                self.close()
                direct, upgraded = self.protocol.ports
                raise PermanentError(
                    _("{connection} does not greet: it speaks TLS from the start on this port").format(
                        connection=self
                    ),
                    hint=_(
                        "use {direct}:// in place of {upgraded}://, or the port for {upgrade}, usually {ports}"
                    ).format(
                        direct=direct,
                        upgraded=upgraded,
                        upgrade=self.protocol.upgrade,
                        ports=self.protocol.ports[upgraded],
                    ),
                ) from None
        except OSError as error:
            raise self._lost(error) from error
        finally:
            if self._failure is None and self.socket.fileno() >= 0:
                self.socket.settimeout(self.pace.timeout)
        return self.readline()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on over TLS.

        Raises:
            PermanentError: the certificate isn't good for this host, or the server speaks no TLS.
            TransientError: the connection is cut or silent.
        """
        try:
            secure = TlsSocket(self.socket, context, self.host)
        except (OSError, ValueError) as error:
            raise _no_tls(error, self) from error
        # What came in the clear behind the go-ahead is dropped: an attacker may have put it there (CVE-2011-0411).
        self.inbound.begin_anew(PacedReader(self.socket, secure.recv_into, self.pace))
        self._send = secure.sendall
        self.secure = True

    def answered(self) -> None:
        """Say that a question is answered: the time to wait for the next answer begins anew."""
        self.pace.begin()

    def useful(self) -> None:
        """Say that something came that was asked for."""
        self.pace.useful()

    def useless(self, size: int) -> None:
        """Say that the last ``size`` bytes were not asked for.

        Raises:
            TransientError: the server goes on and on like this.
        """
        try:
            self.pace.useless(size)
        except Chatter as error:
            raise self._lost(error) from None

    def close_with(self, reason: str, *, hint: str = "", retry_after: float | None = None) -> TransientError:
        """Close the connection and return the error that says why it is of no more use."""
        if self._failure is None:
            self._failure = TransientError(reason, hint=hint, retry_after=retry_after)
            self.close()
        first = self._failure
        return TransientError(first.message, hint=first.hint, retry_after=first.retry_after)

    def protocol_error(self, data: bytes) -> TransientError:
        """Close the connection and return the error for bytes that have no place in the protocol."""
        return self.close_with(
            _('{connection} sent something that is not {name}: "{data}"').format(
                connection=self, name=self.protocol.name, data=self.printable(data)
            )
        )

    def wrong_protocol(self, line: bytes) -> ArchipecError:
        """Close the connection and return the error for a first line that is not of the protocol.

        One that is of another protocol tells that the port is the wrong one, and that trying again is of no use.
        """
        spoken = next((name for begins, name in _OTHERS if begins.match(line)), None)
        if spoken in (None, self.protocol.name):
            return self.protocol_error(line)
        self.close()
        ports = " and ".join(
            _("{port} for {scheme}://").format(port=port, scheme=scheme)
            for scheme, port in self.protocol.ports.items()
        )
        return PermanentError(
            _("{connection} speaks {spoken}, not {name}").format(
                connection=self, spoken=spoken, name=self.protocol.name
            ),
            hint=_("check the port: usually {ports}").format(ports=ports)
            + (
                _("; or use {spoken}s:// in the URL").format(spoken=spoken.lower())
                if spoken in ("IMAP", "POP3")
                else ""
            ),
        )

    def printable(self, data: bytes) -> str:
        """Return what the server said as one short line that is safe to show, secrets hidden."""
        return printable(self.mask(data))

    def close(self) -> None:
        """Close the connection at once."""
        self.inbound.begin_anew(_closed)
        self.socket.close()

    def _lost(self, error: Exception | None = None) -> TransientError:
        if error is None:
            return self.close_with(_("{connection} closed the connection").format(connection=self))
        if isinstance(error, TooSlow):
            return self.close_with(
                _("{connection} has sent almost nothing of use for {seconds} seconds").format(
                    connection=self, seconds=f"{self.pace.timeout:g}"
                ),
                retry_after=math.inf,
            )
        if isinstance(error, Chatter):
            return self.close_with(
                _("{connection} goes on sending what it was not asked for, and does not answer").format(
                    connection=self
                ),
                retry_after=math.inf,
            )
        if isinstance(error, TimeoutError):
            return self.close_with(_silent(self, self.pace.timeout))
        return self.close_with(
            _("the connection to {connection} broke: {reason}").format(connection=self, reason=_reason(error))
        )


def _silent(connection: object, seconds: float) -> str:
    return _("{connection} has not answered for {seconds} seconds").format(
        connection=connection, seconds=f"{seconds:g}"
    )


def connect(
    host: str, port: int, timeout: float, protocol: MailProtocol, mask: Mask | None = None
) -> Connection:
    """Connect, in the clear so far.

    Args:
        timeout: seconds, for connecting and then for each wait.
        protocol: that will be spoken.
        mask: hides secrets in what the server says.

    Raises:
        TransientError: the host is unknown or can't be reached.
    """
    try:
        sock = socket.create_connection((host, port), timeout)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise TransientError(
                _("host {host} can't be looked up now: {reason}").format(host=host, reason=_reason(error))
            ) from error
        raise _unknown(host) from error
    except UnicodeError as error:
        raise _unknown(host) from error
    except TimeoutError as error:
        raise TransientError(_silent(f"{host}:{port}", timeout)) from error
    except OSError as error:
        raise TransientError(
            _("{host}:{port} can't be reached: {reason}").format(host=host, port=port, reason=_reason(error))
        ) from error
    # Commands are short and many: none may wait for the answer to the one before.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection(sock, host, port, protocol)
    if mask is not None:
        connection.mask = mask
    return connection


def speaks_tls(host: str, port: int, timeout: float) -> bool:
    """Tell whether a server answers a TLS handshake; nothing is said to it."""
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), timeout) as sock,
            context.wrap_socket(sock, server_hostname=host),
        ):
            return True
    except ssl.SSLCertVerificationError:
        # A certificate, trusted or not, comes by TLS alone.
        return True
    except ssl.SSLError as error:
        # A refusal by TLS comes from a server that speaks it.
        return "alert" in _reason(error)
    except (OSError, ValueError):
        return False


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and those in ``ca_file``.

    Raises:
        PermanentError: ``ca_file`` can't be used.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        hint = _("ca_file names a file of certificates in PEM format")
        try:
            read_named(ca_file, 0)  # OpenSSL would wait for a pipe
            context.load_verify_locations(ca_file)
        except ssl.SSLError as error:
            raise PermanentError(
                _("{ca_file}: no certificates in it").format(ca_file=ca_file), hint=hint
            ) from error
        except OSError as error:
            raise PermanentError(from_os_error(error, ca_file).message, hint=hint) from error
    return context


def _unknown(host: str) -> TransientError:
    return TransientError(
        _("host {host} is unknown").format(host=host),
        hint=_("check its spelling and the network"),
        retry_after=math.inf,
    )


def _no_tls(error: Exception, connection: Connection) -> ArchipecError:
    """Say why a TLS handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return PermanentError(
            _("the certificate of {connection} is not trusted: {reason}").format(
                connection=connection, reason=error.verify_message.lower().rstrip(".")
            ),
            hint=_("check the host's name; ca_file adds an authority that this computer does not know"),
        )
    if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        (direct, port), (upgraded, _ignored) = connection.protocol.ports.items()
        hint = _("check the port: {items}").format(
            items=", ".join(
                _("{port} for {scheme}").format(port=port, scheme=scheme)
                for scheme, port in connection.protocol.ports.items()
            )
        )
        if error.reason in _NOT_TLS:
            hint = _(
                "this port begins in the clear: use {upgraded}:// in place of {direct}://, or the port "
                "for TLS, usually {port}"
            ).format(upgraded=upgraded, direct=direct, port=port)
        return PermanentError(
            _("no TLS with {connection}: {reason}").format(connection=connection, reason=_reason(error)),
            hint=hint,
        )
    if isinstance(error, TimeoutError):
        return connection.close_with(
            _("{connection} has not answered while TLS began").format(connection=connection)
        )
    return connection.close_with(
        _("the connection to {connection} broke while TLS began: {reason}").format(
            connection=connection, reason=_reason(error)
        )
    )


def _closed(_buffer: memoryview) -> int:
    raise ValueError(_("the connection is closed"))


def _reason(error: Exception) -> str:
    """The words of an operating system's or OpenSSL's error, without its numbers."""
    text = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(text).lower().replace("_", " ").rstrip(".")
