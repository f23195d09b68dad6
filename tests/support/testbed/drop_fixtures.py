"""Fixtures: real servers for drop folders and the double of SACER, one of each for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .doubles import SacerDouble
from .ftps_server import FTPSServer
from .requirements import require
from .sshd import SFTPServer
from .webdav_server import WebDAVServer

__all__ = ["proftpd", "sacer", "sacer_process", "sshd", "webdav"]


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
def sacer_process() -> Iterator[SacerDouble]:
    with SacerDouble() as double:
        yield double


@pytest.fixture
def sacer(sacer_process: SacerDouble) -> SacerDouble:
    """The double of SACER, as if nothing had ever been deposited there."""
    sacer_process.forget()
    return sacer_process
