"""Real servers for drop folders, one of each for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed.doubles import SacerDouble
from testbed.ftps_server import FTPSServer
from testbed.requirements import require
from testbed.sshd import SFTPServer
from testbed.webdav_server import WebDAVServer


@pytest.fixture(scope="module")
def sshd() -> Iterator[SFTPServer]:
    require("sshd", "ssh-keygen", "openssl")
    with SFTPServer() as server:
        yield server


@pytest.fixture(scope="module")
def proftpd() -> Iterator[FTPSServer]:
    require("proftpd", "openssl")
    with FTPSServer() as server:
        yield server


@pytest.fixture(scope="module")
def webdav() -> Iterator[WebDAVServer]:
    require("wsgidav")
    with WebDAVServer() as server:
        yield server


@pytest.fixture(scope="module")
def put_only() -> Iterator[WebDAVServer]:
    """A server that takes PUT and shows index pages, and knows nothing else."""
    require("wsgidav")
    with WebDAVServer(refused=("PROPFIND", "MOVE", "MKCOL", "COPY")) as server:
        yield server


@pytest.fixture(scope="module")
def sacer_process() -> Iterator[SacerDouble]:
    with SacerDouble() as double:
        yield double


@pytest.fixture
def sacer(sacer_process: SacerDouble) -> SacerDouble:
    """The double of SACER, as if nothing had ever been deposited there."""
    sacer_process.forget()
    return sacer_process
