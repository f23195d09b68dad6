"""How long to wait for a server that does say something: bounded by how little of it is of use."""

from __future__ import annotations

import time
from collections.abc import Callable
from socket import socket
from typing import Final

_BYTES_A_SECOND: Final = 100
"""A server that sends less, for as long as the timeout, is as good as silent: bad mobile lines bring twenty times that,
and servers that count each message anew for a listing some more."""
_MOST_CHATTER: Final = 4 * 1024 * 1024
"""Bytes that were not asked for, since the last that were. 100,000 changes of flags by another program are less."""


class TooSlow(TimeoutError):
    """What came is too little for the time it took."""


class Chatter(OSError):
    """The server goes on about what it wasn't asked."""


class Pace:
    """Seconds left to wait. Each question begins them anew, and what comes adds to them.

    So silence is bounded by the timeout, and a byte a second too; a message of any size at an honest rate is not. Only
    waiting counts: what the host does between two reads takes nothing off.

    Args:
        timeout: seconds.
        rate: bytes a second below which a server is as good as silent.
        most_chatter: bytes without any use, one after another.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        timeout: float,
        *,
        rate: float = _BYTES_A_SECOND,
        most_chatter: int = _MOST_CHATTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout = timeout
        self.clock = clock
        self._rate = rate
        self._most_chatter = most_chatter
        self.begin()

    def begin(self) -> None:
        """A question was asked, or answered: the time begins anew."""
        self._waited = 0.0
        self._bytes = 0
        self.useful()

    def useful(self) -> None:
        """Something came that was asked for."""
        self._chatter = 0
        self._idle = 0.0
        self._since = 0.0

    def mark(self) -> None:
        """What is waited for from here on may be of no use; what was waited for until here was not such."""
        self._since = 0.0

    def useless(self, size: int) -> None:
        """Say that ``size`` bytes, the last that came, were of no use: they gain no time.

        Raises:
            Chatter: too many one after another, or for too long.
        """
        self._idle += self._since
        self._since = 0.0
        self._chatter += size
        self._bytes = max(0, self._bytes - size)
        if self._chatter > self._most_chatter or self._idle > self.timeout:
            raise Chatter

    def left(self) -> float:
        """Return the seconds left to wait.

        Raises:
            TooSlow: none.
        """
        left = self.timeout - self._waited + self._bytes / self._rate
        if left <= 0:
            raise TooSlow
        return left

    def waited(self, seconds: float, size: int) -> None:
        """Say that ``size`` bytes came after so many seconds."""
        self._since += seconds
        self._waited += seconds
        self._bytes += size
        if self._bytes >= self._waited * self._rate:
            # A good rate until now is no credit for a bad one.
            self._waited, self._bytes = 0.0, 0


class PacedReader:
    """Reads at the pace.

    Args:
        sock: whose timeout is set to what is left to wait.
        read_into: reads from it into a buffer, and returns how many bytes.
    """

    def __init__(self, sock: socket, read_into: Callable[[memoryview], int], pace: Pace) -> None:
        self._socket = sock
        self._read_into = read_into
        self._pace = pace

    def __call__(self, buffer: memoryview) -> int:
        pace = self._pace
        left = pace.left()
        began = pace.clock()
        if left >= pace.timeout:
            size = self._read_into(buffer)
        else:
            self._socket.settimeout(left)
            try:
                size = self._read_into(buffer)
            except TimeoutError:
                # Most of the time went by while something did come: this is no silence.
                raise TooSlow if left < pace.timeout / 2 else TimeoutError from None
            finally:
                self._socket.settimeout(pace.timeout)
        pace.waited(pace.clock() - began, size)
        return size
