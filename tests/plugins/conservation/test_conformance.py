"""The built-in providers pass the kit that strangers' providers are check_report by, on real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from archipec.conservation.provider import ConservationProvider
from archipec.testing import ConservationConformance, ScriptedService
from archipec_plugins.conservation.ftps import FTPSDrop
from archipec_plugins.conservation.sacer import Sacer
from archipec_plugins.conservation.sftp import SFTPDrop
from archipec_plugins.conservation.webdav import WebDAVDrop
from testbed.bridges import DropService, SacerService
from testbed.doubles import Conservator, SacerDouble
from testbed.drops import Drop, ftps_drop, sftp_drop, webdav_drop
from testbed.ftps_server import FTPSServer
from testbed.process import ServerProcess
from testbed.sshd import SFTPServer
from testbed.webdav_server import WebDAVServer

pytestmark = pytest.mark.real

# Drop folders differ by their place alone, which test_places knows.
only_at_full_depth = pytest.mark.skipif(
    os.environ.get("ARCHIPEC_DEPTH") != "full", reason="one drop folder is enough, unless at full depth"
)


class _DropConformance(ConservationConformance):
    """What is the same for every drop folder."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_a_rehearsal_keeps_nothing": "a folder checks nothing",
    }

    @pytest.fixture
    def table(self, drop: Drop) -> Mapping[str, object]:
        return drop.table | {"password": drop.password}

    @pytest.fixture
    def other_table(self, table: dict[str, object]) -> Mapping[str, object]:
        return {**table, "path": f"{table['path']}/other"}

    @pytest.fixture
    def broken_table(self, table: dict[str, object]) -> Mapping[str, object]:
        return {**table, "port": 1}

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        return [{"host": "two words"}, {"reports": "../elsewhere"}]

    @pytest.fixture
    def service(self, drop: Drop, server: ServerProcess, tmp_path: Path) -> Iterator[ScriptedService]:
        with Conservator(drop.landing, tmp_path / "conservator") as double:
            service = DropService(double, server)
            yield service
            service.misbehaviour = None


class TestSFTP(_DropConformance):
    @pytest.fixture
    def provider(self) -> type[ConservationProvider]:
        return SFTPDrop

    @pytest.fixture
    def server(self, sshd: SFTPServer) -> ServerProcess:
        return sshd

    @pytest.fixture
    def drop(self, sshd: SFTPServer, tmp_path: Path) -> Drop:
        return sftp_drop(sshd, tmp_path.name, tmp_path)


@only_at_full_depth
class TestFTPS(_DropConformance):
    @pytest.fixture
    def provider(self) -> type[ConservationProvider]:
        return FTPSDrop

    @pytest.fixture
    def server(self, proftpd: FTPSServer) -> ServerProcess:
        return proftpd

    @pytest.fixture
    def drop(self, proftpd: FTPSServer, tmp_path: Path) -> Drop:
        return ftps_drop(proftpd, tmp_path.name)


@only_at_full_depth
class TestWebDAV(_DropConformance):
    @pytest.fixture
    def provider(self) -> type[ConservationProvider]:
        return WebDAVDrop

    @pytest.fixture
    def server(self, webdav: WebDAVServer) -> ServerProcess:
        return webdav

    @pytest.fixture
    def drop(self, webdav: WebDAVServer, tmp_path: Path) -> Drop:
        return webdav_drop(webdav, tmp_path.name, form="zip")


class TestSacer(ConservationConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_a_partial_outcome": "the service takes a unit whole or not at all",
    }

    @pytest.fixture
    def provider(self) -> type[ConservationProvider]:
        return Sacer

    @pytest.fixture
    def table(self, sacer: SacerDouble) -> Mapping[str, object]:
        return sacer.table

    @pytest.fixture
    def other_table(self, table: dict[str, object]) -> Mapping[str, object]:
        return {**table, "struttura": "ALTRA"}

    @pytest.fixture
    def broken_table(self, table: dict[str, object]) -> Mapping[str, object]:
        return {**table, "port": 1}

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        return [{"host": "two words"}, {"path": "../elsewhere"}]

    @pytest.fixture
    def service(self, sacer: SacerDouble) -> ScriptedService:
        return SacerService(sacer)
