"""A provider's drop folder over FTP with implicit TLS (RFC 959; TLS from the first byte, as on port 990).

ftplib does nearly all of it. It knows only explicit TLS (RFC 4217), so the socket is wrapped as soon as it is there;
and data connections resume the session of the control connection, which servers ask for to make sure that both come
from the same client (ProFTPD and vsftpd by default). asyncio's TLS, and with it aioftp, can't do that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from archipec.conservation.dropfolder import DROP_OPTIONS, DropProvider
from archipec.conservation.sink import conservation_sink
from archipec.contract import Context, Option, SinkType
from archipec.errors import ArchipecError, AuthError, PermanentError, Scope, TransientError
from archipec.hookspecs import hookimpl
from archipec.language import N_, _
from archipec_plugins.conservation.server import (
    CA_FILE,
    address,
    check_number,
    check_server,
    lost,
    of_this_file,
    parse_with,
    password_of,
    server_options,
    server_url,
    tls_context,
)

if TYPE_CHECKING:
    import ftplib

_PORT: Final = 990
_AT_ONCE: Final = 64 * 1024
_FULL: Final = ("452", "552")


class FTPSFolder:
    """A folder on an FTP server; see `archipec.conservation.dropfolder.RemoteFolder`.

    Args:
        ftp: logged in, its working directory being the folder.
        where: the server, for messages.
    """

    def __init__(self, ftp: ftplib.FTP_TLS, where: str) -> None:
        self._ftp = ftp
        self._where = where
        self._home = self._do("", ftp.pwd)

    def names(self, folder: str) -> Iterable[str]:
        """Return the names in a folder."""
        import ftplib

        names: list[str] = []

        def take(line: str) -> None:
            check_number(len(names), self._where)
            names.append(_read(line).replace("\\", "/").rpartition("/")[2])

        try:
            # From inside: NLST of a folder that is not there may be an empty list, or its name.
            self._ftp.cwd(folder or self._home)
        except ftplib.error_perm as error:
            if _code(error) == "550":
                return []
            raise self._failed(error, folder) from error
        except _errors() as error:
            raise self._failed(error, folder) from error
        try:
            self._ftp.retrlines("NLST", take)
        except ftplib.error_perm as error:
            # So do some servers say that it is empty.
            if _code(error) != "550":
                raise self._failed(error, folder) from error
        except _errors() as error:
            raise self._failed(error, folder) from error
        self._do(folder, self._ftp.cwd, self._home)
        return names

    def make(self, folder: str) -> None:
        """Make a folder and those above it."""
        import ftplib

        for depth in range(folder.count("/") + 1):
            part = "/".join(folder.split("/")[: depth + 1])
            try:
                self._ftp.mkd(part)
            except ftplib.error_perm:
                # Refused, or there already: then it can be entered.
                self._do(part, self._ftp.cwd, part)
                self._do(part, self._ftp.cwd, self._home)
            except _errors() as error:
                raise self._failed(error, part) from error

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a file and have its size confirmed."""
        import ssl

        size = 0
        try:
            self._ftp.voidcmd("TYPE I")
            with self._ftp.transfercmd(f"STOR {path}") as data:
                for chunk in chunks:
                    data.sendall(chunk)
                    size += len(chunk)
                # Without close_notify the server can't tell the end from a broken connection.
                assert isinstance(data, ssl.SSLSocket)
                data.unwrap()
            self._ftp.voidresp()
            arrived = self._ftp.size(path)
        except _errors() as error:
            raise self._failed(error, path) from error
        if arrived != size:
            raise TransientError(
                _("{where} has {arrived} of the {size} bytes of {path}").format(
                    where=self._where, arrived=arrived, size=size, path=path
                ),
                scope=Scope.MESSAGE,
            )

    def rename(self, old: str, new: str) -> None:
        """Rename a file or folder."""
        self._do(new, self._ftp.rename, old, new)

    def read(self, path: str, limit: int) -> bytes:
        """Return the bytes of a file, at most ``limit`` and one more."""
        import ftplib

        content = bytearray()
        try:
            self._ftp.voidcmd("TYPE I")
            with self._ftp.transfercmd(f"RETR {path}") as data:
                while len(content) <= limit and (chunk := data.recv(min(_AT_ONCE, limit + 1 - len(content)))):
                    content += chunk
            if len(content) <= limit:
                self._ftp.voidresp()
            else:
                # The server says that its transfer was cut off; some then end the session.
                with suppress(*_errors()):
                    self._ftp.voidresp()
        except ftplib.error_perm as error:
            if _code(error) == "550":
                raise TransientError(
                    _("{path} is gone from {where}, or is not a file that may be read: {words}").format(
                        path=path, where=self._where, words=_words(error)
                    ),
                    scope=Scope.MESSAGE,
                ) from error
            raise of_this_file(self._failed(error, path)) from error
        except _errors() as error:
            raise self._failed(error, path) from error
        return bytes(content)

    def _do(self, path: str, command: Callable[..., Any], *arguments: str) -> Any:
        try:
            return command(*arguments)
        except _errors() as error:
            raise self._failed(error, path) from error

    def _failed(self, error: Exception, path: str) -> ArchipecError:
        import ftplib

        code = _code(error)
        if code in _FULL:
            return TransientError(
                _("no room left on {where} for {path}").format(where=self._where, path=path),
                hint=_("its disk or quota is full"),
                retry_after=math.inf,
            )
        if isinstance(error, ftplib.error_perm):
            return PermanentError(
                _("{where} refused {path}: {words}").format(
                    where=self._where, path=path or _("its folder"), words=_words(error)
                ),
                hint=_("check the path and the login's rights"),
            )
        if isinstance(error, ftplib.Error):
            return TransientError(
                _("{where} could not do this with {path}: {words}").format(
                    where=self._where, path=path, words=_words(error)
                )
            )
        return lost(error, self._where)


