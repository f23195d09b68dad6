"""What the acceptance tests share: a real Dovecot, and archipec as a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed.command import Archipec, imap_url
from testbed.dovecot import Dovecot
from testbed.drop_fixtures import proftpd, sacer, sacer_process, sshd, webdav
from testbed.requirements import require

__all__ = ["archipec", "dovecot", "proftpd", "sacer", "sacer_process", "sshd", "url", "webdav"]


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    require("dovecot")
    with Dovecot() as server:
        yield server


@pytest.fixture
def archipec(tmp_path: Path, dovecot: Dovecot) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": dovecot.password})


@pytest.fixture
def url(dovecot: Dovecot) -> Callable[..., str]:
    def make(path: str = "", port: int | None = None, **options: object) -> str:
        return imap_url(dovecot, port=port or dovecot.port, ca_file=dovecot.ca_file, path=path, **options)

    return make
