"""The test bed itself: other tests and the benchmarks believe what it says."""

from __future__ import annotations

import imaplib
import os
import poplib
import socket
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from testbed import requirements
from testbed.certificates import Authority, ServerCertificate, self_signed
from testbed.dovecot import ITALIAN_FOLDERS, Dovecot
from testbed.dovecot_config import Storage
from testbed.imap import IMAPRefused, from_modified_utf7, modified_utf7
from testbed.proxy import Proxy

pytestmark = pytest.mark.real

NAMES = ("Posta inviata", 'Città & "Co"', "2026/11", "a.b", "back\\slash", "100%", "日本")
MESSAGES = (
    b"Subject: no body\r\n\r\n",
    b"Subject: no final newline\r\n\r\nciao",
    b"From somebody\r\nSubject: From lines, a dot\r\n\r\nFrom me\r\n.\r\n>From\r\n",
    b"Subject: bare CR \xe8\r\n\r\none\rtwo\r\n \t\r\n",
    b"Subject: long\r\n\r\n" + b"x" * 200_000 + b"\r\n",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    requirements.require("dovecot", "dovecot-pop3")
    with Dovecot(special=ITALIAN_FOLDERS, quota="100M", users={"a/b@pec.it": 'x:"\\'}) as one:
        yield one


@pytest.mark.parametrize("storage", ["sdbox", "mdbox", "maildir"])
def test_messages_come_back_as_they_went_in(storage: Storage) -> None:
    requirements.require("dovecot")
    moment = datetime(2020, 2, 29, 23, 59, 58, tzinfo=UTC)
    with Dovecot(storage=storage) as server:
        for folder in ("INBOX", *NAMES):
            uids = server.fill(folder, [*MESSAGES[:-1], (MESSAGES[-1], moment)])
            assert server.raw_fetch(folder) == dict(zip(uids, MESSAGES, strict=True))
        # Folders above others, like 2026, needn't be there themselves.
        assert {"INBOX", *NAMES} <= set(server.folders())
        with server.client() as client:
            client.select(readonly=True)
            assert b"29-Feb-2020 23:59:58 +0000" in _first(client.fetch("5", "INTERNALDATE"))


def test_snapshot_sees_every_change(server: Dovecot) -> None:
    first, second = server.fill("snapshot", [MESSAGES[0]] * 2, ["\\Seen"])
    before = server.snapshot()
    assert before["snapshot"] == [(uid, ("\\Recent", "\\Seen"), len(MESSAGES[0])) for uid in (first, second)]
    server.raw_fetch("snapshot")
    assert server.snapshot() == before
    server.flag("snapshot", [first], "\\Flagged")
    server.expunge("snapshot", [second])
    assert server.snapshot()["snapshot"] == [(first, ("\\Flagged", "\\Seen"), len(MESSAGES[0]))]
    server.remove("snapshot")
    assert "snapshot" not in server.snapshot()


def test_an_opening_for_writing_shows_in_the_snapshot(server: Dovecot) -> None:
    server.append("recent", MESSAGES[0])
    before = server.snapshot()
    with server.client() as client:
        client.select("recent")
    assert server.snapshot() != before


def test_every_door(server: Dovecot) -> None:
    with imaplib.IMAP4_SSL(server.host, server.port, ssl_context=server.tls) as client:
        client.login(server.user, server.password)
        assert b"QUOTA" in _first(client.capability())
        assert b'"User quota" (STORAGE' in client.getquotaroot("INBOX")[1][1][0]
        assert b"\\Trash" in _first(client.list(pattern="Cestino"))
    with imaplib.IMAP4(server.host, server.plain_port) as client:
        client.starttls(server.tls)
        client.login(server.user, server.password)
    pop3 = poplib.POP3_SSL(server.host, server.pop3_port, context=server.tls)
    pop3.user(server.user)
    pop3.pass_(server.password)
    pop3.quit()
    server.append("INBOX", MESSAGES[1], user="a/b@pec.it")
    assert list(server.raw_fetch("INBOX", user="a/b@pec.it").values()) == [MESSAGES[1]]


def test_restart_keeps_ports_and_messages() -> None:
    requirements.require("dovecot")
    with Dovecot() as server:
        uid = server.append("INBOX", MESSAGES[1])
        port = server.port
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, port))
        server.start()
        assert (server.port, server.raw_fetch("INBOX")) == (port, {uid: MESSAGES[1]})


def test_nothing_is_left() -> None:
    requirements.require("dovecot")
    with Dovecot() as server:
        root = server.root
        assert stat.S_IMODE(server.certificate.key_file.stat().st_mode) == 0o600
        with server.client() as client:
            client.noop()
    assert not root.exists()
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(root) not in running


def test_a_bad_configuration_is_said_with_the_servers_own_words() -> None:
    requirements.require("dovecot")
    with pytest.raises(Exception, match="no_such_setting"), Dovecot(config="no_such_setting = 1"):
        pytest.fail("it started")


