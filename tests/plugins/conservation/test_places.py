"""Folders on real servers: the operations that a drop folder is made of, the same over every protocol."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from archipec.conservation.dropfolder import RemoteFolder
from archipec.errors import ArchipecError, AuthError, PermanentError, TransientError
from archipec.testing import configure, make_context
from archipec_plugins.conservation.ftps import FTPS, FTPSDrop
from archipec_plugins.conservation.sftp import SFTP, SFTPDrop
from archipec_plugins.conservation.webdav import WEBDAV, WebDAVDrop
from testbed.certificates import Authority
from testbed.drops import Drop, ftps_drop, sftp_drop, webdav_drop
from testbed.sshd import SFTPServer

PROVIDERS: dict[str, Any] = {
    "sftp": (SFTP, SFTPDrop),
    "ftps": (FTPS, FTPSDrop),
    "webdav": (WEBDAV, WebDAVDrop),
}
PROTOCOLS = ("sftp", "ftps", "webdav", "put")

pytestmark = pytest.mark.real


@contextmanager
def opened(drop: Drop, temp: Path, **options: Any) -> Iterator[Any]:
    """Log in; the drop folder itself."""
    record, provider = PROVIDERS[drop.scheme]
    config = configure(record, drop.table | {"password": drop.password} | options)
    with provider.open(config.own, make_context(temp)) as provider:
        yield provider._remote


@pytest.fixture
def drop(protocol: str, request: pytest.FixtureRequest, tmp_path: Path) -> Drop:
    folder = tmp_path.name
    if protocol == "sftp":
        return sftp_drop(request.getfixturevalue("sshd"), folder, tmp_path)
    if protocol == "ftps":
        return ftps_drop(request.getfixturevalue("proftpd"), folder)
    if protocol == "webdav":
        return webdav_drop(request.getfixturevalue("webdav"), folder)
    return webdav_drop(request.getfixturevalue("put_only"), folder, dav=False, form="zip")


@pytest.fixture
def connect(drop: Drop, tmp_path: Path) -> Callable[..., AbstractContextManager[Any]]:
    return lambda **options: opened(drop, tmp_path, **options)


@pytest.fixture
def place(connect: Callable[..., AbstractContextManager[RemoteFolder]]) -> Iterator[RemoteFolder]:
    with connect() as place:
        yield place


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestPlace:
    def test_files_arrive_byte_for_byte(self, place: RemoteFolder, drop: Drop) -> None:
        content = bytes(range(256)) * 3000 + b"\r\n\n\r"
        place.write("file.zip", [content[:7], b"", content[7:500_000], content[500_000:]])
        assert (drop.landing / "file.zip").read_bytes() == content
        assert place.read("file.zip", len(content)) == content

    def test_an_empty_file(self, place: RemoteFolder, drop: Drop) -> None:
        place.write("marker", [b""])
        assert (drop.landing / "marker").read_bytes() == b""
        assert place.read("marker", 10) == b""

    def test_a_file_written_again_is_replaced(self, place: RemoteFolder, drop: Drop) -> None:
        place.write("file", [b"a long first try"])
        place.write("file", [b"second"])
        assert (drop.landing / "file").read_bytes() == b"second"

    def test_a_file_is_renamed(self, place: RemoteFolder, drop: Drop) -> None:
        place.make(".archipec")
        place.write(".archipec/one", [b"content"])
        assert list(place.names(".archipec")) == ["one"]
        place.rename(".archipec/one", "PdV_one.zip")
        assert (drop.landing / "PdV_one.zip").read_bytes() == b"content"
        assert list(place.names(".archipec")) == []

    def test_names_are_those_of_the_folder_alone(self, place: RemoteFolder, drop: Drop) -> None:
        for name in ("RdV 1.xml", "è così.xml", "a&b#c?.xml", "100%25.xml", "dir"):
            (drop.landing / name).mkdir() if name == "dir" else (drop.landing / name).write_text("x")
        (drop.landing / "dir/inside").write_text("x")
        assert sorted(place.names("")) == sorted(
            ("RdV 1.xml", "è così.xml", "a&b#c?.xml", "100%25.xml", "dir")
        )
        assert list(place.names("dir")) == ["inside"]
        assert list(place.names("nowhere")) == []

    def test_no_more_is_read_than_asked_for(self, place: RemoteFolder, drop: Drop) -> None:
        (drop.landing / "big").write_bytes(b"0123456789" * 300_000)
        assert place.read("big", 3_000_000) == b"0123456789" * 300_000
        assert place.read("big", 1_000_000) == (b"0123456789" * 300_000)[:1_000_001]

    def test_a_file_that_is_gone(self, place: RemoteFolder) -> None:
        with pytest.raises(TransientError, match="gone"):
            place.read("nowhere.xml", 10)

    def test_a_wrong_password_is_refused(self, connect: Callable[..., Any]) -> None:
        with pytest.raises(AuthError) as caught, connect(password="another password"):
            pass
        assert "another password" not in str(caught.value) + caught.value.hint

    def test_a_folder_that_is_not_there(self, connect: Callable[..., Any], drop: Drop) -> None:
        with pytest.raises(PermanentError), connect(path=f"{drop.table['path']}/nowhere"):
            pass

    def test_nobody_listens(self, connect: Callable[..., Any]) -> None:
        with pytest.raises(TransientError), connect(port=1):
            pass

    def test_other_certificates_and_keys_are_not_trusted(
        self, connect: Callable[..., Any], protocol: str, tmp_path: Path
    ) -> None:
        if protocol == "sftp":
            pytest.skip("has host keys, not certificates")
        (tmp_path / "other").mkdir()
        with (
            pytest.raises(PermanentError, match="not trusted"),
            connect(ca_file=Authority(tmp_path / "other").ca_file),
        ):
            pass


@pytest.mark.parametrize("protocol", ["put"])
def test_a_rename_by_put_that_was_interrupted_has_not_happened(place: RemoteFolder, drop: Drop) -> None:
    place.write(".archipec/36d1", [b"the whole content"])
    (drop.landing / "PdV_36d1.zip").write_bytes(b"the whole")
    (drop.landing / "PdV_77aa.zip").write_bytes(b"another")
    assert list(place.names("")) == ["PdV_77aa.zip"]
    place.rename(".archipec/36d1", "PdV_36d1.zip")
    assert sorted(place.names("")) == ["PdV_36d1.zip", "PdV_77aa.zip"]
    assert (drop.landing / "PdV_36d1.zip").read_bytes() == b"the whole content"


@pytest.mark.parametrize("protocol", ["sftp", "ftps", "webdav"])
class TestFolders:
    def test_a_folder_is_made_filled_and_renamed(self, place: RemoteFolder, drop: Drop) -> None:
        place.make(".archipec/one/documenti")
        place.make(".archipec/one/documenti")
        place.write(".archipec/one/documenti/a.eml", [b"message"])
        place.rename(".archipec/one", "PdV_one")
        assert (drop.landing / "PdV_one/documenti/a.eml").read_bytes() == b"message"
        assert sorted(place.names("PdV_one")) == ["documenti"]

    def test_a_file_in_the_way_of_a_folder(self, place: RemoteFolder, drop: Drop) -> None:
        (drop.landing / "here").write_text("a file")
        with pytest.raises(ArchipecError):
            place.make("here/below")

    def test_a_connection_that_breaks(
        self, place: RemoteFolder, protocol: str, request: pytest.FixtureRequest
    ) -> None:
        server = request.getfixturevalue({"sftp": "sshd", "ftps": "proftpd", "webdav": "webdav"}[protocol])
        server.stop()
        try:
            with pytest.raises(TransientError):
                place.write("file", [b"x"])
        finally:
            server.start()


class TestSFTPKeys:
    def connect(self, server: SFTPServer, temp: Path, **options: Any) -> list[str]:
        with opened(sftp_drop(server, temp.name, temp), temp, **options) as place:
            return list(place.names(""))

    def test_a_key_opens(self, sshd: SFTPServer, tmp_path: Path) -> None:
        assert self.connect(sshd, tmp_path, key_file=sshd.key_file) == []

    def test_another_key_does_not(self, sshd: SFTPServer, tmp_path: Path) -> None:
        with pytest.raises(AuthError):
            self.connect(sshd, tmp_path, key_file=sshd.other_key_file)

    def test_what_is_no_key_is_said(self, sshd: SFTPServer, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("no key\n")
        with pytest.raises(PermanentError, match="no private key"):
            self.connect(sshd, tmp_path, key_file=tmp_path / "key")

    def test_a_passphrase_opens_the_key(self, sshd: SFTPServer, tmp_path: Path) -> None:
        key = tmp_path / "locked"
        shutil.copy(sshd.key_file, key)
        change = ("ssh-keygen", "-q", "-p", "-P", "", "-N", "una frase", "-f", str(key))
        subprocess.run(change, check=True, stdout=subprocess.DEVNULL)
        assert self.connect(sshd, tmp_path, key_file=key, key_password="una frase") == []

    def test_another_passphrase_does_not(self, sshd: SFTPServer, tmp_path: Path) -> None:
        key = tmp_path / "locked"
        shutil.copy(sshd.key_file, key)
        change = ("ssh-keygen", "-q", "-p", "-P", "", "-N", "una frase", "-f", str(key))
        subprocess.run(change, check=True, stdout=subprocess.DEVNULL)
        with pytest.raises(PermanentError, match="another passphrase") as caught:
            self.connect(sshd, tmp_path, key_file=key, key_password="un'altra")
        assert "un'altra" not in str(caught.value)

    def test_an_unknown_host_key_is_shown_and_refused(self, sshd: SFTPServer, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        with pytest.raises(PermanentError, match="unknown: ssh-ed25519 SHA256:") as caught:
            self.connect(sshd, tmp_path, known_hosts=tmp_path / "empty")
        assert f"ssh-keyscan -p {sshd.port} 127.0.0.1" in caught.value.hint

    def test_another_host_key_is_refused(self, sshd: SFTPServer, tmp_path: Path) -> None:
        other = (sshd.root / "other_key.pub").read_text("ascii")
        hosts = sshd.known_hosts(tmp_path / "other_hosts", key=other)
        with pytest.raises(PermanentError, match="not the one in known_hosts"):
            self.connect(sshd, tmp_path, known_hosts=hosts)


@pytest.mark.parametrize("protocol", ["sftp", "ftps"])
def test_a_name_that_is_not_utf8_is_no_lost_connection(
    connect: Callable[..., AbstractContextManager[RemoteFolder]], drop: Drop, protocol: str
) -> None:
    (drop.landing / "RdV.xml").write_text("x")
    with open(bytes(drop.landing) + b"/perch\xe9.xml", "wb"):
        pass
    with connect() as place:
        if protocol == "ftps":
            assert "RdV.xml" in set(place.names(""))
        else:
            with pytest.raises(PermanentError, match="not UTF-8"):
                place.names("")
