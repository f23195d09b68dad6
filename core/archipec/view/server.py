"""Serves the application on this machine alone, until it is stopped or was not used for a while."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import h11
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from archipec.errors import ArchipecError, PermanentError, TransientError
from archipec.language import _
from archipec.view.guard import HOST, Use

__all__ = ["bind", "serve"]

_HEADERS: Final = 32 << 10  # bytes of a request's head: cookies of every port of this machine are among them
_PATIENCE: Final = 5.0  # seconds for a request's head to arrive
_TURN: Final = 0.0005  # seconds that a thread has the interpreter for while others wait
_FAREWELL: Final = 2  # seconds for answers that are under way when it ends
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


def bind(port: int) -> socket.socket:
    """Return a socket that listens on this machine alone.

    Args:
        port: 0 for one that is free.

    Raises:
        ArchipecError: the port can't be had.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            # There, another program could otherwise listen on the same port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _refused(error, port) from error
    return listener


def _refused(error: OSError, port: int) -> ArchipecError:
    hint = _("give another --port, or none for one that is free")
    if error.errno == errno.EADDRINUSE:
        return TransientError(_("port {port} is in use by another program").format(port=port), hint=hint)
    return PermanentError(
        _("port {port}: {reason}").format(port=port, reason=(error.strerror or str(error)).lower()), hint=hint
    )


def serve(app: ASGIApp, listener: socket.socket, use: Use, idle: float) -> bool:
    """Serve until a signal asks for the end, or nothing was asked for in ``idle`` seconds.

    Returns:
        whether it ended because it was not used.
    """
    # What uvicorn has to say of requests, their addresses among it, is nobody's business.
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    config = Config(
        app,
        http=_Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=_HEADERS,
        timeout_graceful_shutdown=_FAREWELL,
    )
    # A page asks SQLite some dozen times, and gets the interpreter back each time: with the usual 5 ms it would wait for
    # whatever counts in the background.
    sys.setswitchinterval(_TURN)
    server = _Server(config, use, idle)
    server.run(sockets=[listener])
    return server.was_idle


class _Server(Server):
    def __init__(self, config: Config, use: Use, idle: float) -> None:
        super().__init__(config)
        self._use = use
        self._idle = idle
        self.was_idle = False

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to end; asked ten times a second."""
        self.was_idle = self._use.idle > self._idle
        return self.was_idle or await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Let every signal that asks a process to end be an orderly end, which is no failure; a second one is impatient."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True

        before = {
            one: signal.signal(one, handle) for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Protocol(H11Protocol):
    """HTTP/1.1, on connections that are closed where no request arrives in time: uvicorn waits for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        # Between answers, the time that an idle connection is kept is uvicorn's.
        if self.conn.their_state is not h11.IDLE:
            self._wait_no_more()
        elif self._waiting is None and not self.transport.is_closing():
            self._wait()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(_PATIENCE, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
