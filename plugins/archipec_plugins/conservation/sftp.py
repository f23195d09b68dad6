"""A provider's drop folder over SFTP (draft-ietf-secsh-filexfer-02, as OpenSSH speaks it)."""

from __future__ import annotations

import math
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from archipec.conservation.dropfolder import DROP_OPTIONS, DropProvider
from archipec.conservation.sink import conservation_sink
from archipec.contract import Context, Option, SinkType, file_path
from archipec.errors import ArchipecError, AuthError, PermanentError, Scope, TransientError
from archipec.hookspecs import hookimpl
from archipec.language import N_, _
from archipec_plugins.conservation.server import (
    address,
    bounded,
    check_server,
    lost,
    of_this_file,
    parse_with,
    password_of,
    server_options,
    server_url,
)

if TYPE_CHECKING:
    import paramiko

_PORT: Final = 22


class SFTPFolder:
    """A folder on an SFTP server; see `archipec.conservation.dropfolder.RemoteFolder`.

    Args:
        base: the folder's path, relative to where the login leads.
        where: the server, for messages.
    """

    def __init__(self, client: paramiko.SFTPClient, base: str, where: str) -> None:
        self._client = client
        self._base = base
        self._where = where

    def check(self) -> None:
        """See that the folder is there.

        Raises:
            PermanentError: it is not.
        """
        try:
            self._client.stat(self._at(""))
        except Exception as error:
            raise self._failed(error, "") from error

    def names(self, folder: str) -> Iterable[str]:
        """Return the names in a folder."""
        try:
            entries = self._client.listdir_iter(self._at(folder))
            names = bounded((entry.filename for entry in entries), self._where)
            # It asks ahead: a server whose folder is changing may then give an entry twice.
            return list(dict.fromkeys(names))
        except FileNotFoundError:
            return []
        except UnicodeDecodeError as error:
            raise PermanentError(
                _("{where} has a name in {at} that is not UTF-8").format(
                    where=self._where, at=self._at(folder)
                ),
                hint=_("have it renamed"),
            ) from error
        except Exception as error:
            raise self._failed(error, folder) from error

    def make(self, folder: str) -> None:
        """Make a folder and those above it."""
        for depth in range(folder.count("/") + 1):
            part = "/".join(folder.split("/")[: depth + 1])
            try:
                self._client.mkdir(self._at(part))
            except Exception as error:
                # A server says no more than "failure" about a folder that is there.
                if not self._is_there(part):
                    raise self._failed(error, part) from error

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a file and have its size confirmed."""
        size = 0
        try:
            with self._client.open(self._at(path), "wb") as file:
                file.set_pipelined(True)
                for chunk in chunks:
                    file.write(chunk)
                    size += len(chunk)
            arrived = self._client.stat(self._at(path)).st_size
        except ArchipecError:
            raise
        except Exception as error:
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
        try:
            self._client.rename(self._at(old), self._at(new))
        except Exception as error:
            raise self._failed(error, new) from error

    def read(self, path: str, limit: int) -> bytes:
        """Return the bytes of a file, at most ``limit`` and one more."""
        try:
            # A server waits for who writes into a named pipe; and a link leads out of the folder.
            mode = self._client.lstat(self._at(path)).st_mode
            if mode is not None and not stat.S_ISREG(mode):
                raise PermanentError(
                    _("{at} on {where} is not a file: it is not opened").format(
                        at=self._at(path), where=self._where
                    ),
                    hint=_("have it removed"),
                    scope=Scope.MESSAGE,
                )
            with self._client.open(self._at(path), "rb") as file:
                return bytes(file.read(limit + 1))
        except FileNotFoundError as error:
            raise TransientError(
                _("{path} is gone from {where}").format(path=path, where=self._where), scope=Scope.MESSAGE
            ) from error
        except Exception as error:
            raise of_this_file(self._failed(error, path)) from error

    def _is_there(self, path: str) -> bool:
        try:
            self._client.stat(self._at(path))
        except FileNotFoundError:
            return False
        except Exception as error:
            raise self._failed(error, path) from error
        return True

    def _at(self, path: str) -> str:
        return posixpath.join(self._base, path) or "."

    def _failed(self, error: Exception, path: str) -> ArchipecError:
        import paramiko

        if isinstance(error, ArchipecError):
            return error
        if isinstance(error, PermissionError):
            return PermanentError(
                _("{where} does not permit this in {at}").format(where=self._where, at=self._at(path)),
                hint=_("check the path and the login's rights"),
            )
        if isinstance(error, FileNotFoundError):
            return PermanentError(
                _("{where} has no {at}").format(where=self._where, at=self._at(path)),
                hint=_("check the path"),
            )
        if (
            isinstance(error, OSError)
            and error.errno is None
            and not isinstance(error, (TimeoutError, EOFError))
        ):
            # SSH_FX_FAILURE: version 3 of the protocol has no code for a full disk.
            return TransientError(
                _("{where} can't do this with {at}: {error}").format(
                    where=self._where, at=self._at(path), error=str(error).lower()
                ),
                hint=_("is its disk or quota full?"),
                retry_after=math.inf,
            )
        if isinstance(error, (OSError, EOFError, paramiko.SSHException, paramiko.SFTPError)):
            return lost(error, self._where)
        raise error


@contextmanager
def connected(config: Mapping[str, Any]) -> Iterator[SFTPFolder]:
    """Log in and give the configured folder.

    Raises:
        AuthError: login refused.
        PermanentError: the server's key is unknown, or not the one in known_hosts.
        TransientError: no connection.
    """
    import logging

    import paramiko

    log = logging.getLogger("paramiko")
    if not log.handlers:
        # Its threads report by logging what they also raise; without a handler that would go to stderr.
        log.addHandler(logging.NullHandler())
    where = address(config)
    client = paramiko.SSHClient()
    try:
        _trust(client, config)
        _log_in(client, config, where)
        try:
            sftp = client.open_sftp()
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise lost(error, where) from error
        channel = sftp.get_channel()
        assert channel
        channel.settimeout(config["timeout"])
        folder = SFTPFolder(sftp, config["path"], where)
        folder.check()
        yield folder
    finally:
        client.close()


def _trust(client: paramiko.SSHClient, config: Mapping[str, Any]) -> None:
    """Accept the keys in known_hosts and no other."""
    import paramiko

    class Unknown(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
        def missing_host_key(self, _client: paramiko.SSHClient, _host: str, key: paramiko.PKey) -> None:
            port = "" if config["port"] == _PORT else f" -p {config['port']}"
            raise PermanentError(
                _("the host key of {address} is unknown: {algorithm} {fingerprint}").format(
                    address=address(config), algorithm=key.get_name(), fingerprint=key.fingerprint
                ),
                hint=_(
                    "ask the provider for its fingerprint and compare, then: ssh-keyscan{port} {host} >> "
                    "{file}"
                ).format(port=port, host=config["host"], file=config["known_hosts"] or "~/.ssh/known_hosts"),
            )

    client.set_missing_host_key_policy(Unknown())
    path = config["known_hosts"]
    try:
        if path is None:
            client.load_system_host_keys()
        else:
            client.load_system_host_keys(str(path))
    except OSError as error:
        raise PermanentError(f"known_hosts {path}: {(error.strerror or str(error)).lower()}") from error


def _log_in(client: paramiko.SSHClient, config: Mapping[str, Any], where: str) -> None:
    import paramiko

    key = _key(config)
    timeout = config["timeout"]
    try:
        client.connect(
            config["host"],
            config["port"],
            config["user"],
            None if key else password_of(config),
            pkey=key,
            timeout=timeout,
            banner_timeout=timeout,
            auth_timeout=timeout,
            channel_timeout=timeout,
            allow_agent=False,
            look_for_keys=False,
        )
    except paramiko.BadHostKeyException as error:
        raise PermanentError(
            _(
                "the host key of {where} is not the one in known_hosts: the connection may be intercepted"
            ).format(where=where),
            hint=_(
                "ask the provider whether it has a new key, and only then take the old one out of known_hosts"
            ),
        ) from error
    except paramiko.AuthenticationException as error:
        # paramiko says by its message alone that it was the connection.
        if re.search("timeout|EOF", str(error)):
            raise lost(error, where) from error
        raise AuthError(
            _("{where} refused the login of {path}").format(where=where, path=config["user"]),
            hint=_("check the user and the password or the key; the login is not tried again by itself"),
        ) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise lost(error, where) from error


def _key(config: Mapping[str, Any]) -> paramiko.PKey | None:
    import paramiko

    path = config["key_file"]
    if path is None:
        return None
    try:
        try:
            return paramiko.PKey.from_path(path)
        except (TypeError, paramiko.PasswordRequiredException):
            return paramiko.PKey.from_path(path, password_of(config, "key_password").encode())
    except OSError as error:
        raise PermanentError(f"key_file {path}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, paramiko.SSHException, paramiko.UnknownKeyType) as error:
        raise PermanentError(
            _("key_file {path} can't be used: it is no private key, or has another passphrase").format(
                path=path
            ),
            hint=_("key_password says where its passphrase is"),
        ) from error


class SFTPDrop(DropProvider):
    """A provider's drop folder over SFTP."""

    name: ClassVar[str] = "sftp"
    summary: ClassVar[str] = N_("a provider's drop folder over SFTP")
    evidence: ClassVar[str] = N_("run against OpenSSH; not run against any provider's service")
    options: ClassVar[tuple[Option, ...]] = (
        *server_options(_PORT, N_("the folder, relative to where the login leads")),
        Option(name="password", help="where the password is, unless key_file is given", secret=True),
        Option(name="key_file", help="a private key to log in with", convert=file_path),
        Option(name="key_password", help="where the passphrase of key_file is, when it has one", secret=True),
        Option(
            name="known_hosts",
            help="the server's host keys, as ssh keeps them; ~/.ssh/known_hosts unless given",
            convert=file_path,
        ),
        *DROP_OPTIONS,
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Any:
        return parse_with(super().parse, values, check_server(values, "paramiko"))

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


SFTP = conservation_sink(SFTPDrop)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the SFTP drop folder."""
    yield SFTP