def test_a_refused_append_is_an_error(server: Dovecot) -> None:
    with pytest.raises(IMAPRefused):
        server.append("INBOX", b"")


@pytest.mark.parametrize("flaw", ["expired", "for_another_host", "self_signed"])
def test_certificates_that_no_client_accepts(flaw: str, tmp_path: Path) -> None:
    requirements.require("dovecot")
    authority = Authority(tmp_path)
    certificate: ServerCertificate = (
        self_signed(tmp_path) if flaw == "self_signed" else getattr(authority, flaw)()
    )
    trusting = ssl.create_default_context(cafile=str(authority.ca_file))
    with Dovecot(certificate=certificate) as server, pytest.raises(ssl.SSLCertVerificationError):
        imaplib.IMAP4_SSL(server.host, server.port, ssl_context=trusting)


@pytest.mark.parametrize("name", [*NAMES, "&", "&-", "a&b", "tab\there", "emoji 😀 end", ""])
def test_modified_utf7_both_ways(name: str) -> None:
    encoded = modified_utf7(name)
    assert encoded.isascii()
    assert from_modified_utf7(encoded) == name


def test_modified_utf7_of_the_standard() -> None:
    assert modified_utf7("~peter/mail/台北/日本語") == "~peter/mail/&U,BTFw-/&ZeVnLIqe-"


def test_proxy_is_late_by_a_round_trip_and_keeps_pipelines(server: Dovecot) -> None:
    with Proxy(server.plain_port, delay=0.05) as proxy, _connected(proxy) as client:
        assert client.recv(1000).startswith(b"* OK")
        start = time.monotonic()
        client.sendall(b"".join(b"a%d NOOP\r\n" % number for number in range(50)))
        answer = b""
        while b"a49 OK" not in answer:
            answer += client.recv(10_000)
        # Late at least by the delay; not by it once for every command.
        assert 0.1 <= time.monotonic() - start < 2.5


def test_proxy_cuts_after_so_many_bytes(server: Dovecot) -> None:
    with Proxy(server.plain_port, cut_after=[7, None, 0]) as proxy:
        got = []
        for _ in range(4):
            with _connected(proxy) as client:
                client.sendall(b"a LOGOUT\r\n")
                got.append(_all(client))
    assert got[0] == b"* OK [C"
    assert got[2] == b""
    assert b"a OK" in got[1]
    assert b"a OK" in got[3]


def test_proxy_resets(server: Dovecot) -> None:
    with (
        Proxy(server.plain_port, cut_after=7, reset=True) as proxy,
        pytest.raises(ConnectionResetError),  # on a busy machine before connecting has returned
        _connected(proxy) as client,
    ):
        _all(client)


def test_proxy_stalls_resumes_cuts_and_refuses(server: Dovecot) -> None:
    with Proxy(server.plain_port) as proxy:
        with _connected(proxy) as client:
            client.recv(1000)
            proxy.stall()
            client.sendall(b"a NOOP\r\n")
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            proxy.resume()
            client.settimeout(10)
            assert client.recv(1000).startswith(b"a ")
            proxy.cut()
            assert _all(client) == b""
        proxy.refusing = True
        with _connected(proxy) as client:
            assert _all(client) == b""
        assert proxy.connections == 2


def test_proxy_limits_the_rate(server: Dovecot) -> None:
    server.append("rate", MESSAGES[-1])
    login = f'a LOGIN "{server.user}" "{server.password}"\r\nb EXAMINE rate\r\n'.encode()
    with Proxy(server.plain_port, rate=400_000) as proxy, _connected(proxy) as client:
        start = time.monotonic()
        client.sendall(login + b"c FETCH 1 BODY.PEEK[]\r\nd LOGOUT\r\n")
        assert len(_all(client)) > 200_000
        assert time.monotonic() - start >= 0.4


def test_proxy_leaves_no_thread(server: Dovecot) -> None:
    before = threading.active_count()
    with Proxy(server.plain_port) as proxy, _connected(proxy):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_missing_program_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements.require("sh")
    monkeypatch.delenv("ARCHIPEC_REQUIRE_REAL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        requirements.require("sh", "no-such-program")
    monkeypatch.setenv("ARCHIPEC_REQUIRE_REAL", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        requirements.require("sh", "no-such-program")


def test_the_installer_has_nothing_to_do_where_everything_is() -> None:
    requirements.require("dovecot", "dovecot-pop3", "openssl", "mbsync", "gcc")
    script = Path(requirements.__file__).parents[1] / "install-servers.sh"
    done = subprocess.run([script], capture_output=True, env={"PATH": os.environ["PATH"]}, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def _first(answer: tuple[str, Sequence[object]]) -> bytes:
    line = answer[1][0]
    assert isinstance(line, bytes)
    return line


def _connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=10)


def _all(client: socket.socket) -> bytes:
    data = b""
    while piece := client.recv(100_000):
        data += piece
    return data
