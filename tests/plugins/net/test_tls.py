"""TLS in memory does what `ssl.SSLSocket` does, by fewer system calls."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest

from archipec_plugins.net import tls
from archipec_plugins.net.tls import TlsSocket
from testbed.certificates import Authority, ServerCertificate, self_signed

DATA = bytes(range(256)) * 400


class Client(Protocol):
    """What a connection uses of either."""

    def recv_into(self, buffer: memoryview, /) -> int: ...

    def sendall(self, data: bytes, /) -> None: ...


Begin: TypeAlias = Callable[[socket.socket, ssl.SSLContext], Client]


def by_socket(sock: socket.socket, context: ssl.SSLContext) -> Client:
    return context.wrap_socket(sock, server_hostname="localhost")


def in_memory(sock: socket.socket, context: ssl.SSLContext) -> Client:
    return TlsSocket(sock, context, "localhost")


class Server:
    """The other side: makes records of any size, and sends of them what it is told to."""

    def __init__(self, sock: socket.socket, certificate: ServerCertificate, version: ssl.TLSVersion) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
        context.maximum_version = version
        self.socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def shake_hands(self) -> None:
        self._when_it_can(self._tls.do_handshake)
        self.socket.sendall(self._outgoing.read())

    def receive(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += self._when_it_can(lambda: self._tls.read(size))
        return got

    def records(self, data: bytes, size: int = 4096) -> bytes:
        for at in range(0, len(data), size):
            self._tls.write(data[at : at + size])
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """The record that says that no more will come."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        return self._outgoing.read()

    def _when_it_can(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.socket.sendall(self._outgoing.read())
                if not (received := self.socket.recv(65536)):
                    raise ConnectionError("the client has left") from None
                self._incoming.write(received)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return Authority(tmp_path_factory.mktemp("tls")).issue()


def outcome(
    begin: Begin,
    certificate: ServerCertificate,
    serve: Callable[[Server], None],
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ca_file: Path | None = None,
) -> tuple[bytes, str]:
    """What a client reads of a server, and how it ends."""
    context = ssl.create_default_context(cafile=ca_file or certificate.ca_file)
    got = b""
    with ExitStack() as stack:
        far = stack.enter_context(socket.socket())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            far.connect(listener.getsockname())
            near = stack.enter_context(listener.accept()[0])
        near.settimeout(0.5)
        far.settimeout(20)
        thread = threading.Thread(target=_serve, args=(serve, Server(far, certificate, version)))
        thread.start()
        stack.callback(thread.join, 20)
        try:
            client = begin(near, context)
            if isinstance(client, ssl.SSLSocket):
                stack.enter_context(client)
            client.sendall(b"go on")
            buffer = memoryview(bytearray(70_000))
            while size := client.recv_into(buffer):
                got += buffer[:size]
        except OSError as error:
            return got, f"{type(error).__name__} {getattr(error, 'reason', None)}"
        finally:
            near.close()
    return got, "closed"


def _serve(serve: Callable[[Server], None], server: Server) -> None:
    # The client may not like what it sees, and leave.
    with suppress(OSError):
        serve(server)


def send(*make: Callable[[Server], bytes]) -> Callable[[Server], None]:
    def serve(server: Server) -> None:
        server.shake_hands()
        server.receive(5)
        server.socket.sendall(b"".join(one(server) for one in make))
        server.socket.shutdown(socket.SHUT_WR)

    return serve


def all_of_it(server: Server) -> bytes:
    return server.records(DATA)


def damaged(server: Server) -> bytes:
    record = bytearray(server.records(b"x" * 1000))
    record[500] ^= 1
    return bytes(record)


def reset(server: Server) -> None:
    server.shake_hands()
    server.receive(5)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.socket.close()


def silent_within_a_record(server: Server) -> None:
    server.shake_hands()
    server.receive(5)
    server.socket.sendall(server.records(DATA) + server.records(b"x" * 1000)[:-1])
    server.socket.recv(1)


def not_tls(server: Server) -> None:
    server.socket.sendall(b"* OK IMAP4 ready\r\n" * 10)
    server.socket.recv(1)


def closed_at_once(server: Server) -> None:
    server.socket.recv(20_000)
    server.socket.shutdown(socket.SHUT_WR)


def silent_at_once(server: Server) -> None:
    server.socket.recv(20_000)
    server.socket.recv(1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("serve", "whole"),
    [
        (send(all_of_it, Server.farewell), True),
        (send(lambda server: server.records(DATA[:2000], 1)), False),
        (send(lambda server: server.records(DATA, 16_384), Server.farewell), True),
        (send(all_of_it), True),
        (send(all_of_it, lambda server: server.records(b"x" * 1000)[:-1]), True),
        (send(all_of_it, lambda server: server.records(b"x" * 1000)[:3]), True),
        (send(all_of_it, damaged), True),
        (send(damaged), False),
        (send(all_of_it, lambda _: b"HTTP/1.1 400 Bad Request\r\n"), True),
        (reset, False),
        (silent_within_a_record, True),
        (not_tls, False),
        (closed_at_once, False),
        (silent_at_once, False),
    ],
    ids=[
        "farewell",
        "bytes",
        "large",
        "ragged",
        "within a record",
        "within its header",
        "damaged behind good ones",
        "damaged",
        "nonsense",
        "reset",
        "silent",
        "no TLS",
        "closed at once",
        "silent at once",
    ],
)
def test_it_reads_what_an_ssl_socket_reads_and_ends_as_that(
    certificate: ServerCertificate, serve: Callable[[Server], None], *, whole: bool, version: ssl.TLSVersion
) -> None:
    got, end = outcome(in_memory, certificate, serve, version)
    assert (got, end) == outcome(by_socket, certificate, serve, version)
    assert (got == DATA) is whole


@pytest.mark.parametrize("name", ["another host", "another authority", "itself", "expired"])
def test_what_an_ssl_socket_does_not_trust_is_not_trusted(
    certificate: ServerCertificate, tmp_path: Path, name: str
) -> None:
    authority = Authority(tmp_path)
    yesterday = datetime.now(UTC) - timedelta(hours=1)
    issued, ca_file = {
        "another host": (authority.issue(hosts=["example.it"]), authority.ca_file),
        "another authority": (authority.issue(), certificate.ca_file),
        "itself": (self_signed(tmp_path), authority.ca_file),
        "expired": (authority.issue(not_after=yesterday), authority.ca_file),
    }[name]
    got, end = outcome(in_memory, issued, send(all_of_it), ca_file=ca_file)
    assert (got, end) == outcome(by_socket, issued, send(all_of_it), ca_file=ca_file)
    assert not got and end.startswith("SSLCertVerificationError")


def test_the_server_hears_why_it_is_not_trusted(certificate: ServerCertificate, tmp_path: Path) -> None:
    heard: list[str] = []

    def serve(server: Server) -> None:
        try:
            server.shake_hands()
            server.receive(5)
        except ssl.SSLError as error:
            heard.append(str(error.reason))

    outcome(in_memory, certificate, serve, ca_file=Authority(tmp_path).ca_file)
    assert heard == ["TLSV1_ALERT_UNKNOWN_CA"]


class Drip:
    """A socket that has one byte at each look, and a clock that goes on by half a minute."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.now = 0.0

    def recv_into(self, buffer: memoryview) -> int:
        buffer[0] = self.data[0]
        self.data = self.data[1:]
        return 1

    def gettimeout(self) -> float:
        return 60.0

    def settimeout(self, seconds: float) -> None:
        assert 0 < seconds <= 60

    def monotonic(self) -> float:
        self.now += 30
        return self.now


def test_a_record_that_drips_is_waited_for_no_longer_than_silence(
    certificate: ServerCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(20)
        far.settimeout(20)
        server = Server(far, certificate, ssl.TLSVersion.TLSv1_3)
        thread = threading.Thread(target=server.shake_hands)
        thread.start()
        client = TlsSocket(near, ssl.create_default_context(cafile=certificate.ca_file), "localhost")
        thread.join(20)
        drip = Drip(server.records(b"x" * 1000))
        monkeypatch.setattr(client, "_socket", drip)
        monkeypatch.setattr(tls, "time", drip)
        with pytest.raises(TimeoutError):
            client.recv_into(memoryview(bytearray(1000)))


def test_what_is_sent_arrives(certificate: ServerCertificate) -> None:
    got = bytearray()

    def serve(server: Server) -> None:
        server.shake_hands()
        while len(got) < 5 + len(DATA):
            got.extend(server.receive(1))
        server.socket.sendall(server.farewell())

    def begin(sock: socket.socket, context: ssl.SSLContext) -> Client:
        client = in_memory(sock, context)
        client.sendall(DATA)
        return client

    assert outcome(begin, certificate, serve) == (b"", "closed")
    assert got == DATA + b"go on"
