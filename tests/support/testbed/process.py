"""A server program of one's own: started in a session of its own, watched until it answers, taken away with its children."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["ServerFailed", "ServerProcess", "free_port"]

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_ATTEMPTS = 5


class ServerFailed(Exception):
    """The server could not be started or stopped; the text ends with what it said."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class ServerProcess(ABC):
    """A context manager. `stop` and `start` may be called in between: port and files stay.

    Attributes:
        host: loopback.
        port: known once it runs.
    """

    host = "127.0.0.1"
    name = "server"

    def __init__(self) -> None:
        self.port = 0
        self._root: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def lay_out(self) -> None:
        """Make what the server needs in `root`, once."""

    @abstractmethod
    def command(self, port: int) -> Sequence[str]:
        """Return the command line that serves on ``port`` in the foreground; may write configuration first."""

    def environment(self) -> Mapping[str, str]:
        """Return what is added to the environment."""
        return {}

    def log(self) -> str:
        """Return what the server wrote to its console so far."""
        return self.console.read_text("utf-8", "replace")

    @property
    def root(self) -> Path:
        """The temporary folder with everything of this server."""
        if self._root is None:
            raise ServerFailed(f"this {self.name} is used outside its `with` block")
        return self._root

    @property
    def console(self) -> Path:
        """Where its output goes."""
        return self.root / "console.log"

    def __enter__(self) -> Self:
        self._root = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        try:
            self.lay_out()
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean_up()

    def start(self) -> None:
        """Start and wait until it listens: the first time on a port of its choice, later on the same."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start_on(self.port or free_port())
            except ServerFailed:
                # Another program may have taken the port in the meantime.
                if self.port or attempt == _ATTEMPTS or "in use" not in self.log():
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop it and all its children."""
        process, self._process = self._process, None
        if process is None:
            return
        # A server may give each connection a session of its own: telling the group is not enough.
        family = [*_descendants(process.pid), process.pid]
        _signal(family, signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        finally:
            _signal(family, signal.SIGKILL)
            process.wait()

    def _start_on(self, port: int) -> None:
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                self.command(port),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, **self.environment()},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            # A program that could not bind may leave the port to another that answers.
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerFailed(f"{self.name} did not start:\n{self.log()}")
            with contextlib.suppress(OSError), socket.create_connection((self.host, port), 1):
                break
            time.sleep(0.01)
        self.port = port

    def _clean_up(self) -> None:
        try:
            self.stop()
        finally:
            root, self._root = self.root, None
            shutil.rmtree(root)


def _descendants(process: int) -> list[int]:
    """Return the children of a process and theirs, where the system has /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name in parentheses: state, parent.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    return _all_below(process, children)


def _all_below(process: int, children: dict[int, list[int]]) -> list[int]:
    found = children.get(process, [])
    return found + [below for child in found for below in _all_below(child, children)]


def _signal(processes: Sequence[int], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
