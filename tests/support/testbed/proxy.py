"""A TCP proxy on loopback that makes a network out of it: slow, far away, or cut in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

T = TypeVar("T")
_Queue: TypeAlias = "asyncio.Queue[tuple[float, bytes]]"

_CHUNK = 64 * 1024
# In flight one way: with a delay of 20 ms it allows 400 MB/s, and a client that stops reading still
# stops the server soon.
_IN_FLIGHT = 8 * 1024 * 1024
# SO_LINGER with no time: close sends a reset.
_RESET = struct.pack("ii", 1, 0)
_ANSWER_SECONDS = 30


class Proxy:
    """Forwards connections to 127.0.0.1:`target`, each direction `delay` seconds late.

    A round trip takes twice `delay`; throughput and pipelining stay as they are, unless `rate` bytes a
    second limit what comes from the server. `cut_after` ends connections after that many bytes from the
    server: a number does so to each, a sequence to one after the other (None spares one, and so are all
    that come after its end). With `reset`, cuts are TCP resets rather than orderly ends.

    `delay`, `rate`, `reset` and `refusing` may be changed while it runs. A context manager; its thread and
    sockets are gone when it ends.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        target: int,
        *,
        delay: float = 0.0,
        rate: float | None = None,
        cut_after: int | Sequence[int | None] | None = None,
        reset: bool = False,
    ) -> None:
        self.target = target
        self.delay = delay
        self.rate = rate
        self.reset = reset
        self.refusing = False
        """Whether new connections are closed at once."""
        self.connections = 0
        """How many connections clients have made so far."""
        self._cuts = _limits(cut_after)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._flowing = asyncio.Event()
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._listener: socket.socket | None = None

    # -- life ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._listener = socket.create_server((self.host, 0))
        self._listener.setblocking(False)
        self._thread.start()
        self._do(self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call(self._end())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def port(self) -> int:
        """Where clients connect, on 127.0.0.1."""
        return int(self._listening.getsockname()[1])

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return self._do(lambda: len(self._links))

    # -- what can happen to a network ------------------------------------------------------------

    def cut(self) -> None:
        """Cut all connections that are open now; new ones are welcome."""

        async def cut_all() -> None:
            await _cancelled(list(self._links))

        self._call(cut_all())

    def stall(self) -> None:
        """Let nothing through any more, without closing anything: a client waits until its timeout."""
        self._do(self._flowing.clear)

    def resume(self) -> None:
        """Let it flow again, beginning with what was held back."""
        self._do(self._flowing.set)

    # -- inside the loop's thread ----------------------------------------------------------------

    async def flowing(self) -> None:
        """Return when nothing is stalled."""
        await self._flowing.wait()

    def _begin(self) -> None:
        self._flowing.set()
        self._loop.add_reader(self._listening, self._accept)

    async def _end(self) -> None:
        self._loop.remove_reader(self._listening)
        self._listening.close()
        await _cancelled(list(self._links))

    def _accept(self) -> None:
        try:
            near, _ = self._listening.accept()
        except OSError:
            # The client has gone again.
            return
        self.connections += 1
        limit = next(self._cuts)
        if self.refusing:
            near.close()
            return
        link = _Link(self, near, limit)
        task = self._loop.create_task(link.run())
        self._links[task] = link
        # Not at the end of `run`: a task cancelled early never begins.
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._links.pop(task).close()

    # -- from other threads ----------------------------------------------------------------------

    @property
    def _listening(self) -> socket.socket:
        assert self._listener is not None, "a proxy works inside its `with` block"
        return self._listener

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_ANSWER_SECONDS)

    def _do(self, function: Callable[[], T]) -> T:
        async def inside() -> T:
            return function()

        return self._call(inside())


class _Link:
    """One client's connection and the one made for it to the server."""

    def __init__(self, proxy: Proxy, near: socket.socket, limit: int | None) -> None:
        self._proxy = proxy
        self._near = near
        self._far = socket.socket()
        self._left = limit
        self._orderly = False
        for end in (self._near, self._far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close both connections, with a reset to the client where that is wanted and they aren't done."""
        if self._proxy.reset and not self._orderly:
            self._near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._near.close()
        self._far.close()

    async def run(self) -> None:
        """Forward both ways until both ends are done, one breaks off or the limit is reached."""
        # An end that breaks off is this proxy's daily bread: the other one sees its connection closed.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_connect(self._far, (self._proxy.host, self._proxy.target))
            with contextlib.suppress(ExceptionGroup):
                await self._forward()

    async def _forward(self) -> None:
        async with asyncio.TaskGroup() as group:
            for source, sink, down in ((self._near, self._far, False), (self._far, self._near, True)):
                queue: _Queue = asyncio.Queue(_IN_FLIGHT // _CHUNK)
                group.create_task(self._receive(source, queue))
                group.create_task(self._send(queue, sink, down=down))
        self._orderly = True

    async def _receive(self, source: socket.socket, queue: _Queue) -> None:
        loop = asyncio.get_running_loop()
        data = b"?"
        while data:
            data = await loop.sock_recv(source, _CHUNK)
            await queue.put((loop.time() + self._proxy.delay, data))

    async def _send(self, queue: _Queue, sink: socket.socket, *, down: bool) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._proxy.flowing()
            if not data:
                # One direction has ended; the other may go on.
                sink.shutdown(socket.SHUT_WR)
                return
            if down:
                await self._send_down(sink, data)
            else:
                await loop.sock_sendall(sink, data)

    async def _send_down(self, sink: socket.socket, data: bytes) -> None:
        """Pass on bytes from the server at the proxy's rate; ConnectionAbortedError at the link's limit."""
        loop = asyncio.get_running_loop()
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        while data:
            rate = self._proxy.rate
            step = max(1, int(rate / 20)) if rate else len(data)
            piece, data = data[:step], data[step:]
            await loop.sock_sendall(sink, piece)
            if rate:
                await asyncio.sleep(len(piece) / rate)
        if self._left == 0:
            raise ConnectionAbortedError("as many bytes as this connection was to have")


def _limits(cut_after: int | Sequence[int | None] | None) -> Iterator[int | None]:
    """The limit of each connection to come."""
    if isinstance(cut_after, Sequence):
        yield from cut_after
        cut_after = None
    while True:
        yield cut_after


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
