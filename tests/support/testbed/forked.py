"""Commands in processes of their own that need no start of Python: children of a server that has imported everything.

Starting Python and importing archipec is most of what a short command costs, and the tests run thousands.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["run_forked"]

_AT_START: Final = ("LC_", "LANG", "LD_", "MALLOC")
"""Environment that is read when Python starts."""


class _Server:
    def __init__(self) -> None:
        self._channel, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = _read_at_start(os.environ)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("fork_server.py"))],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._channel.close()
        self._process.wait()

    def serves(self, env: Mapping[str, str]) -> bool:
        """Tell whether Python would have started in the same way with this environment."""
        return _read_at_start(env) == self._environment and self._process.poll() is None

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], path: Sequence[Path], timeout: float
    ) -> tuple[int, str, str]:
        said = {
            "arguments": list(arguments),
            "env": dict(env),
            "cwd": str(Path.cwd()),
            "path": list(map(str, path)),
        }
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        try:
            socket.send_fds(self._channel, [json.dumps(said).encode()], [its_out, its_err])
        finally:
            os.close(its_out)
            os.close(its_err)
        child = int(self._answer())
        try:
            printed = _read_all((out, err), time.monotonic() + timeout)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            self._answer()
            raise
        return int(self._answer()), printed[out], printed[err]

    def _answer(self) -> bytes:
        answer = self._channel.recv(64)
        assert answer, "the server that runs commands has ended"
        return answer


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    # Python as it is started here ignores variables of its own (PYTHON...).
    return {name: value for name, value in env.items() if name.startswith(_AT_START)}


def _read_all(descriptors: Sequence[int], end: float) -> dict[int, str]:
    """Read to the ends of pipes and close them.

    Raises:
        subprocess.TimeoutExpired: the time was up.
    """
    parts: dict[int, list[bytes]] = {descriptor: [] for descriptor in descriptors}
    try:
        with selectors.DefaultSelector() as selector:
            for descriptor in descriptors:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                left = end - time.monotonic()
                if left <= 0 or not (ready := selector.select(left)):
                    raise subprocess.TimeoutExpired("archipec", end)
                for key, _ in ready:
                    if data := os.read(key.fd, 1 << 16):
                        parts[key.fd].append(data)
                    else:
                        selector.unregister(key.fd)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return {descriptor: b"".join(those).decode() for descriptor, those in parts.items()}


_server: _Server | None = None
_one_at_a_time = threading.Lock()


def run_forked(
    arguments: Sequence[str], env: Mapping[str, str], *, path: Sequence[Path], timeout: float
) -> tuple[int, str, str] | None:
    """Run archipec to its end; return its exit code and what it printed.

    Args:
        path: folders with packages that are found before all others.

    None where it can't be run so: on other systems, at the same time as another, with another locale.

    Raises:
        subprocess.TimeoutExpired: it was not done in time, and is ended.
    """
    global _server
    if not sys.platform.startswith("linux") or not _one_at_a_time.acquire(blocking=False):
        return None
    try:
        if _server is None:
            _server = _Server()
        return _server.run(arguments, env, path, timeout) if _server.serves(env) else None
    finally:
        _one_at_a_time.release()