def _errors() -> tuple[type[Exception], ...]:
    import ftplib

    return (*ftplib.all_errors, ValueError)


def _code(error: Exception) -> str:
    return str(error)[:3]


def _words(error: Exception) -> str:
    from archipec_plugins.net.connection import printable

    return printable(str(error).encode("utf-8", "replace"))


def _written(text: str) -> str:
    """Return a text that ftplib, set to ISO-8859-1, writes as UTF-8 (RFC 2640)."""
    return text.encode().decode("latin-1")


def _read(text: str) -> str:
    """Return what ftplib has read as ISO-8859-1: so that a stray name never makes a listing unreadable."""
    return text.encode("latin-1").decode("utf-8", "replace")


def _client(context: Any, timeout: int) -> ftplib.FTP_TLS:
    import ftplib
    import socket
    import ssl

    class Implicit(ftplib.FTP_TLS):
        """TLS from the first byte, and one session for all connections."""

        _sock: socket.socket | None = None

        @property
        def sock(self) -> socket.socket | None:
            return self._sock

        @sock.setter
        def sock(self, value: socket.socket | None) -> None:
            if value is not None and not isinstance(value, ssl.SSLSocket):
                value = self.context.wrap_socket(value, server_hostname=self.host)
            self._sock = value

        def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
            # Plainly, and not as FTP_TLS would: that starts a session of its own.
            data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - over TLS
            assert isinstance(self.sock, ssl.SSLSocket)
            # Else the end of each file would wait for the acknowledgement of what was sent before (40 ms).
            data.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                return (
                    self.context.wrap_socket(data, server_hostname=self.host, session=self.sock.session),
                    size,
                )
            except BaseException:
                data.close()
                raise

    return Implicit(context=context, timeout=timeout, encoding="latin-1")


@contextmanager
def connected(config: Mapping[str, Any]) -> Iterator[FTPSFolder]:
    """Log in and give the configured folder.

    Raises:
        AuthError: login refused.
        PermanentError: the certificate is not trusted, or there is no such folder.
        TransientError: no connection.
    """
    import ftplib

    where = address(config)
    ftp = _client(tls_context(config), config["timeout"])
    try:
        try:
            ftp.connect(config["host"], config["port"])
        except _errors() as error:
            raise lost(error, where) from error
        try:
            # The connection is secure already: no AUTH TLS.
            ftp.login(_written(config["user"]), _written(password_of(config)), secure=False)
        except ftplib.error_perm as error:
            raise AuthError(
                _("{where} refused the login of {path}").format(where=where, path=config["user"]),
                hint=_("check the user and the password; the login is not tried again by itself"),
            ) from error
        except _errors() as error:
            raise lost(error, where) from error
        try:
            ftp.prot_p()
            if config["path"]:
                ftp.cwd(_written(config["path"]))
        except ftplib.error_perm as error:
            raise PermanentError(
                _("{where} has no folder {path}: {words}").format(
                    where=where, path=config["path"], words=_words(error)
                ),
                hint=_("check the path"),
            ) from error
        except _errors() as error:
            raise lost(error, where) from error
        yield FTPSFolder(ftp, where)
    finally:
        with suppress(*_errors()):
            ftp.close()


class FTPSDrop(DropProvider):
    """A provider's drop folder over FTP with implicit TLS."""

    name: ClassVar[str] = "ftps"
    summary: ClassVar[str] = N_("a provider's drop folder over FTP with implicit TLS")
    evidence: ClassVar[str] = N_("run against ProFTPD; not run against any provider's service")
    options: ClassVar[tuple[Option, ...]] = (
        *server_options(_PORT, N_("the folder, relative to where the login leads")),
        Option(name="password", help="where the password is", secret=True, required=True),
        CA_FILE,
        *DROP_OPTIONS,
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Any:
        return parse_with(super().parse, values, check_server(values))

    @classmethod
    def where(cls, config: Any) -> str:
        """Return the folder's URL."""
        return server_url(cls.name, config, _PORT)

    @classmethod
    @contextmanager
    def open(cls, config: Any, context: Context) -> Iterator[Self]:  # noqa: ARG003
        """Connect and log in."""
        with connected(config) as folder:
            yield cls(folder, config)


FTPS = conservation_sink(FTPSDrop)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the FTPS drop folder."""
    yield FTPS
