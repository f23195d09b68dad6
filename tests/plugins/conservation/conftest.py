"""Real servers for drop folders, one of each for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed.drop_fixtures import proftpd, sacer, sacer_process, sshd, webdav
from testbed.requirements import require
from testbed.webdav_server import WebDAVServer

__all__ = ["proftpd", "put_only", "sacer", "sacer_process", "sshd", "webdav"]


@pytest.fixture(scope="module")
def put_only() -> Iterator[WebDAVServer]:
    """A server that takes PUT and shows index pages, and knows nothing else."""
    require("wsgidav")
    with WebDAVServer(refused=("PROPFIND", "MOVE", "MKCOL", "COPY")) as server:
        yield server
