"""Drop folders on real servers, whatever the protocol: what a client is configured with, and the folder behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .ftps_server import FTPSServer
from .sshd import SFTPServer
from .webdav_server import WebDAVServer

__all__ = ["Drop", "ftps_drop", "sftp_drop", "webdav_drop"]


class Drop(NamedTuple):
    """A folder on a server.

    Attributes:
        scheme: of its URL, without ``conservation+``.
        table: the options to reach it, but for the password.
        landing: the folder itself.
        password: of the login.
    """

    scheme: str
    table: dict[str, Any]
    landing: Path
    password: str


def _server(server: SFTPServer | FTPSServer | WebDAVServer, path: str) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "user": server.user, "path": path}


def sftp_drop(server: SFTPServer, folder: str, temp: Path) -> Drop:
    (server.home / folder).mkdir()
    known_hosts = server.known_hosts(temp / "known_hosts")
    table = _server(server, folder) | {"known_hosts": known_hosts}
    return Drop("sftp", table, server.home / folder, server.password)


def ftps_drop(server: FTPSServer, folder: str) -> Drop:
    (server.home / folder).mkdir()
    return Drop(
        "ftps", _server(server, folder) | {"ca_file": server.ca_file}, server.home / folder, server.password
    )


def webdav_drop(server: WebDAVServer, folder: str, **options: Any) -> Drop:
    (server.home / folder).mkdir()
    table = _server(server, f"dav/{folder}") | {"ca_file": server.ca_file, **options}
    return Drop("webdav", table, server.home / folder, server.password)
