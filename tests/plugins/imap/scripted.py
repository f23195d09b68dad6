"""An IMAP server that says whatever a test wants it to, and remembers what it was told."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

Reply: TypeAlias = "bytes | Callable[[bytes], bytes]"

CLOSE = b"<close>"
"""At the end of a reply: the server closes the connection after it."""


class ScriptedServer:
    """Answers each command by the first entry of `replies` whose key the command contains.

    In a reply ``<tag>`` stands for the command's tag. What has no entry is answered OK. After a reply that
    begins with ``+`` the next line goes on with the command.
    """

    def __init__(self, replies: Mapping[bytes, Reply]) -> None:
        self.replies = dict(replies)
        self.commands: list[bytes] = []
        self.problem: BaseException | None = None

    def count(self, word: bytes) -> int:
        """How many commands held this word."""
        return sum(word in command for command in self.commands)

    def serve(self, connection: socket.socket, greeting: bytes = b"") -> None:
        """Serve until either side has had enough."""
        try:
            connection.sendall(greeting.removesuffix(CLOSE))
            if greeting.endswith(CLOSE):
                return
            reply = b""
            with connection.makefile("rb") as lines:
                for line in lines:
                    command = line.rstrip(b"\r\n")
                    if not reply.startswith(b"+"):
                        tag, _, command = command.partition(b" ")
                    self.commands.append(command)
                    reply = self._reply(command).replace(b"<tag>", tag)
                    connection.sendall(reply.removesuffix(CLOSE))
                    if reply.endswith(CLOSE):
                        return
        except OSError:
            # The client has gone: tests of broken connections end like that.
            pass
        except BaseException as error:
            self.problem = error
            raise
        finally:
            connection.close()

    def _reply(self, command: bytes) -> bytes:
        for key, reply in self.replies.items():
            if key in command:
                return reply if isinstance(reply, bytes) else reply(command)
        return b"<tag> OK done\r\n"


@contextmanager
def connected(server: ScriptedServer) -> Iterator[socket.socket]:
    """The client's end of a connection to the server, without TLS and without greeting."""
    near, far = socket.socketpair()
    thread = threading.Thread(target=server.serve, args=(far,))
    thread.start()
    try:
        yield near
    finally:
        near.close()
        thread.join(20)
        assert not thread.is_alive(), "the scripted server hangs"
        assert server.problem is None, server.problem


@contextmanager
def listening(
    server: ScriptedServer, cert_file: Path, key_file: Path, greeting: bytes, *, starttls: bool = False
) -> Iterator[int]:
    """The port on which the server takes one connection over TLS, or with STARTTLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)

    def take_one() -> None:
        try:
            connection, _ = listener.accept()
            connection.settimeout(20)
            if starttls:
                connection.sendall(greeting)
                tag, _, command = connection.recv(1000).strip().partition(b" ")
                server.commands += [command] if command else []
                reply = server.replies.get(b"STARTTLS", b"<tag> OK go\r\n")
                assert isinstance(reply, bytes)
                connection.sendall(reply.replace(b"<tag>", tag))
                with context.wrap_socket(connection, server_side=True) as secure:
                    server.serve(secure)
            else:
                with context.wrap_socket(connection, server_side=True) as secure:
                    server.serve(secure, greeting)
        except OSError:
            pass  # the client does not like what it sees and leaves

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        thread = threading.Thread(target=take_one)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(20)
            assert not thread.is_alive(), "the scripted server hangs"
            assert server.problem is None, server.problem
